#!/bin/sh
# Compiled code in files: what is made in advance, what the cache keeps, and that neither runs when somebody else may
# have written it. usage: compiled_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"
cache=$XDG_CACHE_HOME/atoll

cat >"$dir/p.wat" <<'END'
(module
  (memory 1)
  (table 1 funcref)
  (elem (i32.const 0) $double)
  (func $double (param i64) (result i64) (i64.shl (local.get 0) (i64.const 1)))
  (func $add (export "sum") (param i64) (result i64) (local i64)
    loop
      local.get 1
      local.get 0
      i32.const 0
      call_indirect (param i64) (result i64)
      i64.add
      local.set 1
      i32.const 8
      i32.const 8
      i32.load
      i32.const 1
      memory.fill
      local.get 0
      i64.const 1
      i64.sub
      local.tee 0
      i64.const 0
      i64.ne
      br_if 0
    end
    local.get 1)
  (func (export "trap") (param i32) (result i32)
    (i32.load offset=65536 (local.get 0))))
END
"$atoll" asm "$dir/p.wat" -o "$dir/p.wasm" || failed=1

# what is compiled in advance
expect 2 "-o" compile "$dir/p.wasm"
expect 1 "unexpected" compile "$dir/out" -o "$dir/none"
check "what failed is not written" absent "$dir/none"
expect 0 "" compile "$dir/p.wasm" -o "$dir/p.cwasm"
check "the key is its owner's alone" [ "$(stat -c %a "$cache/key")" = 600 ]
check "the folder, too" [ "$(stat -c %a "$cache")" = 700 ]
for tier in jit auto; do
    expect 0 "3 functions were compiled before" run --tier=$tier --stats --invoke sum "$dir/p.cwasm" 1000
    check "the answer is printed" grep -qx 1001000 "$dir/out"
    check "nothing is compiled" grep -q "compiled 0 functions and 0 running loops" "$dir/out"
    expect 134 "out of bounds memory access" run --tier=$tier --invoke trap "$dir/p.cwasm" 0
    check "the trap has its place" grep -q "0: trap" "$dir/out"
done
expect 0 "1001000" run --tier=interp --invoke sum "$dir/p.cwasm" 1000
expect 0 "1001000" run --fuel 1000000 --invoke sum "$dir/p.cwasm" 1000
expect 0 "" compile "$dir/p.wat" -o "$dir/q.cwasm"
expect 0 "1001000" run --invoke sum "$dir/q.cwasm" 1000
expect 0 "call_indirect" dis "$dir/p.cwasm"
expect 0 "" validate "$dir/p.cwasm"
expect 0 "" compile "$dir/p.cwasm" -o "$dir/again.cwasm"
expect 0 "3 functions were compiled before" run --stats --invoke sum "$dir/again.cwasm" 1000

# what was changed, cut, or comes from elsewhere does not run
size=$(stat -c %s "$dir/p.cwasm")
for at in 26 34 70 100 $((size / 2)) $((size - 1)); do
    cp "$dir/p.cwasm" "$dir/bad.cwasm"
    byte=$(od -An -t u1 -j "$at" -N 1 "$dir/p.cwasm" | tr -d ' ')
    printf "\\$(printf %03o $((byte ^ 85)))" | dd of="$dir/bad.cwasm" bs=1 seek="$at" conv=notrunc 2>/dev/null
    "$atoll" run --stats --no-cache --invoke sum "$dir/bad.cwasm" 1000 >"$dir/out" 2>&1
    [ "$at" -lt 96 ] && check "byte $at: it says so" grep -q "its machine code is not used" "$dir/out"
    check "byte $at: nothing was compiled before" [ "$(grep -c "compiled before" "$dir/out")" -eq 0 ]
done
for n in 3 5 40 96 200 $((size - 1)); do
    head -c "$n" "$dir/p.cwasm" >"$dir/cut.cwasm"
    "$atoll" run --invoke sum "$dir/cut.cwasm" 1000 >"$dir/out" 2>&1
    got=$?
    check "$n bytes are refused: $got" [ "$got" -eq 126 ]
    one_line
done
XDG_CACHE_HOME=$dir/other expect 0 "its machine code is not used: it was changed, or sealed by somebody else" run \
    --stats --invoke sum "$dir/p.cwasm" 1000
check "the program runs all the same" grep -qx 1001000 "$dir/out"

