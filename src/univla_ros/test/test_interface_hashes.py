"""The drivers' messages on this machine are the ones that the drivers speak.

With a differing type hash endpoints may still match while messages are dropped silently, so the
hashes themselves are compared: of the subsets in `extra/`, or of the distribution's packages.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
EXPECTED = json.loads((ROOT / 'env' / 'interface_hashes.json').read_text())
OWN_ENVIRONMENT = Path(sys.prefix).resolve() == (ROOT / '.venv').resolve()


def share_directory(package: str) -> Path:
    """Share folder of an installed package; skips where its driver is not installed."""
    for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep):
        share = Path(prefix, 'share', package)
        if prefix and share.is_dir():
            return share
    if OWN_ENVIRONMENT:
        pytest.fail(f'{package} is not built; run ./univla setup')
    pytest.skip(f'{package} is not installed')


def installed_hashes(share: Path, kind: str) -> dict[str, str]:
    """Type name to RIHS01 hash of every type described in one folder of a package."""
    hashes = {}
    for path in (share / kind).glob('*.json'):
        for entry in json.loads(path.read_text())['type_hashes']:
            hashes[entry['type_name']] = entry['hash_string']
    return hashes


@pytest.mark.parametrize('type_name', sorted(EXPECTED))
def test_type_hash_is_the_drivers(type_name):
    package, kind, _ = type_name.split('/')
    share = share_directory(package)
    if os.environ.get('ROS_DISTRO') == 'humble':
        pytest.skip('Humble has no type hashes')
    assert installed_hashes(share, kind).get(type_name) == EXPECTED[type_name]['hash']
