"""The words of `univla eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    robot: Annotated[str, typer.Option(help='A robot, several by comma, or **all**.')] = 'widowx',
    task: Annotated[
        str,
        typer.Option(
            help='reach, push, pick, place, drive, several by comma, or **all** fitting.'
        ),
    ] = 'all',
    policy: Annotated[
        str,
        typer.Option(
            help='By comma: random, expert, univla, uniact, unified_vla, bc (UniVLA cloned end to '
            'end, without codes).'
        ),
    ] = 'univla',
    checkpoint: Annotated[
        str,
        typer.Option(help='Folder or name, several by comma; empty takes the trained one here.'),
    ] = '',
    decoder: Annotated[
        str, typer.Option(help="Folder of the decoder; empty takes the checkpoint's own.")
    ] = '',
    action_space: Annotated[
        str, typer.Option(help='Take the decoder with this action space, such as joint_position.')
    ] = '',
    episodes: Annotated[int, typer.Option(help='Scenes of each row, at most 1000.')] = 100,
    seed: Annotated[int, typer.Option(help='Which thousand of scenes, 0 to 99.')] = 0,
    shift: Annotated[
        str,
        typer.Option(
            help='Leave the training range: visual, motion, physical, semantic, language, by '
            'comma, or **all**.'
        ),
    ] = 'none',
    wrong_instruction: Annotated[
        bool,
        typer.Option(
            '--wrong-instruction',
            help='Name another object: which of the two does the robot go to?',
        ),
    ] = False,
    ensembling: Annotated[
        str,
        typer.Option(
            help='Average the chunks of plans that overlap: always, never, or auto, as the '
            'decoder declares.'
        ),
    ] = 'auto',
    execute_latency: Annotated[
        float, typer.Option(help='From picture to arrival of its plan [s].', min=0.0, max=1.0)
    ] = 0.08,
    workers: Annotated[int, typer.Option(help='Processes; 0 takes one per core.', min=0)] = 0,
    device: Annotated[str, typer.Option(help='cpu, cuda or cuda:<n>.')] = 'cpu',
    output: Annotated[Path, typer.Option(help='Folder for pictures and results.')] = Path(
        'out/eval'
    ),
    json: Annotated[Path | None, typer.Option(help='Write the results there as JSON.')] = None,
) -> None:
    """Success rates in simulation, with 95 % intervals.

    Physics, driver, controller and decoder are those of the running graph, in virtual time. No
    scene was ever trained on. Leaves bars, the last pictures of failures and the results as JSON.
    """
    from univla_ros.evaluation.cases import EvalOptions
    from univla_ros.evaluation.run import run_eval

    options = EvalOptions(
        robot=robot,
        task=task,
        policy=policy,
        checkpoint=checkpoint,
        decoder=decoder,
        action_space=action_space,
        episodes=episodes,
        seed=seed,
        shift=shift,
        wrong_instruction=wrong_instruction,
        ensembling=ensembling,
        execute_latency_s=execute_latency,
        workers=workers,
        device=device,
        output=output,
        json_path=json,
    )
    raise typer.Exit(run_eval(options))
