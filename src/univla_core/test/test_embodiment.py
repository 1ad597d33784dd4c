"""Every robot of `config/robots` loads and is consistent; a wrong YAML is refused."""

import copy

import numpy as np
import pytest
import yaml
from univla_core.embodiment import AxisLimits
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


def test_scaled_limits_keep_the_middle():
    """90 % of [−1, 3] is 1 ± 1.8; unbounded axes stay unbounded."""
    ones = np.ones(2)
    limits = AxisLimits(
        lower=np.array([-1.0, -np.inf]),
        upper=np.array([3.0, np.inf]),
        velocity=2 * ones,
        acceleration=ones,
        jerk=ones,
    ).scaled(0.9)
    assert limits.lower == pytest.approx([-0.8, -np.inf])
    assert limits.upper == pytest.approx([2.8, np.inf])
    assert limits.velocity == pytest.approx([1.8, 1.8])


def test_the_operating_set_of_the_fr3_wins_where_it_is_tighter():
    """Joint 2: operating ±1.5133 against 0.9 · 1.7837 = 1.6053; velocity 1.0 against 2.358."""
    limits = load_embodiment('franka').limits
    assert limits.upper[1] == pytest.approx(1.5133)
    assert limits.velocity[1] == pytest.approx(1.0)


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
