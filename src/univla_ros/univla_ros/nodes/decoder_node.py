"""Turn each latent action into one action chunk for one robot."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from univla_core.action_chunk import ActionChunk
from univla_core.action_space import action_space
from univla_core.embodiment import load_embodiment
from univla_core.errors import ActionError
from univla_core.errors import ObservationError
from univla_core.errors import UnivlaError
from univla_core.fault import HEALTHY
from univla_core.fault import Fault
from univla_core.latent_action import LatentAction
from univla_core.parameters import parameter
from univla_core.robot_state import nearest_state
from univla_core.robot_state import proprioception
from univla_core.temporal_ensembling import WHEN
from univla_core.work_watch import WorkWatch

from univla_msgs.msg import ActionChunk as ActionChunkMsg
from univla_msgs.msg import LatentAction as LatentActionMsg
from univla_ros.conversions import action_chunk_to_msg
from univla_ros.conversions import latent_action_from_msg
from univla_ros.diagnostics import ERROR
from univla_ros.diagnostics import OK
from univla_ros.diagnostics import STALE
from univla_ros.diagnostics import WARN
from univla_ros.diagnostics import work_values
from univla_ros.nodes.heartbeat import Heartbeat
from univla_ros.qos import PLAN
from univla_ros.robot_decoders import decoder_path
from univla_ros.robot_decoders import load_decoder
from univla_ros.robot_state import RobotState
from univla_ros.robot_state import RobotStateSource
from univla_ros.suite_node import SuiteNode
from univla_ros.suite_node import run


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Parameters of `decoder_node`; every field is a ROS parameter of the same name."""

    robot: str = parameter('widowx', 'Robot body this decoder serves')
    checkpoint: str = parameter('untrained', 'Checkpoint of the policy, or its name')
    decoder: str = parameter(
        '', 'Folder or file of the decoder; empty takes decoders/<robot> of the checkpoint'
    )
    declaration: str = parameter(
        '', 'YAML that declares the decoder where none lies beside it (config/decoders/<name>)'
    )
    threads: int = parameter(1, 'CPU threads of torch', low=1, high=64)
    temporal_ensembling: str = parameter(
        'auto',
        'Average the overlapping chunks of past plans; auto does as the decoder declares',
        choices=WHEN,
    )
    heartbeat_priority: int = parameter(
        15,
        'SCHED_FIFO priority asked for the heartbeat alone; 0 stays at normal priority',
        low=0,
        high=99,
    )
    allow_untrained: bool = parameter(
        False, 'Decode with weights that were never trained; for simulation only'
    )
    max_state_age_s: float = parameter(
        0.2, 'Oldest joint state used as proprioception [s]', low=0.01, high=10.0
    )
    latency_budget_s: float = parameter(
        0.05, 'Decoding slower than this warns [s]', low=0.001, high=10.0
    )
    hang_timeout_s: float = parameter(
        0.2, 'Decoding that takes longer stops the robot [s]', low=0.001, high=60.0
    )


