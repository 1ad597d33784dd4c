"""`univla launch`: the graph without `ros2 launch`."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from univla_core.errors import ConfigError

from univla_ros.checkpoints import ensure_checkpoint
from univla_ros.checkpoints import own_checkpoint
from univla_ros.graph import build_graph
from univla_ros.graph import build_together
from univla_ros.launch_arguments import LaunchArgument
from univla_ros.launch_arguments import launch_arguments
from univla_ros.launch_arguments import together_arguments
from univla_ros.supervisor import Supervisor

TOGETHER = 'together'


def run_launch(robot: str, words: Sequence[str]) -> int:
    """Run the graph until a node ends or the user interrupts; returns the exit status.

    Raises:
        ConfigError: If the robot, an argument or a value is unknown.
    """
    given = parse_arguments(words)
    nodes = build_together(given) if robot == TOGETHER else build_graph(robot, given)
    wanted = {name: given.get(name, _default(robot, name)) for name in ('checkpoint', 'policy')}
    ensure_checkpoint(own_checkpoint(wanted['checkpoint'], wanted['policy']))
    # Containers end us by SIGTERM, and a script's background jobs are deaf to SIGINT by default;
    # the nodes must end in order all the same.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with Supervisor(nodes) as supervisor:
        return supervisor.wait()


def parse_arguments(words: Sequence[str]) -> dict[str, str]:
    """`name:=value` words as a mapping.

    Raises:
        ConfigError: If a word has another form.
    """
    given = {}
    for word in words:
        name, separator, value = word.partition(':=')
        if not separator:
            raise ConfigError(f'{word!r} is not of the form name:=value; -s lists the arguments')
        given[name] = value
    return given


def show_arguments(robot: str) -> int:
    """Print the launch arguments of a robot."""
    table = Table(title=f'{robot}.launch.py', show_lines=False)
    for heading in ('argument', 'default', 'meaning'):
        table.add_column(heading)
    for argument in _arguments(robot):
        choices = f' ({", ".join(argument.choices)})' if argument.choices else ''
        table.add_row(argument.name, argument.default or "''", argument.description + choices)
    Console().print(table)
    return 0


def _arguments(robot: str) -> tuple[LaunchArgument, ...]:
    return together_arguments() if robot == TOGETHER else launch_arguments(robot)


def _default(robot: str, name: str) -> str:
    return next(a.default for a in _arguments(robot) if a.name == name)
