# In the outer machine of tests/sysvm/nested (../run): VMMs one after the other, in rounds. Prints lines for ../run:
#   start VMM MS KIB EXITS USER_EXITS        throughput VMM WHAT MB/S
mount -t debugfs debugfs /sys/kernel/debug
line="console=ttyS0 quiet panic=-1"
mib=256
disk=/root/disk.img
word="init is here"

# What each VMM is called with, up to the kernel's command line, which is one more word. microvm keeps its RTC: where
# none is, Debian's kernel looks for one for a second.
microvm="/bench/qemu-system-x86_64 -L /usr/share/qemu -M microvm,pit=off,pic=off,rtc=on,isa-serial=on
    -accel kvm -cpu host -m ${mib}M -no-user-config -nodefaults -display none -serial stdio -no-reboot -kernel $cloud"
kvmtool="/bench/lkvm run --name bench -m $mib -c 1 --console serial -k $cloud"
atoll="/bin/atoll boot --memory ${mib}M --kernel $cloud"
start() {
    case $1 in
    atoll) stopwatch "$word" $atoll --initrd /bench/start.cpio.gz --append "$line" ;;
    atoll-kvm) stopwatch "$word" $atoll --engine=kvm --initrd /bench/start.cpio.gz --append "$line" ;;
    kvmtool) stopwatch "$word" $kvmtool -n mode=none -i /bench/start.cpio.gz -p "$line" ;;
    qemu) stopwatch "$word" $microvm -initrd /bench/start.cpio.gz -append "$line" ;;
    esac
}
stopwatch() { local w=$1; shift; /bench/stopwatch "$w" $mib "$@" 2>/tmp/err; }

transfer() {
    local l="$line do=throughput" limit="timeout 300"
    case $1 in
    atoll*) $limit $atoll --engine=kvm --initrd $inner --disk $disk --net tap=tap0 --append "$l" ;;
    kvmtool) $limit $kvmtool -i $inner -d $disk -n mode=tap,tapif=tap0,host_ip=192.0.2.1 -p "$l end=reboot" ;;
    esac </dev/null >/tmp/out 2>/tmp/err
    tr -d '\r' </tmp/out | sed -n "s/.*guest: throughput /throughput $1 /p" | grep . || { fail "$1: no transfer"; show; }
}

# atoll-kvm: without the probe of --engine=auto
vmms="atoll atoll-kvm"
[ -x /bench/lkvm ] && vmms="$vmms kvmtool"
[ -x /bench/qemu-system-x86_64 ] && vmms="$vmms qemu"
for round in $(seq "$(cat /bench/rounds)"); do
    for vmm in $vmms; do
        result=$(start $vmm) && echo "start $vmm $result" || { fail "$vmm did not start its guest"; tail -n 5 /tmp/err; }
    done
done

dd if=/dev/zero of=$disk bs=1M count=128 2>/dev/null
dd if=/dev/zero of=/bench/www/big bs=1M count=64 2>/dev/null
mkdir -p /bench/www/cgi-bin
printf '#!/bin/sh\ncat >/dev/null\necho\n' >/bench/www/cgi-bin/sink
chmod +x /bench/www/cgi-bin/sink
tunctl -t tap0 >/dev/null
ip addr add 192.0.2.1/24 dev tap0
ip link set tap0 up
httpd -p 192.0.2.1:8080 -h /bench/www
for vmm in ${vmms#* }; do
    [ $vmm = qemu ] || transfer $vmm # its run did not come to an end, when it was tried
done
killall httpd
tunctl -d tap0 >/dev/null
rm $disk /bench/www/big
