#!/bin/sh
# What `atoll run` grants and shows: arguments, variables, streams, exports, preloads, traces. usage: run_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"
cat >"$dir/kinds.wat" <<'END'
(module
  (func (export "i32") (param i32) (result i32) local.get 0)
  (func (export "i64") (param i64) (result i64) local.get 0)
  (func (export "f32") (param f32) (result f32) local.get 0)
  (func (export "f64") (param f64) (result f64) local.get 0)
  (func (export "v128") (param v128) (result v128) local.get 0)
  (func (export "two") (result i32 f64) (i32.const 1) (f64.const 2.5))
  (func (export "null") (param externref) (result i32) (ref.is_null (local.get 0)))
  (global (export "global") i32 (i32.const 1)))
END
cat >"$dir/echo.wat" <<'END'
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (loop $more
      (i32.store (i32.const 4) (i32.const 1000))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (i32.load (i32.const 8))
        (then
          (i32.store (i32.const 4) (i32.load (i32.const 8)))
          (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
          (br $more))))))
END
echo '(module (func (export "answer") (result i32) (i32.const 42)))' >"$dir/lib.wat"
echo '(module (import "lib" "answer" (func $a (result i32))) (func (export "ask") (result i32) (call $a)))' >"$dir/ask.wat"
echo '(module (import "x" "y" (func $f (param i32))) (func (export "_start")) (func (export "call") (call $f (i32.const 1))))' >"$dir/unknown.wat"

# --invoke
expect 0 -2147483648 run -i i32 "$dir/kinds.wat" 2147483648
expect 0 -1 run -i i64 "$dir/kinds.wat" 0xffffffffffffffff
expect 0 0.1 run -i f32 "$dir/kinds.wat" 0.1
expect 0 nan run -i f64 "$dir/kinds.wat" nan
expect 0 0x000102030405060708090a0b0c0d0e0f run -i v128 "$dir/kinds.wat" 0x000102030405060708090a0b0c0d0e0f
expect 0 2.5 run -i two "$dir/kinds.wat"
expect 0 1 run -i null "$dir/kinds.wat" null
expect 2 "" run -i i32 "$dir/kinds.wat"
one_line
expect 2 "" run -i i32 "$dir/kinds.wat" 1 2
expect 2 "" run -i i32 "$dir/kinds.wat" 4294967296
expect 2 "" run -i i32 "$dir/kinds.wat" one
expect 2 "nothing" run -i nothing "$dir/kinds.wat"
expect 2 "" run -i global "$dir/kinds.wat"

# streams
printf 'some text' | "$atoll" run "$dir/echo.wat" >"$dir/out"
check "standard input to output" same "$dir/out" "some text"
printf 'from a file' >"$dir/in"
expect 0 "" run --stdin "$dir/in" --stdout "$dir/copy" "$dir/echo.wat"
check "--stdin, --stdout" same "$dir/copy" "from a file"
echo kept >"$dir/kept"
expect 127 "" run --stdout "$dir/kept" "$dir/missing.wasm"
expect 126 "unknown import" run --stdout "$dir/kept" "$dir/unknown.wat"
check "output stays as it was when nothing runs" same "$dir/kept" kept
expect 126 "" run --stdout "$dir/new" "$dir/unknown.wat"
check "and is not made" absent "$dir/new"
expect 2 "No such file" run --stdin "$dir/missing" "$dir/echo.wat"
"$atoll" run - <"$dir/echo.wat" >"$dir/out" 2>&1
check "a program from standard input" same "$dir/out" ""
printf x | "$atoll" run --strace "$dir/echo.wat" >"$dir/out" 2>"$dir/trace"
check "--strace shows requests and answers" grep -q "fd_read\|read" "$dir/trace"

# imports
expect 0 42 run --preload "lib=$dir/lib.wat" --invoke ask "$dir/ask.wat"
expect 126 "unknown import: lib.answer" run --invoke ask "$dir/ask.wat"
expect 127 "missing" run --preload "lib=$dir/missing.wat" "$dir/ask.wat"
expect 2 "--preload takes NAME=FILE" run --preload lib "$dir/ask.wat"
expect 2 "--max-fds 3 is less than the 4" run --max-fds 3 --dir "$dir" "$dir/lib.wat"
expect 0 "" run --max-fds 4 --dir "$dir" "$dir/lib.wat"
expect 126 "x.y" run "$dir/unknown.wat"
one_line
expect 0 "" run --trap-unknown-imports "$dir/unknown.wat"
expect 134 "unknown import called" run --trap-unknown-imports --invoke call "$dir/unknown.wat"

# a program that overwrites its own file runs on as it was validated
cat >"$dir/self.wat" <<'END'
(module
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "self.wasm")
  (data (i32.const 20) "\00\04\00\00\00\10\00\00") ;; 4096 zeros at 1024
  (func $late (result i32) (i32.const 7))
  (func (export "_start")
    (if (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 0) (i64.const 64) (i64.const 0)
                    (i32.const 0) (i32.const 28))
      (then (call $exit (i32.const 1))))
    (if (call $write (i32.load (i32.const 28)) (i32.const 20) (i32.const 1) (i32.const 32))
      (then (call $exit (i32.const 2))))
    (call $exit (call $late))))
END
"$atoll" asm "$dir/self.wat" -o "$dir/self.wasm"
expect 7 "" run --dir "$dir::/" "$dir/self.wasm"
check "it did overwrite it" [ "$(head -c 4 "$dir/self.wasm" | tr -d '\0' | wc -c)" -eq 0 ]

