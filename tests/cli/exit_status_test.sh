#!/bin/sh
# What `atoll run` exits with, and that a fault is told in one line. usage: exit_status_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"

echo '(module (func (export "_start") (loop br 0)))' >"$dir/loop.wat"
echo '(module (func $f (export "_start") unreachable))' >"$dir/trap.wat"
echo '(module (func (export "_start") (local i32) (i64.add)))' >"$dir/invalid.wat"
echo '(module (func (export "_start") call $g) (func $g call $g))' >"$dir/deep.wat"
echo '(module (import "a" "b" (func)))' >"$dir/import.wat"
cat >"$dir/exit.wat" <<'END'
(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const 7))))
END
echo '(module (tag $boom (param i32 f64)) (func (export "_start") (throw $boom (i32.const 3) (f64.const 1.5))))' >"$dir/throw.wat"
printf '\0asm\1\0\0' >"$dir/short.wasm"

expect 0 42 run --invoke add "$samples/add.wat" 2 40
expect 7 "" run "$dir/exit.wat"
expect 134 "unreachable" run "$dir/trap.wat"
expect 134 "f+0x" run "$dir/trap.wat"
expect 134 "call stack exhausted" run "$dir/deep.wat"
expect 124 "timeout" run --timeout 100ms "$dir/loop.wat"
expect 134 "fuel" run --fuel 10000 "$dir/loop.wat"
expect 126 "type mismatch" run "$dir/invalid.wat"
expect 126 "unknown import" run "$dir/import.wat"
expect 126 "unexpected end" run "$dir/short.wasm"
expect 127 "No such file" run "$dir/missing.wasm"
expect 134 "uncaught exception: boom(3, 1.5)" run "$dir/throw.wat"
expect 2 "did you mean --timeout" run --timout 1s "$dir/loop.wat"
expect 2 "atoll help" frobnicate
exit $failed
