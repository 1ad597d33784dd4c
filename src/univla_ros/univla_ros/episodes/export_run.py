"""`univla export` as the user sees it: a bar, what went wrong, and how quick it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from univla_data.export import Export
from univla_data.export import ExportOptions

from univla_ros.episodes.progress import complain
from univla_ros.episodes.progress import progress


def run_export(paths: Sequence[Path], options: ExportOptions) -> int:
    """Export; the exit status is 1 if some episodes could not be exported.

    Raises:
        UnivlaError: If nothing could be exported, or an option is of no use.
    """
    console = Console()
    export = Export(paths, options)
    with progress(console) as bar:
        shown = bar.add_task(f'{options.format}', total=len(export.sources))

        def done(path: Path) -> None:
            failed = len(export.report.problems)
            text = options.format + (f', {failed} failed' if failed else '')
            bar.update(shown, advance=1, description=text)

        report = export.run(done)
    complain(console, list(report.problems))
    megabytes = report.read_bytes / 1e6
    rate = f', {megabytes / report.wall_s:.1f} MB/s' if megabytes else ''
    told = [f'{report.episodes} episodes, {report.frames} frames in {options.out}']
    if report.before:
        told.append(f'{report.before} of them by an earlier run')
    if report.left_out:
        told.append(f'{report.left_out} were not asked for')
    if report.problems:
        told.append(f'{len(report.problems)} could not be exported')
    console.print(f'{", ".join(told)}; {report.wall_s:.0f} s{rate}', soft_wrap=True)
    return 1 if report.problems else 0
