"""Where recorded episodes come from: hashes of what drives the robot, and software versions."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError
from univla_data.message_types import message
from univla_data.message_types import typestore
from univla_data.provenance import Provenance
from univla_data.provenance import hash_of
from univla_data.provenance import hash_of_path
from univla_data.provenance import hash_of_robot
from univla_data.provenance import software
from univla_data.topics import ROBOT_DESCRIPTION

from univla_ros.checkpoints import ensure_checkpoint
from univla_ros.frames import robot_description
from univla_ros.recorder.entry import Entry
from univla_ros.recorder.episode_file import lower_priority
from univla_ros.robot_decoders import decoder_path

_STATS = 'dataset_statistics.json'


class Origin:
    """Knows what is known about an episode beside its messages.

    Weights may be large: they are hashed by a thread of its own.

    Args:
        embodiment: The robot.
        space: Its namespace.
        task: Name of the task; empty if there is none.
        weights: Names `checkpoint`, `decoder` and `declaration` as the launch file has them; an
            empty checkpoint says that no policy runs.
        details: Anything else that is certain from the start.

    Attributes:
        problem: Why weights could not be hashed; empty if they were or are being.
    """

    def __init__(
        self,
        embodiment: Embodiment,
        space: str,
        task: str,
        weights: Mapping[str, str],
        details: Mapping[str, Any],
    ) -> None:
        self._embodiment, self._weights = embodiment, dict(weights)
        self._hashes = {'robot': hash_of_robot(embodiment)}
        self._details = dict(details)
        self.problem = ''
        self._known = Provenance(
            robot=embodiment.name,
            task=task,
            namespace=space if space.strip('/') else '',
            driver=weights.get('checkpoint', ''),
            cameras={name: camera.rate_hz for name, camera in embodiment.cameras.items()},
            **software(),
        )
        self._thread = threading.Thread(target=self._hash, name='hashes', daemon=True)
        self._thread.start()

    def set_limits(self, controller: Mapping[str, Any]) -> None:
        """Take in the parameters by which the controller bounds all motion."""
        limits = vars(self._embodiment.limits).items()
        arrays = {k: v.tolist() for k, v in limits if isinstance(v, np.ndarray)}
        safety = self._embodiment.document.get('safety')
        self._hashes['safety_limits'] = hash_of(
            {'controller': dict(controller), 'limits': arrays, 'safety': safety}
        )

    def describe(self, instruction: str) -> Provenance:
        """The provenance of an episode that begins now."""
        return dataclasses.replace(
            self._known,
            instruction=instruction,
            hashes=dict(self._hashes),
            details=dict(self._details),
        )

    def complete(self, details: Mapping[str, Any], patience_s: float = 3.0) -> dict[str, Any]:
        """Fields that are known only at the end; waits a little for the hashes."""
        self._thread.join(patience_s)
        return {'hashes': dict(self._hashes), 'details': {**self._details, **details}}

    def description(self, received: float) -> Entry:
        """The robot's URDF as an entry."""
        msg = message(ROBOT_DESCRIPTION.kind, data=robot_description(self._embodiment))
        data = bytes(typestore().serialize_cdr(msg, ROBOT_DESCRIPTION.kind))
        return Entry(-1, ROBOT_DESCRIPTION, received, data)

    def _hash(self) -> None:
        lower_priority()
        weights = self._weights
        if not weights.get('checkpoint'):
            return
        try:
            checkpoint = ensure_checkpoint(weights['checkpoint'])
            self._hashes['checkpoint'] = hash_of_path(checkpoint)
            decoder = decoder_path(
                self._embodiment,
                weights['checkpoint'],
                weights.get('decoder', ''),
                weights.get('declaration', ''),
            )
            self._hashes['decoder'] = hash_of_path(decoder)
            stats = _statistics(decoder, checkpoint)
            if stats is not None:
                self._hashes['norm_stats'] = hash_of_path(stats)
        except (ConfigError, OSError) as error:
            self.problem = f'weights are not hashed: {error}'


def _statistics(*folders: Path) -> Path | None:
    """The norm stats that apply: the decoder's own before the checkpoint's."""
    inside = [folder if folder.is_dir() else folder.parent for folder in folders]
    found = [folder / _STATS for folder in inside if (folder / _STATS).is_file()]
    return found[0] if found else None
