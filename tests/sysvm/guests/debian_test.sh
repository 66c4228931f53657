#!/bin/bash
# Debian's kernel, unmodified, on the software CPU: a command with its folders, disk and exit status, on one processor
# and on two. usage: debian_test.sh ATOLL KERNELS
#   KERNELS  the folder of nested/prepare.sh; the variable ATOLL_NESTED_KERNELS goes before
# 77: something it needs is missing
set -eu
here=$(cd "$(dirname "$0")" && pwd)
atoll=$1 kernels=${ATOLL_NESTED_KERNELS:-$2}
busybox=$(command -v busybox) || { echo "skipped: no busybox (busybox-static)"; exit 77; }
if ldd "$busybox" >/dev/null 2>&1; then echo "skipped: $busybox is not static (busybox-static)"; exit 77; fi
"$here/../nested/prepare.sh" "$kernels" cloud || exit $?

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
mkdir -p "$dir"/root/{bin,tmp,proc,sys,dev} "$dir/shared"
cp "$busybox" "$dir/root/bin/busybox"
for name in sh cat echo uname wc grep md5sum dd sync true sleep pwd; do ln -s busybox "$dir/root/bin/$name"; done
echo "from the host" >"$dir/shared/in"
truncate -s 4M "$dir/disk"

# guest NAME STATUS FLAGS... -- COMMAND: standard output stays in $dir/out
guest() {
    local name=$1 want=$2 status=0
    shift 2
    "$atoll" boot --engine=soft --kernel "$kernels/cloud/vmlinuz" --modules "$kernels/cloud/modules" --rootfs "$dir/root" \
        --timeout 15m "$@" >"$dir/out" 2>"$dir/err" </dev/null || status=$?
    if [[ $status -eq $want ]]; then
        echo "ok: $name"
    else
        echo "FAILED: $name: status $status, not $want"
        failed=1
        cat "$dir/out" "$dir/err"
    fi
}
check() {
    local name=$1
    shift
    if "$@"; then
        echo "ok: $name"
    else
        echo "FAILED: $name"
        failed=1
        cat "$dir/out" "$dir/err"
    fi
}

cat >"$dir/shared/work.sh" <<'END'
cat /shared/in
echo "to the host" >/shared/out
dd if=/dev/urandom of=/tmp/block bs=64k count=8 2>/dev/null
dd if=/tmp/block of=/dev/vda bs=64k 2>/dev/null
sync
dd if=/dev/vda bs=64k count=8 2>/dev/null | md5sum | cut -c1-32 >/shared/disk.sum
echo "$((1 << 40)) $(echo text | wc -c)"
exit 42
END
ln -s busybox "$dir/root/bin/cut"
guest "a command ends with its status" 42 --dir "$dir/shared::/shared" --disk "$dir/disk" -- /bin/sh /shared/work.sh
check "its output alone" test "$(cat "$dir/out")" = "from the host
1099511627776 5"
check "a file that it wrote" grep -qx "to the host" "$dir/shared/out"
check "blocks that it wrote" test "$(head -c 524288 "$dir/disk" | md5sum | cut -c1-32)" = "$(cat "$dir/shared/disk.sum")"
guest "two processors" 0 --cpus 2 -- /bin/sh -c '
    (i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); done) & (i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); done) & wait
    grep -c ^processor /proc/cpuinfo'
check "both are seen" test "$(cat "$dir/out")" = 2
{ "$atoll" boot --engine=soft --kernel "$kernels/cloud/vmlinuz" --modules "$kernels/cloud/modules" --rootfs "$dir/root" --timeout 15m \
    -- /bin/sh -c 'dd if=/dev/zero bs=1000 count=100 2>/dev/null; exit 5' 2>"$dir/err" </dev/null || echo $? >"$dir/status"; } |
    { sleep 10; wc -c; } >"$dir/out"
check "output that is read late" test "$(cat "$dir/out" "$dir/status" | tr '\n' ' ')" = "100000 5 "
export XDG_RUNTIME_DIR=$dir/run
mkdir -m 700 "$dir/run"
{ until "$atoll" vm console killed </dev/null 2>/dev/null | grep -q -m 1 runs; do sleep 1; done; "$atoll" vm kill killed; } &
guest "a command that is killed" 137 --name killed -- /bin/sh -c 'echo it runs; sleep 1000'
wait
# In the background: no standard streams, so errors go where output goes, and neither ends the command.
background() {
    local name=$1 command=$2
    "$atoll" boot --engine=soft --kernel "$kernels/cloud/vmlinuz" --modules "$kernels/cloud/modules" --rootfs "$dir/root" \
        --timeout 15m --detach --name "$name" --log "$dir/log" -- /bin/sh -c "$command" >"$dir/out" 2>"$dir/err" </dev/null
}
ended() {
    until grep -q "machine $1 ended" "$dir/log"; do sleep 1; done
    grep -q "machine $1 ended with status $2\$" "$dir/log"
}
check "a command that writes errors" background errors '
    i=0; while [ $i -lt 9 ]; do i=$((i + 1)); echo "error $i" >&2; sleep 1; done; exit 7'
check "its errors on the console" sh -c '"$1" vm console errors </dev/null 2>/dev/null | grep -q "error 9"' - "$atoll"
check "its status in the log" ended errors 7
check "a command that is asked to end" background asked 'trap "exit 33" TERM; echo ready; while :; do sleep 1; done'
until "$atoll" vm console asked </dev/null 2>/dev/null | grep -q -m 1 ready; do sleep 1; done
check "it is by stop" "$atoll" vm stop --timeout 10m asked
check "and ends as it wants" ended asked 33
guest "a folder to start in" 0 --dir "$dir/shared::/shared:ro" --cwd /shared -- /bin/sh -c 'cat in; pwd'
check "it starts there" test "$(cat "$dir/out")" = "from the host
/shared"
guest "no folder to start in" 125 --cwd /nowhere -- /bin/sh
check "which is told" grep -q 'cannot start in /nowhere: No such file' "$dir/err"
exit $failed
