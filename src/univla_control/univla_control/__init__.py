"""Executes action chunks: time alignment, seams, up-sampling, limits, hold on silence."""

from univla_control.command import Command
from univla_control.command import ControllerStatus
from univla_control.command import Mode
from univla_control.config import ControlConfig
from univla_control.controller import ChunkController
from univla_control.limits_report import LimitsReport
from univla_control.limits_report import check_commands

__all__ = [
    'ChunkController',
    'Command',
    'ControlConfig',
    'ControllerStatus',
    'LimitsReport',
    'Mode',
    'check_commands',
]
