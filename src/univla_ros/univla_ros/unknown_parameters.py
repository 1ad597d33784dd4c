"""Misspelt parameters: ROS passes over a key that no node declares without a word."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import pkgutil
from typing import Any


def unknown_parameters(node: Any) -> list[str]:
    """One sentence for each parameter that was given to a node but that it does not have.

    Keys that another node of the suite has are passed over: a section `/**` speaks to all.

    Args:
        node: A node whose own parameters are declared.
    """
    given = [name for name in node._parameter_overrides if not node.has_parameter(name)]
    given = [name for name in given if not name.startswith('qos_overrides.')]
    if not given:
        return []
    elsewhere = _parameters_of_the_suite()
    own = sorted(node._parameters)
    sentences = []
    for name in given:
        if name not in elsewhere:
            near = difflib.get_close_matches(name, own, n=1, cutoff=0.5)
            hint = f'; did you mean {near[0]}?' if near else f'; it has {", ".join(own)}'
            sentences.append(
                f'parameter {name!r} is unknown to {node.get_name()} and changes nothing{hint}'
            )
    return sentences


def _parameters_of_the_suite() -> set[str]:
    """Names of the parameters of all nodes that can be imported here."""
    from univla_ros import nodes
    from univla_ros.suite_node import SuiteNode

    names: set[str] = set()
    for module in pkgutil.iter_modules(nodes.__path__):
        try:
            content = importlib.import_module(f'{nodes.__name__}.{module.name}')
        except ImportError:  # a computer that has only some of the packages
            continue
        for kind in vars(content).values():
            if isinstance(kind, type) and issubclass(kind, SuiteNode) and kind is not SuiteNode:
                names.update(field.name for field in dataclasses.fields(kind.config_type))
    return names
