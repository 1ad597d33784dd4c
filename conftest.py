"""Conditions under which every test of the suite runs, started by `./univla test` or colcon."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import tempfile

import pytest

# Before rclpy and torch are imported: a ROS domain of our own that stays on this machine, logs
# that leave no trace, and one thread for each process, as results must not depend on the cores.
os.environ.setdefault('ROS_DOMAIN_ID', str(random.SystemRandom().randint(1, 101)))
os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
os.environ.setdefault('OMP_NUM_THREADS', '1')
if 'ROS_LOG_DIR' not in os.environ:
    _logs = tempfile.TemporaryDirectory(prefix='univla_test_log_')
    os.environ['ROS_LOG_DIR'] = _logs.name

# Mesa's software renderer and triton (part of torch's CUDA build) each bring an LLVM. Triton's
# import crashes if Mesa's is in the process already, so it goes first here; the nodes of the
# graph are processes of their own and never have both.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401


# A background job is started with SIGINT ignored, and so would be all processes of the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Make property tests draw the same examples every time."""
    try:
        from hypothesis import settings
    except ImportError:
        return
    settings.register_profile('univla', derandomize=True, deadline=None, database=None)
    settings.load_profile('univla')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none; torch is asked only if such a test exists."""
    marked = [item for item in items if item.get_closest_marker('gpu')]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason='no CUDA device'))
