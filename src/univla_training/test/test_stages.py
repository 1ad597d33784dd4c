"""All stages on pictures of noise and two tiny networks: what they leave fits what deploys."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from univla_core.embodiment import load_embodiment
from univla_core.errors import TrainingError
from univla_decoders.decoder import RobotDecoder
from univla_decoders.felt import with_position
from univla_decoders.increments import added_up
from univla_models.univla import UnivlaOptions
from univla_models.univla import UnivlaPolicy
from univla_training.camera_fit import CameraFit
from univla_training.cloning import train_clone
from univla_training.cloning_task import QUERIES
from univla_training.codes import CodeKeeper
from univla_training.codes import entropy_bits
from univla_training.codes import k_means
from univla_training.decoder_task import DecoderTask
from univla_training.decoder_task import Plans
from univla_training.decoder_task import kept_plans
from univla_training.decoder_task import plan_frames
from univla_training.decoder_training import train_decoder
from univla_training.demonstrations import demonstrations
from univla_training.frame_store import EpisodeRow
from univla_training.frame_store import FrameStore
from univla_training.joint_finetuning import finetune
from univla_training.joint_finetuning_task import FinetuningTask
from univla_training.lam_training import labels
from univla_training.lam_training import train_lam
from univla_training.lora import LoraLinear
from univla_training.lora import add_lora
from univla_training.lora import merge_lora
from univla_training.networks import pointing_weights
from univla_training.planning import plan_batch
from univla_training.pointing import PointingPictures
from univla_training.pointing import label_side
from univla_training.pointing_losses import GRID
from univla_training.pointing_losses import soft_cells
from univla_training.policy_training import train_policy
from univla_training.policy_training import trained_policy
from univla_training.pretraining import own_prompts
from univla_training.recipe import recipe_from_mapping
from univla_training.run import TrainingRun
from univla_training.settings import DecoderSettings
from univla_training.stages import run_card
from univla_training.stages import run_decoder

from univla_training import pretraining
from univla_training import servo_calibration

ROBOT = 'widowx'
SIDE = 28
FAST = {'steps': 3, 'batch_size': 4, 'save_every_s': 1000.0}
RECIPE = {
    'network': {
        'image_side': SIDE,
        'lam_image_side': SIDE,
        'dino': {'dim': 16, 'depth': 2, 'heads': 2},
        'siglip': {'dim': 16, 'depth': 2, 'heads': 2},
        'llama': {'hidden': 16, 'mlp': 32, 'layers': 1, 'heads': 2},
        'lam': {
            'model_dim': 16,
            'latent_dim': 8,
            'encoder_blocks': 1,
            'decoder_blocks': 1,
            'heads': 2,
        },
        'text': {'dim': 16, 'layers': 1, 'heads': 2},
        'head': {'embed_dim': 16, 'blocks': 1, 'heads': 2},
    },
    'data': {'robots': [ROBOT], 'validation_share': 0.25},
    **dict.fromkeys(('pretraining', 'lam1', 'lam2', 'decoder', 'finetuning', 'cloning'), FAST),
    'policy': {**FAST, 'pointing_share': 0.5},
}


def noisy_store(episodes=4, frames=6):
    """Episodes whose commands lead the measured joints by one hundredth of a radian."""
    embodiment = load_embodiment(ROBOT)
    rng = np.random.default_rng(0)
    count = episodes * frames
    rows = [
        EpisodeRow(
            key=str(number),
            path=f'episode_{number}',
            robot=ROBOT,
            task='reach',
            instruction='reach the red cube' if number % 2 else 'put the blue cube on the plate',
            seed=number,
            success=True,
            start=frames * number,
            stop=frames * (number + 1),
            axes=6,
            gripper=True,
            spaces=embodiment.action_spaces,
            camera=(48, 64),
        )
        for number in range(episodes)
    ]
    positions = np.full((count, 8), np.nan, dtype=np.float32)
    positions[:, :6] = embodiment.postures['ready'] + rng.normal(scale=0.05, size=(count, 6))
    lead = positions[:, None, :6] + 0.01 * np.arange(1, 5)[None, :, None]  # (count, 4, 6)
    actions = np.zeros((count, 4, 8), dtype=np.float32)
    actions[..., :6], actions[..., 6] = lead, 1.0
    poses = np.zeros_like(actions)
    for place in np.ndindex(count, 4):
        start = np.zeros((1, 7))
        poses[place][:7] = added_up(start, lead[place].astype(float), 'eef_pose', embodiment)[0]
    arrays = {
        'pictures': rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8),
        'positions': positions,
        'opening': np.full(count, 0.8, dtype=np.float32),
        'clean': np.ones(count, dtype=bool),
        'actions/joint_position': actions,
        'actions/eef_pose': poses,
    }
    return FrameStore(rows, arrays)


def random_pictures():
    """Noise for the pretraining."""
    rng = np.random.default_rng(1)
    return PointingPictures(
        pictures=rng.integers(0, 256, (6, SIDE, SIDE, 3), dtype=np.uint8),
        labels=rng.integers(0, 7, (6, label_side(SIDE), label_side(SIDE)), dtype=np.uint8),
        places=rng.uniform(0.0, 1.0, (6, 5, 2)).astype(np.float32),
        base=np.zeros(6, dtype=bool),
    )


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A run that has gone through every stage."""
    folder = tmp_path_factory.mktemp('run')
    run = TrainingRun(recipe=recipe_from_mapping(RECIPE, 'test'), out=folder / 'out')
    run.__dict__['store'] = noisy_store()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining, 'drawn_scenes', lambda *_: random_pictures())
        pretraining.pretrain(run)
        train_lam(run, 1)
        train_lam(run, 2)
        train_policy(run)
    return run


