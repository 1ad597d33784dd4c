"""The words of `univla record`."""

from __future__ import annotations

from typing import Annotated

import typer

record = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode='markdown',
    help='Start, judge and end episodes of a running robot (`univla launch ROBOT record:=true`).',
)

_Robot = Annotated[str, typer.Argument(help='Namespace of the robot, such as widowx.')]


@record.command()
def start(
    robot: _Robot,
    name: Annotated[str, typer.Option(help='Name of the episode; empty: the time.')] = '',
    instruction: Annotated[
        str, typer.Option(help='Task in words; empty: what the robot was told.')
    ] = '',
    duration: Annotated[float, typer.Option(help='End after so long [s]; 0: never.')] = 0.0,
) -> None:
    """Begin an episode."""
    from univla_ros.recorder.client import RecorderClient

    with RecorderClient(robot) as recorder:
        print(f'recording {recorder.start(name, instruction, duration)}')


@record.command()
def stop(robot: _Robot) -> None:
    """End the episode, unjudged."""
    _end(robot, 'stop')


@record.command()
def success(robot: _Robot) -> None:
    """End the episode: the task was done."""
    _end(robot, 'success')


@record.command()
def failure(robot: _Robot) -> None:
    """End the episode: the task was not done."""
    _end(robot, 'failure')


@record.command()
def discard(robot: _Robot) -> None:
    """End the episode and remove what was written."""
    from univla_ros.recorder.client import RecorderClient

    with RecorderClient(robot) as recorder:
        print(recorder.ask('discard'))


@record.command()
def relabel(
    robot: _Robot,
    instruction: Annotated[str, typer.Argument(help='What the robot does, in words.')],
) -> None:
    """Say what is done in the episode being recorded, whatever the robot was told."""
    from univla_ros.recorder.client import RecorderClient

    with RecorderClient(robot) as recorder:
        recorder.relabel(instruction)


@record.command()
def keep_last(
    robot: _Robot,
    seconds: Annotated[float, typer.Argument(help='How many of them [s].', min=1.0)] = 30.0,
) -> None:
    """Make an episode of the last seconds; one being recorded goes on."""
    from univla_ros.recorder.client import RecorderClient

    with RecorderClient(robot) as recorder:
        print(recorder.keep_last(seconds))


@record.command()
def status(robot: _Robot) -> None:
    """Show what is being recorded, and how complete it is."""
    from univla_ros.recorder.client import RecorderClient
    from univla_ros.recorder.show import show_status

    with RecorderClient(robot) as recorder:
        show_status(recorder.status)


def _end(robot: str, verb: str) -> None:
    """End the episode and show how complete it is; exit status 1 if it cannot be used."""
    from univla_ros.recorder.audit import BAD
    from univla_ros.recorder.client import RecorderClient
    from univla_ros.recorder.show import show_status

    with RecorderClient(robot) as recorder:
        recorder.ask(verb)
        said = recorder.wait_complete()
    show_status(said)
    raise typer.Exit(1 if said.verdict == BAD or not said.uri else 0)
