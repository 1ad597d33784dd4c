"""The servo head: gaps in metres, tasks told off the plan, and ways back to what was shown."""

import dataclasses

import numpy as np
import pytest
import torch
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError
from univla_decoders.declaration import DecoderDeclaration
from univla_decoders.heads import HEADS
from univla_decoders.heads import HeadConfig
from univla_decoders.heads import head_config
from univla_decoders.map_block import MapBlockConfig
from univla_decoders.servo_head import discriminants
from univla_decoders.servo_head import on_level

DIM, BODY = 8, 10  # six joints, opening, x, y, z
POOL = MapBlockConfig(input_dim=DIM, embed_dim=16, num_heads=4, num_latents=1, hidden_dim=64)
CONFIG = HeadConfig(
    kind='servo', horizon=4, action_dim=7, pool=POOL, proprioception_dim=BODY, pointing=True
)
MEAN, SPREAD = torch.tensor([0.3, 0.0, 0.1]), torch.tensor([0.05, 0.1, 0.04])
STEP_M = 0.02  # what a normalised step of 1 is


#: In front of the table, looking down at it: x, y, z, 1 to multiples of column, row, 1.
CAMERA = torch.tensor(
    [[-0.3, 1.0, -0.2, 0.5], [0.4, 0.0, -1.1, 0.3], [-0.6, 0.0, -0.4, 1.0]], dtype=torch.float32
)
NOWHERE = torch.zeros(2)  # beside its place the hand is pointed at


def seen(points):
    """Where the camera sees points (…, 3) [m], as shares of the picture."""
    rays = torch.cat([points, torch.ones_like(points[..., :1])], dim=-1) @ CAMERA.T
    return rays[..., :2] / rays[..., 2:]


def latents(named, second, hand):
    """Plans whose first token says where the policy points, (n, 4, DIM)."""
    tokens = torch.zeros(len(hand), 4, DIM)
    tokens[:, 0, :6] = torch.cat([seen(named), seen(second), seen(hand)], dim=-1)
    return tokens


def body(hand, opening=1.0):
    told = torch.zeros(len(hand), BODY)
    told[:, 6], told[:, 7:] = opening, (hand - MEAN) / SPREAD
    return told


def on_table(rng, count, height=0.02):
    places = rng.uniform([0.18, -0.17, height], [0.38, 0.17, height + 1e-9], (count, 3))
    return torch.from_numpy(places).float()


def in_room(rng, count):
    places = rng.uniform([0.18, -0.17, 0.02], [0.38, 0.17, 0.16], (count, 3))
    return torch.from_numpy(places).float()


@pytest.fixture
def head():
    """A head that reads places off the plan as they were written there."""
    torch.manual_seed(0)
    head = HEADS['servo'](CONFIG).eval()
    first, _, last = head.reader.aim
    with torch.no_grad():
        first.weight.copy_(torch.eye(DIM))
        first.bias.fill_(10.0)  # where GELU changes nothing
        last.weight.copy_(torch.eye(6, DIM))
        last.bias.fill_(-10.0)
    return head


@pytest.fixture
def calibrated(head):
    plans = torch.randn(40, 4, DIM, generator=torch.Generator().manual_seed(0))
    bounds = (torch.full((3,), -STEP_M), torch.full((3,), STEP_M))
    kinds = torch.arange(40) % 2
    plans[kinds == 1, 3, 0] += 4.0  # the second task shows in the last token
    head.reader.calibrate((CAMERA, NOWHERE), (MEAN, SPREAD), 0.02, bounds)
    head.reader.tell_tasks(plans, kinds)
    return head


def shapes(head):
    return {name: tuple(value.shape) for name, value in head.state_dict().items()}


def test_sizes_are_read_from_the_weights(head):
    assert head_config(shapes(head), 4, 4, 'here') == CONFIG
    with pytest.raises(CheckpointError, match='no multiple of the declared horizon 3'):
        head_config(shapes(head), 3, 4, 'here')


def test_what_is_seen_is_found_on_its_level():
    points = in_room(np.random.default_rng(1), 50)
    torch.testing.assert_close(
        on_level(CAMERA, seen(points), points[:, 2]), points[:, :2], atol=1e-5, rtol=0.0
    )


def test_a_line_of_sight_that_meets_no_table_stays_finite():
    """Above the horizon, or a camera that was never calibrated: far away, not nan."""
    places = torch.tensor([[0.5, -3.0], [0.5, 0.5], [1e6, 1e6]])
    for camera in (CAMERA, torch.zeros(3, 4), torch.eye(3, 4)):
        found = on_level(camera, places, torch.full((3,), 0.02))
        assert torch.isfinite(found).all()
        assert found.abs().max() <= 5.0


