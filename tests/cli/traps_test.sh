#!/bin/sh
# A trap reads the same however its program runs: message, backtrace and status are those of the interpreter under each
# tier, from a file of compiled code, with fuel and with a timeout. usage: traps_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"

# add NAME BODY: an export that calls BODY, with 0 in a loop and then with 1 as its parameter, by a function that is
# called through a table, which BODY may be inlined into. BODY gives an i32.
n=0
add() {
    echo "(func \$$1 (param i32) (result i32) $2)"
    echo "(func \$$1-outer (type \$one) (i32.add (i32.const 1) (call \$$1 (local.get 0))))"
    echo "(func (export \"$1\") (result i32) (local i32)"
    echo "  (loop (drop (call_indirect (type \$one) (i32.const 0) (i32.const $n)))"
    echo "    (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 100))))"
    echo "  (call_indirect (type \$one) (i32.const 1) (i32.const $n)))"
    echo "(elem (i32.const $n) \$$1-outer)"
    n=$((n + 1))
}
{
    cat <<'END'
(module
  (type $one (func (param i32) (result i32)))
  (type $none (func (result i32)))
  (type $pair (struct (field (mut i32))))
  (type $list (array (mut i32)))
  (memory 1) (memory $wide i64 1) (memory $shared 1 1 shared)
  (table 64 funcref) (table $few 2 funcref)
  (tag $odd (param i32))
  (data $text "text")
  (func $self (type $one) (local.get 0))
  (elem declare func $self)
END
    add divide '(i32.div_s (i32.const 7) (i32.sub (i32.const 1) (local.get 0)))'
    add overflow '(i32.wrap_i64 (i64.div_s (i64.const 0x8000000000000000) (i64.extend_i32_s (i32.sub (i32.const 1) (i32.mul (i32.const 2) (local.get 0))))))'
    add convert '(i32.trunc_f64_s (f64.div (f64.const 1) (f64.convert_i32_s (i32.sub (i32.const 1) (local.get 0)))))'
    add load '(i32.load offset=65533 (i32.sub (local.get 0) (i32.const 0)))'
    add store '(i64.store offset=0xFFFFFFF8 (local.get 0) (i64.const 1)) (i32.const 1)'
    add vector '(i32x4.extract_lane 1 (v128.load (i32.mul (local.get 0) (i32.const 65521))))'
    add wide '(i32.load $wide (i64.sub (i64.const 0) (i64.extend_i32_u (local.get 0))))'
    add unaligned '(i32.atomic.rmw.add $shared (local.get 0) (i32.const 1))'
    add fill '(memory.fill (i32.const 65000) (local.get 0) (i32.add (i32.const 500) (i32.mul (local.get 0) (i32.const 37)))) (i32.const 1)'
    add init '(memory.init $text (i32.const 0) (local.get 0) (i32.const 4)) (i32.const 1)'
    add nothing '(call_indirect $few (type $one) (local.get 0) (local.get 0))'
    add other '(call_indirect $few (type $none) (i32.const 0))'
    add outside '(return_call_indirect $few (type $one) (local.get 0) (i32.mul (local.get 0) (i32.const 2)))'
    add reference '(call_ref $one (local.get 0) (select (result (ref null $one)) (ref.null $one) (ref.func $self) (local.get 0)))'
    add element '(drop (table.get $few (i32.mul (local.get 0) (i32.const 2)))) (i32.const 1)'
    add field '(struct.get $pair 0 (select (result (ref null $pair)) (ref.null $pair) (struct.new $pair (i32.const 1)) (local.get 0)))'
    add cast '(struct.get $pair 0 (ref.cast (ref $pair) (select (result anyref) (ref.i31 (i32.const 1)) (struct.new $pair (i32.const 1)) (local.get 0))))'
    add item '(array.get $list (array.new $list (i32.const 1) (i32.const 3)) (i32.mul (local.get 0) (i32.const 3)))'
    add huge '(array.len (array.new $list (i32.const 1) (i32.sub (i32.const 0) (local.get 0))))'
    add thrown '(if (local.get 0) (then (throw $odd (i32.const 7)))) (i32.const 1)'
    add passed '(block $h (result i32 exnref) (try_table (catch_ref $odd $h) (throw $odd (local.get 0))) (unreachable))
        (if (param i32 exnref) (result i32) (i32.eqz (local.get 0)) (then drop) (else throw_ref))'
    add tried '(block $h (try_table (catch_all $h) (return (i32.div_u (i32.const 1) (i32.sub (i32.const 1) (local.get 0)))))) (i32.const 9)'
    add never '(if (local.get 0) (then unreachable)) (i32.const 1)'
    echo '(elem (table $few) (i32.const 0) func $self))'
} >"$dir/traps.wat"
names=$(sed -n 's/^(func (export "\([a-z]*\)").*/\1/p' "$dir/traps.wat")
"$atoll" asm "$dir/traps.wat" -o "$dir/traps.wasm" || failed=1
for fuel in "" --fuel; do
    "$atoll" compile $fuel "$dir/traps.wasm" -o "$dir/code$fuel" || failed=1
done

# runs FILE FLAGS...: one export, its status and what it printed to $dir/out, the file's name replaced
runs() {
    file=$1
    shift
    "$atoll" run --no-cache "$@" --invoke "$name" "$dir/$file" >"$dir/printed" 2>&1
    echo "status $?" | cat "$dir/printed" - | sed "s,$dir/$file,FILE,g" >"$dir/out"
}
for name in $names; do
    runs traps.wasm --tier=interp
    cp "$dir/out" "$dir/right"
    n=$((n - 1))
    check "$name traps" grep -qx "status 134" "$dir/right"
    check "$name: it is known where" grep -q "1: $name-outer+0x" "$dir/right"
    for tier in interp jit auto; do
        for way in "traps.wasm" "traps.wasm --timeout 60s" "traps.wasm --fuel 1000000" "code" "code--fuel --fuel 1000000"; do
            runs $way --tier=$tier
            check "$name: $way --tier=$tier" cmp "$dir/right" "$dir/out"
        done
    done
done
check "every export was called" [ "$n" -eq 0 ]
exit $failed
