"""The services through which a person sets modes, stops the robot and lets it go again."""

from __future__ import annotations

from typing import Any

from std_srvs.srv import Trigger
from univla_control.command import Mode
from univla_control.controller import ChunkController

from univla_msgs.srv import SetMode


class OperatorServices:
    """Serves `set_mode`, `estop` and `reset_estop`.

    Args:
        node: Owner; its clock and logger are used.
        controller: Takes the modes.
    """

    def __init__(self, node: Any, controller: ChunkController) -> None:
        self._node, self._controller = node, controller
        self._entities = [
            node.create_service(SetMode, 'set_mode', self._on_set_mode),
            node.create_service(Trigger, 'estop', self._on_estop),
            node.create_service(Trigger, 'reset_estop', self._on_reset_estop),
        ]

    def close(self) -> None:
        """Serve no longer."""
        for service in self._entities:
            self._node.destroy_service(service)

    def _on_set_mode(self, request: SetMode.Request, response: SetMode.Response) -> Any:
        if request.mode not in list(Mode):
            known = ', '.join(f'{mode.value} {mode.name}' for mode in Mode)
            response.message = f'mode {request.mode} is not one of {known}'
        else:
            mode, who = Mode(request.mode), request.reason or 'a client'
            refused = self._controller.set_mode(mode, self._node.now(), who)
            self._node.get_logger().info(refused or f'{mode.name}, asked for by {who}')
            response.accepted, response.message = refused is None, refused or ''
        response.mode = int(self._controller.mode)
        return response

    def _on_estop(self, request: Trigger.Request, response: Trigger.Response) -> Any:
        self._controller.set_mode(Mode.ESTOP, self._node.now(), 'service estop')
        self._node.get_logger().error('emergency stop; service reset_estop ends it')
        response.success, response.message = True, self._controller.modes.estop_reason
        return response

    def _on_reset_estop(self, request: Trigger.Request, response: Trigger.Response) -> Any:
        refused = self._controller.reset_estop()
        response.success = refused is None
        response.message = refused or f'{self._controller.mode.name}; set_mode goes on'
        return response
