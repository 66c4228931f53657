#!/bin/sh
# Compiled code of which each function is read when it is called first: what was changed meanwhile does not run, and the
# program does all the same. usage: first_call_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"
cache=$XDG_CACHE_HOME/atoll
n=2500
changed="some of its machine code is not used: it was changed"

# go: writes a byte, waits for one, then calls everything: directly, by a table, by tail calls, with exceptions and bulk
# operations in between. some: a few functions. trap, deep: end badly.
{
    cat <<'END'
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (type $f (func (param i64 i64) (result i64)))
  (memory (export "memory") 1)
  (tag $odd (param i64))
  (data (i32.const 0) "\08\00\00\00\01\00\00\00x")
  (func $pause
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 32))))
  (func $throws (param i64) (throw $odd (local.get 0)))
  (func $catches (param i64) (result i64)
    (block $caught (result i64)
      (try_table (catch $odd $caught) (call $throws (i64.add (local.get 0) (i64.const 1))))
      i64.const 0))
  (func $tail (param i64 i64) (result i64) (return_call $tail2 (local.get 1) (local.get 0)))
  (func $tail2 (param i64 i64) (result i64)
    (return_call_indirect (type $f) (local.get 0) (local.get 1) (i32.const 17)))
  (func $fills (result i64)
    (memory.fill (i32.const 100) (i32.const 7) (i32.const 50))
    (memory.copy (i32.const 200) (i32.const 120) (i32.const 40))
    (i64.load (i32.const 220)))
  (func $trap (export "trap") (param i32) (result i32) (i32.load offset=65536 (local.get 0)))
  (func (export "deep") (param i32) (result i32) (call $trap (local.get 0)))
  (func (export "some") (result i64)
    (i64.add (call $f9 (i64.const 5) (i64.const 6)) (call $catches (i64.const 4))))
END
    for i in $(seq $n); do
        echo "(func \$f$i (param i64 i64) (result i64) (local i64) loop local.get 2 local.get 0 i64.add local.get 1
            i64.const $i i64.mul i64.xor local.set 2 local.get 1 i64.const 1 i64.sub local.tee 1 i64.const 0 i64.ne br_if 0
            end local.get 2)"
    done
    echo "(table funcref (elem" && seq -f '$f%.0f' $n && echo "))"
    echo "(func (export \"go\") (result i64) (local \$sum i64) (local \$i i32)"
    echo "(local.set \$sum (call \$f1 (i64.const 3) (i64.const 4))) call \$pause"
    for i in $(seq 1 3 $n); do
        echo "(local.set \$sum (i64.add (local.get \$sum) (call \$f$i (local.get \$sum) (i64.const 3))))"
    done
    cat <<'END'
    loop
      (local.set $sum (i64.xor (local.get $sum)
        (call_indirect (type $f) (local.get $sum) (i64.const 2) (local.get $i))))
      (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (table.size)))
    end
    (i64.add (i64.add (local.get $sum) (call $catches (i64.const 41)))
             (i64.add (call $fills) (call $tail (i64.const 5) (i64.const 6)))))
  )
END
} >"$dir/p.wat"
"$atoll" asm "$dir/p.wat" -o "$dir/p.wasm" || failed=1
expect 0 "" compile "$dir/p.wasm" -o "$dir/p.cwasm"
echo y | "$atoll" run --tier=interp --invoke go "$dir/p.wasm" >"$dir/right" 2>&1
check "there is an answer" grep -Eq '^x-?[0-9]+$' "$dir/right"
u64() { od -An -t u8 -j "$2" -N 8 "$1" | tr -d ' '; }
size=$(stat -c %s "$dir/p.cwasm")
index_at=$((104 + $(u64 "$dir/p.cwasm" 8)))
body_at=$((index_at + $(u64 "$dir/p.cwasm" 16)))
check "its code is large enough not to be read whole" [ $((size - body_at)) -gt $((256 << 10)) ]

