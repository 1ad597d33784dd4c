"""The checkpoints that come with the suite: small, trained, and fit for every robot they name."""

import numpy as np
import pytest
import torch
from univla_core.embodiment import load_embodiment
from univla_core.paths import checkpoint_path
from univla_models.policy import load_policy
from univla_ros.checkpoints import SHIPPED
from univla_ros.checkpoints import is_trained
from univla_ros.checkpoints import own_checkpoint
from univla_ros.robot_decoders import load_decoder
from univla_sim.gl import choose_platform
from univla_sim.variation import Variation
from univla_sim.world import World

MAX_BYTES = 15 * 1000**2
ROBOTS = {
    'univla': ('airbot', 'franka', 'mobile_base', 'widowx'),
    'uniact': ('airbot', 'franka', 'mobile_base', 'widowx'),
    'unified_vla': ('franka', 'widowx'),
}


@pytest.mark.parametrize('policy', SHIPPED)
def test_what_is_shipped_is_small_trained_and_tells_what_it_is(policy):
    folder = checkpoint_path(SHIPPED[policy])
    assert own_checkpoint('auto', policy) == folder.name and is_trained(folder)
    files = [path for path in folder.rglob('*') if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES
    card = (folder / 'model_card.md').read_text(encoding='utf-8')
    assert '| rate | ci_low | ci_high |' in card, 'its success rates belong in the model card'


@pytest.mark.parametrize('policy', SHIPPED)
def test_every_decoder_that_is_shipped_turns_a_plan_into_a_chunk(policy):
    folder = checkpoint_path(SHIPPED[policy])
    planner = load_policy(policy, folder, device='cpu', preprocessing='auto', camera='primary')
    assert planner.trained
    picture = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    latent = planner.plan({'primary': picture}, 'reach the red cube')
    assert tuple(sorted(path.name for path in (folder / 'decoders').iterdir())) == ROBOTS[policy]
    for robot in ROBOTS[policy]:
        body = load_embodiment(robot)
        decoder = load_decoder(folder / 'decoders' / robot, body)
        decoder.check_codebook(planner.codebook)
        declared = decoder.declaration
        state = np.zeros(declared.measured_dim) if declared.measured_dim else None
        rows = decoder.decode(latent, state)
        assert rows.shape == (declared.horizon, declared.action_dim)
        assert np.isfinite(rows).all()


@pytest.mark.parametrize(
    ('name', 'robot'),
    [
        ('airbot', 'airbot'),
        ('airbot-eef_delta', 'airbot'),
        ('airbot-joint_position', 'airbot'),
        ('airbot-joint_delta', 'airbot'),
        ('widowx-10percent', 'widowx'),
        ('franka-10percent', 'franka'),
        ('widowx-1percent', 'widowx'),
        ('franka-1percent', 'franka'),
        ('widowx-four-tasks', 'widowx'),
        ('franka-four-tasks', 'franka'),
    ],
)
def test_decoders_of_the_policy_without_actions_fit_it(name, robot):
    """Their policy saw no action; they are how the results of few labels are made again."""
    folder = checkpoint_path('tiny-unseen')
    files = [path for path in folder.rglob('*') if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES
    policy = load_policy('univla', folder, device='cpu', preprocessing='auto', camera='primary')
    decoder = load_decoder(folder / 'decoders' / name, load_embodiment(robot))
    decoder.check_codebook(policy.codebook)
    assert decoder.declaration.end_effector_position and policy.trained
    picture = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    plan = policy.plan({'primary': picture}, 'reach the red cube')
    home = np.append(load_embodiment(robot).home, 1.0)
    assert np.isfinite(decoder.decode(plan, home)).all()


@pytest.mark.skipif(not choose_platform()[0], reason='no OpenGL library here')
@pytest.mark.parametrize('name', ['tiny', 'tiny-unseen'])
def test_eyes_see_a_checkered_table_as_the_plain_one(name):
    """Checks are held out: eyes learned stripes, patches and grain; before, all was noise."""
    policy = load_policy('univla', checkpoint_path(name), device='cpu', preprocessing='auto')
    network, world = policy.network.float(), World(load_embodiment('franka'))
    seen = []
    for seed in range(6):
        world.reset(seed, Variation.training())
        plain = world.render()
        world.redress(Variation(checker=True, surface_colors=((0.36, 0.33, 0.44),)), seed)
        seen.append([policy.processor(picture) for picture in (plain, world.render())])
    with torch.inference_mode():
        plain, checks = (
            network.projector(network.vision_backbone(torch.stack(pictures).float()))
            for pictures in zip(*seen, strict=True)
        )
    noise = (checks - plain).square().mean() / plain.flatten(0, 1).var(0).mean()
    assert noise < 0.1