# features
echo '(module (func (export "f") (result v128) (v128.const i64x2 1 2)))' >"$dir/simd.wat"
expect 126 "needs the feature simd" run --disable simd "$dir/simd.wat"
expect 2 "did you mean" run --disable smid "$dir/simd.wat"
all=$("$atoll" features | awk '{ printf "--disable %s ", $1 }')
# shellcheck disable=SC2086
expect 126 "" run $all "$dir/simd.wat"

echo '(module (memory 5 (pagesize 1)) (func (export "size") (result i32) (memory.size)))' >"$dir/pages.wat"
expect 126 "" run --invoke size "$dir/pages.wat"
one_line
expect 0 5 run --enable custom-page-sizes --invoke size "$dir/pages.wat"
expect 0 "" validate "$dir/pages.wat"

# grants
expect 2 "No such file" run --dir "$dir/missing" "$dir/echo.wat"
expect 2 "" run --env =x "$dir/echo.wat"

# a backtrace has who will be returned to: those who left by a tail call are gone
cat >"$dir/tail.wat" <<'END'
(module (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32))) (memory (export "memory") 1)
  (func $boom (param i32) (if (i32.eqz (local.get 0)) (then unreachable)) (return_call $again (local.get 0)))
  (func $again (param i32) (return_call $boom (i32.sub (local.get 0) (i32.const 1))))
  (func $between (result i32) (return_call $yield))
  (func $stays (drop (call $between)) (call $boom (i32.const 100000)) (drop (call $between)))
  (func $gone (return_call $stays))
  (func $main (export "_start") (call $gone)))
END
for tier in interp jit auto; do
    expect 134 "trap: unreachable" run --tier=$tier "$dir/tail.wat"
    check "three frames are left: $(cat "$dir/out")" [ "$(grep -c 'tail.wat:[0-9]' "$dir/out")" -eq 3 ]
    check "the innermost first" [ "$(awk 'NR > 1 { sub(/[+].*/, "", $2); printf "%s ", $2 }' "$dir/out")" = "boom stays main " ]
done

# compiled code, and what is told of it
cat >"$dir/tiers.wat" <<'END'
(module (tag $e) (func $twice (export "twice") (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1)))
  (func (export "catch") (try_table (catch_all 0) (throw $e))) (func (export "trap") unreachable))
END
for tier in interp jit auto; do
    expect 0 42 run --tier=$tier --invoke twice "$dir/tiers.wat" 21
    expect 0 "" run --tier=$tier --invoke catch "$dir/tiers.wat"
    expect 134 "tiers.wat:2:86" run --tier=$tier --invoke trap "$dir/tiers.wat"
done
expect 0 "compiled 3 functions" run --tier=jit --stats --invoke catch "$dir/tiers.wat"

# the stages of compilation: to standard error, to files, of some functions
expect 0 "function 0 twice, select:" run --tier=jit --dump=select,code --dump-function 'tw*' --invoke twice "$dir/tiers.wat" 1
expect 0 "shl" run --tier=jit --dump=code --dump-function 0-0 --invoke twice "$dir/tiers.wat" 1
check "other functions are not dumped" [ "$(grep -c '^function' "$dir/out")" -eq 1 ]
expect 2 'no function "thrice"' run --tier=jit --dump=ir --dump-function twice,thrice "$dir/tiers.wat"
expect 2 '"ri" is no stage; there are ir, number, sweep, hoist, split, select, alloc, code, all' run --dump=ir,ri "$dir/tiers.wat"
one_line
expect 2 "does not go with --tier=interp" run --dump=ir --tier=interp "$dir/tiers.wat"
expect 0 "FUEL" run --tier=jit --dump=ir --fuel 100 --invoke twice "$dir/tiers.wat" 1
expect 2 "out.wasm" run --tier=jit --dump-to "$dir/tiers.wat/out.wasm" --invoke twice "$dir/tiers.wat" 1
expect 0 2 run --tier=jit --dump-to "$dir/stages" --invoke twice "$dir/tiers.wat" 1
check "nothing but the result is printed" [ "$(cat "$dir/out")" = 2 ]
check "a file a function: $(ls "$dir/stages")" [ "$(ls "$dir/stages" | tr '\n' ' ')" = "0.txt 1.txt 2.txt " ]
check "all stages are in it" [ "$(grep -c '^function 0 twice, ' "$dir/stages/0.txt")" -eq 8 ]
expect 0 "function 2 trap, code:" compile --dump=code "$dir/tiers.wat" -o "$dir/tiers.compiled"
expect 0 "function 0 twice, ir:" run --tier=jit --dump=ir --invoke twice "$dir/tiers.compiled" 1
expect 2 'no function "x"' compile --dump-function x "$dir/tiers.wat" -o "$dir/tiers.compiled"
expect 2 "does not go with --tier=interp" run --stats --tier=interp "$dir/tiers.wat"
expect 0 "running loops" run --stats --invoke twice "$dir/tiers.wat" 1
expect 2 "tier" run --tier=fast "$dir/tiers.wat"

# help of every verb
for verb in $("$atoll" help | awk '/^  [a-z]/ { print $1 }'); do
    expect 0 "usage: atoll $verb" help "$verb"
    expect 0 "usage: atoll $verb" "$verb" --help
done
expect 0 "usage: atoll VERB" --help
expect 0 "atoll " --version
expect 2 "missing"
exit $failed
