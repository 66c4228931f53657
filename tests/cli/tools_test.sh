#!/bin/sh
# validate, asm, dis and objdump: what they print, what they leave behind. usage: tools_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"
echo '(module (func $f (export "f") (param $x i32) (result i32) local.get $x))' >"$dir/good.wat"
echo '(module (func (result i32)))' >"$dir/invalid.wat"
echo '(module (func $' >"$dir/broken.wat"
printf '\0asm\1\0\0\0\1' >"$dir/short.wasm"
: >"$dir/empty"
head -c 3000000 /dev/zero | tr '\0' '(' >"$dir/deep.wat"

# validate
expect 0 "" validate "$dir/good.wat"
expect 1 "type mismatch" validate "$dir/good.wat" "$dir/invalid.wat"
one_line
expect 1 "invalid.wat:1:" validate "$dir/invalid.wat"
expect 1 "short.wasm:0x" validate "$dir/short.wasm"
expect 1 "No such file" validate "$dir/missing.wasm"
expect 1 "" validate "$dir/deep.wat"
one_line
expect 1 "Is a directory" validate "$dir"
expect 2 "a file is missing" validate
expect 2 "did you mean --json" validate --jsno "$dir/good.wat"
expect 1 '"valid": true' validate --json "$dir/good.wat" "$dir/short.wasm"
expect 1 '"offset":' validate --json "$dir/short.wasm"
expect 1 '"line": 1' validate --json "$dir/broken.wat"
if command -v python3 >/dev/null; then
    "$atoll" validate --json "$dir/good.wat" "$dir/broken.wat" "$dir/short.wasm" "$(printf 'a"\\\n')" >"$dir/json" 2>&1
    check "the output is JSON" python3 -c 'import json, sys; assert len(json.load(open(sys.argv[1]))) == 4' "$dir/json"
fi

# asm
expect 0 "" asm "$dir/good.wat"
check "the default name" cmp -s -n 4 "$dir/good.wasm" "$dir/short.wasm"
expect 0 "" asm "$dir/good.wat" -o "$dir/again.wasm"
check "the same bytes" cmp "$dir/good.wasm" "$dir/again.wasm"
"$atoll" asm - -o - <"$dir/good.wat" >"$dir/piped.wasm"
check "from and to pipes" cmp "$dir/good.wasm" "$dir/piped.wasm"
echo old >"$dir/kept.wasm"
expect 1 "type mismatch" asm "$dir/invalid.wat" -o "$dir/kept.wasm"
check "a bad program leaves the old output" same "$dir/kept.wasm" old
expect 1 "" asm "$dir/broken.wat" -o "$dir/never.wasm"
check "and makes no new one" absent "$dir/never.wasm"
expect 0 "" asm --no-check "$dir/invalid.wat" -o "$dir/invalid.wasm"
expect 1 "No such file" asm "$dir/good.wat" -o "$dir/none/x.wasm"
expect 1 "No space left" asm "$dir/good.wat" -o /dev/full
expect 2 "unexpected argument" asm "$dir/good.wat" "$dir/good.wat"
mkdir "$dir/only"
expect 0 "" asm "$dir/good.wat" -o "$dir/only/x.wasm"
check "no temporary file stays" no_leftovers "$dir/only" 1

# dis
expect 0 'local.get $x' dis "$dir/good.wasm"
expect 0 '(local.get $x)' dis --fold "$dir/good.wasm"
expect 0 '(;0x' dis --offsets "$dir/good.wasm"
expect 0 'local.get 0' dis --no-names "$dir/good.wasm"
"$atoll" dis "$dir/good.wasm" -o "$dir/text.wat" && "$atoll" asm "$dir/text.wat" -o "$dir/back.wasm"
check "dis and asm are inverse" cmp "$dir/good.wasm" "$dir/back.wasm"
expect 0 "(func" dis "$dir/invalid.wasm"
expect 1 "unexpected end" dis "$dir/short.wasm"
expect 0 "(module)" dis "$dir/empty"
"$atoll" dis "$dir/good.wasm" >/dev/full 2>"$dir/out"
check "a full disk is told" grep -q "No space left" "$dir/out"
"$atoll" dis "$dir/good.wasm" 2>"$dir/out" | :
check "a closed pipe is not" same "$dir/out" ""

# objdump
expect 0 "code, 1" objdump "$dir/good.wasm"
expect 0 'func[0] $f' objdump -x "$dir/good.wasm"
expect 0 "| local.get" objdump -d "$dir/good.wasm"
expect 2 "there is no section" objdump -j codes "$dir/good.wasm"
expect 1 "" objdump "$dir/short.wasm"
exit $failed
