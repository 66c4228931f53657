#!/bin/sh
# Where a fault outside of function bodies is: line and column of the text it was written in, the byte of a binary.
# usage: places_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"

# text PLACE MESSAGE LINES...: a module of these lines is refused at LINE:COLUMN
text() {
    place=$1 message=$2
    shift 2
    printf '%s\n' "$@" >"$dir/text.wat"
    expect 1 "text.wat:$place: $message" validate "$dir/text.wat"
    one_line
}

# bytes OFFSET MESSAGE OCTAL: a module of these bytes is refused at OFFSET
bytes() {
    printf '\0asm\1\0\0\0'"$3" >"$dir/bytes.wasm"
    expect 1 "bytes.wasm:$1: $2" validate "$dir/bytes.wasm"
    one_line
}

text 3:12 'duplicate export name "a"' '(module' '  (func (export "a"))' '  (func   (export "a")))'
text 3:4 'unknown global 1' '(module' '  (global i32 (i32.const 0))' '  (export "g" (global 1)))'
text 3:6 'start function has parameters' '(module' '  (func $f (param i32))' '    (start $f))'
text 2:16 'type mismatch' '(module (global i32 (i32.const 1))' '  (global i32 (i64.const 1)))'
text 3:18 'type mismatch' '(module (memory 1)' '  (data (i32.const 0) "a")' '  (data (offset (i64.const 0)) "a"))'
text 2:4 'type mismatch' '(module (table 1 funcref)' '  (elem (i32.const 0) externref (ref.null extern)))'
text 3:22 'type mismatch' '(module (table 1 funcref)' '  (elem (i32.const 0) funcref' '    (ref.null func) (i32.const 1)))'
text 3:38 'type mismatch' '(module (table 1 funcref)' '  (elem (offset (i32.const 0)) func)' \
    '  (table 1 funcref) (elem (table 1) (i64.const 0) func))'
text 2:4 'unknown function 3' '(module (elem declare func)' '  (elem declare func 3))'
text 2:4 'memory size must be' '(module' '  (memory 70000))'
text 2:4 'size minimum must not' '(module (table 1 funcref)' '  (table 2 1 funcref))'
text 2:15 'size minimum must not' '(module' '  (memory $x (import "m" "x") 2 1))'
text 2:4 'size minimum must not' '(module (import "m" "y" (memory 1))' '  (import "m" "x" (memory 2 1)))'
text 2:4 'type mismatch: table 0 has no initial value' '(module' '  (table 5 (ref func)))'
text 2:4 'non-empty tag result type' '(module' '  (tag (param i32) (result i32)))'
text 2:4 'unknown type 5' '(module (type (func))' '  (type (sub 5 (struct))))'
text 3:6 'sub type 2 does not match' '(module (type $a (func))' '  (rec (type (struct))' '    (type (sub $a (struct)))))'

bytes 0xb 'memory size must be' '\5\5\1\0\360\242\4'
bytes 0xb 'size minimum must not' '\5\4\1\1\2\1'
bytes 0xb 'size minimum must not' '\4\5\1\160\1\2\1'
bytes 0xb 'type mismatch: table 0' '\4\5\1\144\160\0\1'
bytes 0x12 'non-empty tag result type' '\1\5\1\140\0\1\177\15\3\1\0\0'
bytes 0x15 'start function' '\1\5\1\140\1\177\0\3\2\1\0\10\1\0\12\4\1\2\0\13'

printf '(module\n  (import "m" "here" (func))\n  (import "env"  "away" (func)))\n' >"$dir/link.wat"
printf '(module (func (export "here")))\n' >"$dir/here.wat"
expect 126 'link.wat:3:4: unknown import: env.away' run --preload m="$dir/here.wat" "$dir/link.wat"
one_line
printf '(module (func (export "here") (param i32)))\n' >"$dir/here.wat"
expect 126 'link.wat:2:4: incompatible import type: m.here' run --preload m="$dir/here.wat" "$dir/link.wat"
one_line
exit $failed
