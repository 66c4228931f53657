#!/bin/bash
# Debian's kernel under --icount, twice, as far as it comes without a root: the same bytes. usage: icount_test.sh ATOLL KERNELS
#   KERNELS  the folder of nested/prepare.sh; the variable ATOLL_NESTED_KERNELS goes before
# 77: something it needs is missing
set -eu
here=$(cd "$(dirname "$0")" && pwd)
atoll=$1 kernels=${ATOLL_NESTED_KERNELS:-$2}
"$here/../nested/prepare.sh" "$kernels" cloud || exit $?
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for run in first second; do
    status=0
    "$atoll" boot --icount --kernel "$kernels/cloud/vmlinuz" --memory 256M --append "console=ttyS0 panic=-1" --timeout 15m \
        </dev/null >"$dir/$run" 2>"$dir/err" || status=$?
    [[ $status -eq 255 ]] || { echo "FAILED: status $status"; cat "$dir/err"; exit 1; } # no root: it panics
done
grep -q "Unable to mount root" "$dir/first" || { echo "FAILED: it did not come so far"; tail "$dir/first"; exit 1; }
cmp "$dir/first" "$dir/second"