def test_a_motion_holds_at_every_place_of_the_table(calibrated):
    """Hand and things moved alike: the same way and gripper. Things moved alone: another way."""
    rng = np.random.default_rng(2)
    hand, named, second = in_room(rng, 20), on_table(rng, 20), on_table(rng, 20)
    aside = torch.tensor([0.0, 0.03, 0.0])
    with torch.no_grad():
        here = calibrated(latents(named, second, hand), None, body(hand))
        there = (named + aside, second + aside, hand + aside)
        moved = calibrated(latents(*there), None, body(hand + aside))
        nearer = calibrated(latents(named + aside, second, hand), None, body(hand))
    keep = [0, 1, 2, 6]  # how the hand is turned back may depend on the place
    torch.testing.assert_close(moved[..., keep], here[..., keep], atol=1e-3, rtol=0.0)
    assert (nearer - here)[..., keep].abs().max() > 0.01


def test_a_hand_that_is_pointed_at_beside_its_place_is_known_where_it_is(calibrated):
    rng = np.random.default_rng(9)
    hand, named = in_room(rng, 20), on_table(rng, 20)
    right = latents(named, named, hand)
    wrong = right.clone()
    wrong[:, 0, 4:6] += torch.tensor([0.01, -0.07])
    with torch.no_grad():
        known = calibrated(right, None, body(hand))
        astray = calibrated(wrong, None, body(hand))
        bounds = (torch.full((3,), -STEP_M), torch.full((3,), STEP_M))
        beside = torch.tensor([0.01, -0.07])
        calibrated.reader.calibrate((CAMERA, beside), (MEAN, SPREAD), 0.02, bounds)
        corrected = calibrated(wrong, None, body(hand))
    torch.testing.assert_close(corrected, known, atol=1e-3, rtol=0.0)
    assert (astray - known).abs().max() > 0.01


def test_tasks_are_told_by_what_varies_little_within_them():
    """One direction is loud and means nothing, another is quiet and tells three kinds apart."""
    torch.manual_seed(0)
    kinds = torch.arange(300) % 3 + 5
    values = torch.randn(300, 6)
    values[:, 0] *= 30.0
    values[:, 4] += 8.0 * (kinds == 6)
    values[:, 2] += 8.0 * (kinds == 7)
    weight, bias = discriminants(values, kinds)
    assert weight.shape == (3, 6), 'each pair of kinds'
    told = values @ weight.T + bias
    means = torch.stack([told[kinds == kind].mean(dim=0) for kind in (5, 6, 7)])
    nearest = torch.cdist(told, means).argmin(dim=1) + 5
    assert (nearest == kinds).float().mean() > 0.99
    for pair in means.T:  # of two kinds the one is at -2 and the other at 2
        assert (pair + 2.0).abs().min() < 1e-3 and (pair - 2.0).abs().min() < 1e-3
    least = discriminants(values, kinds, most=2)
    torch.testing.assert_close(least, (weight[:2], bias[:2]))
    assert discriminants(values, torch.zeros(300))[0].shape == (0, 6), 'one kind: nothing to tell'


def test_two_names_of_one_task_are_not_told_apart():
    torch.manual_seed(0)
    values = torch.randn(200, 6)
    twice, kinds = torch.cat([values, values, values + 9.0]), torch.arange(600) // 200
    weight, bias = discriminants(twice, kinds)
    assert weight.shape == (2, 6), 'both of them against the third, not against each other'
    assert torch.isfinite(weight).all() and torch.isfinite(bias).all()


def test_the_task_decides_and_noise_in_the_plan_does_not(calibrated):
    rng = np.random.default_rng(6)
    hand, named = in_room(rng, 20), on_table(rng, 20)
    told = latents(named, named, hand)
    other, noisy = told.clone(), told.clone()
    other[:, 3, 0] += 4.0
    noisy[:, 2, 5] += 1.0
    with torch.no_grad():
        rows, as_other, as_noisy = (
            calibrated(plan, None, body(hand)) for plan in (told, other, noisy)
        )
    assert (as_other - rows).abs().mean() > 10.0 * (as_noisy - rows).abs().mean()


def beside(hand, way):
    """A place on the table, a way from below the hand."""
    return torch.cat([(hand + way)[:, :2], torch.full((len(hand), 1), 0.02)], dim=1)


def in_units(way, low, high):
    """Ways along x and y [m] as a decoder normalises them."""
    return (way - low[:2]) / (high - low)[:2] * 2.0 - 1.0


