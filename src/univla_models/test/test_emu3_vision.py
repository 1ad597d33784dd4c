"""Emu3's vision tokenizer in its released layout, against transformers' own loading."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from univla_core.errors import CheckpointError
from univla_core.errors import ObservationError
from univla_models.emu3_image_processor import Emu3ImageProcessor
from univla_models.emu3_vision import Emu3Vision
from univla_models.emu3_vision import ReleasedLayout
from univla_models.emu3_vision import build_vision

SIZES = {'ch': 32, 'ch_mult': [1, 1, 1, 2], 'num_res_blocks': 1, 'codebook_size': 64}


@pytest.fixture(scope='module')
def network():
    """A whole network with seeded weights."""
    made = build_vision(SIZES, 'test', decodes=True).to_empty(device='cpu').eval()
    generator = torch.Generator().manual_seed(0)
    for name, value in made.state_dict().items():
        if name.endswith('running_var') or ('norm' in name and name.endswith('weight')):
            value.fill_(1.0)
        elif name.endswith('num_batches_tracked'):
            value.zero_()
        else:
            value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
    return made


@pytest.fixture
def folder(network, tmp_path):
    (tmp_path / 'config.json').write_text(json.dumps(SIZES))
    state = {name: value.contiguous() for name, value in released(network).items()}
    save_file(state, tmp_path / 'model.safetensors')
    return tmp_path


def released(network):
    return ReleasedLayout(network).state_dict()


def pixels(frames=0, seed=1):
    shape = (1, frames, 3, 16, 24) if frames else (1, 3, 16, 24)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2.0 - 1.0


def test_names_and_shapes_are_those_of_the_release(network):
    state = released(network)
    assert state['encoder.down.3.attn.0.q.weight'].shape == (64, 64, 1, 1)
    assert state['encoder.mid.attn_1.proj_out.bias'].shape == (64,)
    for name in (
        'encoder.down.3.attn.0.norm.weight',
        'decoder.up.3.attn.1.norm.norm_layer.weight',
        'decoder.mid.attn_1.norm.conv_y.weight',
        'decoder.up.1.upsample.conv.weight',
        'encoder.time_res_stack.0.norm1.running_mean',
        'quantize.embedding.weight',
        'post_quant_conv.conv.bias',
    ):
        assert name in state
    assert not [name for name in state if '_block.' in name or '_proj' in name]


def test_loading_gives_the_same_codes_and_pictures(network, folder):
    """Both directions agree with the network the weights came from."""
    vision = Emu3Vision.from_folder(folder, device=torch.device('cpu'), decodes=True)
    size = torch.tensor([[16, 24]])
    with torch.inference_mode():
        wanted = network.encode(pixels(), size).image_tokens[0]
    codes = vision.encode(pixels())
    assert codes.shape == (1, 2, 3)  # an eighth of 16 x 24
    assert torch.equal(codes[0], wanted)
    assert len(codes.unique()) > 1
    with torch.inference_mode():
        torch.testing.assert_close(vision.decode(codes), network.decode(codes))


def test_a_still_is_four_equal_frames(folder):
    vision = Emu3Vision.from_folder(folder, device=torch.device('cpu'), decodes=True)
    still = pixels()
    film = still[:, None].expand(-1, 4, -1, -1, -1)
    assert torch.equal(vision.encode(film)[:, 0], vision.encode(still))
    assert vision.encode(pixels(frames=8)).shape == (1, 2, 2, 3)
    assert vision.decode(vision.encode(pixels(frames=8))).shape == (1, 8, 3, 16, 24)


def test_without_a_decoder_it_only_encodes(network, folder):
    """The policy never decodes, so half of the weights stay on the disk."""
    vision = Emu3Vision.from_folder(folder, device=torch.device('cpu'))
    assert not hasattr(vision.network, 'decoder')
    with pytest.raises(CheckpointError, match='decodes=True'):
        vision.decode(vision.encode(pixels()))


def test_unusable_input_is_refused(folder):
    vision = Emu3Vision.from_folder(folder, device=torch.device('cpu'), decodes=True)
    with pytest.raises(ObservationError, match='multiples of 8'):
        vision.encode(torch.zeros(1, 3, 12, 16))
    with pytest.raises(ObservationError, match='outside'):
        vision.decode(torch.full((1, 2, 2), 64))


@pytest.mark.parametrize(
    ('change', 'why'),
    [
        (lambda s: s.pop('quant_conv.conv.bias'), 'quant_conv.conv.bias is missing'),
        (lambda s: s.update({'encoder.extra': torch.zeros(1)}), 'encoder.extra .*unexpected'),
        (lambda s: s.update({'quant_conv.conv.bias': torch.zeros(5)}), 'has shape'),
        (lambda s: s['quant_conv.conv.bias'].fill_(torch.nan), 'NaN'),
    ],
)
def test_loading_is_strict(network, folder, change, why):
    state = {name: value.clone().contiguous() for name, value in released(network).items()}
    change(state)
    save_file(state, folder / 'model.safetensors')
    with pytest.raises(CheckpointError, match=why):
        Emu3Vision.from_folder(folder, device=torch.device('cpu'))


def test_pictures_are_rounded_to_eight_and_kept_within_an_area():
    """84 / 8 = 10.5 rounds to the even 10; 33 x 150 must grow to 80²."""
    processor = Emu3ImageProcessor()
    assert processor.size(84, 84) == (80, 80)
    assert processor.size(33, 150) == (40, 176)
    assert processor.size(1080, 1920) == (768, 1360)
    values = processor(np.full((80, 80, 3), 255, dtype=np.uint8))
    assert values.shape == (3, 80, 80)
    assert values.unique().tolist() == [1.0]
    with pytest.raises(ObservationError, match='too long'):
        processor.size(80, 408)


def test_the_released_smallest_area_would_enlarge():
    """Mended: inference always uses 80²; the released file's 512² makes 200 into 512."""
    assert Emu3ImageProcessor().size(200, 200) == (200, 200)
    assert Emu3ImageProcessor(min_pixels=512 * 512).size(200, 200) == (512, 512)
