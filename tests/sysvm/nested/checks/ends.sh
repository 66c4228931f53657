# How a guest ends is the exit status: panic, timeout, a signal to atoll, a reboot.
boot $cloud panic --timeout 300
expect_status 255
expect_error 'guest: .*Kernel panic - not syncing: sysrq triggered crash'

boot $cloud sleep --timeout 20
expect_status 124
expect_error 'timeout'

boot $cloud sleep --timeout 300 &
sleep 20
killall -TERM atoll
wait $!
ps | grep -v grep | grep -q 'atoll boot' && fail "atoll is still there"

boot $cloud reboot --timeout 60
expect_status 124
[ "$(grep -c 'guest: userland' /tmp/out)" -ge 2 ] || { fail "the guest was not booted again"; show; }
