"""A small vision tokenizer in Emu3's layout, and the visual codes of recorded frames."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch import nn
from univla_models.emu3_image_processor import Emu3ImageProcessor
from univla_models.emu3_image_processor import resized
from univla_models.emu3_vision import Emu3Vision
from univla_models.emu3_vision import ReleasedLayout
from univla_models.emu3_vision import build_vision
from univla_models.emu3_vision import latents

from univla_training.codes import CodeKeeper
from univla_training.counting import counting
from univla_training.frame_store import FrameStore
from univla_training.pixels import scaled
from univla_training.pointing import KINDS
from univla_training.pointing import POINTING_SCENES
from univla_training.pointing import PointingPictures
from univla_training.run import TrainingRun
from univla_training.scene_drawing import drawn_scenes
from univla_training.unified_settings import UnifiedPretrainingSettings
from univla_training.unified_settings import UnifiedSizes
from univla_training.unified_settings import UnifiedVisionSettings
from univla_training.weights import load_module
from univla_training.weights import save_module

WEIGHTS = 'network.safetensors'
STAGE = 'unified_vision'
#: Pixels along one side of a code, and cells that are told apart in it.
CODE_SIDE, CODE_CELLS = 8, 4
#: How many times the codebook's vectors learn faster than what is compared with them.
_BOOK_RATE = 5.0


def vision_document(sizes: UnifiedSizes) -> dict[str, Any]:
    """`config.json` of the small vision tokenizer, in the released names."""
    return {
        'model_type': 'Emu3VisionVQ',
        'codebook_size': sizes.visual_codes,
        'ch': sizes.vision_channels,
        'ch_mult': [1, 1, 1, 1],
        'num_res_blocks': sizes.vision_blocks,
    }


def fresh_vision(sizes: UnifiedSizes) -> Any:
    """An `Emu3VQVAE` without decoder, with fresh weights from torch's present random state."""
    network = build_vision(vision_document(sizes), 'the recipe', decodes=False)
    network.to_empty(device='cpu')
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv3d, nn.GroupNorm, nn.BatchNorm3d)):
            module.reset_parameters()
    nn.init.normal_(network.quantize.embedding.weight)
    return network


