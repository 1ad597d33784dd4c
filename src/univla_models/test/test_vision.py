import numpy as np
import pytest
import torch
from univla_core.errors import ShapeError
from univla_models.vision import VisionTransformer
from univla_models.vision import dino_config
from univla_models.vision import hub_dino_config
from univla_models.vision import siglip_config


def randomised(config):
    torch.manual_seed(0)
    model = VisionTransformer(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.requires_grad_(False)


@pytest.mark.parametrize('config', [dino_config(12, 3, 2), siglip_config(12, 3, 2)])
def test_every_patch_gets_one_feature(config):
    model = randomised(config)
    assert model(torch.randn(2, 3, 224, 224)).shape == (2, 256, 12)
    with pytest.raises(ShapeError, match='16 x 16'):
        model(torch.randn(1, 3, 112, 112))


def test_released_sizes_follow_from_the_timm_names():
    # DINOv2-L: 24 blocks, one of them dead; SigLIP so400m: MLP 4304 wide.
    assert (dino_config().blocks_used, dino_config().mlp_dim) == (23, 4096)
    assert (siglip_config().blocks_used, siglip_config().mlp_dim) == (26, 4304)
    with torch.device('meta'):
        models = [
            VisionTransformer(c) for c in (dino_config(), siglip_config(), hub_dino_config())
        ]
    sizes = [sum(p.numel() for p in model.parameters()) for model in models]
    # 303.2 M less the last block (12.6 M); 427.7 M less last block (15.2 M) and pool (15.3 M).
    assert np.round(np.array(sizes) / 1e6, 1).tolist() == [290.6, 397.2, 86.6]


def test_rows_of_patches_run_from_left_to_right():
    """Changing one patch's pixels moves that patch's embedding and no other."""
    model = randomised(siglip_config(8, 1, 2))  # no block runs: depth 1, second-to-last is none
    pixels = torch.zeros(1, 3, 224, 224)
    before = model(pixels)
    pixels[:, :, 14:28, 42:56] = 1.0  # row 1, column 3
    changed = (model(pixels) != before).any(dim=2)[0]
    assert changed.nonzero().flatten().tolist() == [16 + 3]


def test_the_hub_table_is_resampled_for_other_sizes_only():
    model = randomised(hub_dino_config(12, 1, 2, image_size=70))
    assert model(torch.randn(1, 3, 56, 56)).shape == (1, 16, 12)
    _, rows = model._positions(5, 5)
    torch.testing.assert_close(rows, model.pos_embed[:, 1:])
    model.pos_embed.data[:, 1:] = 7.0  # a flat table stays flat
    torch.testing.assert_close(model._positions(3, 4)[1], torch.full((1, 12, 12), 7.0))


def test_only_dead_weights_may_be_left_out():
    dead = ['blocks.2.norm1.weight', 'norm.weight', 'attn_pool.latent', 'mask_token']
    model = VisionTransformer(dino_config(12, 3, 2))
    assert all(model.is_unused(name) for name in dead)
    assert not any(model.is_unused(name) for name in model.state_dict())
    assert not model.is_unused('blocks.3.norm1.weight')
