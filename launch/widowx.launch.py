"""ros2 launch univla_ros widowx.launch.py: the policy, decoder and controller of this robot.

Add sim:=true to run without hardware; -s shows all arguments.
"""

from launch import LaunchDescription
from univla_ros.launch_skin import robot_launch


def generate_launch_description() -> LaunchDescription:
    """Build the graph described in `univla_ros.graph`."""
    return robot_launch('widowx')
