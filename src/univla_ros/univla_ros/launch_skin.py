"""The graph description as actions of `launch`; needs ROS 2's launch and launch_ros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from launch import LaunchContext
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.actions import OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.actions import Node
from univla_ros.graph import LaunchArgument
from univla_ros.graph import NodeDescription
from univla_ros.graph import build_graph
from univla_ros.graph import build_together
from univla_ros.graph import launch_arguments
from univla_ros.graph import together_arguments


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
        return [_node(description) for description in build(given)]

    return LaunchDescription([*map(_argument, declared), OpaqueFunction(function=actions)])


def _argument(argument: LaunchArgument) -> DeclareLaunchArgument:
    return DeclareLaunchArgument(
        argument.name,
        default_value=argument.default,
        description=argument.description,
        choices=list(argument.choices) or None,
    )


def _node(description: NodeDescription) -> Any:
    kind = LifecycleNode if description.lifecycle else Node
    return kind(
        package=description.package,
        executable=description.executable,
        name=description.executable,
        namespace=description.namespace,
        parameters=[
            *description.parameter_files,
            dict(description.parameters),
            *description.override_files,
        ],
        remappings=list(description.remappings),
        arguments=[*description.arguments, '--ros-args', '--log-level', description.log_level],
        output='screen',
        emulate_tty=True,
    )
