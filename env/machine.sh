# Checks of the machine for env/setup.sh: what is missing and how to get it.

no_wheels() {
  fail "$1" \
    "The one-command set-up uses ROS 2 wheels, which exist for Linux on x86_64 with glibc 2.28 or" \
    "later and Python 3.10 to 3.14 only. Here, install ROS 2 Jazzy from its packages (or use" \
    "docker/), then: colcon build && . install/setup.bash && ros2 launch univla_ros widowx.launch.py"
}

check_platform() {
  [ "$(uname -s)" = Linux ] || no_wheels "this is $(uname -s), not Linux"
  [ "$(uname -m)" = x86_64 ] || no_wheels "this processor is $(uname -m), not x86_64"
  local glibc
  glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2) || true
  [ -n "$glibc" ] || no_wheels "this system's C library is not glibc"
  printf '2.28\n%s\n' "$glibc" | sort -V -C || no_wheels "this system's glibc is $glibc"
}

python_fits() {
  "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

# Sets $python to the first interpreter that fits, empty if there is none.
find_python() {
  local name
  python=
  for name in ${UNIVLA_PYTHON:+"$UNIVLA_PYTHON"} python3 python3.12 python3.11 python3.13 \
    python3.14 python3.10; do
    if command -v "$name" >/dev/null && python_fits "$name"; then
      python=$("$name" -c 'import sys; print(sys.executable)')
      return
    fi
    [ "$name" != "${UNIVLA_PYTHON:-}" ] || fail "UNIVLA_PYTHON=$name is not Python 3.10 to 3.14"
  done
}

python_lacks_headers() {
  ! "$python" -c 'import os, sysconfig; open(os.path.join(
    sysconfig.get_path("include"), "Python.h")).close()' 2>/dev/null
}

# Prints the apt packages that would provide what is missing, separated by blanks.
missing_packages() {
  local tool
  for tool in cc c++ make cmake flock; do
    command -v "$tool" >/dev/null && continue
    case $tool in
      cc) echo gcc libc6-dev ;;
      c++) echo g++ ;;
      flock) echo util-linux ;;
      *) echo "$tool" ;;
    esac
  done
  if [ -z "$python" ]; then
    echo python3 python3-venv python3-dev
    return
  fi
  # A Python that is not the system's own brings both along, or cannot get them from apt.
  local version=3
  case $python in /usr/bin/*) version=$("$python" -c 'import sys; print("3.%d" % sys.version_info[1])') ;; esac
  "$python" -c 'import venv, ensurepip' 2>/dev/null || echo "python$version-venv"
  ! python_lacks_headers || echo "python$version-dev"
}

check_tools() {
  local packages
  find_python
  packages=$(missing_packages | xargs)
  [ -n "$packages" ] || return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    step "Installing $packages (apt)" install_packages $packages
    find_python
    packages=$(missing_packages | xargs)
  fi
  if [ -z "$packages" ]; then
    return 0
  elif [ -z "$python" ] && command -v python3 >/dev/null; then
    no_wheels "this system's Python is $(python3 -c 'import platform; print(platform.python_version())')"
  fi
  fail "missing on this machine: $packages" "Install it, then try again:" \
    "  sudo apt-get install -y --no-install-recommends $packages" \
    "(on a system without apt-get, the packages of the same purpose)"
}

install_packages() {
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" ca-certificates
}

has_nvidia() {
  [ -e /proc/driver/nvidia/version ] || nvidia-smi -L >/dev/null 2>&1
}

# Sets $device to cpu or cuda.
find_device() {
  case ${UNIVLA_DEVICE:-} in
    cpu | cuda) device=$UNIVLA_DEVICE ;;
    '') if has_nvidia; then device=cuda; else device=cpu; fi ;;
    *) fail "UNIVLA_DEVICE=$UNIVLA_DEVICE is neither cpu nor cuda" ;;
  esac
}

suggest_rendering() {
  local libraries
  libraries=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null) || return 0
  case $libraries in
    *libEGL.so.1*) ;;
    *) say "Hint: libegl1 and libgl1 (apt) make simulated cameras faster; it works without them." ;;
  esac
}
