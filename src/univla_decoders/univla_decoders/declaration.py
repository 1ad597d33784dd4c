"""The declaration of a decoder: what its weights cannot say about themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from univla_core.action_space import action_space
from univla_core.errors import ConfigError
from univla_core.norm_stats import RULES
from univla_core.paths import config_directory

from univla_decoders.felt import POSITION_DIM
from univla_decoders.gripper import CONVENTIONS
from univla_decoders.heads import HEADS

ROTATIONS = ('vector', 'rpy')
#: A decoder without weights: it detokenises a plan of action tokens.
TOKENS = 'tokens'


@dataclass(frozen=True, kw_only=True)
class DecoderDeclaration:
    """One decoder as data, `decoder.yaml` beside its weights.

    Attributes:
        head: Kind of head, see `univla_decoders.heads.HEADS`, or `TOKENS`.
        horizon: Rows the head predicts.
        action_dim: Columns the head predicts (for navigation: choices per step).
        action_space: Name of the action space of the un-normalised chunk.
        names: One axis name per dimension of the un-normalised chunk, in order.
        step_duration_s: Time between two rows [s].
        num_heads: Attention heads of the pooling.
        latent_dim: Dimension of the latent token, where the weights do not tell (`uniact_mlp`).
        normalisation: Rule the actions were trained under, see `univla_core.norm_stats.RULES`.
        unnorm_key: Data set whose statistics apply; may be omitted when there is one.
        codebook: Hash of the code vocabulary the decoder was trained on; empty accepts any.
        num_codes: Size of that vocabulary; 0 if unknown.
        proprioception_dim: Size of the proprioception vector, 0 without one.
        proprioception_normalisation: Rule for proprioception.
        end_effector_position: The last three values of proprioception are where the end effector
            is; the decoder works them out from the joints, with which proprioception begins. Needs
            an arm as `robot`.
        gripper: Convention of the last dimension, see `univla_decoders.gripper.CONVENTIONS`.
        gripper_binary: Open fully above one half and close below, as trained on binary data.
        scale: Factor from un-normalised values to robot units, one per name; empty means 1.
        relative: The head predicts increments that add up from the measured joints or pose at the
            observation; the chunk holds where they lead. Needs an absolute arm `action_space`, a
            `robot`, and proprioception that begins with the joints.
        temporal_ensembling: Average the chunk with those of the plans before, unless a node is
            told otherwise; see `univla_decoders.ensembled_decoder`.
        rotation: `vector`, or `rpy` when columns 3 to 5 are roll, pitch and yaw.
        drop_first: Leading rows to leave out of the chunk.
        choices: Navigation: what each choice does, rows of `len(names)` robot units.
        robot: Embodiment the decoder was trained on; empty means any that fits.
        trained: False for weights that were only initialised.
        source: Where the decoder comes from.
    """

    head: str
    horizon: int
    action_dim: int
    action_space: str
    names: tuple[str, ...]
    step_duration_s: float
    num_heads: int = 8
    latent_dim: int = 128
    normalisation: str = 'bounds_q99'
    unnorm_key: str = ''
    codebook: str = ''
    num_codes: int = 0
    proprioception_dim: int = 0
    proprioception_normalisation: str = 'none'
    end_effector_position: bool = False
    gripper: str = 'none'
    gripper_binary: bool = False
    scale: tuple[float, ...] = ()
    relative: bool = False
    temporal_ensembling: bool = False
    rotation: str = 'vector'
    drop_first: int = 0
    choices: tuple[tuple[float, ...], ...] = ()
    robot: str = ''
    trained: bool = True
    source: str = ''

    @property
    def measured_dim(self) -> int:
        """Size of the proprioception vector that the decoder is told."""
        return self.proprioception_dim - POSITION_DIM * self.end_effector_position

    def check(self, where: str) -> None:
        """Refuse a declaration that contradicts itself.

        Raises:
            ConfigError: Naming the field.
        """
        action_space(self.action_space)
        for field, known in (
            ('head', (*HEADS, TOKENS)),
            ('normalisation', RULES),
            ('proprioception_normalisation', RULES),
            ('gripper', CONVENTIONS),
            ('rotation', ROTATIONS),
        ):
            if getattr(self, field) not in known:
                raise ConfigError(
                    f'{where}: {field} {getattr(self, field)!r} is unknown; '
                    f'choose one of {", ".join(known)}'
                )
        for field, low in (
            ('horizon', 1),
            ('action_dim', 1),
            ('num_heads', 1),
            ('latent_dim', 1),
            ('drop_first', 0),
            ('num_codes', 0),
        ):
            if getattr(self, field) < low:
                raise ConfigError(f'{where}: {field} must be at least {low}')
        if self.drop_first >= self.horizon:
            raise ConfigError(
                f'{where}: drop_first {self.drop_first} leaves nothing of horizon {self.horizon}'
            )
        if not self.step_duration_s > 0.0:
            raise ConfigError(f'{where}: step_duration_s must be positive')
        self._check_columns(where)

    def _check_columns(self, where: str) -> None:
        if (self.head == 'navigation') != bool(self.choices):
            raise ConfigError(f'{where}: choices belong to a navigation head and only to it')
        needs = self.head in ('proprioception', 'servo', 'uniact_act')
        has = bool(self.proprioception_dim)
        if (needs and not has) or (has and not (needs or self.head in ('query', TOKENS))):
            raise ConfigError(
                f'{where}: proprioception_dim belongs to a proprioception head, to servo and to '
                'uniact_act; query and tokens may have it, no other'
            )
        if self.head == 'servo' and not (
            self.end_effector_position and action_space(self.action_space).cartesian
        ):
            raise ConfigError(
                f'{where}: a servo head needs end_effector_position and an action_space of the '
                f'end effector, not {self.action_space}'
            )
        columns = {len(row) for row in self.choices} or {self.action_dim}
        if columns != {len(self.names)}:
            raise ConfigError(
                f'{where}: {len(self.names)} names for actions of {sorted(columns)} dimensions; '
                'give one name per dimension, in the order of the network'
            )
        if (self.names[-1] == 'gripper') != (self.gripper != 'none'):
            raise ConfigError(
                f'{where}: gripper is {self.gripper!r} but the last name is {self.names[-1]!r}; '
                'call the last dimension gripper and declare its convention, or neither'
            )
        if self.scale and len(self.scale) != len(self.names):
            raise ConfigError(f'{where}: scale must give one factor per name')
        absolute = self.action_space in ('eef_pose', 'joint_position')
        if self.relative and not (absolute and self.robot and self.proprioception_dim):
            raise ConfigError(
                f'{where}: relative needs action_space eef_pose or joint_position, a robot and '
                'proprioception_dim'
            )
        if self.end_effector_position and not (
            self.robot and self.proprioception_dim > POSITION_DIM
        ):
            raise ConfigError(
                f'{where}: end_effector_position needs a robot and proprioception_dim of its '
                f'joints and {POSITION_DIM} more'
            )
        if self.rotation == 'rpy' and not action_space(self.action_space).cartesian:
            raise ConfigError(f'{where}: rotation rpy needs a Cartesian action space')
        if self.choices and len(self.choices) != self.action_dim:
            raise ConfigError(
                f'{where}: {len(self.choices)} choices but action_dim is {self.action_dim}'
            )


def declaration_from_mapping(values: Mapping[str, Any], where: str) -> DecoderDeclaration:
    """Build a declaration from plain values.

    Raises:
        ConfigError: If a key is unknown, missing, of another type, or contradicts another.
    """
    fields = {field.name: field for field in dataclasses.fields(DecoderDeclaration)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ConfigError(
            f'{where}: unknown key {", ".join(unknown)}; known keys are {", ".join(fields)}'
        )
    missing = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and name not in values
    ]
    if missing:
        raise ConfigError(f'{where}: key {", ".join(missing)} is missing')
    typed = {name: _typed(value, fields[name], where) for name, value in values.items()}
    declaration = DecoderDeclaration(**typed)
    declaration.check(where)
    return declaration


def read_declaration(path: str | Path) -> DecoderDeclaration:
    """Read a `decoder.yaml`.

    Raises:
        ConfigError: If it cannot be read or does not fit `DecoderDeclaration`.
    """
    try:
        document = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f'{path}: cannot read the declaration ({error})') from error
    if not isinstance(document, Mapping):
        raise ConfigError(f'{path}: must hold one mapping of the keys of a decoder declaration')
    return declaration_from_mapping(document, str(path))


def find_declaration(name: str | Path) -> DecoderDeclaration:
    """Read a declaration by path, or by name from `config/decoders` (e.g. `libero`).

    Raises:
        ConfigError: If there is none; the known names are listed.
    """
    if Path(name).is_file():
        return read_declaration(name)
    folder = config_directory() / 'decoders'
    path = folder / f'{name}.yaml'
    if not path.is_file():
        known = ', '.join(sorted(p.stem for p in folder.glob('*.yaml'))) or '(none)'
        raise ConfigError(
            f'no decoder declaration {str(name)!r}: neither a file nor one of {known}'
        )
    return read_declaration(path)


def _typed(value: Any, field: dataclasses.Field, where: str) -> Any:
    kind = str(field.type)
    try:
        if kind == 'tuple[str, ...]' and isinstance(value, (list, tuple)):
            return tuple(str(item) for item in value)
        if kind == 'tuple[float, ...]' and isinstance(value, (list, tuple)):
            return tuple(float(item) for item in value)
        if kind.startswith('tuple[tuple') and isinstance(value, (list, tuple)):
            return tuple(tuple(float(item) for item in row) for row in value)
        if kind == 'float' and isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        if kind in ('int', 'str', 'bool') and type(value).__name__ == kind:
            return value
    except (TypeError, ValueError):
        pass
    raise ConfigError(f'{where}: {field.name} is {value!r}; it must be {kind}')
