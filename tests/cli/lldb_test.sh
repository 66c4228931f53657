#!/bin/sh
# run --gdb with a debugger that nobody here wrote: what an lldb of Debian's understands of the server.
# usage: lldb_test.sh ATOLL
atoll=$1
skip() {
    echo "skipped: $*"
    exit 77
}
lldb=$(command -v lldb || command -v lldb-19 || command -v lldb-16) || skip "no lldb"
dir=$(mktemp -d) || exit 1
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
cat >percent.c <<'END'
int ratio(int a, int b) {
    int quotient = a / b;
    return quotient;
}
int main(int argc, char **argv) { return ratio(7, argc - 1); }
END
clang --target=wasm32-wasi -g -O0 percent.c -o percent.wasm 2>log || skip "no C compiler for wasm32-wasi: $(head -n 1 log)"

"$atoll" run --gdb 0 percent.wasm >server 2>&1 &
server=$!
for _ in $(seq 100); do
    address=$(sed -n 's/.*waiting for a debugger at //p' server)
    [ -n "$address" ] && break
    sleep 0.1
done
timeout 120 "$lldb" -b -o "settings set plugin.process.gdb-remote.packet-timeout 60" \
    -o "process connect --plugin gdb-remote connect://$address" -o "breakpoint set -n ratio" -o "continue" -o "next" \
    -o "quit" >session 2>&1 || { cat session server; exit 1; }
wait "$server"
status=$?
server=
failed=0
# has FILE PATTERN
has() {
    grep -q -e "$2" "$1" || { echo "FAILED: no \"$2\""; failed=1; }
}
has session "frame #0: .*percent.wasm"
has session "Breakpoint 1: where = percent.wasm.ratio"
has session "stop reason = breakpoint 1.1"
has session "ratio(.* at percent.c:2"
has session "stop reason = integer divide by zero"
[ $status -gt 128 ] || { echo "FAILED: exit status $status"; failed=1; }
[ $failed = 0 ] || cat session server
exit $failed
