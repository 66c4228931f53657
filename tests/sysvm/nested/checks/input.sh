# What comes on standard input reaches the guest's console, once somebody there listens.
: >/tmp/out
{
    n=0
    while ! grep -q 'guest: userland' /tmp/out && [ $n -lt 400 ]; do sleep 1; n=$((n + 1)); done
    sleep 5
    echo "ping from outside"
    sleep 10
} | atoll boot --engine=kvm --kernel $cloud --initrd $inner --append "console=ttyS0 quiet do=read" --timeout 450 >/tmp/out 2>/tmp/err
status=$?
expect_status 0
expect_output 'guest: got ping from outside'
