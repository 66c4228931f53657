# What checks use, in the outer machine's busybox sh. A check ends with $failed 0 or 1.
failed=0
cloud=/kernels/cloud/vmlinuz generic=/kernels/generic/vmlinuz new=/kernels/new/vmlinuz inner=/kernels/inner.cpio.gz

fail() { echo "FAILED: $*"; failed=1; }

# boot KERNEL DO [FLAGS]: output in /tmp/out and /tmp/err, status in $status.
boot() {
    local kernel=$1 word=$2
    shift 2
    atoll boot --engine=kvm --kernel "$kernel" --initrd $inner --append "console=ttyS0 panic=-1 quiet do=$word ${append:-}" "$@" \
        </dev/null >/tmp/out 2>/tmp/err
    status=$?
}
# Waits for a line of the guest that "boot ... &" boots, or for its end.
await() { while kill -0 $! 2>/dev/null && ! grep -q "$1" /tmp/out; do sleep 1; done; }
show() { tail -n 15 /tmp/out; tail -n 15 /tmp/err; }
expect_status() { [ "$status" = "$1" ] || { fail "status $status, not $1"; show; }; }
expect_output() { grep -q -- "$1" /tmp/out || { fail "no \"$1\" in the output"; show; }; }
expect_error() { grep -q -- "$1" /tmp/err || { fail "no \"$1\" in the messages"; show; }; }
