#!/bin/sh
# Generated modules under Atoll and V8, compared. usage: against_v8.sh RUN_MODULES FIRST COUNT
# Exit 77 = skipped, and why. ATOLL_FUZZ_JOBS processes at a time (1), a thousand modules each, since V8 keeps what it
# compiled. Disagreeing modules stay, in the folder that is named.
here=$(cd "$(dirname "$0")" && pwd)
run_modules=$1 first=$2 count=$3
tools=$(sh "$here/../../v8.sh" 2>&1) || {
    status=$?
    echo "$tools"
    exit $status
}
# shellcheck disable=SC2086
set -- $tools
folder=$(mktemp -d) || exit 1
at=$first
while [ "$at" -lt $((first + count)) ]; do
    n=$((first + count - at))
    [ "$n" -gt 1000 ] && n=1000
    echo "$at $n"
    at=$((at + n))
done | xargs -P "${ATOLL_FUZZ_JOBS:-1}" -L 1 "$1" "$here/against_v8.mjs" "$run_modules" "$2" "$folder" 2>&1 | awk -v folder="$folder" '
    /^generated / {
        n = split($0, parts, ", ")
        for (i = 1; i <= n; i++) { what = parts[i]; sub(/ [0-9]+$/, "", what); sub(/.* /, "", parts[i]); total[what] += parts[i]; order[i] = what }
        done = n
        next
    }
    { print; other = 1 }
    END {
        for (i = 1; i <= done; i++) printf("%s%s %d", (i > 1 ? ", " : ""), order[i], total[order[i]])
        print ""
        if (total["disagree"] || other) print "kept in " folder
        exit total["disagree"] || other || !total["compared"]
    }'
status=$?
[ $status -ne 0 ] || rm -rf "$folder"
exit $status
