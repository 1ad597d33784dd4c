"""Teach a fresh UniAct to see and to point: what stands in for its pretrained parts.

The scenes and questions are those that UniVLA's small networks begin with.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch import nn
from univla_models.uniact_network import UniactNetwork
from univla_models.uniact_resnet import SIDE

from univla_training.pointing import KINDS
from univla_training.pointing import THINGS
from univla_training.pointing import PointingPictures
from univla_training.pointing_losses import shown_things
from univla_training.pointing_task import GRID
from univla_training.pointing_task import NAMED
from univla_training.pointing_task import PointingBatch
from univla_training.pointing_task import PointingTask
from univla_training.pointing_task import soft_cells
from univla_training.uniact_pictures import view_pixels
from univla_training.uniact_prompting import UniactPrompts
from univla_training.uniact_settings import VIEW_GRID


class UniactPointingHeads(nn.Module):
    """What reads the answers out of the network; thrown away afterwards.

    Args:
        network: The network.
        cells: Cells of the labels along one side of the picture.
    """

    def __init__(self, network: UniactNetwork, cells: int) -> None:
        super().__init__()
        config = network.ua_extractor.config
        hidden, kinds = config.hidden_dim, len(KINDS)
        self.see = nn.Linear(
            int(config.vision['hidden_size']), (cells // config.grid) ** 2 * kinds
        )
        self.view = nn.Linear(network.vision_backbone.dim, (cells // VIEW_GRID) ** 2 * kinds)
        # The named thing, a second one if it is named too, and the robot's own gripper.
        self.point = nn.Linear(hidden, 3 * (GRID * GRID + 1))
        self.aim = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 6))
        # What each patch says of itself: where the thing in it stands, and which thing it is.
        self.place = nn.Linear(hidden, 2)
        self.sharpness = nn.Parameter(torch.tensor(10.0))
        self.threshold = nn.Parameter(torch.tensor(4.0))
        # What a universal action says of the named thing: where it stands.
        self.meant = nn.Linear(network.universal_actions_codebook.embed.embedding_dim, 2)

    def named(self, patches: Tensor, names: Tensor) -> Tensor:
        """Logits of each name fitting each patch, by the angle between the two.

        Args:
            patches: Patches as the language model takes them, (batch, patches, hidden).
            names: Embeddings of the names, (names, hidden).
        """
        cosine = F.normalize(patches, dim=-1) @ F.normalize(names, dim=-1).T
        return self.sharpness * cosine - self.threshold


class UniactPointing(PointingTask):
    """Draws questions about pictures, as `PointingTask`, and judges UniAct's answers.

    Args:
        pictures: The scenes.
        prompts: UniAct's prompts.
        network: The shared network.
        heads: What reads it.
        view_share: Share of each batch that the backbone sees; 0 leaves it alone.
    """

    def __init__(
        self,
        pictures: PointingPictures,
        prompts: UniactPrompts,
        network: UniactNetwork,
        heads: UniactPointingHeads,
        view_share: float,
    ) -> None:
        super().__init__(pictures, prompts, network, heads)  # type: ignore[arg-type]
        self._uniact, self._reads, self._share = network, heads, view_share
        self._words = torch.tensor([prompts.word_id(name) for name in NAMED])
        self._rarity = self._weights  # of the kinds in the cells

    def loss(self, batch: PointingBatch) -> tuple[Tensor, dict[str, float]]:
        """What is where, which patches fit which names, the cells pointed at, and the aim."""
        extractor = self._uniact.ua_extractor
        device = extractor.image_newline.device
        half = batch.pixels[:, 3:].to(device).contiguous()  # (value - 0.5) / 0.5
        labels, places = batch.labels.to(device), batch.places.to(device)
        seen = extractor.patches(half)
        tokens = extractor.multi_modal_projector(seen)
        ids, keep = batch.text.ids.to(device), batch.text.keep.to(device)
        states = extractor.states(extractor.pooled(tokens), ids, keep)
        see = self._see(self._reads.see(seen), labels)
        name, place = self._patches(tokens, labels, places)
        point, aim, figures = self._told(states, batch, places)
        choose, meant = self._chosen(states, batch, places)
        loss = 0.5 * see + name + 2.0 * place + 0.3 * point + 2.0 * aim + 0.3 * choose + meant
        figures['choose'] = float(choose.detach())
        figures = {'see': float(see.detach()), 'name': float(name.detach()), **figures}
        if self._share:
            view = self._viewed(half, labels)
            loss = loss + 0.5 * view
            figures['view'] = float(view.detach())
        return loss, figures

    def _see(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of what is where, from (batch, patches, cells · cells · kinds)."""
        batch, patches, _ = logits.shape
        side = round(patches**0.5)
        cells = labels.shape[1] // side
        logits = logits.view(batch, side, side, cells, cells, -1).permute(0, 5, 1, 3, 2, 4)
        logits = logits.reshape(batch, -1, side * cells, side * cells)
        return F.cross_entropy(logits.float(), labels, weight=self._rarity.to(logits.device))

    def _viewed(self, half: Tensor, labels: Tensor) -> Tensor:
        count = max(1, round(self._share * len(half)))
        values = F.interpolate(half[:count] * 0.5 + 0.5, size=(SIDE, SIDE), mode='bicubic')
        views = view_pixels(values.clamp(0.0, 1.0))[:, None]
        tokens = self._uniact.vision_backbone.tokens(views)[:, 0]
        return self._see(self._reads.view(tokens), labels[:count])

    def _patches(self, tokens: Tensor, labels: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """How badly patches tell the things in them by name, and the place of the largest one."""
        shown = shown_things(labels, labels.shape[1] // round(tokens.shape[1] ** 0.5))
        table = self._uniact.ua_extractor.language_model['model'].get_input_embeddings()
        names = table(self._words.to(tokens.device))
        target = (shown[..., : len(NAMED)] > 0).float()
        logits = self._reads.named(tokens, names).float()
        name = F.binary_cross_entropy_with_logits(logits, target)
        most, thing = shown.max(-1)
        sample, patch = torch.nonzero(most > 0, as_tuple=True)
        stands = places[sample, thing[sample, patch]]
        known = torch.isfinite(stands).all(-1)
        told = self._reads.place(tokens[sample, patch]).float()
        return name, _mean((told - stands.nan_to_num()).abs().sum(-1)[known])

    def _told(
        self, states: Tensor, batch: PointingBatch, places: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Cells and aim, told by every token from the name on."""
        sample, token = torch.nonzero(batch.asked >= 0, as_tuple=True)
        thing, second = batch.asked[sample, token], batch.seconds[sample]
        own = places[sample.to(places.device)]  # (tokens, 5, 2)
        number = torch.arange(len(sample))
        other = torch.where((second >= 0)[:, None].to(own.device), own[number, second], torch.nan)
        wanted = torch.stack([own[number, thing], other, own[:, THINGS.index('gripper')]], dim=1)
        # `soft_cells` makes its grid on the CPU.
        goal, cells = (part.to(own.device) for part in soft_cells(wanted.cpu()))
        state = states[sample, token]
        logits = self._reads.point(state).float().view(len(state), 3, -1)
        point = -(goal * F.log_softmax(logits, dim=-1)).sum(-1).mean()
        visible = torch.isfinite(wanted).all(-1)
        error = (self._reads.aim(state).float().view(-1, 3, 2) - wanted.nan_to_num()).abs().sum(-1)
        aim = _mean(error[visible])
        last = (token == batch.text.start[sample]).to(own.device) & visible[:, 0]
        right = (logits.argmax(-1) == cells)[:, 0]
        return (
            point,
            aim,
            {
                'point': float(point.detach()),
                'aim': float(aim.detach()),
                'last_off': float(_mean(error.detach()[:, 0][last])),
                'last_right': float(_mean(right[last].float())),
            },
        )

    def _chosen(
        self, states: Tensor, batch: PointingBatch, places: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the universal actions, each one first a place, and how far off it is.

        Actions alone hardly teach which of them to choose: all must be used before a head can
        tell them apart, and they must differ before using another one pays.
        """
        book = self._uniact.universal_actions_codebook
        start = batch.text.start
        number = torch.arange(len(start))
        thing = batch.asked[number, start].to(places.device)
        wanted = places[number.to(places.device), thing]  # (batch, 2)
        goal, _ = soft_cells(wanted.cpu())
        logits = book(states[number, start]).float()
        goal = places_of_codes(goal, logits.shape[-1]).to(logits.device)
        choose = -(goal * F.log_softmax(logits, dim=-1)).sum(-1).mean()
        vector = book.soft(logits, 1.0, torch.zeros_like(logits)).vector
        visible = torch.isfinite(wanted).all(-1)
        off = (self._reads.meant(vector).float() - wanted.nan_to_num()).abs().sum(-1)
        return choose, _mean(off[visible])


def places_of_codes(goal: Tensor, codes: int) -> Tensor:
    """Share of every universal action that cells with these shares make, (batch, codes).

    With as many cells as codes each has its own; else neighbours in a row share one. Nowhere
    counts as the last cell.

    Args:
        goal: Shares of the cells and of nowhere, (batch, GRID² + 1).
        codes: How many universal actions there are.
    """
    last = goal.shape[-1] - 2
    cells = torch.arange(last + 2).clamp(max=last)
    return torch.zeros(len(goal), codes).index_add_(1, cells * codes // (last + 1), goal)


def cells_of_codes(codes: int) -> Tensor:
    """The first cell that each universal action stands for, (codes,)."""
    return torch.arange(codes) * GRID**2 // codes


def _mean(values: Tensor) -> Tensor:
    """The mean; 0 of nothing."""
    return values.mean() if len(values) else values.sum()
