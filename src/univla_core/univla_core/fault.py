"""What is wrong with a part of the chain, by a short name and in words."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """A fault as heartbeats and `control_state` tell it.

    Attributes:
        name: Short machine-readable name such as `stale_camera`; empty if nothing is wrong.
        reason: The same in words, with what to do about it; without a name it says what a
            healthy part waits for.
    """

    name: str = ''
    reason: str = ''


#: Nothing is wrong and nothing is waited for.
HEALTHY = Fault()
