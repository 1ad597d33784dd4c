"""A robot in its scene: commands in, measurements, pictures and ground truth out."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError
from univla_core.poses import pose

from univla_sim.arm import Arm
from univla_sim.base import Base
from univla_sim.base import Odometry
from univla_sim.render import Renderer
from univla_sim.render import camera_id
from univla_sim.scene import OVERVIEW
from univla_sim.scene import object_names
from univla_sim.scene import sample_layout
from univla_sim.scene import scene_mjcf
from univla_sim.tasks import TASKS
from univla_sim.tasks import Outcome
from univla_sim.tasks import Referee

#: Period of ramps and of the referee [s]; the physics runs in between without Python.
_TICK_S = 0.01
_OVERVIEW_SIZE = (640, 480)
# Camera frames: MuJoCo looks along -z with y up, REP-103 optical along +z with y down.
_T_CAMERA_OPTICAL = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True, kw_only=True)
class CameraInfo:
    """Geometry of a simulated camera, without distortion.

    Attributes:
        width: Columns.
        height: Rows.
        K: Intrinsics (3, 3); the centre of the first pixel is (0, 0).
        T_world_camera_optical: Pose of the optical frame of REP-103 (z forward, y down), (4, 4).
    """

    width: int
    height: int
    K: np.ndarray
    T_world_camera_optical: np.ndarray


class World:
    """One robot, its scene and their physics. Same seed and same calls give the same states.

    Args:
        embodiment: The robot.
        seed: Decides where the objects stand.
        task: One of `TASKS` to leave out of the scene what it does not need (the plate), or
            None for everything.
        render_backend: `auto`, `gl` or `ray`, see `Renderer`; asked at the first picture.
        timestep: Physics step [s].

    Raises:
        ConfigError: If the task does not fit the robot, or its YAML cannot be simulated.
    """

    def __init__(
        self,
        embodiment: Embodiment,
        seed: int = 0,
        task: str | None = None,
        render_backend: str = 'auto',
        timestep: float = 0.002,
    ) -> None:
        fitting = [name for name in TASKS if (name == 'drive') == (embodiment.kind == 'base')]
        if task is not None and task not in fitting:
            raise ConfigError(
                f'robot {embodiment.name!r} has no task {task!r}; '
                f'choose one of {", ".join(fitting)}'
            )
        self.embodiment = embodiment
        self._plate = task in (None, 'place')
        self.model = mujoco.MjModel.from_xml_string(scene_mjcf(embodiment, timestep, self._plate))
        self.data = mujoco.MjData(self.model)
        self._arm, self._base = None, None
        if embodiment.kind == 'arm':
            self._arm = Arm(self.model, self.data, embodiment)
        else:
            self._base = Base(self.model, self.data, embodiment)
        self._referee = Referee(self.model, self.data, embodiment, self._plate)
        self._render_backend = render_backend
        self._renderer: Renderer | None = None
        self.reset(seed)

    def reset(self, seed: int | None = None) -> None:
        """Begin anew: robot at home, objects placed by `seed` (None: as last time), time 0."""
        if seed is not None:
            self._seed = int(seed)
        mujoco.mj_resetData(self.model, self.data)
        body = self._arm or self._base
        assert body is not None
        body.reset()
        layout = sample_layout(self.embodiment, np.random.default_rng(self._seed), self._plate)
        for name, (x, y, yaw) in layout.items():
            self._stand(name, x, y, yaw)
        self._clock = 0.0
        mujoco.mj_forward(self.model, self.data)
        self._referee.restart()

    def step(self, duration_s: float) -> None:
        """Let `duration_s` [s] of simulated time pass, rounded to whole physics steps."""
        self._clock += duration_s
        timestep = self.model.opt.timestep
        left = round((self._clock - self.data.time) / timestep)
        tick = max(1, round(_TICK_S / timestep))
        body = self._arm or self._base
        assert body is not None
        while left > 0:
            count = min(tick, left)
            body.advance(count * timestep)
            mujoco.mj_step(self.model, self.data, count)
            if self._base is not None:
                self._base.measure()
            self._referee.observe()
            left -= count
        # What is derived from the state (poses, contacts) lags one step behind; catch up.
        mujoco.mj_forward(self.model, self.data)

    @property
    def time(self) -> float:
        """Simulated time since `reset` [s]."""
        return float(self.data.time)

    @property
    def seed(self) -> int:
        """The seed of the present layout."""
        return self._seed

    # Arm.

    def set_joint_targets(self, joints: np.ndarray) -> None:
        """Goal of the joint servos (n,) [rad], clipped to the joints' ranges."""
        self._need_arm().set_joint_targets(joints)

    def set_joint_torque_enabled(self, enabled: bool) -> None:
        """Switch the joint servos; off, the arm falls; on again, it holds where it is."""
        self._need_arm().set_torque_enabled(enabled)

    def set_gripper_target(self, opening: float) -> None:
        """Send the fingers to an opening in [0, 1], 1 = open, by position."""
        self._need_arm().set_gripper_target(opening)

    def set_gripper_force(self, share: float) -> None:
        """Drive the fingers with a share of their effort in [-1, 1], > 0 opens."""
        self._need_arm().set_gripper_force(share)

    @property
    def joint_positions(self) -> np.ndarray:
        """Joint angles (n,) [rad]."""
        return self._need_arm().positions

    @property
    def joint_velocities(self) -> np.ndarray:
        """Joint velocities (n,) [rad/s]."""
        return self._need_arm().velocities

    @property
    def joint_efforts(self) -> np.ndarray:
        """Torques of the joint servos (n,) [N·m], gravity compensation not counted."""
        return self._need_arm().efforts

    @property
    def gripper_finger_position(self) -> float:
        """Mean position of the fingers [m]; times `state_scale` it is `state_joint`'s."""
        return self._need_arm().finger_position

    @property
    def gripper_finger_velocity(self) -> float:
        """Mean velocity of the fingers [m/s]."""
        return self._need_arm().finger_velocity

    @property
    def gripper_finger_effort(self) -> float:
        """Mean force of the finger actuators [N], > 0 opens."""
        return self._need_arm().finger_effort

    @property
    def ee_pose(self) -> np.ndarray:
        """Pose `T_base_ee` (4, 4) of the end effector; an arm's base frame is the world."""
        return self._need_arm().ee_pose

    # Base.

    def set_twist(self, v: float, w: float) -> None:
        """Command forward speed [m/s] and turning rate [rad/s]; it stays until the next one."""
        self._need_base().set_twist(v, w)

    @property
    def odometry(self) -> Odometry:
        """Pose and twist as the wheels measure them, from where the base started."""
        return self._need_base().odometry

    @property
    def wheel_positions(self) -> np.ndarray:
        """Wheel angles left, right [rad], shape (2,)."""
        return self._need_base().wheel_positions

    @property
    def wheel_velocities(self) -> np.ndarray:
        """Wheel speeds left, right [rad/s], shape (2,)."""
        return self._need_base().wheel_velocities

    @property
    def base_pose(self) -> np.ndarray:
        """Where the base really is: x, y [m], heading [rad], shape (3,)."""
        return self._need_base().true_pose

    # Cameras.

    @property
    def renderer(self) -> Renderer:
        """The renderer, made at first use; its `backend` and `reason` belong in the log."""
        if self._renderer is None:
            self._renderer = Renderer(self.model, self.data, self._render_backend)
        return self._renderer

    @property
    def camera_names(self) -> tuple[str, ...]:
        """The robot's cameras and `overview`, a view for people."""
        return tuple(self.model.camera(index).name for index in range(self.model.ncam))

    def render(self, camera: str = 'primary') -> np.ndarray:
        """What a camera sees now: RGB, uint8, (height, width, 3) of the camera's own size.

        Raises:
            ConfigError: If the camera is unknown; the known ones are listed.
        """
        return self.renderer.render(camera, *self._camera_size(camera))

    def camera_info(self, camera: str = 'primary') -> CameraInfo:
        """Intrinsics and present pose of a camera.

        Raises:
            ConfigError: If the camera is unknown; the known ones are listed.
        """
        width, height = self._camera_size(camera)
        number = camera_id(self.model, camera)
        focal = 0.5 * height / np.tan(0.5 * np.radians(self.model.cam_fovy[number]))
        K = np.array(
            [[focal, 0.0, 0.5 * (width - 1)], [0.0, focal, 0.5 * (height - 1)], [0.0, 0.0, 1.0]]
        )
        rotation = self.data.cam_xmat[number].reshape(3, 3)
        T_world_camera = pose(rotation, self.data.cam_xpos[number])
        return CameraInfo(
            width=width,
            height=height,
            K=K,
            T_world_camera_optical=T_world_camera @ _T_CAMERA_OPTICAL,
        )

    # Ground truth.

    def objects(self) -> dict[str, np.ndarray]:
        """Name -> pose in the world (4, 4) of every object; keep it from the policy."""
        names = object_names(self.embodiment, self._plate)
        bodies = {name: self.data.body(name) for name in names}
        return {name: pose(body.xmat.reshape(3, 3), body.xpos) for name, body in bodies.items()}

    def outcome(self, instruction: str) -> Outcome:
        """How far an instruction has been carried out since `reset` or `begin_episode`.

        Raises:
            ConfigError: If the instruction is empty.
        """
        return self._referee.outcome(instruction)

    def begin_episode(self) -> None:
        """Forget what was reached, pushed or lifted; objects stay where they are."""
        self._referee.restart()

    def close(self) -> None:
        """Give the drawing buffers back."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _camera_size(self, camera: str) -> tuple[int, int]:
        camera_id(self.model, camera)
        if camera == OVERVIEW:
            return _OVERVIEW_SIZE
        declared = self.embodiment.cameras[camera]
        return declared.width, declared.height

    def _stand(self, name: str, x: float, y: float, yaw: float) -> None:
        """Stand an object upright at x, y [m] with a yaw [rad]."""
        body = self.model.body(name)
        quaternion = [np.cos(0.5 * yaw), 0.0, 0.0, np.sin(0.5 * yaw)]
        geom = self.model.body_geomadr[body.id]
        kind = self.model.geom_type[geom]
        half = self.model.geom_size[geom][1 if kind == mujoco.mjtGeom.mjGEOM_CYLINDER else 2]
        if body.mocapid[0] >= 0:
            self.data.mocap_pos[body.mocapid[0]] = (x, y, half)
            self.data.mocap_quat[body.mocapid[0]] = quaternion
        else:
            start = self.model.jnt_qposadr[body.jntadr[0]]
            self.data.qpos[start : start + 7] = (x, y, half, *quaternion)

    def _need_arm(self) -> Arm:
        if self._arm is None:
            raise ConfigError(
                f'robot {self.embodiment.name!r} is a base: it has no joints to move'
            )
        return self._arm

    def _need_base(self) -> Base:
        if self._base is None:
            raise ConfigError(f'robot {self.embodiment.name!r} is an arm: it cannot drive')
        return self._base
