"""Plan a latent action on the newest complete observation."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections import Counter
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import String
from univla_core.embodiment import load_embodiment
from univla_core.errors import ConfigError
from univla_core.errors import ObservationError
from univla_core.errors import UnivlaError
from univla_core.observation import Observation
from univla_core.observation_buffer import ObservationBuffer
from univla_core.parameters import parameter

from univla_msgs.msg import LatentAction as LatentActionMsg
from univla_ros.checkpoints import ensure_checkpoint
from univla_ros.conversions import latent_action_to_msg
from univla_ros.conversions import seconds_from_msg
from univla_ros.diagnostics import OK
from univla_ros.diagnostics import STALE
from univla_ros.diagnostics import WARN
from univla_ros.images import image_from_compressed_msg
from univla_ros.images import image_from_msg
from univla_ros.qos import EVENT
from univla_ros.qos import PLAN
from univla_ros.qos import SENSOR
from univla_ros.suite_node import SuiteNode
from univla_ros.suite_node import run


@dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """Parameters of `policy_node`; every field is a ROS parameter of the same name."""

    robot: str = parameter('widowx', 'Robot whose cameras the policy looks through')
    policy: str = parameter('univla', 'Policy: univla')
    checkpoint: str = parameter('untrained', 'Checkpoint folder, or its name in checkpoints/')
    device: str = parameter('auto', 'auto, cpu, cuda or cuda:<n>')
    dtype: str = parameter(
        'auto', 'Precision of the weights', choices=('auto', 'float32', 'bfloat16', 'float16')
    )
    threads: int = parameter(1, 'CPU threads of torch', low=1, high=64)
    cameras: list[str] = parameter(['primary'], 'Cameras that make an observation')
    image_transport: str = parameter(
        'raw', 'How the cameras publish', choices=('raw', 'compressed')
    )
    preprocessing: str = parameter(
        'none', 'Picture preparation and prompt habits of the environment trained on'
    )
    plan_rate_hz: float = parameter(5.0, 'Most plans per second [Hz]', low=0.1, high=100.0)
    max_observation_age_s: float = parameter(
        0.3, 'Oldest picture planned on [s]', low=0.01, high=10.0
    )
    latency_budget_s: float = parameter(
        0.2, 'Planning slower than this warns [s]', low=0.001, high=10.0
    )
    temperature: float = parameter(0.0, 'Sampling temperature; 0 is greedy', low=0.0, high=10.0)
    top_p: float = parameter(0.9, 'Sampling keeps this much probability', low=0.01, high=1.0)
    seed: int = parameter(0, 'Seed of the sampling', low=0, high=2**31 - 1)
    tensor_dtype: str = parameter(
        'float32', 'Type that tensors travel in', choices=('float32', 'float16', 'bfloat16')
    )
    instruction: str = parameter('', 'Task in words from the start; empty waits for the topic')
    allow_untrained: bool = parameter(
        False, 'Plan with weights that were never trained; for simulation only'
    )


class PolicyNode(SuiteNode):
    """Subscribes to cameras and instruction, publishes `latent_action`.

    Planning runs on a thread of its own: a slow plan never delays a callback.
    """

    config_type = PolicyConfig

    def __init__(self, **arguments: Any) -> None:
        super().__init__('policy_node', **arguments)
        self._condition = threading.Condition()
        self._running = False
        self._fresh = False
        self._instruction = self.config.instruction
        self._planned_instruction = ''
        self._history: np.ndarray | None = None
        self._latencies: deque[float] = deque(maxlen=100)
        self._dropped: Counter[str] = Counter()
        self.plans = 0
        self.diagnostics.before_publish = self._report

    def configure(self) -> None:
        """Load the policy and subscribe.

        Raises:
            UnivlaError: If robot, camera, policy or checkpoint are unknown or unusable.
        """
        import torch
        from univla_models.policy import load_policy

        config = self.config
        embodiment = load_embodiment(config.robot)
        unknown = [name for name in config.cameras if name not in embodiment.cameras]
        if unknown:
            raise ConfigError(
                f'robot {config.robot!r} has no camera {", ".join(unknown)}; '
                f'its cameras are {", ".join(embodiment.cameras)}'
            )
        torch.set_num_threads(config.threads)
        self._policy = load_policy(
            config.policy,
            ensure_checkpoint(config.checkpoint),
            device=config.device,
            dtype=config.dtype,
            preprocessing=config.preprocessing,
            temperature=config.temperature,
            top_p=config.top_p,
            seed=config.seed,
            camera=config.cameras[0],
        )
        if not (self._policy.trained or config.allow_untrained):
            raise ConfigError(
                f'checkpoint {config.checkpoint!r} is untrained and must not move a real robot; '
                'give checkpoint:=<folder of trained weights>, or sim:=true to watch it'
            )
        cameras = {name: embodiment.cameras[name] for name in config.cameras}
        self._buffer = ObservationBuffer(
            {name: (camera.width, camera.height) for name, camera in cameras.items()},
            config.max_observation_age_s,
        )
        self._warm_up(cameras)
        self._publisher = self.create_lifecycle_publisher(LatentActionMsg, 'latent_action', PLAN)
        self._own_subscriptions = [self._subscribe(name) for name in config.cameras]
        self._own_subscriptions.append(
            self.create_subscription(String, 'instruction', self._on_instruction, EVENT)
        )
        trained = 'trained' if self._policy.trained else 'UNTRAINED: it plans, but not sensibly'
        self.get_logger().info(
            f'{config.policy} from {config.checkpoint} ({trained}), '
            f'codebook {self._policy.codebook}'
        )

    def activate(self) -> None:
        """Start the planning thread."""
        self._planned_instruction, self._history = '', None
        self._running = True
        self._thread = threading.Thread(target=self._plan_for_ever, name='planning', daemon=True)
        self._thread.start()

    def deactivate(self) -> None:
        """Stop planning; waits for the plan under way."""
        with self._condition:
            self._running = False
            self._condition.notify()
        self._thread.join(timeout=30.0)

    def cleanup(self) -> None:
        """Unsubscribe and drop the weights."""
        for subscription in self._own_subscriptions:
            self.destroy_subscription(subscription)
        self.destroy_lifecycle_publisher(self._publisher)
        del self._policy

    def _subscribe(self, camera: str) -> Any:
        topic = f'camera/{camera}/image_raw'
        if self.config.image_transport == 'compressed':
            callback = partial(self._on_image, camera, image_from_compressed_msg)
            return self.create_subscription(
                CompressedImage, f'{topic}/compressed', callback, SENSOR
            )
        callback = partial(self._on_image, camera, image_from_msg)
        return self.create_subscription(Image, topic, callback, SENSOR)

    def _on_image(self, camera: str, convert: Any, msg: Any) -> None:
        if not self.is_active:
            return
        try:
            image = convert(msg)
            with self._condition:
                self._buffer.add(camera, seconds_from_msg(msg.header.stamp), image, self.now())
                self._fresh = True
                self._condition.notify()
        except ObservationError as error:
            self._drop(camera, str(error))

    def _on_instruction(self, msg: String) -> None:
        with self._condition:
            if not msg.data.strip():
                self._drop('instruction', 'an empty instruction was dropped; say what to do')
                return
            if msg.data != self._instruction:
                self.get_logger().info(f'instruction: {msg.data}')
            self._instruction = msg.data
            self._condition.notify()

    def _plan_for_ever(self) -> None:
        """Plan on the first new picture after each period, so that it is as fresh as can be."""
        period = 1.0 / self.config.plan_rate_hz
        earliest = 0.0
        while True:
            with self._condition:
                wait = earliest - time.monotonic()
                if wait > 0.0:
                    self._condition.wait_for(lambda: not self._running, timeout=wait)
                    self._fresh = False
                self._condition.wait_for(lambda: self._fresh or not self._running)
                if not self._running:
                    return
                self._fresh = False
                instruction = self._instruction
            # A tenth early, so that a camera whose rate is a multiple is not missed by jitter.
            earliest = time.monotonic() + 0.9 * period
            self._plan(instruction)

    def _plan(self, instruction: str) -> None:
        if not instruction.strip():
            return
        try:
            with self._condition:
                observation = self._buffer.observation(instruction, self.now())
        except ObservationError as error:
            self._drop('observation', str(error))
            return
        if instruction != self._planned_instruction:
            self._policy.reset()
            self._planned_instruction, self._history = instruction, None
        start = self.now()
        try:
            latent = self._policy.plan(
                observation.images, instruction, history_codes=self._history
            )
        except UnivlaError as error:
            self._drop('inference', str(error))
            return
        self._publish(latent, observation, start)

    def _publish(self, latent: Any, observation: Observation, start: float) -> None:
        stop = self.now()
        with self._condition:
            if not self._running or observation.instruction != self._instruction:
                return  # planned for a task that is over
        self.plans += 1
        latent = dataclasses.replace(
            latent,
            stamp=observation.stamp,
            sequence=self.plans,
            plan_start=start,
            plan_stop=stop,
        )
        self._history = latent.codes
        self._latencies.append(stop - start)
        self._publisher.publish(latent_action_to_msg(latent, self.config.tensor_dtype))

    def _drop(self, what: str, reason: str) -> None:
        self._dropped[what] += 1
        self.warn(reason)
        self.diagnostics.set(f'observation/{what}', WARN, reason, {'dropped': self._dropped[what]})

    def _warm_up(self, cameras: Any) -> None:
        """Plan once on a picture of each camera's size, so that the first real plan is quick."""
        pictures = {
            name: np.zeros((camera.height, camera.width, 3), dtype=np.uint8)
            for name, camera in cameras.items()
        }
        self._policy.plan(pictures, 'warm up')

    def _report(self) -> None:
        if not self.is_active:
            self.diagnostics.set('inference', STALE, 'not active')
            return
        values = {'plans': self.plans, 'dropped': sum(self._dropped.values())}
        if not self._instruction.strip():
            self.diagnostics.set('inference', OK, 'waiting for an instruction', values)
            return
        try:  # a camera that fell silent wakes nobody: ask here
            with self._condition:
                self._buffer.observation(self._instruction, self.now())
        except ObservationError as error:
            self.diagnostics.set('inference', WARN, str(error), values)
            return
        if not self._latencies:
            self.diagnostics.set('inference', WARN, 'no plan yet', values)
        else:
            latencies = np.array(self._latencies)
            values['latency median [s]'] = float(np.median(latencies))
            values['latency p95 [s]'] = float(np.quantile(latencies, 0.95))
            slow = values['latency p95 [s]'] > self.config.latency_budget_s
            text = 'slower than latency_budget_s' if slow else 'planning'
            self.diagnostics.set('inference', WARN if slow else OK, text, values)


def main() -> None:
    """Run the node."""
    sys.exit(run(PolicyNode))


if __name__ == '__main__':
    main()
