"""The decoder of a robot whose policy plans action tokens: FAST ids → action chunk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from univla_core.errors import ActionError
from univla_core.errors import CheckpointError
from univla_core.latent_action import LatentAction
from univla_core.norm_stats import DatasetStats
from univla_core.norm_stats import choose_key
from univla_core.norm_stats import read_dataset_statistics
from univla_decoders.declaration import TOKENS
from univla_decoders.declaration import DecoderDeclaration
from univla_decoders.declaration import find_declaration
from univla_decoders.decoder import RobotDecoder
from univla_decoders.heads import DecoderHead
from univla_decoders.heads import HeadConfig
from univla_decoders.map_block import MapBlockConfig
from univla_models.fast_tokenizer import SETTINGS_FILE
from univla_models.fast_tokenizer import FastTokenizer
from univla_models.unified_vla_actions import read_norm_stats

DECLARATION = 'decoder.yaml'
RELEASED_STATS = 'norm_stats.json'
STATS = 'dataset_statistics.json'


class TokenDecoder(RobotDecoder):
    """Detokenises the codes of a latent action, then goes the way of every decoder.

    It has no weights. Its folder is that of a FAST tokenizer with a `decoder.yaml` (head `tokens`)
    and the statistics of the actions, `norm_stats.json` as released or `dataset_statistics.json`.
    """

    def __init__(
        self,
        tokenizer: FastTokenizer,
        declaration: DecoderDeclaration,
        stats: DatasetStats | None,
    ) -> None:
        super().__init__(_no_head(declaration), declaration, stats)
        self.tokenizer = tokenizer

    @staticmethod
    def is_at(path: Path) -> bool:
        """Whether the folder holds such a decoder."""
        return (path / SETTINGS_FILE).is_file()

    @classmethod
    def load(
        cls,
        path: str | Path,
        declaration: DecoderDeclaration | str | Path | None = None,
        device: torch.device | str = 'cpu',
    ) -> TokenDecoder:
        """Load a decoder from its folder.

        Raises:
            CheckpointError: If a file is missing, or tokenizer, statistics and declaration do not
                fit each other.
            ConfigError: If the declaration is unusable.
        """
        folder = Path(path)
        declared = (
            declaration
            if isinstance(declaration, DecoderDeclaration)
            else find_declaration(declaration or folder / DECLARATION)
        )
        declared.check(str(folder))
        tokenizer = FastTokenizer.from_folder(folder)
        if declared.head != TOKENS or declared.codebook not in ('', tokenizer.codebook):
            raise CheckpointError(
                f'{folder}: head {declared.head!r} of codebook {declared.codebook!r} is '
                f'declared, but here is a FAST tokenizer, head {TOKENS!r} of codebook '
                f'{tokenizer.codebook!r}; correct the declaration'
            )
        if not tokenizer.holds(declared.horizon):
            raise CheckpointError(
                f'{folder}: the FAST tokenizer cannot say chunks of {declared.horizon} steps; '
                'declare the horizon it was made for'
            )
        return cls(tokenizer, declared, _stats(folder, declared))

    def check_latent(self, latent: LatentAction) -> None:
        """Refuse codes of another vocabulary.

        Raises:
            ActionError: If the tokenizer is another or a code lies outside.
        """
        self.check_codebook(latent.codebook)
        latent.check(self.tokenizer.end + 1)

    def check_codebook(self, codebook: str) -> None:
        """Refuse a policy whose ids mean something else, declared or not.

        Raises:
            ActionError: If it speaks another FAST tokenizer.
        """
        super().check_codebook(codebook)
        if codebook != self.tokenizer.codebook:
            raise ActionError(
                f'latent action speaks codebook {codebook or "(none)"} but this FAST tokenizer is '
                f'{self.tokenizer.codebook}; load the decoder that belongs to the policy'
            )

    def predict(
        self, latent: LatentAction, proprioception: np.ndarray | None = None
    ) -> np.ndarray:
        """The chunk that the tokens say, clipped to [-1, 1], float64, (horizon, action_dim).

        Raises:
            ActionError: If the sequence is empty, malformed, cut or of another length.
        """
        self.check_latent(latent)
        declared = self.declaration
        chunk = self.tokenizer.decode_plan(latent.codes, declared.horizon, declared.action_dim)
        return chunk[declared.drop_first :]


def _no_head(declaration: DecoderDeclaration) -> DecoderHead:
    """A head without weights that reads no latent tokens."""
    pool = MapBlockConfig(input_dim=0, embed_dim=0, num_heads=1, num_latents=0, hidden_dim=0)
    sizes = declaration.horizon, declaration.action_dim
    return DecoderHead(
        HeadConfig(kind=TOKENS, horizon=sizes[0], action_dim=sizes[1], pool=pool, latent_tokens=0)
    )


def _stats(folder: Path, declaration: DecoderDeclaration) -> DatasetStats | None:
    if declaration.normalisation == 'none':
        return None
    released = folder / RELEASED_STATS
    path = released if released.is_file() else folder / STATS
    if released.is_file():
        known = {name: DatasetStats(action=s) for name, s in read_norm_stats(path).items()}
    else:
        known = read_dataset_statistics(path)
    stats = known[choose_key(known, declaration.unnorm_key or None, str(path))]
    stats.action.require(declaration.normalisation, declaration.action_dim, f'{path}: action')
    return stats
