# Memory that the guest has freed goes back to the host by itself: 200 MiB of a file that is removed.
resident() { awk '/RssAnon|RssShmem/ { n += $2 } END { print n }' "/proc/$(pidof atoll)/status"; }
boot $cloud balloon --timeout 300 &
await 'memory taken'
full=$(resident) left=$full
await 'memory free'
for i in $(seq 60); do
    [ "$left" -lt $((full - 150000)) ] && break
    sleep 2
    left=$(resident)
done
killall -TERM atoll
wait $!
echo "$full KiB, then $left KiB"
[ "$left" -gt 0 ] && [ "$left" -lt $((full - 150000)) ] || { fail "the memory was not given back"; show; }
