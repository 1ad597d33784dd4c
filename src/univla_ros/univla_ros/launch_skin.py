"""The graph description as actions of `launch`; needs ROS 2's launch and launch_ros."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError
from ament_index_python.packages import get_package_prefix
from launch import LaunchContext
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.actions import LogInfo
from launch.actions import OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import Parameter
from univla_core.errors import ConfigError

from univla_ros.graph import PATIENCE_S
from univla_ros.graph import NodeDescription
from univla_ros.graph import build_graph
from univla_ros.graph import build_together
from univla_ros.launch_arguments import LaunchArgument
from univla_ros.launch_arguments import launch_arguments
from univla_ros.launch_arguments import together_arguments
from univla_ros.stale_memory import sweep_shared_memory
from univla_ros.with_parent import command_prefix


def robot_launch(robot: str) -> LaunchDescription:
    """Launch description of one robot."""
    return _launch(launch_arguments(robot), lambda given: build_graph(robot, given))


def together_launch() -> LaunchDescription:
    """Launch description of several robots under one policy."""
    return _launch(together_arguments(), build_together)


def _launch(
    declared: tuple[LaunchArgument, ...],
    build: Callable[[dict[str, str]], tuple[NodeDescription, ...]],
) -> LaunchDescription:
    def actions(context: LaunchContext) -> list[Any]:
        given = {a.name: LaunchConfiguration(a.name).perform(context) for a in declared}
        warnings = [LogInfo(msg=text) for text in misspelt(context.launch_configurations, given)]
        descriptions = build(given)
        sweep_shared_memory()  # of nodes that were killed before
        _check_installed(descriptions)
        return [*warnings, *(_node(context, description) for description in descriptions)]

    return LaunchDescription([*map(_argument, declared), OpaqueFunction(function=actions)])


def misspelt(configurations: dict[str, str], known: dict[str, str]) -> list[str]:
    """One sentence for each launch argument that `ros2 launch` passed over as unknown.

    Only near misses count: a launch file that includes ours has arguments of its own.
    """
    sentences = []
    for name in sorted(set(configurations) - set(known)):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        if near:
            sentences.append(
                f'WARNING: {name}:= is not an argument and changes nothing; '
                f'did you mean {near[0]}:=?'
            )
    return sentences


def _argument(argument: LaunchArgument) -> DeclareLaunchArgument:
    return DeclareLaunchArgument(
        argument.name,
        default_value=argument.default,
        description=argument.description,
        choices=list(argument.choices) or None,
    )


def _check_installed(descriptions: Iterable[NodeDescription]) -> None:
    """Refuse before anything starts: launch finds a gap midway and leaves the others running."""
    for package, executable in {(d.package, d.executable) for d in descriptions}:
        try:
            prefix = get_package_prefix(package)
        except PackageNotFoundError as error:
            raise ConfigError(
                f'{package} is not installed; install it and source its workspace, or leave out '
                'what needs it'
            ) from error
        if not Path(prefix, 'lib', package, executable).is_file():
            raise ConfigError(f'{prefix} has no {executable} of {package}; build it again')


def _prefix(context: LaunchContext, executable: str) -> str:
    """End the node with launch, even if that is killed, and keep `--launch-prefix` working."""
    prefix = context.launch_configurations.get('launch-prefix', '')
    chosen = context.launch_configurations.get('launch-prefix-filter', '')
    words = shlex.join(command_prefix())
    return f'{words} {prefix}' if re.match(chosen, executable) else words


def _node(context: LaunchContext, description: NodeDescription) -> Any:
    """One process.

    Parameters go one by one, not as a dictionary: launch would write that under the node's full
    name, which beats the `/**` of a later file, so that `params_file` could not override it.
    """
    kind = LifecycleNode if description.lifecycle else Node
    return kind(
        package=description.package,
        executable=description.executable,
        name=description.executable,
        namespace=description.namespace,
        exec_name=description.executable,
        parameters=[
            *description.parameter_files,
            *(
                Parameter(name, value, value_type=type(value))
                for name, value in description.parameters.items()
            ),
            *description.override_files,
        ],
        remappings=list(description.remappings),
        arguments=list(description.arguments),
        prefix=_prefix(context, description.executable),
        ros_arguments=['--log-level', description.log_rule],
        output='screen',
        emulate_tty=True,
        sigterm_timeout=str(PATIENCE_S),
    )