# its functions are not validated again: as long as the file is whole, and the features are the same
before="functions were validated before"
"$atoll" asm "$dir/p.wat" -o "$dir/p.wasm" && "$atoll" compile "$dir/p.wasm" -o "$dir/p.cwasm" || failed=1
expect 0 "$before" run --stats --no-cache --invoke sum "$dir/p.cwasm" 1000
expect 0 1001000 run --stats --disable simd --invoke sum "$dir/p.cwasm" 1000
check "with other features they are" [ "$(grep -c "$before" "$dir/out")" -eq 0 ]
XDG_CACHE_HOME=$dir/third expect 0 1001000 run --stats --invoke sum "$dir/p.cwasm" 1000
check "sealed by another they are" [ "$(grep -c "$before" "$dir/out")" -eq 0 ]
cp "$dir/p.cwasm" "$dir/bad.cwasm"
at=$(grep -abo "$(printf '\102\001\206')" "$dir/p.cwasm" | head -n 1 | cut -d: -f1)
printf '\164' | dd of="$dir/bad.cwasm" bs=1 seek=$((at + 2)) conv=notrunc 2>/dev/null
for cache_flag in --stats --no-cache; do
    expect 126 "type mismatch" run $cache_flag --invoke sum "$dir/bad.cwasm" 1000
    one_line
done
echo '(module (func (export "f") (result i64) i64.const 7 i64.const 0 i64.const 1 i64.const 0 i64.add128 drop))' >"$dir/wide.wat"
expect 0 "" compile "$dir/wide.wat" -o "$dir/wide.cwasm"
expect 126 "wide-arithmetic" run --invoke f "$dir/wide.cwasm"
expect 0 8 run --enable wide-arithmetic --stats --invoke f "$dir/wide.cwasm"
check "what the usual features do not allow is validated" [ "$(grep -c "$before" "$dir/out")" -eq 0 ]

# managed objects: compiled in advance they are made and read in line, as without
cat >"$dir/objects.wat" <<'END'
(module
  (type $pair (struct (field (mut i64)) (field (ref null $pair))))
  (type $list (array (mut (ref null $pair))))
  (func $make (param i64 (ref null $pair)) (result (ref $pair)) (struct.new $pair (local.get 0) (local.get 1)))
  (func (export "sum") (param i64) (result i64) (local $all (ref null $pair)) (local $sum i64)
    (local $list (ref $list))
    (local.set $list (array.new_default $list (i32.const 4)))
    loop
      (local.set $all (call $make (local.get 0) (local.get $all)))
      (array.set $list (local.get $list) (i32.const 3) (local.get $all))
      (br_if 0 (i64.ne (local.tee 0 (i64.sub (local.get 0) (i64.const 1))) (i64.const 0)))
    end
    loop
      (local.set $sum (i64.add (local.get $sum)
        (struct.get $pair 0 (array.get $list (local.get $list) (i32.const 3)))))
      (local.set $all (struct.get $pair 1 (array.get $list (local.get $list) (i32.const 3))))
      (array.set $list (local.get $list) (i32.const 3) (local.get $all))
      (br_if 0 (i32.eqz (ref.is_null (local.get $all))))
    end
    local.get $sum)
  (func (export "cast") (param i32) (result i64)
    (struct.get $pair 0 (ref.cast (ref $pair)
      (select (result anyref) (ref.i31 (i32.const 5)) (call $make (i64.const 8) (ref.null $pair)) (local.get 0))))))
END
"$atoll" asm "$dir/objects.wat" -o "$dir/objects.wasm" || failed=1
expect 0 "" compile "$dir/objects.wasm" -o "$dir/objects.cwasm"
for tier in jit auto; do
    expect 0 "3 functions were compiled before" run --tier=$tier --stats --invoke sum "$dir/objects.cwasm" 100000
    check "the objects are there" grep -qx 5000050000 "$dir/out"
    expect 134 "cast failure" run --tier=$tier --invoke cast "$dir/objects.cwasm" 1
done
"$atoll" compile --dump=code "$dir/objects.wasm" -o "$dir/objects.cwasm" 2>"$dir/before"
"$atoll" run --tier=jit --no-cache --dump=code --invoke cast "$dir/objects.wasm" 0 2>"$dir/now" >/dev/null
check "the code is the same" cmp "$dir/before" "$dir/now"

