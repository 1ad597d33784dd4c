"""The projector: from patch features to the language model's embedding space."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor
from torch import nn


class FusedProjector(nn.Module):
    """Three linear layers with exact GELU between, for two fused vision transformers.

    Source: `fused-gelu-mlp` of Prismatic, arXiv:2402.07865.
    """

    def __init__(self, vision_dim: int, llm_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(vision_dim, 4 * vision_dim)
        self.fc2 = nn.Linear(4 * vision_dim, llm_dim)
        self.fc3 = nn.Linear(llm_dim, llm_dim)

    def forward(self, features: Tensor) -> Tensor:
        """(…, vision_dim) → (…, llm_dim)."""
        return self.fc3(F.gelu(self.fc2(F.gelu(self.fc1(features)))))
