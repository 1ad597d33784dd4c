"""A small episode whose every number is known: an arm moves, its gripper closes, it is kicked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_data.episode_writer import EpisodeWriter
from univla_data.provenance import Provenance


class Script:
    """What happens in the episode, as functions of its number of frames and seconds."""

    begin_s = 1000.0
    frames = 10
    period_s = 0.2

    @staticmethod
    def picture(number: int) -> np.ndarray:
        """A picture that no other number has, smooth enough for JPEG."""
        rows, columns = np.mgrid[0:480, 0:640]
        red = (rows / 2 + 7 * number) % 250
        layers = [red, columns / 3, np.full_like(red, 20 * number)]
        return np.stack(layers, axis=-1).astype(np.uint8)

    @staticmethod
    def set_point(seconds: float) -> np.ndarray:
        """Commanded joints [rad]: straight lines, so that interpolation is exact."""
        rates = np.array([0.2, 0.1, -0.1, 0.05, 0.1, -0.3])
        return np.array([0.1, -0.9, 1.1, 0.0, 0.6, 0.0]) + seconds * rates

    def play(self, writer: EpisodeWriter, camera_hz: float = 5.0) -> None:
        """Two seconds of a WidowX in the order of time: chunk number 4 is a kick."""
        writer.instruction(self.begin_s, 'reach the red cube')
        seconds = self.frames * self.period_s
        last_picture = seconds - self.period_s
        events: list[tuple[float, int, Callable[[int, float], None]]] = []
        for rate_hz, stop, tell in (
            (100.0, seconds, self._state),
            (camera_hz, last_picture, self._picture),
            (60.0, seconds, self._command),
        ):
            count = round(stop * rate_hz) + 1
            events += [(i / rate_hz, i, partial(tell, writer)) for i in range(count)]
        for i in range(self.frames):
            events.append((self.period_s * i + 0.08, i, partial(self._chunk, writer)))
        for time, number, say in sorted(events, key=lambda event: event[0]):
            say(number, self.begin_s + time)

    def _state(self, writer: EpisodeWriter, number: int, stamp: float) -> None:
        lagging = self.set_point(number / 100 - 0.1)
        writer.joint_state(stamp, lagging, np.zeros(6), 0.75)

    def _picture(self, writer: EpisodeWriter, number: int, stamp: float) -> None:
        writer.picture(stamp, 'primary', self.picture(number % 12))

    def _command(self, writer: EpisodeWriter, number: int, stamp: float) -> None:
        opening = 1.0 if number <= 60 else 0.0  # closes after the command at 1.0 s
        writer.command(stamp, self.set_point(number / 60), np.zeros(6), opening)

    def _chunk(self, writer: EpisodeWriter, number: int, stamp: float) -> None:
        names = ('x', 'y', 'z', 'rx', 'ry', 'rz', 'gripper')
        chunk = ActionChunk(
            robot='widowx',
            action_space='eef_delta',
            names=names,
            data=np.zeros((4, 7)),
            step_duration_s=self.period_s,
            stamp=stamp - 0.08,
            sequence=number + 1,
            source='kick' if number == 4 else 'expert',
            decode_stop=stamp,
        )
        writer.chunk(chunk)
        fields = {'control_source': 'policy', 'robot': 'widowx', 'chunk_sequence': number + 1}
        writer.control_state(stamp, fields)


@pytest.fixture(scope='session')
def script() -> Script:
    return Script()


@pytest.fixture(scope='session')
def widowx() -> Embodiment:
    return load_embodiment('widowx')


@pytest.fixture
def provenance() -> Provenance:
    return Provenance(
        robot='widowx',
        task='reach',
        instruction='reach the red cube',
        seed=1_000_007,
        driver='expert',
        cameras={'primary': 5.0},
        hashes={'robot': 'abc'},
        details={'kicks': True},
    )


@pytest.fixture(scope='session')
def recorded(tmp_path_factory: pytest.TempPathFactory, widowx: Embodiment, script: Script) -> Path:
    """The folder of one whole episode; leave it as it is."""
    path = tmp_path_factory.mktemp('data') / 'reach' / 'first'
    known = Provenance(
        robot='widowx',
        task='reach',
        instruction='reach the red cube',
        seed=1_000_007,
        cameras={'primary': 5.0},
        hashes={'robot': 'abc'},
    )
    with EpisodeWriter(path, widowx, known) as writer:
        script.play(writer)
        return writer.close(True, ['expert', 'kick'])
