"""Episodes of the deployed graph in virtual time: `Rollout`, its brains and its observers."""

from univla_ros.rollout.brain import Brain
from univla_ros.rollout.brain import ExpertBrain
from univla_ros.rollout.brain import Plan
from univla_ros.rollout.brain import RandomBrain
from univla_ros.rollout.checkpoint_brain import CheckpointBrain
from univla_ros.rollout.checkpoint_brain import PolicyBrain
from univla_ros.rollout.detour_brain import DetourBrain
from univla_ros.rollout.observer import Observer
from univla_ros.rollout.operator import ExpertOperator
from univla_ros.rollout.rollout import Rollout
from univla_ros.rollout.rollout import RolloutResult

__all__ = [
    'Brain',
    'CheckpointBrain',
    'DetourBrain',
    'ExpertBrain',
    'ExpertOperator',
    'Observer',
    'Plan',
    'PolicyBrain',
    'RandomBrain',
    'Rollout',
    'RolloutResult',
]
