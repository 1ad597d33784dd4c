"""Decode with memory: what several plans say about the same moment is averaged."""

from __future__ import annotations

import numpy as np
from univla_core.errors import ConfigError
from univla_core.latent_action import LatentAction
from univla_core.poses import nearest_rotation
from univla_core.poses import rotation_from_vector
from univla_core.poses import vector_from_rotation
from univla_core.temporal_ensembling import WHEN
from univla_core.temporal_ensembling import TemporalEnsembler

from univla_decoders.decoder import RobotDecoder

_TURN, _MATRIX = slice(3, 6), slice(3, 12)


class EnsembledDecoder:
    """A robot decoder whose chunk is averaged with those before, wherever they overlap.

    Increments from the measured robot are averaged by where they lead: poses by position and
    rotation, joints by angle, the gripper by its opening before it is rounded. Other chunks are
    averaged as the network says them, as in UniVLA's deployment.

    Args:
        decoder: Decodes single plans.
        when: One of `univla_core.temporal_ensembling.WHEN`.

    Attributes:
        decoder: As given.
        averages: Whether it averages.

    Raises:
        ConfigError: If `when` is unknown.
    """

    def __init__(self, decoder: RobotDecoder, when: str = 'auto') -> None:
        if when not in WHEN:
            raise ConfigError(f'temporal_ensembling is {when!r}; choose one of {", ".join(WHEN)}')
        declared = decoder.declaration
        self.decoder = decoder
        self.averages = declared.temporal_ensembling if when == 'auto' else when == 'always'
        self._turns = declared.relative and declared.action_space == 'eef_pose'
        self._ensembler = TemporalEnsembler(decoder.horizon)
        self._last: LatentAction | None = None

    def reset(self) -> None:
        """Forget every plan; call it when the robot starts anew or a plan was refused."""
        self._ensembler.reset()
        self._last = None

    def decode(self, latent: LatentAction, proprioception: np.ndarray | None = None) -> np.ndarray:
        """As `RobotDecoder.decode`, averaged.

        Plans for another instruction are forgotten, and all of them when time goes backwards.
        """
        if not self.averages:
            return self.decoder.decode(latent, proprioception)
        predicted = self.decoder.predict(latent, proprioception)
        shift = self._shift(latent)
        if not self.decoder.declaration.relative:
            blended = self._ensembler.blend(predicted, shift)
            return self.decoder.to_robot_units(blended, proprioception)
        rows = self.decoder.unrounded(predicted, proprioception)
        if not self._turns:
            return self.decoder.rounded(self._ensembler.blend(rows, shift))
        return self.decoder.rounded(_vectors(self._ensembler.blend(_matrices(rows), shift)))

    def _shift(self, latent: LatentAction) -> float:
        """Steps since the plan before."""
        last, self._last = self._last, latent
        if last is None or last.instruction != latent.instruction or latent.stamp < last.stamp:
            self._ensembler.reset()
            return 1.0
        return (latent.stamp - last.stamp) / self.decoder.declaration.step_duration_s


def _matrices(rows: np.ndarray) -> np.ndarray:
    """Rows (n, dim) with nine numbers of a rotation matrix in place of a rotation vector.

    The vectors of two turns of nearly half a circle may be far apart where the turns are not.
    """
    turns = [rotation_from_vector(row[_TURN]).ravel() for row in rows]
    return np.hstack([rows[:, : _TURN.start], turns, rows[:, _TURN.stop :]])


def _vectors(rows: np.ndarray) -> np.ndarray:
    """The inverse, for averages of matrices: the rotation nearest to each."""
    turns = [vector_from_rotation(nearest_rotation(row[_MATRIX].reshape(3, 3))) for row in rows]
    return np.hstack([rows[:, : _MATRIX.start], turns, rows[:, _MATRIX.stop :]])
