"""The sequence of the unified VLA, written out by hand."""

import base64
import unicodedata

import numpy as np
import pytest
from univla_core.errors import ActionError
from univla_core.errors import CheckpointError
from univla_core.errors import ObservationError
from univla_models.fast_coefficients import bytes_of_signs

from univla_models import unified_vla_tokens as tokens

BYTES = {bytes([byte]): rank for rank, byte in enumerate(bytes_of_signs().values())}
# In GPT-2's order of bytes '!' is 0, so a digit d is 15 + d, '*' is 9 and 'a' is 64.
HEADER_2_3 = [16, 9, 17, 9, 18]
CODES = np.array([[[0, 1, 2], [3, 4, 32767]]])
BLOCK = [
    *(tokens.BEGIN_IMAGE, *HEADER_2_3, tokens.IMAGE),
    *(151854, 151855, 151856, 151857, 151858, 184621),
    *(tokens.END_OF_FRAME, tokens.END_IMAGE),
]


@pytest.fixture
def writer():
    return tokens.SequenceWriter(tokens.TextTokenizer(BYTES))


def test_a_picture_is_a_header_in_plain_text_and_its_codes_without_ends_of_line(writer):
    assert writer.image(CODES) == BLOCK
    assert writer.image(CODES[0]) == BLOCK
    assert len(BLOCK) == 2 * 3 + 4 + len('1*2*3')


def test_frames_of_one_block_are_joined_by_the_end_of_frame(writer):
    two = writer.image(np.concatenate([CODES, CODES]))
    assert two[1] == 17  # the header says two frames
    assert two.count(tokens.END_OF_FRAME) == 2
    assert two.count(tokens.BEGIN_IMAGE) == 1


def test_codes_outside_the_book_are_refused(writer):
    for code in (-1, tokens.NUM_VISUAL):
        with pytest.raises(ObservationError, match='outside'):
            writer.image(np.full((2, 2), code))
    with pytest.raises(ObservationError, match='no picture'):
        writer.image(np.zeros(3, dtype=int))


def test_words_stand_bare_before_pictures_and_actions_between_them(writer):
    """Copied: no template, no separator; the newest observation ends in the question."""
    said = (tokens.LAST_ACTION, tokens.END_ACTION)
    assert writer.plan('a', [[CODES]]) == [tokens.BEGIN, 64, *BLOCK, tokens.BEGIN_ACTION]
    assert writer.plan('a', [[CODES], [CODES, CODES]], [said]) == [
        *(tokens.BEGIN, 64, *BLOCK, tokens.BEGIN_ACTION, *said),
        *(*BLOCK, *BLOCK, tokens.BEGIN_ACTION),
    ]
    assert writer.plan('a', [[CODES]], ask=tokens.BEGIN_REASON)[-1] == tokens.BEGIN_REASON


def test_action_ids_are_the_last_text_ids_upside_down():
    """Copied: FAST id 0 is 151642, and a tokenizer of 1024 reaches down to 150619."""
    assert tokens.spoken_action([0, 1, 1023]) == [151642, 151641, 150619]
    assert tokens.heard_action([151642, 150619], 1024) == [0, 1023]


@pytest.mark.parametrize('number', [150618, tokens.END_ACTION, 0])
def test_what_is_no_action_id_is_refused(number):
    """Mended: the id below the lowest, which the original's constraint allows, is none."""
    with pytest.raises(ActionError, match='malformed'):
        tokens.heard_action([number], 1024)


def test_labels_of_the_three_kinds_of_training(writer):
    """Copied: no end of sequence after the end of action, and nothing learnt from the words."""
    ids = writer.lesson('a', [[CODES], [CODES]], [[5], [6]])
    action = [tokens.BEGIN_ACTION, tokens.LAST_ACTION - 5, tokens.END_ACTION]
    assert ids == [tokens.BEGIN, 64, *BLOCK, *action, *BLOCK, *action[:1], 151636, action[2]]
    place = 2 + len(BLOCK)
    labels = tokens.action_labels(ids)
    assert labels[place : place + 3].tolist() == action
    assert (labels != tokens.NO_LABEL).sum() == 6
    everything = tokens.everything_labels(ids)
    assert everything[:2].tolist() == [tokens.NO_LABEL] * 2
    assert everything[2:].tolist() == ids[2:]
    visual = tokens.vision_labels(writer.world('a', [CODES, CODES]))
    assert (visual != tokens.NO_LABEL).sum() == 2 * CODES.size


def test_text_is_merged_by_rank_within_pieces():
    """'ab' before 'bc': the lower rank wins; no merge reaches over the blank."""
    ranks = {**BYTES, b'ab': 256, b'bc': 257, b'abc': 258, b'c a': 259}
    text = tokens.TextTokenizer(ranks)
    assert text.encode('abc') == [258]
    assert text.encode('abc abc') == [258, BYTES[b' '], 258]
    assert text.encode('12') == [16, 17]


def test_text_is_composed_first():
    text = tokens.TextTokenizer(BYTES)
    assert text.encode('e\u0301') == text.encode(unicodedata.normalize('NFC', 'e\u0301'))


def test_a_special_token_in_words_stays_text():
    """Mended: the original lets an instruction end the sequence."""
    text = tokens.TextTokenizer(BYTES)
    assert max(text.encode('<|extra_203|>')) < 256


def test_the_text_vocabulary_is_read_and_checked(tmp_path):
    path = tmp_path / tokens.TEXT_FILE
    lines = [base64.b64encode(token) + b' %d' % rank for token, rank in BYTES.items()]
    path.write_bytes(b'\n'.join(lines))
    assert tokens.TextTokenizer.from_file(path).encode('a') == [64]
    path.write_bytes(b'\n'.join(lines[:-1]))
    with pytest.raises(CheckpointError, match='every single byte'):
        tokens.TextTokenizer.from_file(path)
    with pytest.raises(CheckpointError, match='no usable text vocabulary'):
        tokens.TextTokenizer.from_file(tmp_path / 'absent')
