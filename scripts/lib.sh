# What scripts/demo, test and check share: what must be there before they can work, and how it gets there.
# Sourced by sh with $top set to the project's folder. Everything is made below $top/.venv and $top/.cache.
#
# Debian packages come from debian-packages.txt: root gets them by apt, a user is told what to install (exit 69).
# Python packages come from requirements-dev.txt, by the pip of a virtual environment, from where pip is set to look.

# The tools keep what they remember in one place.
export MYPY_CACHE_DIR="$top/.cache/mypy" RUFF_CACHE_DIR="$top/.cache/ruff"
export HYPOTHESIS_STORAGE_DIRECTORY="$top/.cache/hypothesis"
pytest_cache=cache_dir=$top/.cache/pytest

progress() { printf '== %s\n' "$*" >&2; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 69; }

# The names of the packages that $1 (demo, test) needs.
packages_for() {
    awk -v want="$1" '!/^#/ && NF { for (i = 2; i <= NF && ($i == "demo" || $i == "test"); i++) if ($i == want) print $1 }' \
        "$top/scripts/debian-packages.txt"
}

installed() { dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed; }

# Make sure that all Debian packages for $1 are there.
need_packages() {
    command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
        fail "this needs Debian 12 or later: it gets what it lacks by apt-get"
    missing=
    for package in $(packages_for "$1"); do
        installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        printf '%s: Debian packages are missing:%s\nInstall them as root, then run it again:\n\n    %s\n\n' "${0##*/}" "$missing" \
            "apt-get update && apt-get install --no-install-recommends$missing" >&2
        exit 69
    fi
    progress "installing Debian packages:$missing"
    apt_lists
    # One word a package:
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing \
        </dev/null >"$top/.cache/apt.log" 2>&1 || { cat "$top/.cache/apt.log" >&2; fail "apt-get install failed"; }
}

# Fetch apt's lists of packages, once in a run.
apt_lists() {
    [ -z "${apt_lists_fetched-}" ] || return 0
    mkdir -p "$top/.cache"
    apt-get -qq -o DPkg::Lock::Timeout=300 update </dev/null >"$top/.cache/apt.log" 2>&1 ||
        { cat "$top/.cache/apt.log" >&2; fail "apt-get update failed"; }
    apt_lists_fetched=yes
}

# Make the virtual environment $2 with the interpreter $1 and requirements-dev.txt, unless it is as it should be.
need_venv() {
    stamp=$("$1" -c 'import sys; print(sys.version, sys.prefix)')$(cat "$top/requirements-dev.txt")
    if ! [ -f "$2/made-from" ] || [ "$(cat "$2/made-from")" != "$stamp" ] || ! "$2/bin/python" -c '' 2>/dev/null; then
        progress "installing Python packages into ${2#"$top"/}"
        "$1" -m venv --clear "$2" || fail "cannot make a virtual environment with $1"
        "$2/bin/python" -m pip install -q --disable-pip-version-check -r "$top/requirements-dev.txt" </dev/null ||
            fail "pip could not install what requirements-dev.txt lists"
        printf '%s\n' "$stamp" >"$2/made-from"
    fi
    site=$("$2/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$top/src" >"$site/msmtp.pth" # what pip install -e would do, without a build and its files
    borrow "$2" "$site" gssapi raw/misc gssapi 'krb5-config --version'
    borrow "$2" "$site" systemd _daemon systemd-python 'pkg-config --exists libsystemd'
}

# Let the environment $1, packages in $2, use Debian's build of the library $3, if it fits; $4 is one of its compiled
# files. pip has none that is compiled, but may be able to compile $5 where the command $6 succeeds (which takes gcc and the
# interpreter's headers, too). Without it, tests are skipped.
borrow() {
    library=/usr/lib/python3/dist-packages/$3
    ! "$1/bin/python" -c "import $3" 2>/dev/null || return 0
    suffix=$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
    # $6 is a command and its words:
    # shellcheck disable=SC2086
    if [ -e "$library/$4$suffix" ]; then
        ln -sf "$library" "$2/$3"
    elif $6 >/dev/null 2>&1 && command -v cc >/dev/null; then
        "$1/bin/python" -m pip install -q --disable-pip-version-check "$5" </dev/null >&2 || true
    fi
}

# Unpack Debian's programs that tests compare with and talk to.
need_programs() {
    if ! "$1" -m tests.support.debian --check; then
        [ "$(id -u)" -ne 0 ] || apt_lists
        progress "fetching the mail servers that the tests talk to, and Debian's msmtp"
        "$1" -m tests.support.debian || fail "they could not be fetched; as root, apt-get update may help"
    fi
}
