"""Whether the nodes behind the chunks are alive and trust what they send."""

from __future__ import annotations

from univla_core.fault import Fault

#: The nodes of the chain, in the order in which their faults are named.
CHAIN = ('policy', 'decoder')


class Heartbeats:
    """Keeps the last heartbeat of each node of the chain.

    Args:
        timeout_s: Silence from which a node counts as gone [s]; 0 asks for no heartbeat.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout = timeout_s
        self._heard: dict[str, float] = {}
        self._said: dict[str, Fault] = {}

    def hear(self, node: str, time: float, fault: Fault) -> None:
        """Take in a heartbeat of `policy` or `decoder` that arrived at `time` [s]."""
        self._heard[node], self._said[node] = time, fault

    def excuse(self, time: float) -> None:
        """Time makes no sense before `time` [s]: every node gets one timeout to speak again."""
        self._heard = dict.fromkeys(self._heard, time)

    def fault(self, time: float, slack: float = 0.0) -> Fault:
        """The first fault of the chain at `time` [s].

        Args:
            time: Time of the tick [s].
            slack: How long nobody was listening [s]: our own lateness is not theirs.
        """
        for node in CHAIN:
            silence = time - self._heard.get(node, -1e9)
            if self._timeout and silence > self._timeout + slack:
                return Fault(f'{node}_silent', _silent(node, silence))
            said = self._said.get(node)
            if said is not None and said.name:
                return said
        return Fault()


def _silent(node: str, silence: float) -> str:
    if silence > 1e6:
        return f'{node}_node was never heard; start it, or look at its log'
    return f'{node}_node has been silent for {silence:.2f} s; did it end or hang?'
