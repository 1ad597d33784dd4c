"""A decoder of a shipped checkpoint learns from real recordings, corrections first."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from univla_core.action_chunk import ActionChunk
from univla_core.embodiment import load_embodiment
from univla_core.errors import TrainingError
from univla_data.episode_writer import EpisodeWriter
from univla_data.provenance import Provenance
from univla_decoders.declaration import DecoderDeclaration
from univla_decoders.decoder import RobotDecoder
from univla_training.export import write_decoder
from univla_training.export import write_policy
from univla_training.finetuning import finetune_decoder
from univla_training.mending import mend
from univla_training.networks import fresh_head
from univla_training.networks import fresh_policy
from univla_training.recipe import recipe_from_mapping
from univla_training.run import TrainingRun

ROBOT = 'widowx'
NAMES = ('x', 'y', 'z', 'rx', 'ry', 'rz', 'gripper')
RECIPE = {
    'network': {
        'image_side': 28,
        'lam_image_side': 28,
        'dino': {'dim': 16, 'depth': 2, 'heads': 2},
        'siglip': {'dim': 16, 'depth': 2, 'heads': 2},
        'llama': {'hidden': 16, 'mlp': 32, 'layers': 1, 'heads': 2},
        'head': {'embed_dim': 16, 'blocks': 1, 'heads': 2},
    },
    'data': {'validation_share': 0.0},
    'decoder': {
        'steps': 60,
        'batch_size': 8,
        'learning_rate': 0.02,
        'save_every_s': 1000.0,
        'end_effector_position': False,
    },
}


def record(path: Path, seed: int) -> Path:
    """Five seconds: the policy turns the first joint the wrong way, then a person turns it back.

    Chunks count up; those of the person are `teleop` in the controller's state, as live.
    """
    robot = load_embodiment(ROBOT)
    rng = np.random.default_rng(seed)
    about = Provenance(
        robot=ROBOT, task='reach', seed=seed, cameras={'primary': 5.0}, driver='policy'
    )
    with EpisodeWriter(path, robot, about, quality=None) as writer:
        writer.instruction(0.9, 'reach the red cube')
        for tick in range(250):
            now, person = 1.0 + tick / 50.0, tick >= 100
            place = robot.postures['ready'].copy()
            place[0] += 0.002 * (tick if not person else 200 - tick)
            writer.joint_state(now, place, np.zeros(6), 1.0)
            writer.command(now, place, np.zeros(6), 1.0)
            if tick % 10:
                continue
            picture = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
            writer.picture(now, 'primary', picture)
            chunk = ActionChunk(
                robot=ROBOT,
                action_space='eef_delta',
                names=NAMES,
                data=np.zeros((4, 7)),
                step_duration_s=0.2,
                stamp=now,
                sequence=tick + 1,
                decode_stop=now,
            )
            writer.chunk(chunk)
            source = 'teleop' if person else 'policy'
            state = {'robot': ROBOT, 'control_source': source, 'chunk_sequence': tick + 1}
            writer.control_state(now, state)
        writer.close(True, ('teleop', 'policy'))
    return path


def checkpoint(folder: Path, sizes) -> Path:
    """A policy and a decoder with fresh weights, in the layout that `univla train` leaves."""
    torch.manual_seed(0)
    codebook = write_policy(folder, fresh_policy(sizes), sizes, recipe='latent')
    declared = DecoderDeclaration(
        head='query',
        horizon=4,
        action_dim=7,
        action_space='joint_position',
        names=load_embodiment(ROBOT).action_names('joint_position'),
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
    wide = {'mean': [0.0] * 7, 'std': [1.0] * 7, 'min': [-1.0] * 7, 'max': [1.0] * 7}
    wide |= {'q01': [-0.1] * 7, 'q99': [0.1] * 7}
    statistics = {'action': {**wide, 'mask': [True] * 6 + [False]}, 'proprio': wide}
    head = fresh_head(sizes, 'query', 4, 7, 7)
    write_decoder(folder / 'decoders' / ROBOT, head, declared, statistics)
    return folder


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Recordings, a checkpoint, and a run that trained its decoder further."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp('finetuning')
    recipe = recipe_from_mapping(RECIPE, 'test')
    run = TrainingRun(
        recipe=recipe,
        out=folder / 'out',
        data=record(folder / 'bags' / 'first', 1),
        more_data=(record(folder / 'bags' / 'second', 2),),
        cache=folder / 'cache',
    )
    source = checkpoint(folder / 'shipped', recipe.network)
    return run, source, finetune_decoder(run, ROBOT, str(source))


def test_only_the_correction_was_learned(made):
    """The person turned the first joint by −0.02 rad a row, the policy by +0.02 before."""
    run, source, folder = made
    known = run.result(f'finetune/{ROBOT}')
    # 25 frames an episode; of the 15 that the person drove none begins a chunk of the policy.
    assert known['frames'] == known['correction_frames'] == 30
    assert known['held_out'] < 0.5 * known['held_out_before']
    decoder, before = RobotDecoder.load(folder), RobotDecoder.load(source / 'decoders' / ROBOT)
    policy = _policy(source)
    picture = np.zeros((480, 640, 3), dtype=np.uint8)
    plan = policy.plan(picture, 'reach the red cube')
    body = np.append(load_embodiment(ROBOT).postures['ready'], 1.0)
    turned, once = (d.decode(plan, body)[0, 0] - body[0] for d in (decoder, before))
    assert turned < 0.0 and abs(turned + 0.02) < abs(once + 0.02)
    assert decoder.declaration == dataclasses.replace(
        before.declaration, source=decoder.declaration.source
    )
    name = 'dataset_statistics.json'
    stats = [json.loads((d / name).read_text()) for d in (folder, source / 'decoders' / ROBOT)]
    assert stats[0] == stats[1]


def test_a_decoder_learns_to_feel_where_its_hand_is(made, tmp_path):
    """Asked for by the recipe: at first the same decoder, told three numbers more."""
    run, source, _ = made
    section = dataclasses.replace(run.recipe.decoder, end_effector_position=True)
    recipe = dataclasses.replace(run.recipe, decoder=section)
    wider = dataclasses.replace(run, recipe=recipe, out=tmp_path)
    folder = finetune_decoder(wider, ROBOT, str(source))
    known, narrow = (r.result(f'finetune/{ROBOT}') for r in (wider, run))
    assert known['held_out_before'] == pytest.approx(narrow['held_out_before'], rel=1e-5)
    assert known['held_out'] < 0.5 * known['held_out_before']
    decoder = RobotDecoder.load(folder)
    assert decoder.declaration.end_effector_position
    assert (decoder.declaration.proprioception_dim, decoder.declaration.measured_dim) == (10, 7)
    entry = json.loads((folder / 'dataset_statistics.json').read_text())[ROBOT]['proprio']
    place = load_embodiment(ROBOT).chain.forward(load_embodiment(ROBOT).postures['ready'])[:3, 3]
    assert np.linalg.norm(np.array(entry['mean'][-3:]) - place) < 0.1
    again = dataclasses.replace(wider, out=tmp_path / 'again')  # wide enough already
    second = finetune_decoder(again, ROBOT, str(source), decoder=str(folder))
    assert RobotDecoder.load(second).declaration.proprioception_dim == 10


def test_a_finished_one_is_left_alone_and_other_recordings_need_another_folder(made, tmp_path):
    run, source, folder = made
    before = (folder / 'action_decoder.safetensors').stat().st_mtime_ns
    assert finetune_decoder(run, ROBOT, str(source)) == folder
    assert (folder / 'action_decoder.safetensors').stat().st_mtime_ns == before
    fewer = dataclasses.replace(run, more_data=())
    with pytest.raises(TrainingError, match=r'made with another episodes; choose another --out'):
        finetune_decoder(fewer, ROBOT, str(source))


def test_a_new_head_is_made_where_the_checkpoint_has_none(made, tmp_path):
    """Half of two recordings is one; its increments become those that the head can say."""
    run, source, _ = made
    own = dataclasses.replace(run, out=tmp_path)
    folder = finetune_decoder(own, ROBOT, str(source), action_space='eef_delta', share=0.5)
    known = own.result(f'finetune/{ROBOT}')
    assert (known['episodes'], known['frames'], known['begun_with']) == (1, 15, '')
    assert known['held_out'] < known['held_out_before']
    declared = RobotDecoder.load(folder).declaration
    assert (declared.action_space, declared.relative) == ('eef_delta', False)
    assert declared.codebook == _policy(source).codebook
    assert 'new head' in declared.source and 'trained on 1 episodes' in declared.source
    with pytest.raises(TrainingError, match='made with another decoder, action_space'):
        finetune_decoder(own, ROBOT, str(source), share=0.5)


def test_rounds_of_mending_begin_with_the_round_before(made, tmp_path):
    """Each round shows what its own decoder does wrong; what is complete is not done again."""
    run, source, _ = made
    asked = []

    def collect(robots, tasks, options):
        told = dict(zip(options[::2], options[1::2], strict=True))
        checkpoint = Path(told['--detours'])
        weights = (checkpoint / 'decoders' / ROBOT / 'action_decoder.safetensors').read_bytes()
        asked.append((robots, tasks, int(told['--seed']), weights))
        record(Path(told['--out']) / ROBOT / 'reach' / 'one', seed=len(asked) + 10)

    section = dataclasses.replace(run.recipe.mending, rounds=2, episodes=2, robots=[ROBOT])
    recipe = dataclasses.replace(run.recipe, mending=section)
    own = dataclasses.replace(run, recipe=recipe, out=tmp_path)
    before = (source / 'decoders' / ROBOT / 'action_decoder.safetensors').read_bytes()
    target = mend(own, source, collect)
    assert [ask[:2] for ask in asked] == [([ROBOT], ['reach', 'push', 'pick', 'place'])] * 2
    assert asked[0][2] < asked[1][2]  # other scenes
    assert asked[0][3] == before != asked[1][3]
    assert RobotDecoder.load(target / 'decoders' / ROBOT).declaration.source.count('further') == 2
    assert (source / 'decoders' / ROBOT / 'action_decoder.safetensors').read_bytes() == before
    frames = [facts['frames'] for facts in own.result('mending')['rounds'].values()]
    assert frames == [45, 60]  # 15 a recording: two of before, then one more each round
    assert mend(own, source, collect) == target and len(asked) == 2
    with pytest.raises(TrainingError, match=r'mending\.rounds is 0'):
        mend(run, source, collect)


def test_it_does_not_write_over_what_it_begins_with(made):
    run, source, folder = made
    with pytest.raises(TrainingError, match='would be replaced'):
        finetune_decoder(run, ROBOT, str(source), decoder=str(folder))


def test_a_second_round_begins_with_the_first(made, tmp_path):
    run, source, folder = made
    later = dataclasses.replace(run, out=tmp_path)
    again = finetune_decoder(later, ROBOT, str(source), decoder=str(folder))
    first, second = (r.result(f'finetune/{ROBOT}') for r in (run, later))
    assert second['held_out_before'] == pytest.approx(first['held_out'], rel=0.05)  # bfloat16
    assert second['held_out'] < first['held_out_before']
    assert RobotDecoder.load(again).declaration.source.count('trained further') == 2


def test_checkpoints_and_decoders_that_see_or_mean_other_things_are_refused(made, tmp_path):
    run, source, _ = made
    run = dataclasses.replace(run, out=tmp_path / 'out')
    config = json.loads((source / 'config.json').read_text())
    other = tmp_path / 'other'
    other.mkdir()
    for path in source.iterdir():
        (other / path.name).symlink_to(path)
    (other / 'config.json').unlink()
    (other / 'config.json').write_text(json.dumps({**config, 'preprocessing': 'bridge'}))
    with pytest.raises(TrainingError, match=r"preprocessing 'bridge'.*`./univla train` made"):
        finetune_decoder(run, ROBOT, str(other))
    with pytest.raises(TrainingError, match=r'0 of its episodes are of franka'):
        finetune_decoder(run, 'franka', str(source))
    with pytest.raises(TrainingError, match="is of robot 'widowx', not 'franka'"):
        finetune_decoder(run, 'franka', str(source), decoder=str(source / 'decoders' / ROBOT))


def _policy(folder: Path):
    from univla_models.univla import UnivlaOptions
    from univla_models.univla import UnivlaPolicy

    options = UnivlaOptions(preprocessing='auto')
    return UnivlaPolicy.from_pretrained(folder, device='cpu', options=options)
