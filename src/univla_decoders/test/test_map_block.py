import numpy as np
import pytest
import torch
from univla_decoders.gripper import CONVENTIONS
from univla_decoders.gripper import bridge_gripper
from univla_decoders.gripper import calvin_gripper
from univla_decoders.gripper import libero_gripper
from univla_decoders.gripper import opening
from univla_decoders.map_block import MapBlock
from univla_decoders.map_block import MapBlockConfig
from univla_decoders.map_block import RootMeanSquareNorm
from univla_decoders.map_block import SwiGlu
from univla_decoders.map_block import map_block_config


def block(**sizes):
    torch.manual_seed(0)
    sizes = {'input_dim': 6, 'embed_dim': 8, 'num_heads': 2, 'hidden_dim': 16} | sizes
    return MapBlock(MapBlockConfig(**sizes)).eval().requires_grad_(False)


def test_pooling_does_not_depend_on_the_order_of_tokens():
    tokens = torch.randn(2, 5, 6)
    torch.testing.assert_close(block()(tokens), block()(tokens.flip(1)))


def test_a_token_that_may_not_be_read_might_as_well_be_absent():
    tokens = torch.randn(1, 5, 6)
    keep = torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0]])
    torch.testing.assert_close(block()(tokens, keep=keep), block()(tokens[:, :3]))


def test_several_queries_give_several_vectors():
    assert block()(torch.randn(2, 5, 6)).shape == (2, 8)
    assert block(num_latents=3)(torch.randn(2, 5, 6)).shape == (2, 3, 8)


@pytest.mark.parametrize('gated', [True, False])
def test_sizes_are_read_from_the_tensors(gated):
    made = block(gated=gated, num_latents=2, hidden_dim=24)
    shapes = {name: tuple(value.shape) for name, value in made.state_dict().items()}
    assert map_block_config(shapes, 2) == made.config


def test_root_mean_square_norm_by_hand():
    # rms of (3, 4) is sqrt(12.5)
    got = RootMeanSquareNorm(2)(torch.tensor([3.0, 4.0]))
    torch.testing.assert_close(got, torch.tensor([3.0, 4.0]) / 12.5**0.5)
    assert torch.isfinite(RootMeanSquareNorm(2)(torch.zeros(2))).all()


def test_the_second_half_gates_the_first():
    layer = SwiGlu(1, 1)
    layer.project.weight.data = torch.tensor([[2.0], [1.0]])
    layer.project.bias.data.zero_()
    # value 2x, gate x: 2x · x · sigmoid(x) at x = 1
    wanted = 2.0 / (1.0 + np.exp(-1.0))
    assert layer(torch.ones(1)).item() == pytest.approx(wanted)


@pytest.mark.parametrize(
    ('convention', 'closed', 'opened'),
    [
        ('open_positive_unit', 0.0, 1.0),
        ('open_positive_signed', -1.0, 1.0),
        ('open_negative_signed', 1.0, -1.0),
    ],
)
def test_every_convention_maps_to_the_same_opening(convention, closed, opened):
    values = np.array([closed, 0.5 * (closed + opened), opened, 5.0 * opened - 4.0 * closed])
    assert opening(values, convention).tolist() == [0.0, 0.5, 1.0, 1.0]
    assert convention in CONVENTIONS


def test_official_gripper_commands():
    assert libero_gripper(np.array([0.0, 0.5, 1.0])).tolist() == [1.0, 0.0, -1.0]
    assert bridge_gripper(np.array([0.5, 0.51])).tolist() == [-1.0, 1.0]
    assert calvin_gripper(np.array([-0.1, 0.0])).tolist() == [-1, 1]
