"""What varies, varies by the seed alone, inside its bounds, and leaves no trace."""

from dataclasses import fields
from dataclasses import replace

import mujoco
import numpy as np
import pytest
from univla_core.embodiment import load_embodiment
from univla_core.embodiment import robot_names
from univla_core.errors import ConfigError
from univla_sim.gl import choose_platform
from univla_sim.ground_truth import SEGMENTS
from univla_sim.scene import CLUTTER
from univla_sim.scene import DISTRACTORS
from univla_sim.shifts import HELD_OUT_WORDINGS
from univla_sim.shifts import SHIFTS
from univla_sim.shifts import shifted
from univla_sim.tasks import TASKS
from univla_sim.tasks import instruction_for
from univla_sim.tasks import parse_instruction
from univla_sim.variation import Variation
from univla_sim.world import World

ROBOTS = robot_names()
ARMS = tuple(name for name in ROBOTS if load_embodiment(name).kind == 'arm')
EVERYTHING = replace(
    Variation.training(),
    object_size=(0.1, 0.2),
    object_mass=(0.1, 0.2),
    object_friction=(0.1, 0.2),
    servo_stiffness=(0.1, 0.2),
    surface_colors=((0.1, 0.2, 0.3),),
    checker=True,
    texture=(0.3, 0.5),
    distractors=2,
    clutter=3,
)


def arrays(model):
    """Every array of a model by name, and its lights."""
    names = [name for name in dir(model) if not name.startswith('_')]
    found = {name: getattr(model, name) for name in names}
    found = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
    headlight = model.vis.headlight
    return {**found, 'ambient': headlight.ambient, 'diffuse': headlight.diffuse}


def snapshot(world):
    return {name: value.copy() for name, value in arrays(world.model).items()}


def differing(first, second):
    return {name for name in first if not np.array_equal(first[name], second[name])}


@pytest.mark.parametrize('name', ROBOTS)
def test_a_plain_reset_takes_every_change_back(name):
    world = World(load_embodiment(name), seed=3)
    model, state = snapshot(world), world.data.qpos.copy()
    world.reset(3, EVERYTHING)
    changed = differing(model, snapshot(world))
    assert changed > {'geom_rgba', 'geom_size', 'cam_pos', 'body_mass', 'tex_data'}
    world.reset(3)
    assert not differing(model, snapshot(world))
    assert np.array_equal(world.data.qpos, state)


@pytest.mark.parametrize('name', ROBOTS)
def test_the_same_seed_gives_the_same_varied_world(name):
    first, second = World(load_embodiment(name)), World(load_embodiment(name), seed=9)
    second.reset(8, EVERYTHING)
    for world in (first, second):
        world.reset(7, EVERYTHING)
        world.step(0.1)
    assert not differing(snapshot(first), snapshot(second))
    assert np.array_equal(first.data.qpos, second.data.qpos)
    first.reset(8, EVERYTHING)
    assert differing(snapshot(first), snapshot(second))


@pytest.mark.parametrize('name', ROBOTS)
def test_a_variation_leaves_the_objects_where_the_seed_puts_them(name):
    world = World(load_embodiment(name), seed=5)
    plain = world.objects()
    world.reset(5, Variation.training())
    for key, place in world.objects().items():
        assert place == pytest.approx(plain[key], abs=1e-12)


@pytest.mark.parametrize('name', ARMS)
def test_a_varied_arm_starts_pointing_down_around_ready(name):
    robot = load_embodiment(name)
    world = World(robot)
    ready = robot.chain.forward(robot.postures['ready'])
    approach = np.asarray(robot.document['simulation']['approach'], dtype=float)
    places = []
    for seed in range(6):
        world.reset(seed, Variation.training())
        hand = world.ee_pose
        assert hand[:3, :3] @ approach == pytest.approx([0, 0, -1], abs=0.02)
        assert np.linalg.norm((hand - ready)[:2, 3]) <= 0.051
        assert abs((hand - ready)[2, 3]) <= 0.031
        assert (robot.limits.lower <= world.joint_positions).all()
        assert (world.joint_positions <= robot.limits.upper).all()
        places.append(hand[:3, 3])
    assert np.ptp(places, axis=0).max() > 0.02
    world.reset(0, Variation.none())
    assert world.ee_pose == pytest.approx(ready, abs=5e-3)
    world.reset(0, posture='ready')
    assert world.joint_positions == pytest.approx(robot.postures['ready'])


@pytest.mark.parametrize('name', ARMS)
def test_ready_is_above_the_middle_of_the_workspace(name):
    robot = load_embodiment(name)
    workspace = robot.document['simulation']['workspace']
    x, y, z = robot.chain.forward(robot.postures['ready'])[:3, 3]
    assert (x, y) == pytest.approx((np.mean(workspace['x']), np.mean(workspace['y'])), abs=0.02)
    low, high = robot.document['simulation']['reach']['z']
    assert low <= z <= high


