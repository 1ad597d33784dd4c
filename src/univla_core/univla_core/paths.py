"""Where the configuration, launch files and checkpoints of the suite lie."""

from __future__ import annotations

import os
from pathlib import Path

from univla_core.errors import ConfigError


def repository_root() -> Path | None:
    """The source checkout this module runs from, or None when it is installed by copy."""
    for parent in Path(__file__).resolve().parents:
        if (parent / 'config' / 'robots').is_dir() and (parent / 'src').is_dir():
            return parent
    return None


def config_directory() -> Path:
    """The folder with `robots/`, `policies/` and `decoders/`.

    Looks at `UNIVLA_CONFIG`, the source checkout, then the installed share folders.

    Raises:
        ConfigError: If none of them exists.
    """
    candidates = [Path(os.environ[name]) for name in ('UNIVLA_CONFIG',) if os.environ.get(name)]
    root = repository_root()
    if root is not None:
        candidates.append(root / 'config')
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    candidates += [Path(prefix, 'share', 'univla_ros', 'config') for prefix in prefixes if prefix]
    for candidate in candidates:
        if (candidate / 'robots').is_dir():
            return candidate
    raise ConfigError(
        'no configuration folder found; source the workspace (install/local_setup.bash) '
        'or set UNIVLA_CONFIG to the folder that holds robots/'
    )


def checkpoint_folders() -> tuple[Path, ...]:
    """Folders whose entries are checkpoints by name, the first for writing.

    `UNIVLA_CHECKPOINTS`, then `checkpoints/` of the source checkout, then the user's cache.
    """
    folders = (
        [Path(os.environ['UNIVLA_CHECKPOINTS'])] if 'UNIVLA_CHECKPOINTS' in os.environ else []
    )
    root = repository_root()
    if root is not None:
        folders.append(root / 'checkpoints')
    return (*folders, Path('~/.cache/univla/checkpoints').expanduser())


def checkpoint_path(name: str) -> Path:
    """Resolve a checkpoint by path, or by name in the checkpoint folders.

    Raises:
        ConfigError: If nothing of that name exists; known names are listed.
    """
    path = Path(name).expanduser()
    if path.exists():
        return path.resolve()
    folders = checkpoint_folders()
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    known = sorted(
        {c.name for folder in folders if folder.is_dir() for c in folder.iterdir() if c.is_dir()}
    )
    raise ConfigError(
        f'no checkpoint {name!r}: it is neither a path nor one of {", ".join(known) or "(none)"}; '
        'give the folder that holds config.json and the weights'
    )
