"""ros2 launch univla_ros together.launch.py robots:=widowx,franka: one policy, several robots.

Add sim:=true to run without hardware; -s shows all arguments.
"""

from launch import LaunchDescription
from univla_ros.launch_skin import together_launch


def generate_launch_description() -> LaunchDescription:
    """Build the graph described in `univla_ros.graph`."""
    return together_launch()
