"""The `univla` policy: task-centric latent actions, arXiv:2505.06111."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from univla_core.errors import ConfigError
from univla_core.errors import ObservationError
from univla_core.latent_action import LatentAction
from univla_core.norm_stats import DatasetStats
from univla_core.norm_stats import dataset_stats_from_mapping
from univla_core.norm_stats import read_dataset_statistics

from univla_models.checkpoint_files import load_folder
from univla_models.checkpoint_files import read_json
from univla_models.device import resolve_device
from univla_models.device import resolve_dtype
from univla_models.image_presets import preset
from univla_models.image_processor import ImageProcessor
from univla_models.image_processor import check_image
from univla_models.kept_vocabulary import KeptRows
from univla_models.kept_vocabulary import kept_ids
from univla_models.llama import restore_buffers
from univla_models.policy import forced_codes
from univla_models.policy import select_image
from univla_models.prompts import EOS_ID
from univla_models.prompts import PromptTokenizer
from univla_models.prompts import build_prompt
from univla_models.sampling import choose_token
from univla_models.univla_network import NEW_TOKENS
from univla_models.univla_network import Generated
from univla_models.univla_network import UnivlaConfig
from univla_models.univla_network import UnivlaNetwork
from univla_models.univla_options import UnivlaOptions
from univla_models.univla_vocabulary import TABLES
from univla_models.univla_vocabulary import codebook_of

PAD_ID = 32000
#: What `auto` means for a checkpoint whose `config.json` names no `preprocessing` of its own.
RELEASED_PREPROCESSING = 'real_world'

#: What the prompt asks for where a person picks the codes and no task was given in words.
WORDLESS_TASK = 'move'


class UnivlaPolicy:
    """Plans four codes and the hidden states that chose them.

    Args:
        network: The loaded network.
        tokenizer: Its tokenizer.
        processor: Its image processor.
        codebook: Hash of its code vocabulary.
        norm_stats: Statistics saved with the checkpoint.
        trained: False for weights that were only initialised.
        options: How it is used.
    """

    name = 'univla'
    codes_per_plan = NEW_TOKENS

    def __init__(
        self,
        network: UnivlaNetwork,
        tokenizer: PromptTokenizer,
        processor: ImageProcessor,
        *,
        codebook: str,
        norm_stats: Mapping[str, DatasetStats] | None = None,
        trained: bool = True,
        options: UnivlaOptions | None = None,
    ) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.processor = processor
        self.codebook = codebook
        self.norm_stats = dict(norm_stats or {})
        self.trained = trained
        self.options = options or UnivlaOptions()
        self.preset = preset(self.options.preprocessing)
        self._sampling = self.options.sampling
        self._generator = torch.Generator()
        weight = network.projector.fc1.weight
        self.device, self.dtype = weight.device, weight.dtype
        self._allowed = torch.as_tensor(tokenizer.action_ids, device=self.device)
        self.reset()

    @property
    def latent_dim(self) -> int:
        """Dimension of the latent tokens."""
        return self.network.config.hidden_dim

    @property
    def num_codes(self) -> int:
        """Size of the code vocabulary."""
        return self.tokenizer.num_codes

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        device: str = 'auto',
        dtype: str = 'auto',
        attention: str = 'sdpa',
        options: UnivlaOptions | None = None,
    ) -> UnivlaPolicy:
        """Load a checkpoint folder in the released layout, strictly.

        Raises:
            CheckpointError: If a file is missing or damaged, or a tensor does not fit.
            ConfigError: If an option is unknown or the device absent.
        """
        folder = Path(folder)
        target = resolve_device(device)
        values = read_json(folder / 'config.json')
        tokenizer = PromptTokenizer.from_file(folder / 'tokenizer.json')
        config = UnivlaConfig.from_mapping(values, str(folder / 'config.json'))
        with torch.device('meta'):
            network = UnivlaNetwork(config, attention)
        kept = kept_ids(values, config.llama['vocab_size'], str(folder / 'config.json'))
        load_folder(
            network if kept is None else KeptRows(network, kept, TABLES),
            folder,
            device=target,
            dtype=resolve_dtype(dtype, target),
            is_unused=network.is_unused,
        )
        restore_buffers(network.language_model, target)
        network.eval().requires_grad_(False)
        options = options or UnivlaOptions()
        if options.preprocessing == 'auto':
            habits = str(values.get('preprocessing', RELEASED_PREPROCESSING))
            options = dataclasses.replace(options, preprocessing=habits)
        return cls(
            network,
            tokenizer,
            ImageProcessor.from_json(folder / 'preprocessor_config.json'),
            codebook=codebook_of(folder, tokenizer),
            norm_stats=_norm_stats(folder, values.get('norm_stats')),
            trained=bool(values.get('trained', True)),
            options=options,
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
        """Plan on one picture.

        Given codes are fed to the network in place of its own choice. The hidden states are then
        those that it has on the way to these codes, and the probabilities are what it thinks of
        them; giving the codes that it would have chosen changes nothing.

        Args:
            images: RGB uint8 (height, width, 3), alone or by camera name.
            instruction: The task in words. It may be empty where codes are given: the prompt
                then says `WORDLESS_TASK`.
            history_codes: Codes of the plan before, for the prompt; None on the first call.
            proprioception: Not used by this policy.
            codes: One code or four that a person picked; None lets the policy choose.

        Returns:
            Four codes, the four hidden states that predicted them and 256 visual states.

        Raises:
            ObservationError: If the instruction is empty or too long, or the picture is no
                uint8 RGB.
            ActionError: If the given codes are of another number or vocabulary.
        """
        image = select_image(images, self.options.camera or None)
        check_image(image)
        history = None if history_codes is None else [int(code) for code in history_codes]
        words = WORDLESS_TASK if codes is not None and not instruction.strip() else instruction
        ids = self.tokenizer.plan_ids(build_prompt(words, history, self.preset.history))
        self._check_length(ids)
        forced = None
        if codes is not None:
            forced = forced_codes(codes, self.codes_per_plan, self.num_codes)
        generated = self.generate(self.pixels(image), ids, forced)
        planned, probabilities = self._codes(ids, generated)
        return LatentAction(
            policy=self.name,
            codebook=self.codebook,
            codes=planned,
            probabilities=probabilities,
            latent=generated.latent.float().cpu().numpy(),
            visual=generated.visual.float().cpu().numpy(),
            instruction=instruction,
        )

    def reset(self) -> None:
        """Start the random sequence anew."""
        self._generator.manual_seed(self._sampling.seed if self._sampling else 0)

    def pixels(self, image: np.ndarray) -> torch.Tensor:
        """Pixel values of a picture on the policy's device, shape (1, 6, 224, 224)."""
        values = self.processor(self.preset.prepare(image))
        return values[None].to(device=self.device, dtype=self.dtype)

    @torch.inference_mode()
    def generate(
        self, pixels: torch.Tensor, ids: Sequence[int], codes: np.ndarray | None = None
    ) -> Generated:
        """Plan from pixel values and token ids, by given codes if any; the seam under `plan`."""
        official = self.options.official_tokens
        return self.network.generate(
            pixels,
            torch.tensor([list(ids)], device=self.device),
            None if official else self._allowed,
            self._choice if codes is None else self._recital(codes),
            banned=(EOS_ID,) if official else (),
        )

    def _choice(self, logits: torch.Tensor) -> int:
        return choose_token(logits, self._sampling, self._generator)

    def _recital(self, codes: np.ndarray) -> Callable[[torch.Tensor], int]:
        """Say the given codes one after the other, whatever the network would choose."""
        whole_vocabulary = self.options.official_tokens
        given = iter(self.tokenizer.action_ids[codes] if whole_vocabulary else codes)
        return lambda logits: int(next(given))

    def _check_length(self, ids: Sequence[int]) -> None:
        longest = int(self.network.config.llama['max_position_embeddings'])
        room = longest - self.network.config.num_patches - NEW_TOKENS
        if len(ids) > room:
            raise ObservationError(
                f'the instruction makes a prompt of {len(ids)} tokens but {room} fit beside the '
                'picture; say it shorter'
            )

    def _codes(self, ids: Sequence[int], generated: Generated) -> tuple[np.ndarray, np.ndarray]:
        first = self.tokenizer.action_ids[0]
        tokens, shares = np.array(generated.tokens), np.array(generated.probabilities)
        if self.options.official_tokens:
            # Codes that slid in from the prompt were not chosen now and count as certain.
            sequence = np.concatenate([ids[1:], tokens])
            shares = np.concatenate([np.ones(len(ids) - 1), shares])
            kept = np.flatnonzero(sequence > PAD_ID)[-NEW_TOKENS:]
            tokens, shares = sequence[kept], shares[kept]
        return (tokens - first).astype(np.int32), shares.astype(np.float32)