class VisionReader(nn.Module):
    """What shows that codes hold the picture; thrown away afterwards.

    Emu3's own decoder is many times larger than all else here, and no policy needs it. It reads
    each code by itself, so that a code says what it shows without its neighbours: that is how a
    language model meets it.

    Args:
        dim: Dimension of a code.
        width: Channels in between.
    """

    def __init__(self, dim: int, width: int = 96) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(dim, width, 1), nn.GELU(), nn.Conv2d(width, width, 1), nn.GELU()
        )
        self.paint = nn.Conv2d(width, 3 * CODE_SIDE**2, 1)
        self.see = nn.Conv2d(width, len(KINDS) * CODE_CELLS**2, 1)

    def forward(self, quantised: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, dim, rows, columns) → picture in [-1, 1], and logits of `KINDS` in cells."""
        looked = self.look(quantised)
        return (
            F.pixel_shuffle(self.paint(looked), CODE_SIDE),
            F.pixel_shuffle(self.see(looked), CODE_CELLS),
        )


@dataclass(frozen=True, kw_only=True)
class VisionBatch:
    """Pixels (batch, 3, height, width) in [-1, 1] and labels (batch, cells, cells)."""

    pixels: Tensor
    labels: Tensor


class VisionTask:
    """Reconstruction through a codebook, and what is where.

    Args:
        pictures: The scenes.
        network: The tokenizer.
        reader: What reads its codes.
        keeper: Wakes codes that nobody uses.
        see: Weight of telling what is where.
        commitment: Weight of the commitment loss.
    """

    def __init__(
        self,
        pictures: PointingPictures,
        network: Any,
        reader: VisionReader,
        keeper: CodeKeeper,
        see: float,
        commitment: float,
    ) -> None:
        self._pictures, self._network, self._reader = pictures, network, reader
        self.keeper = keeper
        self._see, self._commitment = see, commitment
        counts = np.bincount(pictures.labels.ravel(), minlength=len(KINDS)).astype(float)
        rarity = (counts.sum() / np.maximum(counts, 1.0)) ** 0.4
        self._rarity = torch.from_numpy(rarity / rarity[0]).float()
        self._last: tuple[Tensor, Tensor] | None = None

    def draw(self, rng: np.random.Generator, count: int) -> VisionBatch:
        """A random batch, lighter, darker or tinted."""
        rows = rng.integers(len(self._pictures), size=count)
        pictures = [coded_picture(picture) for picture in self._pictures.pictures[rows]]
        return VisionBatch(
            pixels=((scaled(np.stack(pictures), rng) - 0.5) / 0.5).contiguous(),
            labels=torch.from_numpy(self._pictures.labels[rows].astype(np.int64)),
        )

    def loss(self, batch: VisionBatch) -> tuple[Tensor, dict[str, float]]:
        """Weighted reconstruction, cross-entropy of what is where, codebook and commitment."""
        book = self._network.quantize.embedding.weight
        pixels, labels = batch.pixels.to(book.device), batch.labels.to(book.device)
        found = latents(self._network, pixels)  # (batch, 1, dim, rows, columns)
        codes = self._network.quantize(found)[:, 0]
        vectors = found[:, 0].permute(0, 2, 3, 1)  # (batch, rows, columns, dim)
        chosen = F.embedding(codes, book)
        pull = F.mse_loss(chosen, vectors.detach())
        commit = F.mse_loss(vectors, chosen.detach())
        straight = vectors + (chosen - vectors).detach()
        painted, logits = self._reader(straight.permute(0, 3, 1, 2))
        paint = F.l1_loss(painted, pixels)
        cells = labels[:, None].float()
        cells = F.interpolate(cells, size=logits.shape[-2:], mode='nearest')[:, 0].long()
        see = F.cross_entropy(logits.float(), cells, weight=self._rarity.to(book.device))
        loss = paint + self._see * see + pull + self._commitment * commit
        self._last = vectors.detach().flatten(0, 2).cpu(), codes.flatten().cpu()
        return loss, {
            'paint': float(paint.detach()),
            'see': float(see.detach()),
            'commit': float(commit.detach()),
            'bits': self.keeper.bits,
        }

    def after_step(self, step: int) -> None:
        """Look after the codebook."""
        if self._last is not None:
            self.keeper.look(step, *self._last)


def train_vision(run: TrainingRun) -> None:
    """Train the small vision tokenizer on rendered scenes, unless the recipe names one.

    Raises:
        TrainingError: If training fails.
    """
    section, sizes = run.recipe.unified.vision, run.recipe.unified.network
    if run.done(STAGE) or section.base:
        return
    sizes.check(f'recipe {run.recipe.name}: unified')
    folder = run.start(STAGE)
    settings = run.settings(section)
    pictures = _pictures(run, section)
    run.seed_torch(settings)
    network = fresh_vision(sizes).to(run.device)
    reader = VisionReader(network.config.embed_dim).to(run.device)
    shim: Any = SimpleNamespace(codebook=network.quantize.embedding)
    keeper = CodeKeeper(shim, settings.seed)
    task = VisionTask(pictures, network, reader, keeper, section.see, section.commitment)
    result = run.fit(
        STAGE,
        {'network': network, 'reader': reader, 'keeper': keeper},
        task.draw,
        task.loss,
        settings,
        after_step=task.after_step,
        groups=lambda name: _BOOK_RATE if 'quantize' in name else 1.0,
    )
    save_module(network, folder / WEIGHTS)
    run.finish(STAGE, {'steps': result.steps, 'seconds': result.seconds, **result.last})


def trained_vision(run: TrainingRun) -> Emu3Vision:
    """The vision tokenizer of this run.

    Raises:
        TrainingError: If that stage is not complete.
        CheckpointError: If the one that the recipe names cannot be loaded.
    """
    base = run.recipe.unified.vision.base
    if base:
        return Emu3Vision.from_folder(Path(base).expanduser(), device=run.device)
    network = fresh_vision(run.recipe.unified.network)
    load_module(network, run.require(STAGE, WEIGHTS))
    return Emu3Vision(network.to(run.device))


def vision_files(run: TrainingRun) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """`config.json` and tensors of the small vision tokenizer, in the released layout."""
    network = trained_vision(run).network
    tensors = {name: v.contiguous() for name, v in ReleasedLayout(network).state_dict().items()}
    return vision_document(run.recipe.unified.network), tensors


def visual_codes(run: TrainingRun, store: FrameStore) -> np.ndarray:
    """Codes of the frames of a selection, uint16, (all frames, rows, columns); others are 0.

    They are computed once and kept in the stage's folder.
    """
    rows = store.frames
    path = run.folder(STAGE) / f'codes_{store.signature}.npz'
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix('.part.npz')
        np.savez(unfinished, rows=rows, codes=_encoded(run, run.store.pictures, rows))
        unfinished.rename(path)
    with np.load(path) as archive:
        known = archive['codes']
        codes = np.zeros((len(run.store.pictures), *known.shape[1:]), dtype=np.uint16)
        codes[archive['rows']] = known
    return codes


def coded_scenes(run: TrainingRun) -> tuple[PointingPictures, np.ndarray]:
    """Scenes of the pretraining, and their visual codes, uint16, (scenes, rows, columns)."""
    scenes = _pictures(run, run.recipe.unified.pretraining)
    which = hashlib.sha256(scenes.places.tobytes()).hexdigest()[:12]
    path = run.folder(STAGE) / f'codes_of_scenes_{which}.npy'
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix('.part.npy')
        np.save(unfinished, _encoded(run, scenes.pictures, np.arange(len(scenes))))
        unfinished.rename(path)
    return scenes, np.load(path)


def _encoded(run: TrainingRun, pictures: np.ndarray, rows: np.ndarray) -> np.ndarray:
    vision, processor, found = trained_vision(run), Emu3ImageProcessor(), []
    with counting(run.console, 'visual codes', len(rows)) as advance:
        for part in np.array_split(rows, -(-len(rows) // 64)):
            pixels = torch.stack([processor(picture) for picture in pictures[part]])
            found.append(vision.encode(pixels.to(run.device)).cpu().numpy().astype(np.uint16))
            advance(len(part))
    return np.concatenate(found)


def coded_picture(picture: np.ndarray) -> np.ndarray:
    """A stored picture in the size in which it is encoded, uint8."""
    height, width = Emu3ImageProcessor().size(*picture.shape[:2])
    return resized(picture, width, height)


def _pictures(
    run: TrainingRun, section: UnifiedVisionSettings | UnifiedPretrainingSettings
) -> PointingPictures:
    robots = tuple(section.robots or run.recipe.data.robots)
    side = run.recipe.network.image_side
    return drawn_scenes(run, POINTING_SCENES, robots, section.scenes, section.seed, side)
