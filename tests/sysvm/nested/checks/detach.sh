# Machines in the background: found by name, told about, watched, switched off by their power button, killed; and
# nothing is left of them, nor of one whose process was killed.
export XDG_RUNTIME_DIR=/tmp/run
mkdir -p -m 700 $XDG_RUNTIME_DIR
is_gone() {
    [ -z "$(pidof atoll)" ] || fail "$1: a process is left"
    [ -z "$(ls -A $XDG_RUNTIME_DIR/atoll)" ] || fail "$1: something is left of the name"
}

boot $cloud button --detach --name good
expect_status 0
[ "$(cat /tmp/out)" = good ] || { fail "its name was not printed"; show; }
atoll vm list >/tmp/list && grep -q '^good ' /tmp/list || { fail "it is not in the list"; cat /tmp/list; }
atoll vm info good --json | grep -q '"cpus":1,"engine":"kvm"' || fail "it tells nothing"
boot $cloud off --detach --name good
expect_status 125
expect_error 'runs already'
(while ! grep -q 'guest: waits' /tmp/console; do sleep 1; done; atoll vm stop good --timeout 200s; echo $? >/tmp/stopped) &
stopper=$!
sleep 1000 | timeout 500 atoll vm console good >/tmp/console 2>/tmp/err & # until the machine goes
wait $stopper
[ "$(cat /tmp/stopped)" = 0 ] || fail "stop ended with $(cat /tmp/stopped)"
grep -q 'guest: power button' /tmp/console || { fail "the button was not pressed"; tail -n 15 /tmp/console; }
is_gone stop

boot $cloud sleep --detach --name bad
expect_status 0
atoll vm kill bad || fail "kill ended with $?"
is_gone kill

boot $cloud sleep --detach --name dead
killall -9 atoll
while [ -n "$(pidof atoll)" ]; do sleep 1; done
[ "$(atoll vm list --json)" = "[]" ] || fail "a killed machine is in the list"
is_gone "kill -9"
