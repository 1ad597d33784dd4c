"""What the YAML of a policy says, for those who measure it outside its node."""

from __future__ import annotations

from typing import Any

from univla_core.parameters import read_yaml
from univla_core.paths import config_directory


def policy_parameters(policy: str) -> dict[str, Any]:
    """Parameters of `policy_node` in `config/policies/<policy>.yaml`.

    Raises:
        ConfigError: If there is no such file.
    """
    path = config_directory() / 'policies' / f'{policy}.yaml'
    return dict(read_yaml(path)['/**']['ros__parameters'])
