"""A robot in its scene: commands in, measurements, pictures and ground truth out."""

from __future__ import annotations

import mujoco
import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError
from univla_core.poses import pose

from univla_sim.arm import Arm
from univla_sim.base import Base
from univla_sim.base import Odometry
from univla_sim.camera_info import CameraInfo
from univla_sim.camera_info import camera_info
from univla_sim.camera_info import camera_size
from univla_sim.ground_truth import PixelPosition
from univla_sim.ground_truth import PixelPositions
from univla_sim.ground_truth import segment_table
from univla_sim.layout import Layout
from univla_sim.render import Renderer
from univla_sim.scene import TEXTURE
from univla_sim.scene import object_names
from univla_sim.scene import scene_mjcf
from univla_sim.start import pointing_down
from univla_sim.start import posture as named_posture
from univla_sim.start import start_joints
from univla_sim.start import start_place
from univla_sim.tasks import TASKS
from univla_sim.tasks import Outcome
from univla_sim.tasks import Referee
from univla_sim.variation import Variation

#: Period of ramps and of the referee [s]; the physics runs in between without Python.
_TICK_S = 0.01
# Tells the random draws of a variation from those of the layout.
_VARIED = 1


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
        names = object_names(embodiment, self._plate)
        self._referee = Referee(self.model, self.data, embodiment, self._plate)
        self._layout = Layout(self.model, self.data, embodiment, self._plate)
        self._pixels = PixelPositions(self.model, self.data, embodiment, names)
        self._segments = segment_table(self.model, embodiment)
        self._names = names
        self._render_backend = render_backend
        self._renderer: Renderer | None = None
        self.reset(seed)

    def reset(
        self,
        seed: int | None = None,
        variation: Variation | None = None,
        posture: str = 'home',
    ) -> None:
        """Begin anew: robot at its start, objects placed, time 0.

        Args:
            seed: Decides where the objects stand, and everything that varies; None: as last time.
            variation: How much look, start and physics vary. None is the plain scene; whatever
                an earlier variation changed is taken back.
            posture: Where an arm starts if nothing varies. With a variation it points down
                around its posture `ready`.

        Raises:
            ConfigError: If the robot has no such posture.
        """
        if seed is not None:
            self._seed = int(seed)
        mujoco.mj_resetData(self.model, self.data)
        # Draws of its own, so that a variation does not move what the seed alone places.
        rng = np.random.default_rng([self._seed, _VARIED])
        self._layout.place(self._seed, variation, rng)
        self._show_texture(variation)
        if self._arm is not None:
            start = named_posture(self.embodiment, posture)
            if variation is not None:
                start = start_joints(self.embodiment, variation, rng)
            self._arm.reset(start)
        if self._base is not None:
            self._base.reset(None if variation is None else start_place(variation, rng))
        self._clock = 0.0
        mujoco.mj_forward(self.model, self.data)
        self._referee.restart()

    def redress(self, variation: Variation, seed: int) -> None:
        """Give the scene another look: light, colours and clutter; cameras and all else stay.

        Args:
            variation: How much these vary; the rest of it is not looked at.
            seed: Decides the look.
        """
        self._layout.redress(variation, np.random.default_rng([seed, _VARIED]))
        mujoco.mj_forward(self.model, self.data)
        self._show_texture(variation)

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

    def show_hand(
        self, place: np.ndarray, yaw: float = 0.0, opening: float = 1.0, held: str = ''
    ) -> bool:
        """Put an arm's hand somewhere, pointing down, for a picture: no time passes.

        Args:
            place: Where the end effector shall be, in the base frame [m], shape (3,).
            yaw: Turn about the vertical [rad].
            opening: Of the gripper, in [0, 1].
            held: Object that is put between the fingers.

        Returns:
            Whether the arm can get there; else nothing changes.
        """
        arm, robot = self._need_arm(), self.embodiment
        assert robot.gripper is not None
        joints = pointing_down(robot, np.asarray(place, dtype=float), yaw)
        if joints is None:
            return False
        arm.show(joints, robot.gripper.finger_position(opening))
        if held:
            self._layout.put(held, np.asarray(place, dtype=float), yaw)
        mujoco.mj_forward(self.model, self.data)
        return True

    @property
    def joint_positions(self) -> np.ndarray:
        """Joint angles (n,) [rad]."""
        return self._need_arm().positions

    @property
    def joint_targets(self) -> np.ndarray:
        """Goals of the joint servos (n,) [rad]."""
        return self._need_arm().targets

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

    def render(self, camera: str = 'primary', size: tuple[int, int] | None = None) -> np.ndarray:
        """What a camera sees now: RGB, uint8, (height, width, 3).

        Args:
            camera: Name of the camera.
            size: Width and height; None for the camera's own. Height decides how large things
                are drawn, so that another ratio of the two sees more or less at both sides.

        Raises:
            ConfigError: If the camera is unknown; the known ones are listed.
        """
        own = camera_size(self.model, self.embodiment, camera)
        return self.renderer.render(camera, *(size or own))

    def camera_info(
        self, camera: str = 'primary', size: tuple[int, int] | None = None
    ) -> CameraInfo:
        """Intrinsics and present pose of a camera, for pictures of a size (width, height).

        Raises:
            ConfigError: If the camera is unknown; the known ones are listed.
        """
        own = camera_size(self.model, self.embodiment, camera)
        return camera_info(self.model, self.data, camera, size or own)

    # Ground truth.

    def objects(self) -> dict[str, np.ndarray]:
        """Name -> pose in the world (4, 4) of every object; keep it from the policy."""
        bodies = {name: self.data.body(name) for name in self._names}
        return {name: pose(body.xmat.reshape(3, 3), body.xpos) for name, body in bodies.items()}

    def moved(self, name: str) -> float:
        """How far an object was moved along the ground since the episode began [m]."""
        return self._referee.moved(name)

    def fingers_on(self, name: str) -> int:
        """How many fingers touch an object."""
        return self._referee.fingers_on(name)

    def pixel_positions(
        self, camera: str = 'primary', size: tuple[int, int] | None = None
    ) -> dict[str, PixelPosition]:
        """Name -> (u, v, visible) of the centre of every object, and of `end_effector`."""
        return self._pixels.find(self.camera_info(camera, size))

    def render_segmentation(
        self, camera: str = 'primary', width: int | None = None, height: int | None = None
    ) -> np.ndarray:
        """What each pixel belongs to: numbers in `ground_truth.SEGMENTS`, uint8, (height, width).

        Args:
            camera: Name of the camera.
            width: Columns, None for the camera's own.
            height: Rows, None for the camera's own.
        """
        own = camera_size(self.model, self.embodiment, camera)
        geoms = self.renderer.segment(camera, width or own[0], height or own[1])
        return self._segments[geoms]

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

    def _show_texture(self, variation: Variation | None) -> None:
        if self._renderer is not None and variation is not None and variation.texture[1] > 0.0:
            self._renderer.upload_texture(TEXTURE)

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