# the cache
entries() { find "$cache" -type f ! -name key | wc -l; }
expect 0 1001000 run --tier=jit --invoke sum "$dir/p.wasm" 1000
check "small programs leave nothing" [ "$(entries)" -eq 0 ]
{
    echo "(module"
    for i in $(seq 400); do
        echo "(func (export \"f$i\") (param i64 i64) (result i64) (local i64) loop local.get 2 local.get 0 i64.add local.get 1
            i64.const $i i64.mul i64.xor local.set 2 local.get 1 i64.const 1 i64.sub local.tee 1 i64.const 0 i64.ne br_if 0
            end local.get 2)"
    done
    echo ")"
} >"$dir/large.wat"
"$atoll" asm "$dir/large.wat" -o "$dir/large.wasm" || failed=1
expect 0 "" run --tier=jit --no-cache --invoke f7 "$dir/large.wasm" 3 9
check "--no-cache keeps nothing" [ "$(entries)" -eq 0 ]
expect 0 "compiled 400 functions" run --tier=jit --stats --invoke f7 "$dir/large.wasm" 3 9
head -n 1 "$dir/out" >"$dir/first"
check "compiled code is kept" [ "$(entries)" -eq 1 ]
expect 0 "400 functions were compiled before" run --tier=jit --stats --invoke f7 "$dir/large.wasm" 3 9
expect 0 "400 functions were compiled before" run --stats --invoke f7 "$dir/large.wasm" 3 9
expect 0 "compiled 400 functions" run --tier=jit --no-cache --stats --invoke f7 "$dir/large.wasm" 3 9
expect 0 "compiled 400 functions" run --tier=jit --relaxed-deterministic --stats --invoke f7 "$dir/large.wasm" 3 9

entry=$(find "$cache" -type f ! -name key -printf '%T@ %p\n' | sort | head -n 1 | cut -d' ' -f2)
printf '\125\125' | dd of="$entry" bs=1 seek=5000 conv=notrunc 2>/dev/null
expect 0 "compiled 400 functions" run --tier=jit --stats --invoke f7 "$dir/large.wasm" 3 9
expect 0 "400 functions were compiled before" run --tier=jit --stats --invoke f7 "$dir/large.wasm" 3 9
chmod o+w "$entry"
expect 0 "compiled 400 functions" run --tier=jit --stats --invoke f7 "$dir/large.wasm" 3 9
rm -f "$entry" && ln -s "$dir/large.wasm" "$entry"
expect 0 "compiled 400 functions" run --tier=jit --stats --invoke f7 "$dir/large.wasm" 3 9
expect 0 "400 functions were compiled before" run --tier=jit --stats --invoke f7 "$dir/large.wasm" 3 9
check "nothing is left that was begun" [ -z "$(find "$cache" -name '.new-*')" ]
chmod g+w "$cache"
expect 0 "compiled 400 functions" run --tier=jit --stats --invoke f7 "$dir/large.wasm" 3 9
expect 125 "somebody else may write its folder" compile "$dir/p.wasm" -o "$dir/none"
chmod 700 "$cache"
chmod 644 "$cache/key"
expect 125 "others may read it" compile "$dir/p.wasm" -o "$dir/none"
chmod 600 "$cache/key"
head -c 7 "$cache/key" >"$dir/cut" && cat "$dir/cut" >"$cache/key"
expect 0 "compiled 400 functions" run --tier=jit --stats --invoke f7 "$dir/large.wasm" 3 9
expect 0 "400 functions were compiled before" run --tier=jit --stats --invoke f7 "$dir/large.wasm" 3 9
check "a key that was cut is made anew" [ "$(stat -c %s "$cache/key")" -eq 32 ]

# many at the same time
rm -rf "$cache"
for i in 1 2 3 4 5 6 7 8; do
    "$atoll" run --tier=jit --invoke f7 "$dir/large.wasm" 3 9 >"$dir/out$i" 2>&1 &
done
wait
for i in 1 2 3 4 5 6 7 8; do check "answer $i" cmp "$dir/out1" "$dir/out$i"; done
check "one entry and one key" no_leftovers "$cache" 2
expect 0 "400 functions were compiled before" run --tier=jit --stats --invoke f7 "$dir/large.wasm" 3 9

# limits that leave no room for code
limited() {
    (ulimit "$1" "$2" && "$atoll" run --no-cache --tier="$3" --stats --invoke f7 "$dir/large.wasm" 3 9) >"$dir/out" 2>&1
}
check "a file of code that would be too large is made smaller" limited -f 300000 jit
check "and holds it" grep -q "compiled 400 functions" "$dir/out"
check "without memory for code a program is interpreted" limited -f 1 auto
check "its answer is the same" grep -qx 52 "$dir/out"
check "which --stats tells" grep -q "nothing is compiled" "$dir/out"
check "--tier=jit does not start" [ "$(limited -f 1 jit; echo $?)" -eq 125 ]

# names for perf and gdb
"$atoll" run --tier=jit --perf --invoke sum "$dir/p.wasm" 10 >"$dir/out" 2>&1 &
pid=$!
wait $pid
check "perf finds names" grep -Eq '^[0-9a-f]+ [0-9a-f]+ wasm:add$' "/tmp/perf-$pid.map"
rm -f "/tmp/perf-$pid.map"
if command -v gdb >/dev/null 2>&1; then
    gdb -nx -batch -ex "break jit_trap" -ex run -ex "print 'wasm:trap'" --args "$atoll" run --tier=jit --native-gdb --invoke trap \
        "$dir/p.wasm" 0 </dev/null >"$dir/out" 2>&1
    check "gdb finds names" grep -Eq '0x[0-9a-f]+ <wasm:trap>' "$dir/out"
    cat >"$dir/frames.wat" <<'END'
