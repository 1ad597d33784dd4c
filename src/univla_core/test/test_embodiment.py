"""Every robot of `config/robots` loads and is consistent; a wrong YAML is refused."""

import copy

import numpy as np
import pytest
import yaml
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError

ROBOTS = robot_names()
ARMS = tuple(name for name in ROBOTS if load_embodiment(name).kind == 'arm')


def test_the_five_bodies_are_there():
    assert set(ROBOTS) >= {'widowx', 'franka', 'panda', 'airbot', 'mobile_base'}


@pytest.mark.parametrize('name', ROBOTS)
def test_a_robot_is_named_like_its_file(name):
    assert load_embodiment(name).name == name


@pytest.mark.parametrize('name', ROBOTS)
def test_the_suite_stays_inside_the_makers_limits(name):
    robot = load_embodiment(name)
    limits, maker = robot.limits, robot.maker_limits
    assert (limits.lower >= maker.lower).all()
    assert (limits.upper <= maker.upper).all()
    for quantity in ('velocity', 'acceleration', 'jerk'):
        used, allowed = getattr(limits, quantity), getattr(maker, quantity)
        assert used.shape == (robot.axis_count,)
        assert ((used > 0) & (used <= allowed)).all()


@pytest.mark.parametrize('name', ARMS)
def test_the_workspace_holds_the_postures_and_the_objects_of_the_simulation(name):
    robot = load_embodiment(name)
    lower, upper = robot.cartesian.workspace_lower, robot.cartesian.workspace_upper
    objects = robot.document['simulation']['workspace']
    for point in [robot.chain.forward(joints)[:3, 3] for joints in robot.postures.values()] + [
        np.array([x, y, 0.02]) for x in objects['x'] for y in objects['y']
    ]:
        assert ((point > lower) & (point < upper)).all()


@pytest.mark.parametrize('name', ARMS)
def test_the_end_effector_keeps_to_what_the_maker_allows(name):
    used, most = load_embodiment(name).cartesian, load_embodiment(name).maker_cartesian
    assert 0.0 < used.ee_speed <= most.ee_speed
    assert 0.0 < used.ee_rotation <= most.ee_rotation


def test_a_base_has_no_end_effector_to_limit():
    assert load_embodiment('mobile_base').cartesian is None


@pytest.mark.parametrize('name', [n for n in ROBOTS if n not in ARMS])
def test_a_base_stands_soon_after_it_was_told_to(name):
    """From full speed, speeding up as hard as it may: V / A + 2 A / J, see the YAML.

    0.38 s, so that a fault that takes 0.1 s to be noticed ends in standstill within 0.5 s.
    """
    limits = load_embodiment(name).limits
    stop = limits.velocity / limits.acceleration + 2.0 * limits.acceleration / limits.jerk
    assert (limits.acceleration**2 <= limits.jerk * limits.velocity).all()  # A is reached
    assert (stop <= 0.38).all(), f'{stop} s'
    assert load_embodiment(name).driver['command_timeout_s'] <= 0.25


@pytest.mark.parametrize('name', ARMS)
def test_home_is_inside_the_limits(name):
    robot = load_embodiment(name)
    assert (robot.home > robot.limits.lower).all()
    assert (robot.home < robot.limits.upper).all()


@pytest.mark.parametrize('name', ARMS)
def test_kinematics_has_one_joint_per_axis_and_ends_at_the_ee_frame(name):
    robot = load_embodiment(name)
    assert robot.chain.joint_count == robot.axis_count == len(robot.link_names)
    assert robot.document['tool'][-1]['link'] == robot.ee_frame


@pytest.mark.parametrize('name', ROBOTS)
def test_geometry_and_masses_name_existing_links(name):
    robot = load_embodiment(name)
    document = robot.document
    fingers = [finger['name'] for finger in robot.gripper.fingers] if robot.gripper else []
    tool = [frame['link'] for frame in document.get('tool', [])]
    known = {robot.base_frame, *robot.link_names, *tool, *fingers}
    assert {shape['link'] for shape in document['geometry']} <= known
    assert set(document['masses']) <= known
    assert all(mass > 0.0 for mass in document['masses'].values())


@pytest.mark.parametrize('name', ROBOTS)
def test_every_action_space_has_a_name_for_every_dimension(name):
    robot = load_embodiment(name)
    for space in robot.action_spaces:
        names = robot.action_names(space)
        assert len(set(names)) == len(names)
        cartesian = space.startswith('eef')
        expected = 6 if cartesian else robot.axis_count
        assert len(names) == expected + (robot.gripper is not None)


def test_an_action_space_of_another_body_is_refused():
    with pytest.raises(ConfigError, match='takes base_twist, not'):
        load_embodiment('mobile_base').action_names('eef_delta')


@pytest.mark.parametrize('name', ARMS)
def test_gripper_opening_and_finger_position_undo_each_other(name):
    gripper = load_embodiment(name).gripper
    for opening in (0.0, 0.25, 1.0):
        state = gripper.state_scale * gripper.finger_position(opening)
        assert gripper.opening(state) == pytest.approx(opening)
    assert gripper.opening(99.0) == 1.0
    assert gripper.finger_position(-1.0) == pytest.approx(gripper.closed)


def test_gripper_numbers_by_hand():
    """WidowX: 15 to 37 mm at 1 m/s is 45.45 openings a second; AIRBOT tells both fingers' sum."""
    assert load_embodiment('widowx').gripper.opening_rate == pytest.approx(1 / 0.022)
    assert load_embodiment('airbot').gripper.opening(0.036) == pytest.approx(0.5)


def test_an_unknown_robot_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown robot 'pr2'; known are .*widowx"):
        load_embodiment('pr2')


@pytest.fixture
def broken(tmp_path):
    """Write the WidowX's YAML after a change, and return its path."""
    document = copy.deepcopy(dict(load_embodiment('widowx').document))

    def write(change):
        change(document)
        path = tmp_path / 'broken.yaml'
        path.write_text(yaml.safe_dump(document))
        return path

    return write


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (lambda d: d.pop('ee_frame'), "'ee_frame' is missing"),
        (lambda d: d['joints'][2].pop('velocity'), 'elbow lacks velocity'),
        (lambda d: d['joints'][0].update(velocity=0.0), 'must be a positive number'),
        (lambda d: d['joints'][0].update(lower=4.0), 'not below its upper'),
        (lambda d: d['joints'][0].update(velocity_bound={}), 'at every joint, or at none'),
        (lambda d: d.pop('safety'), "'safety' is missing"),
        (lambda d: d['safety'].update(ee_speed=0.0), 'must be positive'),
        (lambda d: d['safety'].update(maker={'ee_rotation': 0.1}), r'not above .*0\.1 rad/s'),
        (lambda d: d['safety']['workspace'].update(y=[1, -1]), 'is not \\[low, high'),
        (lambda d: d['safety'].update(clearance=-0.1), 'must not be negative'),
        (lambda d: d['postures'].update(home=[0.0, 0.0]), 'home must list 6 angles'),
    ],
)
def test_a_wrong_yaml_is_refused_with_file_and_reason(broken, change, reason):
    path = broken(change)
    with pytest.raises(ConfigError, match=reason) as caught:
        load_embodiment(path)
    assert 'broken.yaml' in str(caught.value)


def test_an_action_space_nobody_knows_is_refused(broken):
    path = broken(lambda document: document.update(action_spaces=['telepathy']))
    with pytest.raises(ConfigError, match='telepathy'):
        load_embodiment(path)
