"""UniAct's prompt: LLaVA-OneVision's chat text around one video and the instruction."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer
from univla_core.errors import CheckpointError
from univla_core.errors import ObservationError

from univla_models.checkpoint_files import read_json

VIDEO = '<video>'
# What the processor on the hub renders, and what it rendered until the end of August 2024.
TEMPLATES = {
    'current': '<|im_start|>user <video>\n{}<|im_end|><|im_start|>assistant\n',
    'older': '<|im_start|>user\n<video>\n{}<|im_end|>\n<|im_start|>assistant\n',
}


class UniactPrompt:
    """Turns instructions into token ids.

    Args:
        tokenizer: Qwen2's byte-level tokenizer.
        num_video_tokens: Tokens that take the place of the picture.
        template: A name of `TEMPLATES`, or a chat template in Jinja.
        pad: Token that fills batches.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        num_video_tokens: int,
        template: str = 'current',
        pad: str = '<|endoftext|>',
    ) -> None:
        self.tokenizer = tokenizer
        self.num_video_tokens = num_video_tokens
        self._template = template
        self._special = [
            token.content
            for token in tokenizer.get_added_tokens_decoder().values()
            if token.special
        ]
        video = tokenizer.token_to_id(VIDEO)
        padding = tokenizer.token_to_id(pad)
        if video is None or padding is None:
            raise CheckpointError(
                f'the tokenizer lacks {VIDEO if video is None else pad}; use the tokenizer.json '
                'of LLaVA-OneVision that belongs to the checkpoint'
            )
        self.video_token, self.pad_token = int(video), int(padding)

    @classmethod
    def from_folder(cls, folder: Path, num_video_tokens: int) -> UniactPrompt:
        """Read `tokenizer.json` and the chat template beside it, if there is one.

        Raises:
            CheckpointError: If the tokenizer is missing, damaged or another.
        """
        path = folder / 'tokenizer.json'
        try:
            tokenizer = Tokenizer.from_str(path.read_text(encoding='utf-8'))
        except Exception as error:  # the library raises bare exceptions
            raise CheckpointError(
                f'{path}: cannot be read ({error}); copy the tokenizer of LLaVA-OneVision'
            ) from error
        return cls(tokenizer, num_video_tokens, _template(folder) or 'current')

    def text(self, instruction: str) -> str:
        """The prompt with one `<video>`; the instruction stands in it as it is.

        Raises:
            ObservationError: If the instruction is empty or holds a control token.
        """
        if not instruction.strip():
            raise ObservationError('the instruction is empty; say the task in words')
        found = [token for token in self._special if token in instruction]
        if found:
            raise ObservationError(
                f'the instruction holds {", ".join(found)}, which would be read as control '
                'tokens; say the task in plain words'
            )
        if self._template in TEMPLATES:
            return TEMPLATES[self._template].format(instruction)
        return _rendered(self._template, instruction)

    def ids(self, instruction: str) -> list[int]:
        """Token ids with the video token repeated."""
        plain = self.tokenizer.encode(self.text(instruction)).ids
        ids: list[int] = []
        for token in plain:
            ids += [token] * (self.num_video_tokens if token == self.video_token else 1)
        return ids

    def batch(self, instructions: list[str]) -> tuple[list[list[int]], list[list[int]]]:
        """Ids and attention mask of several instructions, padded on the right."""
        rows = [self.ids(instruction) for instruction in instructions]
        longest = max(map(len, rows))
        padded = [row + [self.pad_token] * (longest - len(row)) for row in rows]
        return padded, [[1] * len(row) + [0] * (longest - len(row)) for row in rows]


def _template(folder: Path) -> str:
    jinja = folder / 'chat_template.jinja'
    if jinja.is_file():
        return jinja.read_text(encoding='utf-8')
    for name in ('chat_template.json', 'processor_config.json'):
        path = folder / name
        found = read_json(path).get('chat_template') if path.is_file() else None
        if isinstance(found, str):
            return found
    return ''


def _rendered(template: str, instruction: str) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    content = [{'type': 'video'}, {'type': 'text', 'text': instruction}]
    try:
        (text,), _ = render_jinja_template(
            conversations=[[{'role': 'user', 'content': content}]],
            chat_template=template,
            add_generation_prompt=True,
        )
    except Exception as error:  # whatever the template of the folder runs into
        raise CheckpointError(
            f'the chat template cannot be rendered ({error}); copy it from LLaVA-OneVision'
        ) from error
    if text.count(VIDEO) != 1:
        raise CheckpointError(
            f'the chat template renders {text.count(VIDEO)} videos, not one; use the one of '
            'LLaVA-OneVision that belongs to the checkpoint'
        )
    return text