def test_every_frame_gets_a_word_of_four_codes(run):
    codes = labels(run)
    assert codes.shape == (24, 4) and codes.max() < 16
    assert run.result('lam2')['distinct_words'] >= 1


def test_episodes_that_came_since_are_labelled_too(run):
    before = labels(run)
    more = dataclasses.replace(run)
    more.__dict__['store'] = noisy_store(episodes=6)
    more.store.pictures[:24] = run.store.pictures
    try:
        codes = labels(more)
        assert codes.shape == (36, 4)
        np.testing.assert_array_equal(codes[:24], before)
    finally:
        (run.out / 'features.npy').unlink()  # the next test has the first four again
    np.testing.assert_array_equal(labels(run), before)


def test_the_checkpoint_plans_as_training_planned(run):
    """Written, loaded by the deployed loader: same codes and states for picture and words."""
    policy = UnivlaPolicy.from_pretrained(
        run.out / 'checkpoint', device='cpu', options=UnivlaOptions(preprocessing='auto')
    )
    assert policy.trained and policy.options.preprocessing == 'plain'
    picture, words = run.store.pictures[3], 'reach the red cube'
    deployed = policy.plan(picture, words)
    prompts = own_prompts()
    from univla_training.pixels import policy_pixels

    table = load_file(run.out / 'checkpoint' / 'model.safetensors')[
        'language_model.model.embed_tokens.weight'
    ]
    assert 100 < len(table) < 5000, 'only tokens that there are'
    codes, states = plan_batch(
        trained_policy(run),
        policy_pixels(picture[None]),
        prompts.batch([words]).ids,
        prompts.action_ids,
    )
    assert deployed.codes.tolist() == codes[0].tolist()
    np.testing.assert_allclose(deployed.latent, states.latent[0], atol=1e-4)
    np.testing.assert_allclose(deployed.visual, states.visual[0], atol=1e-4)


