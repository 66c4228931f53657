#!/bin/sh
# What flags take and refuse, and what is said when nothing runs. usage: usage_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"
echo '(module (func (export "_start")))' >"$dir/empty.wat"
echo '(module (func (export "_start") (loop (br 0))))' >"$dir/loop.wat"
echo '(module (func (export "one") (result i32) (i32.const 1)) (memory (export "m") 1) (func (export "two")))' >"$dir/some.wat"

# numbers
expect 2 "'127.0.0.1:99999' is not HOST:PORT" run --tcplisten 127.0.0.1:99999 "$dir/empty.wat"
one_line
expect 2 "is not HOST:PORT" run --tcplisten 127.0.0.1:65536 "$dir/empty.wat"
expect 2 "is not HOST:PORT" run --tcplisten 127.0.0.1:4294967376 "$dir/empty.wat"
expect 134 "fuel" run --fuel 010 "$dir/loop.wat"
echo '(module (func (export "_start") (drop (i32.const 1)) (drop (i32.const 1)) (drop (i32.const 1)) (drop (i32.const 1))))' >"$dir/nine.wat"
expect 0 "" run --fuel 010 "$dir/nine.wat"
expect 134 "fuel" run --fuel 8 "$dir/nine.wat"
expect 2 "--fuel" run --fuel 0o17 "$dir/nine.wat"
for size in 1 4095 17G 1000G; do
    expect 2 "--max-stack: $size is not from 4k to 16G" run --max-stack "$size" "$dir/empty.wat"
done
expect 0 "" run --max-stack 4k "$dir/empty.wat"

# tables and instances
echo '(module (table 15000000 funcref) (func (export "_start")))' >"$dir/table.wat"
echo '(module (table 10000000 funcref) (table 10000000 funcref) (table 1 funcref) (func (export "_start")))' >"$dir/tables.wat"
expect 126 "exceeds the limit of 20000000" run "$dir/tables.wat"
one_line
expect 0 "" run --max-table-elements 20000001 "$dir/tables.wat"
expect 126 "exceeds the limit of 100" run --max-table-elements 100 "$dir/tables.wat"
expect 126 "more than 2 tables" run --max-tables 2 --max-table-elements 30000000 "$dir/tables.wat"
expect 126 "more than 1 instances" run --max-instances 1 --preload "a=$dir/some.wat" "$dir/empty.wat"
expect 2 "max-tables" run --max-tables none "$dir/empty.wat"
echo '(module (table 0 funcref) (func (export "grow") (result i32) (table.grow (ref.null func) (i32.const 101))))' >"$dir/grow.wat"
expect 0 -1 run --max-table-elements 100 --invoke grow "$dir/grow.wat"

# words too many
expect 2 "one verb at a time" help run validate
expect 2 "--version stands alone" --version extra
expect 2 '--preload gives the name "a" twice' run --preload "a=$dir/some.wat" --preload "a=$dir/empty.wat" "$dir/empty.wat"
one_line
expect 0 "" run --preload "a=$dir/some.wat" --preload "ab=$dir/empty.wat" "$dir/empty.wat"

echo 'int f(' >"$dir/broken.ffi"
expect 126 "broken.ffi: 2:1: expected a type" run --native "$dir/broken.ffi" "$dir/empty.wat"
one_line

# nothing to run
expect 0 "some.wat: no _start to run; --invoke can call one, two" run "$dir/some.wat"
one_line
echo '(module (memory 1))' >"$dir/nothing.wat"
expect 0 "no function is exported" run "$dir/nothing.wat"
echo '(module (func $f) (func (export "g")) (start $f))' >"$dir/start.wat"
expect 0 "" run "$dir/start.wat"
check "a start function is something that runs" [ ! -s "$dir/out" ]
echo '(module (func (export "_initialize")) (func (export "g")))' >"$dir/reactor.wat"
expect 0 "" run "$dir/reactor.wat"
check "a module that initialises itself runs something" [ ! -s "$dir/out" ]

# what is printed
echo '(module (func (export "f") (result f32 f32 f32 f64 f64) (f32.const nan) (f32.const -nan) (f32.const nan:0x200001)
    (f64.const -nan:0x4) (f64.const nan)))' >"$dir/nan.wat"
"$atoll" run --invoke f "$dir/nan.wat" >"$dir/out" 2>&1
check "NaNs have sign and payload: $(cat "$dir/out")" same "$dir/out" "nan
-nan
nan:0x200001
-nan:0x4
nan"
printf '(module (tag (export "a\\1b\\7f") (param i32)) (func (export "_start") (throw 0 (i32.const 7))))' >"$dir/tag.wat"
expect 134 'uncaught exception: a\1b\7f(7)' run "$dir/tag.wat"
"$atoll" run --timeout 50ms - <"$dir/loop.wat" >"$dir/out" 2>&1
check "standard input has its name: $(cat "$dir/out")" grep -qF "<stdin>: stopped after --timeout" "$dir/out"
# the alarm strikes while the program is still read: no later poll is needed to tell
expect 124 "--timeout" run --timeout 1us "$dir/empty.wat"
one_line

# the manual and the completion
"$atoll" help --man >"$dir/man"
check "the manual has --help" grep -qF '\-\-help' "$dir/man"
check "the manual has --version" grep -qF '\-\-version' "$dir/man"
if command -v bash >/dev/null; then
    "$atoll" help --completion bash >"$dir/completion"
    # completes WORDS...: what the completion offers for the last of these words
    completes() {
        bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _atoll; echo "${COMPREPLY[*]}"' - "$dir/completion" "$@"
    }
    check "help r: $(completes atoll help r)" [ "$(completes atoll help r)" = run ]
    check "--enable wi" [ "$(completes atoll run --enable wi)" = wide-arithmetic ]
    check "--disable gc" [ "$(completes atoll run --disable gc)" = gc ]
    check "vali" [ "$(completes atoll vali)" = validate ]
fi
exit $failed
