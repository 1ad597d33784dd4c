"""The `analyse` commands of `univla`."""

from __future__ import annotations

import json as as_json
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated

import typer
from univla_core.errors import ConfigError

from univla_training.cli import on_a_run

if TYPE_CHECKING:
    from univla_training.run import TrainingRun

analyse = typer.Typer(no_args_is_help=True, help='Look into what a policy has learned.')


@analyse.command()
def codes(
    checkpoint: Annotated[str, typer.Option(help='Checkpoint folder, or its name.')],
    data: Annotated[Path, typer.Option(help='Folder with recorded episodes.')] = Path('data'),
    policy: Annotated[str, typer.Option(help='Its policy; default: what the folder says.')] = '',
    episodes: Annotated[
        int, typer.Option(help='Most episodes of each robot and task.', min=1)
    ] = 20,
    frames: Annotated[int, typer.Option(help='Most frames of each episode.', min=1)] = 10,
    camera: Annotated[str, typer.Option(help='Camera whose pictures are looked at.')] = 'primary',
    seed: Annotated[int, typer.Option(help='Seed of the choice of episodes.', min=0)] = 0,
    device: Annotated[str, typer.Option(help='auto, cpu, cuda or cuda:<n>.')] = 'auto',
    output: Annotated[Path, typer.Option(help='Picture.')] = Path('out/analysis/codes.png'),
    json: Annotated[Path | None, typer.Option(help='Write the results there as JSON.')] = None,
) -> None:
    """Count which codes a policy plans on recorded pictures, by robot and task.

    Prints a table, and how alike groups are: Jensen-Shannon divergences, 0 to 1 bit. A good
    vocabulary uses more similar codes for one task on two robots than for two tasks on one.
    """
    from rich.console import Console
    from univla_core.parameters import read_yaml
    from univla_core.paths import checkpoint_path
    from univla_data.episode_reader import find_episodes
    from univla_models.policy import load_policy
    from univla_models.policy import policy_of

    from univla_training.code_use import ANALYSED
    from univla_training.code_use import chosen
    from univla_training.code_use import look_at
    from univla_training.code_use_report import document
    from univla_training.code_use_report import draw
    from univla_training.code_use_report import show
    from univla_training.counting import counting
    from univla_training.training_state import write_atomically

    folder = checkpoint_path(checkpoint)
    name = policy or policy_of(read_yaml(folder / 'config.json'))
    if name not in ANALYSED:
        raise ConfigError(
            f'{folder}: policy {name!r} cannot be analysed by its codes; '
            f'{" and ".join(ANALYSED)} can'
        )
    planner = load_policy(name, folder, device=device, preprocessing='auto', camera=camera)
    paths = find_episodes(data)
    console = Console()
    total = sum(map(len, chosen(paths, episodes, seed).values()))
    with counting(Console(stderr=True), 'planning', total) as advance:
        uses = look_at(
            planner,
            paths,
            per_group=episodes,
            frames=frames,
            camera=camera,
            seed=seed,
            progress=advance,
        )
    show(console, uses)
    output.parent.mkdir(parents=True, exist_ok=True)
    draw(uses, output, f'{name}, {folder.name}')
    console.print(f'picture: {output}', highlight=False)
    if json is not None:
        facts = {'checkpoint': str(folder), 'policy': name, 'trained': planner.trained}
        text = as_json.dumps(document(uses, facts), indent=1)
        write_atomically(json, lambda file: file.write(text.encode()))


@analyse.command()
@on_a_run
def motion(
    run: TrainingRun,
    output: Annotated[Path, typer.Option(help='Picture.')] = Path('out/analysis/motion.png'),
    json: Annotated[Path | None, typer.Option(help='Write the results there as JSON.')] = None,
) -> None:
    """Tell whether one code of the latent action model moves the hands of all arms alike.

    Takes a run's recorded frames and labels. A code counts as alike if it leaves all hands that
    know it still, or moves them within 60 degrees of each other in their base frames.
    """
    from univla_training.code_motion import code_motions
    from univla_training.code_motion import consistency
    from univla_training.code_motion import draw_motions
    from univla_training.lam_training import labels
    from univla_training.training_state import write_atomically

    rows = run.store.frames
    found = code_motions(run.store, rows, labels(run)[rows], run.recipe.lam2.interval)
    output.parent.mkdir(parents=True, exist_ok=True)
    draw_motions(found, output)
    facts = {'run': str(run.out), **consistency(found)}
    if facts['share'] is None:
        run.console.print('no code was seen often enough on two arms')
    else:
        run.console.print(
            f'{facts["alike"]} of {facts["judged"]} codes move all arms alike '
            f'({100.0 * facts["share"]:.0f} %; by chance {100.0 * facts["by_chance"]:.0f} %)',
            highlight=False,
        )
    run.console.print(f'picture: {output}', highlight=False)
    if json is not None:
        text = as_json.dumps(facts, indent=1)
        write_atomically(json, lambda file: file.write(text.encode()))


@analyse.command()
@on_a_run
def shake(
    run: TrainingRun,
    robot: Annotated[str, typer.Option(help='Whose hand moves.')] = 'widowx',
    pairs: Annotated[int, typer.Option(help='Scenes.', min=40)] = 600,
    output: Annotated[Path, typer.Option(help='Picture.')] = Path('out/analysis/shake.png'),
    json: Annotated[Path | None, typer.Option(help='Write the results there as JSON.')] = None,
) -> None:
    """Tell whether decoupling helps: codes under a shaking camera and a moving distractor.

    Draws scenes in which a hand moves, once calm and once disturbed, and compares the codes of
    stage 1 with the task-centric ones of stage 2: how many stay the same, and how much of the
    hand's motion a linear map reads off them.
    """
    from univla_training.code_stability import KINDS
    from univla_training.code_stability import draw_stability
    from univla_training.code_stability import pair_codes
    from univla_training.code_stability import stability
    from univla_training.counting import counting
    from univla_training.lam_training import trained_lam
    from univla_training.motion_pairs import draw_motion_pairs
    from univla_training.pretraining import own_prompts
    from univla_training.training_state import write_atomically

    with counting(run.console, 'scenes', pairs) as advance:
        shown = draw_motion_pairs(
            robot, pairs, run.recipe.network.lam_image_side, run.seed, progress=advance
        )
    found = {}
    for stage in (1, 2):
        model = trained_lam(run, stage)
        calm, disturbed = (
            pair_codes(model, shown.first, later, shown.instructions, own_prompts())
            for later in (shown.later, shown.disturbed)
        )
        found |= {kind: stability(calm[kind], disturbed[kind], shown.motion) for kind in calm}
    for kind, codes in found.items():
        run.console.print(
            f'{kind} ({KINDS[kind]}): {100.0 * codes.same:.0f} % unchanged; motion told, R²: '
            f'{codes.told:.2f}, disturbed {codes.told_disturbed:.2f}',
            highlight=False,
            soft_wrap=True,
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    draw_stability(shown, found, output, f'{robot}, {pairs} scenes')
    run.console.print(f'picture: {output}', highlight=False)
    if json is not None:
        facts = {'run': str(run.out), 'robot': robot, 'pairs': pairs, 'seed': run.seed}
        facts |= {'kinds': {kind: vars(codes) for kind, codes in found.items()}}
        text = as_json.dumps(facts, indent=1)
        write_atomically(json, lambda file: file.write(text.encode()))
