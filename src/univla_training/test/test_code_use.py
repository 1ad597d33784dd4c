"""How alike the codes of two groups are: laws, numbers by hand, and real recorded episodes."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_data.episode_writer import EpisodeWriter
from univla_data.provenance import Provenance
from univla_training.code_use import CodeUse
from univla_training.code_use import divergence
from univla_training.code_use import divergences
from univla_training.code_use import summary
from univla_training.code_use_cli import analyse
from univla_training.code_use_report import draw
from univla_training.code_use_report import matrix


@pytest.fixture(scope='module')
def recorded_arms(tmp_path_factory):
    """One second of a WidowX and of a Franka that stand still, as the recorder writes it."""
    folder = tmp_path_factory.mktemp('data')
    for seed, name in enumerate(('widowx', 'franka')):
        robot = load_embodiment(name)
        pictures = np.random.default_rng(seed).integers(0, 256, (6, 480, 640, 3), dtype=np.uint8)
        still = np.zeros(robot.axis_count)
        about = Provenance(robot=name, task='reach', seed=seed, cameras={'primary': 5.0})
        writer = EpisodeWriter(folder / name, robot, about, quality=None)
        writer.instruction(0.9, 'reach the red cube')
        for tick in range(60):
            now = 1.0 + tick / 50.0
            writer.joint_state(now, robot.home, still, 1.0)
            writer.command(now, robot.home, still, 1.0)
            if tick % 10 == 0:
                writer.picture(now, 'primary', pictures[tick // 10])
        writer.close(True, ('expert',))
    return folder


def use(robot, task, counts):
    return CodeUse(robot=robot, task=task, counts=np.atleast_2d(counts), episodes=1)


def test_divergence_is_0_of_equals_1_of_strangers_and_symmetric():
    rng = np.random.default_rng(0)
    one, other = (rng.dirichlet(np.ones(6), size=3) for _ in range(2))
    assert divergence(one, one) == pytest.approx(0.0, abs=1e-12)
    assert divergence(one, other) == pytest.approx(divergence(other, one))
    assert 0.0 < divergence(one, other) < 1.0
    assert divergence(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])) == 1.0


def test_divergence_by_hand():
    """(1, 0) and (½, ½), middle (¾, ¼): ½ log₂ 4/3 + ½ (½ log₂ 2/3 + ½ log₂ 2) = 0.3113."""
    assert divergence(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])) == pytest.approx(
        0.3113, abs=1e-4
    )


def test_a_row_counts_codes_and_their_entropy():
    """Four codes alike often at the first place, one at the second: (2 + 0) / 2 bit."""
    row = use('widowx', 'reach', [[5, 5, 5, 5], [20, 0, 0, 0]]).row()
    assert (row['plans'], row['codes'], row['entropy_bits']) == (20, 4, 1.0)
    assert next(iter(row['most'].items())) == (0, 25 / 40)


def test_pairs_are_told_by_what_they_share(tmp_path):
    uses = [
        use('franka', 'reach', [10, 0]),
        use('widowx', 'drive', [0, 10]),
        use('widowx', 'reach', [9, 1]),
    ]
    rows = divergences(uses)
    assert [row['same'] for row in rows] == ['nothing', 'task', 'robot']
    means = summary(rows)
    assert means['task'] < means['robot'] < means['nothing'] == 1.0
    grid = matrix(uses)
    np.testing.assert_array_equal(grid, grid.T)
    assert grid[0, 2] == means['task'] and grid[1, 2] == means['robot']
    draw(uses, tmp_path / 'codes.png', 'test')
    assert (tmp_path / 'codes.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize('policy', ['univla', 'uniact'])
def test_the_command_looks_at_recorded_episodes(tmp_path, policy, recorded_arms):
    """Real bags, the deployed policies: as many plans as frames, shares that add up."""
    from univla_models.synthetic import SyntheticSizes
    from univla_models.synthetic import write_checkpoint
    from univla_models.uniact_synthetic import write_uniact_checkpoint

    folder = tmp_path / 'checkpoint'
    if policy == 'uniact':
        write_uniact_checkpoint(folder)
    else:
        sizes = {'hidden_dim': 16, 'mlp_dim': 24, 'layers': 1, 'heads': 2}
        sizes |= {'vision_dim': 12, 'vision_depth': 2, 'vision_heads': 2}
        write_checkpoint(folder, [], sizes=SyntheticSizes(**sizes))
    words = ['codes', '--checkpoint', str(folder), '--data', str(recorded_arms), '--frames', '3']
    words += ['--device', 'cpu', '--output', str(tmp_path / 'codes.png')]
    done = CliRunner().invoke(analyse, [*words, '--json', str(tmp_path / 'codes.json')])
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / 'codes.json').read_text())
    assert document['ok'] and document['policy'] == policy and not document['trained']
    assert [row['robot'] for row in document['results']] == ['franka', 'widowx']
    for row in document['results']:
        assert row['plans'] == 3
        np.testing.assert_allclose(np.sum(row['shares'], axis=1), 1.0, atol=1e-4)
    assert document['divergences'][0]['same'] == 'task'
    assert (tmp_path / 'codes.png').is_file()


def test_tokens_are_no_codes_to_compare(tmp_path):
    (tmp_path / 'config.json').write_text('{"model_type": "Emu3"}')
    done = CliRunner().invoke(analyse, ['codes', '--checkpoint', str(tmp_path)])
    assert isinstance(done.exception, ConfigError) and 'unified_vla' in str(done.exception)
