"""The words of `univla episodes`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

episodes = typer.Typer(no_args_is_help=True, help='Look at recorded episodes and sort them out.')

_Paths = Annotated[list[Path], typer.Argument(help='Episodes, or folders with episodes.')]
_Out = Annotated[Path, typer.Option(help='Folder for the pictures.')]
_PICTURES = Path('out/episodes')


@episodes.command('list')
def list_(
    paths: _Paths,
    failures: Annotated[
        bool, typer.Option('--failures', help='Only those without success.')
    ] = False,
    json: Annotated[Path | None, typer.Option(help='Write the table there as JSON.')] = None,
) -> None:
    """One line an episode: length, success, who drove, idle frames, what stands out."""
    from univla_ros.episodes.run import run_list

    raise typer.Exit(run_list(paths, failures, json))


@episodes.command()
def show(
    path: Annotated[Path, typer.Argument(help='One episode.')],
    out: _Out = _PICTURES,
) -> None:
    """Everything about one episode, and a picture: thumbnails, commands, who drove."""
    from univla_ros.episodes.run import run_show

    raise typer.Exit(run_show(path, out))


@episodes.command()
def stats(
    paths: _Paths,
    json: Annotated[Path | None, typer.Option(help='Write the figures there as JSON.')] = None,
) -> None:
    """Per robot and task: episodes, success, time, sources, idle frames, outliers."""
    from univla_ros.episodes.run import run_stats

    raise typer.Exit(run_stats(paths, json))


@episodes.command()
def plot(paths: _Paths, out: _Out = _PICTURES) -> None:
    """Pictures of many episodes: lengths, idle frames, speeds, sources, and a contact sheet."""
    from univla_ros.episodes.run import run_plot

    raise typer.Exit(run_plot(paths, out))


@episodes.command()
def drop(
    paths: Annotated[list[Path], typer.Argument(help='Single episodes.')],
    trash: Annotated[
        Path, typer.Option(help='Where they go, under the path that they had.')
    ] = Path('out/trash'),
) -> None:
    """Move episodes out of the data, into a trash folder; move them back to have them again."""
    from univla_ros.episodes.run import run_drop

    raise typer.Exit(run_drop(paths, trash))


@episodes.command()
def merge(
    paths: _Paths,
    out: Annotated[Path, typer.Option(help='Folder; they come to `<out>/<robot>/<task>/`.')],
) -> None:
    """Copy episodes of several folders into one; what is there already is not copied again."""
    from univla_ros.episodes.run import run_merge

    raise typer.Exit(run_merge(paths, out))
