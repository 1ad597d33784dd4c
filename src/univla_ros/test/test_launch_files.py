"""Launch files are thin skins: they say what the graph says.

What needs `launch` and `launch_ros` is skipped where these are not installed.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError
from univla_ros.graph import build_graph
from univla_ros.graph import build_together
from univla_ros.launch_arguments import launch_arguments
from univla_ros.launch_arguments import together_arguments
from univla_ros.supervisor import node_command
from univla_ros.with_parent import command_prefix

FOLDER = Path(__file__).resolve().parents[3] / 'launch'
FILES = sorted(FOLDER.glob('*.launch.py'))
TOGETHER = 'together'
# Text that a careless way through YAML would turn into a number, a truth, a mapping or nothing.
INSTRUCTIONS = ['', '12', 'yes', 'put: the "cup" on \'it\'', 'hebe die Tasse — größer ' * 8]


def robot_of(path: Path) -> str:
    return path.name.removesuffix('.launch.py')


def build(robot: str, given: dict[str, str]) -> tuple:
    return build_together(given) if robot == TOGETHER else build_graph(robot, given)


def told(words: list[str]) -> dict[str, Any]:
    """What the words after the executable tell a node, whatever their order and spelling.

    Parameters are merged as rcl does it: later ones win, but a section under the node's own name
    beats any `/**`.
    """
    remappings, files, own, levels, rest = [], {}, {}, [], []
    queue = [word for word in words if word != '--ros-args']
    while queue:
        word = queue.pop(0)
        if word == '-r':
            remappings.append(queue.pop(0))
        elif word == '--log-level':
            levels.append(queue.pop(0))
        elif word == '-p':
            name, _, value = queue.pop(0).partition(':=')
            files[name] = yaml.safe_load(value)
        elif word == '--params-file':
            for key, section in yaml.safe_load(Path(queue.pop(0)).read_text()).items():
                (files if key == '/**' else own).update(section['ros__parameters'])
        else:
            rest.append(word)
    return {
        'names': sorted(remappings),
        'parameters': {**files, **own},
        'levels': levels,
        'rest': rest,
    }


@pytest.mark.parametrize('path', FILES, ids=robot_of)
def test_a_launch_file_is_one_function_and_names_its_robot(path):
    tree = ast.parse(path.read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert [function.name for function in functions] == ['generate_launch_description']
    (result,) = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)]
    words = [ast.literal_eval(argument) for argument in result.args]
    if robot_of(path) == TOGETHER:
        assert (result.func.id, words) == ('together_launch', [])
    else:
        assert (result.func.id, words) == ('robot_launch', [robot_of(path)])
    assert f'ros2 launch univla_ros {path.name}' in ast.get_docstring(tree)


def test_every_robot_has_a_launch_file_and_every_launch_file_a_robot():
    assert {robot_of(path) for path in FILES} == {*robot_names(), TOGETHER}


def install(prefix: Path, *executables: tuple[str, str]) -> None:
    """Put packages with these executables on an ament index of their own."""
    for package, executable in executables:
        for folder in ('share/ament_index/resource_index/packages', f'lib/{package}'):
            (prefix / folder).mkdir(parents=True, exist_ok=True)
        (prefix / 'share/ament_index/resource_index/packages' / package).touch()
        (prefix / 'lib' / package / executable).touch()


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """An install space with every node of the suite and RViz."""
    folder = tmp_path / 'install'
    nodes = build_graph('widowx', {'sim': 'true', 'rviz': 'true'})
    install(folder, *((node.package, node.executable) for node in nodes))
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(folder))
    return folder


@pytest.fixture
def description(request, prefix):
    """The launch description of one file, made by launch itself."""
    pytest.importorskip('launch_ros')
    path = FOLDER / f'{request.param}.launch.py'
    spec = importlib.util.spec_from_file_location(re.sub(r'\W', '_', path.name), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return request.param, module.generate_launch_description()


EVERY_FILE = pytest.mark.parametrize('description', [*map(robot_of, FILES)], indirect=True)


def actions(description: Any, given: dict[str, str]) -> list[Any]:
    """What launch would run, with these words on its command line."""
    from launch import LaunchContext

    context = LaunchContext(argv=[])
    context.launch_configurations.update(given)
    results = []
    for entity in description.entities:
        results += entity.visit(context) or []
    return results


def words_of(node: Any) -> list[str]:
    """Command line of a node action as launch would start it, without the executable."""
    from launch import LaunchContext
    from launch.utilities import perform_substitutions

    context = LaunchContext(argv=[])
    node._perform_substitutions(context)  # what execute() does before it starts the process
    name = node.node_name.rsplit('/', 1)[1]
    names = {'name': f'__node:={name}', 'ns': f'__ns:={node.expanded_node_namespace}'}
    context.extend_locals({'ros_specific_arguments': names})
    return [perform_substitutions(context, word) for word in node.cmd[1:]]


@EVERY_FILE
def test_launch_shows_the_arguments_of_the_graph(description):
    robot, launch_description = description
    declared = launch_description.get_launch_arguments()
    expected = together_arguments() if robot == TOGETHER else launch_arguments(robot)
    assert [argument.name for argument in declared] == [argument.name for argument in expected]
    for argument, ours in zip(declared, expected, strict=True):
        assert ''.join(part.text for part in argument.default_value) == ours.default
        assert argument.description.startswith(ours.description)
        assert tuple(argument.choices or ()) == ours.choices


@EVERY_FILE
@pytest.mark.parametrize(
    'given',
    [
        {},
        {'sim': 'true', 'monitor': 'false', 'use_sim_time': 'true', 'log_level': 'debug'},
        *({'instruction': text} for text in INSTRUCTIONS),
    ],
)
def test_launch_tells_each_node_what_the_supervisor_tells_it(description, given, tmp_path):
    robot, launch_description = description
    mine = tmp_path / 'mine.yaml'
    mine.write_text(yaml.safe_dump({'/**': {'ros__parameters': {'allow_untrained': True}}}))
    given = {**given, 'params_file': str(mine)}
    nodes = actions(launch_description, given)
    expected = build(robot, given)
    assert len(nodes) == len(expected)
    for node, ours in zip(nodes, expected, strict=True):
        assert (node.node_package, node.node_executable) == (ours.package, ours.executable)
        launched = told(words_of(node))
        assert launched == told(node_command(ours, tmp_path)[3:])
        assert launched['parameters']['allow_untrained'] is True, 'params_file must win'
        assert node.node_name == ours.name


@EVERY_FILE
def test_launch_runs_suite_nodes_as_lifecycle_nodes_and_rviz_as_a_plain_one(description):
    from launch_ros.actions import LifecycleNode

    robot, launch_description = description
    nodes = actions(launch_description, {'rviz': 'true'})
    for node, ours in zip(nodes, build(robot, {'rviz': 'true'}), strict=True):
        assert isinstance(node, LifecycleNode) == (ours.package == 'univla_ros')
        if ours.package == 'rviz2':
            assert told(words_of(node))['rest'] == list(ours.arguments)


@pytest.mark.parametrize('description', ['widowx'], indirect=True)
@pytest.mark.parametrize('given', [{'sim': 'maybe'}, {'policy': 'nope'}, {'seed': 'x'}])
def test_launch_refuses_a_value_and_names_it(description, given):
    ((name, value),) = given.items()
    with pytest.raises(Exception, match=f'(?s){name}.*{value}') as error:
        actions(description[1], given)
    assert 'Traceback' not in str(error.value)


@pytest.mark.parametrize('description', ['widowx'], indirect=True)
@pytest.mark.parametrize(
    'lost, given', [('rviz2/rviz2', {'rviz': 'true'}), ('univla_ros/controller_node', {})]
)
def test_launch_starts_nothing_when_one_node_is_not_installed(description, prefix, lost, given):
    """Launch itself would find the gap midway and leave the nodes before it running."""
    (prefix / 'lib' / lost).unlink()
    with pytest.raises(ConfigError, match=f'{prefix} has no {lost.split("/")[1]}.*build it again'):
        actions(description[1], given)
    (prefix / 'share/ament_index/resource_index/packages' / lost.split('/')[0]).unlink()
    with pytest.raises(ConfigError, match=f'{lost.split("/")[0]} is not installed'):
        actions(description[1], given)


@pytest.mark.parametrize('description', ['widowx'], indirect=True)
def test_nodes_end_with_launch_and_its_own_prefix_still_works(description):
    wanted = {'launch-prefix': 'gdb --args', 'launch-prefix-filter': 'policy'}
    for node in actions(description[1], wanted):
        text = ''.join(part.text for part in node.process_description.prefix)
        words = shlex.split(text)
        own = command_prefix()
        assert words[: len(own)] == own
        debugged = node.node_executable == 'policy_node'
        assert words[len(own) :] == (['gdb', '--args'] if debugged else [])


@pytest.mark.parametrize('description', ['widowx'], indirect=True)
def test_launch_warns_of_a_misspelt_argument(description):
    """`ros2 launch` passes unknown arguments over in silence."""
    from launch.actions import LogInfo

    spelt = {'checkpiont': 'trained', 'use_sim_tme': 'true', 'my_driver_port': '/dev/ttyUSB0'}
    warnings = [a for a in actions(description[1], spelt) if isinstance(a, LogInfo)]
    texts = [''.join(part.text for part in warning.msg) for warning in warnings]
    assert len(texts) == 2
    assert 'checkpiont' in texts[0] and 'did you mean checkpoint' in texts[0]
    assert 'use_sim_tme' in texts[1] and 'did you mean use_sim_time' in texts[1]
