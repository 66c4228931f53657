# In the outer machine of tests/sysvm/nested (run): what $what says, "starts" of VMMs one after the other, in
# rounds, or the transfers of one of them. Prints lines for run:
#   start VMM MS KIB EXITS USER_EXITS        throughput VMM WHAT MB/S
mount -t debugfs debugfs /sys/kernel/debug
line="console=ttyS0 quiet panic=-1"
mib=256
disk=/root/disk.img
word="init is here"

# What each VMM is called with, up to the kernel's command line, which is one more word. microvm keeps its RTC: where
# none is, Debian's kernel looks for one for a second.
microvm=microvm,pit=off,pic=off,rtc=on,isa-serial=on
qemu="/bench/qemu-system-x86_64 -L /usr/share/qemu
    -accel kvm -cpu host -m ${mib}M -no-user-config -nodefaults -display none -serial stdio -no-reboot -kernel $cloud"
kvmtool="/bench/lkvm run --name bench -m $mib -c 1 --console serial -k $cloud"
atoll="/bin/atoll boot --memory ${mib}M --kernel $cloud"
start() {
    case $1 in
    atoll) stopwatch "$word" $atoll --initrd /bench/start.cpio.gz --append "$line" ;;
    atoll-kvm) stopwatch "$word" $atoll --engine=kvm --initrd /bench/start.cpio.gz --append "$line" ;;
    kvmtool) stopwatch "$word" $kvmtool -n mode=none -i /bench/start.cpio.gz -p "$line" ;;
    qemu) stopwatch "$word" $qemu -M $microvm -initrd /bench/start.cpio.gz -append "$line" ;;
    esac
}
stopwatch() { local w=$1; shift; /bench/stopwatch "$w" $mib "$@" 2>/tmp/err; }

transfer() {
    local l="$line do=throughput" limit="timeout 300"
    case $1 in
    atoll*) $limit $atoll --engine=kvm --initrd $inner --disk $disk --net tap=tap0 --append "$l" ;;
    # On PCI, as the others have them. No kvm-pv-eoi, so that an interrupt is answered by an exit early: QEMU 7.2's
    # vmrun forgets that it delivered one until the next exit, and delivers it again when the outer machine's count of
    # instructions comes to an end before, to a guest that may hold the lock which its handler then waits for.
    qemu) $limit $qemu -M $microvm,pcie=on -cpu host,kvm-pv-eoi=off -initrd $inner -append "$l" \
        -drive id=disk,if=none,format=raw,file=$disk -device virtio-blk-pci,drive=disk \
        -netdev tap,id=net,ifname=tap0,script=no,downscript=no -device virtio-net-pci,netdev=net,romfile= ;;
    kvmtool) $limit $kvmtool -i $inner -d $disk -n mode=tap,tapif=tap0,host_ip=192.0.2.1 -p "$l end=reboot" ;;
    esac </dev/null 2>/tmp/err | while read -r said; do
        echo "$said" >>/tmp/out
        case $said in *"guest: throughput "*) echo "throughput $1 ${said#*guest: throughput }" ;; esac
    done
    grep -q "guest: throughput out" /tmp/out || { fail "$1: no transfer"; show; }
}

# atoll-kvm: without the probe of --engine=auto
vmms="atoll atoll-kvm"
[ -x /bench/lkvm ] && vmms="$vmms kvmtool"
[ -x /bench/qemu-system-x86_64 ] && vmms="$vmms qemu"
if [ "$what" = starts ]; then
    for round in $(seq "$(cat /bench/rounds)"); do
        for vmm in $vmms; do
            result=$(start $vmm) && echo "start $vmm $result" || { fail "$vmm did not start its guest"; tail -n 5 /tmp/err; }
        done
    done
    return
fi

dd if=/dev/zero of=$disk bs=1M count=128 2>/dev/null
dd if=/dev/zero of=/bench/www/big bs=1M count=64 2>/dev/null
mkdir -p /bench/www/cgi-bin
printf '#!/bin/sh\ncat >/dev/null\necho\n' >/bench/www/cgi-bin/sink
chmod +x /bench/www/cgi-bin/sink
tunctl -t tap0 >/dev/null
ip addr add 192.0.2.1/24 dev tap0
ip link set tap0 up
httpd -p 192.0.2.1:8080 -h /bench/www
transfer "$what"
