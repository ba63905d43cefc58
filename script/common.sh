# Sourced by serve and test: the project's virtual environment, made and brought up to date when needed.

fail() {
    echo "$(basename "$0"): $1" >&2
    exit 1
}

# Print a Python that is new enough and can make environments: $PYTHON, else the distribution's, which is built with the
# optimizations that those of version managers mostly lack (docs/performance.md has what they are worth).
find_python() {
    local candidate
    for candidate in ${PYTHON:-/usr/bin/python3 python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# apt_install PACKAGE...: only as root, only where apt is. No service is started: a system Redis on the default port
# would be none of ours, and the gateway and the tests start their own servers on sockets of their own.
apt_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    local policy=/usr/sbin/policy-rc.d made=
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        made=yes
    fi
    local status=0
    {
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" ||
            { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; }
    } </dev/null >&2 || status=$?
    if [ -n "$made" ]; then rm -f "$policy"; fi
    return "$status"
}

# prepare_environment DIRECTORY EXTRA [REQUIREMENTS]: .venv with the project, editable, the dependencies of an extra
# and those of a requirements file.
# A stamp remembers the setup.py that was installed, so that a second start costs nothing. Scripts that are started side
# by side wait for each other.
prepare_environment() {
    local root=$1 extra=$2 requirements=${3:-} python environment stamp wanted lock
    exec {lock}<"$root/setup.py"
    if command -v flock >/dev/null; then flock "$lock"; fi
    environment=$root/.venv
    stamp=$environment/.installed${extra:+-$extra}
    wanted=$(cat "$root/setup.py" "$root/pyproject.toml" ${requirements:+"$root/$requirements"} | cksum)
    if ! "$environment/bin/python" -c 'import pip' 2>/dev/null; then
        # Debian's python3 comes without ensurepip, or not at all where a version manager is used.
        if [ -z "${PYTHON:-}" ] && ! /usr/bin/python3 -c 'import ensurepip' 2>/dev/null; then
            apt_install python3 python3-venv || true
        fi
        python=$(find_python) ||
            fail "needs Python 3.11 or later with its venv module (Debian: python3 python3-venv)"
        "$python" -m venv "$environment" >&2
    fi
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
            --editable "$root${extra:+[$extra]}" ${requirements:+--requirement "$root/$requirements"} </dev/null >&2
        echo "$wanted" >"$stamp"
    fi
    exec {lock}<&-
}
