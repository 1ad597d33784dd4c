"""What a killed process leaves in shared memory is given back; what a living one uses stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from univla_ros.stale_memory import sweep_shared_memory

SHARED = Path('/dev/shm')
NODE = """
import sys, rclpy
rclpy.init()
node = rclpy.create_node('lasting')
print('up', flush=True)
sys.stdin.read()
"""


def files() -> set[str]:
    return {name for name in os.listdir(SHARED) if 'fastrtps_' in name or 'fastdds_' in name}


@pytest.fixture
def process(monkeypatch):
    """A node in a process and a domain of its own, and the names of its shared memory."""
    monkeypatch.setenv('ROS_DOMAIN_ID', '101')
    before = files()
    child = subprocess.Popen(
        [sys.executable, '-c', NODE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == 'up\n'
    child.names = files() - before
    if not child.names:
        child.kill()
        child.wait()
        pytest.skip('Fast DDS uses no shared memory here')
    yield child
    child.kill()
    child.communicate()


def test_a_living_process_keeps_its_memory(process):
    """However old it is."""
    sweep_shared_memory(young_s=0.0)
    assert process.names <= files()


def test_a_killed_process_leaves_nothing_for_long(process):
    """Segments, ports, their locks and semaphores; not while they might be in the making."""
    process.kill()
    process.wait()
    left = process.names & files()
    assert any('port' not in name for name in left)
    sweep_shared_memory(young_s=3600.0)
    assert left <= files()
    assert sweep_shared_memory(young_s=0.0) > 100_000
    assert not left & files()


def test_other_files_and_missing_folders_are_left_alone(tmp_path):
    """Only names of the middleware count."""
    (tmp_path / 'fastrtps_0123456789abcdef').write_bytes(bytes(10))
    (tmp_path / 'fastrtps_0123456789abcdef_el').touch()
    (tmp_path / 'fastrtps_something').touch()
    (tmp_path / 'sem.mp-1').touch()
    assert sweep_shared_memory(tmp_path, young_s=-1.0) == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ['fastrtps_something', 'sem.mp-1']
    assert sweep_shared_memory(tmp_path / 'nowhere') == 0
