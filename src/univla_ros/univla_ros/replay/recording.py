"""What an episode recorded beside its frames: latent actions, chunks, measured states."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import load_embodiment
from univla_core.errors import DataError
from univla_core.errors import UnivlaError
from univla_core.latent_action import LatentAction
from univla_core.robot_state import MAX_STATE_AGE_S
from univla_core.robot_state import RobotState
from univla_data.bag import Bag
from univla_data.episode_reader import read_provenance
from univla_data.states import States

from univla_data import topics
from univla_ros.conversions import action_chunk_from_msg
from univla_ros.conversions import latent_action_from_msg

#: Stamps within this are those of one observation [s].
SAME_S = 1e-3


@dataclass(frozen=True, kw_only=True)
class Recording:
    """The plans of one episode, in the order in which they were made.

    Attributes:
        path: The bag.
        robot: Name of the embodiment.
        instruction: The task in words, as the plans tell it.
        seed: Seed of the scene, None for a real one.
        latents: Latent actions, by stamp.
        chunks: The robot's own action chunk of each latent action, None where there is none.
        bodies: Measured state nearest to each stamp, None where none is near enough.
    """

    path: Path
    robot: str
    instruction: str
    seed: int | None
    latents: tuple[LatentAction, ...]
    chunks: tuple[ActionChunk | None, ...]
    bodies: tuple[RobotState | None, ...]


def read_recording(path: Path) -> Recording:
    """Read the latent actions of an episode and what belongs to them.

    Raises:
        DataError: If there are none (demonstrations have none), or the bag is damaged; names file
            and topic.
    """
    provenance = read_provenance(path)
    embodiment = load_embodiment(provenance.robot)
    space = '/' + (provenance.namespace or provenance.robot).strip('/')
    with Bag(path) as bag:
        planned = _latent_topic(bag.kinds, space)
        if planned is None or not bag.counts[planned]:
            raise DataError(
                f'{path}: {planned or f"{space}/{topics.LATENT_ACTION.name}"} holds no latent '
                'action: no policy planned in this episode. `--robot` and `--redecode` need one '
                'recorded while a policy ran; `./univla replay` without them works on any'
            )
        chunk_topic = f'{space}/{topics.ACTION_CHUNK.name}'
        body_topics = [f'{space}/{t.name}' for t in (topics.JOINT_STATES, topics.ODOMETRY)]
        latents: dict[float, LatentAction] = {}
        chunks: list[ActionChunk] = []
        states = States(embodiment)
        for name, _, msg in bag.messages([planned, chunk_topic, *body_topics]):
            try:
                if name == planned:
                    latent = _own(latent_action_from_msg(msg))
                    latents.setdefault(latent.stamp, latent)
                elif name == chunk_topic:
                    chunks.append(action_chunk_from_msg(msg))
                else:
                    states.hear(msg)
            except UnivlaError as error:
                raise DataError(f'{path}: {name}: {error}') from error
    stamps = sorted(latents)
    told = [latents[stamp].instruction for stamp in stamps if latents[stamp].instruction]
    return Recording(
        path=path,
        robot=provenance.robot,
        instruction=told[0] if told else provenance.instruction,
        seed=provenance.seed,
        latents=tuple(latents[stamp] for stamp in stamps),
        chunks=tuple(_belonging(chunks, stamp, provenance.robot) for stamp in stamps),
        bodies=_bodies(states, np.array(stamps)),
    )


def _own(latent: LatentAction) -> LatentAction:
    """With tensors of its own, which may be written to, unlike those in a file's bytes."""
    tensors = {'latent': latent.latent.copy(), 'visual': latent.visual.copy()}
    return dataclasses.replace(latent, **tensors)


def _latent_topic(kinds: Mapping[str, str], space: str) -> str | None:
    """The robot's own latent actions, else those of the only policy that it followed."""
    own = f'{space}/{topics.LATENT_ACTION.name}'
    every = [name for name in kinds if name.rpartition('/')[2] == topics.LATENT_ACTION.name]
    if own in every:
        return own
    return every[0] if len(every) == 1 else None


def _belonging(chunks: list[ActionChunk], stamp: float, robot: str) -> ActionChunk | None:
    near = [c for c in chunks if abs(c.stamp - stamp) < SAME_S and c.robot == robot]
    return near[0] if near else None


def _bodies(states: States, stamps: np.ndarray) -> tuple[RobotState | None, ...]:
    if not states:
        return (None,) * len(stamps)
    axes, openings, near = states.at(stamps, MAX_STATE_AGE_S)
    return tuple(
        RobotState(stamp, body, opening if np.isfinite(opening) else None) if known else None
        for stamp, body, opening, known in zip(stamps, axes, openings, near, strict=True)
    )
