# Disks: what a guest flushed is there after a kill -9; overlays keep, snapshots forget; read-only is that.
export TMPDIR=/tmp
atoll disk create disk.qcow2 64M || fail "no image"
found() { tr -d '\r' </tmp/out | sed -n 's/.*guest: found \([0-9]*\)$/\1/p'; }

# killed while it writes, in the middle of whatever it does
boot $cloud disk-write --disk disk.qcow2 --timeout 300 &
n=0
while [ "$(grep -c 'guest: flushed' /tmp/out)" -lt 20 ] && [ $n -lt 300 ]; do sleep 1; n=$((n + 1)); done
killall -9 atoll
wait $!
flushed=$(tr -d '\r' </tmp/out | sed -n 's/.*guest: flushed \([0-9]*\)$/\1/p' | tail -n 1)
[ "${flushed:-0}" -ge 19 ] || { fail "the guest did not get to write"; show; }
echo "killed after block $flushed"
atoll disk check disk.qcow2
case $? in 0 | 3) ;; *) fail "the image is broken" ;; esac
before=$(md5sum disk.qcow2)

# a snapshot: all is there, and what is done to it does not stay
boot $cloud disk-check --disk disk.qcow2:snapshot:serial=abc --disk disk.qcow2:ro --timeout 300
expect_status 0
expect_output 'guest: sectors 131072 read-only 0 serial abc'
expect_output 'guest: second 131072 read-only 1'
expect_output 'guest: zeroed'
[ "$(found)" -gt "${flushed:-0}" ] || fail "flushed up to $flushed, found $(found)"
[ -z "$(ls -A /tmp | grep atoll)" ] || fail "something is left in /tmp"

# an overlay keeps, and leaves what is below alone
boot $cloud disk-check --disk disk.qcow2:overlay --timeout 300
expect_status 0
[ "$(found)" -gt "${flushed:-0}" ] || fail "flushed up to $flushed, found $(found) after a snapshot"
expect_output 'guest: zeroed'
[ "$before" = "$(md5sum disk.qcow2)" ] || fail "the image below an overlay changed"
atoll disk check disk.qcow2.overlay.qcow2 || fail "the overlay is broken"
atoll disk convert disk.qcow2.overlay.qcow2 zeroes.img || fail "the overlay cannot be read"
[ "$(tr -d '\0' <zeroes.img | wc -c)" = 0 ] || fail "the overlay did not keep"
rm -f disk.qcow2* zeroes.img
