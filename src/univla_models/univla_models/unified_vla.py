"""The `unified_vla` policy: vision, language and action as one sequence, arXiv:2506.19850.

A plan is a sequence of FAST ids. It travels in the codes of the latent action: the ids as they
were said, then one more code, `FastTokenizer.end`, if the model ended the sequence itself. The
detokeniser is the robot's decoder, see `FastTokenizer.decode_plan`.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from univla_core.errors import ActionError
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError
from univla_core.errors import ObservationError
from univla_core.latent_action import LatentAction

from univla_models.checkpoint_files import read_json
from univla_models.device import resolve_device
from univla_models.device import resolve_dtype
from univla_models.emu3_image_processor import Emu3ImageProcessor
from univla_models.emu3_language import Continuation
from univla_models.emu3_language import continue_greedily
from univla_models.emu3_language import load_language
from univla_models.emu3_vision import Emu3Vision
from univla_models.fast_grammar import ChunkGrammar
from univla_models.fast_tokenizer import FastTokenizer
from univla_models.unified_vla_recipe import Recipe
from univla_models.unified_vla_recipe import find_recipe
from univla_models.unified_vla_tokens import END_ACTION
from univla_models.unified_vla_tokens import LAST_ACTION
from univla_models.unified_vla_tokens import TEXT_FILE
from univla_models.unified_vla_tokens import SequenceWriter
from univla_models.unified_vla_tokens import TextTokenizer

VISION_FOLDER = 'vision_tokenizer'
FAST_FOLDER = 'fast'


class UnifiedVlaPolicy:
    """Plans the action tokens of one chunk.

    Args:
        language: The language model, a `LlamaForCausalLM`.
        vision: Turns pictures into visual codes.
        text: Turns words into ids.
        fast: The FAST tokenizer whose ids it says.
        recipe: Views, chunk and sequence it was trained on.
        trained: False for weights that were only initialised.
        official_tokens: Also allow the one id below the FAST ids, as the original does; for
            comparisons only, and not with `whole_chunks`.

    Raises:
        CheckpointError: If the FAST tokenizer cannot say every chunk of the recipe.
        ConfigError: If both are asked for.
    """

    name = 'unified_vla'

    def __init__(
        self,
        language: Any,
        vision: Emu3Vision | None,
        text: TextTokenizer,
        fast: FastTokenizer,
        recipe: Recipe,
        *,
        trained: bool = True,
        official_tokens: bool = False,
    ) -> None:
        if not fast.holds(recipe.horizon):
            raise CheckpointError(
                f'the FAST tokenizer cannot say chunks of {recipe.horizon} steps: a constant -1 '
                f'lies below its min_token {fast.min_token}; use the one made for this checkpoint'
            )
        if official_tokens and recipe.whole_chunks:
            raise ConfigError('official_tokens allows what whole_chunks forbids; choose one')
        self.language, self.vision, self.fast = language, vision, fast
        self.recipe, self.trained = recipe, trained
        self.writer = SequenceWriter(text)
        self.processor = Emu3ImageProcessor()
        self.codebook = fast.codebook
        lowest = LAST_ACTION - fast.num_ids + (0 if official_tokens else 1)
        spoken = [*range(lowest, LAST_ACTION + 1), END_ACTION]
        self.allowed = torch.tensor(spoken, device=language.lm_head.weight.device)
        self._may_follow: Callable[[Sequence[int]], np.ndarray] | None = None
        if recipe.whole_chunks:
            grammar = ChunkGrammar(fast, recipe.horizon, recipe.action_dim)
            codes = [LAST_ACTION - token for token in spoken[:-1]]
            self._may_follow = grammar.in_order([*codes, grammar.end])
        self.reset()

    @property
    def latent_dim(self) -> int:
        """Dimension of the hidden states, of which a plan carries none."""
        return int(self.language.config.hidden_size)

    @property
    def num_codes(self) -> int:
        """FAST ids and the end of a sequence."""
        return self.fast.end + 1

    @property
    def codes_per_plan(self) -> int:
        """Most codes of a plan; it ends where the chunk is said."""
        return self.recipe.max_new_tokens

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        device: str = 'auto',
        dtype: str = 'auto',
        attention: str = 'sdpa',
        recipe: str = 'auto',
        vision_tokenizer: str | Path = '',
        fast: str | Path = '',
        camera: str = '',
        video: bool | None = None,
    ) -> UnifiedVlaPolicy:
        """Load a checkpoint folder in the released layout, strictly.

        Args:
            folder: `config.json`, safetensors and `emu3.tiktoken` as released.
            device: Where to.
            dtype: Precision of the language model; the vision tokenizer keeps float32.
            attention: Attention implementation.
            recipe: Name of a recipe, or `auto` for the checkpoint's own file.
            vision_tokenizer: Folder of Emu3's; empty takes `vision_tokenizer/` of the checkpoint.
            fast: Folder of the FAST tokenizer; empty takes `fast/` of the checkpoint.
            camera: Camera of the main view; empty takes the recipe's.
            video: Whether the plan sees the step before; None takes the recipe's.

        Raises:
            CheckpointError: If a file is missing or damaged, or a tensor does not fit.
            ConfigError: If an option is unknown or the device absent.
        """
        folder = Path(folder)
        target = resolve_device(device)
        values = read_json(folder / 'config.json')
        steps = find_recipe(recipe, folder)
        steps = steps.seen_through(camera) if camera else steps
        steps = steps if video is None else replace(steps, video=video)
        return cls(
            load_language(
                folder,
                values,
                device=target,
                dtype=resolve_dtype(dtype, target),
                attention=attention,
            ),
            Emu3Vision.from_folder(
                Path(vision_tokenizer or folder / VISION_FOLDER), device=target
            ),
            TextTokenizer.from_file(folder / TEXT_FILE),
            FastTokenizer.from_folder(fast or folder / FAST_FOLDER),
            steps,
            trained=bool(values.get('trained', True)),
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
        """Plan one chunk.

        In video mode the observation before and what was said on it come first, if that plan
        decodes; one that the decoder refuses never happened. Observations should be one chunk
        apart, as in training.

        Args:
            images: RGB uint8 (height, width, 3) by camera name, or alone where one view is seen.
            instruction: The task in words, as it is: no template, no lower case.
            history_codes: Codes of the plan before. If they are not those that this policy said
                last, that plan was not followed and is forgotten. None trusts the own memory.
            proprioception: Not used by this policy.
            codes: A whole sequence to carry out instead of an own one.

        Returns:
            FAST ids as codes, then the end; no hidden states.

        Raises:
            ObservationError: If the instruction is empty or too long, or a picture is unusable.
            ActionError: If given codes lie outside the vocabulary.
        """
        if codes is not None:
            return self._latent_action(self._given(codes), None, instruction)
        if not instruction.strip():
            raise ObservationError('the instruction is empty; say what the robot shall do')
        if history_codes is not None and list(history_codes) != self._said:
            self._past.clear()
        views = self.see(images)
        said = self.generate(self.prompt(instruction, views))
        planned = [LAST_ACTION - token for token in said.tokens if token != END_ACTION]
        planned += [] if said.cut else [self.fast.end]
        self._remember(views, said, planned)
        return self._latent_action(planned, said.probabilities, instruction)

    def reset(self) -> None:
        """Forget observations and actions."""
        self._past: list[tuple[list[np.ndarray], tuple[int, ...]]] = []
        self._said: list[int] = []

    def see(self, images: np.ndarray | Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Visual codes of each view, int64, (rows, columns)."""
        if self.vision is None:
            raise ConfigError('this policy was made without a vision tokenizer and cannot see')
        return [
            self.vision.codes(self.processor(picture)).cpu().numpy()
            for picture in self.recipe.pictures(images)
        ]

    def prompt(self, instruction: str, views: Sequence[np.ndarray]) -> list[int]:
        """Ids to continue, from the words and the visual codes of the newest observation.

        Raises:
            ObservationError: If there is no room for a plan after them.
        """
        past = self._past if self.recipe.video else []
        ids = self.writer.plan(
            instruction, [*(seen for seen, _ in past), views], [said for _, said in past]
        )
        room = int(self.language.config.max_position_embeddings) - self.recipe.max_new_tokens
        if len(ids) > room:
            raise ObservationError(
                f'the sequence has {len(ids)} ids but {room} fit before the plan; say the '
                'instruction shorter, or give smaller pictures'
            )
        return ids

    def generate(self, ids: Sequence[int]) -> Continuation:
        """Say action tokens after these ids; the seam under `plan`."""
        return continue_greedily(
            self.language,
            ids,
            self.allowed,
            END_ACTION,
            self.recipe.max_new_tokens,
            self._may_follow,
        )

    def remember(self, views: Sequence[np.ndarray], tokens: Sequence[int]) -> None:
        """Keep an observation and what was said on it for the next plan."""
        if self.recipe.video and self.recipe.window > 1:
            self._past = [*self._past, (list(views), tuple(tokens))][1 - self.recipe.window :]

    def _remember(
        self, views: Sequence[np.ndarray], said: Continuation, planned: list[int]
    ) -> None:
        self._said = planned
        try:
            self.fast.decode_plan(planned, self.recipe.horizon, self.recipe.action_dim)
        except ActionError:
            self._past.clear()
        else:
            self.remember(views, said.tokens)

    def _given(self, codes: Sequence[int] | np.ndarray) -> list[int]:
        picked = [int(code) for code in codes]
        if not picked or min(picked) < 0 or max(picked) > self.fast.end:
            raise ActionError(
                f'codes {picked} were picked; give FAST ids from 0 to {self.fast.end - 1}, then '
                f'{self.fast.end} for the end'
            )
        return picked

    def _latent_action(
        self, planned: list[int], shares: Sequence[float] | None, instruction: str
    ) -> LatentAction:
        probabilities = np.ones(len(planned)) if shares is None else np.array(shares)
        return LatentAction(
            policy=self.name,
            codebook=self.codebook,
            codes=np.array(planned, dtype=np.int32),
            probabilities=probabilities.astype(np.float32),
            latent=np.zeros((0, self.latent_dim), dtype=np.float32),
            visual=np.zeros((0, self.latent_dim), dtype=np.float32),
            instruction=instruction,
        )


def load_unified_vla(
    folder: Path,
    *,
    device: str,
    dtype: str,
    preprocessing: str = 'auto',
    temperature: float = 0.0,
    top_p: float = 0.9,
    seed: int = 0,
    **options: Any,
) -> UnifiedVlaPolicy:
    """Loader for `univla_models.policy`; `preprocessing` names a recipe.

    Nothing is drawn: `temperature` must be 0, and `top_p` and `seed` are of no effect.

    Raises:
        ConfigError: If an option is unknown.
    """
    known = ('attention', 'vision_tokenizer', 'fast', 'camera', 'video')
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f'policy unified_vla has no option {", ".join(unknown)}; its options are '
            f'preprocessing, {", ".join(known)}'
        )
    if temperature != 0.0:
        raise ConfigError(
            f'policy unified_vla plans greedily; set temperature to 0 instead of {temperature}'
        )
    return UnifiedVlaPolicy.from_pretrained(
        folder, device=device, dtype=dtype, recipe=preprocessing, **options
    )
