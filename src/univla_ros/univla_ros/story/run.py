"""`univla story`: each step is the command that a user would type, printed before it runs."""

from __future__ import annotations

import json
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from univla_core.embodiment import load_embodiment
from univla_core.errors import UnivlaError
from univla_core.paths import checkpoint_path

from univla_ros.episodes.progress import progress
from univla_ros.robot_decoders import decoder_path
from univla_ros.story.corrections import FIRST_SEED
from univla_ros.story.corrections import record_corrections
from univla_ros.story.spoiling import spoil_decoder

_PACKAGES = ('torch', 'transformers', 'mujoco', 'numpy')


@dataclass(frozen=True, kw_only=True)
class StoryOptions:
    """What the command line asks for."""

    robot: str = 'widowx'
    task: str = 'reach'
    checkpoint: str = 'tiny'
    shift: float = 0.012
    patience_s: float = 3.0
    corrections: int = 40
    demonstrations: int = 40
    episodes: int = 100
    recipe: str = 'tiny'
    minutes: float = 5.0
    workers: int = 0
    out: Path = Path('out/story')
    json_path: Path | None = None


def run_story(options: StoryOptions) -> int:
    """Tell the whole story; 0 if the corrected decoder is better than the failing one.

    Raises:
        UnivlaError: If a step fails.
    """
    return Story(options).run()


