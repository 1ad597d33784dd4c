"""Read recorded episodes on the clock of the policy."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_core.errors import DataError
from univla_core.errors import UnivlaError
from univla_core.robot_state import MAX_STATE_AGE_S

from univla_data import topics
from univla_data.bag import Bag
from univla_data.driving import Driving
from univla_data.episode import Episode
from univla_data.episode_writer import PART
from univla_data.pictures import decoded_compressed
from univla_data.pictures import decoded_image
from univla_data.provenance import Provenance
from univla_data.resampling import Frame
from univla_data.resampling import Resampler
from univla_data.states import States

#: Frames per second: the policy's clock [Hz].
RATE_HZ = 5.0


def find_episodes(paths: Path | str | Iterable[Path | str]) -> list[Path]:
    """Folders of recorded episodes at any depth, sorted; parts of interrupted ones are left out.

    Raises:
        DataError: If a path does not exist.
    """
    found: set[Path] = set()
    for path in [paths] if isinstance(paths, str | Path) else paths:
        root = Path(path)
        if not root.exists():
            raise DataError(f'{root}: there is no such file or folder')
        if root.is_file() or root.name.endswith(PART):
            found.add(root)
        for pattern in ('metadata.yaml', '*.mcap'):
            found |= {file.parent for file in root.rglob(pattern)}
    inside = [path for path in found if any(p.name.endswith(PART) for p in path.parents)]
    return sorted(found.difference(inside))


def read_episodes(
    paths: Path | str | Iterable[Path | str],
    rate_hz: float = RATE_HZ,
    on_error: Callable[[Path, UnivlaError], None] | None = None,
) -> Iterator[Episode]:
    """Read every episode at any depth below some folders, one at a time.

    Args:
        paths: Folders to search.
        rate_hz: Frames per second [Hz].
        on_error: Told of each episode that cannot be read, and why; the others are read all the
            same. None raises instead.

    Raises:
        DataError: If a path does not exist, or an episode cannot be read and nobody is told.
    """
    for path in find_episodes(paths):
        try:
            yield read_episode(path, rate_hz)
        except UnivlaError as error:
            if on_error is None:
                raise
            on_error(path, error)


def read_episode(path: str | Path, rate_hz: float = RATE_HZ) -> Episode:
    """Read one recorded episode.

    A frame holds the newest pictures at a tick of the policy's clock, judged by the rules of the
    live observation buffer; `Episode.fresh` says which ones it would have planned on.

    Args:
        path: Its folder, or the part that an interrupted recording left.
        rate_hz: Frames per second [Hz].

    Raises:
        DataError: If it is damaged, holds nothing, mixes robots, or lacks a topic; the message
            names the file and the topic.
    """
    with Bag(path) as bag:
        provenance = _provenance(bag)
        try:
            embodiment = load_embodiment(provenance.robot)
        except UnivlaError as error:
            raise DataError(f'{bag.path}: {error}') from error
        return _Recording(bag, provenance, embodiment, rate_hz).episode()


def read_provenance(path: str | Path) -> Provenance:
    """What is known about an episode, without reading its messages.

    Raises:
        DataError: If it is damaged or says nothing.
    """
    with Bag(path) as bag:
        return _provenance(bag)


def _provenance(bag: Bag) -> Provenance:
    """From the metadata, else from the message that every recording begins with."""
    custom = bag.custom
    if 'univla_robot' not in custom:
        names = [n for n in bag.kinds if n.rpartition('/')[2] == topics.PROVENANCE.name]
        for name, _, msg in bag.messages(names):
            try:
                custom = json.loads(msg.data)
            except ValueError as error:
                raise DataError(f'{bag.path}: {name} is no JSON ({error})') from error
            break
    return Provenance.from_strings(custom, str(bag.path))


class _Recording:
    """One pass through the messages of a bag."""

    def __init__(
        self, bag: Bag, provenance: Provenance, embodiment: Embodiment, rate_hz: float
    ) -> None:
        self._bag, self._provenance, self._embodiment = bag, provenance, embodiment
        self._space = '/' + (provenance.namespace or provenance.robot).strip('/')
        self._cameras = {
            camera: name
            for name in bag.kinds
            if (camera := topics.camera_of(self._relative(name))) is not None
        }
        known = embodiment.cameras
        unknown = [camera for camera in self._cameras if camera not in known]
        if unknown or not self._cameras:
            listed = ', '.join(self._cameras.values()) or f'{self._space}/camera/<name>/image_raw'
            raise DataError(
                f'{bag.path}: {listed} is missing or of no camera of {embodiment.name}, which '
                f'has {", ".join(known)}'
            )
        rates = {name: provenance.cameras.get(name, known[name].rate_hz) for name in self._cameras}
        self._resampler = Resampler(
            {name: dataclasses.replace(known[name], rate_hz=rates[name]) for name in rates},
            rate_hz,
        )
        self._states = States(embodiment)
        self._driving = Driving(embodiment)
        self._instructions: list[str] = []

    def episode(self) -> Episode:
        """Read everything.

        Raises:
            DataError: Naming file and topic of what is missing or wrong.
        """
        now = 0
        wanted = [name for name in self._bag.kinds if name.startswith(f'{self._space}/')]
        for name, time, msg in self._bag.messages(wanted):
            self._resampler.pass_time(time)
            now = time
            self._take(self._relative(name), name, time, msg)
        self._resampler.pass_time(now, inclusive=True)
        frames = self._frames()
        return self._assembled(frames)

    def _relative(self, name: str) -> str:
        return name.removeprefix(f'{self._space}/')

    def _take(self, relative: str, name: str, now: int, msg: Any) -> None:
        try:
            camera = topics.camera_of(relative)
            if camera is not None:
                self._take_picture(camera, now, msg)
            elif relative in (topics.JOINT_STATES.name, topics.ODOMETRY.name):
                self._states.hear(msg)
            elif relative == topics.INSTRUCTION.name:
                self._instructions.append(msg.data)
            else:
                self._driving.hear(relative, msg)
        except UnivlaError as error:
            raise DataError(f'{self._bag.path}: {name}: {error}') from error

    def _take_picture(self, camera: str, now: int, msg: Any) -> None:
        compressed = msg.__msgtype__ == 'sensor_msgs/msg/CompressedImage'
        try:
            picture = decoded_compressed(msg) if compressed else decoded_image(msg)
        except UnivlaError as error:
            self._resampler.refuse(camera, str(error), now)
            return
        stamp = msg.header.stamp.sec + 1e-9 * msg.header.stamp.nanosec
        self._resampler.add(camera, stamp, picture, now, bool(self._states))

    def _frames(self) -> list[Frame]:
        """The frames up to the last one with new pictures."""
        frames = self._resampler.frames
        while frames and frames[-1].fault is not None:
            frames.pop()
        if frames:
            return frames
        topic = f'{self._space}/{topics.JOINT_STATES.name}'
        if self._embodiment.kind == 'base':
            topic = f'{self._space}/{topics.ODOMETRY.name}'
        reason = f'no message of {topic}'
        if self._states:
            fault = self._resampler.fault
            listed = ', '.join(self._cameras.values())
            reason = f'{listed}: {fault.reason if fault else "no whole frame"}'
        raise DataError(f'{self._bag.path}: holds no frame to plan on; {reason}')

    def _assembled(self, frames: list[Frame]) -> Episode:
        bag, provenance, driving = self._bag, self._provenance, self._driving
        stamps = np.array([frame.stamp for frame in frames])
        positions, opening, near = self._states.at(stamps, MAX_STATE_AGE_S)
        fresh = np.array([frame.fault is None for frame in frames]) & near
        faults = Counter(frame.fault.name for frame in frames if frame.fault is not None)
        if not near.all():
            faults['stale_joint_state'] = int((~near).sum())
        if not driving.commands:
            name = f'{self._space}/{topics.COMMAND.name}'
            raise DataError(f'{bag.path}: {name} holds no command, so nothing can be learned')
        ends = np.append(stamps[1:], frames[-1].tick + 1.0 / self._resampler.rate_hz)
        commands, asked = driving.commands_at(stamps, ends, positions, opening)
        facts = {
            **dataclasses.asdict(provenance),
            'path': str(bag.path),
            'interrupted': bag.interrupted,
            'faults': dict(faults),
        }
        cameras = {camera: [frame.images[camera] for frame in frames] for camera in self._cameras}
        return Episode(
            robot=provenance.robot,
            task=provenance.task,
            instruction=self._instruction(),
            seed=provenance.seed,
            success=provenance.success,
            metadata=facts,
            stamps=stamps,
            images={camera: np.stack(pictures) for camera, pictures in cameras.items()},
            positions=positions,
            opening=opening,
            commands=commands,
            command_opening=asked,
            sources=driving.sources(stamps, ends),
            fresh=fresh,
            sent=driving.sent(),
        )

    def _instruction(self) -> str:
        told = list(dict.fromkeys(text for text in self._instructions if text.strip()))
        if len(told) > 1:
            name = f'{self._space}/{topics.INSTRUCTION.name}'
            raise DataError(
                f'{self._bag.path}: {name} tells {len(told)} tasks ({"; ".join(told[:3])}); '
                'an episode has one. Record one episode for each'
            )
        return told[0] if told else self._provenance.instruction