class DecoderNode(SuiteNode):
    """Subscribes to `latent_action`, publishes `action_chunk`; several may share one plan.

    A latent action that cannot be decoded is dropped, and `decoder/heartbeat` says why until one
    was decoded again.
    """

    config_type = DecoderConfig

    def __init__(self, **arguments: Any) -> None:
        super().__init__('decoder_node', **arguments)
        self._states: deque[RobotState] = deque(maxlen=400)
        self._dropped: Counter[str] = Counter()
        self._waits = True
        self._fault: Fault | None = None
        self._work = WorkWatch(self.config.latency_budget_s, self.config.hang_timeout_s)
        self._configured = False
        self.chunks = 0
        self.diagnostics.before_publish = self._report

    def configure(self) -> None:
        """Load the decoder and see that it fits the robot.

        Raises:
            UnivlaError: If weights, statistics, action space or axis names do not fit.
        """
        import torch
        from univla_decoders.ensembled_decoder import EnsembledDecoder

        config = self.config
        torch.set_num_threads(config.threads)
        self._embodiment = load_embodiment(config.robot)
        path = decoder_path(
            self._embodiment, config.checkpoint, config.decoder, config.declaration
        )
        self._decoder = load_decoder(
            path, self._embodiment, config.declaration, allow_untrained=config.allow_untrained
        )
        self._declaration = self._decoder.declaration
        self._chunks = EnsembledDecoder(self._decoder, config.temporal_ensembling)
        self._publisher = self.create_lifecycle_publisher(ActionChunkMsg, 'action_chunk', PLAN)
        self._heartbeat = Heartbeat(self, 'decoder', self._judge, self.config.heartbeat_priority)
        self.create_subscription(LatentActionMsg, 'latent_action', self._on_latent_action, PLAN)
        self._source = None
        if self._declaration.proprioception_dim:
            self._source = RobotStateSource(self, self._embodiment, self._states.append, self.warn)
        self.get_logger().info(
            f'{self._declaration.head} head for {self.config.robot}: '
            f'{self._declaration.horizon} x {self._declaration.action_space}'
            + (', averaged over plans' if self._chunks.averages else '')
        )
        self._configured = True

    def activate(self) -> None:
        """Start the heartbeat, without memory of an earlier run."""
        self._chunks.reset()
        self._waits, self._fault = True, None
        self._heartbeat.start()

    def deactivate(self) -> None:
        """Say good-bye."""
        self._heartbeat.stop()

    def cleanup(self) -> None:
        """Drop the weights."""
        self._report()
        self._configured = False
        del self._decoder, self._chunks

    def _on_latent_action(self, msg: LatentActionMsg) -> None:
        if not self.is_active:
            return
        try:
            latent = latent_action_from_msg(msg)
            self._decoder.check_latent(latent)
        except ActionError as error:
            self._refuse('bad_latent', msg, error)
            return
        self._work.start(time.monotonic())
        try:
            chunk = self._decode(latent)
        except ObservationError as error:
            self._refuse('no_proprioception', msg, error)
            return
        except UnivlaError as error:
            self._refuse('decoder_error', msg, error)
            return
        finally:
            self._work.stop(time.monotonic())
        frame = self._embodiment.frame_prefix + self._embodiment.base_frame
        cartesian = action_space(chunk.action_space).cartesian
        self._publisher.publish(action_chunk_to_msg(chunk, frame if cartesian else ''))
        self._fault = None

    def _refuse(self, name: str, msg: LatentActionMsg, error: UnivlaError) -> None:
        """Drop a latent action; the robot holds until one is decoded."""
        self._dropped[name] += 1
        self._fault = Fault(name, f'latent action {msg.sequence} was dropped: {error}')
        self._chunks.reset()
        self._waits = True
        self.warn(self._fault.reason)
        self._heartbeat.look()

    def _judge(self) -> Fault:
        """What the heartbeat says; called from its thread."""
        if self._work.hangs(time.monotonic()):
            return Fault(
                'decoder_error',
                f'decoding takes longer than {self._work.hang_timeout_s} s; free the computer or '
                'raise hang_timeout_s',
            )
        fault = self._fault
        if fault is not None:
            return fault
        return Fault('', 'waiting for a latent action') if self._waits else HEALTHY

    def _decode(self, latent: LatentAction) -> ActionChunk:
        data = self._chunks.decode(latent, self._proprioception(latent.stamp))
        if not np.isfinite(data).all():
            raise ActionError(
                'the decoded chunk is not finite; look at dataset_statistics.json and the '
                'declaration of the decoder'
            )
        self._waits = False
        self.chunks += 1
        return ActionChunk(
            robot=self._embodiment.name,
            action_space=self._declaration.action_space,
            names=tuple(self._declaration.names),
            data=data,
            step_duration_s=self._declaration.step_duration_s,
            stamp=latent.stamp,
            sequence=self.chunks,
            latent_sequence=latent.sequence,
            instruction=latent.instruction,
            source=latent.source,
            plan_start=latent.plan_start,
            plan_stop=latent.plan_stop,
            decode_stop=self.now(),
        )

    def _proprioception(self, stamp: float) -> np.ndarray | None:
        if self._source is None:
            return None
        near = nearest_state(self._states, stamp, self.config.max_state_age_s)
        if near is None:
            why = 'is the driver alive?' if not self._source.problem else self._source.problem[1]
            raise ObservationError(
                'this head needs proprioception and no joint state lies within '
                f'{self.config.max_state_age_s} s of the observation; {why}'
            )
        return proprioception(near)

    def _report(self) -> None:
        if not self._configured:
            return
        self._heartbeat.report()
        name = f'decoder/{self.config.robot}'
        if not self.is_active:
            self.diagnostics.set(name, STALE, 'not active')
            return
        values = {
            'chunks': self.chunks,
            'dropped': self._dropped.total(),
            **{f'dropped: {cause}': count for cause, count in sorted(self._dropped.items())},
            **work_values(self._work, time.monotonic()),
        }
        health = self._judge()
        if health.name:
            level, text = ERROR, f'{health.name}: {health.reason}'
        elif self._work.count and self._work.latency(0.95) > self.config.latency_budget_s:
            level, text = WARN, 'slower than latency_budget_s'
        else:
            level, text = OK, health.reason or 'decoding'
        self.diagnostics.set(name, level, text, values)


def main() -> None:
    """Run the node."""
    sys.exit(run(DecoderNode))


if __name__ == '__main__':
    main()
