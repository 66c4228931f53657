# The debugger's end of a machine (tests/sysvm/boot/gdb_test.c) on a true KVM: registers, memory, steps, interruptions,
# resets. QEMU's SVM tells nobody of breakpoints: neither of int3 nor of debug registers that are a host's. Bochs' VMX
# does: there the tests are the software CPU's.
cd /guests
[ -x boot_gdb_test ] || fail "the debugger's test is not built"
./boot_gdb_test /bin/atoll ./gdb_guest kvm ${gdb_tests:-steps} >/tmp/out 2>&1 || { fail "status $?"; cat /tmp/out; }
grep -c "  OK" /tmp/out
