# What comes on standard input reaches the guest's console, once somebody there listens. A device that interrupts often
# does so by an irqfd: one eventfd more.
: >/tmp/out
listens() {
    n=0
    while ! grep -q "guest: $1.$" /tmp/out && [ $n -lt 400 ]; do sleep 1; n=$((n + 1)); done
    ls -l /proc/$(pidof atoll)/fd | grep -c eventfd >/tmp/eventfds.$2
    echo "$3 from outside"
}
{
    listens reads 1 ping
    listens "reads again" 2 pong
} | atoll boot --engine=kvm --kernel $cloud --initrd $inner --append "console=ttyS0 quiet do=read" --timeout 450 >/tmp/out 2>/tmp/err
status=$?
expect_status 0
expect_output 'guest: got ping from outside'
expect_output 'guest: got pong from outside'
[ "$(cat /tmp/eventfds.2)" = $(($(cat /tmp/eventfds.1) + 1)) ] || { fail "eventfds: $(cat /tmp/eventfds.1), then $(cat /tmp/eventfds.2)"; show; }
