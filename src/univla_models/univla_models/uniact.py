"""The `uniact` policy: one of 256 universal actions, shared by every body, arXiv:2501.10105.

A universal action is this policy's latent action: one code, one vector. The features of the
backbone, which the original's heads look at beside it, travel as the visual part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from univla_core.errors import ConfigError
from univla_core.errors import ObservationError
from univla_core.latent_action import LatentAction
from univla_core.norm_stats import DatasetStats
from univla_core.norm_stats import read_dataset_statistics

from univla_models.checkpoint_files import read_json
from univla_models.codebook import codebook_hash
from univla_models.device import resolve_device
from univla_models.device import resolve_dtype
from univla_models.image_processor import ImageProcessor
from univla_models.policy import forced_codes
from univla_models.uniact_codebook import Selection
from univla_models.uniact_codebook import gumbel_noise
from univla_models.uniact_extractor import ExtractorConfig
from univla_models.uniact_network import UniactNetwork
from univla_models.uniact_network import base_file
from univla_models.uniact_network import load_network
from univla_models.uniact_options import UniactOptions
from univla_models.uniact_options import prepare
from univla_models.uniact_prompt import UniactPrompt
from univla_models.uniact_resnet import PROCESSOR
from univla_models.uniact_resnet import use_frame_statistics

OWN_SETTINGS = 'uniact.json'


class UniactPolicy:
    """Chooses a universal action, and looks at every view for the heads.

    Args:
        network: The loaded network.
        prompt: Its prompt.
        options: How it is used; `auto` is taken as if the checkpoint said nothing.
        norm_stats: Statistics saved with the checkpoint.
        trained: False for weights that were only initialised.
    """

    name = 'uniact'
    codes_per_plan = 1

    def __init__(
        self,
        network: UniactNetwork,
        prompt: UniactPrompt,
        *,
        options: UniactOptions | None = None,
        norm_stats: Mapping[str, DatasetStats] | None = None,
        trained: bool = True,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.prompt = prompt
        self.options = _settled(options or UniactOptions(), {})
        self.norm_stats = dict(norm_stats or {})
        self.trained = trained
        table = network.universal_actions_codebook.embed.weight
        self.num_codes, self.latent_dim = table.shape
        self.device, self.dtype = table.device, table.dtype
        names = [f'universal_action_{code}' for code in range(self.num_codes)]
        rows = table.float().cpu().numpy()
        self.codebook = codebook_hash(range(self.num_codes), names, rows)
        side = int(network.ua_extractor.config.vision['image_size'])
        half = ((0.5, 0.5, 0.5),)
        self.processor = ImageProcessor(strategy='resize-naive', means=half, stds=half, size=side)
        if self.options.batch_norm == 'frame':
            use_frame_statistics(network.vision_backbone)
        self._generator = torch.Generator()
        self.reset()

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        device: str = 'auto',
        dtype: str = 'auto',
        attention: str = 'sdpa',
        options: UniactOptions | None = None,
    ) -> UniactPolicy:
        """Load a folder that holds the released base model, strictly.

        Beside it lie `config.json` and `tokenizer.json` of LLaVA-OneVision, its chat template
        unless it is the current one, and perhaps `uniact.json` (`preprocessing`, `selection`,
        `batch_norm`, `trained`) and `dataset_statistics.json`.

        Raises:
            CheckpointError: If a file is missing or damaged, or a tensor does not fit.
            ConfigError: If an option is unknown or the device absent.
        """
        folder = Path(folder)
        target = resolve_device(device)
        path = folder / 'config.json'
        config = ExtractorConfig.from_mapping(read_json(path), str(path))
        settings = folder / OWN_SETTINGS
        own = read_json(settings) if settings.is_file() else {}
        statistics = folder / 'dataset_statistics.json'
        return cls(
            load_network(
                base_file(folder),
                config,
                device=target,
                dtype=resolve_dtype(dtype, target),
                attention=attention,
            ),
            UniactPrompt.from_folder(folder, config.num_video_tokens),
            options=_settled(options or UniactOptions(), own),
            norm_stats=read_dataset_statistics(statistics) if statistics.is_file() else {},
            trained=bool(own.get('trained', True)),
        )

    def plan(
        self,
        images: np.ndarray | Mapping[str, np.ndarray],
        instruction: str,
        *,
        history_codes: Sequence[int] | np.ndarray | None = None,
        proprioception: np.ndarray | None = None,
        codes: Sequence[int] | np.ndarray | None = None,
    ) -> LatentAction:
        """Plan on one observation.

        Args:
            images: RGB uint8 (height, width, 3), alone or by camera name. Heads see all views,
                the primary one first and the others in their order; the extractor only that one.
            instruction: The task in words, as it is. It may be empty where a code is given.
            history_codes: Not used by this policy.
            proprioception: Not used by this policy; its heads may use it.
            codes: The universal action that a person picked: the extractor is left out.

        Returns:
            One code with its probability before noise (1 if picked), its vector or the mixture
            around it as `latent` (1, dim), and the backbone's features, 49 for each view.

        Raises:
            ObservationError: If the instruction is empty or too long, or a picture is no uint8
                RGB or missing.
            ActionError: If the given code is outside the codebook.
        """
        views = self._views(images)
        visual = self.features(views).flatten(0, 1).cpu().numpy()  # (views · 49, channels)
        if codes is not None:
            code = forced_codes(codes, self.codes_per_plan, self.num_codes)
            vector, probability = self.vector(int(code[0])), 1.0
        else:
            logits = self.logits(views[0], instruction)
            chosen = self.select(logits)
            code, vector = chosen.index.int().cpu().numpy(), chosen.vector[0]
            probability = float(torch.softmax(logits, dim=-1)[0, code[0]])
        return LatentAction(
            policy=self.name,
            codebook=self.codebook,
            codes=code,
            probabilities=np.array([probability], dtype=np.float32),
            latent=vector.float().cpu().numpy()[None],
            visual=visual,
            instruction=instruction,
        )

    def reset(self) -> None:
        """Start the random sequence anew."""
        self._generator.manual_seed(self.options.seed)

    def vector(self, code: int) -> Tensor:
        """The universal action itself, (dim,)."""
        return self.network.universal_actions_codebook.embed.weight[code]

    @torch.inference_mode()
    def logits(self, view: np.ndarray, instruction: str) -> Tensor:
        """What speaks for each universal action, float32 (1, codes), from a prepared picture."""
        ids = self.prompt.ids(instruction)
        longest = int(self.network.ua_extractor.config.text['max_position_embeddings'])
        if len(ids) > longest:
            raise ObservationError(
                f'the instruction makes a prompt of {len(ids)} tokens but {longest} fit; '
                'say it shorter'
            )
        pixels = self.processor(view)[None].to(device=self.device, dtype=self.dtype)
        return self.network.logits(pixels, torch.tensor([ids], device=self.device)).float()

    @torch.inference_mode()
    def select(self, logits: Tensor) -> Selection:
        """Choose firmly, mix by probability, or mix under seeded noise, as the options say."""
        book = self.network.universal_actions_codebook
        if self.options.temperature == 0.0:
            return book.chosen(logits, self.options.selection)
        noise = gumbel_noise(tuple(logits.shape), self._generator).to(self.device)
        return book.soft(logits, self.options.temperature, noise)

    @torch.inference_mode()
    def features(self, views: Sequence[np.ndarray]) -> Tensor:
        """The backbone's tokens of prepared pictures, float32 (views, 49, channels)."""
        pictures = torch.stack([PROCESSOR(view) for view in views]).to(self.device)
        return self.network.vision_backbone.tokens(pictures[None])[0]

    def _views(self, images: np.ndarray | Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """All pictures, prepared, the primary one first."""
        named = images if isinstance(images, Mapping) else {self.options.camera: images}
        primary = self.options.camera or next(iter(named), '')
        if primary not in named:
            raise ObservationError(
                f'the extractor looks through camera {primary!r}, but the observation holds '
                f'{", ".join(named) or "(none)"}; name one of them'
            )
        order = [primary, *(name for name in named if name != primary)]
        steps = self.options.preprocessing
        return [prepare(named[name], steps, name == primary) for name in order]


def load_uniact(
    folder: Path, *, device: str, dtype: str, attention: str = 'sdpa', **options: Any
) -> UniactPolicy:
    """Loader for `univla_models.policy`; further options as `UniactOptions`.

    Raises:
        ConfigError: If an option is unknown.
    """
    known = [field.name for field in fields(UniactOptions)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f'policy uniact has no option {", ".join(unknown)}; its options are '
            f'attention, {", ".join(known)}'
        )
    return UniactPolicy.from_pretrained(
        folder, device=device, dtype=dtype, attention=attention, options=UniactOptions(**options)
    )


def _settled(options: UniactOptions, own: Mapping[str, Any]) -> UniactOptions:
    """Options with every `auto` replaced by what the checkpoint says, or else the default."""
    auto = {'preprocessing': 'none', 'selection': 'firm', 'batch_norm': 'running'}
    return dataclasses.replace(
        options,
        **{
            name: str(own.get(name, default))
            for name, default in auto.items()
            if getattr(options, name) == 'auto'
        },
    )
