"""Arguments of the launch files as pure data: names, defaults, and what a value must look like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError

_BOOLEAN = ('true', 'false')
_TOKENS = r'[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*'


@dataclass(frozen=True)
class Form:
    """What a free text value must look like: a regular expression, and the same in words."""

    pattern: str
    words: str


NAMESPACE = Form(
    rf'/?({_TOKENS}/?)?',
    'a ROS namespace, such as /lab/widowx (letters, digits and _, no part starts with a digit)',
)
TOPIC = Form(
    rf'(/?{_TOKENS})?',
    'a ROS topic, such as /camera/color/image_raw (letters, digits and _, none starts with a '
    'digit, no / at the end)',
)
TASK = Form(r'([A-Za-z0-9][A-Za-z0-9_.-]*)?', 'a name of letters, digits, _, - and .')
SEED = Form(r'\d{1,9}', 'a whole number from 0 to 999999999')
DEVICE = Form(r'auto|cpu|cuda(:\d+)?', 'auto, cpu, cuda or cuda:<n>')


@dataclass(frozen=True)
class LaunchArgument:
    """One argument of a launch file; every value is text, as in `name:=value`."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()
    form: Form | None = None

    def check(self, value: str) -> None:
        """Refuse a value that cannot be meant.

        Raises:
            ConfigError: If it is none of the choices or does not have the form.
        """
        if self.choices and value not in self.choices:
            raise ConfigError(
                f'{self.name}:={value} is not possible; choose one of {", ".join(self.choices)}'
            )
        if self.form is not None and not re.fullmatch(self.form.pattern, value):
            raise ConfigError(f'{self.name}:={value} is not possible; give {self.form.words}')


def launch_arguments(robot: str) -> tuple[LaunchArgument, ...]:
    """Arguments of the launch file of one robot, in the order they are shown.

    Raises:
        ConfigError: If the robot is unknown.
    """
    embodiment = load_embodiment(robot)
    return (
        LaunchArgument('namespace', f'/{robot}', 'Namespace of the robot', form=NAMESPACE),
        LaunchArgument('sim', 'false', 'Simulate the robot and its driver', _BOOLEAN),
        LaunchArgument('policy', 'univla', 'Policy, a file in config/policies'),
        LaunchArgument(
            'checkpoint',
            'auto',
            'Checkpoint folder, or name in checkpoints/; auto: the trained one of the policy, or '
            'else untrained',
        ),
        LaunchArgument('decoder', '', 'Decoder folder; empty: decoders/<robot> of the checkpoint'),
        LaunchArgument(
            'declaration', '', 'Declaration of a released head, a file in config/decoders'
        ),
        LaunchArgument('device', 'auto', f'Where the policy runs: {DEVICE.words}', form=DEVICE),
        LaunchArgument(
            'instruction', '', 'Task in words from the start; empty waits for the topic'
        ),
        LaunchArgument(
            'driver_namespace',
            '',
            f'Namespace of the robot driver; empty: {_driver_namespace(embodiment)}',
            form=NAMESPACE,
        ),
        *(_camera_argument(name) for name in embodiment.cameras),
        LaunchArgument('image_transport', 'raw', 'How the cameras publish', ('raw', 'compressed')),
        LaunchArgument(
            'use_sim_time', 'false', 'Follow /clock instead of the wall clock', _BOOLEAN
        ),
        LaunchArgument('params_file', '', 'YAML with parameters that override all others'),
        LaunchArgument(
            'log_level', 'info', 'Severity of the logs', ('debug', 'info', 'warn', 'error')
        ),
        LaunchArgument('autostart', 'true', 'Configure and activate the nodes at once', _BOOLEAN),
        LaunchArgument(
            'publish_tf',
            'auto',
            'Publish /tf of the body; auto: only in simulation, where no driver does',
            ('auto', *_BOOLEAN),
        ),
        LaunchArgument('rviz', 'false', 'Open RViz with config/rviz/univla.rviz', _BOOLEAN),
        LaunchArgument('monitor', 'true', 'Run monitor_node', _BOOLEAN),
        LaunchArgument('record', 'false', 'Run recorder_node, which records episodes', _BOOLEAN),
        LaunchArgument('record_to', 'data', 'Episodes lie in <record_to>/<robot>/<task>/<name>/'),
        LaunchArgument(
            'task', '', 'Name of the task of recorded episodes; empty: recorded', form=TASK
        ),
        LaunchArgument('seed', '0', 'Seed of the simulated scene', form=SEED),
        LaunchArgument(
            'posture',
            '',
            'Posture of the robot YAML in which a simulated arm begins; empty: ready under '
            'trained weights, else home',
        ),
    )


def together_arguments() -> tuple[LaunchArgument, ...]:
    """Arguments of `together.launch.py`: several robots that follow one policy."""
    own = ('namespace', 'driver_namespace', 'decoder', 'declaration')
    shared = [
        argument
        for argument in launch_arguments('widowx')
        if argument.name not in own and not argument.name.startswith('camera_')
    ]
    robots = LaunchArgument(
        'robots', 'widowx,franka', "Robots by comma; the first one's camera is looked through"
    )
    return (robots, *shared)


def resolve_arguments(
    declared: tuple[LaunchArgument, ...], given: Mapping[str, str]
) -> dict[str, str]:
    """All arguments with defaults filled in.

    Raises:
        ConfigError: If a name is unknown or a value is not possible.
    """
    known = {argument.name: argument for argument in declared}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ConfigError(
            f'unknown launch argument {", ".join(unknown)}; known are {", ".join(known)}'
        )
    values = {name: given.get(name, argument.default) for name, argument in known.items()}
    for name, argument in known.items():
        argument.check(values[name])
    if values['sim'] == 'true' and values['image_transport'] != 'raw':
        raise ConfigError(
            f'image_transport:={values["image_transport"]} is not possible with sim:=true: '
            'the simulated cameras publish raw pictures only; leave it out'
        )
    return values


def _camera_argument(name: str) -> LaunchArgument:
    return LaunchArgument(
        f'camera_{name}_topic',
        '',
        f'Image topic of camera {name}; empty: camera/{name}/image_raw in the namespace',
        form=TOPIC,
    )


def _driver_namespace(embodiment: Embodiment) -> str:
    return str(embodiment.driver.get('namespace', '')) or '/'
