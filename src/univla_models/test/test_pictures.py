import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError
from univla_models.image_presets import PRESETS
from univla_models.image_presets import preset
from univla_models.image_presets import rotate_half_turn
from univla_models.image_processor import ImageProcessor
from univla_models.jpeg import jpeg_round_trip
from univla_models.resample import area_matrix
from univla_models.resample import bilinear_matrix
from univla_models.resample import lanczos3_matrix
from univla_models.resample import resize

HALF = ((0.5, 0.5, 0.5),)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(height, width):
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows, columns, rows + columns], axis=-1).astype(np.uint8)


def test_pixel_values_are_the_affine_of_the_picture():
    processor = ImageProcessor(
        'resize-naive', (*HALF, (0.0, 0.0, 0.0)), (*HALF, (1.0, 1.0, 1.0)), 4
    )
    image = np.full((4, 4, 3), 255, np.uint8)
    image[..., 2] = 0
    got = processor(image)
    assert got.shape == (6, 4, 4)
    # (1 - 0.5) / 0.5 = 1 and (0 - 0.5) / 0.5 = -1 for the first, the level itself for the second
    assert got[:, 0, 0].tolist() == [1.0, 1.0, -1.0, 1.0, 1.0, 0.0]


def test_letterbox_pads_the_short_side_with_the_mean_of_the_last_transformer():
    processor = ImageProcessor('letterbox', ((0.2, 0.2, 0.2), (0.5, 0.4, 0.3)), HALF * 2, 8)
    out = processor.resize(np.full((4, 8, 3), 255, np.uint8))
    # int(0.5 * 255), int(0.4 * 255), int(0.3 * 255); two rows of bars above and below
    assert (out[0] == [127, 102, 76]).all()
    assert (out[4] == 255).all()


def test_resize_crop_keeps_the_aspect_ratio_and_naive_does_not():
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, :4] = 255  # the left quarter
    cropped = ImageProcessor('resize-crop', HALF, HALF, 8).resize(wide)
    assert (cropped == 0).all()  # outside the middle square
    squashed = ImageProcessor('resize-naive', HALF, HALF, 8).resize(wide)
    assert squashed[:, 0].min() == 255


def test_rounded_constants_of_released_processors_win():
    values = {
        'input_sizes': [[3, 8, 8]],
        'means': [[0.485] * 3],
        'stds': [[0.229] * 3],
        'tvf_normalize_params': [{'mean': [0.484375] * 3, 'std': [0.228515625] * 3}],
    }
    assert ImageProcessor.from_mapping(values, 'here').means == ((0.484375,) * 3,)
    del values['tvf_normalize_params']
    assert ImageProcessor.from_mapping(values, 'here').means == ((0.485,) * 3,)


@pytest.mark.parametrize(
    'change',
    [
        {'image_resize_strategy': 'stretch'},
        {'input_sizes': [[3, 8, 9]]},
        {'input_sizes': []},
        {'means': [[0.5, 0.5]]},
        {'interpolations': ['nearest']},
    ],
)
def test_unusable_processors_are_refused(change):
    values = {'input_sizes': [[3, 8, 8]], 'means': [[0.5] * 3], 'stds': [[0.5] * 3]}
    with pytest.raises(CheckpointError, match='here'):
        ImageProcessor.from_mapping(values | change, 'here')


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60))
def test_kernels_preserve_flat_pictures(source, target):
    for matrix in (lanczos3_matrix, area_matrix, bilinear_matrix):
        np.testing.assert_allclose(matrix(source, target).sum(axis=1), 1.0, atol=1e-5)


def test_area_halving_averages_four_pixels():
    image = np.array([[0, 100], [20, 40]], np.uint8)[..., None].repeat(3, axis=2)
    assert resize(image, 1, 1, 'area')[0, 0].tolist() == [40, 40, 40]


@pytest.mark.parametrize('shape', [(480, 640), (300, 400), (256, 256), (100, 180)])
def test_area_agrees_with_opencv(shape):
    cv2 = pytest.importorskip('cv2')
    image = picture(*shape)
    wanted = cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA)
    assert np.abs(resize(image, 224, 224, 'area').astype(int) - wanted).max() <= 1


def test_jpeg_keeps_what_is_flat_and_nearly_keeps_what_is_smooth():
    flat = np.full((32, 32, 3), (200, 100, 50), np.uint8)
    np.testing.assert_array_equal(jpeg_round_trip(flat), flat)
    image = smooth(64, 64)
    assert np.abs(jpeg_round_trip(image).astype(int) - image).mean() < 1.0
    assert jpeg_round_trip(picture(31, 45)).shape == (31, 45, 3)


def test_jpeg_differs_from_pillow_by_the_rounding_of_the_fast_transform_only(tmp_path):
    """Same tables and chroma filter: a smooth picture comes out almost the same."""
    image = smooth(64, 96)
    Image.fromarray(image).save(tmp_path / 'x.jpg', quality=95, subsampling='4:2:0')
    wanted = np.asarray(Image.open(tmp_path / 'x.jpg')).astype(int)
    assert np.abs(jpeg_round_trip(image) - wanted).mean() < 1.0


def test_half_turn_twice_is_nothing():
    image = picture(6, 9)
    np.testing.assert_array_equal(rotate_half_turn(rotate_half_turn(image)), image)


@pytest.mark.parametrize('name', sorted(PRESETS))
def test_every_preset_takes_a_camera_picture(name):
    out = preset(name).prepare(picture(96, 128))
    assert out.dtype == np.uint8
    assert out.shape == ((224, 224, 3) if PRESETS[name].steps else (96, 128, 3))


def test_unknown_presets_list_the_known():
    with pytest.raises(ConfigError, match='libero'):
        preset('kitchen')
