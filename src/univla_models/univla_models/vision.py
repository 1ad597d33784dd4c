"""Vision transformers as timm lays them out (DINOv2, SigLIP) and as DINOv2's hub does."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch import nn
from univla_core.errors import ShapeError


@dataclass(frozen=True, kw_only=True)
class VitConfig:
    """Sizes and layout of one vision transformer.

    Attributes:
        depth: Blocks of the full network.
        blocks_used: Blocks that run; the rest is dead weight and is not built.
        stored_grid: Side of the stored position table [patches].
        class_token: Whether a class token is prepended.
        class_position: Whether the position table has a row for the class token.
        registers: Register tokens after the class token.
        layer_scale: Whether each branch is scaled by a learned factor.
        final_norm: Whether the output passes the final layer norm.
        resizes: Whether other picture sizes are taken, by resampling the position table.
    """

    dim: int
    depth: int
    num_heads: int
    mlp_dim: int
    blocks_used: int
    patch_size: int = 14
    stored_grid: int = 16
    class_token: bool = False
    class_position: bool = False
    registers: int = 0
    layer_scale: bool = False
    final_norm: bool = False
    resizes: bool = False


def dino_config(
    dim: int = 1024, depth: int = 24, num_heads: int = 16, image_size: int = 224
) -> VitConfig:
    """Layout of timm's `vit_large_patch14_reg4_dinov2`, second-to-last block."""
    return VitConfig(
        dim=dim,
        depth=depth,
        num_heads=num_heads,
        mlp_dim=4 * dim,
        blocks_used=depth - 1,
        stored_grid=image_size // 14,
        class_token=True,
        registers=4,
        layer_scale=True,
    )


def siglip_config(
    dim: int = 1152, depth: int = 27, num_heads: int = 16, image_size: int = 224
) -> VitConfig:
    """Layout of timm's `vit_so400m_patch14_siglip_224`, second-to-last block; 4304 wide inside."""
    return VitConfig(
        dim=dim,
        depth=depth,
        num_heads=num_heads,
        mlp_dim=int(dim * 3.7362),
        blocks_used=depth - 1,
        stored_grid=image_size // 14,
    )


def hub_dino_config(
    dim: int = 768, depth: int = 12, num_heads: int = 12, image_size: int = 518
) -> VitConfig:
    """DINOv2's hub entry `dinov2_vitb14_reg`, last block with final norm."""
    return VitConfig(
        dim=dim,
        depth=depth,
        num_heads=num_heads,
        mlp_dim=4 * dim,
        blocks_used=depth,
        stored_grid=image_size // 14,
        class_token=True,
        class_position=True,
        registers=4,
        layer_scale=True,
        final_norm=True,
        resizes=True,
    )


class Attention(nn.Module):
    """Self-attention with one projection for query, key and value."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Mix (batch, tokens, dim)."""
        batch, length, dim = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.num_heads, dim // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (batch, heads, length, head_dim)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(batch, length, dim))


class Mlp(nn.Module):
    """Two linear layers around an exact GELU."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(…, dim) → (…, dim)."""
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    """Scale each channel by a learned factor."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale_factor = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(…, dim) → (…, dim)."""
        return x * self.scale_factor


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        dim = config.dim
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, config.num_heads)
        self.ls1 = LayerScale(dim) if config.layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, config.mlp_dim)
        self.ls2 = LayerScale(dim) if config.layer_scale else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Mix (batch, tokens, dim)."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """Cut the picture into patches and project each."""

    def __init__(self, dim: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, pixels: Tensor) -> Tensor:
        """(batch, 3, height, width) → (batch, patches, dim)."""
        return self.proj(pixels).flatten(2).transpose(1, 2)  # (batch, patches, dim), row-major


class VisionTransformer(nn.Module):
    """Picture → patch features.

    Source: arXiv:2304.07193 (DINOv2), arXiv:2303.15343 (SigLIP); layouts of timm 0.9.10
    `vision_transformer.py` and DINOv2 `models/vision_transformer.py`.
    """

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        rows = config.stored_grid**2 + (1 if config.class_position else 0)
        self.patch_embed = PatchEmbed(dim, config.patch_size)
        self.pos_embed = nn.Parameter(torch.zeros(1, rows, dim))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim)) if config.class_token else None
        self.reg_token = (
            nn.Parameter(torch.zeros(1, config.registers, dim)) if config.registers else None
        )
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks_used))
        self.norm = nn.LayerNorm(dim, eps=1e-6) if config.final_norm else nn.Identity()

    def forward(self, pixels: Tensor) -> Tensor:
        """Features of every patch.

        Args:
            pixels: Normalised picture, shape (batch, 3, height, width).

        Returns:
            Shape (batch, patches, dim), row-major, without class and register tokens.

        Raises:
            ShapeError: If the picture's size is not one this transformer takes.
        """
        x = self._embed(pixels)
        for block in self.blocks:
            x = block(x)
        return self.norm(x[:, self._prefix :])

    @property
    def _prefix(self) -> int:
        return int(self.config.class_token) + self.config.registers

    def _embed(self, pixels: Tensor) -> Tensor:
        config = self.config
        height, width = (side // config.patch_size for side in pixels.shape[-2:])
        class_row, patch_rows = self._positions(height, width)
        x = self.patch_embed(pixels) + patch_rows
        prefix = []
        if self.cls_token is not None:
            prefix.append(self.cls_token + class_row)
        if self.reg_token is not None:
            prefix.append(self.reg_token)
        return torch.cat([token.expand(len(x), -1, -1) for token in prefix] + [x], dim=1)

    def _positions(self, height: int, width: int) -> tuple[Tensor | float, Tensor]:
        """Position of the class token and of each patch of a `height` x `width` grid."""
        config = self.config
        table: Tensor = self.pos_embed
        class_row: Tensor | float = 0.0
        if config.class_position:
            class_row, table = table[:, :1], table[:, 1:]
        grid = config.stored_grid
        if (height, width) == (grid, grid):
            return class_row, table
        if not config.resizes:
            raise ShapeError(
                f'picture of {height} x {width} patches, but this vision transformer takes '
                f'{grid} x {grid} of {config.patch_size} px; resize the picture first'
            )
        square = table.float().view(1, grid, grid, -1).permute(0, 3, 1, 2)  # (1, dim, grid, grid)
        resized = F.interpolate(square, size=(height, width), mode='bicubic', antialias=True)
        return class_row, resized.flatten(2).transpose(1, 2).to(table.dtype)

    def is_unused(self, name: str) -> bool:
        """Whether a released tensor of this name exists but never affects the output."""
        block = re.match(r'blocks\.(\d+)\.', name)
        if block:
            return self.config.blocks_used <= int(block[1]) < self.config.depth
        if name == 'mask_token' or name.startswith('attn_pool.'):
            return True
        return not self.config.final_norm and name in ('norm.weight', 'norm.bias')
