"""Pointing in sequences of the unified VLA: what codes show, and which positions must answer."""

import numpy as np
import pytest
import torch
from univla_models.unified_vla_tokens import BEGIN_ACTION
from univla_models.unified_vla_tokens import FIRST_VISUAL
from univla_training.pointing import KINDS
from univla_training.pointing import THINGS
from univla_training.recipe import recipe_from_mapping
from univla_training.run import TrainingRun
from univla_training.unified_language import fresh_speaker
from univla_training.unified_pointing import UnifiedPointing
from univla_training.unified_pointing import UnifiedPointingHeads
from univla_training.unified_pointing import shown_in_codes

RECIPE = {
    'network': {'image_side': 28, 'lam_image_side': 28},
    'data': {'robots': ['widowx']},
    'unified': {
        'network': {'hidden': 32, 'mlp': 48, 'layers': 3, 'heads': 2, 'kv_heads': 2}
        | {'visual_codes': 16, 'positions': 512}
    },
}


@pytest.fixture
def task(scenes, tmp_path):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    speaker = fresh_speaker(TrainingRun(recipe=recipe_from_mapping(RECIPE, 'test'), out=tmp_path))
    codes = np.random.default_rng(0).integers(0, 16, (len(scenes), 3, 3), dtype=np.uint16)
    return UnifiedPointing(scenes, codes, speaker, UnifiedPointingHeads(32))


def test_codes_know_what_they_show():
    """42 cells over 10 codes of 4 x 4: cell 0 lies in the first code, cell 41 in the last."""
    labels = np.zeros((1, 42, 42), dtype=np.uint8)
    labels[0, 0, 0] = KINDS.index('red')
    labels[0, 38:, 38:] = KINDS.index('plate')
    shown = shown_in_codes(labels, (10, 10))
    assert shown.shape == (1, 100, len(THINGS))
    assert torch.nonzero(shown[0, :, THINGS.index('red')]).flatten().tolist() == [0]
    plate = shown[0, :, THINGS.index('plate')]
    assert torch.nonzero(plate).flatten().tolist() == [99] and int(plate[99]) == 16


def test_the_begin_of_the_action_and_every_name_are_asked(task):
    batch = task.draw(np.random.default_rng(3), 8)
    vocabulary, text = task.speaker.vocabulary, task.writer.text
    names = {int(text.encode(f' {name}')[0]): name for name in ('red', 'green', 'blue', 'plate')}
    for row in range(8):
        ids = vocabulary.ids[batch.ids[row].numpy()]
        first = int(batch.first[row])
        assert (ids[first : first + 9] >= FIRST_VISUAL).all() and ids[first - 1] < FIRST_VISUAL
        asked = torch.nonzero(batch.asked[row] >= 0).flatten().tolist()
        action, *named = asked
        assert ids[action] == BEGIN_ACTION and not batch.begins[row, action]
        said = [names[int(number)] for number in ids[:first] if int(number) in names]
        assert THINGS[batch.asked[row, action]] == said[0]
        assert len(named) == 4 and batch.begins[row, named].all()
        for position in named:
            assert THINGS[batch.asked[row, position]] == names[int(ids[position])]


def test_pointing_is_learned(task):
    """Six scenes of noise by heart: the right cell instead of one in 256."""
    modules = torch.nn.ModuleList([task.speaker.network, task.heads])
    optimizer = torch.optim.AdamW(modules.parameters(), lr=3e-3)
    rng = np.random.default_rng(0)
    off = []
    for _ in range(60):
        loss, facts = task.loss(task.draw(rng, 8))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        off.append(facts['last_off'])
    assert np.mean(off[-5:]) < 0.6 * np.mean(off[:5])
