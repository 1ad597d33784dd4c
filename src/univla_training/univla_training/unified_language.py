"""The language model of the unified VLA in training: fresh or released, whole or with few ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch import nn
from univla_models.checkpoint_files import read_json
from univla_models.emu3_language import emu3_settings
from univla_models.emu3_language import load_language
from univla_models.llama import build_llama
from univla_models.llama import restore_buffers
from univla_models.unified_vla_tokens import NO_LABEL
from univla_models.unified_vla_tokens import NUM_VISUAL
from univla_models.unified_vla_tokens import PAD
from univla_models.unified_vla_tokens import TEXT_FILE
from univla_models.unified_vla_tokens import TextTokenizer

from univla_training.run import TrainingRun
from univla_training.uniact_networks import initialize_language
from univla_training.unified_settings import UnifiedSizes
from univla_training.unified_vocabulary import Vocabulary
from univla_training.unified_vocabulary import small_ranks
from univla_training.unified_vocabulary import small_text


def language_document(sizes: UnifiedSizes, **more: Any) -> dict[str, Any]:
    """Content of `config.json` for the language model of these sizes; `more` are further keys."""
    return {
        'model_type': 'Emu3',
        'hidden_size': sizes.hidden,
        'intermediate_size': sizes.mlp,
        'num_hidden_layers': sizes.layers,
        'num_attention_heads': sizes.heads,
        'num_key_value_heads': sizes.kv_heads,
        'max_position_embeddings': sizes.positions,
        'rope_theta': 10000.0,  # sequences of small checkpoints are short
        **more,
    }


class Speaker:
    """A language model that counts ids by their places in a vocabulary, and its words.

    Attributes:
        network: A `LlamaForCausalLM` with as many rows as the vocabulary has ids.
        vocabulary: The ids.
        text: Tokenizer of the words.
        document: Its `config.json`.
        text_file: Content of its `emu3.tiktoken`, None for the small one.
    """

    def __init__(
        self,
        network: Any,
        vocabulary: Vocabulary,
        text: TextTokenizer,
        document: dict[str, Any],
        text_file: bytes | None = None,
    ) -> None:
        self.network, self.vocabulary, self.text = network, vocabulary, text
        self.document, self.text_file = document, text_file

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.lm_head.weight.device

    def padded(
        self, rows: Sequence[Sequence[int]], labels: Sequence[np.ndarray]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Places, mask and labels of sequences of ids, right padded, (batch, longest) each."""
        shape = len(rows), max(map(len, rows))
        pad = int(self.vocabulary.places([PAD])[0])
        ids = np.full(shape, pad, dtype=np.int64)
        keep = np.zeros(shape, dtype=bool)
        targets = np.full(shape, NO_LABEL, dtype=np.int64)
        for number, (row, wanted) in enumerate(zip(rows, labels, strict=True)):
            placed = self.vocabulary.places(row)
            ids[number, : len(row)], keep[number, : len(row)] = placed, True
            targets[number, : len(row)] = np.where(wanted == NO_LABEL, NO_LABEL, placed)
        return tuple(torch.from_numpy(values) for values in (ids, keep, targets))  # type: ignore[return-value]

    def logits(self, ids: Tensor, keep: Tensor) -> Tensor:
        """Logits over the vocabulary at every position, (batch, length, ids)."""
        return self.network(
            input_ids=ids.to(self.device), attention_mask=keep.to(self.device), use_cache=False
        ).logits


def fresh_speaker(run: TrainingRun) -> Speaker:
    """A language model to train: fresh, or that of the folder which the recipe names.

    A fresh one keeps only the ids of this recipe; a released one has them all.

    Raises:
        CheckpointError: If the folder cannot be loaded.
    """
    base = run.recipe.unified.world_model.base
    if base:
        folder = Path(base).expanduser()
        values = read_json(folder / 'config.json')
        network = load_language(folder, values, device=run.device, dtype=torch.float32)
        path = folder / TEXT_FILE
        speaker = Speaker(
            network.requires_grad_(True),
            Vocabulary(values.get('kept_ids')),
            TextTokenizer.from_file(path),
            values,
            path.read_bytes(),
        )
        return _narrowed(speaker)
    sizes = run.recipe.unified.network
    sizes.check(f'recipe {run.recipe.name}: unified')
    codes = NUM_VISUAL if run.recipe.unified.vision.base else sizes.visual_codes
    vocabulary = Vocabulary.small(len(small_ranks()), sizes.action_ids, codes)
    document = language_document(sizes, kept_ids=vocabulary.ranges)
    settings = emu3_settings(document, 'the recipe') | {'vocab_size': len(vocabulary)}
    settings |= dict.fromkeys(('pad_token_id', 'bos_token_id', 'eos_token_id'))
    network = build_llama(settings)
    network.to_empty(device='cpu')
    restore_buffers(network, torch.device('cpu'))
    initialize_language(network.model, sizes.layers)
    nn.init.normal_(network.lm_head.weight, std=sizes.hidden**-0.5)
    return Speaker(network.to(run.device), vocabulary, small_text(), document)


def _narrowed(speaker: Speaker) -> Speaker:
    """Rows of kept ids only, where the checkpoint keeps few: that is how it is trained."""
    if speaker.vocabulary.ranges is None:
        return speaker
    kept = torch.from_numpy(speaker.vocabulary.ids).to(speaker.device)
    for module in (speaker.network.model.embed_tokens, speaker.network.lm_head):
        module.weight = nn.Parameter(module.weight.detach()[kept].clone())
    speaker.network.model.embed_tokens.padding_idx = None
    return speaker
