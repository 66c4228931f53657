# With --rw changes of the root stay; kernels with other modules: the generic one, and 6.12, whose modules are packed.
. /rootfs_lib.sh
command $generic --rw -- sh -c 'echo changed >/etc/file; exit 1'
expect_status 1
[ "$(cat $root/etc/file)" = changed ] || fail "the root was not changed"
command $new -- cat /etc/file
expect_status 0
only changed
echo "of the host" >$root/etc/file
