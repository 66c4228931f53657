#!/bin/sh
# A forbidden system call ends the machine, and says which it was and of which thread; machines with all their devices
# live in the jail, also after a reset. usage: atoll_jail_test.sh ATOLL KERNEL BREAK_OUT.SO ENGINE
atoll=$(realpath "$1") kernel=$2 break_out=$3 engine=$4
[ "$engine" = soft ] || [ -w /dev/kvm ] || { echo "skipped: no /dev/kvm here"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export TMPDIR="$dir"
failed=0
export ASAN_OPTIONS=verify_asan_link_order=0

# run WHERE FLAGS...: status in $status
run() {
    where=$1
    shift
    BREAK_OUT=$where LD_PRELOAD=$break_out "$atoll" boot --engine "$engine" --kernel "$kernel" "$@" \
        >"$dir/out" 2>"$dir/err" </dev/null
    status=$?
}
fail() { echo "FAILED: $*"; cat "$dir/err"; failed=1; }
# check NAME STATUS MESSAGE
check() {
    if [ $status -eq "$2" ] && { [ -z "$3" ] || grep -q -- "$3" "$dir/err"; }; then
        echo "ok: $1"
    else
        fail "$1: status $status, not $2; messages:"
    fi
}
# forbidden THREAD CALL FLAGS...: one line, and 125
forbidden() {
    thread=$1 call=$2
    shift 2
    run "$thread" --append hang --timeout 100 "$@"
    check "$thread" 125 "^atoll: boot: jail: thread $thread made the system call $call, which is not allowed: the machine is ended\$"
    [ "$(wc -l <"$dir/err")" -eq 1 ] || fail "more than one line"
}

mkdir "$dir/share"
truncate -s 1M "$dir/disk.img" "$dir/base.img"
forbidden loop 'ptrace (101)'
forbidden vcpu0 'connect (42)'
forbidden disk 'connect (42)' --disk "$dir/disk.img"
forbidden folder 'connect (42)' --dir "$dir/share::share"
run loop --append hang --timeout 2 --no-jail
check "no jail" 124 'timeout'
run none --append off --no-jail --stats
check "no jail, and it is said" 0 '^atoll: boot: jail: none$'
printf 'no-jail = true\nstats = true\n' >"$dir/machine.vm"
run none --append off "$dir/machine.vm"
check "no jail by a file" 0 '^atoll: boot: jail: none$'
run none --append off --stats
check "what held" 0 '^atoll: boot: jail: no new privileges; capabilities: [a-z_ ]*; files: '
check "who may do what" 0 '^atoll: boot: jail: system calls: loop [0-9]*, processors [0-9]*, disks [0-9]*, folders [0-9]*$'
run none --append off -v
check "what holds" 0 '^atoll: boot: jail: no new privileges; capabilities: [a-z_ ]*; files: '

# Machines with devices, made twice: what the first could open, the second can.
twice() {
    name=$1
    shift
    run none --append reset --timeout 3 "$@"
    [ "$(grep -c '^tiny: reset' "$dir/out")" -ge 2 ] || run none --append reset --timeout 60 "$@" # a slow machine
    check "$name, and a reset" 124 'timeout'
    [ "$(grep -c '^tiny: reset' "$dir/out")" -ge 2 ] || fail "$name: it was not booted again"
}
(cd "$dir" && "$atoll" disk create top.qcow2 --backing base.img >/dev/null) || fail "no image"
twice "disks" --disk "$dir/disk.img" --disk "$dir/top.qcow2" --disk "$dir/base.img:snapshot" --disk "$dir/base.img:overlay"
twice "folders" --dir "$dir/share::share" --dir "$dir::all:ro"
if [ -f "$dir/base.img.overlay.qcow2" ]; then rm "$dir/base.img.overlay.qcow2"; else fail "no overlay"; fi
twice "sockets" --vsock "$dir/vsock"
[ ! -e "$dir/vsock" ] || fail "the socket is still there"
if ldconfig -p 2>/dev/null | grep -q libslirp.so.0; then
    twice "a network" --net user:allow=any,ipv6=on
fi
exit $failed
