#!/bin/sh
# Where a program's time goes: the functions that take it are named, callers count what they called, the graph shows both.
# usage: profile_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"
cat >"$dir/p.wat" <<'END'
(module
  (func $busy (param i64) (result i64) (local i64)
    loop
      local.get 1
      local.get 0
      i64.mul
      local.get 0
      i64.xor
      local.set 1
      local.get 0
      i64.const 1
      i64.sub
      local.tee 0
      i64.const 0
      i64.ne
      br_if 0
    end
    local.get 1)
  (func $"<outer>" (export "outer") (param i64) (result i64)
    (i64.add (call $busy (local.get 0)) (call $busy (i64.const 10))))
  (func $tail (param i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64)
    (i64.add (call $busy (local.get 0)) (i64.add (local.get 7) (local.get 8))))
  (func $hop (param i64) (result i64)
    (return_call $tail (local.get 0) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6) (i64.const 7)
      (i64.const 8) (i64.const 9)))
  (func $"tail caller" (export "tails") (param i64) (result i64)
    (i64.add (call $hop (local.get 0)) (call $hop (i64.const 10))))
  (func (export "trap") (param i64) (result i64)
    (drop (call $busy (local.get 0)))
    unreachable))
END
"$atoll" profile --svg "$dir/graph.svg" --invoke outer "$dir/p.wat" 300000000 >"$dir/result" 2>"$dir/out"
check "the program's status is passed on" [ $? -eq 0 ]
check "its output, too" [ "$(wc -l <"$dir/result")" -eq 1 ]
check "samples were taken" grep -Eq '^atoll: [1-9][0-9]+ samples' "$dir/out"
share() { awk -v name="$1" -v column="$2" '$3 == name { sub("%", "", $column); print int($column) }' "$dir/out"; }
check "the loop takes nearly all of it" [ "$(share busy 1)" -ge 90 ]
check "and so does its caller with it" [ "$(share "<outer>" 2)" -ge 90 ]
check "which takes nothing itself" [ "$(share "<outer>" 1)" -le 5 ]
check "the graph names both" grep -q "<title>busy: " "$dir/graph.svg"
check "and escapes" grep -q "<title>&#60;outer&#62;: " "$dir/graph.svg"
expect 0 . profile --tier=jit --invoke tails "$dir/p.wat" 300000000
check "a caller is known behind a tail call that took a frame" \
    [ "$(awk '/tail caller/ { print int($2) }' "$dir/out")" -ge 90 ]
# a name that XML, a terminal and a line would not take as it is: U+FFFE, a control character of two bytes, a cut in the
# midst of a character
letters=$(printf '%060d' 0 | sed 's/0/\\c3\\a9/g')
cat >"$dir/name.wat" <<END
(module (func \$"x\\ef\\bf\\be<\\c2\\9b\\1b$letters$letters" (export "f") (param i64) (result i64) (local i64)
  (loop (local.set 1 (i64.mul (i64.add (local.get 1) (local.get 0)) (local.get 0)))
    (br_if 0 (i64.ne (local.tee 0 (i64.sub (local.get 0) (i64.const 1))) (i64.const 0)))) (local.get 1)))
END
expect 0 'x' profile --svg "$dir/name.svg" --invoke f "$dir/name.wat" 100000000
check "a graph is valid UTF-8" iconv -f UTF-8 -t UTF-16 -o "$dir/utf16" "$dir/name.svg"
check "so is the table" iconv -f UTF-8 -t UTF-16 -o "$dir/utf16" "$dir/out"
has() { LC_ALL=C grep -q "$(printf "$1")" "$2"; }
check "the name is in the graph" has 'x?&#60;' "$dir/name.svg"
for bytes in '\357\277\276' '\302\233' '\033'; do
    check "no $bytes in the graph" [ "$(LC_ALL=C grep -c "$(printf "$bytes")" "$dir/name.svg")" -eq 0 ]
done
check "no control character in the table" [ "$(LC_ALL=C grep -c "$(printf '\302\233')" "$dir/out")" -eq 0 ]
if command -v xmllint >/dev/null; then check "the graph is XML" xmllint --noout "$dir/name.svg"; fi
expect 134 "unreachable" profile --invoke trap "$dir/p.wat" 100000000
check "a program that traps is told of, too" grep -q "busy" "$dir/out"
expect 2 "compiled code is sampled" profile --tier=interp "$dir/p.wat"
expect 134 "all fuel consumed" profile --fuel 100000 --invoke outer "$dir/p.wat" 100000000
expect 125 "No such file" profile --svg "$dir/none/graph.svg" --invoke outer "$dir/p.wat" 10
exit $failed
