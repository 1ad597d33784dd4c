"""Train one robot's decoder together with low-rank adapters on the policy."""

from __future__ import annotations

from pathlib import Path

from torch import nn
from univla_core.embodiment import Embodiment

from univla_training.decoder_training import declare
from univla_training.decoder_training import shown_and_held
from univla_training.decoder_training import variant
from univla_training.export import write_decoder
from univla_training.export import write_policy
from univla_training.joint_finetuning_task import FinetuningTask
from univla_training.lam_training import labels
from univla_training.lora import add_lora
from univla_training.lora import merge_lora
from univla_training.networks import fresh_head
from univla_training.policy_training import trained_policy
from univla_training.pretraining import own_prompts
from univla_training.run import TrainingRun


def train_lora_decoder(run: TrainingRun, embodiment: Embodiment, space: str, share: float) -> Path:
    """Fine-tune policy and decoder to one robot, as UniVLA's post-training does.

    Cross-entropy of the codes and L1 of the chunks; the adapters are merged before anything is
    written.

    Args:
        run: The run, whose policy is complete.
        embodiment: The robot.
        space: Action space.
        share: Share of the episodes whose action labels are used.

    Returns:
        A checkpoint of its own, with this decoder: the policy of the run stays as it is.

    Raises:
        TrainingError: If the policy or the data are not there or training fails.
    """
    section, recipe, robot = run.recipe.decoder, run.recipe, embodiment.name
    name = variant(embodiment, space, share)
    stage = f'decoder/{name}-lora{section.lora_rank}'
    target = run.folder(stage) / 'checkpoint'
    if run.done(stage):
        return target
    settings = run.settings(section)
    shown, held = shown_and_held(run.split, robot, space, share, settings)
    codes, network = labels(run), trained_policy(run)
    run.start(stage)
    run.seed_torch(settings)
    add_lora(network, section.lora_rank, section.lora_alpha)
    head = fresh_head(
        recipe.network,
        section.learned_together,
        recipe.data.horizon,
        shown.action_dim,
        shown.body_dim,
    )
    heads = nn.ModuleDict({robot: head.to(run.device)})
    told = {'code_weight': section.code_weight, 'code_noise': recipe.finetuning.code_noise}
    noise = {'body_noise': section.body_noise, 'augment': section.augment}
    prompts, store = own_prompts(), run.store
    task = FinetuningTask(network, heads, prompts, store, codes, {robot: shown}, **told, **noise)
    checker = FinetuningTask(network, heads, prompts, store, codes, {robot: held}, **told)
    modules = {'network': network, 'heads': heads}
    result = run.fit(stage, modules, task.draw, task.loss, settings, measure=checker.check)
    merge_lora(network)
    codebook = write_policy(
        target, network, recipe.network, recipe='latent', provenance=run.provenance()
    )
    told = (shown, codebook, section.learned_together, f'LoRA {section.lora_rank}, ')
    declaration = declare(run, embodiment, space, *told)
    write_decoder(target / 'decoders' / robot, head, declaration, shown.statistics)
    facts = {'robot': robot, 'action_space': space, 'share': share, 'frames': len(shown.rows)}
    facts |= {'steps': result.steps, 'seconds': result.seconds, **result.last, **checker.check()}
    run.finish(stage, {**facts, 'folder': str(target)})
    return target
