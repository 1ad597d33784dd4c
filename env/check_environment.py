"""Prove that the environment just made works: ROS talks, torch suits the machine."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


def check_ros() -> None:
    """Start and stop a node, and put an array into a compiled message."""
    import numpy
    import rclpy
    from geometry_msgs.msg import PoseWithCovariance

    numpy.add(PoseWithCovariance().covariance, numpy.zeros(36))
    rclpy.init(domain_id=231)
    rclpy.create_node('environment_check').destroy_node()
    rclpy.shutdown()


def check_torch(device: str) -> None:
    """Fail if the machine has a GPU that this torch cannot use."""
    import torch

    if device == 'cuda' and torch.version.cuda is None:
        sys.exit(
            f'torch {torch.__version__} was built without CUDA although this machine has an '
            'NVIDIA driver (or UNIVLA_DEVICE=cuda): pip found no CUDA build.\n'
            'Set UNIVLA_TORCH_INDEX to a package index that has one, or UNIVLA_DEVICE=cpu to do '
            'without, and try again.'
        )
    if device == 'cuda' and not torch.cuda.is_available():
        print(
            f'Warning: torch {torch.__version__} (CUDA {torch.version.cuda}) sees no usable GPU; '
            'the driver may be too old. The suite will run on the processor.'
        )
    print(f'torch {torch.__version__}, CUDA {torch.version.cuda or "none"}')


if __name__ == '__main__':
    assert Path(sys.prefix, 'pyvenv.cfg').exists(), 'to be run by the environment itself'
    with tempfile.TemporaryDirectory() as logs:
        os.environ['ROS_LOG_DIR'] = logs
        check_ros()
    check_torch(sys.argv[1])
