"""The deployed brain: a policy and the decoder of a robot, used as the nodes use them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.embodiment import load_embodiment
from univla_core.errors import ActionError
from univla_core.errors import ConfigError
from univla_core.errors import ObservationError
from univla_core.observation import Observation
from univla_core.parameters import read_yaml
from univla_core.robot_state import proprioception

from univla_ros.checkpoints import ensure_checkpoint
from univla_ros.robot_decoders import decoder_path
from univla_ros.robot_decoders import load_decoder
from univla_ros.robot_state import RobotState
from univla_ros.rollout.brain import Plan

#: What a policy that was trained end to end, without codes of its own, is always asked with.
CLONING_CODES = (0, 1, 2, 3)


class PolicyBrain:
    """A policy and a decoder that are in memory.

    Args:
        policy: Plans latent actions, see `univla_models.policy.Policy`.
        decoder: Turns them into rows, see `univla_decoders.decoder.RobotDecoder`.
        codes: Codes that the policy is made to say; None lets it choose.
        ensembling: When to average the chunks of several plans, see
            `univla_core.temporal_ensembling.WHEN`.
    """

    sees_truth = False
    finished = False

    def __init__(
        self,
        policy: Any,
        decoder: Any,
        codes: Sequence[int] | None = None,
        ensembling: str = 'auto',
    ) -> None:
        from univla_decoders.ensembled_decoder import EnsembledDecoder

        self.policy, self.decoder = policy, decoder
        self._chunks = EnsembledDecoder(decoder, ensembling)
        self._codes = None if codes is None else np.array(codes, dtype=np.int32)
        self._history: np.ndarray | None = None
        self._sequence = 0

    def reset(self, instruction: str) -> None:
        """Begin an episode: earlier plans are forgotten, as the planner forgets for a new task."""
        self.policy.reset()
        self._chunks.reset()
        self._history, self._sequence = None, 0

    def plan(self, observation: Observation, state: RobotState | None) -> Plan:
        """Plan on the pictures and decode for the measured state.

        Raises:
            ObservationError: If the decoder needs the robot's state and none is near enough.
            ActionError: If the plan or the chunk is no action; earlier chunks are forgotten, as
                `decoder_node` forgets them.
        """
        try:
            return self._planned(observation, state)
        except ActionError:
            self._chunks.reset()
            raise

    def _planned(self, observation: Observation, state: RobotState | None) -> Plan:
        latent = self.policy.plan(
            observation.images,
            observation.instruction,
            history_codes=self._history,
            codes=self._codes,
        )
        latent.check(self.policy.num_codes)
        self._history = latent.codes
        self._sequence += 1
        latent = dataclasses.replace(latent, stamp=observation.stamp, sequence=self._sequence)
        declared = self.decoder.declaration
        rows = self._chunks.decode(latent, self._body(state))
        if not np.isfinite(rows).all():
            raise ActionError(f'the decoder of {declared.robot} made a chunk that is not finite')
        return Plan(
            rows=rows,
            action_space=declared.action_space,
            names=tuple(declared.names),
            step_duration_s=declared.step_duration_s,
            source='policy',
            latent=latent,
        )

    def _body(self, state: RobotState | None) -> np.ndarray | None:
        if not self.decoder.declaration.proprioception_dim:
            return None
        if state is None:
            raise ObservationError('this head needs proprioception and no joint state is at hand')
        return proprioception(state)


class CheckpointBrain(PolicyBrain):
    """A policy and a decoder from a checkpoint folder.

    Args:
        checkpoint: Folder, or its name in checkpoints/.
        robot: The robot, or its name.
        decoder: Folder of the decoder; None takes `decoders/<robot>` of the checkpoint.
        codes: Codes that the policy is made to say. None lets it choose, unless the checkpoint
            says that it was cloned end to end: then `CLONING_CODES`.
        policy: Name of the policy.
        device: `auto`, `cpu`, `cuda` or `cuda:<n>`.
        dtype: Precision of the weights.
        threads: CPU threads of torch.
        ensembling: As of `PolicyBrain`.
        options: Further options of the policy; its `preprocessing` is `auto` by default.

    Raises:
        UnivlaError: If checkpoint and decoder are missing, damaged or do not fit the robot.
    """

    def __init__(
        self,
        checkpoint: str,
        robot: str | Embodiment,
        decoder: str | None = None,
        codes: Sequence[int] | None = None,
        *,
        policy: str = 'univla',
        device: str = 'cpu',
        dtype: str = 'auto',
        threads: int = 1,
        ensembling: str = 'auto',
        **options: Any,
    ) -> None:
        import torch
        from univla_models.policy import load_policy

        torch.set_num_threads(threads)
        embodiment = robot if isinstance(robot, Embodiment) else load_embodiment(robot)
        folder = ensure_checkpoint(str(checkpoint))
        config = read_checkpoint_config(folder)
        if codes is None and config.get('recipe') == 'bc':
            codes = CLONING_CODES
        options = {'preprocessing': 'auto', 'camera': 'primary', **options}
        path = decoder_path(embodiment, str(checkpoint), str(decoder or ''))
        super().__init__(
            load_policy(policy, folder, device=device, dtype=dtype, **options),
            load_decoder(path, embodiment, allow_untrained=True),
            codes,
            ensembling,
        )
        self.decoder.check_codebook(self.policy.codebook)


def read_checkpoint_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a checkpoint.

    Raises:
        ConfigError: If the folder has none.
    """
    path = folder / 'config.json'
    if not path.is_file():
        raise ConfigError(f'{folder} is no checkpoint: it has no config.json')
    return dict(read_yaml(path))
