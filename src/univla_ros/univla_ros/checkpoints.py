"""Make sure that a checkpoint asked for by name is there."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import shutil
from pathlib import Path

from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.parameters import read_yaml
from univla_core.paths import checkpoint_folders
from univla_core.paths import checkpoint_path
from univla_core.paths import config_directory

#: Name of the small random checkpoint that stands in until trained weights exist.
UNTRAINED = 'untrained'


def ensure_checkpoint(name: str) -> Path:
    """Folder of a checkpoint; the untrained one is made at first use, seeded, in seconds.

    Raises:
        ConfigError: If nothing of that name exists.
    """
    if name != UNTRAINED:
        return checkpoint_path(name)
    folder = checkpoint_folders()[0]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / '.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        target = folder / UNTRAINED
        made_by = target / 'made_by.txt'
        if not made_by.is_file() or made_by.read_text() != _recipe():
            _write_untrained(target)
    return target


def is_trained(folder: Path) -> bool:
    """Whether the weights of a checkpoint folder were ever trained."""
    return bool(read_yaml(folder / 'config.json').get('trained', True))


def _write_untrained(target: Path) -> None:
    """Write it beside its place and move it there whole, so that a killed attempt leaves none."""
    from univla_models.synthetic import write_checkpoint
    from univla_models.synthetic_decoders import spec_for

    unfinished = target.with_name(f'.{target.name}.part')
    shutil.rmtree(unfinished, ignore_errors=True)
    write_checkpoint(unfinished, [spec_for(load_embodiment(name)) for name in robot_names()])
    (unfinished / 'made_by.txt').write_text(_recipe())
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)


def _recipe() -> str:
    """Hash of all that decides the untrained weights: another recipe makes them anew."""
    package = importlib.util.find_spec('univla_models')
    folder = Path(package.submodule_search_locations[0])
    robots = sorted((config_directory() / 'robots').glob('*.yaml'))
    digest = hashlib.sha256()
    for path in (*sorted(folder.glob('synthetic*.py')), *robots):
        digest.update(path.read_bytes())
    return digest.hexdigest()
