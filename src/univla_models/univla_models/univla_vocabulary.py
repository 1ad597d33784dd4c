"""What the words and codes of a checkpoint mean: its embeddings, and the hash of its codes."""

from __future__ import annotations

from pathlib import Path

import torch
from univla_core.errors import CheckpointError

from univla_models.checkpoint_files import read_json
from univla_models.checkpoint_files import read_tensor
from univla_models.codebook import codebook_hash
from univla_models.kept_vocabulary import kept_ids
from univla_models.prompts import PromptTokenizer
from univla_models.prompts import action_token
from univla_models.univla_network import UnivlaConfig

EMBEDDING = 'language_model.model.embed_tokens.weight'
#: Tensors with one row for each id; the second is not stored where it is tied to the first.
TABLES = (EMBEDDING, 'language_model.lm_head.weight')


def codebook_of(folder: Path, tokenizer: PromptTokenizer) -> str:
    """Hash of a checkpoint's code vocabulary: ids, names and stored embeddings of the codes.

    Raises:
        CheckpointError: If the file holds no embedding of one of them.
    """
    table, where = read_tensor(folder, EMBEDDING), str(folder / 'config.json')
    values = read_json(folder / 'config.json')
    config = UnivlaConfig.from_mapping(values, where)
    kept = kept_ids(values, config.llama['vocab_size'], where)
    ids = torch.as_tensor(tokenizer.action_ids)
    places = ids if kept is None else torch.searchsorted(kept, ids)
    absent = places.max() >= len(table) or (kept is not None and not torch.isin(ids, kept).all())
    if absent:
        raise CheckpointError(
            f'{folder}: tokenizer names action token {ids.max()} but the model embeds '
            f'{len(table)} tokens; use the tokenizer saved with this checkpoint'
        )
    names = [action_token(code) for code in range(len(ids))]
    return codebook_hash(tokenizer.action_ids, names, table[places].float().numpy())
