#!/bin/sh
# atoll boot --icount: time is instructions. usage: icount_test.sh ATOLL count_guest tiny_kernel
atoll=$1 guest=$2 tiny=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
fail() { echo "FAILED: $*"; failed=1; }

# Twice the same.
run() { "$atoll" boot --icount --memory 32M "$@" </dev/null 2>"$dir/err" || fail "status $?: $(cat "$dir/err")"; }
run --kernel "$guest" >"$dir/first"
run --kernel "$guest" >"$dir/second"
cmp "$dir/first" "$dir/second" || fail "two runs differ"

# More output than a pipe holds, and a reader that takes its time: it is waited for, and nothing is lost.
run --kernel "$tiny" --append flood >"$dir/flood"
run --kernel "$tiny" --append flood | (sleep 1; cat) >"$dir/slow"
[ "$(wc -c <"$dir/flood")" -gt 100000 ] && cmp "$dir/flood" "$dir/slow" || fail "a slow reader"
[ "$(wc -l <"$dir/first")" -eq 19 ] || fail "lines: $(cat "$dir/first")"
line() { sed -n "$1p" "$dir/first"; }

# What the time is made of: few instructions at first, 2000-01-01, and 4294967295 ns asleep that nobody waited for.
[ $((0x$(line 1))) -lt 100 ] || fail "it begins at $(line 1)"
[ "$(line 3) $(line 4)" = "0000000000000000 0000000000000000" ] || fail "the date: $(line 3) $(line 4)"
[ "$(line 5)" != "$(line 6)" ] || fail "random numbers: $(line 5)"
slept=$((0x$(line 18)))
[ $slept -ge 4294967295 ] && [ $slept -lt 4294968295 ] || fail "it slept $slept ns"
[ "$(line 2)" != "$(line 19)" ] || fail "ACPI's timer stands"

# Interrupts come after as many instructions each.
[ "$(line 7)" != "$(line 8)" ] || fail "the timer does not tick: $(line 7)"
[ "$((0x$(line 9) - 0x$(line 8)))" -eq "$((0x$(line 8) - 0x$(line 7)))" ] ||
    [ "$((0x$(line 9) - 0x$(line 8) - 0x$(line 8) + 0x$(line 7)))" -le 1 ] || fail "ticks: $(line 7) $(line 8) $(line 9)"

# What answers by the host's time is not there.
for flags in "--cpus 2" "--engine kvm" "--net none" "--disk $dir/x" "--dir $dir::x"; do
    # shellcheck disable=SC2086
    "$atoll" boot --icount --kernel "$guest" $flags >/dev/null 2>"$dir/err" </dev/null
    [ $? -eq 2 ] && grep -q -e "--icount does without" "$dir/err" || fail "$flags: $(cat "$dir/err")"
done
exit $failed