class Story:
    """One run of the story; demonstrations that are there stay, everything else is made anew.

    Args:
        options: What is asked for.
    """

    def __init__(self, options: StoryOptions) -> None:
        self._options, self._console = options, Console()
        self._out = options.out
        self._embodiment = load_embodiment(options.robot)

    def run(self) -> int:
        """Every step, then the table."""
        options = self._options
        shipped = decoder_path(self._embodiment, options.checkpoint)
        failing = self._out / 'failing_decoder'
        self._axis = spoil_decoder(shipped, failing, options.shift)
        self._say(
            f'a decoder errs by {options.shift:g} along {self._axis} in every row: {failing}'
        )
        self._demonstrate()
        took_over = self._correct(failing)
        corrected = self._train(failing)
        decoders = {'shipped': shipped, 'failing': failing, 'corrected': corrected}
        rows = [self._measured(name, decoder) for name, decoder in decoders.items()]
        before, after = rows[1], rows[2]
        ok = after['ci_low'] > before['ci_high']
        document = {
            'command': 'story',
            'ok': ok,
            'results': [{**row, 'ok': ok} for row in rows],
            'took_over': took_over,
            'axis': self._axis,
            'training': json.loads(self._training_result.read_text()),
            'versions': {
                'python': platform.python_version(),
                **{name: metadata.version(name) for name in _PACKAGES},
            },
        }
        for path in (self._out / 'story.json', options.json_path):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(document, indent=1) + '\n')
        self._show(rows, ok)
        return 0 if ok else 1

    @cached_property
    def _training(self) -> Path:
        return self._out / 'training'

    @property
    def _training_result(self) -> Path:
        return self._training / 'finetune' / self._options.robot / 'result.json'

    def _demonstrate(self) -> None:
        options = self._options
        if not options.demonstrations:
            return
        words = ['collect', '--robot', options.robot, '--task', options.task]
        words += ['--episodes', str(options.demonstrations), '--out', str(self._out / 'data')]
        self._command([*words, '--workers', str(options.workers)])

    def _correct(self, failing: Path) -> int:
        """Record corrections to train on and, a fifth as many, to look at; how many there were."""
        options, took_over = self._options, 0
        held = max(1, options.corrections // 5)
        seeds = range(FIRST_SEED, FIRST_SEED + options.corrections + held)
        self._say(f'{options.corrections + held} episodes, corrected by a scripted operator')
        with progress(self._console) as bar:
            shown = bar.add_task('corrections', total=len(seeds))
            for name, part in (
                ('corrections', seeds[: options.corrections]),
                ('held_out', seeds[options.corrections :]),
            ):
                folder = self._out / name
                shutil.rmtree(folder, ignore_errors=True)
                for done in record_corrections(
                    options.robot,
                    options.task,
                    options.checkpoint,
                    failing,
                    part,
                    folder,
                    patience_s=options.patience_s,
                ):
                    took_over += done.took_over_s is not None
                    bar.update(shown, advance=1)
        self._say(f'the operator had to take over in {took_over} of {len(seeds)}')
        if not took_over:
            raise UnivlaError(
                f'the policy never failed with a shift of {options.shift:g}, so that there is '
                'nothing to correct; give a larger --shift'
            )
        return took_over

    def _train(self, failing: Path) -> Path:
        options, dataset = self._options, self._out / 'dataset'
        shutil.rmtree(dataset, ignore_errors=True)
        self._command(['export', str(self._out / 'corrections'), '--out', str(dataset)])
        words = ['train', 'decoder', '--robot', options.robot, '--recipe', options.recipe]
        words += ['--checkpoint', options.checkpoint, '--decoder', str(failing)]
        words += ['--data', str(dataset)]
        if options.demonstrations:
            words += ['--data', str(self._out / 'data')]
        words += ['--minutes', f'{options.minutes:g}', '--out', str(self._training), '--fresh']
        self._command(words)
        return self._training_result.parent / 'decoder'

    def _measured(self, name: str, decoder: Path) -> dict[str, Any]:
        """Success on unseen scenes, and the error where the person drove in held-out episodes."""
        options, folder = self._options, self._out / 'results'
        weights = ['--checkpoint', options.checkpoint, '--decoder', str(decoder)]
        pictures, path = folder / name, folder / f'{name}.json'
        words = ['eval', '--robot', options.robot, '--task', options.task, *weights]
        words += ['--episodes', str(options.episodes), '--workers', str(options.workers)]
        self._command([*words, '--output', str(pictures), '--json', str(path)])
        (row,) = json.loads(path.read_text())['results']
        path = folder / f'{name}_replay.json'
        words = ['replay', str(self._out / 'held_out'), *weights]
        self._command([*words, '--out', str(pictures), '--json', str(path)])
        kept = ('robot', 'task', 'episodes', 'successes', 'rate', 'ci_low', 'ci_high')
        errors = _teleop_error(json.loads(path.read_text())['results'], self._axis)
        return {
            'name': name,
            'decoder': str(decoder),
            **{key: row[key] for key in kept},
            'teleop_error': errors,
        }

    def _command(self, words: Sequence[str]) -> None:
        self._say(shlex.join(['./univla', *words]))
        done = subprocess.run([sys.executable, '-m', 'univla_ros.cli', *words], check=False)
        if done.returncode:
            raise UnivlaError(
                f'`./univla {shlex.join(words)}` ended with {done.returncode}; what was wrong '
                'stands above'
            )

    def _say(self, text: str) -> None:
        self._console.print(f'[bold]▸[/] {text}', highlight=False, soft_wrap=True)

    def _show(self, rows: Sequence[dict[str, Any]], ok: bool) -> None:
        table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
        for heading in ('decoder', 'success', '95 %', 'done', f'error in {self._axis}'):
            table.add_column(heading, no_wrap=True)
        for row in rows:
            error = row['teleop_error']
            table.add_row(
                row['name'],
                f'{100 * row["rate"]:.0f} %',
                f'{100 * row["ci_low"]:.0f} to {100 * row["ci_high"]:.0f}',
                f'{row["successes"]}/{row["episodes"]}',
                '-' if error is None else f'{error:.4f}',
            )
        self._console.print(table)
        where = str(checkpoint_path(self._options.checkpoint))
        if ok:
            self._say(
                f'./univla launch {self._options.robot} checkpoint:={where} '
                f'decoder:={rows[-1]["decoder"]}'
            )
        else:
            self._say('no improvement beyond doubt; see the rows')


def _teleop_error(rows: Sequence[dict[str, Any]], axis: str) -> float | None:
    """Mean error along an axis over frames that a person drove; None if nobody did."""
    total = frames = 0.0
    for row in rows:
        errors = row.get('mae_by_source', {}).get('teleop')
        if errors is not None:
            place = [error['axis'] for error in row['errors']].index(axis)
            total += row['sources']['teleop'] * errors[place]
            frames += row['sources']['teleop']
    return total / frames if frames else None
