"""Demonstrations on several cores, until there are as many as asked for."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED
from concurrent.futures import Future
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from univla_core.errors import DataError

from univla_ros.collect.demonstration import Report
from univla_ros.collect.demonstration import demonstrate
from univla_ros.collect.ledger import Ledger
from univla_ros.collect.options import CollectOptions
from univla_ros.collect.options import Job

#: With fewer successes than this, trying on is no use.
_LEAST_RATE = 0.5
_PATIENCE = 10


class Collection:
    """The episodes of one robot and task.

    Args:
        robot: Name of the robot.
        task: Name of the task.
        options: How many, and how.
        done: Called with every report.

    Attributes:
        folder: Where they are.
        before: How many there were already.
        reports: What came of the scenes of this run.
    """

    def __init__(
        self, robot: str, task: str, options: CollectOptions, done: Callable[[Report], None]
    ) -> None:
        self.folder: Path = options.out / robot / task
        self._robot, self._task, self._options, self._done = robot, task, options, done
        self._ledger = Ledger(self.folder, options)
        self.before = len(self._ledger.kept())
        self.reports: list[Report] = []

    @property
    def missing(self) -> int:
        """Episodes still to make."""
        kept = self.before + sum(report.kept for report in self.reports)
        return max(0, self._options.episodes - kept)

    def run(self) -> None:
        """Record until there are enough.

        Raises:
            DataError: If the disk is full, recording fails again and again, or a worker is killed.
        """
        if not self.missing:
            return
        self._ledger.write()
        cores = self._options.workers or len(os.sched_getaffinity(0))
        count = min(cores, self.missing)
        if count == 1:
            while self.missing:
                self._take(demonstrate(self._jobs(1, set())[0]))
            return
        # A fork would share the parent's OpenGL threads, which do not survive it.
        context = multiprocessing.get_context('spawn')
        pool = ProcessPoolExecutor(count, mp_context=context)
        try:
            self._run_on(pool, count)
        except BrokenProcessPool as error:
            raise DataError(
                f'{self.folder}: a worker was killed; is there too little memory? Try --workers 1'
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _run_on(self, pool: ProcessPoolExecutor, count: int) -> None:
        running: dict[Future[Report], int] = {}
        while self.missing:
            # No more at once than are missing, so that the episodes are the same however many
            # cores there are.
            room = min(2 * count, self.missing) - len(running)
            for job in self._jobs(room, set(running.values())):
                running[pool.submit(demonstrate, job)] = job.seed
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                del running[future]
                self._take(future.result())

    def _jobs(self, count: int, taken: set[int]) -> list[Job]:
        return [
            Job(
                robot=self._robot,
                task=self._task,
                seed=seed,
                folder=self.folder,
                options=self._options,
            )
            for seed in (self._ledger.next_seeds(count, taken) if count > 0 else ())
        ]

    def _take(self, report: Report) -> None:
        self.reports.append(report)
        if report.fatal:
            raise DataError(report.error)
        if not report.kept:
            self._ledger.fail(report.seed, report.error or report.text)
        self._done(report)
        tried = len(self.reports)
        good = sum(report.kept for report in self.reports)
        if tried >= _PATIENCE and good < _LEAST_RATE * tried:
            raise DataError(
                f'{self._robot} {self._task}: only {good} of {tried} scenes gave an episode '
                f'(last: {report.error or report.text}); the expert does not master this task '
                'here. --keep-failures records them all'
            )
