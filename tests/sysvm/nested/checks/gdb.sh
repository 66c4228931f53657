# The debugger's end of a machine (tests/sysvm/boot/gdb_test.c) on a true KVM: registers, memory, steps, interruptions,
# resets. QEMU's SVM tells nobody of breakpoints: neither of int3 nor of debug registers that are a host's. Bochs' VMX
# does: there the tests are the software CPU's.
cd /guests
[ -x boot_gdb_test ] || fail "the debugger's test is not built"
./boot_gdb_test /bin/atoll ./gdb_guest kvm ${gdb_tests:-steps} >/tmp/out 2>&1 || { fail "status $?"; cat /tmp/out; }
grep -c "  OK" /tmp/out
# A kernel of Debian's, whose symbols lie where this machine's own say, that is the same.
if [ "${gdb_tests:-}" = whole ]; then
    grep -F -e ' T start_kernel' -e ' t kernel_init' -e ' D jiffies_64' /proc/kallsyms >/tmp/symbols
    symbol() { sed -n "s/ . $1\$//p" /tmp/symbols; }
    ./gdb_kernel_test /bin/atoll $cloud $inner kvm "console=ttyS0 panic=-1 quiet nokaslr do=off $append" \
        "$(symbol start_kernel)" "$(symbol kernel_init)" "$(symbol jiffies_64)" </dev/null >/tmp/out 2>&1 ||
        { fail "status $?"; cat /tmp/out; }
    grep "  OK" /tmp/out
fi
