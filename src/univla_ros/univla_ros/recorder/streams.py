"""What is recorded of one robot: which topics, how they are heard, what is expected of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage
from trajectory_msgs.msg import JointTrajectory
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError
from univla_data.topics import Topic

from univla_data import topics
from univla_msgs.msg import ActionChunk
from univla_msgs.msg import ControlState
from univla_msgs.msg import LatentAction
from univla_ros.command_recorder import command_tap
from univla_ros.drivers.driver import driver_topic
from univla_ros.recorder.audit import Need

#: Pictures are big and few, everything else is small and must not be lost while Python is busy.
_PICTURES, _MESSAGES = 15, 400
#: Measured states of drivers whose YAML tells no `driver.state_rate_hz` [Hz]; odometry often comes
#: at 30 Hz.
_STATE_HZ = 25.0
_TF = Topic('/tf', 'tf2_msgs/msg/TFMessage')
_TF_STATIC = Topic('/tf_static', 'tf2_msgs/msg/TFMessage', latched=True)
_DIAGNOSTICS = Topic('/diagnostics', 'diagnostic_msgs/msg/DiagnosticArray')


class Role(Enum):
    """What is done with a message beside writing it as it is."""

    PLAIN = 'plain'
    #: Made a JPEG, unless pictures are wanted raw.
    PICTURE = 'picture'
    #: Stamped with its arrival if the driver gives no stamp.
    STATE = 'state'
    #: Written as a joint state too.
    GRIPPER = 'gripper'
    #: Kept, and written when the episode's task is certain.
    INSTRUCTION = 'instruction'


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One topic.

    Attributes:
        source: Name to subscribe to, relative or absolute.
        message: Its type.
        topic: Where it is recorded.
        role: What is done with it.
        need: Whether an episode needs it.
        rate_hz: Least messages per second [Hz]; 0 for events.
        stamped: Whether it begins with a header whose stamp is when it was sent.
        standing: Whether its last message stays in force until the next one.
        shared: Whether several nodes publish on it.
        reliable: Whether to ask again for what is lost on the way.
        opening: Opening in [0, 1] that a gripper's message tells.
    """

    source: str
    message: type
    topic: Topic
    role: Role = Role.PLAIN
    need: Need = Need.NONE
    rate_hz: float = 0.0
    stamped: bool = False
    standing: bool = False
    shared: bool = False
    reliable: bool = True
    opening: Callable[[Any], float | None] | None = None

    @property
    def qos(self) -> QoSProfile:
        """How it is heard."""
        latched, reliable = self.topic.latched, self.reliable
        return QoSProfile(
            depth=_PICTURES if self.role is Role.PICTURE else _MESSAGES,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )


def streams_of(embodiment: Embodiment, *, image_transport: str, raw: bool) -> tuple[Stream, ...]:
    """Everything that is recorded of a robot.

    Args:
        embodiment: The robot, its driver in the namespace where it runs.
        image_transport: How the cameras publish, `raw` or `compressed`.
        raw: Whether raw pictures stay raw instead of becoming JPEG.

    Raises:
        ConfigError: If the driver's messages are not installed.
    """
    own = [
        *(
            _camera(name, camera, image_transport, raw)
            for name, camera in embodiment.cameras.items()
        ),
        _state(embodiment),
        *_gripper(embodiment),
        _command(embodiment),
        _suite(topics.CONTROL_STATE, ControlState, need=Need.WANTED, standing=True, stamped=True),
        _suite(topics.LATENT_ACTION, LatentAction),
        _suite(topics.ACTION_CHUNK, ActionChunk),
        _suite(topics.INSTRUCTION, String, role=Role.INSTRUCTION, shared=True),
        _suite(_TF, TFMessage, shared=True),
        _suite(_TF_STATIC, TFMessage, shared=True, standing=True),
        _suite(_DIAGNOSTICS, DiagnosticArray, shared=True),
    ]
    return (*own, *_vendor_commands(embodiment))


def _camera(name: str, camera: Any, transport: str, raw: bool) -> Stream:
    compressed = transport == 'compressed'
    own = f'camera/{name}/image_raw'
    return Stream(
        source=f'{own}/compressed' if compressed else own,
        message=CompressedImage if compressed else Image,
        topic=topics.camera_topic(name, raw=raw and not compressed),
        role=Role.PICTURE,
        need=Need.REQUIRED,
        rate_hz=camera.rate_hz,
        stamped=True,
        reliable=False,
    )


def _state(embodiment: Embodiment) -> Stream:
    arm = embodiment.kind == 'arm'
    topic = topics.JOINT_STATES if arm else topics.ODOMETRY
    return Stream(
        source=topic.name,
        message=JointState if arm else Odometry,
        topic=topic,
        role=Role.STATE,
        need=Need.REQUIRED,
        rate_hz=float(embodiment.driver.get('state_rate_hz', _STATE_HZ)),
        stamped=True,
        reliable=False,
        shared=True,
    )


def _gripper(embodiment: Embodiment) -> list[Stream]:
    """The gripper's own topic, which lies beside `joint_states` in some AIRBOT profiles."""
    if embodiment.driver['adapter'] != 'airbot' or embodiment.gripper is None:
        return []
    from univla_ros.drivers.airbot import GRIPPER_STATES
    from univla_ros.drivers.airbot import command_topic

    found = GRIPPER_STATES.get(embodiment.driver['profile'])
    if found is None:
        return []
    message, name, opening = found
    source = command_topic(embodiment, name)
    return [
        Stream(
            source=source,
            message=message,
            topic=Topic(source, type_name(message), reliable=False),
            role=Role.GRIPPER,
            standing=True,
            reliable=False,
            opening=opening,
        )
    ]


def _command(embodiment: Embodiment) -> Stream:
    arm = embodiment.kind == 'arm'
    return _suite(
        topics.COMMAND if arm else topics.TWIST,
        JointTrajectory if arm else TwistStamped,
        need=Need.REQUIRED,
        rate_hz=embodiment.control_rate_hz,
        stamped=True,
    )


def _vendor_commands(embodiment: Embodiment) -> list[Stream]:
    """What the controller says to the driver, as the driver hears it."""
    return [
        Stream(source=name, message=kind, topic=Topic(name, type_name(kind)))
        for kind, name in driver_commands(embodiment)
    ]


def driver_commands(embodiment: Embodiment) -> list[tuple[type, str]]:
    """Type and full name of each topic on which the robot's driver takes commands."""
    adapter = embodiment.driver['adapter']
    if adapter == 'airbot':
        from univla_ros.drivers.airbot import COMMAND_TOPICS
        from univla_ros.drivers.airbot import command_topic

        profile = COMMAND_TOPICS[embodiment.driver['profile']]
        return [(kind, command_topic(embodiment, name)) for kind, name in profile]
    kind, name, _ = command_tap(embodiment)
    if adapter != 'interbotix':
        return [(kind, name)]
    from interbotix_xs_msgs.msg import JointSingleCommand

    single = driver_topic(embodiment, 'single_topic', 'commands/joint_single')
    return [(kind, name), (JointSingleCommand, single)]


def _suite(topic: Topic, message: type, **wish: Any) -> Stream:
    return Stream(source=topic.name, message=message, topic=topic, **wish)


def type_name(message: type) -> str:
    """Full name of a message type, such as `sensor_msgs/msg/Image`."""
    package, kind, *_ = message.__module__.split('.')
    if kind != 'msg':
        raise ConfigError(f'{message.__module__}.{message.__name__} is no message type')
    return f'{package}/msg/{message.__name__}'
