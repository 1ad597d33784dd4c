"""Plain types to the messages of an episode, equal to those of the running graph."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import Embodiment
from univla_core.latent_action import LatentAction
from univla_core.robot_state import state_gripper_joint
from univla_core.robot_state import state_joint_names

from univla_data.message_types import message
from univla_data.pictures import jpeg
from univla_data.stamps import SECOND
from univla_data.stamps import nanoseconds
from univla_data.topics import GRIPPER


def time_to_msg(seconds: float) -> Any:
    """Time message of a non-negative number of seconds."""
    whole, rest = divmod(nanoseconds(seconds), SECOND)
    return message('builtin_interfaces/msg/Time', sec=whole, nanosec=rest)


def header_to_msg(stamp: float, frame: str = '') -> Any:
    """Header with a stamp [s] and a frame."""
    return message('std_msgs/msg/Header', stamp=time_to_msg(stamp), frame_id=frame)


def picture_to_msg(stamp: float, picture: np.ndarray, frame: str, quality: int | None) -> Any:
    """JPEG of an RGB picture, uint8 (height, width, 3), or a raw image without a quality."""
    header = header_to_msg(stamp, frame)
    if quality is not None:
        data = jpeg(picture, quality)
        kind = 'sensor_msgs/msg/CompressedImage'
        return message(kind, header=header, format='jpeg', data=data)
    height, width, _ = picture.shape
    size = {'height': height, 'width': width, 'step': 3 * width}
    data = np.ascontiguousarray(picture).ravel()
    return message('sensor_msgs/msg/Image', header=header, encoding='rgb8', data=data, **size)


def joint_state_to_msg(
    stamp: float,
    embodiment: Embodiment,
    positions: np.ndarray,
    velocities: np.ndarray,
    opening: float | None,
) -> Any:
    """Joint state under the driver's names, last the gripper's joint if its opening is known."""
    names = [*state_joint_names(embodiment)]
    positions, velocities = list(positions), list(velocities)
    if embodiment.gripper is not None and opening is not None:
        names.append(state_gripper_joint(embodiment))
        finger = embodiment.gripper.finger_position(opening)
        positions.append(finger * embodiment.gripper.state_scale)
        velocities.append(np.nan)  # not known here; there must be one for each name
    return message(
        'sensor_msgs/msg/JointState',
        header=header_to_msg(stamp),
        name=names,
        position=positions,
        velocity=velocities,
    )


def odometry_to_msg(
    stamp: float, embodiment: Embodiment, twist: Sequence[float], pose: Sequence[float]
) -> Any:
    """Odometry of a base: forward speed [m/s], turning [rad/s]; x [m], y [m], heading [rad]."""
    half = 0.5 * pose[2]
    place = message('geometry_msgs/msg/Point', x=float(pose[0]), y=float(pose[1]))
    turn = message('geometry_msgs/msg/Quaternion', z=float(np.sin(half)), w=float(np.cos(half)))
    where = message('geometry_msgs/msg/Pose', position=place, orientation=turn)
    return message(
        'nav_msgs/msg/Odometry',
        header=header_to_msg(stamp, str(embodiment.document.get('odom_frame', 'odom'))),
        child_frame_id=embodiment.frame_prefix + embodiment.base_frame,
        pose=message('geometry_msgs/msg/PoseWithCovariance', pose=where),
        twist=message('geometry_msgs/msg/TwistWithCovariance', twist=_twist(twist)),
    )


def command_to_msg(
    stamp: float,
    embodiment: Embodiment,
    positions: np.ndarray,
    velocities: np.ndarray,
    opening: float | None,
) -> Any:
    """The command of an arm as a trajectory of one point; the opening is a joint `gripper`."""
    names = [*embodiment.axis_names]
    positions, velocities = list(positions), list(velocities)
    if opening is not None:
        names, positions = [*names, GRIPPER], [*positions, opening]
        velocities.append(0.0)
    point = message(
        'trajectory_msgs/msg/JointTrajectoryPoint', positions=positions, velocities=velocities
    )
    return message(
        'trajectory_msgs/msg/JointTrajectory',
        header=header_to_msg(stamp, embodiment.frame_prefix + embodiment.base_frame),
        joint_names=names,
        points=[point],
    )


def twist_to_msg(stamp: float, embodiment: Embodiment, twist: Sequence[float]) -> Any:
    """The command of a base: forward speed [m/s] and turning [rad/s]."""
    header = header_to_msg(stamp, embodiment.frame_prefix + embodiment.base_frame)
    return message('geometry_msgs/msg/TwistStamped', header=header, twist=_twist(twist))


def latent_action_to_msg(latent: LatentAction) -> Any:
    """Message of a latent action."""
    return message(
        'univla_msgs/msg/LatentAction',
        header=header_to_msg(latent.stamp),
        sequence=latent.sequence,
        policy=latent.policy,
        codebook=latent.codebook,
        codes=latent.codes,
        probabilities=latent.probabilities,
        latent=_tensor(latent.latent),
        visual=_tensor(latent.visual),
        instruction=latent.instruction,
        source=latent.source,
        plan_start=time_to_msg(latent.plan_start),
        plan_stop=time_to_msg(latent.plan_stop),
    )


def action_chunk_to_msg(chunk: ActionChunk, frame: str) -> Any:
    """Message of an action chunk; `frame` is the frame of Cartesian actions."""
    return message(
        'univla_msgs/msg/ActionChunk',
        header=header_to_msg(chunk.stamp, frame),
        sequence=chunk.sequence,
        robot=chunk.robot,
        action_space=chunk.action_space,
        names=chunk.names,
        horizon=chunk.horizon,
        step_duration=chunk.step_duration_s,
        data=chunk.data.ravel(),
        latent_sequence=chunk.latent_sequence,
        instruction=chunk.instruction,
        source=chunk.source,
        plan_start=time_to_msg(chunk.plan_start),
        plan_stop=time_to_msg(chunk.plan_stop),
        decode_stop=time_to_msg(chunk.decode_stop),
    )


def control_state_to_msg(stamp: float, fields: Mapping[str, Any]) -> Any:
    """Message of a controller's state from the fields of `univla_msgs/ControlState`."""
    return message('univla_msgs/msg/ControlState', header=header_to_msg(stamp), **fields)


def _twist(twist: Sequence[float]) -> Any:
    return message(
        'geometry_msgs/msg/Twist',
        linear=message('geometry_msgs/msg/Vector3', x=float(twist[0])),
        angular=message('geometry_msgs/msg/Vector3', z=float(twist[1])),
    )


def _tensor(values: np.ndarray) -> Any:
    kind = values.dtype.name
    data = np.frombuffer(np.ascontiguousarray(values, dtype=kind).tobytes(), dtype=np.uint8)
    return message('univla_msgs/msg/Tensor', dtype=kind, shape=values.shape, data=data)
