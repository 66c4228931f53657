# A root folder for guests of busybox, for the checks of --rootfs; in the outer machine.
root=/tmp/rootfs
if [ ! -d $root ]; then
    mkdir -p $root/bin $root/etc $root/tmp $root/root
    cp /bin/busybox $root/bin/
    for name in sh cat echo ls touch rm mkdir ln mv cp id mount kill sleep wc head chmod dd sync stat test true false base64 gzip tail; do
        ln -s busybox $root/bin/$name
    done
    echo "of the host" >$root/etc/file
fi

# command KERNEL FLAGS -- CMD ARGS: as boot; standard input is /tmp/in
: >/tmp/in
command() {
    local kernel=$1
    shift
    atoll boot --engine=kvm --kernel "$kernel" --rootfs $root --timeout 500 "$@" </tmp/in >/tmp/out 2>/tmp/err
    status=$?
}
only() { [ "$(cat /tmp/out)" = "$1" ] || { fail "not only \"$1\" in the output"; show; }; }
