#!/bin/sh
# Limits and stops of `atoll run`. Times are upper bounds only. usage: limits_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"
echo '(module (func (export "_start") (loop br 0)))' >"$dir/loop.wat"
echo '(module (memory 1) (func (export "grow") (result i32) (memory.grow (i32.const 100))))' >"$dir/grow.wat"
echo '(module (memory 200))' >"$dir/large.wat"
echo '(module (func $d (export "deep") (param i32) (result i32) (if (result i32) (local.get 0)
    (then (i32.add (i32.const 1) (call $d (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0)))))' >"$dir/deep.wat"
echo '(module (memory 65536) (func (export "_start") (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const -1)) (br 0))))' >"$dir/fill.wat"
echo '(module (type $l (struct (field (ref null $l)) (field i64))) (func (export "_start") (local (ref null $l))
    (loop (local.set 0 (struct.new $l (local.get 0) (i64.const 1))) (br 0))))' >"$dir/heap.wat"
echo '(module (type $a (array (mut i64))) (func (export "_start") (drop (array.new $a (i64.const 1) (i32.const -1)))))' >"$dir/array.wat"
cat >"$dir/sleep.wat" <<'END'
(module (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const 100000000000))
    (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))))
END
cat >"$dir/write.wat" <<'END'
(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (i32.store (i32.const 4) (i32.const 1000))
    (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br 0))))
END

expect 0 1 run --invoke grow "$dir/grow.wat"
expect 0 -1 run --max-memory 1M --invoke grow "$dir/grow.wat"
expect 126 "" run --max-memory 1M "$dir/large.wat"
one_line
expect 0 10000 run --invoke deep "$dir/deep.wat" 10000
expect 134 "call stack exhausted" run --invoke deep "$dir/deep.wat" 100000000
expect 134 "call stack exhausted" run --max-stack 64k --invoke deep "$dir/deep.wat" 10000
# a stack that is asked for is there in all tiers, whatever the shell's limit for that of the process is
cat >"$dir/nest.wat" <<'END'
(module (func $deep (export "deep") (param i32) (result i32)
  (if (result i32) (local.get 0)
    (then (i32.add (i32.const 1) (call_indirect (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0))))
    (else (i32.const 0))))
  (table funcref (elem $deep)))
END
nest() { (ulimit -S -s 1000 && "$atoll" run --tier="$1" --max-stack 60M --invoke deep "$dir/nest.wat" 600000) >"$dir/out" 2>&1; }
if [ -z "$ATOLL_TSAN" ]; then
    for tier in interp jit auto; do
        check "600000 calls on 60 MB with --tier=$tier" nest $tier
        check "they return with --tier=$tier" grep -qx 600000 "$dir/out"
    done
fi
expect 134 "fuel" run --fuel 1000 "$dir/loop.wat"
expect 134 "out of memory" run --max-gc-heap 32M "$dir/heap.wat"
expect 134 "out of memory" run --max-gc-heap 32M "$dir/array.wat"
for program in loop fill sleep heap; do
    expect 124 "--timeout" run --timeout 100ms "$dir/$program.wat"
    one_line
done
for signal in INT TERM; do
    for program in loop sleep; do
        # not `&` alone: a shell in the background ignores the interrupt, and atoll keeps what it inherits
        # --foreground: otherwise a SIGCONT follows, which undoes the stop by which a sanitizer looks for leaks at the end
        timeout --foreground --preserve-status -s "$signal" -k 20 0.3 "$atoll" run "$dir/$program.wat" >"$dir/out" 2>&1
        got=$?
        [ "$signal" = INT ] && want=130 || want=143
        check "SIG$signal ends $program with $want, not $got" [ "$got" -eq "$want" ]
    done
done
# a stop comes through in whatever stage it finds the program: read, checked, lowered or running
{
    printf '(module (func (export "_start") (local i32)'
    yes '(local.set 0 (i32.add (local.get 0) (i32.const 1)))' | head -n 500000
    echo '(loop (br 0))))'
} >"$dir/long.wat"
"$atoll" asm "$dir/long.wat" -o "$dir/long.wasm"
for program in long.wat long.wasm; do
    for time in 1ms 20ms 100ms; do
        expect 124 "--timeout" run --timeout $time "$dir/$program"
        one_line
    done
    for time in 0.02 0.1; do
        timeout --foreground --preserve-status -s INT -k 20 $time "$atoll" run "$dir/$program" >"$dir/out" 2>&1
        got=$?
        check "SIGINT ends $program with 130, not $got" [ "$got" -eq 130 ]
    done
done
rm "$dir/long.wat" "$dir/long.wasm"

# tools end by a signal as any tool does, and leave nothing
mkfifo "$dir/fifo"
mkdir "$dir/only"
{
    printf '\0asm\1\0\0\0\1\4\1\140\0\0\3\352\007\350\007'
    head -c 1000 /dev/zero
    printf '\12\332\066\350\007'
    yes | head -n 1000 | while read -r _; do printf '\6\1\320\206\3\177\13'; done
} >"$dir/locals.wasm"
expect 0 "" validate "$dir/locals.wasm"
for verb in validate asm dis objdump; do
    timeout --foreground --preserve-status -s INT -k 20 0.1 "$atoll" "$verb" "$dir/fifo" >"$dir/out" 2>&1
    got=$?
    check "SIGINT ends $verb with 130, not $got" [ "$got" -eq 130 ]
done
for signal in INT TERM HUP; do
    timeout --foreground --preserve-status -s "$signal" -k 20 0.1 "$atoll" dis "$dir/locals.wasm" -o "$dir/only/text.wat" >"$dir/out" 2>&1
    got=$?
    check "SIG$signal ends dis, $got" [ "$got" -gt 128 ]
    check "a text that was being written goes" no_leftovers "$dir/only" 0
done
"$atoll" dis "$dir/locals.wasm" 2>"$dir/out" | head -c 100 >"$dir/head"
check "a closed pipe ends it" [ "$(wc -c <"$dir/head")" -eq 100 ]
check "without a word" same "$dir/out" ""

expect 124 "--timeout" run --timeout 100ms "$dir/fifo"
expect 124 "--timeout" run --timeout 100ms --stdin "$dir/fifo" "$dir/grow.wat"
one_line
expect 124 "--timeout" run --timeout 100ms --stdout "$dir/fifo" "$dir/grow.wat"
one_line
expect 124 "--timeout" run --timeout 100ms --stdout "$dir/made" --stdin "$dir/fifo" "$dir/grow.wat"
check "a file of --stdout is not left when the program never started" absent "$dir/made"
expect 2 "No such file" run --stdout "$dir/made" --stderr "$dir/none/err" "$dir/grow.wat"
one_line
check "a file of --stdout is not left when another stream fails" absent "$dir/made"
n=$("$atoll" run --timeout 300ms --max-output 5000 "$dir/write.wat" 2>/dev/null | wc -c)
check "output is bounded, got $n" [ "$n" -le 5000 ]
"$atoll" run --timeout 20s "$samples/../tests/cli/lib.sh" >"$dir/out" 2>&1
check "a script is no program" grep -q "lib.sh:1:1:" "$dir/out"
expect 2 "max-memory" run --max-memory lots "$dir/loop.wat"
expect 2 "timeout" run --timeout soon "$dir/loop.wat"
"$atoll" run --dir "$dir" - <&- >"$dir/out" 2>&1
check "a closed standard input is no other file" grep -q "Bad file descriptor" "$dir/out"
exit $failed
