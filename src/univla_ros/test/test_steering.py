"""The bench's own person: moves an arm from wherever the policy left it."""

from __future__ import annotations

import numpy as np
import pytest
from univla_control.command import Mode
from univla_control.config import ControlConfig
from univla_control.controller import ChunkController
from univla_control.teleop import TwistAsk
from univla_core.embodiment import load_embodiment
from univla_ros.bench.person import Person
from univla_ros.bench.steering import FASTEST
from univla_ros.bench.steering import WAYS
from univla_ros.bench.steering import Steering
from univla_ros.bench.steering import Way
from univla_ros.bench.timing import Said
from univla_ros.command_recorder import CommandRecorder
from univla_ros.teleop.joy_mapping import JoyReader
from univla_ros.teleop.joy_mapping import load_joy_mapping
from univla_sim.collision import CollisionGeometry

RATE_HZ = 50.0


class Robot:
    """What a person sees of a robot: who commands, and how fast it moves."""

    def __init__(self, name, source='teleop', speed=0.0):
        self.embodiment = load_embodiment(name)
        self.said = Said(time=0.0, source=source)
        self.measured = CommandRecorder([0.0], [self.embodiment.home])
        self._speed = speed

    def speed(self):
        return self._speed


def ways(steering, seconds, follows):
    """Where it pushes, each way once, over so many seconds of steps."""
    times = np.arange(0.0, seconds, 1.0 / RATE_HZ)
    told = [steering.way(time, follows(time)) for time in times]
    return [b for a, b in zip([None, *told], told, strict=False) if a != b]


def test_a_robot_that_follows_goes_to_and_fro():
    """There for a second, back for a second."""
    there, back = Way('home', 1.0), Way('home', -1.0)
    assert ways(Steering(), 3.9, lambda time: True) == [there, back, there, back]


def test_a_robot_that_is_stuck_is_pushed_every_way_in_turn():
    """0.4 s each, and after the last the first again."""
    told = ways(Steering(('z', 'x')), 2.2, lambda time: False)
    assert told == [
        Way('z', 1.0),
        Way('z', -1.0),
        Way('x', 1.0),
        Way('x', -1.0),
        Way('z', 1.0),
        Way('z', -1.0),
    ]
    told = ways(Steering(), 10.0, lambda time: False)
    assert {way.name for way in told} == set(WAYS)


def test_turning_round_takes_a_moment_without_another_way_being_tried():
    """An arm that turns round stands still for an instant."""
    told = ways(Steering(), 3.9, lambda time: time % 1.0 > 0.3)
    assert {way.name for way in told} == {'home'}


def test_a_robot_that_somebody_else_moves_is_not_stuck():
    """Nothing is known of a way before the person is in control."""
    for source, expected in ('policy', 1.0), ('teleop', -1.0):
        times = iter([0.0, 0.5])
        person = Person(Robot('franka', source), lambda times=times: next(times))
        assert person.twist().twist.linear.z > 0.0
        assert np.sign(person.twist().twist.linear.z) == expected


@pytest.mark.parametrize('name', ['widowx', 'franka', 'airbot'])
def test_an_arm_is_led_home_by_twist_and_by_gamepad(name):
    """Both say the same, and the gamepad nothing before its button is held."""
    robot = Robot(name, speed=1.0)
    home = robot.embodiment.home
    robot.measured.values[:] = [home + np.linspace(0.2, 0.4, len(home))]
    person, reader = Person(robot), JoyReader(load_joy_mapping('xbox'), 'arm')
    said = person.twist().twist
    twist = np.array([[v.x, v.y, v.z] for v in (said.linear, said.angular)]).ravel()
    joints = robot.measured.values[0]
    back = robot.embodiment.chain.jacobian(joints) @ (home - joints)
    assert twist == pytest.approx(back * (twist @ back) / (back @ back))
    assert np.abs(twist / FASTEST).max() == pytest.approx(1.0) and twist @ back > 0.0
    assert not read(reader, person).deadman
    person.pressed = True
    found = read(reader, person)
    strong = np.abs(found.twist) > 0.05  # the others lie in the dead band of the sticks
    assert found.deadman and found.events == () and strong.any()
    assert (np.sign(found.twist) == np.sign(twist))[strong].all()


def test_a_base_drives_a_curve():
    """It has room, and no joints."""
    person = Person(Robot('mobile_base', speed=1.0))
    reader = JoyReader(load_joy_mapping('xbox'), 'base')
    assert person.twist().twist.linear.x > 0.0 and person.twist().twist.angular.z > 0.0
    assert not read(reader, person).deadman
    person.pressed = True
    assert read(reader, person).twist[0] > 0.0


def read(reader, person):
    """What the controller would understand of the person's gamepad."""
    msg = person.joy()
    return reader.read(msg.axes, msg.buttons)


# --- real arms --------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['widowx', 'franka', 'airbot'])
def test_an_arm_with_joints_at_their_limits_is_moved_within_seconds(name):
    """From such postures a push up and down alone does not move every arm."""
    embodiment = load_embodiment(name)
    collision = CollisionGeometry(embodiment)
    found = [
        _time_to_move(embodiment, collision, joints)
        for joints in _cornered(embodiment, collision, 4)
    ]
    assert max(found) < 5.0


def _time_to_move(embodiment, collision, joints, patience_s=8.0):
    """When steering first moved the arm at 2 % of a velocity limit [s]."""
    rate = embodiment.control_rate_hz
    controller = ChunkController(embodiment, ControlConfig(control_rate_hz=rate), collision)
    controller.on_joint_state(0.0, joints)
    controller.activate(0.0, Mode.TELEOP)
    steering, speed = Steering(), 0.0
    for tick in range(int(patience_s * rate)):
        time = tick / rate
        controller.on_joint_state(time, joints)
        push = steering.way(time, speed > 0.03).twist(embodiment, joints)
        controller.teleop.on_twist(time, TwistAsk(push))
        command = controller.step(time)
        speed = np.abs((command.positions - joints) * rate / embodiment.limits.velocity).max()
        if speed > 0.02 and time > 0.2:
            return time
        joints = command.positions
    return patience_s


def _cornered(embodiment, collision, count):
    """Postures inside the workspace and clear of collisions, a third of the joints at a limit."""
    random = np.random.default_rng(3)
    limits, space = embodiment.limits, embodiment.cartesian
    postures = []
    while len(postures) < count:
        joints = random.uniform(limits.lower, limits.upper)
        edge = np.where(random.random(len(joints)) < 0.5, limits.lower, limits.upper)
        joints = np.where(random.random(len(joints)) < 0.35, edge, joints)
        place = embodiment.chain.forward(joints)[:3, 3]
        inside = (place > space.workspace_lower).all() and (place < space.workspace_upper).all()
        if inside and collision.nearest(joints[None])[0][0] > space.clearance:
            postures.append(joints)
    return postures