# answers WHAT FILE FLAGS...: the right answer; what else was printed is in err
answers() {
    what=$1 file=$2
    shift 2
    echo y | "$atoll" run "$@" --invoke go "$file" >"$dir/answer" 2>"$dir/err"
    check "$what: the answer with $*" cmp "$dir/right" "$dir/answer"
}
quiet() { check "$1: nothing is told" [ ! -s "$dir/err" ]; }
tells() { check "$1: it says '$2'" grep -qF -e "$2" "$dir/err"; }

for tier in jit auto interp; do
    answers whole "$dir/p.cwasm" --tier=$tier
    quiet whole
done
for tier in jit auto; do
    answers whole "$dir/p.cwasm" --tier=$tier --stats
    tells whole "$((n + 10)) functions were compiled before"
    tells whole "compiled 0 functions and 0 running loops"
    expect 134 "out of bounds memory access" run --tier=$tier --invoke deep "$dir/p.cwasm" 0
    check "the trap has its place" grep -q "0: trap+0x" "$dir/out"
    check "and its caller's" grep -q "1: deep+0x" "$dir/out"
    cat "$dir/p.cwasm" | "$atoll" run --tier=$tier --invoke some - >"$dir/answer" 2>"$dir/err"
    check "from a pipe: the answer" [ "$(cat "$dir/answer")" = "$("$atoll" run --tier=interp --invoke some "$dir/p.wasm")" ]
    quiet "from a pipe"
done

