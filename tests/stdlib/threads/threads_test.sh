#!/bin/sh
# Programs with threads, from C (guest.c) and from text. usage: threads_test.sh ATOLL
atoll=$1
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

if ! clang --target=wasm32 -O2 -matomics -mbulk-memory -ffreestanding -nostdlib -Werror "$here/guest.c" "$here/start.s" \
    -Wl,--import-memory,--shared-memory,--max-memory=4194304,--no-entry -o "$dir/guest.wasm" 2>"$dir/log"; then
    echo "clang cannot compile threads for wasm32 here:"
    head -3 "$dir/log"
    exit 77
fi
[ "$ATOLL_TSAN" = ON ] && tier=--tier=interp || tier=
mkdir "$dir/work"
: >"$dir/-z"
mkfifo "$dir/silent"
sleep 300 >"$dir/silent" & # a writer that never writes
writer=$!
trap 'kill $writer; rm -rf "$dir"' EXIT

# expect NAME STATUS OUTPUT ERROR COMMAND...: the whole output; a pattern that standard error has (empty: nothing is there)
expect() {
    name=$1 status=$2 output=$3 error=$4
    shift 4
    found=$("$@" 2>"$dir/err" <"$dir/silent")
    got=$?
    if [ "$got" != "$status" ]; then
        problem="status $got, not $status"
    elif [ "$found" != "$output" ]; then
        problem="printed: $found"
    elif [ -n "$error" ] && ! grep -q -e "$error" "$dir/err"; then
        problem="no \"$error\" in standard error"
    elif [ -z "$error" ] && [ -s "$dir/err" ]; then
        problem="standard error is not empty"
    else
        echo "ok: $name"
        return
    fi
    echo "FAILED: $name: $problem"
    head -5 "$dir/err"
    failed=1
}
run() { "$atoll" run $ATOLL_RUN_FLAGS "$@"; }
guest="$dir/guest.wasm"

expect "threads, locks and atomics" 0 "counter 16000
atomic counter 16000" "" run "$guest" count
expect "threads start threads" 0 "threads 8" "" run "$guest" nested
expect "threads one after another leave nothing behind" 0 "one after another 1000" "" run --max-threads 4 "$guest" many
expect "the limit refuses" 0 "refused 6
started 3" "" run --max-threads 3 "$guest" limit
expect "no thread at all" 0 "refused 6
started 0" "" run --max-threads 0 "$guest" limit
expect "memory grows to its maximum" 0 "pages 64" "" run "$guest" grow
expect "or to the limit" 0 "pages 20" "" run --max-memory 1310720 "$guest" grow
expect "a descriptor table under load" 0 "done" "" run --dir "$dir/work::." "$guest" files
[ "$(sort "$dir/work/log" | uniq -c | tr -s ' ')" = " 400 one line" ] || { echo "FAILED: lines of the log"; failed=1; }
[ "$(ls "$dir/work")" = log ] || { echo "FAILED: files left behind"; failed=1; }
expect "arguments that change under the host" 0 "inside" "" run --dir "$dir/work::." "$guest" race
[ -z "$(tr -d four <"$dir/work/log")" ] || { echo "FAILED: bytes nobody wrote"; failed=1; }

for meanwhile in loop wait poll read; do
    expect "an exit on a thread, first in $meanwhile" 7 "" "" run "$guest" exit $meanwhile
    expect "a trap on a thread, first in $meanwhile" 134 "" "unreachable (in thread 3)" run "$guest" trap $meanwhile
    grep -q " begin+0x" "$dir/err" || { echo "FAILED: no backtrace of the thread"; failed=1; }
    # the thread sanitizer holds back a signal for a thread that waits for another to finish its read, and in compiled code
    [ "$meanwhile$ATOLL_TSAN" = readON ] && continue
    expect "a timeout, first in $meanwhile" 124 "" "stopped after --timeout" run $tier --timeout 200ms "$guest" beside $meanwhile
done
expect "a thread's stack is as deep as the first's, and ends" 134 "" "call stack exhausted (in thread 3)" \
    run --max-stack 100k "$guest" deep wait
