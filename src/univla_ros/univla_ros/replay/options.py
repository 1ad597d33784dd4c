"""What is replayed, with which weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_data.provenance import hash_of_path
from univla_sim.world import World

from univla_ros.checkpoints import AUTO
from univla_ros.checkpoints import ensure_checkpoint
from univla_ros.checkpoints import own_checkpoint
from univla_ros.robot_decoders import decoder_path
from univla_ros.robot_decoders import load_decoder
from univla_ros.rollout.checkpoint_brain import CheckpointBrain

if TYPE_CHECKING:
    from univla_decoders.decoder import RobotDecoder

#: Files of a checkpoint that decide about its plans.
_WEIGHTS = ('.safetensors', '.bin', '.pt', '.json', '.model')


@dataclass(frozen=True, kw_only=True)
class ReplayOptions:
    """What the command line asks for; `robot` and `redecode` choose the kind of replay."""

    checkpoint: str = AUTO
    decoder: str = ''
    robot: str = ''
    redecode: bool = False
    policy: str = 'univla'
    seed: int = -1
    device: str = 'cpu'
    out: Path = Path('out/replay')
    json_path: Path | None = None

    @property
    def mode(self) -> str:
        """`open_loop`, `body` or `redecode`.

        Raises:
            ConfigError: If both kinds are asked for.
        """
        if self.robot and self.redecode:
            raise ConfigError('--robot and --redecode are two kinds of replay; give one of them')
        if self.robot:
            return 'body'
        return 'redecode' if self.redecode else 'open_loop'


class Weights:
    """Policies, decoders and worlds, each made once for all episodes.

    Args:
        options: Which.
    """

    def __init__(self, options: ReplayOptions) -> None:
        self._options = options
        self._made: dict[tuple[str, str], Any] = {}

    @cached_property
    def checkpoint(self) -> Path:
        """Folder of the checkpoint.

        Raises:
            ConfigError: If it is not there.
        """
        return ensure_checkpoint(own_checkpoint(self._options.checkpoint, self._options.policy))

    def decoder_folder(self, embodiment: Embodiment) -> Path:
        """Folder of a robot's decoder.

        Raises:
            ConfigError: If there is none.
        """
        own = '' if self._options.decoder else str(self.checkpoint)
        return decoder_path(embodiment, own, self._options.decoder)

    def brain(self, robot: str) -> CheckpointBrain:
        """Policy and decoder of a robot, used as the nodes use them."""
        options = self._options

        def load() -> CheckpointBrain:
            return CheckpointBrain(
                str(self.checkpoint),
                robot,
                options.decoder or None,
                policy=options.policy,
                device=options.device,
            )

        return self._once('brain', robot, load)

    def decoder(self, robot: str) -> RobotDecoder:
        """The decoder of a robot."""

        def load() -> RobotDecoder:
            import torch

            torch.set_num_threads(1)
            embodiment = load_embodiment(robot)
            return load_decoder(self.decoder_folder(embodiment), embodiment, allow_untrained=True)

        return self._once('decoder', robot, load)

    def world(self, robot: str) -> World:
        """The simulated scene of a robot."""
        return self._once('world', robot, lambda: World(load_embodiment(robot)))

    def digest(self, robot: str) -> str:
        """SHA-256 of everything that decides about the chunks of a robot: policy and decoder."""

        def compute() -> str:
            known = hashlib.sha256()
            for file in sorted(self.checkpoint.iterdir()):
                if file.suffix in _WEIGHTS:
                    known.update(file.name.encode() + hash_of_path(file).encode())
            known.update(hash_of_path(self.decoder_folder(load_embodiment(robot))).encode())
            return known.hexdigest()

        return self._once('digest', robot, compute)

    def _once(self, kind: str, robot: str, make: Callable[[], Any]) -> Any:
        if (kind, robot) not in self._made:
            self._made[kind, robot] = make()
        return self._made[kind, robot]
