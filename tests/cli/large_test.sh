#!/bin/sh
# What a run of a large program leaves for the next: that it is valid, and the code that ran hot. Nobody else's word is
# taken for it. usage: large_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"
cache=$XDG_CACHE_HOME/atoll
before="functions were validated before"

# large FILE BODY [TEXT]: a program of more than a megabyte
large() {
    {
        echo "(module (memory 32)"
        echo "(func \$step (param i32) (result i32) (i32.add (local.get 0) (i32.const 3)))"
        echo "(func (export \"f\") (param i32) (result i32) (local i32) $2)"
        printf '(data (i32.const 0) "%s' "$3"
        head -c 1200000 /dev/zero | tr '\0' 'x'
        echo '"))'
    } >"$dir/large.wat"
    "$atoll" asm "$dir/large.wat" -o "$1" || failed=1
}
body='loop (local.set 1 (call $step (local.get 1)))
    (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))) end local.get 1'
large "$dir/a.wasm" "$body" a
large "$dir/b.wasm" "$body" b

# runs TEXT FILE FLAGS...: the answer is right, and TEXT (or, for -TEXT, not TEXT) among what --stats tells
runs() {
    told=$1 file=$2
    shift 2
    expect 0 "" run --stats "$@" --invoke f "$file" 5
    check "the answer of $file" grep -qx 15 "$dir/out"
    case $told in
    -*) check "run $* $file: not '${told#-}'" [ "$(grep -cF "${told#-}" "$dir/out")" -eq 0 ] ;;
    *) check "run $* $file: '$told'" grep -qF "$told" "$dir/out" ;;
    esac
}
entries() { find "$cache" -type f ! -name key 2>/dev/null | wc -l; }
newest() { find "$cache" -type f ! -name key -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2; }

# one run tells the next, in any tier
runs "-$before" "$dir/a.wasm" --no-cache
check "--no-cache leaves nothing" [ "$(entries)" -eq 0 ]
runs "-$before" "$dir/a.wasm"
check "one entry" [ "$(entries)" -eq 1 ]
a=$(newest)
runs "$before" "$dir/a.wasm"
runs "$before" "$dir/a.wasm" --tier=jit
runs "$before" "$dir/a.wasm" --fuel 1000000
runs "-$before" "$dir/a.wasm" --no-cache
rm -f "$a"
expect 0 "15" run --tier=interp --invoke f "$dir/a.wasm" 5
check "an interpreted run leaves an entry" [ "$(entries)" -eq 1 ]
runs "$before" "$dir/a.wasm"

# it holds for the same features only
runs "-$before" "$dir/a.wasm" --disable simd
runs "$before" "$dir/a.wasm" --disable simd
check "an entry for each" [ "$(entries)" -eq 2 ]

# one body changed: it is another program, and not a valid one, however often it is tried
cp "$dir/a.wasm" "$dir/bad.wasm"
at=$(grep -abo "$(printf '\101\003\152\013')" "$dir/a.wasm" | head -n 1 | cut -d: -f1)
printf '\174' | dd of="$dir/bad.wasm" bs=1 seek=$((at + 2)) conv=notrunc 2>/dev/null
for i in 1 2; do
    expect 126 "type mismatch" run --invoke f "$dir/bad.wasm" 5
    one_line
done
check "it leaves no entry" [ "$(entries)" -eq 2 ]
large "$dir/wide.wasm" "i64.const 1 i64.const 0 i64.const 1 i64.const 0 i64.add128 i64.add i32.wrap_i64 i32.const 13 i32.add"
for i in 1 2; do
    expect 126 "wide-arithmetic" run --invoke f "$dir/wide.wasm" 5
    expect 0 "15" run --enable wide-arithmetic --invoke f "$dir/wide.wasm" 5
done
check "but under the features that it is valid with" [ "$(entries)" -eq 3 ]

# entries that were changed, cut, taken from another program or sealed with another key are made again
runs "-$before" "$dir/b.wasm"
b=$(newest)
cp "$a" "$dir/a.entry"
for damage in flip cut lengthen empty other; do
    cp "$dir/a.entry" "$a"
    case $damage in
    flip) printf '\125' | dd of="$a" bs=1 seek=26 conv=notrunc 2>/dev/null ;;
    cut) head -c 80 "$dir/a.entry" >"$a" ;;
    lengthen) echo more >>"$a" ;;
    empty) : >"$a" ;;
    other) cp "$b" "$a" ;;
    esac
    runs "-$before" "$dir/a.wasm"
    runs "$before" "$dir/a.wasm"
done
mv "$cache/key" "$dir/key"
runs "-$before" "$dir/a.wasm"
runs "$before" "$dir/a.wasm"
mv "$dir/key" "$cache/key"
runs "-$before" "$dir/a.wasm"
chmod 666 "$a"
runs "-$before" "$dir/a.wasm"
chmod 755 "$cache" && chmod g+w "$cache"
runs "-$before" "$dir/a.wasm"
chmod 700 "$cache"

# many at the same time
rm -rf "$cache"
for i in 1 2 3 4 5 6 7 8; do
    "$atoll" run --invoke f "$dir/a.wasm" 5 >"$dir/out$i" 2>&1 &
done
wait
for i in 1 2 3 4 5 6 7 8; do check "answer $i" same "$dir/out$i" 15; done
check "one entry and one key" no_leftovers "$cache" 2
runs "$before" "$dir/a.wasm"

# what was compiled in the course of a run is there at the start of the next
rm -rf "$cache"
for i in $(seq 20); do # until the machine has found the time
    expect 0 "" run --stats --invoke f "$dir/a.wasm" 100000000
    grep -q "compiled 2 functions" "$dir/out" && break
    rm -rf "$cache"
done
check "both functions were compiled" grep -q "compiled 2 functions" "$dir/out"
runs "2 functions were compiled before" "$dir/a.wasm"
for i in 1 2 3; do # the function whose loop was entered while it ran runs compiled from its start
    expect 0 "compiled 0 functions and 0 running loops" run --stats --invoke f "$dir/a.wasm" 100000000
done
runs "-were compiled before" "$dir/a.wasm" --no-cache
exit $failed
