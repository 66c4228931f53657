# A network by a tap interface, with a file large enough for segments and merged buffers.
mkdir -p /www
echo "hello from the host" >/www/hello
dd if=/dev/urandom of=/www/big bs=1M count=4 2>/dev/null
tunctl -t tap0 >/dev/null
ip addr add 192.0.2.1/24 dev tap0
ip link set tap0 up
httpd -p 192.0.2.1:8080 -h /www
boot $cloud tap --net tap=tap0 --timeout 500
expect_status 0
expect_output 'hello from the host'
expect_output "guest: big is $(md5sum </www/big)"
killall httpd
tunctl -d tap0 >/dev/null
rm /www/big
