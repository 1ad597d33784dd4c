"""A fresh head takes over what another body's head knows, and nothing that is the body's own."""

import dataclasses

import torch
from univla_core.embodiment import load_embodiment
from univla_decoders.declaration import DecoderDeclaration
from univla_training.adopting import adopt
from univla_training.adopting import is_another
from univla_training.network_sizes import HeadSizes
from univla_training.network_sizes import LlamaSizes
from univla_training.networks import fresh_head
from univla_training.recipe import NetworkSizes

SIZES = NetworkSizes(
    llama=LlamaSizes(hidden=16, mlp=32, layers=1, heads=2),
    head=HeadSizes(embed_dim=16, blocks=1, heads=2),
)


def declared(robot, space='eef_pose', placed=True):
    embodiment = load_embodiment(robot)
    names = embodiment.action_names(space)
    felt = embodiment.axis_count + 1 + (3 if placed else 0)
    declaration = DecoderDeclaration(
        head='query',
        horizon=4,
        action_dim=len(names),
        action_space=space,
        names=names,
        step_duration_s=0.2,
        num_heads=2,
        normalisation='bounds_q99',
        unnorm_key=robot,
        proprioception_dim=felt,
        proprioception_normalisation='mean_std',
        end_effector_position=placed,
        gripper='open_positive_unit',
        gripper_binary=True,
        relative=True,
        robot=robot,
    )
    return fresh_head(SIZES, 'query', 4, len(names), felt), declaration


def test_the_position_is_felt_as_before_and_joints_anew():
    head, own = declared('franka')  # seven joints
    teacher, taught = declared('widowx')  # six
    before = head.state_dict()['reader.body_in.0.weight'].clone()
    copied = adopt(head, own, teacher, taught)
    after, known = head.state_dict(), teacher.state_dict()
    felt = after['reader.body_in.0.weight']
    assert torch.equal(felt[:, -3:], known['reader.body_in.0.weight'][:, -3:])
    torch.testing.assert_close(felt[:, :-3], 0.1 * before[:, :-3])
    assert set(copied) == set(after)
    assert torch.equal(after['proj.weight'], known['proj.weight'])  # both say x, y, z, …


def test_outputs_of_another_meaning_begin_anew():
    head, own = declared('airbot', 'joint_position', placed=False)
    teacher, taught = declared('widowx')
    before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    copied = adopt(head, own, teacher, taught)
    assert own.action_dim == taught.action_dim  # as many numbers, other ones
    for name in ('proj.weight', 'proj.bias', 'reader.body_in.0.weight'):
        assert name not in copied
        assert torch.equal(head.state_dict()[name], before[name])
    assert 'reader.blocks.0.fc1.weight' in copied


def test_what_is_another_decoder():
    _, own = declared('widowx')
    assert not is_another(own, 'widowx', 'eef_pose')
    assert not is_another(own, 'widowx', None)
    assert is_another(own, 'widowx', 'joint_position')
    assert is_another(dataclasses.replace(own, robot='franka'), 'widowx', 'eef_pose')
