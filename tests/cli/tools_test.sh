#!/bin/sh
# validate, asm, dis and objdump: what they print, what they leave behind. usage: tools_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"
echo '(module (func $f (export "f") (param $x i32) (result i32) local.get $x))' >"$dir/good.wat"
echo '(module (func (result i32)))' >"$dir/invalid.wat"
echo '(module (func $' >"$dir/broken.wat"
printf '\0asm\1\0\0\0\1' >"$dir/short.wasm"
: >"$dir/empty"
: >"$dir/empty.wasm"
: >"$dir/empty.wat"
printf '\0as' >"$dir/three"
printf '\177ELF\2\1' >"$dir/elf.wasm"
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
for name in empty empty.wasm three; do
    expect 1 "$name:0x" validate "$dir/$name"
    expect 1 "unexpected end" dis "$dir/$name"
    expect 1 "unexpected end" asm "$dir/$name" -o "$dir/never"
    expect 1 "unexpected end" objdump "$dir/$name"
done
check "what is no program is not written" absent "$dir/never"
expect 1 "<stdin>:0x0: unexpected end" validate -
expect 0 "(module)" dis "$dir/empty.wat"
expect 1 "elf.wasm:0x0: magic header not detected" validate "$dir/elf.wasm"
expect 1 "/dev/zero:0x0: magic header not detected" validate /dev/zero
one_line
expect 2 "a file is missing" validate
expect 2 "did you mean --json" validate --jsno "$dir/good.wat"
expect 1 '"valid": true' validate --json "$dir/good.wat" "$dir/short.wasm"
expect 1 '"offset":' validate --json "$dir/short.wasm"
expect 1 '"line": 1' validate --json "$dir/broken.wat"
if command -v python3 >/dev/null; then
    "$atoll" validate --json "$dir/good.wat" "$dir/broken.wat" "$dir/short.wasm" "$(printf 'a"\\\n')" >"$dir/json" 2>&1
    printf '%s' '(module' >"$dir/$(printf 'a\377b')"
    "$atoll" validate --json "$dir/$(printf 'a\377b')" >"$dir/name" 2>&1
    check "a name that is no UTF-8 is JSON, too" python3 -c 'import json, sys
file = json.load(open(sys.argv[1], encoding="utf-8"))[0]
assert file["file"].endswith("/a\ufffdb") and bytes.fromhex(file["file_bytes"]).endswith(b"/a\xffb")' "$dir/name"
    check "the output is JSON" python3 -c 'import json, sys; assert len(json.load(open(sys.argv[1]))) == 4' "$dir/json"
fi

# names that would drive a terminal
printf '(module (func (export "a\\1b[2J\\c2\\9b2Jb")))' >"$dir/control.wat"
expect 0 'a\1b[2J\c2\9b2Jb' dis "$dir/control.wat"
expect 1 'x\9by\c2\9bz' validate "$dir/$(printf 'x\233y\302\233z')"

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
expect 125 "No such file" asm "$dir/good.wat" -o "$dir/none/x.wasm"
expect 125 "No space left" asm "$dir/good.wat" -o /dev/full
expect 125 "Is a directory" asm "$dir/good.wat" -o "$dir"
cp "$dir/good.wasm" "$dir/input.wasm"
expect 2 "would be replaced" asm "$dir/input.wasm"
printf '\0asm\1\0\0\0\1\204\200\200\200\0\1\140\0\0' >"$dir/long.wasm"
expect 0 "" asm "$dir/long.wasm" -o "$dir/short_form.wasm"
printf '\0asm\1\0\0\0\1\4\1\140\0\0' >"$dir/want.wasm"
check "a binary is written in its shortest encoding" cmp "$dir/short_form.wasm" "$dir/want.wasm"
mkdir "$dir/small"
(ulimit -f 1 && echo "(module (data \"$(head -c 100000 /dev/zero | tr '\0' x)\"))" | "$atoll" asm - -o "$dir/small/x.wasm") >"$dir/out" 2>&1
check "a file too large is told by 125, not $?" [ $? -eq 125 ]
check "in one line" grep -q "x.wasm: File too large" "$dir/out"
check "and leaves nothing" no_leftovers "$dir/small" 0
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
"$atoll" dis "$dir/good.wasm" >/dev/full 2>"$dir/out"
check "a full disk is told by 125, not $?" [ $? -eq 125 ]
check "and by its name" grep -q "No space left" "$dir/out"
"$atoll" validate --json "$dir/good.wasm" >/dev/full 2>"$dir/out"
check "by validate, too" [ $? -eq 125 ]
printf '\0asm\1\0\0\0\1\4\1\140\0\0\3\2\1\0\12\5\1\3\0\377\13' >"$dir/bad_body.wasm"
echo old >"$dir/kept.wat"
expect 1 "illegal opcode" dis "$dir/bad_body.wasm" -o "$dir/kept.wat"
check "a body that is none leaves the old text" same "$dir/kept.wat" old
"$atoll" dis "$dir/good.wasm" 2>"$dir/out" | :
check "a closed pipe is not" same "$dir/out" ""

# objdump
expect 0 "code, 1" objdump "$dir/good.wasm"
expect 0 'func[0] $f' objdump -x "$dir/good.wasm"
expect 0 "| local.get" objdump -d "$dir/good.wasm"
expect 1 "there is no section" objdump -j codes "$dir/good.wasm"
expect 1 "there is no section" objdump -j import "$dir/good.wasm"
echo '(module (@custom "a" "12") (@custom "b" "345"))' >"$dir/custom.wat"
expect 0 "custom \"b\"" objdump -j b "$dir/custom.wat"
check "only that one" [ "$(grep -c custom "$dir/out")" -eq 2 ]
expect 0 "custom \"a\"" objdump -j custom "$dir/custom.wat"
expect 1 "" objdump "$dir/short.wasm"
exit $failed
