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
one_line
expect 127 "No such file" run --strace "$dir/missing.wasm"
one_line
expect 126 "unexpected end" run --strace "$dir/short.wasm"
one_line

# files that are no programs
: >"$dir/empty.wasm"
: >"$dir/empty.wat"
truncate -s 3G "$dir/sparse.wasm"
truncate -s 5M "$dir/zeros.wasm"
head -c 3000 /dev/zero | tr '\0' '\377' >"$dir/ones"
cp "$dir/exit.wat" "$dir/secret.wat"
expect 126 "empty.wasm:0x0: unexpected end" run "$dir/empty.wasm"
expect 126 "<stdin>:0x0: unexpected end" run -
expect 0 "" run "$dir/empty.wat"
expect 126 "sparse.wasm: larger than" run "$dir/sparse.wasm"
expect 126 "zeros.wasm:0x0: magic header not detected" run "$dir/zeros.wasm"
one_line
expect 126 "/dev/zero:0x0: magic header not detected" run /dev/zero
one_line
expect 126 "ones:1:1: malformed UTF-8" run "$dir/ones"
one_line
expect 126 "Is a directory" run "$dir"
one_line
expect 127 "Not a directory" run "$dir/exit.wat/x"
expect 126 "File name too long" run "$(head -c 5000 /dev/zero | tr '\0' x)"
chmod 000 "$dir/secret.wat"
[ "$(id -u)" -eq 0 ] || expect 126 "Permission denied" run "$dir/secret.wat"
mkfifo "$dir/fifo"
(cat "$dir/exit.wat" >"$dir/fifo") &
expect 7 "" run "$dir/fifo"
wait $!
expect 134 "uncaught exception: boom(3, 1.5)" run "$dir/throw.wat"
expect 2 "did you mean --timeout" run --timout 1s "$dir/loop.wat"
expect 2 "atoll help" frobnicate
exit $failed
