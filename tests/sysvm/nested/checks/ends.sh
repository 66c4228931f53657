# How a guest ends is the exit status: panic, timeout, a signal to atoll, a reboot.
boot $cloud panic --timeout 900
expect_status 255
expect_error 'the guest panicked: .*not syncing: sysrq triggered crash'

boot $cloud sleep --timeout 8
expect_status 124
expect_error 'timeout'

# A reboot boots again; then a signal ends it, and nothing is left.
boot $cloud reboot &
n=0
while [ "$(grep -c 'guest: userland' /tmp/out)" -lt 2 ] && [ $n -lt 500 ]; do sleep 1; n=$((n + 1)); done
[ $n -lt 500 ] || { fail "the guest was not booted again"; show; }
killall -TERM atoll
wait $!
ps | grep -v grep | grep -q 'atoll boot' && fail "atoll is still there"
