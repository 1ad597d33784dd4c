"""Write trained networks in the released layout, for the loader that the nodes use."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor
from torch import nn
from univla_decoders.declaration import DecoderDeclaration
from univla_decoders.heads import DecoderHead
from univla_models.kept_vocabulary import ranges_of
from univla_models.prompts import PromptTokenizer
from univla_models.release import GENERATION
from univla_models.release import processor_document
from univla_models.synthetic_tokenizer import write_tokenizer
from univla_models.univla_network import UnivlaNetwork
from univla_models.univla_vocabulary import TABLES
from univla_models.univla_vocabulary import codebook_of

from univla_training.networks import POINTING
from univla_training.networks import policy_document
from univla_training.recipe import NetworkSizes

#: Prompt and picture as the tiny recipe trains them: nothing but the image processor, no history.
PREPROCESSING = 'plain'


def write_policy(
    folder: Path,
    network: UnivlaNetwork,
    sizes: NetworkSizes,
    *,
    recipe: str,
    norm_stats: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    pointing: nn.Module | None = None,
) -> str:
    """Write the policy's folder, whole or not at all; decoders in it stay.

    Args:
        folder: Where; a policy there is replaced.
        network: The trained network.
        sizes: Its sizes.
        recipe: `latent`, or `bc` for direct cloning, whose codes are fixed queries.
        norm_stats: As `dataset_statistics.json` holds it.
        provenance: Data, recipe and seed, for `config.json`.
        pointing: What reads off its latent actions where it points, if it learned that to the end.

    Returns:
        Hash of the code vocabulary.
    """
    unfinished = folder.with_name(f'.{folder.name}.part')
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    config = policy_document(
        sizes,
        trained=True,
        norm_stats=norm_stats or {},
        preprocessing=PREPROCESSING,
        recipe=recipe,
        provenance=dict(provenance or {}),
    )
    write_tokenizer(unfinished / 'tokenizer.json')
    tensors = weights_to_save(network)
    kept = _kept(tensors, unfinished / 'tokenizer.json')
    if kept:
        config['kept_ids'] = ranges_of(kept)
    save_weights(tensors, unfinished / 'model.safetensors')
    if pointing is not None:
        save_weights(weights_to_save(pointing), unfinished / POINTING)
    for name, content in {
        'config.json': config,
        'generation_config.json': GENERATION,
        'preprocessor_config.json': processor_document(sizes.image_side),
        'dataset_statistics.json': dict(norm_stats or {}),
    }.items():
        (unfinished / name).write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
    if (folder / 'decoders').is_dir():
        shutil.copytree(folder / 'decoders', unfinished / 'decoders')
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return checkpoint_codebook(folder)


def _kept(tensors: dict[str, Tensor], tokenizer: Path) -> list[int]:
    """Leave only the rows of ids that have a token, where the vocabulary outweighs the network.

    The others are still random and never read.

    Returns:
        The ids left, ascending; empty where all were.
    """
    tables = {name: tensors[name] for name in TABLES if name in tensors}
    weight = sum(table.numel() for table in tables.values())
    if 2 * weight < sum(value.numel() for value in tensors.values()):
        return []
    known = json.loads(tokenizer.read_text(encoding='utf-8'))['model']['vocab'].values()
    kept = sorted(set(known))
    tensors |= {name: table[kept].clone() for name, table in tables.items()}
    return kept


def checkpoint_codebook(folder: Path) -> str:
    """Hash of a checkpoint's code vocabulary, as the loader computes it."""
    return codebook_of(folder, PromptTokenizer.from_file(folder / 'tokenizer.json'))


def write_decoder(
    folder: Path,
    head: DecoderHead,
    declaration: DecoderDeclaration,
    statistics: Mapping[str, Any],
) -> None:
    """Write `action_decoder.safetensors`, `decoder.yaml` and `dataset_statistics.json`."""
    unfinished = folder.with_name(f'.{folder.name}.part')
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    declaration.check(str(folder))
    save_weights(weights_to_save(head), unfinished / 'action_decoder.safetensors')
    content = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(declaration).items()
        if value != ()
    }
    (unfinished / 'decoder.yaml').write_text(yaml.safe_dump(content, sort_keys=False))
    text = json.dumps({declaration.unnorm_key: dict(statistics)}, indent=1) + '\n'
    (unfinished / 'dataset_statistics.json').write_text(text, encoding='utf-8')
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def weights_to_save(module: nn.Module) -> dict[str, Tensor]:
    """What a module learned in bfloat16, as released checkpoints hold it; buffers as they are."""
    measured = {name for name, _ in module.named_buffers()}
    return {
        name: value.detach().to(value.dtype if name in measured else torch.bfloat16).contiguous()
        for name, value in module.state_dict().items()
    }


def save_weights(tensors: dict[str, Tensor], path: Path) -> None:
    """Write safetensors that everybody may read."""
    save_file(tensors, path, metadata={'format': 'pt'})
    path.chmod(0o644)  # the library keeps its files private
