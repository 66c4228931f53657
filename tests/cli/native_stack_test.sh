#!/bin/sh
# An instruction leaves nothing on the native stack, however often it runs: every instruction whose handler calls
# into the runtime runs a hundred thousand times on half a megabyte. usage: native_stack_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"

# often NAME FIELDS INSTRUCTIONS: a module of these fields that runs the instructions in a loop
often() {
    printf '(module %s (func (export "often") (param $n i32) (loop $l %s
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))' "$2" "$3" >"$dir/$1.wat"
    if ! (ulimit -s 512 && "$atoll" run --enable custom-page-sizes --invoke often "$dir/$1.wat" 100000) >"$dir/out" 2>&1; then
        echo "$1, a hundred thousand times on a small native stack:"
        cat "$dir/out"
        failed=1
    fi
}

arrays='(type $a (array (mut i32))) (type $r (array (mut funcref))) (type $s (struct (field i32)))
    (func $f) (elem $e funcref (ref.func $f)) (data $d "data")
    (global $g (ref $a) (array.new $a (i32.const 1) (i32.const 4)))
    (global $h (ref $r) (array.new_default $r (i32.const 4)))'
often array_new "$arrays" '(drop (array.new $a (i32.const 1) (i32.const 1)))'
often array_new_default "$arrays" '(drop (array.new_default $a (i32.const 1)))'
often array_new_fixed "$arrays" '(drop (array.new_fixed $a 1 (i32.const 1)))'
often array_new_data "$arrays" '(drop (array.new_data $a $d (i32.const 0) (i32.const 1)))'
often array_new_elem "$arrays" '(drop (array.new_elem $r $e (i32.const 0) (i32.const 1)))'
often array_bulk "$arrays" '(array.fill $a (global.get $g) (i32.const 0) (i32.const 1) (i32.const 2))
    (array.copy $a $a (global.get $g) (i32.const 0) (global.get $g) (i32.const 1) (i32.const 2))
    (array.init_data $a $d (global.get $g) (i32.const 0) (i32.const 0) (i32.const 1))
    (array.init_elem $r $e (global.get $h) (i32.const 0) (i32.const 0) (i32.const 1))'
often objects "$arrays" '(drop (struct.new $s (i32.const 1))) (drop (struct.new_default $s))
    (drop (ref.test (ref array) (global.get $g))) (drop (ref.cast (ref array) (global.get $g)))
    (drop (block $c (result anyref) (br_on_cast $c anyref (ref array) (global.get $g))))
    (drop (any.convert_extern (extern.convert_any (global.get $g))))'

tables='(func $f) (table $t 2 10 funcref) (elem $e func $f)'
often table_grow "$tables" '(drop (table.grow $t (ref.null func) (i32.const 0)))'
often table_grow_refused "$tables" '(drop (table.grow $t (ref.null func) (i32.const 9)))'
often table_bulk "$tables" '(table.fill $t (i32.const 0) (ref.null func) (i32.const 2))
    (table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 1))
    (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 0)) (elem.drop $e)'

often memory_grow '(memory 0)' '(drop (memory.grow (i32.const 0)))'
often memory_grow_by_bytes '(memory 0 (pagesize 1))' '(drop (memory.grow (i32.const 1)))'
often memory_bulk '(memory 1) (data $d "data")' '(memory.fill (i32.const 0) (i32.const 1) (i32.const 9))
    (memory.copy (i32.const 0) (i32.const 1) (i32.const 9))
    (memory.init $d (i32.const 0) (i32.const 0) (i32.const 0)) (data.drop $d)'
often memory64_access '(memory i64 1)' '(i64.store (i64.const 8) (i64.load (i64.const 0)))'
often atomics '(memory 1)' '(drop (i32.atomic.load (i32.const 0))) (i64.atomic.store (i32.const 8) (i64.const 1))
    (drop (i32.atomic.rmw16.cmpxchg_u (i32.const 0) (i32.const 0) (i32.const 0))) (atomic.fence)'
often notify '(memory 1)' '(drop (memory.atomic.notify (i32.const 0) (i32.const 1)))'
often wait32 '(memory 1 1 shared)' '(drop (memory.atomic.wait32 (i32.const 0) (i32.const 1) (i64.const 0)))'
often wait64 '(memory 1 1 shared)' '(drop (memory.atomic.wait64 (i32.const 0) (i64.const 1) (i64.const 0)))'

calls='(type $y (func (result i32)))
    (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
    (memory (export "memory") 1) (elem declare func $yield) (table $t funcref (elem $yield))
    (func $tail (result i32) (return_call $yield))
    (func $tail_ref (result i32) (return_call_ref $y (ref.func $yield)))'
often host_calls "$calls" '(drop (call $yield)) (drop (call_ref $y (ref.func $yield)))
    (drop (call_indirect (type $y) (i32.const 0)))'
often host_tail_calls "$calls" '(drop (call $tail)) (drop (call $tail_ref))'
often exceptions '(tag $e) (func $throw (throw $e))' '(block (try_table (catch $e 0) (throw $e)))
    (block (try_table (catch_all 0) (call $throw)))'
often exception_references '(tag $e)' '(block (block $h (result exnref) (try_table (catch_all_ref $h) (throw $e)) (br 1))
        (try_table (param exnref) (catch_all 0) (throw_ref)))'
often legacy_exceptions '(tag $e)' '(try (do (try (do (throw $e)) (catch_all (rethrow 0)))) (catch_all))'
exit $failed
