"""Sizes and settings of UniAct: the section `uniact` of a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from univla_core.errors import ConfigError
from univla_core.parameters import parameter
from univla_models.uniact_options import SELECTIONS
from univla_models.uniact_options import SQUASHED

from univla_training.pointing import label_side
from univla_training.trainer_settings import TrainerSettings

#: Kinds of heads that read a universal action.
HEAD_KINDS = ('uniact_act', 'uniact_mlp')
#: Tokens of the backbone along one side of a view.
VIEW_GRID = 7


@dataclass(frozen=True, kw_only=True)
class UniactSizes:
    """Sizes of extractor, codebook, backbone and heads; the picture's is `network.image_side`."""

    patch: int = parameter(12, 'Side of a patch of the extractor [px]', low=1)
    vision_dim: int = parameter(128, 'Channels of SigLIP', low=8)
    vision_layers: int = parameter(4, 'Layers of SigLIP', low=1)
    vision_heads: int = parameter(4, 'Attention heads of SigLIP', low=1)
    hidden: int = parameter(128, 'Channels of Qwen2', low=8)
    mlp: int = parameter(344, 'Channels inside its feed-forward layers', low=8)
    layers: int = parameter(4, 'Layers of Qwen2', low=1)
    heads: int = parameter(4, 'Attention heads of Qwen2', low=1)
    num_codes: int = parameter(256, 'Universal actions', low=2)
    code_dim: int = parameter(128, 'Dimensions of a universal action', low=1)
    channels: list[int] = parameter([8, 16, 32, 128], "Widths of the backbone's four stages")
    head_layers: list[int] = parameter(
        [2, 1], 'Layers of encoder and decoder of a uniact_act head'
    )
    head_hidden: int = parameter(256, 'Channels inside its feed-forward layers', low=8)

    def check(self, side: int, where: str) -> None:
        """Refuse sizes that do not belong together, or to a picture of this side [px].

        Raises:
            ConfigError: Naming them.
        """
        cells = label_side(side)
        if side not in SQUASHED or side % self.patch or cells % (side // self.patch):
            raise ConfigError(
                f'{where}: patches of {self.patch} px and a picture of {side} px do not go '
                f'together; take a picture of {", ".join(map(str, SQUASHED))} px and a patch that '
                f'divides it into a number of patches that divides {cells}'
            )
        for name, dim, heads in (
            ('vision', self.vision_dim, self.vision_heads),
            ('language', self.hidden, self.heads),
        ):
            if dim % heads:
                raise ConfigError(f'{where}: {dim} {name} channels for {heads} heads')
        if len(self.channels) != 4 or len(self.head_layers) != 2:
            raise ConfigError(f'{where}: channels has four numbers, head_layers two')


@dataclass(frozen=True, kw_only=True)
class UniactPretrainingSettings(TrainerSettings):
    """What stands in for LLaVA-OneVision and for a ResNet-18 that knows ImageNet."""

    base: str = parameter('', 'Folder of a UniAct checkpoint to start from instead')
    scenes: int = parameter(5000, 'Rendered scenes to point at', low=1)
    robots: list[str] = parameter([], 'Robots in the scenes; empty takes those of the data')
    view_share: float = parameter(
        0.5, 'Share of each batch that the backbone sees, too', low=0.0, high=1.0
    )


@dataclass(frozen=True, kw_only=True)
class UniactTrainingSettings(TrainerSettings):
    """Extractor, codebook, backbone and one head for each robot, on actions."""

    robots: list[str] = parameter([], 'Robots to learn from; empty takes those of the data')
    tasks: list[str] = parameter([], 'Tasks to learn from; empty takes those of the data')
    head: str = parameter('uniact_act', 'Kind of heads', choices=HEAD_KINDS)
    initial_temperature: float = parameter(2.0, 'Temperature of the first selection', low=1e-3)
    final_temperature: float = parameter(0.5, 'Temperature after `anneal`', low=1e-3)
    anneal: int = parameter(1_000_000, 'Selections until the final temperature', low=1)
    selection: str = parameter(
        'firm',
        'How the checkpoint chooses: the likeliest universal action, or all by probability',
        choices=SELECTIONS,
    )
    extractor: bool = parameter(True, 'Whether extractor and codebook go on learning')
    backbone: bool = parameter(True, 'Whether the backbone goes on learning')
    body_noise: float = parameter(
        0.02, 'Spread of noise on proprioception, in normalised units', low=0.0
    )
    pointing_share: float = parameter(
        0.0, 'Share of each batch that goes on pointing in rendered scenes', low=0.0, high=0.9
    )
    pointing_weight: float = parameter(
        1.0, 'Weight of the pointing beside the Huber loss of the actions', low=0.0
    )
    augment: bool = parameter(True, 'Change brightness and tint of the picture')


@dataclass(frozen=True, kw_only=True)
class UniactDecoderSettings(TrainerSettings):
    """Fast adaptation: a new head on a frozen network, whose codes are chosen as it deploys."""

    tasks: list[str] = parameter([], 'Tasks to learn from; empty takes those of the data')
    head: str = parameter('uniact_act', 'Kind of head', choices=HEAD_KINDS)
    share: float = parameter(1.0, 'Share of the action labels to use', low=0.0, high=1.0)
    body_noise: float = parameter(
        0.02, 'Spread of noise on proprioception, in normalised units', low=0.0
    )


@dataclass(frozen=True, kw_only=True)
class UniactRecipe:
    """Sizes and stages of UniAct."""

    network: UniactSizes = UniactSizes()
    pretraining: UniactPretrainingSettings = UniactPretrainingSettings()
    training: UniactTrainingSettings = UniactTrainingSettings()
    decoder: UniactDecoderSettings = UniactDecoderSettings()
