"""Settings of the data and of each training stage: the sections of a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from univla_core.parameters import parameter

from univla_training.trainer_settings import TrainerSettings

TASKS = ['reach', 'push', 'pick', 'place']


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which recorded episodes, and how they are cut into samples."""

    robots: list[str] = parameter(
        ['widowx', 'franka', 'airbot', 'mobile_base'], 'Robots to learn from and to decode for'
    )
    tasks: list[str] = parameter(TASKS, 'Tasks of the arms that `train all` collects')
    base_tasks: list[str] = parameter(['drive'], 'Tasks of a base that `train all` collects')
    episodes: int = parameter(300, 'Episodes per robot and task that `train all` collects', low=2)
    camera: str = parameter('primary', 'Camera whose pictures are learned from')
    rate_hz: float = parameter(5.0, 'Rate of the policy clock [Hz]', low=0.1, high=100.0)
    horizon: int = parameter(4, 'Rows of an action chunk', low=1, high=64)
    validation_share: float = parameter(
        0.03, 'Share of the episodes that nothing learns from', low=0.0, high=0.5
    )


@dataclass(frozen=True, kw_only=True)
class PretrainingSettings(TrainerSettings):
    """What stands in for a pretrained vision-language model; 0 steps where one is at hand."""

    base: str = parameter('', 'Checkpoint folder of a pretrained policy to start from instead')
    scenes: int = parameter(6000, 'Rendered scenes to point at', low=1)
    robots: list[str] = parameter([], 'Robots in the scenes; empty takes those of the data')


@dataclass(frozen=True, kw_only=True)
class LamSettings(TrainerSettings):
    """One stage of the latent action model."""

    interval: int = parameter(4, 'Frames between the two pictures of a sample', low=1)
    robots: list[str] = parameter([], 'Robots to learn from; empty takes those of the data')
    dino: str = parameter('', "File of DINOv2's weights; empty takes the pretraining's")
    text_encoder: str = parameter('', "Folder of T5's weights; empty trains a small one along")
    commitment: float = parameter(0.25, 'Weight of the commitment loss', low=0.0)
    reconstruction: float = parameter(1.0, 'Weight of the reconstruction', low=0.0)
    change_weight: float = parameter(
        4.0, 'How much more a patch counts that changed, against an average one', low=0.0
    )
    codebook_rate: float = parameter(1.0, "Factor on the codebook's learning rate", low=0.0)
    restart_every: int = parameter(
        100, 'Steps after which codes that nobody used start anew; 0 never', low=0
    )
    augment: bool = parameter(True, 'Change brightness and tint, alike in both pictures')


@dataclass(frozen=True, kw_only=True)
class PolicySettings(TrainerSettings):
    """Next-token training on the codes of stage 2."""

    robots: list[str] = parameter([], 'Robots to learn from; empty takes those of the data')
    augment: bool = parameter(True, 'Change brightness and tint of the picture')
    pointing_share: float = parameter(
        0.0, 'Share of each batch that goes on pointing in rendered scenes', low=0.0, high=0.9
    )
    pointing_weight: float = parameter(
        1.0, "Weight of the pointing's loss beside that of the codes", low=0.0
    )


@dataclass(frozen=True, kw_only=True)
class LookSettings(TrainerSettings):
    """Eyes of a trained policy learn other looks of the room; 0 steps leave them as they are."""

    steps: int = parameter(0, 'Optimiser steps; 0 skips the stage', low=0)
    pairs: int = parameter(12000, 'Rendered scenes, each in two looks', low=1)
    plain_share: float = parameter(
        0.3, 'Share of the scenes that stay in the plain look', low=0.0, high=1.0
    )
    robots: list[str] = parameter([], 'Robots in the scenes; empty takes those of the data')


@dataclass(frozen=True, kw_only=True)
class ReadoutSettings(TrainerSettings):
    """Reading off a finished policy's plans where it points; 0 steps leave it."""

    steps: int = parameter(0, 'Optimiser steps; 0 skips the stage', low=0)
    scenes: int = parameter(6000, 'Rendered scenes to point at', low=1)
    views: int = parameter(
        6, 'Times that the policy looks at each, for a task and in a tint of its own', low=1
    )
    robots: list[str] = parameter([], 'Robots in the scenes; empty takes those of the data')