expect "the first returns, and the program ends" 0 "" "" run "$guest" beside return
expect "a trap of the first" 134 "" "trap: unreachable$" run "$guest" beside trap
expect "threads have their fuel in common" 134 "" "all fuel consumed" run --fuel 3000000 "$guest" beside wait
expect "and enough of it suffices" 0 "counter 16000
atomic counter 16000" "" run --fuel 100000000 "$guest" count
expect "requests are traced" 0 "threads 8" "^thread max=9 = 8$" run --strace --max-threads 9 "$guest" nested

"$atoll" run "$guest" beside wait <"$dir/silent" &
program=$!
sleep 0.3 # a signal before the program starts ends it with the same status
kill -TERM $program
wait $program
[ $? = 143 ] || { echo "FAILED: a signal ends all threads"; failed=1; }

# refuse NAME PATTERN TEXT [FLAGS]: cannot be linked, and one line says why
refuse() {
    printf '%s' "$3" >"$dir/program.wat"
    name=$1 pattern=$2
    shift 3
    expect "$name" 126 "" "$pattern" run "$@" "$dir/program.wat"
}
spawn='(import "wasi" "thread-spawn" (func (param i32) (result i32)))'
start='(func (export "wasi_thread_start") (param i32 i32))'
refuse "a start function is needed" "does not export wasi_thread_start" "(module $spawn)"
refuse "of the right type" "does not export wasi_thread_start" \
    "(module $spawn (func (export \"wasi_thread_start\") (param i32 i64)))"
refuse "shared memory is needed" "has to import its memory" "(module $spawn $start (memory 1))"
refuse "imported and shared" "not shared" "(module $spawn (import \"env\" \"memory\" (memory 1 1)) $start)"
refuse "spawn has one type" "incompatible import type" \
    "(module (import \"wasi\" \"thread-spawn\" (func (param i64) (result i32))) $start)"
refuse "a memory within the limit" "exceeds the limit" \
    "(module $spawn (import \"env\" \"memory\" (memory 9 9 shared)) $start)" --max-memory 64k
refuse "others' imports stay unknown" "unknown import: env.f" "(module $spawn (import \"env\" \"f\" (func)) $start)"
echo '(module (func (export "f")) (global (export "g") (mut i32) (i32.const 0)) (memory (export "m") 1 1 shared))' \
    >"$dir/lib.wat"
refuse "what would need a second shared memory" "env.f: its module makes a shared memory" \
    "(module $spawn (import \"env\" \"f\" (func)) $start)" --preload "env=$dir/lib.wat"
refuse "of others too" "lib.g: its module makes a shared memory" \
    "(module $spawn (import \"lib\" \"g\" (global (mut i32))) $start)" --preload "lib=$dir/lib.wat"

printf 'library "libm.so.6"; module "m";\ndouble cbrt(double x);\n' >"$dir/libm.ffi"
refuse "native libraries that do not say so" "m.cbrt: its library serves one thread" \
    "(module $spawn (import \"m\" \"cbrt\" (func (param f64) (result f64))) $start)" --native "$dir/libm.ffi"
echo '(module (import "m" "cbrt" (func $f (param f64) (result f64))) (export "f" (func $f)))' >"$dir/inner.wat"
refuse "not through a preload either" "inner.f: its library serves one thread" \
    "(module $spawn (import \"inner\" \"f\" (func (param f64) (result f64))) $start)" \
    --native "$dir/libm.ffi" --preload "inner=$dir/inner.wat"

# Each thread has instances of its own of the preloads, with their globals and tables, and the shared memory of all;
# and each calls native libraries that say they serve several.
echo '(module (memory (export "memory") 1 1 shared) (func (export "unused")))' >"$dir/env.wat"
echo '(module (import "env" "memory" (memory 1 1 shared)) (import "m" "cbrt" (func $cbrt (param f64) (result f64)))
    (import "c" "abs" (func $abs (param i32) (result i32)))
    (global $calls (export "calls") (mut i32) (i32.const 0)) (table (export "t") 1 funcref) (tag (export "tag") (param i32))
    (func (export "_initialize") (global.set $calls (i32.const 100)))
    (func (export "add") (param i32) (result i32)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (drop (i32.atomic.rmw.add (i32.const 0) (i32.trunc_f64_s (call $cbrt (f64.convert_i32_s (local.get 0))))))
        (drop (i32.atomic.rmw.add (i32.const 4) (call $abs (i32.const -1))))
        (global.get $calls)))' \
    >"$dir/lib2.wat"
