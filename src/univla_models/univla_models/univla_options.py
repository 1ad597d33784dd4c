"""How a loaded `univla` checkpoint is used."""

from __future__ import annotations

from dataclasses import dataclass

from univla_models.sampling import Sampling


@dataclass(frozen=True, kw_only=True)
class UnivlaOptions:
    """How a loaded checkpoint is used.

    Attributes:
        preprocessing: Environment habits, see `univla_models.image_presets.PRESETS`; `auto`, for
            `from_pretrained`, takes the checkpoint's own (`preprocessing` in its `config.json`).
        temperature: Of the sampling; 0 is greedy and certain. Official callers use 0.75.
        top_k: Sampling keeps so many of the likeliest tokens.
        top_p: Sampling then keeps the smallest set with this probability.
        seed: Start of the random sequence.
        camera: Camera to look through when an observation holds several.
        official_tokens: Do not restrict tokens to codes, and collect codes with the official
            filter, which may return fewer than four or old ones; for comparisons only.
    """

    preprocessing: str = 'none'
    temperature: float = 0.0
    top_k: int = 50
    top_p: float = 0.9
    seed: int = 0
    camera: str = ''
    official_tokens: bool = False

    @property
    def sampling(self) -> Sampling | None:
        """How tokens are drawn, None when greedy."""
        if self.temperature == 0.0:
            return None
        return Sampling(
            temperature=self.temperature, top_k=self.top_k, top_p=self.top_p, seed=self.seed
        )
