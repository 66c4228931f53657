# --dir beside --rootfs: read, written, and no way out of it. The guest follows links in its own root.
. /rootfs_lib.sh
share=/tmp/share
mkdir -p $share/in
echo outside >/tmp/secret
echo shared >$share/in/file
ln -s ../secret $share/up
ln -s /tmp/secret $share/absolute

command $cloud --dir $share::/mnt/share --dir $share::/mnt/ro:ro -- sh -c '
    cd /mnt/share && cat in/file && echo written >in/new && mkdir d && mv in/new d/ && ln -s d/new link && cat link
    cat up absolute 2>/dev/null && echo "a link led out"
    cat ../../tmp/secret ../secret 2>/dev/null && echo "the host is seen"
    rm d/new && test ! -e d/new && dd if=/dev/zero of=big bs=64k count=64 2>/dev/null && sync && wc -c big
    (echo x >/mnt/ro/in/file) 2>/dev/null && echo "read-only is not"
    chmod 4755 big 2>/dev/null && echo "a set-user-ID bit came"
    true'
expect_status 0
only 'shared
written
4194304 big'
[ "$(wc -c <$share/big)" = 4194304 ] || fail "big is not on the host"
[ "$(cat $share/in/file)" = shared ] || fail "a file below :ro was changed"
[ "$(cat /tmp/secret)" = outside ] || fail "the secret was changed"
