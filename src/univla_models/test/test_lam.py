import numpy as np
import pytest
import torch
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError
from univla_core.errors import ShapeError
from univla_models.lam import LatentActionModel
from univla_models.lam_blocks import SpaceTimeBlock
from univla_models.lam_blocks import VectorQuantizer
from univla_models.lam_blocks import sinusoids
from univla_models.lam_config import LamConfig
from univla_models.lam_config import TextSizes

TEXT = TextSizes(d_model=12, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=20)


def config(stage):
    return LamConfig(
        stage=stage,
        model_dim=16,
        latent_dim=8,
        encoder_blocks=2,
        decoder_blocks=1,
        num_heads=2,
        dino_dim=12,
        dino_depth=1,
        dino_heads=2,
        dino_image_size=70,
        text=TEXT,
    )


@pytest.fixture(scope='module', params=[1, 2])
def model(request):
    torch.manual_seed(request.param)
    return LatentActionModel(config(request.param)).eval().requires_grad_(False)


@pytest.fixture
def labeller():
    torch.manual_seed(2)
    return LatentActionModel(config(2)).eval().requires_grad_(False)


def frames(batch=3, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (batch, 2, 28, 28, 3), dtype=np.uint8)


def saved(model, path):
    names = {'scale_factor': 'gamma', 'reg_token': 'register_tokens'}
    state = {}
    for name, value in model.state_dict().items():
        if name.startswith('dino_encoder.'):
            for ours, hub in names.items():
                name = name.replace(ours, hub)
        state[f'lam.{name}'] = value
    torch.save({'state_dict': state, 'epoch': 0}, path)
    return path


def test_labels_are_four_codes_whatever_the_batch(labeller):
    labels = labeller.label(frames())
    assert labels.dtype == np.int32
    assert labels.shape == (3, 4)
    # The official code drops the batch axis here.
    assert labeller.label(frames()[:1]).shape == (1, 4)
    np.testing.assert_array_equal(labeller.label(frames()[:1]), labels[:1])


def test_the_first_frame_never_sees_the_second():
    torch.manual_seed(0)
    block = SpaceTimeBlock(16, 2).eval()
    x = torch.randn(2, 2, 5, 16)
    y = x.clone()
    y[:, 1] = torch.randn(2, 5, 16)
    torch.testing.assert_close(block(x, None)[:, 0], block(y, None)[:, 0])
    assert (block(x, None)[:, 1] - block(y, None)[:, 1]).abs().max() > 1e-3


def test_sinusoids_by_hand():
    # dim 4: frequencies 1 and 1/100; position 1.
    wanted = torch.tensor([np.sin(1), np.cos(1), np.sin(0.01), np.cos(0.01)]).float()
    torch.testing.assert_close(sinusoids(2, 4, torch.device('cpu'))[1], wanted)


def test_the_nearest_code_is_chosen():
    quantizer = VectorQuantizer(2, 1)
    quantizer.codebook.weight.data = torch.tensor([[0.0], [1.0]])
    z, indices = quantizer(torch.tensor([[0.4], [0.6]]))
    assert indices.tolist() == [0, 1]
    assert z.flatten().tolist() == [0.0, 1.0]


def test_padding_words_do_not_change_a_sample_unless_the_official_mask_is_asked_for():
    """The official encoder gives row r the mask of sample r mod batch."""
    torch.manual_seed(1)
    model = LatentActionModel(config(1)).eval().requires_grad_(False)
    videos = torch.rand(2, 2, 3, 28, 28)
    ids = torch.tensor([[3, 4, 5, 6], [3, 4, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    alone = model(videos[1:], (ids[1:, :2], mask[1:, :2])).codes.emb
    torch.testing.assert_close(model(videos, (ids, mask)).codes.emb[1:], alone)
    model.official_mask = True
    assert (model(videos, (ids, mask)).codes.emb[1:] - alone).abs().max() > 1e-4


def test_checkpoints_load_strictly(model, tmp_path):
    path = saved(model, tmp_path / 'lam.ckpt')
    loaded = LatentActionModel.from_checkpoint(path, model.config, device='cpu')
    for name, value in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value)
    content = torch.load(path, weights_only=True)
    del content['state_dict']['lam.vq.codebook.weight']
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r'vq\.codebook\.weight is missing'):
        LatentActionModel.from_checkpoint(path, model.config, device='cpu')


def test_the_other_stage_does_not_fit(model, tmp_path):
    path = saved(model, tmp_path / 'lam.ckpt')
    other = config(3 - model.config.stage)
    with pytest.raises(CheckpointError, match='is unexpected'):
        LatentActionModel.from_checkpoint(path, other, device='cpu')


def test_unusable_frames_and_stages_are_refused(labeller):
    with pytest.raises(ShapeError, match='multiples of 14'):
        labeller.label(np.zeros((1, 2, 30, 28, 3), np.uint8))
    with pytest.raises(ShapeError, match='batch, 2, h, w, 3'):
        labeller.label(np.zeros((1, 3, 28, 28, 3), np.uint8))
    with pytest.raises(ConfigError, match='stage-2'):
        LatentActionModel(config(1)).label(frames())
    with pytest.raises(ConfigError, match='stages 1 and 2'):
        LamConfig(stage=3)
