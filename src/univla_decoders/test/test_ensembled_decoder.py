"""Plans of a few steps ago vote on what their chunks share with the newest one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_core.latent_action import LatentAction
from univla_core.poses import rotation_from_vector
from univla_core.poses import vector_from_rotation
from univla_decoders.declaration import DecoderDeclaration
from univla_decoders.decoder import RobotDecoder
from univla_decoders.ensembled_decoder import EnsembledDecoder
from univla_decoders.heads import DecoderHead
from univla_decoders.heads import HeadConfig
from univla_decoders.map_block import MapBlockConfig

ROBOT = load_embodiment('widowx')
STEP_S = 0.2
OLDER = np.exp(-0.1)  # weight of the plan before, beside 1 for the newest


class Scripted(RobotDecoder):
    """Says what it is told to; all after the network is the decoder's own."""

    said = np.zeros((4, 7))

    def predict(self, latent, proprioception=None):
        return np.array(self.said, dtype=float)


def decoder(space='eef_pose', **changes):
    declared = DecoderDeclaration(
        head='query',
        horizon=4,
        action_dim=7,
        action_space=space,
        names=ROBOT.action_names(space),
        step_duration_s=STEP_S,
        normalisation='none',
        proprioception_dim=7,
        gripper='open_positive_unit',
        gripper_binary=True,
        relative=space == 'eef_pose' or space == 'joint_position',
        temporal_ensembling=True,
        robot='widowx',
        **changes,
    )
    declared.check('test')
    pool = MapBlockConfig(input_dim=8, embed_dim=8, num_heads=1, hidden_dim=8)
    head = DecoderHead(HeadConfig(kind='query', horizon=4, action_dim=7, pool=pool))
    return Scripted(head, declared, None)


def plan(time, instruction='pick'):
    return LatentAction(
        policy='univla',
        codebook='',
        codes=np.zeros(4, dtype=np.int32),
        probabilities=np.ones(4, dtype=np.float32),
        latent=np.zeros((4, 8), dtype=np.float32),
        visual=np.zeros((1, 8), dtype=np.float32),
        instruction=instruction,
        stamp=100.0 + time,
    )


def moves(ways, opening=1.0):
    """Increments with these ways along x [m]."""
    rows = np.zeros((4, 7))
    rows[:, 0], rows[:, 6] = ways, opening
    return rows


def body(joints=ROBOT.home):
    return np.append(joints, 1.0)


def test_increments_are_averaged_by_where_they_lead():
    """A hand that is 2 cm further than the first plan knew: targets meet between the two."""
    made = decoder()
    chunks = EnsembledDecoder(made)
    made.said = moves(0.01)
    first = chunks.decode(plan(0.0), body())
    further = np.add(ROBOT.home, [0.02, 0.0, 0.0, 0.0, 0.0, 0.0])
    second = chunks.decode(plan(STEP_S), body(further))
    alone = made.decode(plan(STEP_S), body(further))
    wanted = (alone[:3, :3] + OLDER * first[1:, :3]) / (1.0 + OLDER)
    np.testing.assert_allclose(second[:3, :3], wanted, atol=1e-12)
    np.testing.assert_allclose(second[3], alone[3])
    middle = rotation_from_vector(second[0, 3:6])
    for end in (first[1], alone[0]):
        turn = np.linalg.norm(vector_from_rotation(middle @ rotation_from_vector(end[3:6]).T))
        assert 0.0 < turn < 0.02  # the two are 0.02 rad apart


def test_half_a_turn_does_not_flip():
    """Rotation vectors of opposite sign, of turns that are 0.02 rad apart."""
    made = decoder()
    chunks = EnsembledDecoder(made)
    start = ROBOT.chain.forward(ROBOT.home)[:3, :3]
    ends = [rotation_from_vector([0.0, 0.0, np.pi + angle]) for angle in (-0.01, 0.01)]
    made_of = []
    for time, end in zip((0.0, STEP_S), ends, strict=True):
        rows = moves(0.0)
        rows[0, 3:6] = vector_from_rotation(end @ start.T)
        made.said = rows
        made_of.append(chunks.decode(plan(time), body()))
    turned = rotation_from_vector(made_of[1][0, 3:6])
    assert np.linalg.norm(vector_from_rotation(turned @ ends[0].T)) < 0.02


def test_the_gripper_is_rounded_after_the_votes():
    """0.3 now against 0.6 and 0.8 before: closed, closed; one vote more for open, and it opens."""
    made = decoder()
    chunks = EnsembledDecoder(made)
    for number, (opening, firm) in enumerate(((0.8, 1.0), (0.3, 1.0), (0.3, 0.0))):
        made.said = moves(0.0, opening)
        assert chunks.decode(plan(number * STEP_S), body())[0, 6] == firm


def test_joints_are_averaged_as_angles():
    made = decoder('joint_position')
    chunks = EnsembledDecoder(made)
    made.said = np.full((4, 7), 0.1)
    first = chunks.decode(plan(0.0), body(np.zeros(6)))
    made.said = np.full((4, 7), 0.2)
    second = chunks.decode(plan(STEP_S), body(np.zeros(6)))
    np.testing.assert_allclose(first[:, 0], [0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(second[0, 0], (0.2 + OLDER * 0.2) / (1.0 + OLDER))
    np.testing.assert_allclose(second[1, 0], (0.4 + OLDER * 0.3) / (1.0 + OLDER))


@pytest.mark.parametrize(
    'forget',
    (
        lambda chunks: chunks.reset(),
        lambda chunks: chunks.decode(plan(0.1, 'push'), body()),
        lambda chunks: chunks.decode(plan(0.3), body()),
    ),
    ids=('reset', 'instruction', 'backwards'),
)
def test_what_makes_it_forget(forget):
    made = decoder()
    chunks = EnsembledDecoder(made)
    made.said = moves(0.03)
    chunks.decode(plan(0.0), body())
    forget(chunks)
    made.said = moves(0.01)
    np.testing.assert_array_equal(
        chunks.decode(plan(STEP_S), body()), made.decode(plan(STEP_S), body())
    )


def test_the_declaration_decides_unless_somebody_else_does():
    made = decoder()
    assert EnsembledDecoder(made).averages and not EnsembledDecoder(made, 'never').averages
    made.declaration = dataclasses.replace(made.declaration, temporal_ensembling=False)
    assert not EnsembledDecoder(made).averages and EnsembledDecoder(made, 'always').averages
    with pytest.raises(ConfigError, match='auto, always, never'):
        EnsembledDecoder(made, 'sometimes')
