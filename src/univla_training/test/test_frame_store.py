from __future__ import annotations

import numpy as np
import pytest
from univla_core.errors import TrainingError
from univla_core.norm_stats import dataset_stats_from_mapping
from univla_training.statistics import dataset_statistics


def test_a_window_stays_in_its_episode(store):
    # Episode 0 ends with frame 4, episode 1 begins with frame 5.
    assert store.window(np.array([0, 2, 4, 5]), 3).tolist() == [3, 4, 4, 8]


def test_frames_keep_their_index_in_a_selection(store):
    franka = store.only(['franka'])
    assert franka.frames.tolist() == list(range(20, 30))
    assert franka.window(np.array([24, 25]), 2).tolist() == [24, 27]
    assert franka.instructions(np.array([21, 29])) == ['task 4', 'task 5']


def test_robots_and_tasks_come_equally_often(store):
    rng = np.random.default_rng(0)
    rows = store.sampler()(rng, 4000)
    # widowx has twice the frames of franka, yet each group gets one half; 4 sigma is 0.032.
    assert np.mean(rows >= 20) == pytest.approx(0.5, abs=0.032)
    assert set(rows) == set(range(30))
    weighted = store.sampler({'franka': 3.0})(rng, 4000)
    assert np.mean(weighted >= 20) == pytest.approx(0.75, abs=0.03)


def test_only_clean_frames_are_drawn_where_asked(store):
    rows = store.sampler(clean=True)(np.random.default_rng(0), 2000)
    assert store.clean[rows].all()
    with pytest.raises(TrainingError, match='no frame is left'):
        store.only(where=lambda row: row.success is False).sampler(clean=True)


def test_a_smaller_share_is_part_of_a_larger_one(store):
    names = [{row.path for row in store.share(share, 1).episodes} for share in (0.01, 0.5, 1.0)]
    assert names[0] < names[1] < names[2]
    assert len(names[0]) == 2  # one of each robot and task
    assert len(names[1]) == 3
    # What is drawn of a robot does not depend on which others are there.
    alone = {row.path for row in store.only(['franka']).share(0.5, 1).episodes}
    assert alone < names[1]


def test_no_episode_is_in_both_halves_of_a_split(store):
    train, held = store.split(0.25)
    assert not {row.key for row in train.episodes} & {row.key for row in held.episodes}
    assert len(train.episodes) + len(held.episodes) == 6
    assert {row.robot for row in held.episodes} == {'widowx', 'franka'}


def test_proprioception_and_actions_have_the_size_of_the_body(store):
    franka, widowx = np.array([20, 25]), np.array([1, 2])
    assert store.proprioception(franka).shape == (2, 8)
    assert store.proprioception(widowx).shape == (2, 7)
    assert store.actions(franka, 'eef_delta').shape == (2, 4, 7)
    with pytest.raises(TrainingError, match=r'no actions in .joint_delta.; they have eef_delta'):
        store.actions(franka, 'joint_delta')


def test_a_robot_without_episodes_is_refused(store):
    with pytest.raises(TrainingError, match=r"robot 'airbot'; the data hold franka, widowx"):
        store.require('airbot')
    with pytest.raises(TrainingError, match=r'no actions in .eef_pose.'):
        store.require('franka', 'eef_pose')


def test_statistics_are_of_the_frames_worth_imitating(store):
    entry = dataset_statistics(store, 'widowx', 'eef_delta')
    stats = dataset_stats_from_mapping({'widowx': entry}, 'test')['widowx']
    # Frames 0 to 14 count up in the first dimension; episode 3 (15 to 19) failed.
    assert entry['num_transitions'] == 15
    assert stats.action.maximum[0] == 14.0
    assert stats.action.mean[0] == pytest.approx(7.0)
    assert stats.action.q99[0] == pytest.approx(np.quantile(np.repeat(np.arange(15), 4), 0.99))
    assert stats.action.mask.tolist() == [True] * 6 + [False]
    assert stats.proprioception.dim == 7
