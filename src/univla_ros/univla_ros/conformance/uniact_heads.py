"""UniAct's heads alone against the official numbers."""

from __future__ import annotations

import torch
from torch import Tensor
from univla_decoders.heads import DecoderHead

from univla_ros.conformance.rows import Rows
from univla_ros.conformance.uniact_reference import ACT
from univla_ros.conformance.uniact_reference import MLP
from univla_ros.conformance.uniact_reference import Reference

GROUP = 'heads'
OFFICIAL = 'head_official_size_*.safetensors'


@torch.inference_mode()
def check_heads(rows: Rows, reference: Reference) -> None:
    """Compare `mlp_*`, `act_*` and `omlp_*`."""
    archive = reference.archive
    horizon = archive['mlp_out'].shape[1]
    for name, head, proprioception, tolerance in (
        ('mlp', reference.domain_head(MLP, horizon), None, 1e-5),
        ('act', reference.domain_head(ACT, horizon), reference['act_proprio'], 1e-4),
    ):
        got = run(head, reference[f'{name}_vision'], reference[f'{name}_u'], proprioception)
        rows.against(GROUP, archive, f'{name}_out', got, tolerance)
    official = sorted(reference.folder.glob(OFFICIAL))
    rows.require(GROUP, bool(official), OFFICIAL)
    for path in official:
        head = reference.head(path, archive['omlp_out'].shape[1])
        got = run(head, reference['omlp_vision_f16'], reference['omlp_u'], None)
        rows.against(GROUP, archive, 'omlp_out', got, 1e-4)


def run(
    head: DecoderHead, vision: Tensor, action: Tensor, proprioception: Tensor | None
) -> Tensor:
    """(batch, views, 49, channels), (batch, dim) and the body → (batch, horizon, action_dim)."""
    return head(action[:, None], vision.flatten(1, 2), proprioception)
