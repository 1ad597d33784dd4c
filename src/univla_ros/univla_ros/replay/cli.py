"""The words of `univla replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def replay(
    paths: Annotated[list[Path], typer.Argument(help='Episodes, or folders with episodes.')],
    checkpoint: Annotated[
        str,
        typer.Option(help='Checkpoint folder or name; auto takes the trained one of the policy.'),
    ] = 'auto',
    decoder: Annotated[
        str, typer.Option(help="Decoder folder; empty takes the checkpoint's own.")
    ] = '',
    robot: Annotated[
        str, typer.Option(help='Let this robot carry out the recorded latent actions, simulated.')
    ] = '',
    redecode: Annotated[
        bool, typer.Option('--redecode', help='Decode the recorded latent actions with --decoder.')
    ] = False,
    policy: Annotated[str, typer.Option(help='Policy, a file in config/policies.')] = 'univla',
    seed: Annotated[
        int, typer.Option(help="With --robot: seed of the scene; -1 takes the recording's.")
    ] = -1,
    device: Annotated[str, typer.Option(help='cpu, cuda or cuda:<n>.')] = 'cpu',
    out: Annotated[Path, typer.Option(help='Folder for pictures and videos.')] = Path(
        'out/replay'
    ),
    json: Annotated[Path | None, typer.Option(help='Write the results there as JSON.')] = None,
) -> None:
    """Replay recorded episodes.

    Without options the policy plans on the recorded observations, as if it saw them live, and its
    chunks are compared with what was executed: errors per dimension, a picture, and a hash that
    is the same for the same weights and episode. `--robot` and `--redecode` use the latent
    actions that were recorded while a policy ran.
    """
    from univla_ros.replay.run import ReplayOptions
    from univla_ros.replay.run import run_replay

    options = ReplayOptions(
        checkpoint=checkpoint,
        decoder=decoder,
        robot=robot,
        redecode=redecode,
        policy=policy,
        seed=seed,
        device=device,
        out=out,
        json_path=json,
    )
    raise typer.Exit(run_replay(paths, options))
