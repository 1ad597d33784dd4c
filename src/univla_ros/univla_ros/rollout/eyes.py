"""The cameras of a rollout: what `sim_node` publishes, without the messages."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np
from univla_core.errors import ConfigError
from univla_sim.world import World

from univla_ros.sim_drivers.camera_noise import CameraNoise

# Drawing the noise of a camera takes as long as several pictures, and every episode needs one.
_noises: weakref.WeakKeyDictionary[World, dict[tuple[str, float], CameraNoise]] = (
    weakref.WeakKeyDictionary()
)


class Eyes:
    """Takes the pictures of some cameras, with the noise of a sensor.

    Args:
        world: The world to look at.
        cameras: Names of the robot's cameras; none sees nothing.
        noise: Standard deviation [grey levels].

    Raises:
        ConfigError: If the robot has no such camera.
    """

    def __init__(self, world: World, cameras: Sequence[str], noise: float) -> None:
        known = world.embodiment.cameras
        unknown = [name for name in cameras if name not in known]
        if unknown:
            raise ConfigError(
                f'robot {world.embodiment.name!r} has no camera {", ".join(unknown)}; '
                f'its cameras are {", ".join(known)}'
            )
        self._world = world
        made = _noises.setdefault(world, {})
        self._noise = {}
        for name in cameras:
            camera = known[name]
            if (name, noise) not in made:
                made[name, noise] = CameraNoise(camera.height, camera.width, noise, seed=0)
            self._noise[name] = made[name, noise]

    def restart(self, seed: int) -> None:
        """Begin an episode; its noise follows from the seed."""
        for noise in self._noise.values():
            noise.restart(seed)

    def look(self) -> dict[str, np.ndarray]:
        """RGB pictures by camera name, uint8, (height, width, 3)."""
        return {name: noise.add(self._world.render(name)) for name, noise in self._noise.items()}
