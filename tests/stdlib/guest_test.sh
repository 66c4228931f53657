#!/bin/sh
# Runs one guest natively and under atoll, each in an empty directory, and compares what they print and exit with.
# usage: guest_test.sh ATOLL GUEST.c
atoll=$1
source=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
if ! clang --target=wasm32-wasi -O1 "$source" -o "$dir/guest.wasm" 2>"$dir/log"; then
    echo "clang cannot compile for wasm32-wasi here:"
    head -3 "$dir/log"
    exit 77
fi
${CC:-clang} -D_GNU_SOURCE -O1 "$source" -o "$dir/guest" || exit 1
mkdir "$dir/native" "$dir/sandboxed"
input='first line
second line
'
cd "$dir/native" || exit 1
printf '%s' "$input" | env -i COLOUR=red EMPTY= "$dir/guest" one 'two words' '' >"$dir/native.out" 2>"$dir/native.err"
echo "exit status $?" >>"$dir/native.out"
cd "$dir/sandboxed" || exit 1
printf '%s' "$input" | "$atoll" run --dir . --env COLOUR=red --env EMPTY= "$dir/guest.wasm" one 'two words' '' \
    >"$dir/sandboxed.out" 2>"$dir/sandboxed.err"
echo "exit status $?" >>"$dir/sandboxed.out"
cd "$dir" || exit 1
diff native.out sandboxed.out && diff native.err sandboxed.err && diff -r --no-dereference native sandboxed