def test_a_frozen_policy_sees_frames_in_several_lights(run):
    """The first view is the picture itself; training draws any of them, checks see the first."""
    rows = run.store.frames[:6]
    network = trained_policy(run)
    once = plan_frames(network, own_prompts(), run.store, rows)
    seen = []
    plans = plan_frames(network, own_prompts(), run.store, rows, views=3, progress=seen.append)
    assert plans.views == 3 and sum(seen) == 18
    np.testing.assert_array_equal(plans.visual[0], once.visual[0])
    assert not np.allclose(plans.visual[1], plans.visual[0], atol=1e-3)
    assert not np.allclose(plans.visual[1], plans.visual[2], atol=1e-3)
    chunks, shares = np.zeros((6, 4, 7), dtype=np.float32), np.ones(6)
    task = DecoderTask(torch.nn.Linear(1, 1), plans, chunks, None, shares)
    wanted = torch.from_numpy(plans.visual.astype(np.float32))
    assert torch.equal(task.batch(np.array([4, 2])).visual, wanted[0, [4, 2]])
    drawn = task.batch(np.full(40, 3), np.random.default_rng(0)).visual
    for view in range(3):
        assert any(torch.equal(row, wanted[view, 3]) for row in drawn)
    elsewhere = plan_frames(network, own_prompts(), run.store, rows, views=2, shift=0.05)
    np.testing.assert_array_equal(elsewhere.visual[0], once.visual[0])
    assert not np.allclose(elsewhere.visual[1], plans.visual[1], atol=1e-3)


def test_plans_on_disk_are_read_again_unless_they_are_of_other_views(tmp_path):
    made = []

    def make(views):
        made.append(views)
        values = np.full((views, 3, 4), len(made))
        return Plans(latent=values[..., None], visual=values[..., None], codes=values)

    path = tmp_path / 'plans.npz'
    cases = ((1, 0.0, 1), (1, 0.0, 1), (2, 0.0, 2), (2, 0.0, 2), (2, 0.03, 3), (2, 0.03, 3))
    for views, shift, calls in cases:
        plans = kept_plans(path, (views, 3, shift), lambda: make(views))  # noqa: B023
        assert len(made) == calls and plans.views == views and plans.codes[0, 0, 0] == calls


@pytest.mark.parametrize('space', ['eef_pose', 'joint_position'])
def test_a_decoder_fits_its_checkpoint_and_leads_from_the_measured_robot(run, space):
    folder = train_decoder(run, ROBOT, space)
    decoder = RobotDecoder.load(folder)
    assert decoder.declaration.relative and decoder.declaration.action_space == space
    policy = UnivlaPolicy.from_pretrained(run.out / 'checkpoint', device='cpu')
    decoder.check_codebook(policy.codebook)
    ready = load_embodiment(ROBOT).postures['ready']
    plan = policy.plan(run.store.pictures[0], 'reach the red cube')
    here, there = (decoder.decode(plan, np.append(q, 0.5)) for q in (ready, ready + 0.3))
    assert here.shape == (4, 7)
    assert not np.allclose(here[:, :6], there[:, :6], atol=0.01)


def test_a_decoder_is_told_where_its_policy_points(run):
    """The checkpoint knows how that is read off its plans; the decoder takes it along."""
    told = dataclasses.replace(run.recipe.decoder, pointing=True)
    pointed = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, decoder=told))
    pointed.__dict__['store'] = run.store
    head = RobotDecoder.load(train_decoder(pointed, ROBOT, share=0.5)).head
    known = load_file(run.out / 'checkpoint' / 'pointing.safetensors')
    for name, value in head.reader.aim.state_dict().items():
        torch.testing.assert_close(value, known[name].float())


