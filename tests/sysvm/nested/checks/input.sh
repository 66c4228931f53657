# What comes on standard input reaches the guest's console.
{ sleep 25; echo "ping from outside"; sleep 5; } |
    atoll boot --kernel $cloud --initrd $inner --append "console=ttyS0 quiet do=read" --timeout 100 >/tmp/out 2>/tmp/err
status=$?
expect_status 0
expect_output 'guest: got ping from outside'
