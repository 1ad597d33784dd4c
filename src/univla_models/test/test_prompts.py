import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from univla_core.errors import CheckpointError
from univla_core.errors import ConfigError
from univla_core.errors import ObservationError
from univla_models.prompts import PromptTokenizer
from univla_models.prompts import build_prompt
from univla_models.prompts import end_with_lone_space
from univla_models.synthetic_tokenizer import build_tokenizer

TOKENIZER = PromptTokenizer(build_tokenizer())


def test_prompt_without_history_word_by_word():
    assert build_prompt('Fold the Towel') == (
        'In: What action should the robot take to fold the towel?\nOut:'
    )


def test_prompt_with_history_repeats_the_codes():
    assert build_prompt('go', [4, 0, 11, 14]) == (
        'In: What action should the robot take to go? '
        'History action <ACT_4><ACT_0><ACT_11><ACT_14>\nOut:'
    )


def test_list_style_copies_the_punctuation_of_a_list_from_the_first_call_on():
    assert build_prompt('go', None, 'list').endswith("go? History action ['']\nOut:")
    assert build_prompt('go', [1, 2], 'list').endswith("action ['<ACT_1><ACT_2>']\nOut:")


def test_style_none_never_shows_history():
    assert build_prompt('go', [1, 2, 3, 4], 'none') == build_prompt('go')


def test_known_words_have_the_ids_of_llama_2():
    # In : What action should the robot take to … ? newline Out : and the lone space.
    assert TOKENIZER.plan_ids(build_prompt('take')) == [
        *(1, 512, 29901, 1724, 3158, 881, 278, 19964, 2125, 304, 2125, 29973, 13),
        *(3744, 29901, 29871),
    ]


def test_every_segment_after_a_code_starts_with_a_lone_space():
    ids = TOKENIZER.encode(build_prompt('go', [4, 14]))
    codes = [TOKENIZER.action_ids[4], TOKENIZER.action_ids[14]]
    start = ids.index(codes[0])
    assert ids[start - 1] == 29871  # "action " before the first code
    assert ids[start : start + 4] == [*codes, 29871, 13]  # then "▁", newline


def test_the_lone_space_is_appended_once():
    assert end_with_lone_space([1, 5]) == [1, 5, 29871]
    assert end_with_lone_space([1, 5, 29871]) == [1, 5, 29871]


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1).filter(lambda text: text.strip()))
def test_any_text_can_be_tokenised(text):
    ids = TOKENIZER.plan_ids(build_prompt(text))
    assert ids[0] == 1
    assert ids[-1] == 29871
    assert 0 not in ids  # nothing is unknown


def test_errors_name_the_choice():
    with pytest.raises(ObservationError, match='empty'):
        build_prompt('  ')
    with pytest.raises(ConfigError, match='none, codes, list'):
        build_prompt('go', style='poem')


def test_a_tokenizer_without_action_tokens_is_refused(tmp_path):
    text = build_tokenizer().to_str().replace('<ACT_0>', '<NOT_0>')
    (tmp_path / 'tokenizer.json').write_text(text)
    with pytest.raises(CheckpointError, match=r'no token <ACT_0>'):
        PromptTokenizer.from_file(tmp_path / 'tokenizer.json')
    with pytest.raises(CheckpointError, match='no such file'):
        PromptTokenizer.from_file(tmp_path / 'absent.json')