def test_red_stays_red():
    """8 percent of a channel never makes another channel the largest."""
    world = World(load_embodiment('widowx'))
    for seed in range(20):
        world.reset(seed, Variation.training())
        for index, color in enumerate(('red', 'green', 'blue')):
            rgb = world.model.geom(f'{color}_cube').rgba[:3]
            assert rgb[index] > 2.0 * np.delete(rgb, index).max()


def test_a_base_starts_where_it_was_put_and_counts_from_there():
    world = World(load_embodiment('mobile_base'))
    world.reset(4, Variation(start_shift_m=(0.1, 0.1), start_turn_rad=(1.0, 1.0)))
    x, y, heading = world.base_pose
    assert np.hypot(x, y) == pytest.approx(0.1)
    assert abs(heading) == pytest.approx(1.0)
    assert world.odometry.x == world.odometry.y == 0.0


@pytest.mark.parametrize('name', ROBOTS)
@pytest.mark.parametrize('shift', SHIFTS)
def test_every_shift_can_be_simulated(name, shift):
    world = World(load_embodiment(name), render_backend='ray')
    for seed in range(2):
        world.reset(seed, shifted(shift, seed).variation)
        world.step(0.02)
        assert np.isfinite(world.data.qpos).all()


def test_shifts_lie_outside_of_the_training_ranges():
    """Each span that a shift changes begins above the end of training's."""
    training = Variation.training()
    for shift in SHIFTS:
        variation = shifted(shift, 0).variation
        for field in fields(Variation):
            trained, held_out = getattr(training, field.name), getattr(variation, field.name)
            if trained == held_out or field.name == 'object_yaw_rad':
                continue
            if isinstance(trained, tuple) and trained and isinstance(held_out[0], float):
                assert held_out[0] > trained[1], (shift, field.name)
    changed = [shifted(shift, 0).variation != training for shift in SHIFTS]
    assert changed == [shift != 'language' for shift in SHIFTS]
    # The layout draws yaws within 0.25 by itself.
    assert shifted('semantic', 0).variation.object_yaw_rad[0] > 0.25


def test_randomized_looks_keep_clear_of_the_held_out_ones():
    seen, held_out = Variation.domain_randomized(), shifted('visual', 0).variation
    for span in ('camera_shift_m', 'camera_turn_rad', 'light_shift_m', 'light_strength'):
        assert getattr(seen, span)[1] <= getattr(held_out, span)[0], span
    offs = np.subtract(np.array(seen.surface_colors)[:, None], held_out.surface_colors)
    assert np.linalg.norm(offs, axis=-1).min() > 0.1
    assert not seen.checker
    assert not seen.distractors


@pytest.mark.parametrize('task', TASKS)
def test_held_out_wordings_mean_the_same(task):
    shift = shifted('language', 0)
    trained = instruction_for(task, 'green')
    said = {shifted('language', seed).rewrite(trained) for seed in range(30)}
    assert len(said) == len(HELD_OUT_WORDINGS[task])
    assert all(parse_instruction(words) == parse_instruction(trained) for words in said)
    assert trained not in said
    assert shift.rewrite('fold the towel') == 'fold the towel'


def test_other_axes_leave_the_words_alone():
    assert shifted('visual', 3).rewrite('push the red cube') == 'push the red cube'
    with pytest.raises(ConfigError, match='choose one of visual, motion'):
        shifted('taste', 0)


def test_heavier_slippery_cubes_are_heavier_and_slippery():
    world = World(load_embodiment('widowx'))
    body, geom = world.model.body('red_cube').id, world.model.geom('red_cube').id
    mass, friction = world.model.body_mass[body], world.model.geom_friction[geom, 0]
    half = world.model.geom_size[geom, 2]
    world.reset(1, shifted('physical', 1).variation)
    for before, after in (
        (mass, world.model.body_mass[body]),
        (friction, world.model.geom_friction[geom, 0]),
        (half, world.model.geom_size[geom, 2]),
    ):
        assert 0.1 <= abs(after / before - 1.0) <= 0.25
    # It stands on the table with its new size, and stays there.
    assert world.objects()['red_cube'][2, 3] == pytest.approx(world.model.geom_size[geom, 2])
    world.step(0.2)
    assert world.objects()['red_cube'][2, 3] == pytest.approx(
        world.model.geom_size[geom, 2], abs=5e-4
    )


