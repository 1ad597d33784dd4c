"""The graph as pure data: which nodes run, with which parameters and names.

Launch files and the command line both build it from here, so they cannot drift apart. This
module imports neither rclpy nor launch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_core.parameters import read_yaml
from univla_core.paths import config_directory

from univla_ros.checkpoints import first_posture
from univla_ros.checkpoints import own_checkpoint
from univla_ros.graph_remappings import camera_remappings
from univla_ros.graph_remappings import state_remappings
from univla_ros.launch_arguments import launch_arguments
from univla_ros.launch_arguments import resolve_arguments
from univla_ros.launch_arguments import together_arguments

#: Pictures per second of a simulated robot that follows another one's plan.
FOLLOWER_CAMERA_HZ = 5.0

#: Real-time priority of a simulated driver, below the controller's.
SIM_PRIORITY = 10

#: Time that a node gets to end after an interrupt: a robot brakes, a plan under way ends [s].
PATIENCE_S = 8.0


@dataclass(frozen=True)
class NodeDescription:
    """One process of the graph.

    Attributes:
        package: ROS package that holds the executable.
        executable: Name of the executable, and of the node.
        namespace: Namespace with leading slash.
        parameters: ROS parameters.
        parameter_files: YAML files read before `parameters`; later ones win.
        override_files: YAML files read after `parameters`: the user's own.
        remappings: Pairs (from, to).
        arguments: Extra command-line words (rviz).
        log_level: Severity of its log.
        lifecycle: Whether it is a lifecycle node of this suite.
    """

    package: str
    executable: str
    namespace: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    parameter_files: tuple[str, ...] = ()
    override_files: tuple[str, ...] = ()
    remappings: tuple[tuple[str, str], ...] = ()
    arguments: tuple[str, ...] = ()
    log_level: str = 'info'
    lifecycle: bool = True

    @property
    def name(self) -> str:
        """Full name of the node."""
        return f'{self.namespace.rstrip("/")}/{self.executable}'

    @property
    def log_rule(self) -> str:
        """Value of `--log-level`: this node's own logger, not the middleware's."""
        return f'{self.name.strip("/").replace("/", ".")}:={self.log_level}'


def build_graph(robot: str, given: Mapping[str, str]) -> tuple[NodeDescription, ...]:
    """The nodes of one robot.

    Args:
        robot: Name of the robot.
        given: Launch arguments that differ from their defaults.

    Raises:
        ConfigError: If the robot, an argument or a value is unknown.
    """
    values = _with_checkpoint(resolve_arguments(launch_arguments(robot), given))
    nodes = _robot_nodes(robot, values)
    names = [node.executable for node in nodes]
    nodes.insert(names.index('decoder_node'), _policy_node(robot, values))
    return tuple(nodes)


def build_together(given: Mapping[str, str]) -> tuple[NodeDescription, ...]:
    """The nodes of several robots under one policy: one latent action, several decoders.

    Raises:
        ConfigError: If a robot, an argument or a value is unknown.
    """
    values = _with_checkpoint(resolve_arguments(together_arguments(), given))
    robots = [name.strip() for name in values.pop('robots').split(',') if name.strip()]
    if len(set(robots)) != len(robots) or not robots:
        raise ConfigError(f'robots:={",".join(robots)} must name different robots by comma')
    leader = robots[0]
    nodes: list[NodeDescription] = []
    for robot in robots:
        own = resolve_arguments(launch_arguments(robot), values)
        if robot == leader:
            nodes.append(_policy_node(robot, own))
        nodes += _robot_nodes(robot, own, leader_namespace=f'/{leader}')
    return tuple(nodes)


def _with_checkpoint(values: dict[str, str]) -> dict[str, str]:
    """The same with the policy's own checkpoint, where none was named, and its first posture."""
    name = own_checkpoint(values['checkpoint'], values['policy'])
    return {**values, 'checkpoint': name, 'posture': values['posture'] or first_posture(name)}


