"""Write UniAct in the released layout, for the loader that the nodes use."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from univla_core.embodiment import Embodiment
from univla_decoders.declaration import DecoderDeclaration
from univla_models.codebook import codebook_hash
from univla_models.uniact import OWN_SETTINGS
from univla_models.uniact_network import EMBED
from univla_models.uniact_network import UniactNetwork

from univla_training.demonstrations import Demonstrations
from univla_training.export import save_weights
from univla_training.run import TrainingRun
from univla_training.uniact_labels import RULE
from univla_training.uniact_labels import head_is_relative
from univla_training.uniact_pretraining import base_folder
from univla_training.uniact_pretraining import uniact_config
from univla_training.uniact_prompting import build_uniact_tokenizer

#: What of a checkpoint decides its prompts.
PROMPT_FILES = (
    'tokenizer.json',
    'chat_template.jinja',
    'chat_template.json',
    'processor_config.json',
)


def write_uniact(
    folder: Path,
    network: UniactNetwork,
    run: TrainingRun,
    *,
    norm_stats: Mapping[str, Any] | None = None,
) -> str:
    """Write the checkpoint's folder, whole or not at all; decoders in it stay.

    Args:
        folder: Where; a checkpoint there is replaced.
        network: The trained network.
        run: Where it comes from.
        norm_stats: As `dataset_statistics.json` holds it.

    Returns:
        Hash of the codebook.
    """
    side = run.recipe.network.image_side
    unfinished = folder.with_name(f'.{folder.name}.part')
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    tensors = tensors_to_save(network)
    save_weights(tensors, unfinished / 'basemodel.safetensors')
    base = base_folder(run)
    if base is None:
        build_uniact_tokenizer().save(str(unfinished / 'tokenizer.json'))
    else:
        for name in PROMPT_FILES:
            if (base / name).is_file():
                shutil.copyfile(base / name, unfinished / name)
    config = uniact_config(run)
    config |= {'trained': True, 'torch_dtype': 'bfloat16', 'provenance': run.provenance()}
    own = {
        'trained': True,
        'preprocessing': f'squash_{side}',
        'selection': run.recipe.uniact.training.selection,
        'batch_norm': 'running',
    }
    documents = {'config.json': config, OWN_SETTINGS: own}
    if norm_stats:
        documents['dataset_statistics.json'] = dict(norm_stats)
    for name, content in documents.items():
        text = json.dumps(content, indent=1, default=str) + '\n'
        (unfinished / name).write_text(text, encoding='utf-8')
    if (folder / 'decoders').is_dir():
        shutil.copytree(folder / 'decoders', unfinished / 'decoders')
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return uniact_codebook(tensors[EMBED])


def tensors_to_save(network: UniactNetwork) -> dict[str, Tensor]:
    """All tensors; in bfloat16 but for the backbone, which also runs in full precision."""
    return {
        name: (
            value.detach()
            if name.startswith('vision_backbone.') or not value.is_floating_point()
            else value.detach().to(torch.bfloat16)
        )
        .cpu()
        .contiguous()
        for name, value in network.state_dict().items()
    }


def uniact_codebook(rows: Tensor) -> str:
    """Hash of a codebook (codes, dim) as its file holds it; what the loader computes."""
    names = [f'universal_action_{code}' for code in range(len(rows))]
    return codebook_hash(range(len(rows)), names, rows.float().cpu().numpy())


def declare_uniact(
    run: TrainingRun,
    embodiment: Embodiment,
    space: str,
    head: str,
    shown: Demonstrations,
    *,
    codebook: str,
    num_codes: int,
    code_dim: int,
    source: str,
) -> DecoderDeclaration:
    """The declaration of a head trained in this run."""
    feels = head == 'uniact_act'
    return DecoderDeclaration(
        head=head,
        horizon=int(shown.chunks.shape[1]),
        action_dim=shown.action_dim,
        action_space=space,
        names=embodiment.action_names(space),
        step_duration_s=1.0 / run.recipe.data.rate_hz,
        latent_dim=code_dim,
        normalisation=RULE,
        unnorm_key=embodiment.name,
        codebook=codebook,
        num_codes=num_codes,
        proprioception_dim=shown.body_dim if feels else 0,
        proprioception_normalisation='mean_std' if feels and shown.body_dim else 'none',
        gripper='open_positive_unit' if embodiment.gripper else 'none',
        gripper_binary=embodiment.gripper is not None,
        relative=head_is_relative(head, space),
        temporal_ensembling=head_is_relative(head, space),
        robot=embodiment.name,
        source=f'{source}, recipe {run.recipe.name}, seed {run.seed}',
    )
