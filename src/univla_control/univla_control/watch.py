"""What can go wrong around the controller: joint state, policy and clock are watched here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.fault import Fault

from univla_control.config import ControlConfig
from univla_control.health import Heartbeats

# A joint state older than the one before by so much [s] means that the clock was set back.
_CLOCK_JUMP_S = 0.5


class Watch:
    """Keeps the time of ticks and joint states, and names the fault that follows from them.

    Args:
        embodiment: The robot.
        config: Time limits.
        forget: Called when the clock jumped: nothing stamped before can be placed any more.

    Attributes:
        joint_time: Stamp of the newest joint state [s], None before one or after a clock jump.
        joints: Its angles (n,) [rad]; they outlive a clock jump.
        last_time: Time of the last tick [s].
        interval: Mean time between ticks [s], NaN before there are two.
        slack: How much later than due the last tick came [s]: nobody was listening then.
        jumps: How often the clock jumped.
        heartbeats: Whether policy and decoder live.
        outside: What the owner found that forbids any motion.
    """

    def __init__(
        self, embodiment: Embodiment, config: ControlConfig, forget: Callable[[], None]
    ) -> None:
        self._embodiment, self._config, self._forget = embodiment, config, forget
        self._period = 1.0 / config.control_rate_hz
        self.joint_time: float | None = None
        self.joints: np.ndarray | None = None
        self.last_time: float | None = None
        self.interval = float('nan')
        self.slack = 0.0
        self.jumps = 0
        self.heartbeats = Heartbeats(config.heartbeat_timeout_s)
        self.outside = Fault()
        self._bad_joints = Fault()
        self._bad_chunk = Fault()
        self._jumped = self._untold = False
        self._quiet_since = 0.0

    # --- what arrives -----------------------------------------------------------------------

    def on_joint_state(self, time: float, positions: np.ndarray) -> str | None:
        """Take in measured joints (n,) [rad] of `time` [s].

        Returns:
            Why they were ignored, or None.
        """
        axes = self._embodiment.axis_count
        if self._embodiment.kind == 'arm' and positions.shape != (axes,):
            return f'joint state has {positions.shape} angles, not {axes}'
        if not (np.isfinite(positions).all() and math.isfinite(time)):
            return 'joint state holds NaN or infinity'
        if self.joint_time is not None and time <= self.joint_time:
            if time > self.joint_time - _CLOCK_JUMP_S:
                return 'joint state is older than the one before'
            self._on_clock_jump(time)
            self.last_time = None
        self.joint_time, self.joints = time, positions
        self._jumped, self._bad_joints = False, Fault()
        return None

    def on_bad_joint_state(self, text: str) -> None:
        """A joint state came that cannot be used; until a good one comes the robot holds."""
        self._bad_joints = Fault('bad_joint_state', text)

    def on_chunk(self, time: float) -> None:
        """A chunk was adopted at `time` [s]."""
        self._bad_chunk = Fault()
        self.hear(time)

    def on_broken_chunk(self, text: str) -> None:
        """A chunk came that speaks of a broken sender; until a good one comes the robot holds."""
        self._bad_chunk = Fault('bad_chunk', text)

    def hear(self, time: float) -> None:
        """The silence of the policy counts from now on."""
        self._quiet_since = time

    # --- time -------------------------------------------------------------------------------

    def tick(self, time: float) -> float:
        """Time since the last tick [s]; one period if there was none or the clock jumped."""
        last, self.last_time, self.slack = self.last_time, time, 0.0
        if last is None:
            return self._period
        elapsed = time - last
        if elapsed < 0.0 or elapsed > self._config.clock_jump_s:
            self._on_clock_jump(time)
            return self._period
        self.slack = max(0.0, elapsed - self._period)
        if elapsed > 0.0:
            old = self.interval
            self.interval = elapsed if math.isnan(old) else old + 0.05 * (elapsed - old)
        return elapsed

    def _on_clock_jump(self, time: float) -> None:
        self.jumps += 1
        self._jumped = self._untold = True
        self.joint_time = None
        self.last_time = self._quiet_since = time
        self.heartbeats.excuse(time)
        self._forget()

    def joint_age(self, time: float) -> float:
        """Age of the newest joint state [s], infinite without one."""
        return math.inf if self.joint_time is None else time - self.joint_time

    def fresh(self, time: float) -> bool:
        """Whether the joints are known well enough to move."""
        return self.joint_age(time) <= self._config.joint_state_timeout_s + self.slack

    def facts(self, time: float) -> dict[str, Any]:
        """Fields of `ControllerStatus` about clock and joint states at `time` [s]."""
        return {
            'joint_state_age': math.nan if self.joint_time is None else time - self.joint_time,
            'control_rate': 1.0 / self.interval if self.interval > 0.0 else math.nan,
            'clock_jumps': self.jumps,
        }

    # --- what is wrong ----------------------------------------------------------------------

    def robot_fault(self, time: float) -> Fault:
        """What forbids any motion at `time` [s], whoever asks for it."""
        jumped, self._untold = self._jumped or self._untold, False  # told at least once
        if jumped:
            return Fault(
                'clock_jump', 'the clock jumped; holding until a joint state with new time arrives'
            )
        for fault in (self.outside, self._bad_joints):
            if fault.name:
                return fault
        if not self.fresh(time):
            return Fault('stale_joint_state', self._stale(self.joint_age(time)))
        return Fault()

    def chain_fault(self, time: float, planned_until: float) -> Fault:
        """What forbids to execute the policy's plan at `time` [s].

        Args:
            time: Time of the tick [s].
            planned_until: End of the plan at hand [s], -inf without one.
        """
        fault = self.heartbeats.fault(time, self.slack)
        if fault.name:
            return fault
        if self._bad_chunk.name:
            return self._bad_chunk
        silence = self._config.chunk_timeout_s
        if time > planned_until and time - self._quiet_since > silence:
            return Fault(
                'no_chunk', f'no usable chunk for more than {silence} s; check policy and decoder'
            )
        return Fault()

    @staticmethod
    def _stale(age: float) -> str:
        if math.isinf(age):
            return 'no joint state has been received; start the driver'
        return f'the joint state is {age:.2f} s old; check the driver and the clocks'
