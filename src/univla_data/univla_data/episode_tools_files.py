"""Move recorded episodes about without losing any."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from univla_core.errors import DataError
from univla_core.errors import UnivlaError

from univla_data.episode_reader import find_episodes
from univla_data.episode_reader import read_provenance
from univla_data.episode_writer import PART

#: Where dropped episodes go, as long as nobody says otherwise.
TRASH = Path('out/trash')


def drop(episodes: Sequence[Path], trash: Path = TRASH) -> list[tuple[Path, Path]]:
    """Move episodes into a trash folder, under the path that they had.

    Args:
        episodes: Folders, each one episode.
        trash: Where they go; must not be among the data, or it would be read again.

    Returns:
        Where each one was and where it is.

    Raises:
        DataError: If a folder is no single episode, or the trash lies in a folder of data.
    """
    for path in episodes:
        if find_episodes(path) != [path]:
            raise DataError(f'{path}: is not one episode; name the folders of single episodes')
        if path.resolve() in trash.resolve().parents:
            raise DataError(f'{trash}: lies in {path}; choose another --trash')
    moved = []
    for path in episodes:
        full = path.resolve()
        here = Path.cwd().resolve()
        known = full.relative_to(here) if full.is_relative_to(here) else Path(*full.parts[1:])
        target = _free(trash / known)
        _move(path, target)
        moved.append((path, target))
    return moved


@dataclass(kw_only=True)
class MergeReport:
    """What a merge did.

    Attributes:
        made: Copies that were made.
        there: Episodes that were there already.
        problems: Episodes that cannot be read, and why.
    """

    made: list[Path] = field(default_factory=list)
    there: list[Path] = field(default_factory=list)
    problems: list[tuple[Path, str]] = field(default_factory=list)


def merge(paths: Sequence[Path], out: Path) -> MergeReport:
    """Copy episodes of several folders into `out/<robot>/<task>/<name>`.

    An episode that is there already is not copied again; another one of the same name gets a
    number. A copy appears only when it is whole, so the same call goes on after an interruption.

    Raises:
        DataError: If a path does not exist, or a copy cannot be written.
    """
    report = MergeReport()
    for path in find_episodes(paths):
        try:
            provenance = read_provenance(path)
        except UnivlaError as error:
            report.problems.append((path, str(error)))
            continue
        target = out / provenance.robot / (provenance.task or 'task') / path.name
        if any(_same(path, other) for other in target.parent.glob(f'{path.name}*')):
            report.there.append(path)
            continue
        target = _free(target)
        _copy(path, target)
        report.made.append(target)
    return report


def _copy(source: Path, target: Path) -> None:
    part = target.with_name(target.name + PART)
    try:
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(source, part)
        part.rename(target)
    except (OSError, shutil.Error) as error:
        raise DataError(f'{target} cannot be written: {error}') from error


def _same(first: Path, second: Path) -> bool:
    """Whether two folders hold the same files."""
    if second.name.endswith(PART) or not second.is_dir():
        return False
    names = sorted(p.name for p in first.iterdir())
    if names != sorted(p.name for p in second.iterdir()):
        return False
    return all(filecmp.cmp(first / name, second / name, shallow=False) for name in names)


def _free(path: Path) -> Path:
    """The path, or the same with a number behind it that nothing has."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f'{path.name}-{number}')
    return free


def _move(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
    except OSError as error:
        raise DataError(f'{source} cannot be moved to {target}: {error}') from error