def test_a_servo_head_calibrates_itself_and_acts_in_end_effector_spaces(run, monkeypatch):
    """The camera is fitted to the hand's own places; three steps of pretraining know none."""
    camera = np.array([[-0.3, 1.0, -0.2, 0.51], [0.4, 0.0, -1.1, 0.3], [-0.6, 0.0, -0.4, 1.0]])
    fitted = []

    def fit(seen, aspect):
        fitted.append((seen, aspect))
        return CameraFit(camera, np.array([0.01, -0.07]))

    monkeypatch.setattr(servo_calibration, 'fit_camera', fit)
    told = dataclasses.replace(
        run.recipe.decoder, head='servo', pointing=True, every_direction=False
    )
    aimed = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, decoder=told))
    aimed.__dict__['store'] = run.store
    decoder = RobotDecoder.load(train_decoder(aimed, ROBOT, share=0.75))
    assert decoder.declaration.head == 'servo'
    assert (run.folder('decoder/widowx-75percent') / 'camera.png').stat().st_size > 1000
    reader, shown = decoder.head.reader, run.split[0].share(0.75)
    assert torch.equal(reader.camera, torch.from_numpy(camera).float()), 'in full precision'
    assert torch.equal(reader.hand_beside, torch.tensor([0.01, -0.07]))
    hands = with_position(shown.proprioception(shown.frames), load_embodiment(ROBOT))[:, -3:]
    ((seen, aspect),) = fitted
    assert seen.places.shape == (len(seen), 2)
    np.testing.assert_allclose(seen.points[: len(hands)], hands, atol=1e-5)
    assert seen.hand.tolist() == len(hands) * [True] + len(hands) * [False], 'what they went to'
    height, width = run.store.episodes[0].camera
    assert aspect == width / height
    np.testing.assert_allclose(reader.place[0], hands.mean(axis=0), atol=1e-5)
    assert hands[:, 2].min() < reader.floor < hands[:, 2].mean()
    assert not reader.task.any(), 'all of one task: nothing to tell apart'
    tasks = [
        dataclasses.replace(row, task='place' if 'plate' in row.instruction else 'reach')
        for row in run.store.episodes
    ]
    two = dataclasses.replace(aimed)
    two.__dict__['store'] = FrameStore(tasks, run.store.arrays)
    assert RobotDecoder.load(train_decoder(two, ROBOT, share=0.8)).head.reader.knows_tasks
    ready = np.append(load_embodiment(ROBOT).postures['ready'], 0.5)
    policy = UnivlaPolicy.from_pretrained(run.out / 'checkpoint', device='cpu')
    plan = policy.plan(run.store.pictures[0], 'reach the red cube')
    assert np.isfinite(decoder.decode(plan, ready)).all()
    with pytest.raises(TrainingError, match='joint_delta of widowx is no end-effector space'):
        train_decoder(aimed, ROBOT, 'joint_delta')
    clone = RobotDecoder.load(train_clone(aimed, 0.75) / 'decoders' / ROBOT)
    assert clone.declaration.head == 'query', 'what learns with its network must see the picture'


def test_a_policy_that_did_not_learn_to_point_tells_no_places(tmp_path):
    with pytest.raises(TrainingError, match=r'pointing.safetensors: is missing.*pointing: false'):
        pointing_weights(tmp_path, DecoderSettings(pointing=True))
    with pytest.raises(TrainingError, match='for heads of kind query or servo, not manipulation'):
        pointing_weights(tmp_path, DecoderSettings(pointing=True, head='manipulation'))
    with pytest.raises(TrainingError, match='a servo head goes where the policy points'):
        pointing_weights(tmp_path, DecoderSettings(head='servo'))
    assert pointing_weights(tmp_path, DecoderSettings()) is None


def test_labels_are_increments_from_the_measured_joints(run):
    """Commands lead by 0.01 rad a row, so every row adds 0.01 rad."""
    shown = demonstrations(run.store, ROBOT, 'joint_position')
    action = shown.statistics['action']
    np.testing.assert_allclose(action['mean'][:6], 0.01, atol=1e-5)
    assert action['mask'][-1] is False and action['q99'][0] - action['q01'][0] > 0.03
    assert np.abs(shown.chunks[..., :6]).max() <= 1.0


def test_fine_tuning_leaves_policy_and_decoders_that_belong_together(run):
    folder = finetune(run)
    policy = UnivlaPolicy.from_pretrained(folder, device='cpu')
    before = UnivlaPolicy.from_pretrained(run.out / 'checkpoint', device='cpu')
    plan, other = (p.plan(run.store.pictures[0], 'reach the red cube') for p in (policy, before))
    assert not np.array_equal(plan.latent, other.latent), 'it learned'
    decoder = RobotDecoder.load(folder / 'decoders' / ROBOT)
    decoder.check_codebook(policy.codebook)
    ready = load_embodiment(ROBOT).postures['ready']
    assert np.isfinite(decoder.decode(plan, np.append(ready, 0.5))).all()
    assert run.result('finetuning')[f'held_out_{ROBOT}'] > 0.0
    assert run_card(run).parent == folder


