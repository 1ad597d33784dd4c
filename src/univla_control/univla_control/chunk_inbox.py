"""Takes in action chunks: adopts the good ones as plans, counts and names the others."""

from __future__ import annotations

from collections import Counter

from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import Embodiment

from univla_control.chunk_intake import BROKEN
from univla_control.chunk_intake import Refusal
from univla_control.chunk_intake import refuse_content
from univla_control.chunk_intake import refuse_now
from univla_control.chunk_intake import refuse_order
from univla_control.chunk_intake import refuse_speed
from univla_control.chunk_intake import refuse_timing
from univla_control.chunk_plan import ChunkPlan
from univla_control.command import Mode
from univla_control.config import ControlConfig
from univla_control.origin import Origin
from univla_control.watch import Watch


class ChunkInbox:
    """Holds the plan at hand.

    Args:
        embodiment: The robot.
        config: Parameters.
        origin: Where increments start from.
        watch: Hears of good and broken chunks.

    Attributes:
        plan: The newest chunk adopted, None without one.
        received: Chunks that came.
        dropped: Chunks refused, counted by reason.
    """

    def __init__(
        self, embodiment: Embodiment, config: ControlConfig, origin: Origin, watch: Watch
    ) -> None:
        self._embodiment, self._config = embodiment, config
        self._origin, self._watch = origin, watch
        self._instruction: str | None = None
        self.plan: ChunkPlan | None = None
        self.reset()

    def reset(self) -> None:
        """Count anew."""
        self.received = 0
        self.dropped: Counter[str] = Counter()

    def take(self, chunk: ActionChunk, time: float, mode: Mode, person: bool) -> str | None:
        """Adopt a chunk that arrived at `time` [s], or say why not.

        Args:
            chunk: The chunk.
            time: Time of arrival [s].
            mode: What the operator asked for.
            person: Whether a person holds on to a latent code.

        Returns:
            `reason: text`, or None when it is adopted.
        """
        self.received += 1
        refusal = self._refusal(chunk, time, mode, person)
        if refusal is None:
            self._watch.on_chunk(time)
            return None
        self.dropped[refusal.reason] += 1
        if refusal.reason in BROKEN:
            self.plan = None
            self._watch.on_broken_chunk(refusal.text)
        return str(refusal)

    def _refusal(
        self, chunk: ActionChunk, time: float, mode: Mode, person: bool
    ) -> Refusal | None:
        present = self.plan.chunk if self.plan else None
        refusal = (
            refuse_now(chunk, mode, self._watch.joint_time, self._instruction, person)
            or refuse_content(chunk, self._embodiment, self._config)
            or refuse_speed(chunk, self._embodiment, self._config)
            or refuse_timing(chunk, time, self._config)
            or refuse_order(chunk, present)
        )
        if refusal is not None:
            return refusal
        newest = self._watch.joints
        assert newest is not None
        arm = self._embodiment.kind == 'arm'
        origin = self._origin.of(chunk, newest, self.plan) if arm else newest
        if origin is None:
            return Refusal('before_history', f'no joint state at {chunk.stamp:.3f} s is kept')
        self.plan = ChunkPlan(chunk, self._embodiment, self._config, origin, time)
        return None

    def set_instruction(self, instruction: str, time: float) -> None:
        """Change the task in words; chunks planned for another one are dropped from now on."""
        self._instruction = instruction
        if self.plan is not None and self.plan.chunk.instruction != instruction:
            self.plan = None
            self._watch.hear(time)
