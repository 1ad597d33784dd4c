"""The latent action: a short plan that means the same on every body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from univla_core.errors import ActionError


@dataclass(frozen=True, kw_only=True)
class LatentAction:
    """What a policy planned on one observation.

    Attributes:
        policy: Name of the policy (`univla`, `uniact`, `unified_vla`).
        codebook: Hash of the code vocabulary; decoders refuse another one.
        codes: Chosen codes, int32, shape (n,).
        probabilities: Probability of each chosen code, float32, shape (n,).
        latent: Hidden states that planned the codes, float32, shape (tokens, dim).
        visual: Hidden states of the picture, float32, shape (n_visual, dim); may have no rows.
        instruction: The task in words, as planned on.
        source: Who chose the codes: `policy`, or `teleop` for a person.
        stamp: Time of the observation [s].
        sequence: Running number of the plan.
        plan_start: Time when planning began [s].
        plan_stop: Time when planning ended [s].
    """

    policy: str
    codebook: str
    codes: np.ndarray
    probabilities: np.ndarray
    latent: np.ndarray
    visual: np.ndarray
    instruction: str
    source: str = 'policy'
    stamp: float = 0.0
    sequence: int = 0
    plan_start: float = 0.0
    plan_stop: float = 0.0

    def check(self, num_codes: int = 0) -> None:
        """Refuse shapes that do not belong together and values that are not finite.

        Args:
            num_codes: Size of the code vocabulary; 0 if unknown, then any code from 0 passes.

        Raises:
            ActionError: Naming the field.
        """
        if self.codes.ndim != 1 or self.codes.shape != self.probabilities.shape:
            raise ActionError(
                f'latent action {self.sequence}: codes {self.codes.shape} and probabilities '
                f'{self.probabilities.shape} must be two vectors of one length'
            )
        for name in ('probabilities', 'latent', 'visual'):
            if not np.isfinite(getattr(self, name)).all():
                raise ActionError(
                    f'latent action {self.sequence}: {name} holds NaN or infinity; '
                    'the policy produced it, check its checkpoint and precision'
                )
        outside = (self.codes < 0) | (self.codes >= (num_codes or np.inf))
        if outside.any():
            range_ = f'0 to {num_codes - 1}' if num_codes else '0 upwards'
            raise ActionError(
                f'latent action {self.sequence}: code {self.codes[outside][0]} is outside the '
                f'codebook, whose codes are {range_}; look at who publishes latent_action'
            )
