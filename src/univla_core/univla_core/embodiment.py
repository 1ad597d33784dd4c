"""An embodiment: one robot body, its limits, its action spaces and how its driver is reached."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from univla_core.action_space import action_space
from univla_core.errors import ConfigError
from univla_core.kinematics import KinematicChain
from univla_core.limits import AxisLimits
from univla_core.limits import CartesianLimits
from univla_core.limits import VelocityBound
from univla_core.parameters import read_yaml
from univla_core.paths import config_directory

__all__ = [
    'AxisLimits',
    'Camera',
    'CartesianLimits',
    'Embodiment',
    'Gripper',
    'VelocityBound',
    'load_embodiment',
    'robot_names',
]


@dataclass(frozen=True, kw_only=True)
class Gripper:
    """A parallel gripper whose opening is a number in [0, 1], 1 = open.

    Attributes:
        state_joint: Joint in `joint_states` that tells the opening.
        closed: Position of one finger at opening 0 [m].
        open: Position of one finger at opening 1 [m].
        state_scale: Position of `state_joint` over the position of one finger.
        velocity: Largest speed of one finger [m/s].
        effort: Largest force [N].
        fingers: Prismatic finger joints: name, parent link, xyz [m], rpy [rad], axis.
    """

    state_joint: str
    closed: float
    open: float
    velocity: float
    effort: float
    fingers: tuple[Mapping[str, Any], ...]
    state_scale: float = 1.0

    def opening(self, state_position: float) -> float:
        """Opening in [0, 1] for a position of `state_joint` [m]."""
        finger = state_position / self.state_scale
        return float(np.clip((finger - self.closed) / (self.open - self.closed), 0.0, 1.0))

    def finger_position(self, opening: float) -> float:
        """Position of one finger [m] at an opening in [0, 1]."""
        return self.closed + float(np.clip(opening, 0.0, 1.0)) * (self.open - self.closed)

    @property
    def opening_rate(self) -> float:
        """Largest change of the opening [1/s]."""
        return self.velocity / (self.open - self.closed)


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera that the policy may look through; its topic is `camera/<name>/image_raw`."""

    name: str
    width: int
    height: int
    rate_hz: float
    simulation: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Embodiment:
    """One robot body as data: everything the suite knows about it.

    Attributes:
        name: Name of the robot and of its YAML.
        kind: `arm` (axes are joints) or `base` (axes are velocities).
        axis_names: Names of the commanded axes.
        link_names: Link moved by each axis (arms).
        maker_limits: What the maker allows.
        operating_limits: The same, where the file names a tighter operating set.
        limits: What the suite uses: a share of it, or the file's tighter operating set.
        cartesian: What the end effector and the body keep to, None for a base.
        maker_cartesian: The most that `cartesian` may be loosened to, None for a base.
        chain: Kinematics from `base_frame` to `ee_frame`, None for a base.
        gripper: The gripper, None without one.
        postures: Named joint angles [rad].
        driver: Adapter name and its options.
        document: The whole YAML, for geometry and simulation.
    """

    name: str
    description: str
    kind: str
    axis_names: tuple[str, ...]
    link_names: tuple[str, ...]
    maker_limits: AxisLimits
    operating_limits: AxisLimits
    limits: AxisLimits
    cartesian: CartesianLimits | None
    maker_cartesian: CartesianLimits | None
    chain: KinematicChain | None
    gripper: Gripper | None
    base_frame: str
    ee_frame: str
    frame_prefix: str
    postures: Mapping[str, np.ndarray]
    action_spaces: tuple[str, ...]
    cameras: Mapping[str, Camera]
    driver: Mapping[str, Any]
    control_rate_hz: float
    document: Mapping[str, Any]

    @property
    def axis_count(self) -> int:
        """Number of commanded axes, the gripper not counted."""
        return len(self.axis_names)

    @property
    def home(self) -> np.ndarray:
        """Joint angles of the posture `home` [rad]."""
        return self.postures['home']

    def action_names(self, space: str) -> tuple[str, ...]:
        """Axis names of one action in `space`, the gripper last where there is one.

        Raises:
            ConfigError: If this robot does not take that action space.
        """
        if space not in self.action_spaces:
            raise ConfigError(
                f'robot {self.name!r} takes {", ".join(self.action_spaces)}, not {space!r}; '
                'choose a decoder made for one of them'
            )
        names: tuple[str, ...] = self.axis_names
        if action_space(space).cartesian:
            names = ('x', 'y', 'z', 'rx', 'ry', 'rz')
        return names + (('gripper',) if self.gripper else ())


def robot_names() -> tuple[str, ...]:
    """Names of all robots in `config/robots`."""
    return tuple(sorted(path.stem for path in (config_directory() / 'robots').glob('*.yaml')))


def load_embodiment(robot: str | Path) -> Embodiment:
    """Load a robot by name from `config/robots`, or from the path of a YAML.

    Raises:
        ConfigError: If the robot is unknown (the known ones are listed) or its YAML is wrong.
    """
    path = Path(robot)
    if path.suffix != '.yaml':
        path = config_directory() / 'robots' / f'{robot}.yaml'
        if not path.is_file():
            raise ConfigError(
                f'unknown robot {str(robot)!r}; known are {", ".join(robot_names())}'
            )
    return _from_document(read_yaml(path), str(path))


