"""Episodes on several cores: one process each, with one thread for torch."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED
from concurrent.futures import Future
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool

from univla_core.errors import UnivlaError

from univla_ros.evaluation.cases import Case
from univla_ros.evaluation.episodes import EpisodeRecord
from univla_ros.evaluation.episodes import run_job

#: Episodes that a worker runs before it reports.
_CHUNK = 5

Job = tuple[int, Case, tuple[int, ...]]
Result = tuple[int, list[EpisodeRecord]]


def run_jobs(
    cases: Sequence[Case], seeds: range, workers: int, done: Callable[[Result], None]
) -> None:
    """Run all episodes of all cases.

    Args:
        cases: What to run; neighbours share robot and network, so that workers keep them.
        seeds: Seeds of each case.
        workers: Processes; 0 takes one per core, 1 runs here.
        done: Called in this process with the number of a case and some of its records.

    Raises:
        UnivlaError: If a worker is killed.
    """
    jobs = list(_jobs(cases, seeds))
    count = min(workers or len(os.sched_getaffinity(0)), len(jobs))
    if count <= 1:
        _one_thread()
        for job in jobs:
            done(_run(job))
        return
    # A fork would share the parent's OpenGL and torch threads, which do not survive it.
    context = multiprocessing.get_context('spawn')
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_one_thread)
    try:
        waiting: set[Future[Result]] = set()
        ahead = iter(jobs)
        while True:
            waiting |= {
                pool.submit(_run, job) for job in itertools.islice(ahead, _room(count, waiting))
            }
            if not waiting:
                return
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                done(future.result())
    except BrokenProcessPool as error:
        raise UnivlaError(
            'a worker of the evaluation was killed; is there too little memory? Try --workers 1'
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _room(count: int, waiting: set[Future[Result]]) -> int:
    return 2 * count - len(waiting)


def _jobs(cases: Sequence[Case], seeds: range) -> Iterator[Job]:
    for number, case in enumerate(cases):
        for start in range(0, len(seeds), _CHUNK):
            yield number, case, tuple(seeds[start : start + _CHUNK])


def _run(job: Job) -> Result:
    number, case, seeds = job
    return number, run_job(case, seeds)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
