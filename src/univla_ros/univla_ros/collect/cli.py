"""The words of `univla collect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def collect(
    robot: Annotated[str, typer.Option(help='A robot, or several by comma.')],
    task: Annotated[
        str,
        typer.Option(
            help='reach, push, pick, place, drive, several by comma, or **all** that fit.'
        ),
    ],
    episodes: Annotated[int, typer.Option(help='Episodes of each robot and task, in all.')] = 100,
    seed: Annotated[int, typer.Option(help='First scene of the training scenes.')] = 0,
    out: Annotated[
        Path, typer.Option(help='Folder; episodes lie in `<out>/<robot>/<task>/`.')
    ] = Path('data'),
    kicks: Annotated[
        bool,
        typer.Option(help='Throw the robot off its way now and then, to show how to recover.'),
    ] = True,
    detours: Annotated[
        str,
        typer.Option(
            help='A checkpoint whose policy drives in between instead of kicks; the expert shows '
            'how to go on from where it leads (DAgger).'
        ),
    ] = '',
    camera_rate_hz: Annotated[
        float, typer.Option(help='Pictures per second.', min=1.0, max=60.0)
    ] = 5.0,
    keep_failures: Annotated[
        bool, typer.Option('--keep-failures', help='Keep episodes that failed, too.')
    ] = False,
    raw: Annotated[
        bool, typer.Option('--raw', help='Store raw pictures instead of JPEG (25 times the room).')
    ] = False,
    workers: Annotated[int, typer.Option(help='Processes; 0 takes one per core.', min=0)] = 0,
) -> None:
    """Let scripted experts demonstrate a task, and record it as the robot itself would be.

    Physics, driver and controller are those of the running graph, in virtual time. Each episode is
    a rosbag2 folder (MCAP) that `ros2 bag` plays. The same command goes on where it was stopped.
    """
    from univla_ros.collect.options import CollectOptions
    from univla_ros.collect.run import run_collect

    options = CollectOptions(
        robot=robot,
        task=task,
        episodes=episodes,
        seed=seed,
        out=out,
        kicks=kicks and not detours,
        detours=detours,
        camera_rate_hz=camera_rate_hz,
        keep_failures=keep_failures,
        raw=raw,
        workers=workers,
    )
    raise typer.Exit(run_collect(options))
