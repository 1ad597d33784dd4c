"""Where a robot's nodes find what its driver and its cameras publish."""

from __future__ import annotations

from collections.abc import Mapping

from univla_core.embodiment import Embodiment


def state_remappings(
    embodiment: Embodiment, values: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Where the driver tells the robot's state; the sim node publishes under the same name."""
    space = values['driver_namespace'] or str(embodiment.driver.get('namespace', ''))
    space = space.rstrip('/')
    driver = embodiment.driver
    if embodiment.kind == 'arm':
        return (('joint_states', f'{space}/{driver["joint_states"].lstrip("/")}'),)
    return (('odom', f'{space}/{driver["odometry_topic"].lstrip("/")}'),)


def camera_remappings(
    embodiment: Embodiment, values: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Where the cameras publish, raw and compressed, as far as the user said so."""
    pairs = []
    for name in embodiment.cameras:
        topic = values.get(f'camera_{name}_topic', '')
        if topic:
            own = f'camera/{name}/image_raw'
            pairs += [(own, topic), (f'{own}/compressed', f'{topic}/compressed')]
    return tuple(pairs)
