"""Instructions are read as people write them."""

import pytest
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError
from univla_sim.tasks import TASKS
from univla_sim.tasks import Goal
from univla_sim.tasks import default_instruction
from univla_sim.tasks import instruction_for
from univla_sim.tasks import parse_instruction


@pytest.mark.parametrize(
    ('instruction', 'task', 'target'),
    [
        ('reach the red cube', 'reach', 'red_cube'),
        ('Please reach for the GREEN cube.', 'reach', 'green_cube'),
        ('push the blue cube', 'push', 'blue_cube'),
        ('Pick up the red cube', 'pick', 'red_cube'),
        ('put the green cube on the white plate', 'place', 'green_cube'),
        ('place the blue cube onto the plate', 'place', 'blue_cube'),
        ('drive to the red pillar', 'drive', 'red_pillar'),
        ('fold the towel', 'free', ''),
        ('pick up the cube', 'free', ''),
    ],
)
def test_task_and_object_are_found(instruction, task, target):
    assert parse_instruction(instruction) == Goal(task=task, target=target)


@pytest.mark.parametrize('task', TASKS)
@pytest.mark.parametrize('color', ['red', 'green', 'blue'])
def test_what_we_write_we_can_read(task, color):
    kind = 'pillar' if task == 'drive' else 'cube'
    expected = Goal(task=task, target=f'{color}_{kind}')
    assert parse_instruction(instruction_for(task, color)) == expected


@pytest.mark.parametrize('name', robot_names())
def test_the_default_instruction_fits_the_body(name):
    robot = load_embodiment(name)
    task = parse_instruction(default_instruction(robot)).task
    assert (task == 'drive') == (robot.kind == 'base')


def test_unknown_tasks_are_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="unknown task 'dance'; choose one of reach"):
        instruction_for('dance', 'red')
