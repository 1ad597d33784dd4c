"""Plan a latent action on the newest complete observation."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from std_msgs.msg import Int32MultiArray
from std_msgs.msg import String
from univla_core.camera_watch import CameraRules
from univla_core.embodiment import Camera
from univla_core.embodiment import load_embodiment
from univla_core.errors import ActionError
from univla_core.errors import ConfigError
from univla_core.fault import Fault
from univla_core.latent_action import LatentAction
from univla_core.parameters import parameter
from univla_core.work_watch import WorkWatch

from univla_msgs.msg import LatentAction as LatentActionMsg
from univla_ros.camera_inputs import CameraInputs
from univla_ros.checkpoints import ensure_checkpoint
from univla_ros.conversions import latent_action_to_msg
from univla_ros.diagnostics import ERROR
from univla_ros.diagnostics import OK
from univla_ros.diagnostics import STALE
from univla_ros.diagnostics import WARN
from univla_ros.diagnostics import work_values
from univla_ros.nodes.heartbeat import Heartbeat
from univla_ros.picked_codes import PickedCodes
from univla_ros.planner import Planner
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
    camera_timeout_periods: float = parameter(
        1.75, 'Silence that makes a camera stale, in periods of its own rate', low=1.1, high=100.0
    )
    max_observation_age_s: float = parameter(
        0.3, 'Oldest picture planned on by its stamp [s]; 0 asks for nothing', low=0.0, high=10.0
    )
    max_camera_skew_s: float = parameter(
        0.1, 'Longest time between the pictures of two cameras [s]', low=0.001, high=10.0
    )
    frozen_pictures: int = parameter(
        2, 'So many equal pictures in a row are a frozen camera; 0 allows any', low=0, high=1000
    )
    black_level: float = parameter(
        10.0,
        'Brightness plus contrast below this is a covered lens [grey levels]; 0 allows any',
        low=0.0,
        high=100.0,
    )
    latency_budget_s: float = parameter(
        0.2, 'Planning slower than this warns [s]', low=0.001, high=10.0
    )
    hang_timeout_s: float = parameter(
        0.0,
        'A plan that takes longer stops the robot meanwhile [s]; 0 takes latency_budget_s, or '
        'three times the usual if that is more',
        low=0.0,
        high=60.0,
    )
    latent_code_timeout_s: float = parameter(
        0.3, 'Codes picked by a person are forgotten when not repeated [s]', low=0.05, high=10.0
    )
    temperature: float = parameter(0.0, 'Sampling temperature; 0 is greedy', low=0.0, high=10.0)
    top_p: float = parameter(0.9, 'Sampling keeps this much probability', low=0.01, high=1.0)
    seed: int = parameter(0, 'Seed of the sampling', low=0, high=2**31 - 1)
    tensor_dtype: str = parameter(
        'float32', 'Type that tensors travel in', choices=('float32', 'float16', 'bfloat16')
    )
    instruction: str = parameter('', 'Task in words from the start; empty waits for the topic')
    heartbeat_priority: int = parameter(
        15,
        'SCHED_FIFO priority asked for the heartbeat alone; 0 stays at normal priority',
        low=0,
        high=99,
    )
    allow_untrained: bool = parameter(
        False, 'Plan with weights that were never trained; for simulation only'
    )


class PolicyNode(SuiteNode):
    """Subscribes to cameras, instruction and picked codes, publishes `latent_action`.

    Planning runs on a thread of its own: a slow plan never delays a callback. `policy/heartbeat`
    says from another thread whether pictures and planning are in order; nothing is planned on,
    and nothing published from, an observation with a fault.
    """

    config_type = PolicyConfig

    def __init__(self, **arguments: Any) -> None:
        super().__init__('policy_node', **arguments)
        self._bad_codes = ''
        self._complaints: Counter[str] = Counter()
        self._picked = PickedCodes(self.config.latent_code_timeout_s)
        self._work = WorkWatch(self.config.latency_budget_s, self.config.hang_timeout_s)
        self._planner: Planner | None = None
        self.diagnostics.before_publish = self._report

    def configure(self) -> None:
        """Load the policy and subscribe.

        Raises:
            UnivlaError: If robot, camera, policy or checkpoint are unknown or unusable.
        """
        config = self.config
        cameras = self._cameras()
        self._load_policy(cameras)
        self._publisher = self.create_lifecycle_publisher(LatentActionMsg, 'latent_action', PLAN)
        self._inputs = CameraInputs(
            self, cameras, self._rules(), config.image_transport, self._on_picture
        )
        self._planner = Planner(
            self._policy,
            self._inputs,
            self._picked,
            self._work,
            rate_hz=config.plan_rate_hz,
            now=self.now,
            publish=self._publish,
            complain=self._complain,
            instruction=config.instruction,
        )
        self._heartbeat = Heartbeat(
            self, 'policy', self._planner.health, config.heartbeat_priority
        )
        self.create_subscription(String, 'instruction', self._on_instruction, EVENT)
        self.create_subscription(Int32MultiArray, 'teleop/latent_code', self._on_codes, SENSOR)
        trained = 'trained' if self._policy.trained else 'UNTRAINED: it plans, but not sensibly'
        self.get_logger().info(
            f'{config.policy} from {config.checkpoint} ({trained}), '
            f'codebook {self._policy.codebook}'
        )

    def activate(self) -> None:
        """Start planning and heartbeat, without memory of an earlier run."""
        self._inputs.forget()
        self._picked.forget()
        self._planner.start()
        self._heartbeat.start()

    def deactivate(self) -> None:
        """Say good-bye and stop planning; waits for the plan under way."""
        self._heartbeat.stop()
        self._planner.stop()

    def cleanup(self) -> None:
        """Drop the weights."""
        self._report()
        self._planner = None
        del self._policy

    def _cameras(self) -> dict[str, Camera]:
        known = load_embodiment(self.config.robot).cameras
        unknown = [name for name in self.config.cameras if name not in known]
        if unknown:
            raise ConfigError(
                f'robot {self.config.robot!r} has no camera {", ".join(unknown)}; '
                f'its cameras are {", ".join(known)}'
            )
        return {name: known[name] for name in self.config.cameras}

    def _rules(self) -> CameraRules:
        return CameraRules(
            timeout_periods=self.config.camera_timeout_periods,
            max_age_s=self.config.max_observation_age_s,
            max_skew_s=self.config.max_camera_skew_s,
            frozen_pictures=self.config.frozen_pictures,
            black_level=self.config.black_level,
        )

    def _load_policy(self, cameras: dict[str, Camera]) -> None:
        """Load the weights, and plan once so that the first real plan is quick."""
        import torch
        from univla_models.policy import load_policy

        config = self.config
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
        sizes = {name: (camera.height, camera.width, 3) for name, camera in cameras.items()}
        self._policy.plan({n: np.zeros(s, dtype=np.uint8) for n, s in sizes.items()}, 'warm up')

    def _on_picture(self, fault: Fault | None) -> None:
        if fault is None:
            self._planner.see()
        else:
            self._heartbeat.look()

    def _on_instruction(self, msg: String) -> None:
        if not msg.data.strip():
            self._complain('instruction', 'an empty instruction was dropped; say what to do')
            return
        if msg.data != self._planner.instruction:
            self.get_logger().info(f'instruction: {msg.data}')
        self._planner.tell(msg.data)

    def _on_codes(self, msg: Int32MultiArray) -> None:
        from univla_models.policy import forced_codes

        policy = self._policy
        try:
            codes = forced_codes(msg.data, policy.codes_per_plan, policy.num_codes)
        except ActionError as error:
            self._complaints['picked codes'] += 1
            self._bad_codes = str(error)
            self.warn(self._bad_codes)
            return
        self._picked.pick(codes, time.monotonic())

    def _publish(self, latent: LatentAction) -> None:
        self._publisher.publish(latent_action_to_msg(latent, self.config.tensor_dtype))

    def _complain(self, cause: str, reason: str) -> None:
        self._complaints[cause] += 1
        self.warn(reason)
        self._heartbeat.look()

    def _report(self) -> None:
        if self._planner is None:
            return  # not configured
        self._inputs.report(self.is_active)
        self._heartbeat.report()
        if not self.is_active:
            for function in ('inference', 'instruction', 'teleop/latent_code'):
                self.diagnostics.set(function, STALE, 'not active')
            return
        values = {'dropped': self._complaints['instruction']}
        words = self._planner.instruction or 'waiting for an instruction'
        self.diagnostics.set('instruction', OK, words, values)
        self._report_codes()
        self._report_inference()

    def _report_codes(self) -> None:
        codes = self._picked.at(time.monotonic())
        values = {'dropped': self._complaints['picked codes']}
        text = 'nobody picks codes' if codes is None else f'codes {codes.tolist()} are picked'
        level, text = (WARN, self._bad_codes) if self._bad_codes else (OK, text)
        self._bad_codes = ''  # told once; the counter remembers
        self.diagnostics.set('teleop/latent_code', level, text, values)

    def _report_inference(self) -> None:
        values = {
            'plans': self._planner.plans,
            **dict(sorted(self._complaints.items())),
            **work_values(self._work, time.monotonic()),
            'highest rate [Hz]': self.config.plan_rate_hz,
        }
        health = self._planner.health()
        if health.name in ('policy_hang', 'policy_error'):
            level, text = ERROR, health.reason
        elif health.name:
            level, text = WARN, f'waits for a good observation: {health.reason}'
        elif health.reason:
            level, text = OK, health.reason
        elif not self._work.count:
            level, text = WARN, 'no plan yet'
        elif self._work.latency(0.95) > self.config.latency_budget_s:
            level, text = WARN, 'slower than latency_budget_s'
        else:
            level, text = OK, 'planning'
        self.diagnostics.set('inference', level, text, values)


def main() -> None:
    """Run the node."""
    sys.exit(run(PolicyNode))


if __name__ == '__main__':
    main()
