"""The `train` commands of `univla`."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any

import typer
from univla_core.errors import ConfigError

if TYPE_CHECKING:
    from univla_training.run import TrainingRun

train = typer.Typer(
    no_args_is_help=True,
    help='Train the stages of UniVLA on recorded episodes; each goes on where it was stopped.',
)
POLICIES = ('univla', 'uniact')


def common(
    recipe: Annotated[
        str, typer.Option(help='Sizes and settings: a name in config/training, or a YAML.')
    ] = 'tiny',
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help='Folder with recorded episodes, a bag, or an exported data set; may be given '
            'several times; default **data**.'
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help='Folder of the run; default **out/training/RECIPE**.')
    ] = None,
    seed: Annotated[int, typer.Option(help='Seed of weights and samples.', min=0)] = 0,
    minutes: Annotated[
        float | None, typer.Option(help="Longest time of a stage [min]; default: the recipe's.")
    ] = None,
    resume: Annotated[
        bool, typer.Option('--resume/--fresh', help='Go on with what was begun, or start anew.')
    ] = True,
    device: Annotated[str, typer.Option(help='auto, cpu, cuda or cuda:<n>.')] = 'auto',
    workers: Annotated[
        int, typer.Option(help='Processes that read episodes; 0 is one a core.', min=0)
    ] = 0,
) -> TrainingRun:
    """Open the run that the common options ask for."""
    from univla_training.recipe import load_recipe
    from univla_training.run import open_run

    chosen = load_recipe(recipe)
    places = data or [Path('data')]
    return open_run(
        chosen,
        out or Path('out/training') / chosen.name,
        device=device,
        data=places[0],
        more_data=tuple(places[1:]),
        seed=seed,
        minutes=minutes,
        resume=resume,
        workers=workers,
    )


def on_a_run(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes the common options beside its own and is given the run."""
    shared = inspect.signature(common)
    own = inspect.signature(command)
    _, *rest = own.parameters.values()

    @functools.wraps(command)
    def with_run(**options: Any) -> None:
        told = {name: options.pop(name) for name in shared.parameters}
        command(common(**told), **options)

    hints = {**_hints(common), **_hints(command)}
    parameters = [*rest, *shared.parameters.values()]
    with_run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(kind=p.KEYWORD_ONLY, annotation=hints[p.name]) for p in parameters]
    )
    with_run.__annotations__ = {p.name: hints[p.name] for p in parameters}
    return with_run


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return typing.get_type_hints(
        function, {**globals(), 'TrainingRun': object}, include_extras=True
    )


@train.command()
@on_a_run
def pretrain(run: TrainingRun) -> None:
    """Make what stands in for a pretrained vision-language model: pointing in rendered scenes."""
    from univla_training.stages import run_pretraining

    run_pretraining(run)


@train.command()
@on_a_run
def lam(
    run: TrainingRun,
    stage: Annotated[int, typer.Option(help='1 (with language) or 2.', min=1, max=2)] = 1,
) -> None:
    """Train a stage of the latent action model: codes for what changed between two pictures."""
    from univla_training.stages import run_lam

    run_lam(run, stage)


@train.command()
@on_a_run
def policy(run: TrainingRun) -> None:
    """Train the policy to say the codes of stage 2 from picture and instruction."""
    from univla_training.stages import run_policy

    run_policy(run)


@train.command()
@on_a_run
def decoder(
    run: TrainingRun,
    robot: Annotated[str, typer.Option(help='Robot to decode for.')],
    action_space: Annotated[
        str, typer.Option(help="Action space; default: the robot's first.")
    ] = '',
    share: Annotated[
        float, typer.Option(help="Share of the action labels; 0 takes the recipe's.")
    ] = 0.0,
    policy: Annotated[str, typer.Option(help='Policy whose latent actions are decoded.')] = (
        'univla'
    ),
    checkpoint: Annotated[
        str,
        typer.Option(
            help='Train the decoder of this checkpoint further, or a new one where it has none '
            'for the robot and action space; needs no other stage.'
        ),
    ] = '',
    decoder: Annotated[
        str, typer.Option(help='With --checkpoint: decoder folder to begin with, not its own.')
    ] = '',
    head: Annotated[
        str, typer.Option(help="Kind of head of UniAct, uniact_act or uniact_mlp; the recipe's.")
    ] = '',
) -> None:
    """Train the decoder of one robot on the policy of the run or of a checkpoint, frozen.

    With --policy uniact a new head is trained on the run's UniAct or on that of --checkpoint.
    """
    from univla_training.stages import run_decoder
    from univla_training.stages import run_finetuning
    from univla_training.stages import run_uniact_decoder

    if policy not in POLICIES:
        raise ConfigError(f'no policy {policy!r} to train for; choose {", ".join(POLICIES)}')
    if policy == 'uniact':
        own = share or run.recipe.uniact.decoder.share
        run_uniact_decoder(run, robot, action_space or None, own, head, checkpoint)
        return
    part = share or run.recipe.decoder.share
    if checkpoint:
        run_finetuning(run, robot, checkpoint, decoder, action_space or None, part)
        return
    if decoder:
        raise ConfigError('--decoder says what to begin with; it needs --checkpoint')
    run_decoder(run, robot, action_space or None, part)


