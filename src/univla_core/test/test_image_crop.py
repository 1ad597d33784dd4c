import numpy as np
import pytest
from univla_core.errors import ShapeError
from univla_core.image_crop import center_crop
from univla_core.image_crop import center_crop_float


def test_a_flat_picture_stays_flat():
    assert (center_crop(np.full((30, 50, 3), 77, np.uint8)) == 77).all()


def test_the_whole_area_keeps_the_corners():
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    np.testing.assert_array_equal(center_crop(image, area=1.0), image)


def test_the_crop_spans_its_share_of_the_side():
    # Brightness = row / 200 in [0, 1]: samples run over (1 ± sqrt(0.9)) / 2 of it.
    image = np.repeat(np.arange(201, dtype=np.uint8)[:, None, None], 3, axis=2)
    image = np.repeat(image, 10, axis=1)
    rows = center_crop_float(image)[:, 0, 0] * 255.0
    assert rows[0] == pytest.approx(100.0 * (1.0 - np.sqrt(0.9)), abs=1e-3)
    assert rows[-1] == pytest.approx(100.0 * (1.0 + np.sqrt(0.9)), abs=1e-3)


@pytest.mark.parametrize('image', [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8)])
def test_other_pictures_are_refused(image):
    with pytest.raises(ShapeError, match='uint8'):
        center_crop(image)
