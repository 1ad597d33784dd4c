# Puts this project's environment into the calling bash:  . env/activate.sh
# Sourced by `univla` and env/setup.sh. Other ROS installations are taken out of the way first.
_univla_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Libraries of the ROS prefixes go from LD_LIBRARY_PATH; others, such as CUDA's, may be needed.
_univla_libraries=
_univla_ifs=$IFS
IFS=:
for _univla_entry in ${LD_LIBRARY_PATH:-}; do
  for _univla_prefix in /opt/ros "$_univla_root" ${AMENT_PREFIX_PATH:-} ${COLCON_PREFIX_PATH:-}; do
    case $_univla_entry in "$_univla_prefix"/*) continue 2 ;; esac
  done
  _univla_libraries="$_univla_libraries:$_univla_entry"
done
IFS=$_univla_ifs
unset PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH COLCON_PREFIX_PATH CMAKE_PREFIX_PATH \
  AMENT_CURRENT_PREFIX COLCON_CURRENT_PREFIX PKG_CONFIG_PATH ROS_LOCALHOST_ONLY \
  _ROS_WHEELS_BOOTSTRAP_COMPLETE

. "$_univla_root/.venv/bin/activate"

# The libraries of the ROS wheels find each other through LD_LIBRARY_PATH, which must be set
# before Python starts. The wheels would do it by starting every Python twice; the guard
# variable says that it is done.
LD_LIBRARY_PATH=
for _univla_entry in "$VIRTUAL_ENV"/lib/python3*/site-packages/ros_*.libs; do
  [ -d "$_univla_entry" ] && LD_LIBRARY_PATH="$LD_LIBRARY_PATH:$_univla_entry"
done
LD_LIBRARY_PATH="$VIRTUAL_ENV/lib$LD_LIBRARY_PATH$_univla_libraries"
export LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE=1

export AMENT_PREFIX_PATH="$VIRTUAL_ENV" ROS_DISTRO=jazzy ROS_VERSION=2 ROS_PYTHON_VERSION=3
if [ -f "$_univla_root/install/local_setup.bash" ]; then
  . "$_univla_root/install/local_setup.bash"
fi

export RMW_IMPLEMENTATION="${RMW_IMPLEMENTATION:-rmw_fastrtps_cpp}"
# Everything stays on this machine unless the user said otherwise.
export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
# Room for images in shared memory; FASTRTPS_ is the name up to Jazzy, FASTDDS_ the later one.
_univla_profile="${FASTDDS_DEFAULT_PROFILES_FILE:-$_univla_root/config/fastdds.xml}"
export FASTRTPS_DEFAULT_PROFILES_FILE="${FASTRTPS_DEFAULT_PROFILES_FILE:-$_univla_profile}"
export FASTDDS_DEFAULT_PROFILES_FILE="${FASTDDS_DEFAULT_PROFILES_FILE:-$FASTRTPS_DEFAULT_PROFILES_FILE}"

unset _univla_root _univla_libraries _univla_prefix _univla_entry _univla_ifs _univla_profile
