"""A decoder that fails on purpose, so that there is something to correct."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from univla_core.errors import ConfigError
from univla_core.parameters import read_yaml

#: Axis that is led astray in each action space: sideways, or the turn of a base.
_ASTRAY = {
    'eef_pose': 'y',
    'eef_delta': 'y',
    'base_twist': 'angular_z',
}


def spoil_decoder(source: Path, target: Path, shift: float) -> str:
    """Copy a decoder and shift its norm stats, as if they were of another calibration.

    Every row of its chunks then asks for so much more along one axis: sideways for an arm, turning
    for a base, the first joint in joint spaces.

    Args:
        source: Folder of the decoder.
        target: Folder of the copy; replaced.
        shift: How much [m, rad or rad/s].

    Returns:
        Name of the axis.

    Raises:
        ConfigError: If the decoder has no norm stats to shift.
    """
    declared = read_yaml(source / 'decoder.yaml')
    names = list(declared['names'])
    axis = str(_ASTRAY.get(str(declared['action_space']), names[0]))
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    path = target / 'dataset_statistics.json'
    if declared.get('normalisation') != 'bounds_q99' or not path.is_file():
        raise ConfigError(
            f'{source}: normalisation is {declared.get("normalisation")!r}; only a decoder with '
            'bounds_q99 can be made to fail on purpose'
        )
    document = json.loads(path.read_text(encoding='utf-8'))
    for entry in document.values():
        for name in ('mean', 'min', 'max', 'q01', 'q99'):
            if name in entry['action']:
                entry['action'][name][names.index(axis)] += shift
    path.write_text(json.dumps(document, indent=1) + '\n', encoding='utf-8')
    return axis
