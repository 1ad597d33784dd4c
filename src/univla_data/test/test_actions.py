"""Labels lead from the set-point of their frame to the later ones, in every action space."""

from __future__ import annotations

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_core.errors import DataError
from univla_core.poses import pose_from_vector
from univla_core.poses import rotation_from_vector
from univla_data.actions import actions
from univla_data.actions import clean
from univla_data.actions import proprioception
from univla_data.actions import valid
from univla_data.episode import Episode
from univla_data.episode import SentCommands

HORIZON, STEP_S = 4, 0.2
SPACES = ('joint_position', 'joint_delta', 'eef_pose', 'eef_delta')


def wandering(robot: str, frames: int = 12, seed: int = 0) -> Episode:
    """A smooth random motion of large turns, its commands at 60 Hz, some out of step."""
    embodiment = load_embodiment(robot)
    rng = np.random.default_rng(seed)
    times = 50.0 + np.arange(round(frames * STEP_S * 60)) / 60 + rng.uniform(0.0, 0.004)
    phase = rng.uniform(0.0, 6.0, embodiment.axis_count)
    values = embodiment.home + 0.4 * np.sin(1.7 * times[:, None] + phase)
    stamps = 50.02 + STEP_S * np.arange(frames)
    columns = [np.interp(stamps, times, column) for column in values.T]
    openings = (np.sin(3.0 * times) > 0.0).astype(float)
    return Episode(
        robot=robot,
        task='reach',
        instruction='reach the red cube',
        seed=seed,
        success=True,
        metadata={},
        stamps=stamps,
        images={},
        positions=np.stack(columns, axis=-1) - 0.05,
        opening=np.full(frames, 0.5),
        commands=np.stack(columns, axis=-1),
        command_opening=np.zeros(frames),
        sources=np.array(['expert'] * frames),
        sent=SentCommands(times=times, values=values, openings=openings),
    )


def set_points(episode: Episode, times: np.ndarray) -> np.ndarray:
    sent = episode.sent
    return np.stack([np.interp(times, sent.times, c) for c in sent.values.T], axis=-1)


@pytest.mark.parametrize('robot', ['widowx', 'franka', 'airbot'])
@pytest.mark.parametrize('space', SPACES)
@pytest.mark.parametrize('seed', range(3))
def test_rows_lead_to_the_later_set_points(robot, space, seed):
    """Integrated as `ChunkPlan` does it: increments add up in the base frame, turns from left."""
    episode, embodiment = wandering(robot, seed=seed), load_embodiment(robot)
    rows = actions(episode, embodiment, space, HORIZON, STEP_S)
    chain = embodiment.chain
    assert rows.dtype == np.float64 and rows.shape == (
        len(episode),
        HORIZON,
        len(embodiment.action_names(space)),
    )
    for frame in range(len(episode)):
        due = episode.stamps[frame] + STEP_S * np.arange(1, HORIZON + 1)
        wanted = set_points(episode, due)
        start = episode.commands[frame]
        if space == 'joint_position':
            np.testing.assert_allclose(rows[frame, :, :-1], wanted, atol=1e-9)
        elif space == 'joint_delta':
            led = start + np.cumsum(rows[frame, :, :-1], axis=0)
            np.testing.assert_allclose(led, wanted, atol=1e-9)
        else:
            T = chain.forward(start)
            for row, joints in zip(rows[frame], wanted, strict=True):
                if space == 'eef_delta':
                    T[:3, 3] += row[:3]
                    T[:3, :3] = rotation_from_vector(row[3:6]) @ T[:3, :3]
                else:
                    T = pose_from_vector(row[:6])
                np.testing.assert_allclose(T, chain.forward(joints), atol=1e-7)


def test_the_controller_plans_through_the_set_points_again():
    """The deployed `ChunkPlan`, given the labels, asks for the very joints that were commanded."""
    chunk_plan = pytest.importorskip('univla_control.chunk_plan')
    from univla_control.config import ControlConfig
    from univla_core.action_chunk import ActionChunk

    embodiment = load_embodiment('franka')
    episode = wandering('franka')
    for space in ('joint_delta', 'eef_delta'):
        rows = actions(episode, embodiment, space, HORIZON, STEP_S)[2]
        chunk = ActionChunk(
            robot='franka',
            action_space=space,
            names=embodiment.action_names(space),
            data=rows,
            step_duration_s=STEP_S,
            stamp=episode.stamps[2],
        )
        plan = chunk_plan.ChunkPlan(
            chunk, embodiment, ControlConfig(), episode.commands[2], episode.stamps[2]
        )
        for index in range(HORIZON):
            time = episode.stamps[2] + (index + 1) * STEP_S
            wanted = set_points(episode, np.array(time))
            if space == 'joint_delta':
                asked = plan.motion.sample(time, wanted, np.full(7, 1.0))[0]
                np.testing.assert_allclose(asked, wanted, atol=1e-9)
            else:
                T = plan.motion.pose_motion(time)[0]
                np.testing.assert_allclose(T, embodiment.chain.forward(wanted), atol=1e-7)
            assert plan.opening(time - 1e-6) == rows[index, -1]


