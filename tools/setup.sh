#!/bin/sh
# Make .venv and install the package with its pinned dependencies; `make` calls this when they have changed.
# Whatever stops it is said in one line with the remedy; pip's own words are in .venv/install.log.
set -eu

log=.venv/install.log
need_gb=${NEED_GB:-3}

die() {
    echo "set-up: $*" >&2
    exit 1
}

# Run the interpreter rather than look for its name: a name on the path may be a shim for a version that is not installed.
usable() {
    "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        usable "$PYTHON" || die "PYTHON=$PYTHON is not a Python 3.11 or newer with venv; name another, as in make PYTHON=python3.11"
        echo "$PYTHON"
        return
    fi
    for name in python3.11 python3.12 python3.13 python3; do  # the pins are tested on 3.11, so it comes first
        if usable "$name"; then
            echo "$name"
            return
        fi
    done
    found=$(python3 -V 2>&1 || true)
    die "needs Python 3.11 or newer with its venv module (python3 here: ${found:-none}); install one and run make again, or name it: make PYTHON=/path/to/python3.11"
}

free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
[ "$free_kb" -ge $((need_gb * 1024 * 1024)) ] ||
    die "the disk is too full: the dependencies need about $need_gb GB, $((free_kb / 1024)) MB are free here; make room and run make again"

if ! usable .venv/bin/python; then
    python=$(find_python)
    echo "set-up: making .venv with $("$python" -V)"
    "$python" -m venv --clear .venv || die "$python could not make .venv (see above); is this folder writable?"
fi

echo "set-up: installing the pinned dependencies, a few minutes, once (to watch: tail -f $log)"
if ! .venv/bin/python -m pip install --disable-pip-version-check --no-input -e ".[test,docs]" -c constraints.txt >"$log" 2>&1; then
    why=$(grep -E '^ *ERROR: ' "$log" | tail -n 1 | sed 's/^ *ERROR: //' | cut -c 1-200)
    if grep -q 'No space left on device' "$log"; then
        remedy="the disk is full: make room and run make again"
    elif grep -qE 'ConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|No matching distribution' "$log"; then
        remedy="the package index was not reached or lacks this version: check the network (or pip's index setting) and run make again"
    else
        remedy="read the log, mend that and run make again"
    fi
    die "pip failed (${why:-no error line}); $remedy; log: $log"
fi

# What benchmarks compare against: one by one, so that a library the index lacks is named here, and skipped by name there.
missing=
peer() {
    .venv/bin/python -m pip install --disable-pip-version-check --no-input -c constraints.txt "$@" >>"$log" 2>&1 || missing="$missing $1"
}
for name in POT torchode einops; do peer "$name"; done
for name in azula k-diffusion; do peer "$name" --no-deps; done  # their own ask for torchvision and more, which what is used here does not
[ -z "$missing" ] || echo "set-up: not installed, so benchmarks and tests skip them:$missing (log: $log)"
touch .venv/.installed
