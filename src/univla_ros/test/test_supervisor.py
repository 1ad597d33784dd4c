"""The supervisor starts real processes, notices their end, and ends them in order."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rclpy
import yaml
from rclpy.node import Node
from univla_core.errors import ConfigError
from univla_ros.graph import NodeDescription
from univla_ros.graph import build_graph
from univla_ros.supervisor import Supervisor
from univla_ros.supervisor import node_command

from univla_ros import with_parent

# A child that says in a file of its folder when it is up and how it was ended.
CHILD = """
import pathlib, signal, sys, time
folder, name, end_s = pathlib.Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
def end(number, frame):
    time.sleep(end_s)
    with (folder / 'ends').open('a') as ends:
        ends.write(f'{name} {signal.Signals(number).name}\\n')
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, signal.SIG_IGN if end_s < 0.0 else end)
print(name, 'is up', flush=True)
(folder / name).write_text('up')
time.sleep(60)
"""
STUBBORN = -1.0


def child(name: str, **changes: object) -> NodeDescription:
    return NodeDescription('univla_ros', name, '/r', **changes)


def running(folder: Path, *names: str, end_s: float = 0.0, **options: object) -> Supervisor:
    """A supervisor of children that take `end_s` to end; simulators end at once."""

    def command(description: NodeDescription, _: Path) -> list[str]:
        name = description.executable
        return [sys.executable, '-c', CHILD, str(folder), name, str(end_s)]

    return Supervisor([child(name) for name in names], command=command, **options)


def wait_for(condition: object, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, 'waited in vain'
        time.sleep(0.01)


def all_up(folder: Path, *names: str) -> None:
    wait_for(lambda: all((folder / name).exists() for name in names))


def statuses(supervisor: Supervisor) -> dict[str, int | None]:
    return {n.description.executable: n.process.poll() for n in supervisor.running}


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be collected does not."""
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != 'Z'


def test_nodes_are_interrupted_and_the_simulation_ends_last(tmp_path):
    """A command said on the way out needs a robot that hears it."""
    with running(tmp_path, 'sim_node', 'controller_node', end_s=0.2) as supervisor:
        all_up(tmp_path, 'sim_node', 'controller_node')
        assert statuses(supervisor) == {'sim_node': None, 'controller_node': None}
    assert statuses(supervisor) == {'sim_node': 0, 'controller_node': 0}
    ends = (tmp_path / 'ends').read_text().splitlines()
    assert ends == ['controller_node SIGINT', 'sim_node SIGINT']


def test_all_nodes_of_a_robot_end_at_the_same_time(tmp_path):
    names = [f'node_{i}' for i in range(4)]
    with running(tmp_path, *names, end_s=1.0):
        all_up(tmp_path, *names)
        begin = time.monotonic()
    assert time.monotonic() - begin < 3.0  # one after the other would take 4 s
    assert len((tmp_path / 'ends').read_text().splitlines()) == 4


def test_a_node_that_does_not_end_is_killed(tmp_path):
    with running(tmp_path, 'stubborn_node', end_s=STUBBORN, patience_s=0.3) as supervisor:
        all_up(tmp_path, 'stubborn_node')
    assert statuses(supervisor) == {'stubborn_node': -signal.SIGKILL}
    assert not (tmp_path / 'ends').exists()


def test_a_killed_node_is_started_anew_and_its_log_goes_on(tmp_path):
    """The others run on; an unknown node is refused by name."""
    folder = tmp_path / 'logs'
    with running(tmp_path, 'sim_node', 'controller_node', log_directory=folder) as supervisor:
        all_up(tmp_path, 'sim_node', 'controller_node')
        first = supervisor.node('controller_node').process
        first.kill()
        wait_for(lambda: first.poll() is not None)
        (tmp_path / 'controller_node').unlink()
        supervisor.restart('controller_node')
        all_up(tmp_path, 'controller_node')
        assert supervisor.node('controller_node').process.pid != first.pid
        assert statuses(supervisor) == {'sim_node': None, 'controller_node': None}
        with pytest.raises(ConfigError, match='there are /r/sim_node, /r/controller_node'):
            supervisor.restart('policy_node')
    log = (folder / 'r_controller_node.log').read_text()
    assert log.count('controller_node is up') == 2


