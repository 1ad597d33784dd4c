"""Checkpoints by name: trained where one is, else untrained, made when asked for."""

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_models.policy import load_policy
from univla_ros.checkpoints import ensure_checkpoint
from univla_ros.checkpoints import first_posture
from univla_ros.checkpoints import is_trained
from univla_ros.checkpoints import own_checkpoint
from univla_ros.robot_decoders import decoder_path
from univla_ros.robot_decoders import load_decoder


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('UNIVLA_CHECKPOINTS', str(tmp_path))
    # Those of the checkout shall not be found.
    monkeypatch.setattr('univla_ros.checkpoints.checkpoint_folders', lambda: (tmp_path,))
    return tmp_path


def test_untrained_means_another_checkpoint_for_each_policy():
    assert own_checkpoint('untrained', 'univla') == 'untrained'
    assert own_checkpoint('untrained', 'uniact') == 'untrained-uniact'
    assert own_checkpoint('mine', 'uniact') == 'mine'


def test_auto_means_the_trained_checkpoint_where_one_is(home):
    assert own_checkpoint('auto', 'univla') == 'untrained'
    assert own_checkpoint('auto', 'uniact') == 'untrained-uniact'
    (home / 'tiny').mkdir()
    (home / 'tiny' / 'config.json').write_text('{"trained": true}')
    assert own_checkpoint('auto', 'univla') == 'tiny'
    assert own_checkpoint('untrained', 'univla') == 'untrained'
    assert own_checkpoint('auto', 'uniact') == 'untrained-uniact'


def test_simulated_arms_begin_where_the_policy_learned_to(home):
    (home / 'mine').mkdir()
    (home / 'mine' / 'config.json').write_text('{"trained": true}')
    assert first_posture('mine') == first_posture(str(home / 'mine')) == 'ready'
    assert first_posture('untrained') == first_posture('nowhere') == 'home'
    (home / 'mine' / 'config.json').write_text('{"trained": false}')
    assert first_posture('mine') == 'home'


@pytest.mark.parametrize(
    ('policy', 'robots'),
    [
        ('uniact', ('widowx', 'franka', 'airbot', 'mobile_base')),
        ('unified_vla', ('widowx', 'franka', 'airbot')),
    ],
)
def test_an_untrained_checkpoint_moves_its_robots(home, policy, robots):
    name = own_checkpoint('untrained', policy)
    folder = ensure_checkpoint(name)
    assert folder.parent == home and not is_trained(folder)
    planner = load_policy(policy, folder, device='cpu', preprocessing='auto')
    picture = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    plan = planner.plan({'primary': picture}, 'reach the red cube')
    for robot in robots:
        body = load_embodiment(robot)
        decoder = load_decoder(decoder_path(body, name), body, allow_untrained=True)
        decoder.check_codebook(planner.codebook)
        assert np.isfinite(decoder.decode(plan)).all()
