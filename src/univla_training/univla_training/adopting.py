"""Let a new decoder begin with what that of another robot or action space has learned."""

from __future__ import annotations

import torch
from univla_decoders.declaration import DecoderDeclaration
from univla_decoders.felt import POSITION_DIM
from univla_decoders.heads import DecoderHead

# How joints are felt belongs to a body, and what the outputs mean to an action space.
_FELT, _OUT = 'reader.body_in.0.weight', ('proj.weight', 'proj.bias')


@torch.no_grad()
def adopt(
    head: DecoderHead,
    declared: DecoderDeclaration,
    teacher: DecoderHead,
    taught: DecoderDeclaration,
) -> list[str]:
    """Copy into a fresh head what a trained one knows that holds for both, in place.

    How a plan and a picture are read holds for every body. Felt joints are learned anew, the felt
    position of the end effector is kept; outputs are kept if both speak of the same action space
    with the same names.

    Args:
        head: The fresh head.
        declared: Its declaration.
        teacher: The trained head, on the same policy.
        taught: Its declaration.

    Returns:
        Names of the tensors that were copied, whole or in part.
    """
    own, known = head.state_dict(), teacher.state_dict()
    same_actions = declared.action_space == taught.action_space and declared.names == taught.names
    both_placed = declared.end_effector_position and taught.end_effector_position
    copied = []
    for name, tensor in own.items():
        other = known.get(name)
        if name == _FELT:
            if other is not None and both_placed and len(other) == len(tensor):
                tensor[:, :-POSITION_DIM] *= 0.1  # joints begin with little say
                tensor[:, -POSITION_DIM:] = other[:, -POSITION_DIM:]
                copied.append(name)
        elif (
            other is not None
            and other.shape == tensor.shape
            and (name not in _OUT or same_actions)
        ):
            tensor.copy_(other)
            copied.append(name)
    return copied


def is_another(taught: DecoderDeclaration, robot: str, space: str | None) -> bool:
    """Whether a decoder is of another robot, or of another action space than one asked for."""
    return taught.robot != robot or space not in (None, taught.action_space)
