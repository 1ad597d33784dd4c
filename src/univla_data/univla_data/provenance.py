"""Where an episode comes from: enough to know what was recorded, by what, and to do it again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from univla_core.embodiment import Embodiment
from univla_core.errors import DataError
from univla_core.paths import repository_root

#: Layout of the episodes that this code writes.
SCHEMA = 1
_PACKAGES = ('numpy', 'torch', 'mujoco', 'ruckig', 'rosbags', 'opencv-python-headless')


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What is known about an episode beside its messages.

    Attributes:
        robot: Name of the embodiment.
        task: Name of the task; empty if it has none.
        instruction: The task in words.
        namespace: The robot's namespace, with leading slash.
        seed: Seed of the scene, None for a real one.
        success: Whether the task was done, None if nobody judged.
        driver: Who was meant to drive: `expert`, `teleop`, or the name of a checkpoint.
        sources: Who really did, most of the time first.
        cameras: Name of each recorded camera and its pictures per second [Hz].
        git_revision: Of the code that recorded; `+` says that files were changed.
        hashes: SHA-256 of robot YAML, checkpoint, decoder, norm stats, safety limits.
        versions: Of Python and of packages.
        details: Anything else, such as the random variation of a scene.
        schema: Layout of the episode.
    """

    robot: str
    task: str = ''
    instruction: str = ''
    namespace: str = ''
    seed: int | None = None
    success: bool | None = None
    driver: str = ''
    sources: tuple[str, ...] = ()
    cameras: Mapping[str, float] = field(default_factory=dict)
    git_revision: str = ''
    hashes: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    def to_strings(self) -> dict[str, str]:
        """The custom data of a bag: text as it is, everything else as JSON."""
        return {
            f'univla_{name}': value if isinstance(value, str) else json.dumps(value)
            for name, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_strings(cls, custom: Mapping[str, str], where: str) -> Provenance:
        """What `to_strings` wrote; keys of others are left alone.

        Raises:
            DataError: If it is missing, damaged or of a later layout.
        """
        if 'univla_robot' not in custom:
            raise DataError(
                f'{where}: says nothing about the robot; it was not recorded by univla, or its '
                'metadata.yaml was written anew. Record it with `./univla collect` or the recorder'
            )
        values: dict[str, Any] = {}
        for known in dataclasses.fields(cls):
            text = custom.get(f'univla_{known.name}')
            if text is None:
                continue
            try:
                values[known.name] = text if known.type == 'str' else json.loads(text)
            except ValueError as error:
                raise DataError(
                    f'{where}: univla_{known.name} is {text!r}, which is no JSON'
                ) from error
        made = cls(**{**values, 'sources': tuple(values.get('sources', ()))})
        if made.schema > SCHEMA:
            raise DataError(
                f'{where}: has layout {made.schema}, this version reads up to {SCHEMA}; update'
            )
        return made


def software() -> dict[str, Any]:
    """The fields of `Provenance` about the code that is running: `git_revision`, `versions`."""
    return {'git_revision': git_revision(), 'versions': versions()}


@lru_cache(maxsize=1)
def git_revision() -> str:
    """Revision of the source checkout, with `+` if tracked files were changed; empty without."""
    root = repository_root()
    if root is None:
        return ''
    words = ('describe', '--always', '--exclude=*', '--abbrev=40', '--dirty=+')
    command = ['git', '--no-optional-locks', '-C', str(root), *words]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10.0)
    except (OSError, subprocess.SubprocessError):
        return ''
    return said.stdout.strip() if said.returncode == 0 else ''


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter, where they are installed."""
    found = {'python': platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def hash_of(value: Any) -> str:
    """SHA-256 of anything that JSON can hold, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def hash_of_robot(embodiment: Embodiment) -> str:
    """SHA-256 of what a robot's YAML says; comments do not count."""
    return hash_of(embodiment.document)


def hash_of_path(path: Path) -> str:
    """SHA-256 of a file, or of all files of a folder with their names."""
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob('*') if p.is_file()) if path.is_dir() else [path]
    for file in files:
        digest.update(file.relative_to(path).as_posix().encode() if path.is_dir() else b'')
        with file.open('rb') as stream:
            while block := stream.read(2**20):
                digest.update(block)
    return digest.hexdigest()