def test_lora_leaves_a_checkpoint_of_its_own(run):
    """Everything linear in the policy moved a little, what words and codes mean did not."""
    decoder = dataclasses.replace(run.recipe.decoder, lora_rank=2, learning_rate=0.05)
    adapted = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, decoder=decoder))
    adapted.__dict__['store'] = run.store
    run_decoder(adapted, ROBOT, None, 1.0)
    folder = run.folder(f'decoder/{ROBOT}-lora2') / 'checkpoint'
    before = UnivlaPolicy.from_pretrained(run.out / 'checkpoint', device='cpu')
    after = UnivlaPolicy.from_pretrained(folder, device='cpu')
    assert after.codebook == before.codebook
    old, new = before.network.state_dict(), after.network.state_dict()
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    linear = {n for n, layer in before.network.named_modules() if isinstance(layer, nn.Linear)}
    assert moved == {f'{name}.weight' for name in linear - {'language_model.lm_head'}}
    RobotDecoder.load(folder / 'decoders' / ROBOT).check_codebook(after.codebook)
    assert run.result(f'decoder/{ROBOT}-lora2')[f'held_out_{ROBOT}'] > 0.0


def test_some_of_the_codes_before_are_wrong_ones():
    """As when the policy runs: what it said before need not be what the labels say."""
    store = noisy_store()
    shown = {ROBOT: demonstrations(store, ROBOT, 'eef_pose')}
    prompts, codes = own_prompts(), np.full((24, 4), 3, dtype=np.uint8)
    task = FinetuningTask(None, {}, prompts, store, codes, shown, code_weight=1.0, code_noise=0.5)
    batch = task.draw(np.random.default_rng(0), 400)
    said = torch.stack([batch.text.ids[n, s + 1 : s + 4] for n, s in enumerate(batch.text.start)])
    right = (said == prompts.action_ids[3]).float().mean()
    assert 0.45 < right < 0.62  # half, and a sixteenth of the other half
    assert (batch.codes == 3).all()
    quiet = task.batch(ROBOT, np.arange(24))
    assert (quiet.text.ids[0, quiet.text.start[0] + 1 :][:3] == prompts.action_ids[3]).all()


def test_cloning_leaves_a_checkpoint_whose_codes_are_queries(run):
    folder = train_clone(run)
    policy = UnivlaPolicy.from_pretrained(folder, device='cpu')
    plan = policy.plan(run.store.pictures[0], 'reach the red cube', codes=QUERIES)
    decoder = RobotDecoder.load(folder / 'decoders' / ROBOT)
    decoder.check_codebook(policy.codebook)
    ready = load_embodiment(ROBOT).postures['ready']
    assert np.isfinite(decoder.decode(plan, np.append(ready, 0.5))).all()


def test_cloning_gets_what_decoders_get(run, monkeypatch):
    """Pictures from elsewhere, and where the network points; all of it goes on learning."""
    told = dataclasses.replace(run.recipe.decoder, pointing=True, view_shift=0.03)
    cloning = dataclasses.replace(run.recipe.cloning, pointing_share=0.5, learning_rate=0.05)
    recipe = dataclasses.replace(run.recipe, decoder=told, cloning=cloning)
    pointed = dataclasses.replace(run, recipe=recipe)
    pointed.__dict__['store'] = run.store
    monkeypatch.setattr(pretraining, 'drawn_scenes', lambda *_: random_pictures())
    head = RobotDecoder.load(train_clone(pointed, 0.5) / 'decoders' / ROBOT).head
    before = load_file(run.folder('pretraining') / pretraining.HEADS)
    for name, value in head.reader.aim.state_dict().items():
        as_written = before[f'aim.{name}'].to(torch.bfloat16).float()
        assert value.shape == as_written.shape
        assert not torch.equal(value, as_written)
    other = dataclasses.replace(recipe, decoder=dataclasses.replace(told, head='manipulation'))
    pointed = dataclasses.replace(run, recipe=other)
    pointed.__dict__['store'] = run.store
    with pytest.raises(TrainingError, match='for heads of kind query or servo, not manipulation'):
        train_clone(pointed, 0.25)


