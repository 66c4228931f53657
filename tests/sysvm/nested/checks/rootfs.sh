# --rootfs: a folder as the root of a guest, a command in it, its streams and its status.
. /rootfs_lib.sh

# Streams of its own, nothing of the console in them; changes of the root are thrown away.
printf 'one\ntwo\n' >/tmp/in
command $cloud -- sh -c 'cat; cat /etc/file; echo no >&2; echo new >/etc/file; cat /etc/file; exit 42'
expect_status 42
only 'one
two
of the host
new'
[ "$(cat /tmp/err)" = no ] || { fail "not only \"no\" in the messages"; show; }
[ "$(cat $root/etc/file)" = "of the host" ] || fail "the root was changed"

# A crash by a signal, a command that is not there.
: >/tmp/in
command $cloud -- sh -c 'kill -SEGV $$'
expect_status 139
command $cloud -- nowhere
expect_status 127
expect_error 'nowhere: No such file'
