"""The `univla` command."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from univla_core.errors import ConfigError
from univla_core.errors import UnivlaError

from univla_ros.bench.cli import bench
from univla_ros.collect.cli import collect
from univla_ros.episodes.cli import episodes
from univla_ros.episodes.export_cli import export
from univla_ros.evaluation.cli import evaluate
from univla_ros.recorder.cli import record
from univla_ros.replay.cli import replay
from univla_ros.story.cli import story

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode='markdown',
    help='Latent-action robot policies on ROS 2: camera and instruction in, robot command out.',
)

app.add_typer(bench, name='bench')
app.command('collect')(collect)
app.add_typer(episodes, name='episodes')
app.command('export')(export)
app.command('eval')(evaluate)
app.add_typer(record, name='record')
app.command('replay')(replay)
app.command('story')(story)


@app.command()
def demo(
    robot: Annotated[
        str, typer.Option(help='A robot, several by comma under one policy, or **all**.')
    ] = 'widowx',
    policy: Annotated[str, typer.Option(help='Policy, a file in config/policies.')] = 'univla',
    checkpoint: Annotated[
        str,
        typer.Option(
            help='Checkpoint folder, or its name in checkpoints/; auto takes the trained one.'
        ),
    ] = 'auto',
    decoder: Annotated[
        str, typer.Option(help="Decoder folder of one robot; empty takes the checkpoint's own.")
    ] = '',
    device: Annotated[str, typer.Option(help='auto, cpu, cuda or cuda:<n>.')] = 'auto',
    instruction: Annotated[
        str, typer.Option(help='Task in words; empty takes one that fits the scene.')
    ] = '',
    episodes: Annotated[int, typer.Option(help='Runs, each with the next seed.')] = 1,
    duration: Annotated[float, typer.Option(help='Recorded time of a run [s].', min=2.0)] = 12.0,
    seed: Annotated[int, typer.Option(help='Seed of the scene.')] = 0,
    output: Annotated[Path, typer.Option(help='Folder for pictures and videos.')] = Path(
        'out/demo'
    ),
    json: Annotated[Path | None, typer.Option(help='Write the results there as JSON.')] = None,
) -> None:
    """Run the whole graph on simulated robots and show what happened.

    Physics, cameras, policy, decoder and controller run as real ROS 2 nodes. Leaves a picture and
    a video per robot. Exit status 0 means that every loop planned, commanded at 50 Hz or more
    without gaps and kept all limits.
    """
    from univla_ros.demo.run import DemoOptions
    from univla_ros.demo.run import run_demo

    options = DemoOptions(
        robot=robot,
        policy=policy,
        checkpoint=checkpoint,
        decoder=decoder,
        device=device,
        instruction=instruction,
        episodes=episodes,
        duration_s=duration,
        seed=seed,
        output=output,
        json_path=json,
    )
    raise typer.Exit(run_demo(options))


@app.command(context_settings={'allow_extra_args': True, 'ignore_unknown_options': True})
def launch(
    context: typer.Context,
    robot: Annotated[
        str, typer.Argument(help='A robot of config/robots, or **together** for several.')
    ],
    show_args: Annotated[
        bool, typer.Option('--show-args', '-s', help='List the launch arguments.')
    ] = False,
) -> None:
    """Run the graph of a robot, as `ros2 launch univla_ros <robot>.launch.py` does.

    Arguments are written `name:=value`, for example `univla launch widowx sim:=true`.
    """
    from univla_ros.launch_command import run_launch
    from univla_ros.launch_command import show_arguments

    if show_args:
        raise typer.Exit(show_arguments(robot))
    raise typer.Exit(run_launch(robot, context.args))


@app.command()
def tell(
    robot: Annotated[str, typer.Argument(help='Namespace of the robot, such as widowx.')],
    instruction: Annotated[str, typer.Argument(help='The task in words.')],
) -> None:
    """Give a running robot its task in words, from another terminal.

    With ROS 2 installed, `ros2 topic pub` on its topic `instruction` does the same.
    """
    from univla_ros.tell import tell as say

    say(robot, instruction)


@app.command()
def teleop(
    robot: Annotated[str, typer.Argument(help='Namespace of the robot, such as widowx.')],
    speed: Annotated[float, typer.Option(help='Translation to begin with [m/s].')] = 0.1,
    rotation: Annotated[float, typer.Option(help='Rotation to begin with [rad/s].')] = 0.5,
    frame: Annotated[
        str, typer.Option(help='Frame of the motion keys of an arm: **base** or **tool**.')
    ] = 'base',
    codes: Annotated[int, typer.Option(help="Codes in the policy's vocabulary.")] = 16,
    gamepad: Annotated[
        bool, typer.Option('--gamepad', help='Read a gamepad too and publish it on `joy`.')
    ] = False,
    device: Annotated[str, typer.Option(help='Gamepad to read.')] = '/dev/input/js0',
) -> None:
    """Drive a running robot with the keys of this terminal, or with a gamepad.

    Hold a key to move; the robot stops when you let go, and when the connection breaks.
    `w s` forward and back, `a d` left and right (a base turns), `q e` up and down,
    `u o i k j l` turn the hand, `g h` open and close the gripper, `+ -` speed.

    `2` TELEOP, `1` POLICY, `Space` HOLD, `Esc` or `x` EMERGENCY STOP, `r` resets it.
    `c` picks a latent code, `f` held lets any robot follow it. `Ctrl-C` ends.
    """
    from univla_core.parameters import config_from_mapping

    from univla_ros.teleop.keyboard import KeyboardConfig
    from univla_ros.teleop.keyboard import teleop as drive

    options = {
        'speed': speed,
        'rotation': rotation,
        'frame': frame,
        'codes': codes,
        'gamepad': gamepad,
        'device': device,
    }
    drive(robot, config_from_mapping(KeyboardConfig, options, 'univla teleop'))


@app.command()
def conformance(
    path: Annotated[Path, typer.Argument(help='Folder of conformance data.')],
    json: Annotated[Path | None, typer.Option(help='Write the results there as JSON.')] = None,
) -> None:
    """Compare our models with numbers that the original implementations computed.

    Prints the largest error of every array beside its tolerance; exits non-zero past any.
    """
    from univla_ros.conformance import main as run_conformance

    raise typer.Exit(run_conformance(path, json))


def add_installed_commands(to: typer.Typer) -> None:
    """Add what other packages offer as entry points of the group `univla.commands`.

    Those packages may import ours or heavier ones, so ours cannot import them.
    """
    points = {point.name: point for point in entry_points(group='univla.commands')}
    for name, point in points.items():
        to.add_typer(point.load(), name=name)
    if 'train' not in points:
        to.command('train', context_settings=_ANY)(_no_training)


_ANY = {'allow_extra_args': True, 'ignore_unknown_options': True}


def _no_training() -> None:
    """Train policies and decoders (package univla_training, not installed here)."""
    raise ConfigError(
        'the package univla_training is not installed here; build the workspace with it: '
        '`./univla setup`, or `colcon build` with src/univla_training'
    )


def main() -> None:
    """Run the command line; errors of the suite become one readable sentence."""
    try:
        add_installed_commands(app)
        app()
    except UnivlaError as error:
        Console(stderr=True).print(f'univla: {error}', style='red', highlight=False, markup=False)
        sys.exit(1)


if __name__ == '__main__':
    main()