# damage: what is not called does not matter, what is called is interpreted, or compiled again
damage() { # FILE PLACE
    cp "$dir/p.cwasm" "$1"
    printf '\101\102\103' | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
damage "$dir/bad.cwasm" $((size - 5000))
for tier in jit auto; do
    "$atoll" run --tier=$tier --invoke some "$dir/bad.cwasm" >"$dir/answer" 2>"$dir/err"
    check "what is not called: the answer" [ "$(cat "$dir/answer")" = "$("$atoll" run --tier=interp --invoke some "$dir/p.wasm")" ]
    quiet "what is not called"
done
for at in $((body_at + 1000)) $((body_at + (size - body_at) / 2)) $((size - 5000)) $((size - 4)); do
    damage "$dir/bad.cwasm" "$at"
    for tier in jit auto; do
        answers "damage at $at" "$dir/bad.cwasm" --tier=$tier --stats --no-cache
        tells "damage at $at" "bad.cwasm: $changed"
        check "it is told once" [ "$(grep -c "$changed" "$dir/err")" -eq 1 ]
        check "not all were compiled before" [ "$(grep -c "^atoll: $((n + 10)) functions were" "$dir/err")" -eq 0 ]
        check "most were" grep -Eq "atoll: (24[0-9][0-9]|250[0-9]) functions were compiled before" "$dir/err"
    done
done
for at in 20 40 70 97 200 $((index_at + 3)) $((index_at + 50)) $((body_at - 20)); do # under the seal
    damage "$dir/bad.cwasm" "$at"
    "$atoll" run --stats --no-cache --invoke some "$dir/bad.cwasm" >"$dir/out" 2>&1
    check "damage at $at: none of it is used" [ "$(grep -c "compiled before" "$dir/out")" -eq 0 ]
done
for at in 10 100 $((index_at - 1)) $((index_at + 9)) $((body_at - 1)) $body_at $((size / 2)) $((size - 1)); do
    head -c "$at" "$dir/p.cwasm" >"$dir/cut.cwasm"
    expect 126 "a broken file of compiled code" run --invoke some "$dir/cut.cwasm"
    one_line
done
{ cat "$dir/p.cwasm" && echo; } >"$dir/long.cwasm"
expect 126 "a broken file of compiled code" run --invoke some "$dir/long.cwasm"

# the file changes while the program runs
changes() { # WHAT COMMAND...: between the program's first output and its end
    what=$1
    shift
    cp "$dir/p.cwasm" "$dir/now.cwasm"
    mkfifo "$dir/go"
    : >"$dir/answer"
    "$atoll" run --tier=$tier --invoke go "$dir/now.cwasm" <"$dir/go" >"$dir/answer" 2>"$dir/err" &
    pid=$!
    exec 9>"$dir/go"
    while ! grep -q x "$dir/answer" && kill -0 $pid 2>/dev/null; do sleep 0.05; done
    "$@"
    echo y >&9
    exec 9>&-
    wait $pid
    check "$what ($tier): the answer" cmp "$dir/right" "$dir/answer"
    rm -f "$dir/go"
}
emptied() { : >"$dir/now.cwasm"; }
overwritten() { dd if=/dev/zero of="$dir/now.cwasm" bs=65536 count=$((size / 65536)) conv=notrunc 2>/dev/null; }
replaced() { "$atoll" compile "$dir/p.wasm" -o "$dir/now.cwasm"; }
removed() { rm "$dir/now.cwasm"; }
for tier in jit auto; do
    changes emptied emptied
    tells emptied "now.cwasm: $changed"
    changes overwritten overwritten
    tells overwritten "now.cwasm: $changed"
    changes replaced replaced
    quiet replaced
    changes removed removed
    quiet removed
done

# many at the same time, while it is made again
cp "$dir/p.cwasm" "$dir/now.cwasm"
for i in 1 2 3 4; do
    echo y | "$atoll" run --tier=auto --invoke go "$dir/now.cwasm" >"$dir/answer$i" 2>"$dir/err$i" &
done
"$atoll" compile "$dir/p.wasm" -o "$dir/now.cwasm" || failed=1
wait
for i in 1 2 3 4; do
    check "answer $i of many" cmp "$dir/right" "$dir/answer$i"
    check "answer $i: nothing is told" [ ! -s "$dir/err$i" ]
done

# the cache: an entry that was changed is made again
entry() { find "$cache" -type f ! -name key -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2; }
all="$((n + 10)) functions were compiled before"
answers cache "$dir/p.wasm" --tier=jit
answers cache "$dir/p.wasm" --tier=jit --stats
tells cache "$all"
answers cache "$dir/p.wasm" --tier=auto --stats
tells cache "$all"
at=$(($(stat -c %s "$(entry)") - 3000))
printf '\101\102\103' | dd of="$(entry)" bs=1 seek=$at conv=notrunc 2>/dev/null
answers "changed entry" "$dir/p.wasm" --tier=jit --stats
check "changed entry: not all were compiled before" [ "$(grep -c "$all" "$dir/err")" -eq 0 ]
answers "entry after the change" "$dir/p.wasm" --tier=jit
answers "entry made again" "$dir/p.wasm" --tier=jit --stats
tells "entry made again" "$all"

# code that counts fuel is for runs that have it, other code for others
for flags in "" --fuel=100000000; do
    answers "with '$flags'" "$dir/p.wasm" --tier=jit $flags
    answers "again with '$flags'" "$dir/p.wasm" --tier=jit --stats $flags
    tells "again with '$flags'" "$all"
done
expect 0 "" compile --fuel "$dir/p.wasm" -o "$dir/fuel.cwasm"
answers "with fuel" "$dir/fuel.cwasm" --stats --fuel=100000000
tells "with fuel" "$all"
answers "without" "$dir/fuel.cwasm"
tells "without" "fuel.cwasm: its machine code is not used: it was compiled with --fuel"
answers "other code" "$dir/p.cwasm" --fuel=100000000
tells "other code" "p.cwasm: its machine code is not used: it was compiled without --fuel"
echo y | "$atoll" run --tier=interp --fuel=3000 --invoke go "$dir/p.wasm" >"$dir/right" 2>&1
echo y | "$atoll" run --fuel=3000 --invoke go "$dir/fuel.cwasm" >"$dir/answer" 2>&1
sed -i 's/\.c*wasm//g; s/fuel:/p:/' "$dir/right" "$dir/answer"
check "it ends where the interpreter does" [ "$(grep -m 1 trap: "$dir/right")" = "$(grep -m 1 trap: "$dir/answer")" ]
exit $failed
