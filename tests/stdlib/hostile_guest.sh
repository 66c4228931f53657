#!/bin/sh
# Runs a hostile guest in a directory with a secret beside it, in both tiers. usage: hostile_guest.sh ATOLL GUEST.c
atoll=$1
dir=$(mktemp -d)
swapper=
trap '[ -z "$swapper" ] || kill "$swapper" 2>/dev/null; rm -rf "$dir"' EXIT
if ! clang --target=wasm32-wasi -O1 "$2" -o "$dir/guest.wasm" 2>"$dir/log"; then
    echo "clang cannot compile for wasm32-wasi here:"
    head -3 "$dir/log"
    exit 77
fi
for tier in interp jit; do
    rm -rf "$dir/out" && mkdir -p "$dir/out/in/sub" "$dir/out/in/swap"
    cd "$dir/out" || exit 1
    echo secret >secret
    echo file >in/file
    echo inside >in/swap/secret.inside
    ln -s ../secret in/up
    ln -s "$dir/out/secret" in/absolute
    ln -s .. in/dir
    # the directory "swap" is a link to the outside half of the time
    (cd in && while :; do
        mv swap kept && ln -s .. swap && rm swap && mv kept swap
    done) 2>/dev/null &
    swapper=$!
    "$atoll" run --tier=$tier --timeout 60s --dir in::. --env NAME=value "$dir/guest.wasm" <secret >"$dir/said" 2>&1
    status=$?
    kill "$swapper"
    wait "$swapper" 2>/dev/null
    swapper=
    [ $status -eq 0 ] || { echo "--tier=$tier, status $status:"; cat "$dir/said"; exit 1; }
    [ "$(cat secret)" = secret ] && [ "$(ls | tr '\n' ' ')" = "in secret " ] || { echo "the outside changed:"; ls -l; exit 1; }
done
