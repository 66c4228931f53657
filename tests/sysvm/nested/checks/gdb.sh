# The debugger's end of a machine (tests/sysvm/boot/gdb_test.c) on a true KVM: breakpoints as instructions in memory,
# steps, interruptions, resets. QEMU's SVM has no debug registers for guests.
cd /guests
[ -x boot_gdb_test ] || fail "the debugger's test is not built"
./boot_gdb_test /bin/atoll ./gdb_guest kvm memory >/tmp/out 2>&1 || { fail "status $?"; cat /tmp/out; }
grep -c "  OK" /tmp/out
