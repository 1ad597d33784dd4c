"""What a head feels of its robot beyond what is measured: where the end effector is.

It follows from the joints, but a small head that must learn forward kinematics from a few thousand
frames errs by a centimetre, mostly in height, and closes the fingers above the cube.
"""

from __future__ import annotations

import numpy as np
from univla_core.embodiment import Embodiment

#: Values that the position adds: x, y, z.
POSITION_DIM = 3


def with_position(proprioception: np.ndarray, embodiment: Embodiment) -> np.ndarray:
    """Append the end effector's position to measured proprioception.

    Args:
        proprioception: Begins with the joints [rad], shape (p,) or (frames, p).
        embodiment: An arm.

    Returns:
        The same with x, y, z [m] in the base frame behind it, (p + 3,) or (frames, p + 3).
    """
    assert embodiment.chain is not None
    values = np.atleast_2d(np.asarray(proprioception, dtype=float))
    joints = values[:, : embodiment.axis_count]
    places, _, _, _ = embodiment.chain.motion(joints, np.zeros_like(joints))
    told = np.concatenate([values, places], axis=1)
    return told if np.ndim(proprioception) == 2 else told[0]
