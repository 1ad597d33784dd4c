"""Gripper conventions: what a network's last dimension means, as an opening in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Convention name → opening in [0, 1], 1 = open. Values outside are clipped afterwards.
CONVENTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    'none': lambda value: value,  # the chunk has no gripper
    'open_positive_unit': lambda value: value,  # 0 closed, 1 open: LIBERO, Bridge
    'open_positive_signed': lambda value: 0.5 * (value + 1.0),  # -1 closed, 1 open: CALVIN
    'open_negative_signed': lambda value: 0.5 * (1.0 - value),  # -1 open, 1 closed: LIBERO's env
}


def opening(value: np.ndarray, convention: str) -> np.ndarray:
    """Gripper opening in [0, 1], 1 = open, from a value in one of `CONVENTIONS`."""
    return np.clip(CONVENTIONS[convention](np.asarray(value, dtype=np.float64)), 0.0, 1.0)


def libero_gripper(value: np.ndarray) -> np.ndarray:
    """LIBERO's environment command from 0 closed … 1 open: -1 opens, +1 closes, 0.5 is 0."""
    return -np.sign(gripper_continuous(value))


def gripper_continuous(value: np.ndarray) -> np.ndarray:
    """From [0, 1] to [-1, 1] without a threshold."""
    return 2.0 * np.asarray(value, dtype=np.float64) - 1.0


def bridge_gripper(value: np.ndarray) -> np.ndarray:
    """SimplerEnv's WidowX command from 0 closed … 1 open: +1 above one half, else -1."""
    return np.where(np.asarray(value) > 0.5, 1.0, -1.0)


def calvin_gripper(value: np.ndarray) -> np.ndarray:
    """CALVIN's command from -1 closed … +1 open: -1 below zero, else +1."""
    return np.where(np.asarray(value) < 0.0, -1, 1)
