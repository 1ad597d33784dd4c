"""The words of `univla bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

bench = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode='markdown',
    help='Measure the live graph; every target that is missed makes the exit status 1.',
)

_OUTPUT = Path('out/bench')


@bench.command()
def safety(
    robot: Annotated[
        str, typer.Option(help='A robot, several by comma, or **all**, one after the other.')
    ] = 'widowx',
    faults: Annotated[
        str, typer.Option(help='Faults by comma, or **all**; an unknown one lists them.')
    ] = 'all',
    repeats: Annotated[int, typer.Option(help='Trials of each fault.', min=1)] = 3,
    duration: Annotated[float, typer.Option(help='Run without faults [s].', min=1.0)] = 20.0,
    policy: Annotated[str, typer.Option(help='Policy, a file in config/policies.')] = 'univla',
    checkpoint: Annotated[str, typer.Option(help='Checkpoint folder, or its name.')] = 'untrained',
    device: Annotated[str, typer.Option(help='auto, cpu, cuda or cuda:<n>.')] = 'auto',
    seed: Annotated[int, typer.Option(help='Seed of scene and injection times.')] = 0,
    params_file: Annotated[
        str, typer.Option(help='YAML with parameters that override all others.')
    ] = '',
    output: Annotated[Path, typer.Option(help='Folder for picture, table and logs.')] = _OUTPUT,
    json: Annotated[Path | None, typer.Option(help='Write the results there as JSON.')] = None,
) -> None:
    """Inject faults into the running graph and measure the time until the robot is safe.

    Real nodes over DDS, physics in the loop. Also counts false stops of a run without faults.
    """
    from univla_ros.bench.run_safety import SafetyOptions
    from univla_ros.bench.run_safety import run_safety

    options = SafetyOptions(
        robot=robot,
        faults=faults,
        repeats=repeats,
        clean_s=duration,
        policy=policy,
        checkpoint=checkpoint,
        device=device,
        seed=seed,
        params_file=params_file,
        output=output,
        json_path=json,
    )
    raise typer.Exit(run_safety(options))


@bench.command()
def soak(
    minutes: Annotated[float, typer.Option(help='How long.')] = 30.0,
    robot: Annotated[
        str, typer.Option(help='A robot, several by comma under one policy, or **all**.')
    ] = 'widowx,mobile_base',
    policy: Annotated[str, typer.Option(help='Policy, a file in config/policies.')] = 'univla',
    checkpoint: Annotated[str, typer.Option(help='Checkpoint folder, or its name.')] = 'untrained',
    device: Annotated[str, typer.Option(help='auto, cpu, cuda or cuda:<n>.')] = 'auto',
    seed: Annotated[int, typer.Option(help='Seed of scene, faults and their times.')] = 0,
    params_file: Annotated[
        str, typer.Option(help='YAML with parameters that override all others.')
    ] = '',
    output: Annotated[Path, typer.Option(help='Folder for picture and logs.')] = _OUTPUT,
    json: Annotated[Path | None, typer.Option(help='Write the results there as JSON.')] = None,
) -> None:
    """Run the demo graph for a long time while tasks change and faults come and go.

    No exception may go unhandled, no process end, no stop be missed, no memory grow by 2 %.
    """
    from univla_ros.bench.soak import SoakOptions
    from univla_ros.bench.soak import run_soak

    options = SoakOptions(
        minutes=minutes,
        robot=robot,
        policy=policy,
        checkpoint=checkpoint,
        device=device,
        seed=seed,
        params_file=params_file,
        output=output,
        json_path=json,
    )
    raise typer.Exit(run_soak(options))


@bench.command()
def record(
    duration: Annotated[float, typer.Option(help='Recorded time [s].', min=5.0)] = 300.0,
    raw: Annotated[bool, typer.Option('--raw', help='Record raw pictures, not JPEG.')] = False,
    keep: Annotated[bool, typer.Option('--keep', help='Keep the recorded episode.')] = False,
    output: Annotated[Path, typer.Option(help='Folder for episode and logs.')] = _OUTPUT,
    json: Annotated[Path | None, typer.Option(help='Write the results there as JSON.')] = None,
) -> None:
    """Record two cameras of 640x480 at 30 Hz, joint states at 200 Hz and a running control loop.

    No message may be lost, and the control loop may not notice: its jitter is measured with the
    recorder and, before and after, without it.
    """
    from univla_ros.bench.record import RecordOptions
    from univla_ros.bench.record import run_record

    options = RecordOptions(duration_s=duration, raw=raw, output=output, keep=keep, json_path=json)
    raise typer.Exit(run_record(options))


@bench.command()
def policy(
    policy: Annotated[str, typer.Option(help='Policy, a file in config/policies.')] = 'univla',
    checkpoint: Annotated[
        str, typer.Option(help='Checkpoint folder, or its name; auto takes the trained one.')
    ] = 'auto',
    robot: Annotated[str, typer.Option(help='Whose decoder.')] = 'widowx',
    device: Annotated[str, typer.Option(help='auto, cpu, cuda or cuda:<n>.')] = 'auto',
    dtype: Annotated[
        str, typer.Option(help='auto, float32, bfloat16 or float16, of the policy.')
    ] = 'auto',
    threads: Annotated[int, typer.Option(help='CPU threads of torch.', min=1)] = 1,
    repeats: Annotated[int, typer.Option(help='Timed calls of each way.', min=1)] = 50,
    json: Annotated[Path | None, typer.Option(help='Write the results there as JSON.')] = None,
) -> None:
    """Time a plan and its chunk, beside the ordinary ways to generate (univla).

    All ways take turns in one run and must plan the same codes; plan and chunk must stay within
    the latency budget of the policy's YAML.
    """
    from univla_ros.bench.planning import PlanningOptions
    from univla_ros.bench.planning import run_planning

    options = PlanningOptions(
        policy=policy,
        checkpoint=checkpoint,
        robot=robot,
        device=device,
        dtype=dtype,
        threads=threads,
        repeats=repeats,
        json_path=json,
    )
    raise typer.Exit(run_planning(options))


@bench.command()
def control(
    robot: Annotated[str, typer.Option(help='A robot, several by comma, or **all**.')] = 'all',
    seconds: Annotated[
        float, typer.Option(help='Length of the motion in each action space [s].', min=1.0)
    ] = 10.0,
    json: Annotated[Path | None, typer.Option(help='Write the results there as JSON.')] = None,
) -> None:
    """Time one tick of the chunk controller in every action space, limits and collisions checked.

    A tick may take a quarter of the control period, at its 99th percentile.
    """
    from univla_ros.bench.control_step import ControlOptions
    from univla_ros.bench.control_step import run_control

    raise typer.Exit(run_control(ControlOptions(robot=robot, seconds=seconds, json_path=json)))
