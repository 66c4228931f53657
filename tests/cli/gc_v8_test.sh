#!/bin/sh
# Programs that live by managed objects give the same under Atoll and V8. usage: gc_v8_test.sh ATOLL FOLDER
# Exit 77 = V8 cannot be had, and why.
atoll=$1
folder=$2
here=$(cd "$(dirname "$0")" && pwd)
tools=$(sh "$here/../v8.sh" 2>&1) || {
    status=$?
    echo "$tools"
    exit $status
}
node=${tools%% *}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
for program in "trees 13" "scheduler 30" "hashmap 150001" "strings 30011" "cycles 70001" "churn 1000003" "shapes 99"; do
    # shellcheck disable=SC2086
    set -- $program
    "$atoll" asm -o "$dir/$1.wasm" "$folder/$1.wat" || failed=1
    ours=$("$atoll" run --invoke run "$dir/$1.wasm" "$2" 2>&1)
    theirs=$("$node" "$here/../../bench/export.mjs" "$dir/$1.wasm" run "$2" 2>&1)
    echo "$1 $2: $ours"
    if [ -z "$ours" ] || [ "$ours" != "$theirs" ]; then
        echo "  V8 gives $theirs"
        failed=1
    fi
done
exit $failed
