"""Teleoperation: what a person does with keys, gamepad or leader arm, as ROS messages."""
