# tests/cli/lib.sh: what the scripts of this folder share. Sourced with $1 = atoll, $2 = the samples.
atoll=$1
samples=$2
failed=0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export XDG_CACHE_HOME=$dir/cache

# expect STATUS TEXT ARGS...: the status, and a line of output or errors that holds TEXT
expect() {
    status=$1 text=$2
    shift 2
    "$atoll" "$@" >"$dir/out" 2>&1 </dev/null
    got=$?
    if [ "$got" -ne "$status" ] || { [ -n "$text" ] && ! grep -qF -e "$text" "$dir/out"; }; then
        echo "atoll $*: status $got, expected $status and '$text'; got:"
        cat "$dir/out"
        failed=1
    fi
}

# one_line: the last command's output was one line
one_line() {
    if [ "$(wc -l <"$dir/out")" -ne 1 ]; then
        echo "more than a line:"
        cat "$dir/out"
        failed=1
    fi
}

# check WHAT COMMAND...: the command succeeds
check() {
    what=$1
    shift
    if ! "$@"; then
        echo "not so: $what"
        failed=1
    fi
}
same() { [ "$(cat "$1")" = "$2" ]; }
absent() { [ ! -e "$1" ]; }
no_leftovers() { [ "$(ls -A "$1" | wc -l)" -eq "$2" ]; }