(module
  (tag $e)
  (table funcref (elem $hop)) ;; what is called by it is not inlined
  (func $throws (param i64) (result i64)
    (if (i64.eqz (local.get 0)) (then (throw $e)))
    (i64.mul (i64.const 3) (call $throws (i64.sub (local.get 0) (i64.const 1)))))
  (func $kept (param i64) (result i64) (local i64 i64 i64)
    (local.set 1 (i64.mul (local.get 0) (i64.const 7)))
    (local.set 2 (i64.mul (local.get 1) (i64.const 5)))
    (local.set 3 (i64.mul (local.get 2) (local.get 1)))
    (drop (call $ends (local.get 0)))
    (i64.add (i64.add (local.get 1) (local.get 2)) (i64.add (local.get 3) (call $ends (i64.const 0)))))
  (func $many (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64) (call $kept (i64.add (local.get 9) (local.get 0))))
  (func $hop (param i64) (result i64)
    (return_call $many (local.get 0) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6) (i64.const 7)
      (i64.const 8) (i64.const 9) (i64.const 10)))
  (func $ends (param i64) (result i64)
    (if (i64.gt_u (local.get 0) (i64.const 100)) (then (return (call $ends (i64.sub (local.get 0) (i64.const 1))))))
    unreachable)
  (func (export "run") (result i64)
    (block $caught (drop (try_table (result i64) (catch $e $caught) (call $throws (i64.const 2)))))
    (call_indirect (param i64) (result i64) (i64.const 92) (i32.const 0))))
END
    # frames LINES: of a stop, from the innermost outwards; calls of a function by itself may be inlined
    frames() {
        sed -n "$1" "$dir/out" | sed -n 's/^#[0-9]*  *\(0x[0-9a-f]* in \)\{0,1\}\([^ ]*\) (.*/\2/p' | uniq | tr '\n' ' '
    }
    gdb -nx -batch -ex "set breakpoint pending on" -ex "break jit_throw" -ex "break -function wasm:kept" -ex "break jit_trap" \
        -ex run -ex bt -ex continue -ex "echo kept\n" -ex bt -ex continue -ex "echo trap\n" -ex bt \
        --args "$atoll" run --tier=jit --no-cache --native-gdb --invoke run "$dir/frames.wat" </dev/null >"$dir/out" 2>&1
    is_walk() {
        case $2 in "$3"*) return 0 ;; esac
        echo "$1: $2"
        cat "$dir/out"
        return 1
    }
    check "gdb walks from a throw" is_walk throw "$(frames '1,/^kept/p')" \
        "jit_throw atoll:raise wasm:throws wasm:run atoll:entry enter "
    check "gdb stops in a function that it was told of before the start" is_walk stop "$(frames '/^kept/,/^trap/p')" \
        "wasm:kept wasm:many atoll:tail wasm:run atoll:entry enter "
    check "gdb walks from a trap" is_walk trap "$(frames '/^trap/,$p')" \
        "jit_trap atoll:trap wasm:ends wasm:kept wasm:many atoll:tail wasm:run atoll:entry enter "
    cat >"$dir/early.wat" <<'END'
(module
  (table funcref (elem $early))
  (func $early (param i64) (result i64) (local i64)
    (if (i64.eqz (local.get 0)) (then (return (i64.const 1))))
    (if (i64.eq (local.get 0) (i64.const 7)) (then unreachable))
    (local.set 1 (i64.mul (local.get 0) (i64.const 3)))
    (i64.add (local.get 1)
      (call_indirect (param i64) (result i64) (i64.sub (local.get 0) (i64.const 1)) (i32.const 0))))
  (func (export "run") (param i64) (result i64)
    (i64.mul (local.get 0) (call_indirect (param i64) (result i64) (local.get 0) (i32.const 0)))))
END
    gdb -nx -batch -ex "break jit_trap" -ex run -ex bt --args "$atoll" run --tier=jit --no-cache --native-gdb --invoke run \
        "$dir/early.wat" 9 </dev/null >>"$dir/out" 2>&1
    check "gdb walks from a trap in front of a function's frame" [ "$(grep -c 'in wasm:early ()' "$dir/out")" -eq 3 ]
    check "walks end where the process began" [ "$(grep -Ec '^#[0-9]+ +(0x[0-9a-f]+ in )?main \(' "$dir/out")" -eq 4 ]
fi
exit $failed