def test_a_stopped_node_is_ended_in_order_all_the_same(tmp_path):
    """SIGSTOP leaves it deaf; it is woken before it is interrupted."""
    with running(tmp_path, 'sim_node') as supervisor:
        all_up(tmp_path, 'sim_node')
        supervisor.node('sim_node').process.send_signal(signal.SIGSTOP)
    assert statuses(supervisor) == {'sim_node': 0}


@pytest.mark.parametrize('code, status', [(3, 3), (0, 1)])
def test_a_node_that_ends_by_itself_ends_the_wait(capsys, code, status):
    """Even in peace: the graph is no longer whole, so that the caller must hear of it."""
    commands = {
        'short_node': f'raise SystemExit({code})',
        'long_node': 'import time; time.sleep(60)',
    }

    def command(description: NodeDescription, _: Path) -> list[str]:
        return [sys.executable, '-c', commands[description.executable]]

    with Supervisor([child(name) for name in commands], command=command) as supervisor:
        assert supervisor.wait() == status
        assert [node.name for node in supervisor.ended()] == ['/r/short_node']
    assert f'/r/short_node ended with status {code}' in capsys.readouterr().err
    assert statuses(supervisor)['long_node'] is not None


def test_each_node_writes_its_own_log(tmp_path):
    logs = tmp_path / 'logs'
    with running(tmp_path, 'a_node', 'b_node', log_directory=logs) as supervisor:
        all_up(tmp_path, 'a_node', 'b_node')
    texts = {node.description.executable: node.log.read_text() for node in supervisor.running}
    assert texts == {'a_node': 'a_node is up\n', 'b_node': 'b_node is up\n'}
    assert {path.name for path in logs.iterdir()} == {'r_a_node.log', 'r_b_node.log'}


def test_nothing_starts_when_one_node_cannot():
    supervisor = Supervisor(build_graph('widowx', {'rviz': 'true'}))
    with pytest.raises(ConfigError, match=r'rviz2 .*install ROS 2'), supervisor:
        pass
    assert supervisor.running == []


def script(tmp_path: Path, *names: str, end_s: float) -> subprocess.Popen:
    """Another process with a supervisor in it, whose children are up."""
    text = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import importlib.util, pathlib
spec = importlib.util.spec_from_file_location('children', {__file__!r})
children = importlib.util.module_from_spec(spec)
spec.loader.exec_module(children)
with children.running(pathlib.Path({str(tmp_path)!r}), *{names!r}, end_s={end_s}) as supervisor:
    print(*(node.process.pid for node in supervisor.running), flush=True)
    supervisor.wait()
"""
    process = subprocess.Popen([sys.executable, '-c', text], stdout=subprocess.PIPE, text=True)
    all_up(tmp_path, *names)
    return process


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='asks the Linux kernel')
def test_nodes_end_in_peace_when_the_supervisor_is_killed_outright(tmp_path):
    """SIGTERM, not SIGKILL: an orphan must still say the safe thing to its robot."""
    supervisor = script(tmp_path, 'sim_node', 'controller_node', end_s=0.1)
    pids = [int(word) for word in supervisor.stdout.readline().split()]
    assert len(pids) == 2 and all(map(alive, pids))
    supervisor.kill()
    assert supervisor.wait() == -signal.SIGKILL
    wait_for(lambda: not any(map(alive, pids)))
    ends = sorted((tmp_path / 'ends').read_text().splitlines())
    assert ends == ['controller_node SIGTERM', 'sim_node SIGTERM']


def test_a_second_interrupt_does_not_cut_the_end_short(tmp_path):
    supervisor = script(tmp_path, 'controller_node', end_s=1.0)
    supervisor.stdout.readline()
    supervisor.send_signal(signal.SIGINT)
    time.sleep(0.4)
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(timeout=20.0) == 0
    assert (tmp_path / 'ends').read_text() == 'controller_node SIGINT\n'


def test_a_command_whose_parent_has_gone_does_not_start():
    """The parent may die between starting the child and the child's word with the kernel."""
    gone = subprocess.Popen([sys.executable, '-c', ''])
    gone.wait()
    late = subprocess.run(
        [sys.executable, with_parent.__file__, str(gone.pid), 'echo', 'started'],
        capture_output=True,
        text=True,
    )
    assert late.returncode == 1
    assert late.stdout == '' and 'has ended' in late.stderr


