"""The simulated arm: joint servos, a gripper by position or by force, and what they measure."""

from __future__ import annotations

import mujoco
import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.errors import ActionError
from univla_core.errors import ShapeError
from univla_core.poses import pose

from univla_sim.mjcf_parts import FINGER_FORCE_GROUP
from univla_sim.mjcf_parts import FINGER_SERVO_GROUP
from univla_sim.mjcf_parts import SERVO_GROUP


class Arm:
    """Handles of one arm in a compiled model, by name.

    Args:
        model: Model made by `scene_mjcf` or `robot_mjcf`.
        data: Its state.
        embodiment: The robot that the model was made from, with a gripper.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, embodiment: Embodiment) -> None:
        gripper = embodiment.gripper
        assert gripper is not None
        self._model, self._data = model, data
        self._home, self._gripper = embodiment.home, gripper
        joints = [model.joint(name) for name in embodiment.axis_names]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._dof = np.array([joint.dofadr[0] for joint in joints])
        self._range = np.array([joint.range for joint in joints])
        self._servos = np.array([model.actuator(name).id for name in embodiment.axis_names])
        names = [finger['name'] for finger in gripper.fingers]
        self._finger_qpos = np.array([model.joint(name).qposadr[0] for name in names])
        self._finger_dof = np.array([model.joint(name).dofadr[0] for name in names])
        self._finger_servos = np.array([model.actuator(f'{n}_servo').id for n in names])
        self._finger_motors = np.array([model.actuator(f'{n}_motor').id for n in names])
        self._finger_speed = float(
            embodiment.document['simulation'].get('gripper_speed', gripper.velocity)
        )
        self._site = model.site(embodiment.ee_frame).id
        self._gravcomp = model.body_gravcomp.copy()
        self._torque = True

    def reset(self, joints: np.ndarray | None = None) -> None:
        """Stand at angles (n,) [rad], `home` by default, gripper open, all under control."""
        start = self._home if joints is None else joints
        self.show(start, self._gripper.open)
        self._torque = True
        self._model.body_gravcomp[:] = self._gravcomp
        self._model.opt.disableactuator = 0
        self._disable(FINGER_FORCE_GROUP, True)

    def show(self, joints: np.ndarray, finger_position: float) -> None:
        """Stand at angles (n,) [rad], fingers at a position [m], as if it had come there."""
        self._data.qpos[self._qpos] = joints
        self._data.ctrl[self._servos] = joints
        self._data.qpos[self._finger_qpos] = finger_position
        self._data.ctrl[self._finger_servos] = finger_position
        self._finger_target = finger_position

    def advance(self, duration_s: float) -> None:
        """Move the finger servos' set-point on, at most as fast as the gripper can go."""
        step = self._finger_speed * duration_s
        now = self._data.ctrl[self._finger_servos]
        self._data.ctrl[self._finger_servos] = now + np.clip(
            self._finger_target - now, -step, step
        )

    def set_joint_targets(self, joints: np.ndarray) -> None:
        """Give the servos their goal (n,) [rad], clipped to the joints' ranges.

        Raises:
            ShapeError: If the number of angles is not the number of joints.
            ActionError: If an angle is not finite; the last goal stays.
        """
        joints = np.asarray(joints, dtype=float)
        if joints.shape != self._qpos.shape:
            raise ShapeError(f'joint targets have shape {joints.shape}, not {self._qpos.shape}')
        if not np.isfinite(joints).all():
            raise ActionError(f'joint targets {joints} are not finite; nothing was sent')
        self._data.ctrl[self._servos] = np.clip(joints, self._range[:, 0], self._range[:, 1])

    def set_torque_enabled(self, enabled: bool) -> None:
        """Switch the servos and gravity compensation; without them the arm falls.

        Switched on again, the servos hold the pose they find.
        """
        if enabled and not self._torque:
            self._data.ctrl[self._servos] = self.positions
        self._torque = enabled
        self._disable(SERVO_GROUP, not enabled)
        self._model.body_gravcomp[:] = self._gravcomp if enabled else 0.0

    def set_gripper_target(self, opening: float) -> None:
        """Send the fingers to an opening in [0, 1], 1 = open, by position."""
        self._require_finite(opening, 'gripper opening')
        self._finger_target = self._gripper.finger_position(opening)
        if not self._model.opt.disableactuator & 1 << FINGER_SERVO_GROUP:
            return
        self._data.ctrl[self._finger_servos] = self.finger_position
        self._disable(FINGER_SERVO_GROUP, False)
        self._disable(FINGER_FORCE_GROUP, True)

    def set_gripper_force(self, share: float) -> None:
        """Drive fingers with a share of their effort in [-1, 1], > 0 opens, until stalled."""
        self._require_finite(share, 'gripper force')
        self._data.ctrl[self._finger_motors] = np.clip(share, -1.0, 1.0)
        self._disable(FINGER_SERVO_GROUP, True)
        self._disable(FINGER_FORCE_GROUP, False)

    @property
    def positions(self) -> np.ndarray:
        """Joint angles (n,) [rad]."""
        return self._data.qpos[self._qpos].copy()

    @property
    def targets(self) -> np.ndarray:
        """Goals of the servos (n,) [rad]."""
        return self._data.ctrl[self._servos].copy()

    @property
    def velocities(self) -> np.ndarray:
        """Joint velocities (n,) [rad/s]."""
        return self._data.qvel[self._dof].copy()

    @property
    def efforts(self) -> np.ndarray:
        """Torques of the servos (n,) [N·m], gravity compensation not counted."""
        return self._data.qfrc_actuator[self._dof].copy()

    @property
    def finger_position(self) -> float:
        """Mean position of the fingers [m]."""
        return float(self._data.qpos[self._finger_qpos].mean())

    @property
    def finger_velocity(self) -> float:
        """Mean velocity of the fingers [m/s]."""
        return float(self._data.qvel[self._finger_dof].mean())

    @property
    def finger_effort(self) -> float:
        """Mean force of the fingers' actuators [N], > 0 opens."""
        return float(self._data.qfrc_actuator[self._finger_dof].mean())

    @property
    def ee_pose(self) -> np.ndarray:
        """Pose of the end effector frame in the world, which is the base frame, (4, 4)."""
        rotation = self._data.site_xmat[self._site].reshape(3, 3)
        return pose(rotation, self._data.site_xpos[self._site])

    def _disable(self, group: int, disabled: bool) -> None:
        bits = int(self._model.opt.disableactuator)
        self._model.opt.disableactuator = bits | 1 << group if disabled else bits & ~(1 << group)

    @staticmethod
    def _require_finite(value: float, what: str) -> None:
        if not np.isfinite(value):
            raise ActionError(f'{what} {value} is not finite; nothing was sent')
