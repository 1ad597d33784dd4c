"""What a recorder may want to know of a rollout."""

from __future__ import annotations

import numpy as np
from univla_control.command import Command
from univla_control.command import ControllerStatus
from univla_core.action_chunk import ActionChunk
from univla_core.latent_action import LatentAction

from univla_ros.rollout.brain import Plan


class Observer:
    """Hears of everything in the order in which it happens; each method may be left as it is.

    Pictures are drawn for an observer only if it has its own `on_frame`. All times are stamps on
    the rollout's clock [s].
    """

    def on_frame(self, stamp: float, camera: str, picture: np.ndarray) -> None:
        """A camera took a picture, RGB uint8 (height, width, 3), with its noise."""

    def on_joint_state(
        self, stamp: float, positions: np.ndarray, velocities: np.ndarray, opening: float | None
    ) -> None:
        """The driver told the measured state.

        Args:
            stamp: When it was measured [s].
            positions: Joint angles (n,) [rad]; of a base its measured v [m/s] and w [rad/s].
            velocities: Joint velocities (n,) [rad/s] as simulated, which drivers do not tell; of
                a base the same as `positions`.
            opening: Measured gripper opening in [0, 1], None without a gripper.
        """

    def on_base_pose(self, stamp: float, x: float, y: float, heading: float) -> None:
        """A base told its odometry: x [m], y [m], heading [rad] in `odom`; after its state."""

    def on_command(self, command: Command) -> None:
        """The controller sent a command to the driver."""

    def on_plan(self, stamp: float, plan: Plan) -> None:
        """The brain planned on the pictures of `stamp` [s]; `plan.source` says who drives."""

    def on_latent(self, latent: LatentAction) -> None:
        """The policy planned a latent action."""

    def on_chunk(self, chunk: ActionChunk) -> None:
        """A chunk reached the controller."""

    def on_control_status(self, stamp: float, status: ControllerStatus) -> None:
        """How the controller is doing: on every change, and at the rate of `control_state`."""


def draws(observer: object) -> bool:
    """Whether an observer looks at pictures."""
    look = getattr(type(observer), 'on_frame', None)
    return observer is not None and look is not Observer.on_frame
