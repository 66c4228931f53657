# Debian as mmdebstrap makes it, on a disk that is a block device of the host and may not be written: systemd to its
# login prompt, a login, and off. One processor: with two, QEMU's two threads are busy with their interrupts to each
# other, and no prompt came in ten minutes (checks with less to do have two and four).
cat >/tmp/login.script <<'END'
timeout 850s
fail "the kernel panicked" when "Kernel panic"
expect "debian login: "
type "root"
expect "# "
run "systemctl is-system-running --wait"
run "test $(cat /proc/1/comm) = systemd && test $(nproc) = 1"
run "touch /written && sync"
type "poweroff"
wait off
END
export TMPDIR=/tmp
atoll boot --engine=kvm --kernel /kernels/debian/vmlinuz --initrd /kernels/debian/initrd.img --disk /dev/vda:snapshot \
    --append "root=/dev/vda rw console=ttyS0 quiet systemd.default_timeout_start_sec=900" --cpus 1 --script /tmp/login.script --timeout 900 \
    </dev/null >/tmp/out 2>/tmp/err
status=$?
expect_status 0
expect_output 'Debian GNU/Linux 12 debian ttyS0'
expect_output 'reboot: Power down'