@pytest.mark.skipif(not choose_platform()[0], reason='no OpenGL library here')
def test_light_colour_and_texture_show_in_the_picture():
    world = World(load_embodiment('widowx'), seed=2, render_backend='gl')
    plain = world.render(size=(160, 120)).astype(int)
    for variation in (
        Variation(light_strength=(0.3, 0.3)),
        Variation(surface_colors=((0.2, 0.3, 0.3),)),
        Variation(checker=True),
        Variation(texture=(0.5, 0.5)),
        Variation(camera_shift_m=(0.05, 0.05)),
        Variation(distractors=2),
    ):
        world.reset(2, variation)
        assert np.abs(world.render(size=(160, 120)).astype(int) - plain).max() > 30, variation
    world.reset(2)
    assert np.abs(world.render(size=(160, 120)).astype(int) - plain).max() <= 2


@pytest.mark.skipif(not choose_platform()[0], reason='no OpenGL library here')
def test_every_texture_shows_though_the_renderer_is_there_already():
    world = World(load_embodiment('widowx'), seed=2, render_backend='gl')
    pictures = []
    for seed in (2, 3, 2):
        world.reset(seed, Variation.training())
        world.redress(Variation(texture=(0.6, 0.6)), seed)
        pictures.append(world.render('overview', (160, 120)).astype(int))
        world.reset(seed)
    first, other, again = pictures
    assert np.abs(first - other).max() > 30
    assert np.abs(first - again).max() <= 2


@pytest.mark.parametrize('name', ROBOTS)
def test_another_look_moves_nothing(name):
    world = World(load_embodiment(name), seed=5)
    world.reset(5, EVERYTHING)
    before, state = snapshot(world), world.data.qpos.copy()
    world.redress(Variation.domain_randomized(), 8)
    looks = {'geom_rgba', 'geom_matid', 'tex_data', 'light_pos', 'light_diffuse'}
    changed = differing(before, snapshot(world))
    assert 'tex_data' in changed
    assert changed <= looks | {'ambient', 'diffuse'}
    assert np.array_equal(world.data.qpos, state)
    dressed = snapshot(world)
    world.redress(Variation.domain_randomized(), 9)
    world.redress(Variation.domain_randomized(), 8)
    assert not differing(dressed, snapshot(world))
    world.reset(5)
    assert not differing(snapshot(World(load_embodiment(name), seed=5)), snapshot(world))


def test_distractors_touch_nothing():
    world = World(load_embodiment('widowx'))
    world.reset(0, Variation(distractors=2))
    geom = world.model.geom('yellow_can').id
    assert world.model.geom_contype[geom] == world.model.geom_conaffinity[geom] == 0
    assert 'yellow_can' not in world.objects()
    before = world.data.mocap_pos.copy()
    world.reset(0)
    assert (before != world.data.mocap_pos).any()
    assert mujoco.mj_name2id(world.model, mujoco.mjtObj.mjOBJ_BODY, 'purple_ball') > 0


@pytest.mark.parametrize('backend', ['ray', 'gl'])
def test_clutter_is_seen_touches_nothing_and_goes_away(backend):
    if backend == 'gl' and not choose_platform()[0]:
        pytest.skip('no OpenGL library here')
    world = World(load_embodiment('widowx'), render_backend=backend)
    seen = set()
    for seed in range(12):
        world.reset(seed)
        plain = world.render(size=(160, 120)).astype(int)
        world.redress(Variation(clutter=3), seed)
        shown = {name for name in CLUTTER if world.model.geom(name).rgba[3] == 1.0}
        assert len(shown) <= 3
        seen |= shown
        numbers = world.render_segmentation(width=160, height=120)
        strange = numbers == SEGMENTS.index('distractor')
        differs = np.abs(world.render(size=(160, 120)).astype(int) - plain).max(axis=-1) > 20
        assert not differs[~strange].sum() > 20, 'nothing else changed but edges'
        assert not strange.any() or shown
    assert seen == set(CLUTTER)
    geoms = [world.model.geom(name).id for name in CLUTTER]
    assert not world.model.geom_contype[geoms].any()
    assert not set(CLUTTER) & set(DISTRACTORS)
    world.reset(0)
    assert not any(world.model.geom_rgba[geoms, 3])


def test_a_robot_without_a_reach_is_told_what_it_lacks():
    robot = load_embodiment('widowx')
    simulation = {k: v for k, v in robot.document['simulation'].items() if k != 'reach'}
    bare = replace(robot, document={**robot.document, 'simulation': simulation})
    world = World(bare)
    with pytest.raises(ConfigError, match="need the key 'reach' of simulation"):
        world.reset(0, Variation.training())
    with pytest.raises(ConfigError, match="no posture 'bow'; its YAML names home, ready"):
        world.reset(0, posture='bow')
