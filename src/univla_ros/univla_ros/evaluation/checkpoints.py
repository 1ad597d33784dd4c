"""Which checkpoints are evaluated, and the decoder that each of them has for a robot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from univla_core.embodiment import Embodiment
from univla_core.errors import ConfigError
from univla_core.parameters import read_yaml
from univla_core.paths import checkpoint_folders
from univla_models.policy import policy_of

from univla_ros.checkpoints import ensure_checkpoint
from univla_ros.checkpoints import is_trained
from univla_ros.robot_decoders import decoder_path
from univla_ros.rollout.checkpoint_brain import read_checkpoint_config

#: What `recipe` in `config.json` says of a network that was cloned end to end.
CLONED = 'bc'
_LEARNED = ('univla', 'bc', 'uniact', 'unified_vla')


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder.

    Attributes:
        name: As the user gave it, or the folder's own name.
        folder: Where it lies.
        policy: What it is of: `univla`, `uniact` or `unified_vla`, or `bc` if it was cloned end
            to end.
    """

    name: str
    folder: Path
    policy: str

    def decoder(self, embodiment: Embodiment, decoder: str = '', space: str = '') -> Path:
        """Folder of a decoder for a robot.

        Args:
            embodiment: The robot.
            decoder: The folder asked for; empty takes one of the checkpoint's own.
            space: Action space that it must have; empty takes any.

        Raises:
            ConfigError: If there is none such.
        """
        if not space:
            return decoder_path(embodiment, str(self.folder), decoder)
        if decoder:
            made = {decoder_path(embodiment, str(self.folder), decoder): ''}
        else:
            made = dict.fromkeys(sorted((self.folder / 'decoders').glob('*')), '')
        for path in made:
            declared = read_yaml(path / 'decoder.yaml')
            if declared.get('robot') == embodiment.name:
                made[path] = str(declared.get('action_space'))
        fitting = [path for path, own in made.items() if own == space]
        if not fitting:
            known = ', '.join(own for own in made.values() if own) or 'none'
            raise ConfigError(
                f'{self.folder} has no decoder for robot {embodiment.name!r} in action space '
                f'{space!r}; it has {known}'
            )
        return fitting[0]


def checkpoints_for(policies: Sequence[str], wish: str) -> dict[str, list[Checkpoint]]:
    """The checkpoints of each policy that needs one.

    Args:
        policies: Names of policies.
        wish: Folders or names by comma; empty takes the trained ones that are there.

    Raises:
        ConfigError: If there is none, several without a wish, or one that no policy asks for.
    """
    learned = [policy for policy in policies if policy in _LEARNED]
    if not learned:
        return {}
    names = [name.strip() for name in wish.split(',') if name.strip()]
    found = [_checkpoint(name, ensure_checkpoint(name)) for name in names] or _trained()
    chosen = {policy: [c for c in found if c.policy == policy] for policy in learned}
    for policy, own in chosen.items():
        if not own:
            raise ConfigError(_missing(policy, names))
        if len(own) > 1 and not names:
            raise ConfigError(
                f'several checkpoints are there for policy {policy!r}: '
                f'{", ".join(c.name for c in own)}; choose with --checkpoint'
            )
    idle = [c.name for c in found if names and c.policy not in learned]
    if idle:
        raise ConfigError(
            f'checkpoint {", ".join(idle)} is of another policy than {", ".join(learned)}; '
            f'ask for it with --policy {", ".join(c.policy for c in found if c.name in idle)}'
        )
    return chosen


def _missing(policy: str, names: Sequence[str]) -> str:
    if names:
        return (
            f'none of the checkpoints {", ".join(names)} is of policy {policy!r}; config.json '
            f'tells: `recipe: {CLONED}` is bc, else `model_type` decides'
        )
    folders = ', '.join(str(folder) for folder in checkpoint_folders())
    return (
        f'no trained checkpoint of policy {policy!r} lies in {folders}; train one with '
        '`univla train`, or name one with --checkpoint (`untrained` is random weights)'
    )


def _trained() -> list[Checkpoint]:
    folders = {
        path.parent.name: path.parent
        for root in reversed(checkpoint_folders())
        for path in sorted(root.glob('*/config.json'))
    }
    return [
        _checkpoint(name, folder)
        for name, folder in sorted(folders.items())
        if not name.startswith('.') and is_trained(folder)
    ]


def _checkpoint(name: str, folder: Path) -> Checkpoint:
    config = read_checkpoint_config(folder)
    cloned = config.get('recipe') == CLONED
    return Checkpoint(name, folder, 'bc' if cloned else policy_of(config))
