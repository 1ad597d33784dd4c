"""What lies in an episode under which name, and as which type of message."""

from __future__ import annotations

from dataclasses import dataclass

from rosbags.interfaces import Qos
from rosbags.interfaces import QosDurability
from rosbags.interfaces import QosHistory
from rosbags.interfaces import QosLiveliness
from rosbags.interfaces import QosReliability
from rosbags.interfaces import QosTime


@dataclass(frozen=True)
class Topic:
    """One topic, by its name inside the robot's namespace.

    Attributes:
        name: Relative name.
        kind: Type of its messages.
        reliable: Whether no message may be lost on the way.
        latched: Whether whoever joins late gets the last message.
    """

    name: str
    kind: str
    reliable: bool = True
    latched: bool = False

    @property
    def qos(self) -> Qos:
        """Quality of service that a player offers again."""
        never = QosTime(2147483647, 4294967295)
        return Qos(
            QosHistory.KEEP_LAST,
            1 if self.latched or not self.reliable else 10,
            QosReliability.RELIABLE if self.reliable else QosReliability.BEST_EFFORT,
            QosDurability.TRANSIENT_LOCAL if self.latched else QosDurability.VOLATILE,
            never,
            never,
            QosLiveliness.AUTOMATIC,
            never,
            False,
        )


JOINT_STATES = Topic('joint_states', 'sensor_msgs/msg/JointState', reliable=False)
ODOMETRY = Topic('odom', 'nav_msgs/msg/Odometry', reliable=False)
COMMAND = Topic('command', 'trajectory_msgs/msg/JointTrajectory')
TWIST = Topic('command', 'geometry_msgs/msg/TwistStamped')
LATENT_ACTION = Topic('latent_action', 'univla_msgs/msg/LatentAction')
ACTION_CHUNK = Topic('action_chunk', 'univla_msgs/msg/ActionChunk')
CONTROL_STATE = Topic('control_state', 'univla_msgs/msg/ControlState', latched=True)
INSTRUCTION = Topic('instruction', 'std_msgs/msg/String')
ROBOT_DESCRIPTION = Topic('robot_description', 'std_msgs/msg/String', latched=True)
#: The provenance as JSON, first in the bag, so that an interrupted one can be understood.
PROVENANCE = Topic('episode', 'std_msgs/msg/String', latched=True)

#: Name of the gripper in a command beside the joints.
GRIPPER = 'gripper'


def camera_topic(camera: str, *, raw: bool = False) -> Topic:
    """The topic of a camera's pictures, JPEG unless `raw`."""
    name = f'camera/{camera}/image_raw'
    if raw:
        return Topic(name, 'sensor_msgs/msg/Image', reliable=False)
    return Topic(f'{name}/compressed', 'sensor_msgs/msg/CompressedImage', reliable=False)


def camera_of(name: str) -> str | None:
    """The camera whose pictures a relative topic name carries, None if it carries none."""
    parts = name.split('/')
    if parts[0] != 'camera' or parts[2:] not in (['image_raw'], ['image_raw', 'compressed']):
        return None
    return parts[1]