def test_after_the_end_nothing_moves_and_the_gripper_stays():
    episode, embodiment = wandering('widowx'), load_embodiment('widowx')
    delta = actions(episode, embodiment, 'eef_delta')
    assert np.abs(delta[-1, 1:, :6]).max() < 1e-12
    assert (delta[-1, :, 6] == episode.sent.openings[-1]).all()
    place = actions(episode, embodiment, 'joint_position')
    np.testing.assert_array_equal(place[-1, -1, :6], episode.sent.values[-1])


def test_frames_alone_are_enough_where_the_commands_are_lost():
    """A data set without the full commands gives the same labels at the frames' own step."""
    episode, embodiment = wandering('widowx'), load_embodiment('widowx')
    import dataclasses

    bare = dataclasses.replace(episode, sent=None)
    full = actions(episode, embodiment, 'eef_delta')[:-HORIZON, :, :6]
    np.testing.assert_allclose(
        actions(bare, embodiment, 'eef_delta')[:-HORIZON, :, :6], full, atol=1e-9
    )


def test_labels_follow_the_commands_and_not_the_measured_joints():
    """The arm is 0.05 rad behind all the time; increments must not contain that."""
    episode, embodiment = wandering('widowx'), load_embodiment('widowx')
    rows = actions(episode, embodiment, 'joint_position', HORIZON, STEP_S)
    np.testing.assert_allclose(rows[0, 0, :6], episode.commands[1], atol=1e-9)


def test_a_base_gets_the_mean_of_each_step():
    """1 m/s for 0.3 s: 1 in the first row, half in the second, nothing after the end."""
    embodiment = load_embodiment('mobile_base')
    times = 10.0 + 0.1 * np.arange(4)
    episode = Episode(
        robot='mobile_base',
        task='drive',
        instruction='drive to the red pillar',
        seed=0,
        success=True,
        metadata={},
        stamps=10.0 + 0.2 * np.arange(2),
        images={},
        positions=np.zeros((2, 2)),
        opening=np.full(2, np.nan),
        commands=np.zeros((2, 2)),
        command_opening=np.full(2, np.nan),
        sources=np.array(['expert', 'expert']),
        sent=SentCommands(
            times=times,
            values=np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [0.0, 0.0]]),
            openings=np.full(4, np.nan),
        ),
    )
    rows = actions(episode, embodiment, 'base_twist')
    np.testing.assert_allclose(rows[0, :, 0], [1.0, 0.5, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(rows[0, :, 1], [2.0, 1.0, 0.0, 0.0], atol=1e-9)
    assert proprioception(episode).shape == (2, 2)


def test_proprioception_is_axes_and_opening():
    episode = wandering('widowx')
    told = proprioception(episode)
    np.testing.assert_array_equal(told[:, :6], episode.positions)
    np.testing.assert_array_equal(told[:, 6], episode.opening)


@pytest.mark.parametrize('source', ['kick', 'detour'])
def test_windows_with_a_kick_are_not_clean(source):
    """A kick in frame 6 spoils the chunks of frames 3 to 6, whose rows reach into it."""
    import dataclasses

    episode = wandering('widowx')
    sources = episode.sources.astype('U8')
    sources[6] = source
    kicked = dataclasses.replace(episode, sources=sources)
    assert np.flatnonzero(~clean(kicked)).tolist() == [3, 4, 5, 6]
    assert clean(episode).all()
    stale = np.ones(12, dtype=bool)
    stale[1] = False
    assert np.flatnonzero(~clean(dataclasses.replace(episode, fresh=stale))).tolist() == [1]


def test_only_whole_windows_are_valid():
    """Commands end after 2.4 s, frames begin every 0.2 s and need 0.8 s."""
    assert np.flatnonzero(valid(wandering('widowx'))).tolist() == list(range(9))


def test_wrong_robot_and_wrong_space_are_refused():
    episode = wandering('widowx')
    with pytest.raises(DataError, match="of 'widowx'"):
        actions(episode, load_embodiment('franka'), 'eef_delta')
    with pytest.raises(ConfigError, match='base_twist'):
        actions(episode, load_embodiment('widowx'), 'base_twist')
