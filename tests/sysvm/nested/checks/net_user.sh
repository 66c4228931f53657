# A network by libslirp: an address by DHCP, a granted port of the host, one that is not, and a forwarded port.
mkdir -p /www
echo "hello from the host" >/www/hello
httpd -p 127.0.0.1:8080 -h /www
httpd -p 127.0.0.1:8081 -h /www
boot $cloud user --net user:allow=tcp:host:8080,hostfwd=tcp::2222-:22 --strace --timeout 500 &
await 'guest: listens'
: >/tmp/answer
{
    echo "through the forward"
    n=0
    while [ ! -s /tmp/answer ] && [ $n -lt 100 ]; do sleep 1; n=$((n + 1)); done
} | nc 127.0.0.1 2222 >/tmp/answer
answer=$(cat /tmp/answer)
killall -TERM atoll
wait $!
expect_output 'guest: bound to 10.0.2.15 by 10.0.2.2, names from 10.0.2.3'
expect_output 'hello from the host'
expect_output 'guest: no answer from 10.0.2.2:8081'
expect_error 'net.connect "tcp 127.0.0.1:8080" = ok'
expect_error 'net.connect "tcp 127.0.0.1:8081" = denied EACCES'
[ "$answer" = "through the forward" ] || { fail "the forwarded port said: $answer"; show; }
killall httpd