@train.command()
@on_a_run
def finetune(run: TrainingRun) -> None:
    """Train policy and decoders of all robots together, on codes and actions."""
    from univla_training.stages import run_joint_finetuning

    run_joint_finetuning(run)


@train.command()
@on_a_run
def mend(
    run: TrainingRun,
    checkpoint: Annotated[
        str, typer.Option(help="Whose decoders to mend; default: the run's own checkpoint.")
    ] = '',
) -> None:
    """Let policies drive astray in simulation, and train their decoders on how experts go on."""
    from univla_training.stages import run_mending

    print(run_mending(run, checkpoint), file=sys.stderr)


@train.command()
@on_a_run
def looks(
    run: TrainingRun,
    checkpoint: Annotated[
        str, typer.Option(help="Whose policy shall; default: the run's own checkpoint.")
    ] = '',
) -> None:
    """Teach a policy's eyes that another table or other light changes nothing.

    Learns from rendered scenes alone; decoders of the checkpoint go on fitting.
    """
    from univla_training.stages import run_looks

    print(run_looks(run, checkpoint), file=sys.stderr)


@train.command()
@on_a_run
def readout(
    run: TrainingRun,
    checkpoint: Annotated[str, typer.Option(help='Whose policy; it stays as it is.')],
) -> None:
    """Read off a finished policy's plans where it points, for heads that go there.

    For a checkpoint that has no pointing.safetensors; learns from rendered scenes alone.
    """
    from univla_training.stages import run_readout

    print(run_readout(run, checkpoint), file=sys.stderr)


@train.command()
@on_a_run
def bc(
    run: TrainingRun,
    share: Annotated[
        float, typer.Option(help="Share of the action labels; 0 takes the recipe's.")
    ] = 0.0,
) -> None:
    """Train direct behaviour cloning of the same size: the rival to compare with."""
    from univla_training.stages import run_cloning

    run_cloning(run, share or run.recipe.cloning.share)


@train.command()
@on_a_run
def uniact(run: TrainingRun) -> None:
    """Train UniAct: universal actions and a head for each robot (recipe uniact-tiny)."""
    from univla_training.stages import run_uniact

    run_uniact(run)


@train.command('world-model')
@on_a_run
def world_model(run: TrainingRun) -> None:
    """Train the unified VLA to say the next frame (recipe unified-tiny)."""
    from univla_training.stages import run_world_model

    run_world_model(run)


@train.command()
@on_a_run
def unified(run: TrainingRun) -> None:
    """Train the unified VLA to act, from the run's world model (recipe unified-tiny)."""
    from univla_training.stages import run_unified

    run_unified(run)


@train.command('all')
@on_a_run
def everything(
    run: TrainingRun,
    collect: Annotated[
        bool, typer.Option('--collect/--no-collect', help='Collect the episodes that lack.')
    ] = True,
) -> None:
    """Collect episodes, train every stage, write the model card."""
    from univla_training.stages import run_all

    run_all(run, collect=collect)


@train.command()
@on_a_run
def card(
    run: TrainingRun,
    results: Annotated[
        Path | None, typer.Option(help='JSON of `univla eval`, for the table of results.')
    ] = None,
) -> None:
    """Write the model card of the run's checkpoint, whichever policy it is."""
    from univla_training.stages import run_card

    print(run_card(run, results), file=sys.stderr)
