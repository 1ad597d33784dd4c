"""A run without any fault: how often does the robot stop for nothing?"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from univla_ros.bench import timing
from univla_ros.bench.live_graph import LiveGraph


@dataclass(frozen=True, kw_only=True)
class CleanRun:
    """What came of it.

    Attributes:
        begin: When it began [s, system time].
        end: When it ended [s, system time].
        held: Share of the time in which the policy did not command.
        faults: What was named meanwhile.
        limit_use: Largest share of a limit that any command used.
        limit: Which limit that was.
        load: Load average of the machine over the last minute, per core.
    """

    begin: float
    end: float
    held: float
    faults: tuple[str, ...]
    limit_use: float
    limit: str
    load: float


def clean_run(graph: LiveGraph, duration_s: float) -> CleanRun:
    """Watch a graph whose robot moves already.

    Raises:
        BenchError: If a node ends.
    """
    watch = graph.watch
    begin = time.time()
    while time.time() - begin < duration_s:
        time.sleep(0.2)
        graph.check_alive()
    end = time.time()
    states = [said for said in watch.states if begin <= said.time <= end]
    used, limit = timing.limit_use(graph.embodiment, watch.commands.between(begin, end))
    return CleanRun(
        begin=begin,
        end=end,
        held=1.0 - timing.share_of_time(states, end, 'policy'),
        faults=tuple(sorted({s.fault for s in states if s.fault and s.source != 'policy'})),
        limit_use=used,
        limit=limit,
        load=os.getloadavg()[0] / (os.cpu_count() or 1),
    )
