"""The words of `univla export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    bags: Annotated[list[Path], typer.Argument(help='Episodes, or folders with episodes.')],
    out: Annotated[Path, typer.Option(help='Folder of the data set; must not exist.')],
    format: Annotated[str, typer.Option(help='**lerobot**, **hdf5** or **rlds**.')] = 'lerobot',
    rate_hz: Annotated[float, typer.Option(help='Frames per second.')] = 5.0,
    action_space: Annotated[
        str,
        typer.Option(help='Meaning of the actions, such as **eef_delta**; empty: the first one.'),
    ] = '',
    robot: Annotated[str, typer.Option(help='Leave out episodes of other robots.')] = '',
    success_only: Annotated[
        bool, typer.Option('--success-only', help='Leave out episodes without success.')
    ] = False,
    raw: Annotated[
        bool, typer.Option('--raw', help='HDF5: store raw pictures instead of JPEG.')
    ] = False,
    equal_length: Annotated[
        bool, typer.Option(help="HDF5: fill up short episodes, as UniVLA's loader needs it.")
    ] = True,
) -> None:
    """Export recorded episodes for other training code: LeRobot v3, UniVLA's HDF5, RLDS.

    Frames are what the policy would have seen live. The same command goes on where it was stopped;
    the folder appears when it is complete. Exit status 1: some episodes could not be exported.
    """
    from univla_data.export import ExportOptions

    from univla_ros.episodes.export_run import run_export

    options = ExportOptions(
        format=format,
        out=out,
        rate_hz=rate_hz,
        action_space=action_space,
        robot=robot,
        success_only=success_only,
        raw=raw,
        equal_length=equal_length,
    )
    raise typer.Exit(run_export(bags, options))
