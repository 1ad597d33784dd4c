"""How much a scene may differ from its plain look and from its plain start.

Every amount is a pair (least, most): drawn uniformly between them, with a random sign or in a
random direction. A pair whose least is above another's most lies wholly outside of it; that is
how held-out shifts stay apart from what a policy was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

import numpy as np

#: Least and most of an amount.
Span = tuple[float, float]
Color = tuple[float, float, float]

_NOTHING: Span = (0.0, 0.0)
# Tables of `domain_randomized`: woods, greys, and pale colours.
_SURFACES: tuple[Color, ...] = (
    (0.76, 0.69, 0.58),
    (0.62, 0.48, 0.33),
    (0.48, 0.36, 0.26),
    (0.85, 0.78, 0.66),
    (0.20, 0.20, 0.21),
    (0.42, 0.42, 0.42),
    (0.60, 0.60, 0.62),
    (0.78, 0.78, 0.76),
    (0.55, 0.66, 0.62),
    (0.66, 0.62, 0.74),
    (0.74, 0.60, 0.62),
    (0.46, 0.52, 0.60),
)


@dataclass(frozen=True, kw_only=True)
class Variation:
    """Amounts by which `World.reset` varies a scene; all are drawn from the seed.

    Attributes:
        camera_shift_m: Way that each of the robot's cameras is moved, in any direction.
        camera_turn_rad: Angle that it is turned by, about any axis.
        light_shift_m: Way that the lamp is moved.
        light_strength: Relative change of all light.
        tint: Relative change of each colour channel of every geom but the objects.
        object_tint: The same for the objects; small, so that a red cube stays red.
        surface_colors: Colours of the table (of a base's floor), one of which is drawn; none
            leaves its own.
        checker: Whether the table has a checker texture (drawn by `gl` only).
        texture: How much darker the dark places of a random texture on it are, of its colour
            (drawn by `gl` only); see `texture.draw_texture`.
        distractors: How many strange objects stand beside the workspace, at most
            `scene.DISTRACTORS`; nothing touches them.
        clutter: Most of the other things that stand there, at most as many as `scene.CLUTTER`;
            they are never those of `distractors`.
        start_shift_m: Way sidewards from an arm's posture `ready`; for a base, from the origin.
        start_height_m: Way up or down from `ready`.
        start_turn_rad: Heading of a base at the start.
        object_spread: Share of the workspace, about its middle, that the cubes fill.
        object_gap_m: Least distance of two cubes; None leaves the scene's own.
        pillar_distance_m: Distance of a base's pillars from the origin; None leaves the layout.
        object_yaw_rad: Yaw of the cubes; None leaves the layout's own, within 0.25.
        object_size: Relative change of the objects' size.
        object_mass: Relative change of their mass.
        object_friction: Relative change of their friction.
        servo_stiffness: Relative change of the gains of joints or wheels.
    """

    camera_shift_m: Span = _NOTHING
    camera_turn_rad: Span = _NOTHING
    light_shift_m: Span = _NOTHING
    light_strength: Span = _NOTHING
    tint: Span = _NOTHING
    object_tint: Span = _NOTHING
    surface_colors: tuple[Color, ...] = ()
    checker: bool = False
    texture: Span = _NOTHING
    distractors: int = 0
    clutter: int = 0
    start_shift_m: Span = _NOTHING
    start_height_m: Span = _NOTHING
    start_turn_rad: Span = _NOTHING
    object_spread: float = 1.0
    object_gap_m: float | None = None
    pillar_distance_m: Span | None = None
    object_yaw_rad: Span | None = None
    object_size: Span = _NOTHING
    object_mass: Span = _NOTHING
    object_friction: Span = _NOTHING
    servo_stiffness: Span = _NOTHING

    @classmethod
    def none(cls) -> Variation:
        """Nothing varies; an arm still starts at `ready`."""
        return cls()

    @classmethod
    def training(cls) -> Variation:
        """Mild changes, as policies are trained with."""
        return cls(
            camera_shift_m=(0.0, 0.015),
            camera_turn_rad=(0.0, 0.01),
            light_shift_m=(0.0, 0.2),
            light_strength=(0.0, 0.2),
            tint=(0.0, 0.1),
            object_tint=(0.0, 0.08),
            start_shift_m=(0.0, 0.05),
            start_height_m=(0.0, 0.03),
            start_turn_rad=(0.0, 0.3),
        )

    @classmethod
    def domain_randomized(cls) -> Variation:
        """Many looks of the room, for pictures that teach to see: other tables, light, cameras.

        No look is one of the shift `visual`. Needs `gl`; rays draw all but the textures.
        """
        return replace(
            cls.training(),
            camera_shift_m=(0.0, 0.03),
            camera_turn_rad=(0.0, 0.015),
            light_shift_m=(0.0, 0.4),
            light_strength=(0.0, 0.25),
            tint=(0.0, 0.25),
            surface_colors=_SURFACES,
            texture=(0.1, 0.6),
            clutter=3,
        )


def draw_amount(rng: np.random.Generator, span: Span) -> float:
    """A number whose size is inside a span, of either sign."""
    return float(rng.choice((-1.0, 1.0)) * rng.uniform(*span))


def draw_amounts(rng: np.random.Generator, span: Span, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers whose sizes are inside a span, each of either sign, of a shape."""
    return rng.choice((-1.0, 1.0), size=shape) * rng.uniform(*span, size=shape)


def draw_vector(rng: np.random.Generator, span: Span, size: int = 3) -> np.ndarray:
    """A vector (size,) in any direction whose length is inside a span."""
    direction = rng.normal(size=size)
    return direction / np.linalg.norm(direction) * rng.uniform(*span)