def learn(head, told, felt, rows):
    torch.manual_seed(1)
    head.train()
    optimizer = torch.optim.Adam([p for p in head.parameters() if p.requires_grad], 2e-3)
    for _ in range(400):
        some = torch.randint(len(rows), (64,))
        loss = (head(told[some], None, felt[some]) - rows[some]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    head.eval()


def test_it_learns_to_come_back_to_a_path_that_it_saw_once(calibrated):
    """Shown: straight down over the thing. Asked: from three centimetres beside and above."""
    rng = np.random.default_rng(3)
    named = on_table(rng, 400)
    hand = named.clone()
    hand[:, 2] = torch.from_numpy(rng.uniform(0.02, 0.1, 400)).float()
    rows = torch.zeros(400, 4, 7)
    rows[:, :, 2] = (-(hand[:, 2:] - 0.02) / 4 / STEP_M).clamp(-1.0, 0.0)
    learn(calibrated, latents(named, named, hand), body(hand), rows)
    beside = hand + torch.tensor([0.03, 0.0, 0.0])
    with torch.no_grad():
        back = calibrated(latents(named, named, beside), None, body(beside))[:, :, :3].sum(dim=1)
    back = STEP_M * back  # (400, 3) [m]
    assert (back[:, 0] + 0.03).abs().mean() < 0.008
    assert back[:, 1].abs().mean() < 0.008


def test_a_way_shown_to_one_side_tells_the_way_to_every_other(calibrated):
    """Shown: things to the left of the hand, and units whose zero is no rest. Asked: the right."""
    low, high = torch.tensor([-0.01, -0.03, -0.02]), torch.tensor([0.03, 0.02, 0.02])
    calibrated.reader.calibrate((CAMERA, NOWHERE), (MEAN, SPREAD), 0.02, (low, high))
    rng = np.random.default_rng(7)
    hand = in_room(rng, 400)
    left = torch.from_numpy(rng.uniform([-0.02, 0.0, 0.0], [0.02, 0.06, 1e-9], (400, 3))).float()
    there, opposite = (beside(hand, way) for way in (left, -left))
    rows = torch.zeros(400, 4, 7)
    rows[..., :2] = in_units(left[:, None, :2] / 4, low, high)
    learn(calibrated, latents(there, there, hand), body(hand), rows)
    with torch.no_grad():
        rows = calibrated(latents(opposite, opposite, hand), None, body(hand))
    way = (low + 0.5 * (rows[..., :3] + 1.0) * (high - low)).sum(dim=1)
    assert (way + left)[:, :2].norm(dim=1).mean() < 0.008


@pytest.mark.parametrize('every', [True, False])
def test_only_a_head_that_is_told_so_learns_to_go_left_of_everything(calibrated, every):
    """Shown: four centimetres to the left, wherever the thing is."""
    low, high = torch.tensor([-0.01, -0.03, -0.02]), torch.tensor([0.03, 0.02, 0.02])
    calibrated.reader.calibrate((CAMERA, NOWHERE), (MEAN, SPREAD), 0.02, (low, high))
    calibrated.reader.every_direction = every
    rng = np.random.default_rng(8)
    hand = in_room(rng, 400)
    there = beside(hand, torch.from_numpy(rng.uniform(-0.05, 0.05, (400, 3))).float())
    rows = torch.zeros(400, 4, 7)
    rows[..., :2] = in_units(torch.tensor([0.0, 0.01]), low, high)
    told, felt = latents(there, there, hand), body(hand)
    learn(calibrated, told, felt, rows)
    with torch.no_grad():
        way = low + 0.5 * (calibrated(told, None, felt)[..., :3] + 1.0) * (high - low)
    went = way[..., 1].sum(dim=1).mean()
    assert abs(went - (0.0 if every else 0.04)) < 0.012


def test_training_leaves_gripper_and_answers_alone(calibrated):
    """What is imagined while it learns is not there when it acts, and never in the gripper."""
    rng = np.random.default_rng(4)
    hand, named = in_room(rng, 8), on_table(rng, 8)
    told, felt = latents(named, named, hand), body(hand)
    calibrated.reader.every_direction = False  # turned, it is another gap
    with torch.no_grad():
        torch.testing.assert_close(calibrated(told, None, felt), calibrated(told, None, felt))
        before = calibrated(told, None, felt)
        calibrated.reader.train()
        torch.manual_seed(5)
        during = calibrated(told, None, felt)
    assert not torch.allclose(during[..., :3], before[..., :3], atol=0.05)
    torch.testing.assert_close(during[..., 3:], before[..., 3:], atol=0.1, rtol=0.0)


DECLARED = DecoderDeclaration(
    head='servo',
    horizon=4,
    action_dim=7,
    action_space='eef_pose',
    names=('x', 'y', 'z', 'rx', 'ry', 'rz', 'gripper'),
    step_duration_s=0.2,
    num_heads=4,
    latent_dim=DIM,
    proprioception_dim=BODY,
    proprioception_normalisation='mean_std',
    end_effector_position=True,
    gripper='open_positive_unit',
    relative=True,
    robot='widowx',
)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'end_effector_position': False}, 'needs end_effector_position'),
        ({'action_space': 'joint_position'}, 'an action_space of the end effector'),
        ({'proprioception_dim': 0, 'relative': False}, 'proprioception_dim belongs to'),
    ],
)
def test_a_declaration_that_it_cannot_follow_is_refused(change, words):
    DECLARED.check('here')
    with pytest.raises(ConfigError, match=words):
        dataclasses.replace(DECLARED, **change).check('here')


def test_a_new_place_of_the_camera_leaves_the_tasks_alone(calibrated):
    """As when a decoder is trained further: what it learned about tasks must keep its meaning."""
    assert calibrated.reader.knows_tasks
    before = calibrated.reader.task.clone()
    calibrated.reader.calibrate(
        (2.0 * CAMERA, NOWHERE), (MEAN, SPREAD), 0.03, (-torch.ones(3), torch.ones(3))
    )
    assert torch.equal(calibrated.reader.task, before)
    assert torch.equal(calibrated.reader.camera, 2.0 * CAMERA)
