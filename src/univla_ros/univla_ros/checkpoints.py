"""Make sure that a checkpoint asked for by name is there."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import shutil
from pathlib import Path

from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError
from univla_core.parameters import read_yaml
from univla_core.paths import checkpoint_folders
from univla_core.paths import checkpoint_path
from univla_core.paths import config_directory

#: Name of the small random checkpoint that stands in where no trained weights are.
UNTRAINED = 'untrained'
#: Stands for the trained checkpoint of the policy, or for the untrained one where none is there.
AUTO = 'auto'
#: Names of the trained checkpoints that come with the suite, by policy.
SHIPPED = {'univla': 'tiny', 'uniact': 'uniact-tiny', 'unified_vla': 'unified-tiny'}
#: Posture in which a simulated arm begins where the policy is trained: down above the table.
TRAINED_POSTURE = 'ready'
#: Policies that have one of their own, named `untrained-<policy>`.
_OTHERS = ('uniact', 'unified_vla')


def own_checkpoint(name: str, policy: str) -> str:
    """The name of a policy's checkpoint: `auto` and `untrained` are others for each policy."""
    if name == AUTO:
        shipped = SHIPPED.get(policy, '')
        there = any((root / shipped / 'config.json').is_file() for root in checkpoint_folders())
        name = shipped if shipped and there else UNTRAINED
    return f'{UNTRAINED}-{policy}' if name == UNTRAINED and policy in _OTHERS else name


def ensure_checkpoint(name: str) -> Path:
    """Folder of a checkpoint; an untrained one is made at first use, seeded, in seconds.

    Raises:
        ConfigError: If nothing of that name exists.
    """
    known = {own_checkpoint(UNTRAINED, policy): policy for policy in ('univla', *_OTHERS)}
    if name not in known:
        return checkpoint_path(name)
    folder = checkpoint_folders()[0]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / '.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        target = folder / name
        made_by = target / 'made_by.txt'
        if not made_by.is_file() or made_by.read_text() != _recipe():
            _write_untrained(target, known[name])
    return target


def is_trained(folder: Path) -> bool:
    """Whether the weights of a checkpoint folder were ever trained."""
    return bool(read_yaml(folder / 'config.json').get('trained', True))


def first_posture(name: str) -> str:
    """Posture in which a simulated arm begins under a checkpoint of this name or folder."""
    try:
        trained = not name.startswith(UNTRAINED) and is_trained(checkpoint_path(name))
    except ConfigError:  # nothing is there: the node that loads it says so
        trained = False
    return TRAINED_POSTURE if trained else 'home'


def _write_untrained(target: Path, policy: str) -> None:
    """Write it beside its place and move it there whole, so that a killed attempt leaves none."""
    unfinished = target.with_name(f'.{target.name}.part')
    shutil.rmtree(unfinished, ignore_errors=True)
    {'uniact': _write_uniact, 'unified_vla': _write_unified}.get(policy, _write_univla)(unfinished)
    (unfinished / 'made_by.txt').write_text(_recipe())
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)


def _write_univla(folder: Path) -> None:
    from univla_models.synthetic import write_checkpoint
    from univla_models.synthetic_decoders import spec_for

    write_checkpoint(folder, [spec_for(load_embodiment(name)) for name in robot_names()])


def _write_uniact(folder: Path) -> None:
    from univla_models.synthetic_decoders import spec_for
    from univla_models.uniact_synthetic import write_uniact_checkpoint
    from univla_models.uniact_synthetic import write_uniact_decoders

    write_uniact_checkpoint(folder)
    write_uniact_decoders(folder, [spec_for(load_embodiment(name)) for name in robot_names()])


def _write_unified(folder: Path) -> None:
    """For arms only: one tokenizer says chunks of equally many dimensions."""
    from univla_models.synthetic_decoders import spec_for
    from univla_models.unified_vla_synthetic import write_unified_checkpoint

    arms = [body for name in robot_names() if (body := load_embodiment(name)).kind == 'arm']
    specs = [spec_for(body, 'eef_delta') for body in arms]
    write_unified_checkpoint(folder, [spec for spec in specs if len(spec.names) == 7])


def _recipe() -> str:
    """Hash of all that decides the untrained weights: another recipe makes them anew."""
    package = importlib.util.find_spec('univla_models')
    folder = Path(package.submodule_search_locations[0])
    robots = sorted((config_directory() / 'robots').glob('*.yaml'))
    digest = hashlib.sha256()
    for path in (*sorted(folder.glob('*synthetic*.py')), *robots):
        digest.update(path.read_bytes())
    return digest.hexdigest()
