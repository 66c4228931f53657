#!/bin/sh
# native_samples.sh ATOLL SAMPLES: the samples give what they promise; a library that is absent is skipped, named.
atoll=$1
samples=$2
failed=0
check() {
    expected=$1 name=$2
    shift 2
    got=$("$atoll" run --native "$samples/$name.ffi" --invoke "$1" "$samples/$name.wat" $2 $3 2>&1)
    [ "$got" = "$expected" ] && return
    case $got in
    *"cannot open shared object file"*) echo "skipped: $got" ;;
    *) echo "$name: expected $expected, got: $got"; failed=1 ;;
    esac
}
check 1024 libm power 2 10
check 11 libm exponent 1024
check 1 qsort sorted 0
check 9 qsort sorted 3
check 42 sqlite ask
check 50 sqlite busy
"$atoll" run --invoke size "$samples/zlib.wat" 2>&1 | grep -q "unknown import: z.compress" ||
    { echo "not granted, yet linked"; failed=1; }
exit $failed
