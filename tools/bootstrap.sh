#!/bin/sh
# Prepare a checkout: system packages, the virtual environment, the collections.
#
#   tools/bootstrap.sh [dev] [lab] [browser]      (dev and lab when none is named)
#
#   dev       lint, unit tests, builds
#   lab       the systemd containers of molecule, the demo and the end to end tests
#   browser   the tests of pages that people look at
#
# Only missing Debian packages are installed, by root or through sudo; everything
# else stays inside the checkout. A second run finds nothing to do in under a second.
set -eu

cd "$(dirname "$0")/.."
root=$PWD
cache=$root/.cache

dev_packages="ca-certificates git make openssh-client python3 python3-pip python3-venv shellcheck"
lab_packages="aardvark-dns catatonit iproute2 iptables mmdebstrap netavark nftables podman runc uidmap"
browser_packages="chromium chromium-driver"

main() {
    wanted=
    for part in "${@:-dev lab}"; do
        # Unquoted: the default names two parts.
        for name in $part; do
            case $name in
                dev) wanted="$wanted $dev_packages" ;;
                lab) wanted="$wanted $lab_packages" ;;
                browser) wanted="$wanted $browser_packages" ;;
                *) fail "unknown part '$name': choose among dev, lab, browser" ;;
            esac
        done
    done

    mkdir -p "$cache"
    serialise
    install_packages "$wanted"
    install_environment
    .venv/bin/python tools/fill_collections.py
}

say() { printf 'bootstrap: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }

# Two terminals may start at once; the second then finds the work done.
serialise() {
    command -v flock >/dev/null || return 0
    exec 9>"$cache/bootstrap.lock"
    flock 9
}

install_packages() {
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian system: make sure the equivalents of these are here:$1"
        return 0
    fi
    missing=$(missing_packages "$1")
    [ -n "$missing" ] || return 0

    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "run as root: apt-get install --no-install-recommends $missing"
        as_root=sudo
    fi
    say "installing system packages: $missing"
    $as_root apt-get -qq update
    # shellcheck disable=SC2086  # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends $missing >"$cache/apt.log" </dev/null ||
        fail "apt-get failed, see $cache/apt.log"
}

missing_packages() {
    # shellcheck disable=SC2086  # a list of words
    installed=$(dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' $1 2>/dev/null || true)
    missing=
    for package in $1; do
        printf '%s\n' "$installed" | grep -qx "installed $package" || missing="$missing $package"
    done
    printf '%s' "${missing# }"
}

# The system's Python comes first: what a version manager puts on PATH may be a
# shim that only prints an error.
find_python() {
    for candidate in "${PYTHON:-/usr/bin/python3}" python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$candidate"
            return 0
        fi
    done
    fail "Python 3.11 or newer with its venv module is needed; name one with PYTHON=…"
}

install_environment() {
    stamp=$(cat requirements/uv.txt requirements/dev.txt | sha256sum | cut -d' ' -f1)
    [ "$(cat .venv/stamp 2>/dev/null || true)" != "$stamp" ] || return 0

    say "filling .venv from requirements/dev.txt"
    export PIP_CACHE_DIR="$cache/pip" UV_CACHE_DIR="$cache/uv"
    # uv knows a private certificate authority by another name than pip does.
    [ -z "${PIP_CERT:-}" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"

    python=$(find_python)
    .venv/bin/python -c '' 2>/dev/null || "$python" -m venv --clear .venv

    # pip does the same, slower, where uv has no build or cannot see pip's mirror.
    if ! { pip install --require-hashes --requirement requirements/uv.txt && uv_install; }; then
        pip install --require-hashes --requirement requirements/dev.txt
    fi
    printf '%s\n' "$stamp" >.venv/stamp
}

pip() {
    .venv/bin/python -m pip --quiet --disable-pip-version-check "$@"
}

uv_install() {
    .venv/bin/uv pip install --quiet --python .venv/bin/python \
        --require-hashes --requirement requirements/dev.txt
}

main "$@"
