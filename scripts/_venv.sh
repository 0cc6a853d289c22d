# Sourced by the other scripts, in the project's root: finds Python and keeps the virtual environment current.
# VENV names another folder than .venv.

VENV=${VENV:-.venv}

find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        # Debian's python3 may come without ensurepip, a version manager's shim without a Python behind it.
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11 or newer with the module venv is needed, and none was found (Debian: python3-venv)." >&2
    return 1
}

# install STAMP WHAT...: installs WHAT unless pyproject.toml is the same as when STAMP was left.
install() {
    stamp=$VENV/.quintet-$1
    shift
    if ! "$VENV/bin/python" -c '' 2>/dev/null; then
        python=$(find_python) || return 1
        echo "Making $VENV with $("$python" --version)" >&2
        "$python" -m venv --clear "$VENV" || return 1
    fi
    if cmp -s pyproject.toml "$stamp"; then
        return
    fi
    echo "Installing $*" >&2
    "$VENV/bin/python" -m pip install -qq --disable-pip-version-check "$@" >&2 || return 1
    cp pyproject.toml "$stamp"
}
