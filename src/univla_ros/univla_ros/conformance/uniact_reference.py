"""The files of the UniAct conformance data, loaded by the code that loads checkpoints."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from univla_core.norm_stats import DatasetStats
from univla_core.norm_stats import read_dataset_statistics
from univla_decoders.heads import HEADS
from univla_decoders.heads import DecoderHead
from univla_decoders.heads import head_config
from univla_decoders.uniact_heads import head_tensors
from univla_decoders.weights import load_strictly
from univla_decoders.weights import read_weights
from univla_models.uniact import UniactPolicy
from univla_models.uniact_extractor import ExtractorConfig
from univla_models.uniact_network import UniactNetwork
from univla_models.uniact_network import load_network
from univla_models.uniact_prompt import UniactPrompt

from univla_ros.conformance.rows import Archive
from univla_ros.conformance.rows import read_json

MLP, ACT = 'uniact_mlp', 'uniact_act'


class Reference:
    """One folder of reference data.

    Attributes:
        folder: Where it is.
        archive: Its arrays.
        meta: Its sizes and what is no array.
    """

    def __init__(self, folder: Path, archive: Archive) -> None:
        self.folder = folder
        self.archive = archive
        self.meta: dict[str, Any] = read_json(folder / 'meta.json')

    def __getitem__(self, name: str) -> Tensor:
        """An array as a tensor, halves as float32."""
        array = self.archive[name]
        return torch.from_numpy(array.astype(np.float32) if array.dtype == np.float16 else array)

    @cached_property
    def config(self) -> ExtractorConfig:
        """Sizes of the extractor."""
        path = self.folder / 'tiny_vlm_config.json'
        return ExtractorConfig.from_mapping(read_json(path), str(path))

    def network(self) -> UniactNetwork:
        """The shared network, freshly loaded."""
        path = self.folder / 'basemodel.safetensors'
        cpu = torch.device('cpu')
        return load_network(path, self.config, device=cpu, dtype=torch.float32).eval()

    def prompt(self, template: str = 'current') -> UniactPrompt:
        """The prompt in one of the two templates."""
        found = UniactPrompt.from_folder(
            self.folder / 'tiny_tokenizer', self.config.num_video_tokens
        )
        return UniactPrompt(found.tokenizer, found.num_video_tokens, template)

    @cached_property
    def policy(self) -> UniactPolicy:
        """The policy as robots use it: firm selection, statistics of training."""
        return UniactPolicy(self.network(), self.prompt())

    @cached_property
    def statistics(self) -> dict[str, DatasetStats]:
        """All statistics by `AIR/…` and `OXE/…`."""
        return read_dataset_statistics(self.folder / 'action_statistics.json')

    def head(self, path: Path, horizon: int) -> DecoderHead:
        """A head of its own file."""
        state = head_tensors(read_weights(path), '', str(path))
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        dim = self.meta['universal_action_dim']
        config = head_config(shapes, horizon, 1, str(path), dim)
        head = HEADS[config.kind](config)
        load_strictly(head, state, str(path))
        return head.eval().requires_grad_(False)

    def domain_head(self, kind: str, horizon: int) -> DecoderHead:
        """The head of this kind among the domains of the data.

        Raises:
            KeyError: If there is none.
        """
        for domain in self.meta['domains']:
            head = self.head(self.folder / f'head_{domain}.safetensors', horizon)
            if head.config.kind == kind:
                return head
        raise KeyError(f'no domain of {self.meta["domains"]} has a {kind} head')