def _robot_nodes(
    robot: str, values: Mapping[str, str], leader_namespace: str = ''
) -> list[NodeDescription]:
    """Everything but the policy. Followers hear what the leader's policy says and is told."""
    embodiment = load_embodiment(robot)
    common = _common(values)
    namespace = _namespace(values)
    remappings = list(state_remappings(embodiment, values))
    follows = leader_namespace not in ('', namespace)
    if follows:
        shared = ('latent_action', 'instruction', 'policy/heartbeat', 'teleop/latent_code')
        remappings += [(name, f'{leader_namespace}/{name}') for name in shared]
    cameras = camera_remappings(embodiment, values)
    simulated = values['sim'] == 'true'

    def node(executable: str, parameters: Mapping[str, Any], *extra: tuple[str, str]) -> Any:
        return NodeDescription(
            'univla_ros',
            executable,
            namespace,
            parameters={'robot': robot, **common, **parameters},
            override_files=_override_files(values),
            remappings=(*remappings, *extra),
            log_level=values['log_level'],
        )

    nodes = [
        node(
            'decoder_node',
            {
                'checkpoint': values['checkpoint'],
                'decoder': values['decoder'],
                'declaration': values['declaration'],
                'allow_untrained': simulated,
            },
        ),
        node(
            'controller_node',
            {
                'driver_namespace': values['driver_namespace'],
                'control_rate_hz': embodiment.control_rate_hz,
            },
        ),
    ]
    if values['monitor'] == 'true':
        publish_tf = (
            simulated if values['publish_tf'] == 'auto' else values['publish_tf'] == 'true'
        )
        parameters = {
            'simulated_camera': simulated,
            'publish_tf': publish_tf,
            'image_transport': values['image_transport'],
        }
        nodes.append(node('monitor_node', parameters, *cameras))
    if values['record'] == 'true':
        slow = FOLLOWER_CAMERA_HZ if follows and simulated else 0.0
        record = {**_recorder(values), 'camera_rate_hz': slow}
        nodes.append(node('recorder_node', record, *cameras))
    if simulated:
        world = {
            'driver_namespace': values['driver_namespace'],
            'seed': int(values['seed']),
            'posture': values['posture'],
            'instruction': values['instruction'],
            # Nobody plans on a follower's camera; people watch it.
            'camera_rate_hz': FOLLOWER_CAMERA_HZ if follows else 0.0,
            # A driver alone keeps its time; several together would leave the policy no core.
            'realtime_priority': 0 if leader_namespace else SIM_PRIORITY,
            # Two clocks would throw time to and fro; followers live in the leader's time.
            'publish_clock': values['use_sim_time'] == 'true' and not follows,
        }
        nodes.insert(0, node('sim_node', world, *cameras))
    if values['rviz'] == 'true':
        nodes.append(_rviz(embodiment, namespace, values))
    return nodes


def _recorder(values: Mapping[str, str]) -> dict[str, Any]:
    """Parameters of the recorder: where to, and what the episodes are said to be."""
    same = ('checkpoint', 'decoder', 'declaration', 'instruction', 'driver_namespace')
    return {
        **{name: values[name] for name in same},
        'image_transport': values['image_transport'],
        'folder': values['record_to'],
        'task': values['task'],
        'simulated': values['sim'] == 'true',
    }


def _policy_node(robot: str, values: Mapping[str, str]) -> NodeDescription:
    embodiment = load_embodiment(robot)
    policy_file = config_directory() / 'policies' / f'{values["policy"]}.yaml'
    if not policy_file.is_file():
        known = sorted(path.stem for path in policy_file.parent.glob('*.yaml'))
        raise ConfigError(f'unknown policy {values["policy"]!r}; known are {", ".join(known)}')
    parameters = {
        'robot': robot,
        'policy': values['policy'],
        'checkpoint': values['checkpoint'],
        'device': values['device'],
        'instruction': values['instruction'],
        'image_transport': values['image_transport'],
        'allow_untrained': values['sim'] == 'true',
        **_common(values),
    }
    return NodeDescription(
        'univla_ros',
        'policy_node',
        _namespace(values),
        parameters=parameters,
        parameter_files=(str(policy_file),),
        override_files=_override_files(values),
        remappings=camera_remappings(embodiment, values),
        log_level=values['log_level'],
    )


def _rviz(embodiment: Embodiment, namespace: str, values: Mapping[str, str]) -> NodeDescription:
    """RViz in the robot's namespace, looking from its base frame."""
    return NodeDescription(
        'rviz2',
        'rviz2',
        namespace,
        parameters={'use_sim_time': values['use_sim_time'] == 'true'},
        arguments=(
            '-d',
            str(config_directory() / 'rviz' / 'univla.rviz'),
            '-f',
            embodiment.frame_prefix + embodiment.base_frame,
        ),
        log_level=values['log_level'],
        lifecycle=False,
    )


def _common(values: Mapping[str, str]) -> dict[str, Any]:
    return {
        'use_sim_time': values['use_sim_time'] == 'true',
        'autostart': values['autostart'] == 'true',
    }


def _namespace(values: Mapping[str, str]) -> str:
    return '/' + values['namespace'].strip('/')


def _override_files(values: Mapping[str, str]) -> tuple[str, ...]:
    if not values['params_file']:
        return ()
    path = Path(values['params_file']).expanduser()
    if not path.is_file():
        raise ConfigError(f'params_file:={path} does not exist; give the path of a YAML file')
    if not _holds_parameters(read_yaml(path)):
        raise ConfigError(
            f'{path}: must name nodes at the top and `ros__parameters:` below each of them; '
            'write `/**:` for all nodes'
        )
    return (str(path),)


def _holds_parameters(document: Any) -> bool:
    """Whether every branch of a parameter file leads to `ros__parameters`."""
    if not isinstance(document, dict) or not document:
        return False
    return all(
        isinstance(value, dict) if key == 'ros__parameters' else _holds_parameters(value)
        for key, value in document.items()
    )
