#!/bin/bash
# The README's tour, command by command, in a folder that looks like a fresh clone after ./dev build. A line of "..."
# stands for any lines, hexadecimal offsets for any: they are the compiler's. usage: tour_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"
root=$(cd "$samples/.." && pwd)
atoll=$(cd "$(dirname "$atoll")" && pwd)/$(basename "$atoll")
cd "$dir" || exit 1
ln -s "$root/samples" samples
mkdir -p build/release/cli
ln -s "$atoll" build/release/cli/atoll
clang --target=wasm32-wasi samples/hello.c -o probe.wasm 2>/dev/null || { echo "no compiler for wasm32-wasi here"; exit 77; }

any_offset() { sed 's/0x[0-9a-f]*/0x/g'; }

# matches WANTED GOT: as the test's head says
matches() {
    local wanted got line i=0
    mapfile -t wanted < <(any_offset <"$1")
    mapfile -t got < <(any_offset <"$2")
    for line in "${wanted[@]}"; do
        if [[ $line =~ ^\ *\.\.\.$ ]]; then
            i=${#got[@]}
        else
            [[ $i -lt ${#got[@]} && ${got[i]} == "$line" ]] || return 1
            i=$((i + 1))
        fi
    done
    ((i == ${#got[@]}))
}

n=0 command= status=0
: >wanted
look() {
    [[ $command ]] || return 0
    n=$((n + 1))
    (exit "$status")
    eval "$command" >got 2>&1
    status=$?
    if ! matches wanted got; then
        printf 'the tour says of "%s":\n' "$command"
        cat wanted
        echo "and it is:"
        cat got
        failed=1
    fi
    : >wanted
}
while IFS= read -r line; do
    if [[ $line == '    $ '* ]]; then
        look
        command=${line#'    $ '}
    elif [[ $line == '    '* ]]; then
        printf '%s\n' "${line#    }" >>wanted
    fi
done < <(sed -n '/^## Sixty seconds/,/^`atoll help run`/p' "$root/README.md")
look
check "the tour has commands, $n" [ "$n" -ge 9 ]
exit $failed