printf 'library "libc.so.6"; module "c"; threads;\nint abs(int x);\n' >"$dir/libc.ffi"
printf 'library "libm.so.6"; module "m"; threads;\ndouble cbrt(double x);\n' >"$dir/libm.ffi"
echo '(module (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
    (import "env" "memory" (memory 1 1 shared)) (import "lib" "add" (func $add (param i32) (result i32)))
    (import "lib" "calls" (global $calls (mut i32))) (import "lib" "t" (table $t 1 funcref))
    (import "lib" "tag" (tag $tag (param i32))) (import "c" "abs" (func $abs (param i32) (result i32)))
    (func (export "wasi_thread_start") (param i32 i32) (local i32)
        (loop $again
            (local.set 2 (call $add (i32.const 27)))
            (br_if $again (i32.lt_u (local.get 2) (i32.const 150))))
        (if (i32.ne (global.get $calls) (i32.const 150)) (then unreachable))
        (table.set $t (i32.const 0) (ref.null func))
        (drop (block (result i32) (try_table (catch $tag 0) (throw $tag (call $abs (i32.const -5)))) unreachable))
        (drop (i32.atomic.rmw.add (i32.const 8) (i32.const 1)))
        (drop (memory.atomic.notify (i32.const 8) (i32.const 1))))
    (func (export "go") (result i32 i32 i32) (local i32)
        (loop $more (drop (call $spawn (i32.const 0)))
            (br_if $more (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 4))))
        (loop $wait (drop (memory.atomic.wait32 (i32.const 8) (i32.atomic.load (i32.const 8)) (i64.const 10000000)))
            (br_if $wait (i32.lt_u (i32.atomic.load (i32.const 8)) (i32.const 4))))
        (i32.atomic.load (i32.const 0)) (i32.atomic.load (i32.const 4)) (global.get $calls)))' >"$dir/program.wat"
expect "preloads and native libraries of each thread" 0 "600
200
100" "" run --native "$dir/libm.ffi" --native "$dir/libc.ffi" --preload "env=$dir/env.wat" --preload "lib=$dir/lib2.wat" \
    --invoke go "$dir/program.wat"
expect "a preload that cannot start on a thread" 134 "" "thread cannot start: more than 4 instances" run --max-instances 4 \
    --native "$dir/libm.ffi" --native "$dir/libc.ffi" --preload "env=$dir/env.wat" --preload "lib=$dir/lib2.wat" \
    --invoke go "$dir/program.wat"

# A thread that cannot be made has no room of its own: the program ends as by a trap. Passed on, the memory of another
# instance is shared too. Also from the start function.
echo '(module (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32))) (import "env" "m" (memory 1 1 shared))
    (global $n (mut i32) (i32.const 0))
    (func (export "wasi_thread_start") (param i32 i32) (i32.store (i32.const 8) (local.get 1))
        (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1))) (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))
    (func $go (if (i32.eqz (i32.atomic.rmw.add (i32.const 4) (i32.const 1))) (then
        (drop (call $spawn (i32.const 42)))
        (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))))
    (start $go)
    (func (export "get") (result i32) (i32.load (i32.const 8))))' >"$dir/program.wat"
expect "threads from a start function, on a preloaded memory" 0 "42" "" \
    run --preload "env=$dir/lib.wat" --invoke get "$dir/program.wat"
echo '(module (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32))) (import "env" "m" (memory 1 1 shared))
    (memory $own 10) (func (export "wasi_thread_start") (param i32 i32))
    (func (export "_start") (drop (call $spawn (i32.const 42)))
        (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))' >"$dir/program.wat"
expect "no room for a thread" 134 "" "thread cannot start: memory of 10 pages exceeds" \
    run --max-memory 1M "$dir/program.wat"
"$atoll" features --imports | grep -q "^wasi  *thread-spawn  *i:i$" || { echo "FAILED: features"; failed=1; }
exit $failed