def test_a_stage_names_the_one_that_must_come_first(tmp_path):
    run = TrainingRun(recipe=recipe_from_mapping(RECIPE, 'test'), out=tmp_path)
    run.__dict__['store'] = noisy_store()
    with pytest.raises(TrainingError, match='train pretrain'):
        train_lam(run, 2)


def test_a_finished_stage_is_left_alone(run):
    before = (run.folder('policy') / 'result.json').stat().st_mtime_ns
    train_policy(dataclasses.replace(run, seed=run.seed))
    assert (run.folder('policy') / 'result.json').stat().st_mtime_ns == before


# Pieces.


def test_adapters_begin_at_nothing_and_merge_into_the_layers():
    """Rank 2, alpha 6: three times up(down(x)) is added."""
    torch.manual_seed(0)
    network = nn.ModuleDict({'inner': nn.Sequential(nn.Linear(5, 4)), 'lm_head': nn.Linear(4, 3)})
    inputs = torch.randn(7, 5)
    plain = network['inner'](inputs)
    add_lora(network, rank=2, alpha=6.0)
    adapter = network['inner'][0]
    assert isinstance(adapter, LoraLinear) and isinstance(network['lm_head'], nn.Linear)
    torch.testing.assert_close(network['inner'](inputs), plain)
    learning = {name for name, value in network.named_parameters() if value.requires_grad}
    assert learning == {'inner.0.down.weight', 'inner.0.up.weight'}
    nn.init.normal_(adapter.up.weight)
    added = 3.0 * inputs @ adapter.down.weight.T @ adapter.up.weight.T
    shown = network['inner'](inputs)
    torch.testing.assert_close(shown, plain + added)
    merge_lora(network)
    assert set(network.state_dict()) == {
        f'{name}.{kind}' for name in ('inner.0', 'lm_head') for kind in ('weight', 'bias')
    }
    torch.testing.assert_close(network['inner'](inputs), shown)


def test_a_place_is_a_bump_of_cells_around_it_and_nowhere_has_its_own():
    """Column 0.5, row 0.25 of 16 x 16 cells: cell (row 4, column 8)."""
    goal, cells = soft_cells(torch.tensor([[0.5, 0.25], [float('nan'), 0.0]]))
    torch.testing.assert_close(goal.sum(-1), torch.ones(2))
    assert cells.tolist() == [4 * GRID + 8, GRID * GRID]
    assert goal[0].argmax() in (3 * GRID + 7, 3 * GRID + 8, 4 * GRID + 7, 4 * GRID + 8)
    assert goal[1, -1] == 1.0


def test_dead_codes_wake_where_vectors_are():
    from univla_models.lam_blocks import VectorQuantizer

    torch.manual_seed(0)
    quantizer = VectorQuantizer(4, 2)
    with torch.no_grad():
        quantizer.codebook.weight[:] = 100.0  # all codes far away, on one spot
    keeper = CodeKeeper(quantizer, seed=0, starts=(), every=10)
    vectors = torch.randn(64, 2)
    for step in range(1, 501):
        indices = quantizer(vectors)[1]
        keeper.look(step, vectors, indices)
    assert torch.cdist(quantizer.codebook.weight, vectors).amin(dim=1).max() < 1.0
    assert keeper.bits > 1.0


def test_k_means_finds_separate_clusters():
    rng = np.random.default_rng(0)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    vectors = centres.repeat_interleave(20, dim=0) + 0.1 * torch.randn(60, 2)
    found = k_means(vectors, 3, rng)
    assert torch.cdist(centres, found).amin(dim=1).max() < 0.2


def test_entropy_of_even_use_is_its_logarithm():
    assert entropy_bits(np.ones(16)) == pytest.approx(4.0)
    assert entropy_bits(np.array([1.0, 0.0])) == 0.0
