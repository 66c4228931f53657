# --rootfs: a folder as the root of a guest, a command in it, its streams and its status.
root=/tmp/rootfs share=/tmp/share
mkdir -p $root/bin $root/etc $root/tmp $root/root $share/in
cp /bin/busybox $root/bin/
for name in sh cat echo ls touch rm mkdir ln mv cp id mount kill sleep wc head chmod dd sync stat readlink test true false; do
    ln -s busybox $root/bin/$name
done
echo "of the host" >$root/etc/file
echo outside >/tmp/secret
echo shared >$share/in/file
ln -s ../secret $share/up
ln -s /tmp/secret $share/absolute

# command KERNEL CMD...: as boot
command() {
    local kernel=$1
    shift
    atoll boot --kernel "$kernel" --rootfs $root --timeout 500 "$@" >/tmp/out 2>/tmp/err
    status=$?
}
only() { [ "$(cat /tmp/out)" = "$1" ] || { fail "not only \"$1\" in the output"; show; }; }

# Streams of its own, nothing of the console in them; changes of the root are thrown away.
printf 'one\ntwo\n' | command $cloud -- sh -c 'cat; cat /etc/file; echo no >&2; echo new >/etc/file; cat /etc/file; exit 42'
expect_status 42
only 'one
two
of the host
new'
[ "$(cat /tmp/err)" = no ] || { fail "not only \"no\" in the messages"; show; }
[ "$(cat $root/etc/file)" = "of the host" ] || fail "the root was changed"

# A folder beside it: read, written, and no way out of it. The guest follows links in its own root.
command $cloud --dir $share::/mnt/share --dir $share::/mnt/ro:ro -- sh -c '
    cd /mnt/share && cat in/file && echo written >in/new && mkdir d && mv in/new d/ && ln -s d/new link && cat link
    cat up absolute && echo "a link led out"
    cat ../../tmp/secret ../secret && echo "the host is seen"
    rm d/new && test ! -e d/new && dd if=/dev/zero of=big bs=64k count=64 2>/dev/null && sync && wc -c big
    echo x 2>/dev/null >/mnt/ro/in/file && echo "read-only is not"
    chmod 4755 big 2>/dev/null && echo "a set-user-ID bit came"
    true' </dev/null
expect_status 0
only 'shared
written
4194304 big'
[ "$(wc -c <$share/big)" = 4194304 ] || fail "big is not on the host"
[ "$(cat $share/in/file)" = shared ] || fail "a file below :ro was changed"
[ "$(cat /tmp/secret)" = outside ] || fail "the secret was changed"

# A crash by a signal, a command that is not there, one that is no program.
command $cloud -- sh -c 'kill -SEGV $$' </dev/null
expect_status 139
command $cloud -- nowhere </dev/null
expect_status 127
expect_error 'nowhere: No such file'

# With --rw changes stay; other kernels, whose modules are packed.
command $generic --rw -- sh -c 'echo changed >/etc/file; exit 1' </dev/null
expect_status 1
[ "$(cat $root/etc/file)" = changed ] || fail "the root was not changed"
command $new -- cat /etc/file </dev/null
expect_status 0
only changed
