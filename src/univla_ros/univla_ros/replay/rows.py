"""One episode replayed: its row of the result, and its pictures."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from univla_core.embodiment import load_embodiment
from univla_core.errors import DataError
from univla_data.episode_reader import read_episode

from univla_ros.checkpoints import is_trained
from univla_ros.replay import pictures
from univla_ros.replay.comparison import AxisError
from univla_ros.replay.comparison import axis_errors
from univla_ros.replay.comparison import differences
from univla_ros.replay.motion import Motion
from univla_ros.replay.motion import alignment
from univla_ros.replay.motion import motion_of
from univla_ros.replay.open_loop import agreement
from univla_ros.replay.open_loop import run_open_loop
from univla_ros.replay.options import ReplayOptions
from univla_ros.replay.options import Weights
from univla_ros.replay.other_body import LatentReplay
from univla_ros.replay.recording import read_recording
from univla_ros.replay.redecoding import redecode

Row = dict[str, Any]


def open_loop_row(path: Path, options: ReplayOptions, weights: Weights) -> Row:
    """The policy on recorded observations.

    Raises:
        UnivlaError: If the episode or the weights cannot be used.
    """
    episode = read_episode(path)
    embodiment = load_embodiment(episode.robot)
    replayed = run_open_loop(episode, embodiment, weights.brain(episode.robot))
    compared = replayed.whole if replayed.whole.any() else np.ones(len(replayed.chunks), bool)
    parts = replayed.chunks, replayed.executed, replayed.still
    chunks, executed, still = (part[compared] for part in parts)
    space, names = replayed.action_space, replayed.names
    drove = episode.sources[replayed.frames][compared]
    gap = np.abs(differences(chunks, executed, space)).mean(axis=1)  # (frames, dim)
    row = {
        **_about('open_loop', path, episode.robot, episode.instruction),
        'checkpoint': str(weights.checkpoint),
        'trained': is_trained(weights.checkpoint),
        'decoder': str(weights.decoder_folder(embodiment)),
        'action_space': space,
        'frames': len(replayed.frames),
        'compared': int(compared.sum()),
        'weights_sha256': weights.digest(episode.robot),
        'chunks_sha256': replayed.digest,
        'errors': _errors(axis_errors(chunks, executed, still, space, names)),
        'sources': dict(Counter(drove.tolist())),
        'mae_by_source': {
            name: gap[drove == name].mean(axis=0).tolist() for name in np.unique(drove).tolist()
        },
    }
    try:
        known = agreement(episode, replayed, read_recording(path))
        row |= {'recorded_plans': known.plans, 'same_codes': known.same_codes}
        row['largest_difference'] = known.largest if np.isfinite(known.largest) else None
    except DataError:
        row['recorded_plans'] = 0  # demonstrations have none
    times = episode.stamps[replayed.frames] - episode.stamps[0]
    picture = pictures.write_chunks(
        options.out / f'{_name(path)}.png',
        f'{episode.robot} "{episode.instruction}": planned on recorded pictures, {path}',
        times,
        replayed.step_duration_s,
        space,
        names,
        (('executed', 'black', replayed.executed), ('planned', 'tab:blue', replayed.chunks)),
        (times, episode.sources[replayed.frames]),
    )
    return {**row, 'picture': str(picture), 'ok': True}


def redecode_row(path: Path, options: ReplayOptions, weights: Weights) -> Row:
    """Recorded latent actions with another decoder.

    Raises:
        UnivlaError: If there are none, or the decoder does not fit them.
    """
    recording = read_recording(path)
    embodiment, decoder = load_embodiment(recording.robot), weights.decoder(recording.robot)
    made = redecode(read_episode(path), recording, embodiment, decoder)
    space, names = made.action_space, made.names
    drawn = [('executed', 'black', made.executed), ('decoded anew', 'tab:blue', made.chunks)]
    row = {
        **_about('redecode', path, recording.robot, recording.instruction),
        'decoder': str(weights.decoder_folder(embodiment)),
        'action_space': space,
        'frames': len(made.chunks),
        'compared': int(made.has_recorded.sum()),
        'errors': _errors(axis_errors(made.chunks, made.executed, made.still, space, names)),
        'not_compared': made.why_not,
    }
    if made.recorded is not None:
        has = made.has_recorded
        chunks, recorded = made.chunks[has], made.recorded[has]
        executed, still = made.executed[has], made.still[has]
        row['against_recorded'] = _errors(axis_errors(chunks, recorded, still, space, names))
        row['recorded_errors'] = _errors(axis_errors(recorded, executed, still, space, names))
        drawn.insert(
            1, ('recorded', 'tab:orange', np.where(has[:, None, None], made.recorded, np.nan))
        )
    picture = pictures.write_chunks(
        options.out / f'{_name(path)}_redecoded.png',
        f'{recording.robot} "{recording.instruction}": recorded latent actions, {path}',
        made.stamps - made.stamps[0],
        made.step_duration_s,
        space,
        names,
        drawn,
    )
    return {**row, 'picture': str(picture), 'ok': True}


def body_row(path: Path, options: ReplayOptions, weights: Weights) -> Row:
    """Recorded latent actions on another body.

    Raises:
        UnivlaError: If there are none, the robot is unknown, or its decoder does not fit them.
    """
    recording = read_recording(path)
    embodiment = load_embodiment(options.robot)
    seed = options.seed if options.seed >= 0 else recording.seed or 0
    replayed = LatentReplay(
        recording,
        embodiment,
        weights.decoder(options.robot),
        weights.world(options.robot),
        seed=seed,
    ).run()
    episode = read_episode(path)
    own = motion_of(
        episode.stamps, episode.positions, episode.opening, load_embodiment(recording.robot)
    )
    frames = pictures.recorded_frames(episode, recording.latents[0].stamp)
    base = f'{_name(path)}_on_{options.robot}'
    names = (f'{recording.robot}, recorded', f'{options.robot}, simulated')
    title = f'"{recording.instruction}": latent actions of {recording.robot} on {options.robot}'
    motions = (own, replayed.motion)
    picture = pictures.write_bodies(
        options.out / f'{base}.png', title, names, frames, replayed, motions
    )
    video = options.out / f'{base}.mp4'
    pictures.write_side_by_side(video, frames, replayed)
    return {
        **_about('body', path, options.robot, recording.instruction),
        'recorded_on': recording.robot,
        'decoder': str(weights.decoder_folder(embodiment)),
        'seed': seed,
        'latent_actions': len(recording.latents),
        'chunks': replayed.chunks,
        'dropped': dict(replayed.dropped),
        'faults': dict(replayed.faults),
        'held_back': dict(replayed.held_back),
        'ticks': replayed.ticks,
        'motion': {'recorded': _motion(own), 'replayed': _motion(replayed.motion)},
        'alignment': alignment(own, replayed.motion),
        'picture': str(picture),
        'video': str(video),
        'ok': replayed.chunks == len(recording.latents) and not sum(replayed.dropped.values()),
    }


#: What makes the row of each mode.
MODES: dict[str, Callable[[Path, ReplayOptions, Weights], Row]] = {
    'open_loop': open_loop_row,
    'redecode': redecode_row,
    'body': body_row,
}


def _about(mode: str, path: Path, robot: str, instruction: str) -> Row:
    return {'mode': mode, 'episode': str(path), 'robot': robot, 'instruction': instruction}


def _name(path: Path) -> str:
    """Name for files: the last parts of an episode's path, which tell robot and task."""
    return '_'.join(path.resolve().parts[-3:])


def _errors(errors: list[AxisError]) -> list[Row]:
    return [dataclasses.asdict(error) for error in errors]


def _motion(motion: Motion) -> Row:
    return {
        'seconds': float(motion.times[-1]),
        'path_m': motion.path_m,
        'net_m': motion.net.tolist(),
        'turned_rad': motion.turned_rad,
        'closings': motion.closings,
    }
