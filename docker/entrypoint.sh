#!/bin/bash
# Puts ROS and the workspace into the environment of the command given.
set -e
. "/opt/ros/$ROS_DISTRO/setup.bash"
. /ws/install/local_setup.bash
exec "$@"
