"""A policy fails, a person corrects it, its decoder learns: the loop, with toy networks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_data.episode_reader import read_episode
from univla_ros.cli import app
from univla_ros.replay.recording import read_recording
from univla_ros.robot_decoders import decoder_path
from univla_ros.robot_decoders import load_decoder
from univla_ros.rollout import CheckpointBrain
from univla_ros.story.corrections import FIRST_SEED
from univla_ros.story.corrections import record_corrections
from univla_ros.story.spoiling import spoil_decoder

ROBOT = 'widowx'
SIZES = {
    'image_side': 28,
    'lam_image_side': 28,
    'dino': {'dim': 16, 'depth': 2, 'heads': 2},
    'siglip': {'dim': 16, 'depth': 2, 'heads': 2},
    'llama': {'hidden': 16, 'mlp': 32, 'layers': 1, 'heads': 2},
    'head': {'embed_dim': 16, 'blocks': 1, 'heads': 2},
}
RECIPE = {
    'network': SIZES,
    'data': {'validation_share': 0.1},
    'decoder': {'steps': 150, 'batch_size': 16, 'learning_rate': 0.02, 'finetune_rate': 1.0},
}


def test_a_spoiled_decoder_errs_by_so_much_in_every_row(tmp_path):
    embodiment = load_embodiment(ROBOT)
    source = decoder_path(embodiment, 'untrained')
    assert spoil_decoder(source, tmp_path / 'spoiled', 0.012) == 'y'
    brain = CheckpointBrain('untrained', ROBOT)
    picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    plan = brain.policy.plan(picture, 'reach the red cube')
    spoiled = load_decoder(tmp_path / 'spoiled', embodiment, allow_untrained=True)
    gap = spoiled.decode(plan) - brain.decoder.decode(plan)
    assert gap[:, 1] == pytest.approx(np.full(len(gap), 0.012))
    assert not np.delete(gap, 1, axis=1).any()
    (tmp_path / 'spoiled' / 'dataset_statistics.json').unlink()
    with pytest.raises(ConfigError, match='only a decoder with bounds_q99'):
        spoil_decoder(tmp_path / 'spoiled', tmp_path / 'twice', 0.1)


def test_the_operator_takes_over_by_teleoperation_and_does_the_task(tmp_path):
    """The policy plans on meanwhile, and the bag tells who drove."""
    torch.set_num_threads(1)
    decoder = decoder_path(load_embodiment(ROBOT), 'untrained')
    (done,) = record_corrections(
        ROBOT, 'reach', 'untrained', decoder, [FIRST_SEED], tmp_path, patience_s=1.0
    )
    assert done.success and done.took_over_s == pytest.approx(1.0)
    episode = read_episode(done.path)
    drove = ''.join(source[0] for source in episode.sources)
    assert drove.lstrip('p').strip('t') == '' and drove.startswith('pppp') and drove.endswith('tt')
    assert episode.success and episode.metadata['sources'] == ('teleop', 'policy')
    stamps = [latent.stamp for latent in read_recording(done.path).latents]
    assert stamps[-1] > episode.stamps[episode.sources == 'teleop'][1]


def toy_checkpoint(folder: Path) -> Path:
    """A policy and a decoder with fresh weights, in the layout that `univla train` leaves."""
    pytest.importorskip('univla_training')
    from univla_decoders.declaration import DecoderDeclaration
    from univla_training.export import write_decoder
    from univla_training.export import write_policy
    from univla_training.networks import fresh_head
    from univla_training.networks import fresh_policy
    from univla_training.recipe import recipe_from_mapping

    sizes = recipe_from_mapping(RECIPE, 'test').network
    torch.manual_seed(0)
    codebook = write_policy(folder, fresh_policy(sizes), sizes, recipe='latent')
    declared = DecoderDeclaration(
        head='query',
        horizon=4,
        action_dim=7,
        action_space='eef_pose',
        names=load_embodiment(ROBOT).action_names('eef_pose'),
        step_duration_s=0.2,
        num_heads=sizes.head.heads,
        normalisation='bounds_q99',
        unnorm_key=ROBOT,
        codebook=codebook,
        num_codes=16,
        proprioception_dim=7,
        proprioception_normalisation='mean_std',
        gripper='open_positive_unit',
        gripper_binary=True,
        relative=True,
        robot=ROBOT,
    )
    wide = {'mean': [0.0] * 7, 'std': [1.0] * 7, 'min': [-0.05] * 7, 'max': [0.05] * 7}
    wide |= {'q01': [-0.05] * 7, 'q99': [0.05] * 7}
    statistics = {'action': {**wide, 'mask': [True] * 6 + [False]}, 'proprio': wide}
    head = fresh_head(sizes, 'query', 4, 7, 7)
    with torch.no_grad():
        head.proj.weight.mul_(0.05)  # nearly at rest: what errs is the shift
    write_decoder(folder / 'decoders' / ROBOT, head, declared, statistics)
    return folder


@pytest.mark.slow
def test_the_decoder_learns_what_the_operator_showed(tmp_path, monkeypatch):
    """Every step of `univla story`; networks this small cannot see, but unlearn the shift."""
    checkpoint = toy_checkpoint(tmp_path / 'toy')
    recipe = tmp_path / 'toy.yaml'
    recipe.write_text(yaml.safe_dump(RECIPE))
    monkeypatch.chdir(tmp_path)
    words = ['--checkpoint', str(checkpoint), '--recipe', str(recipe), '--shift', '0.02']
    words += ['--patience', '0.8']  # before the drift may touch a cube by chance
    words += ['--corrections', '2', '--demonstrations', '2', '--episodes', '1', '--workers', '1']
    words += ['--out', 'story', '--json', 'result.json']
    result = CliRunner().invoke(app, ['story', *words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    document = json.loads((tmp_path / 'result.json').read_text())
    assert document['took_over'] == 3 and document['axis'] == 'y'
    training = document['training']
    assert 0 < training['correction_frames'] < training['frames']
    assert training['held_out'] < training['held_out_before']
    shipped, failing, corrected = document['results']
    assert failing['teleop_error'] > shipped['teleop_error']
    assert corrected['teleop_error'] < 0.8 * failing['teleop_error']
    assert (corrected['episodes'], corrected['robot']) == (1, ROBOT)
    # One scene proves nothing, and the story says so.
    assert not document['ok'] and result.exit_code == 1
    assert (tmp_path / 'story' / 'dataset' / 'univla_export.json').is_file()
    load_decoder(Path(corrected['decoder']), load_embodiment(ROBOT))
