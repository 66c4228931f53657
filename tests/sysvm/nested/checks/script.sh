# A console script logs on to a true Linux, runs commands there, copies a file in and out, and switches the guest off.
head -c 1000 /dev/urandom >/tmp/in.bin
cat >/tmp/ok.script <<'END'
timeout 400s
fail "the kernel panicked" when "Kernel panic"
expect "guest: userland"
expect "# "
run "cd /tmp && test $(pwd) = /tmp"
run "cat"                       # does not eat what is typed behind it
copy-in "/tmp/in.bin" "/tmp/it's.bin"
copy-out "/tmp/it's.bin" "/tmp/out.bin"
copy-out "/proc/sys/kernel/ostype" "/tmp/ostype"
type "poweroff -f"
wait off
END
rm -f /tmp/out.bin
boot $cloud shell --script /tmp/ok.script --timeout 600
expect_status 0
cmp /tmp/in.bin /tmp/out.bin || fail "the copy is another one"
[ "$(cat /tmp/ostype)" = Linux ] || fail "the copy of a file of /proc"

# One that fails, at a console that is no serial port.
cat >/tmp/bad.script <<'END'
timeout 400s
expect "# "
run "sh -c 'exit 42'"
END
boot $cloud hvc --console virtio --script /tmp/bad.script --timeout 600
expect_status 123
expect_error 'bad.script:3:1: .* ended with status 42'

# With --rootfs a script talks to the command, whose status comes back.
. /rootfs_lib.sh
cat >/tmp/root.script <<'END'
timeout 400s
run "cd /etc && test \"$(cat file)\" = 'of the host'"
copy-in "/tmp/in.bin" "/tmp/in.bin"
copy-out "/tmp/in.bin" "/tmp/root.bin"
type "echo told; exit 7"
expect "told"
wait off
END
rm -f /tmp/root.bin
command $cloud --script /tmp/root.script -- sh
expect_status 7
cmp /tmp/in.bin /tmp/root.bin || fail "the copy from the command is another one"