def official_filter(sequence: Sequence[int] | np.ndarray) -> np.ndarray:
    """Ids the official code returns for a sequence: all above 32000 but the first, last four.

    With fewer than four action tokens generated, older ones of the prompt slide in, or the
    result is shorter.
    """
    ids = np.asarray(sequence)[1:]
    return ids[ids > PAD_ID][-NEW_TOKENS:]


def load_univla(
    folder: Path, *, device: str, dtype: str, attention: str = 'sdpa', **options: Any
) -> UnivlaPolicy:
    """Loader for `univla_models.policy`; further options as `UnivlaOptions`.

    Raises:
        ConfigError: If an option is unknown.
    """
    known = [field.name for field in fields(UnivlaOptions)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f'policy univla has no option {", ".join(unknown)}; its options are '
            f'attention, {", ".join(known)}'
        )
    return UnivlaPolicy.from_pretrained(
        folder, device=device, dtype=dtype, attention=attention, options=UnivlaOptions(**options)
    )


def _norm_stats(folder: Path, inline: object) -> dict[str, DatasetStats]:
    """Statistics of the folder; the separate file wins over those inside `config.json`."""
    path = folder / 'dataset_statistics.json'
    if path.is_file():
        return read_dataset_statistics(path)
    return dataset_stats_from_mapping(inline or {}, str(folder / 'config.json'))
