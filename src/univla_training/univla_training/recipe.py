"""A recipe: every size and setting of a training run, one YAML in `config/training`."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import TypeVar

from univla_core.errors import ConfigError
from univla_core.parameters import Dataclass
from univla_core.parameters import config_from_mapping
from univla_core.parameters import read_yaml
from univla_core.paths import config_directory

from univla_training.network_sizes import NetworkSizes
from univla_training.settings import CloningSettings
from univla_training.settings import DataSettings
from univla_training.settings import DecoderSettings
from univla_training.settings import FinetuningSettings
from univla_training.settings import LamSettings
from univla_training.settings import LookSettings
from univla_training.settings import MendingSettings
from univla_training.settings import PolicySettings
from univla_training.settings import PretrainingSettings
from univla_training.settings import ReadoutSettings
from univla_training.uniact_settings import UniactRecipe
from univla_training.unified_settings import UnifiedRecipe

__all__ = ['NetworkSizes', 'Recipe', 'load_recipe', 'recipe_from_mapping', 'recipe_names']

SectionT = TypeVar('SectionT', bound=Dataclass)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run as data; every section has defaults.

    Attributes:
        name: Name of the file, without its ending.
        network: Sizes of all networks.
        data: Which recorded episodes, and how they are cut into samples.
        pretraining: What stands in for a pretrained vision-language model.
        lam1, lam2: Stages 1 and 2 of the latent action model.
        policy: Next-token training on the codes of stage 2.
        looks: Eyes of a trained policy learn other looks of the room.
        readout: Reading off a finished policy's plans where it points.
        decoder: The decoder of one robot, on a frozen or LoRA policy.
        finetuning: Policy and decoders of all robots together.
        mending: Rounds in which decoders learn from where their own errors lead.
        cloning: Direct behaviour cloning, the rival of the same size and time.
        uniact: UniAct, its sizes and its stages.
        unified: The unified VLA, its sizes and its stages.
    """

    name: str = 'unnamed'
    network: NetworkSizes = NetworkSizes()
    data: DataSettings = DataSettings()
    pretraining: PretrainingSettings = PretrainingSettings()
    lam1: LamSettings = LamSettings()
    lam2: LamSettings = LamSettings()
    policy: PolicySettings = PolicySettings()
    looks: LookSettings = LookSettings()
    readout: ReadoutSettings = ReadoutSettings()
    decoder: DecoderSettings = DecoderSettings()
    finetuning: FinetuningSettings = FinetuningSettings()
    mending: MendingSettings = MendingSettings()
    cloning: CloningSettings = CloningSettings()
    uniact: UniactRecipe = UniactRecipe()
    unified: UnifiedRecipe = UnifiedRecipe()

    def document(self) -> dict[str, Any]:
        """The recipe as plain values, for model cards and `recipe.yaml` beside the results."""
        return dataclasses.asdict(self)


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes in `config/training`."""
    return tuple(sorted(path.stem for path in (config_directory() / 'training').glob('*.yaml')))


def load_recipe(name: str | Path) -> Recipe:
    """Read a recipe by name from `config/training`, or from the path of a YAML.

    Raises:
        ConfigError: If there is none (the known ones are listed) or a value does not fit.
    """
    path = Path(name)
    if path.suffix != '.yaml':
        path = config_directory() / 'training' / f'{name}.yaml'
        if not path.is_file():
            known = ', '.join(recipe_names()) or '(none)'
            raise ConfigError(f'no recipe {str(name)!r}: neither a YAML file nor one of {known}')
    return recipe_from_mapping({'name': path.stem, **read_yaml(path)}, str(path))


def recipe_from_mapping(values: Mapping[str, Any], where: str) -> Recipe:
    """Build a recipe from plain values.

    Raises:
        ConfigError: If a key is unknown or a value does not fit; the section is named.
    """
    recipe = _section(Recipe, values, where)
    recipe.network.check(f'{where}: network')
    return recipe


def _section(kind: type[SectionT], values: Any, where: str) -> SectionT:
    """As `config_from_mapping`, where a field that is a dataclass is a section of its own."""
    if not isinstance(values, Mapping):
        raise ConfigError(f'{where} is {values!r}; write a mapping of keys')
    plain: dict[str, Any] = dict(values)
    sections = {}
    for name, hint in typing.get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint) and isinstance(hint, type) and name in plain:
            sections[name] = _section(hint, plain.pop(name), f'{where}: {name}')
    return dataclasses.replace(config_from_mapping(kind, plain, where), **sections)  # type: ignore[type-var]