PARAMETERS = {
    'text': 'put: the "cup" on \'it\'',
    'empty': '',
    'digits': '0012',
    'truth': 'yes',
    'accents': 'größer — 大きい',
    'flag': True,
    'count': 3,
    'rate': 60.0,
    'tiny': 1e-5,
    'names': ['primary', 'wrist'],
}


def read_by_ros(description: NodeDescription, folder: Path) -> dict[str, object]:
    """Parameters as a node gets them that is started with this command line."""
    rclpy.init()
    try:
        words = node_command(description, folder)
        node = Node(
            'any',
            cli_args=words[words.index('--ros-args') :],
            automatically_declare_parameters_from_overrides=True,
        )
        assert node.get_fully_qualified_name() == description.name
        values = {name: p.value for name, p in node.get_parameters_by_prefix('').items()}
        topic = node.resolve_topic_name('joint_states')
        node.destroy_node()
        return {**values, 'topic': topic}
    finally:
        rclpy.try_shutdown()


def test_parameters_and_names_reach_a_node_unchanged(tmp_path):
    description = child(
        'some_node', parameters=PARAMETERS, remappings=(('joint_states', '/wx250s/joint_states'),)
    )
    values = read_by_ros(description, tmp_path)
    assert values.pop('topic') == '/wx250s/joint_states'
    assert {name: values[name] for name in PARAMETERS} == PARAMETERS
    assert all(type(values[name]) is type(PARAMETERS[name]) for name in PARAMETERS)


@pytest.mark.parametrize('section', ['/**', '/r/some_node'])
def test_later_parameter_files_win(tmp_path, section):
    """Ours over the policy's, the user's over ours, however the user names the node."""
    policy, user = tmp_path / 'policy.yaml', tmp_path / 'user.yaml'
    values = {'a': 'policy', 'b': 'policy', 'c': 'policy'}
    policy.write_text(yaml.safe_dump({'/**': {'ros__parameters': values}}))
    user.write_text(yaml.safe_dump({section: {'ros__parameters': {'c': 'user'}}}))
    description = child(
        'some_node',
        parameters={'b': 'ours', 'c': 'ours'},
        parameter_files=(str(policy),),
        override_files=(str(user),),
    )
    read = read_by_ros(description, tmp_path)
    assert (read['a'], read['b'], read['c']) == ('policy', 'ours', 'user')


def test_only_nodes_of_the_suite_have_a_command(tmp_path):
    with pytest.raises(ConfigError, match=r'rviz2 .*ros2 launch'):
        node_command(NodeDescription('rviz2', 'rviz2', '/r'), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_thread_each_unless_asked_otherwise(tmp_path, monkeypatch):
    """Five nodes with a thread per core each would starve the controller."""
    seen = tmp_path / 'threads'
    text = f'import os; open({str(seen)!r}, "w").write(os.environ["OMP_NUM_THREADS"])'
    for asked, expected in ((None, '1'), ('3', '3')):
        monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
        if asked:
            monkeypatch.setenv('OMP_NUM_THREADS', asked)
        with Supervisor([child('n')], command=lambda *_: [sys.executable, '-c', text]) as running_:
            wait_for(running_.ended)
        assert seen.read_text() == expected
