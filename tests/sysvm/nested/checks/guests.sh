# The guests by which the software CPU is tested, on a true KVM. What they tell there is what guests/NAME.expected says,
# but for what NAME.differences lists and explains: QEMU's CPU below that KVM is no hardware either.
cd /guests
[ -x system_guest_test ] || fail "the guests are not built"
lines() { sed 's/ *#.*//; /^$/d' "$1"; } # without comments
for differences in *.differences; do
    name=${differences%.differences} state=long cpus=1
    [ "$name" = modes ] && state=flat32
    [ "$name" = smp ] && cpus=3
    lines "$name.expected" >/tmp/expected
    # Where it ends: behind that many lines of what is told, and of what is expected where that differs.
    until=$(sed -n 's/^# until //p' "$differences")
    # QEMU's SVM refuses an event now and then
    for again in 1 2 3 4 5 6 7 8; do
        ./system_guest_test kvm "$name.bin" - $state $cpus >/tmp/all 2>/tmp/err
        [ -z "$until" ] && grep -q "^the engine gave up.*refuses" /tmp/all || break
    done
    grep -v "^the engine gave up" /tmp/all >/tmp/told
    [ -z "$until" ] || { head -n "${until% *}" /tmp/told >/tmp/some && mv /tmp/some /tmp/told; }
    [ -z "$until" ] || { head -n "${until#* }" /tmp/expected >/tmp/some && mv /tmp/some /tmp/expected; }
    lines "$differences" >/tmp/known
    diff -U 0 /tmp/expected /tmp/told | sed -n '3,$ { /^[-+]/p }' >/tmp/found
    if cmp -s /tmp/known /tmp/found; then
        echo "$name: agreed, $(wc -l </tmp/told) lines, $(wc -l </tmp/found) differences known"
    else
        fail "$name differs otherwise"
        diff -U 3 /tmp/expected /tmp/told
    fi
done
./tiny_guest_test kvm >/tmp/out 2>&1 || { fail "tiny guests"; cat /tmp/out; }
