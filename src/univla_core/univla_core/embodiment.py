"""An embodiment: one robot body, its limits, its action spaces and how its driver is reached."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from univla_core.action_space import action_space
from univla_core.errors import ConfigError
from univla_core.kinematics import KinematicChain
from univla_core.parameters import read_yaml
from univla_core.paths import config_directory


@dataclass(frozen=True, kw_only=True)
class AxisLimits:
    """Limits of every commanded axis, each of shape (n,).

    An arm's axes are its joints: position [rad], velocity [rad/s], acceleration [rad/s²] and
    jerk [rad/s³]. A base's axes are velocities: `lower` and `upper` are infinite, `velocity`
    bounds the command itself [m/s, rad/s], `acceleration` and `jerk` its derivatives.
    """

    lower: np.ndarray
    upper: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    jerk: np.ndarray

    def scaled(self, share: float) -> AxisLimits:
        """The middle `share` of the position range and `share` of every rate."""
        bounded = np.isfinite(self.lower) & np.isfinite(self.upper)
        lower, upper = np.where(bounded, self.lower, 0.0), np.where(bounded, self.upper, 0.0)
        middle = 0.5 * (lower + upper)
        half = np.where(bounded, 0.5 * share * (upper - lower), np.inf)
        return AxisLimits(
            lower=middle - half,
            upper=middle + half,
            velocity=share * self.velocity,
            acceleration=share * self.acceleration,
            jerk=share * self.jerk,
        )

    def tightened(self, other: AxisLimits) -> AxisLimits:
        """The tighter of two sets of limits, axis by axis."""
        return AxisLimits(
            lower=np.maximum(self.lower, other.lower),
            upper=np.minimum(self.upper, other.upper),
            velocity=np.minimum(self.velocity, other.velocity),
            acceleration=np.minimum(self.acceleration, other.acceleration),
            jerk=np.minimum(self.jerk, other.jerk),
        )


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
        limits: What the suite uses: a share of it, or the file's tighter operating set.
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
    limits: AxisLimits
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
        limits = maker.scaled(float(document['control']['limit_share']))
        operating = [axis.get('operating', {}) for axis in axes]
        limits = limits.tightened(
            _limits([{**a, **o} for a, o in zip(axes, operating, strict=True)], where)
        )
        embodiment = Embodiment(
            name=document['name'],
            description=document['description'],
            kind=kind,
            axis_names=tuple(axis['name'] for axis in axes),
            link_names=tuple(axis['link'] for axis in axes if 'link' in axis),
            maker_limits=maker,
            limits=limits,
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
    )


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
    for name, posture in embodiment.postures.items():
        if embodiment.kind == 'arm' and posture.shape != (embodiment.axis_count,):
            raise ConfigError(f'{where}: posture {name} must list {embodiment.axis_count} angles')
