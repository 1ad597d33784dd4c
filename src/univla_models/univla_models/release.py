"""The JSON files of a checkpoint in the released layout, for checkpoints that we make."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from univla_models.univla_network import VIT_LAYOUTS

PAD_ID = 32000
VOCABULARY = 32064
# Constants as released processors carry them, rounded to bfloat16.
AFFINE = (
    {'mean': [0.484375, 0.455078125, 0.40625], 'std': [0.228515625, 0.2236328125, 0.224609375]},
    {'mean': [0.5, 0.5, 0.5], 'std': [0.5, 0.5, 0.5]},
)
GENERATION = {'bos_token_id': 1, 'eos_token_id': 2, 'pad_token_id': PAD_ID}


def config_document(
    vision: Sequence[Mapping[str, int]],
    text: Mapping[str, Any],
    *,
    image_size: int = 224,
    norm_stats: Mapping[str, Any] | None = None,
    trained: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """Content of `config.json`.

    Args:
        vision: Sizes of both vision transformers: `embed_dim`, `depth`, `num_heads`.
        text: Sizes of the Llama as its configuration names them.
        image_size: Side of the picture [px].
        norm_stats: As in `dataset_statistics.json`.
        trained: Whether the weights were ever trained.
        more: Further keys.
    """
    sizes = [dict(entry) for entry in vision]
    if image_size != 224:
        sizes = [{**entry, 'img_size': image_size} for entry in sizes]
    return {
        'architectures': ['OpenVLAForActionPrediction'],
        'model_type': 'openvla',
        'trained': trained,
        'arch_specifier': 'no-align+fused-gelu-mlp',
        'llm_backbone_id': 'llama2-7b-pure',
        'llm_max_length': 2048,
        'vision_backbone_id': 'dinosiglip-vit-so-224px',
        'timm_model_ids': list(VIT_LAYOUTS),
        'timm_override_act_layers': [None, None],
        'timm_kwargs': sizes,
        'use_fused_vision_backbone': True,
        'image_resize_strategy': 'resize-naive',
        'image_sizes': [image_size, image_size],
        'n_action_bins': 256,
        'pad_token_id': PAD_ID,
        'pad_to_multiple_of': 64,
        'torch_dtype': 'bfloat16',
        'norm_stats': dict(norm_stats or {}),
        'text_config': {
            'model_type': 'llama',
            'pad_token_id': PAD_ID,
            'torch_dtype': 'bfloat16',
            'vocab_size': VOCABULARY,
            **text,
        },
        **more,
    }


def processor_document(image_size: int = 224) -> dict[str, Any]:
    """Content of `preprocessor_config.json`."""
    return {
        'image_processor_type': 'PrismaticImageProcessor',
        'processor_class': 'PrismaticProcessor',
        'use_fused_vision_backbone': True,
        'image_resize_strategy': 'resize-naive',
        'input_sizes': [[3, image_size, image_size]] * 2,
        'interpolations': ['bicubic'] * 2,
        'means': [[0.485, 0.456, 0.406], [0.5, 0.5, 0.5]],
        'stds': [[0.229, 0.224, 0.225], [0.5, 0.5, 0.5]],
        'tvf_do_letterbox': False,
        'tvf_letterbox_fill': None,
        'tvf_normalize_params': [{'inplace': False, **affine} for affine in AFFINE],
    }
