"""The words of `univla story`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def story(
    robot: Annotated[str, typer.Option(help='Which robot.')] = 'widowx',
    task: Annotated[str, typer.Option(help='One of its tasks.')] = 'reach',
    checkpoint: Annotated[
        str, typer.Option(help='Trained checkpoint: folder, or name in checkpoints/.')
    ] = 'tiny',
    shift: Annotated[
        float, typer.Option(help='How far every row of the failing decoder errs [m, rad].')
    ] = 0.012,
    patience: Annotated[
        float,
        typer.Option(help='Time that the policy gets to try [s].', min=0.1),
    ] = 3.0,
    corrections: Annotated[int, typer.Option(help='Episodes that are corrected.', min=2)] = 40,
    demonstrations: Annotated[
        int, typer.Option(help='Demonstrations to learn from beside them.', min=0)
    ] = 40,
    episodes: Annotated[int, typer.Option(help='Unseen scenes of each evaluation.', min=1)] = 100,
    recipe: Annotated[str, typer.Option(help='Recipe of the training.')] = 'tiny',
    minutes: Annotated[float, typer.Option(help='Longest training [min].', min=0.01)] = 5.0,
    workers: Annotated[int, typer.Option(help='Processes; 0 is one a core.', min=0)] = 0,
    out: Annotated[Path, typer.Option(help='Folder for everything.')] = Path('out/story'),
    json: Annotated[Path | None, typer.Option(help='Write the results there as JSON.')] = None,
) -> None:
    """Close the loop: fail, correct, record, export, fine-tune, evaluate, in simulation.

    A decoder that errs on purpose fails; a scripted operator takes over by teleoperation; the
    recordings train the decoder further; both are evaluated on unseen scenes. Exit status 0
    means that the corrected decoder is better beyond doubt (the 95 % intervals lie apart).
    """
    from univla_ros.story.run import StoryOptions
    from univla_ros.story.run import run_story

    options = StoryOptions(
        robot=robot,
        task=task,
        checkpoint=checkpoint,
        shift=shift,
        patience_s=patience,
        corrections=corrections,
        demonstrations=demonstrations,
        episodes=episodes,
        recipe=recipe,
        minutes=minutes,
        workers=workers,
        out=out,
        json_path=json,
    )
    raise typer.Exit(run_story(options))