@dataclass(frozen=True, kw_only=True)
class DecoderSettings(TrainerSettings):
    """The decoder of one robot."""

    head: str = parameter(
        'query',
        'Kind of head; servo is for a handful of demonstrations in end-effector spaces, and '
        'where the policy learns, too, it is query instead',
        choices=('query', 'servo', 'manipulation', 'proprioception'),
    )
    share: float = parameter(1.0, 'Share of the action labels to use', low=0.0, high=1.0)
    correction_weight: float = parameter(
        3.0, 'How much more a chunk counts with which a person corrected the policy', low=0.0
    )
    imitate_policy: bool = parameter(
        False, 'Imitate what the policy did in episodes that a person corrected, too'
    )
    finetune_rate: float = parameter(
        0.3, 'Factor on the learning rate where a trained decoder is trained further', low=0.0
    )
    proprioception: bool = parameter(True, 'Give the head joint angles and gripper opening')
    end_effector_position: bool = parameter(
        True, 'Tell the head of an arm where the end effector is, too'
    )
    body_noise: float = parameter(
        0.02, 'Spread of noise on proprioception, in normalised units', low=0.0
    )
    pointing: bool = parameter(
        False, 'Tell a query head on a frozen policy where in the picture the policy points'
    )
    views: int = parameter(
        1,
        'Times that the frozen policy looks at each frame, in changing brightness and tint',
        low=1,
    )
    view_shift: float = parameter(
        0.0,
        'Largest shift of the picture in such a look, as a share of its side, as if the camera '
        'stood elsewhere',
        low=0.0,
        high=0.2,
    )
    every_direction: bool = parameter(
        True,
        'Whether what a servo head is shown in one direction holds in every one; false for tasks '
        'such as pushing to the left',
    )
    lora_rank: int = parameter(0, 'Rank of LoRA on the policy; 0 freezes the policy', low=0)
    lora_alpha: float = parameter(16.0, 'Scale of LoRA', low=0.0)
    code_weight: float = parameter(1.0, 'Weight of the codes beside the actions (LoRA)', low=0.0)
    augment: bool = parameter(True, 'Change brightness and tint of the picture')

    @property
    def learned_together(self) -> str:
        """Kind of head where the network learns, too: a servo head needs a frozen one."""
        return 'query' if self.head == 'servo' else self.head


@dataclass(frozen=True, kw_only=True)
class MendingSettings:
    """Rounds in which policies drive astray, experts go on, and decoders learn from that."""

    rounds: int = parameter(0, 'How often; each begins with the decoders of the last', low=0)
    episodes: int = parameter(60, 'Episodes of each robot and task in a round', low=2)
    robots: list[str] = parameter([], 'Whose decoders; empty takes those of the data')


@dataclass(frozen=True, kw_only=True)
class CloningSettings(TrainerSettings):
    """Direct behaviour cloning: the same networks, no codes."""

    robots: list[str] = parameter([], 'Robots to learn from; empty takes those of the data')
    share: float = parameter(1.0, 'Share of the action labels to use', low=0.0, high=1.0)
    augment: bool = parameter(True, 'Change brightness and tint of the picture')
    pointing_share: float = parameter(
        0.0, 'Share of each batch that goes on pointing in rendered scenes', low=0.0, high=0.9
    )


@dataclass(frozen=True, kw_only=True)
class FinetuningSettings(TrainerSettings):
    """Policy and decoders of all robots together; 0 steps leave them apart."""

    robots: list[str] = parameter([], 'Robots to learn from; empty takes those of the data')
    code_weight: float = parameter(0.1, 'Weight of the codes beside the actions', low=0.0)
    code_noise: float = parameter(
        0.2, 'Share of the codes before that are replaced by random ones', low=0.0, high=1.0
    )
    augment: bool = parameter(True, 'Change brightness and tint of the picture')
    pointing_share: float = parameter(
        0.0, 'Share of each batch that goes on pointing in rendered scenes', low=0.0, high=0.9
    )
