import dataclasses

import pytest
import torch
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError
from univla_decoders.declaration import DecoderDeclaration
from univla_decoders.heads import HEADS
from univla_decoders.heads import HeadConfig
from univla_decoders.heads import head_config
from univla_decoders.map_block import MapBlockConfig

POOL = MapBlockConfig(input_dim=24, embed_dim=32, num_heads=4, num_latents=2, hidden_dim=128)
CONFIG = HeadConfig(kind='query', horizon=3, action_dim=7, pool=POOL, proprioception_dim=5)


@pytest.fixture
def head():
    torch.manual_seed(0)
    return HEADS['query'](CONFIG).eval()


def shapes(head):
    return {name: tuple(value.shape) for name, value in head.state_dict().items()}


def inputs(batch=2):
    torch.manual_seed(1)
    return torch.randn(batch, 4, 24), torch.randn(batch, 9, 24), torch.randn(batch, 5)


def test_a_chunk_has_a_row_per_step(head):
    assert head(*inputs()).shape == (2, 3, 7)


def test_every_input_matters_and_samples_do_not_mix(head):
    """Each of plan, picture and body moves the chunk of its own sample only."""
    before = head(*inputs())
    for number in range(3):
        changed = [value.clone() for value in inputs()]
        changed[number][0] += 1.0
        after = head(*changed)
        assert not torch.allclose(after[0], before[0], atol=1e-4)
        torch.testing.assert_close(after[1], before[1])


def test_sizes_are_read_from_the_weights(head):
    assert head_config(shapes(head), 3, 4, 'here') == CONFIG


def test_a_wrong_horizon_is_named(head):
    with pytest.raises(CheckpointError, match='predicts 3 steps but horizon 8'):
        head_config(shapes(head), 8, 4, 'here')


def test_heads_must_divide_the_width(head):
    with pytest.raises(CheckpointError, match='5 attention heads'):
        head_config(shapes(head), 3, 5, 'here')


@pytest.mark.parametrize(
    ('kind', 'size', 'fits'),
    [
        ('query', 0, True),
        ('query', 5, True),
        ('proprioception', 5, True),
        ('proprioception', 0, False),
        ('manipulation', 5, False),
    ],
)
def test_which_heads_take_proprioception(kind, size, fits):
    declaration = DecoderDeclaration(
        head=kind,
        horizon=3,
        action_dim=2,
        action_space='base_twist',
        names=('linear_x', 'angular_z'),
        step_duration_s=0.2,
        proprioception_dim=size,
    )
    if fits:
        declaration.check('here')
    else:
        with pytest.raises(ConfigError, match='proprioception_dim'):
            declaration.check('here')


def test_what_the_policy_points_at_is_read_off_the_first_latent_token():
    """Sizes come from the weights, the places matter, and nothing teaches their reader."""
    config = dataclasses.replace(CONFIG, pointing=True)
    torch.manual_seed(0)
    head = HEADS['query'](config).eval()
    assert head_config(shapes(head), 3, 4, 'here') == config
    before = head(*inputs())
    with torch.no_grad():
        head.reader.aim[2].bias[0] += 0.5  # as if it pointed half a picture further to the right
    assert not torch.allclose(head(*inputs()), before, atol=1e-4)
    head(*inputs()).sum().backward()
    assert all(value.grad is None for value in head.reader.aim.parameters())
    assert head.reader.body_in[0].weight.grad[:, 5:].abs().sum() > 0.0


def test_places_do_not_need_a_body():
    head = HEADS['query'](dataclasses.replace(CONFIG, pointing=True, proprioception_dim=0)).eval()
    latent, visual, _ = inputs()
    assert head(latent, visual, None).shape == (2, 3, 7)
    assert head_config(shapes(head), 3, 4, 'here') == head.config