def _from_document(document: dict[str, Any], where: str) -> Embodiment:
    try:
        kind = document['kind']
        axes = document['joints' if kind == 'arm' else 'axes']
        maker = _limits(axes, where)
        share = maker.scaled(float(document['control']['limit_share']))
        operating = _limits([{**axis, **axis.get('operating', {})} for axis in axes], where)
        operating = operating.tightened(maker)
        cartesian, most = _cartesian(document, kind)
        embodiment = Embodiment(
            name=document['name'],
            description=document['description'],
            kind=kind,
            axis_names=tuple(axis['name'] for axis in axes),
            link_names=tuple(axis['link'] for axis in axes if 'link' in axis),
            maker_limits=maker,
            operating_limits=operating,
            limits=operating.tightened(share),
            cartesian=cartesian,
            maker_cartesian=most,
            chain=_chain(document) if kind == 'arm' else None,
            gripper=_gripper(document.get('gripper')),
            base_frame=document['base_frame'],
            ee_frame=document['ee_frame'],
            frame_prefix=document.get('frame_prefix', ''),
            postures={k: np.array(v, dtype=float) for k, v in document['postures'].items()},
            action_spaces=tuple(action_space(name).name for name in document['action_spaces']),
            cameras={k: Camera(name=k, **v) for k, v in document['cameras'].items()},
            driver=document['driver'],
            control_rate_hz=float(document['control']['rate_hz']),
            document=document,
        )
    except KeyError as error:
        raise ConfigError(f'{where}: key {error} is missing; see docs/robots.md') from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f'{where}: {error}; see docs/robots.md') from error
    _check(embodiment, where)
    return embodiment


def _limits(axes: Sequence[Mapping[str, Any]], where: str) -> AxisLimits:
    def column(key: str, default: float | None = None) -> np.ndarray:
        values = [axis.get(key, default) for axis in axes]
        if None in values:
            raise ConfigError(f'{where}: {axes[values.index(None)]["name"]} lacks {key}')
        return np.array(values, dtype=float)

    return AxisLimits(
        lower=column('lower', -np.inf),
        upper=column('upper', np.inf),
        velocity=column('velocity'),
        acceleration=column('acceleration'),
        jerk=column('jerk'),
        velocity_bound=_velocity_bound(axes, where),
    )


def _velocity_bound(axes: Sequence[Mapping[str, Any]], where: str) -> VelocityBound | None:
    entries = [axis['velocity_bound'] for axis in axes if 'velocity_bound' in axis]
    if not entries:
        return None
    if len(entries) != len(axes):
        raise ConfigError(f'{where}: velocity_bound must stand at every joint, or at none')
    return VelocityBound(
        offset=np.array([entry['offset'] for entry in entries], dtype=float),
        gain=np.array([entry['gain'] for entry in entries], dtype=float),
        lower_end=np.array([entry['lower_end'] for entry in entries], dtype=float),
        upper_end=np.array([entry['upper_end'] for entry in entries], dtype=float),
    )


def _cartesian(
    document: Mapping[str, Any], kind: str
) -> tuple[CartesianLimits | None, CartesianLimits | None]:
    """The Cartesian limits in use, and the loosest that they may be set to."""
    if kind != 'arm':
        return None, None
    safety = document['safety']
    box = np.array([safety['workspace'][axis] for axis in 'xyz'], dtype=float)
    used = CartesianLimits(
        ee_speed=float(safety['ee_speed']),
        ee_rotation=float(safety['ee_rotation']),
        workspace_lower=box[:, 0],
        workspace_upper=box[:, 1],
        clearance=float(safety['clearance']),
        floor_z=float(safety.get('floor_z', 0.0)),
    )
    most = {key: float(value) for key, value in safety.get('maker', {}).items()}
    return used, replace(used, **most, clearance=0.0)


def _chain(document: Mapping[str, Any]) -> KinematicChain:
    return KinematicChain.from_origins(
        [(j['xyz'], j['rpy'], j['axis']) for j in document['joints']],
        [(t['xyz'], t['rpy']) for t in document['tool']],
    )


def _gripper(section: Mapping[str, Any] | None) -> Gripper | None:
    if section is None:
        return None
    return Gripper(**{**section, 'fingers': tuple(section['fingers'])})


def _check(embodiment: Embodiment, where: str) -> None:
    limits = embodiment.maker_limits
    for name in ('velocity', 'acceleration', 'jerk'):
        values = getattr(limits, name)
        if not (np.isfinite(values).all() and (values > 0.0).all()):
            raise ConfigError(
                f'{where}: every {name} limit must be a positive number; 0 in a URDF means '
                '"unset", look the value up'
            )
    if not (limits.lower < limits.upper).all():
        raise ConfigError(f'{where}: a lower position limit is not below its upper limit')
    _check_cartesian(embodiment, where)
    for name, posture in embodiment.postures.items():
        if embodiment.kind == 'arm' and posture.shape != (embodiment.axis_count,):
            raise ConfigError(f'{where}: posture {name} must list {embodiment.axis_count} angles')


def _check_cartesian(embodiment: Embodiment, where: str) -> None:
    used, most = embodiment.cartesian, embodiment.maker_cartesian
    if used is None or most is None:
        return
    if not (0.0 < used.ee_speed <= most.ee_speed and 0.0 < used.ee_rotation <= most.ee_rotation):
        raise ConfigError(
            f'{where}: safety.ee_speed and safety.ee_rotation must be positive and not above '
            f'safety.maker ({most.ee_speed:g} m/s, {most.ee_rotation:g} rad/s)'
        )
    if not (used.workspace_lower < used.workspace_upper).all():
        raise ConfigError(f'{where}: a side of safety.workspace is not [low, high]')
    if not used.clearance >= 0.0:
        raise ConfigError(f'{where}: safety.clearance must not be negative')
