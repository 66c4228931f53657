# A guest with a root, a folder, disks and a network works in the jail, and its command's status comes back.
. /rootfs_lib.sh
cd /tmp
export TMPDIR=/tmp
share=/tmp/jail-share
mkdir -p $share /www
echo shared >$share/file
echo "hello from the host" >/www/hello
echo "nameserver 127.0.0.1" >/etc/resolv.conf
httpd -p 127.0.0.1:8080 -h /www
nc -l -p 53 -e cat >/dev/null 2>&1 & # a name server, by TCP: answers what it was asked
names=$!
truncate -s 16M jail-base.img
atoll disk create jail.qcow2 16M || fail "no image"

command $cloud --dir $share::/mnt/share --disk jail.qcow2 --disk jail-base.img:overlay --disk jail-base.img:snapshot \
    --net user:allow=tcp:host:8080,allow=dns --vsock /tmp/jail-vsock --cpus 2 --stats -- sh -c '
    cd /mnt/share && cat file && echo written >new && mkdir d && mv new d/ && cat d/new && ln -s d/new link && ln d/new hard &&
        cat link hard && chmod 640 hard && busybox truncate -s 3 hard && touch -d @981158400 hard && busybox mkfifo fifo &&
        busybox chown 12:34 hard && busybox stat -c "%a %u %g %s %Y" hard && rm link && busybox ls
    for disk in vda vdb vdc; do
        echo "this is $disk" | dd of=/dev/$disk bs=512 seek=9 conv=sync,fsync 2>/dev/null
        dd if=/dev/$disk bs=512 skip=9 count=1 2>/dev/null | head -n 1
    done
    busybox ip link set eth0 up && busybox ip addr add 10.0.2.15/24 dev eth0 && busybox ip route add default via 10.0.2.2
    busybox wget -q -O - http://10.0.2.2:8080/hello
    echo "who is it" | busybox nc 10.0.2.3 53 | head -n 1
    exit 42'
expect_status 42
only 'shared
written
written
written
640 12 34 3 981158400
d
fifo
file
hard
this is vda
this is vdb
this is vdc
hello from the host
who is it'
expect_error 'jail: no new privileges; capabilities: chown dac_override fowner fsetid net_bind_service; files: [0-9]* by name'
expect_error 'jail: system calls: loop'
cat /tmp/err
[ "$(cat $share/d/new)" = wri ] || fail "the folder does not have what was written"
atoll disk check jail.qcow2 || fail "the image is broken"
kill $names 2>/dev/null
killall httpd
rm -rf jail.qcow2 jail-base.img* $share
