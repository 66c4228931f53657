#!/bin/bash
# Boots QEMU's software CPU, which has SVM, and in it a Debian kernel with kvm-amd: a true /dev/kvm, slow but honest.
# atoll is the program under test there. One outer boot runs all checks (checks/NAME.sh), results are told apart by
# name. usage: nested.sh [--bochs] ATOLL KERNELS RESULTS [CHECK...]
#   --bochs  the outer machine is Bochs, one processor with VMX, and the kernel's module kvm-intel: several times
#            slower, with all that the manual says of debugging. The cloud kernel is the only one there
#   KERNELS  the folder of prepare.sh; the variable ATOLL_NESTED_KERNELS goes before
#   CHECK    of checks/, or a path
#   RESULTS  a folder: NAME.ok, NAME.failed or NAME.skipped with what the check printed; console: all there was
# ATOLL_NESTED_EXTRA names a folder that goes into the outer machine's root, too; ATOLL_NESTED_COUNTED=1 makes its time
# a count of instructions, a nanosecond each, on one processor: whatever else this machine does, it is the same again.
# 77: something it needs is missing
set -eu
here=$(cd "$(dirname "$0")" && pwd)
machine=qemu vendor=amd names=(cloud generic new) differences=$here/guests
if [[ $1 == --bochs ]]; then
    machine=bochs vendor=intel names=(cloud) differences=$here/guests/bochs
    shift
fi
atoll=$1 kernels=${ATOLL_NESTED_KERNELS:-$2} results=$3
shift 3
skip() { echo "skipped: $*"; exit 77; }
isolinux=(/usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32)
if [[ $machine == qemu ]]; then
    [[ -x $(command -v qemu-system-x86_64) ]] || skip "no qemu-system-x86_64 (qemu-system-x86)"
else
    for tool in bochs xorriso script objcopy; do command -v $tool >/dev/null || skip "no $tool"; done
    for file in "${isolinux[@]}" /usr/share/bochs/{BIOS-bochs-latest,VGABIOS-lgpl-latest}; do
        [[ -e $file ]] || skip "no $file (isolinux, syslinux-common, bochsbios, vgabios)"
    done
fi
busybox=$(command -v busybox) || skip "no busybox (busybox-static)"
if ldd "$busybox" >/dev/null 2>&1; then skip "$busybox is not static (busybox-static)"; fi
"$here/prepare.sh" "$kernels" "${names[@]}" || exit $?
(($#)) || set -- $(cd "$here/checks" && basename -s .sh -- *.sh)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$results"
mkdir -p "$results"
cpio_of() { (cd "$1" && find . | "$busybox" cpio -o -H newc 2>/dev/null); }

# ---- the guest of the guest: busybox and inner-init ----
inner=$work/inner
mkdir -p "$inner"/{bin,proc,sys,dev,etc,tmp,mnt}
cp "$busybox" "$inner/bin/busybox"
cp "$here/inner-init" "$inner/init"
cp "$here/inner-dhcp" "$inner/dhcp"
# The cloud kernel's drivers; what each check needs is loaded by inner-init.
mkdir -p "$inner/modules"
for module in drivers/virtio/{virtio_ring,virtio,virtio_pci_legacy_dev,virtio_pci_modern_dev,virtio_pci,virtio_mmio,virtio_balloon} \
    drivers/char/{hw_random/virtio-rng,virtio_console} drivers/block/virtio_blk drivers/net/{net_failover,virtio_net} \
    net/core/failover drivers/acpi/button drivers/input/evdev; do
    file=$kernels/cloud/modules/kernel/$module.ko
    if [[ -e $file ]]; then cp "$file" "$inner/modules/"; fi
done
cpio_of "$inner" | gzip -1 >"$work/inner.cpio.gz"

# ---- the guest: busybox, atoll with its libraries, kernels, checks ----
outer=$work/outer
mkdir -p "$outer"/{bin,proc,sys,dev,etc,tmp,kernels,modules,checks,root}
cp "$busybox" "$outer/bin/busybox"
cp "$here/outer-init" "$outer/init"
cp "$here/lib.sh" "$here/rootfs_lib.sh" "$outer/"
cp "$atoll" "$outer/bin/atoll"
# Own guests in assembly, and what compares what they tell: built beside atoll.
tests=$(cd "$(dirname "$atoll")/.." && pwd)/tests/sysvm/cpu
mkdir "$outer/guests"
for file in "$tests"/soft/{system_guest_test,*.bin} "$tests/tiny_guest_test" "$tests"/../boot/{boot_gdb_test,gdb_guest,gdb_kernel_test} \
    "$here"/../cpu/soft/guests/*.expected "$differences"/*.differences; do
    if [[ -e $file ]]; then cp "$file" "$outer/guests/"; fi
done
programs=("$atoll")
holder=$(dirname "$atoll")/../tests/sysvm/nested/kvm_holder
if [[ -e $holder ]]; then
    cp "$holder" "$outer/bin/"
    programs+=("$holder")
fi
# libslirp is loaded by those who ask for it
slirp=$(ldconfig -p | awk '/libslirp.so.0 .*x86-64/ { print $NF; exit }')
for file in "$outer"/guests/*_test; do [[ ! -e $file ]] || programs+=("$file"); done
{ for file in "${programs[@]}"; do ldd "$file"; done; [[ -z $slirp ]] || { echo "$slirp"; ldd "$slirp"; }; } | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$outer$(dirname "$library")"
    cp -L "$library" "$outer$library"
done
for kernel in "${names[@]}"; do
    mkdir -p "$outer/kernels/$kernel"
    cp "$kernels/$kernel/vmlinuz" "$outer/kernels/$kernel/"
    # what --rootfs needs of the kernel's module folder, which is too large to take whole
    mkdir "$outer/kernels/$kernel/modules"
    cp "$kernels/$kernel/modules"/modules.{order,builtin} "$outer/kernels/$kernel/modules/"
    (cd "$kernels/$kernel/modules" && find kernel -regextype posix-extended \
        -regex '.*/(virtio.*|virtio-rng|fuse|virtiofs|overlay|rng-core|failover|net_failover|vsock|vmw_vsock_virtio_transport(_common)?)\.ko(\.xz)?' \
        ! -path '*/gpu/*' ! -path '*/sound/*' ! -path '*/nvdimm/*') | while read -r module; do
        mkdir -p "$outer/kernels/$kernel/modules/$(dirname "$module")"
        cp "$kernels/$kernel/modules/$module" "$outer/kernels/$kernel/modules/$module"
    done
done
# What is packed in a bzImage: an ELF file, here as xz made it.
packed_in() {
    local sectors offset size
    sectors=$(od -An -tu1 -j $((0x1f1)) -N1 "$1")
    offset=$(od -An -tu4 -j $((0x248)) -N4 "$1") size=$(od -An -tu4 -j $((0x24c)) -N4 "$1")
    tail -c +$(((sectors + 1) * 512 + offset + 1)) "$1" | head -c "$((size))"
}
[[ $machine == bochs ]] || packed_in "$kernels/generic/vmlinuz" >"$outer/kernels/generic/vmlinux.xz"
for module in virt/lib/irqbypass arch/x86/kvm/kvm drivers/crypto/ccp/ccp arch/x86/kvm/kvm-$vendor drivers/net/tun \
    drivers/virtio/{virtio_ring,virtio,virtio_pci_legacy_dev,virtio_pci_modern_dev,virtio_pci} drivers/block/virtio_blk; do
    file=$(find "$kernels/cloud/modules/kernel/$module.ko" 2>/dev/null) && cp "$file" "$outer/modules/"
done
cp "$work/inner.cpio.gz" "$outer/kernels/"
disks=()
for check; do
    if [[ $check == debian ]]; then
        "$here/prepare.sh" "$kernels" debian >"$results/debian.skipped" || continue
        rm "$results/debian.skipped"
        mkdir "$outer/kernels/debian"
        cp "$kernels"/debian/{vmlinuz,initrd.img} "$outer/kernels/debian/"
        disks=(-drive "file=$kernels/debian/disk.img,if=virtio,format=raw,readonly=on")
    fi
    [[ $check == */* ]] || check=$here/checks/$check.sh
    cp "$check" "$outer/checks/"
done
[[ -z ${ATOLL_NESTED_EXTRA:-} ]] || cp -r "$ATOLL_NESTED_EXTRA/." "$outer/"

# ---- the outer boot ----
seconds=${ATOLL_NESTED_TIMEOUT:-1500}
boot_qemu() {
    cpio_of "$outer" | gzip -1 >"$work/outer.cpio.gz"
    local cpus=(-accel tcg,thread=multi -smp 2)
    [[ -z ${ATOLL_NESTED_COUNTED:-} ]] || cpus=(-accel tcg,thread=single -smp 1 -icount shift=0,sleep=off)
    # Who ends this script ends the machine.
    setpriv --pdeathsig TERM timeout -k 10 "$seconds" nice -n 5 \
        qemu-system-x86_64 -M q35 "${cpus[@]}" -cpu max,+svm,+npt -m 2048 "${disks[@]}" \
        -display none -serial "file:$work/console" -monitor none -no-reboot \
        -kernel "$kernels/cloud/vmlinuz" -initrd "$work/outer.cpio.gz" \
        -append "console=ttyS0 panic=-1 quiet no_timer_check" </dev/null
}
# What costs Bochs seconds is left out: self-tests, certificates, signatures and types of modules, tracing.
boot_bochs() {
    local module iso=$work/iso
    local less="mitigations=off cryptomgr.notests initcall_blacklist=load_system_certificate_list,init_kprobe_trace,init_blk_tracer,cubictcp_register"
    for module in "$outer"/modules/*.ko; do objcopy --remove-section .BTF "$module"; done
    echo "$less" >"$outer/by-log" # and its guests leave it out, too
    mkdir "$iso"
    cpio_of "$outer" >"$iso/initrd"
    cp "$kernels/cloud/vmlinuz" "${isolinux[@]}" "$iso/"
    cat >"$iso/isolinux.cfg" <<END
default outer
label outer
kernel vmlinuz
initrd initrd
append console=ttyS0 quiet nokaslr no_timer_check lpj=100000 printk.devkmsg=on printk.time=0 $less
END
    xorriso -as mkisofs -quiet -o "$work/outer.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 \
        -boot-info-table "$iso"
    rm -r "$iso"
    cat >"$work/bochsrc" <<END
display_library: term, options="hideIPS"
memory: guest=1024, host=1024
cpu: model=broadwell_ult, count=1, ips=25000000, reset_on_triple_fault=0
romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0-master: type=cdrom, path=$work/outer.iso, status=inserted
boot: cdrom
clock: sync=none, time0=local
com1: enabled=1, mode=file, dev=$work/console
sound: waveoutdrv=dummy
speaker: enabled=0
log: $work/bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
END
    echo c >"$work/begin" # Debian's Bochs begins in its debugger
    # It wants a terminal, and ends with 1 when the machine is switched off.
    TERM=vt100 setpriv --pdeathsig TERM timeout -k 10 "$seconds" nice -n 5 \
        script -qec "exec bochs -q -f $work/bochsrc -rc $work/begin" "$work/terminal" </dev/null >/dev/null ||
        [[ $? == 1 ]] || { local status=$?; tail -n 20 "$work/terminal"; return $status; }
}
boot() { boot_$machine >"$work/said" 2>&1 || echo "the outer machine ended with status $?" >>"$work/said"; }
boot
# Once in many boots QEMU ends at an assertion of its own, when SVM is left while a lock of QEMU's is held.
if grep -q 'qemu_mutex_lock_iothread_impl: assertion failed' "$work/said"; then boot; fi
tr -d '\r' <"$work/console" | cat - "$work/said" >"$results/console"

# ---- "@@ begin NAME", lines, "@@ ok NAME" or "@@ failed NAME" ----
awk -v dir="$results" '
    $1 == "@@" && $2 == "begin" { name = $3; file = dir "/" name ".running"; printf "" >file; next }
    $1 == "@@" && $3 == name && name != "" { close(file); system("mv " file " " dir "/" name "." $2); name = ""; next }
    name != "" { print >>file }
    $1 == "@@" && $2 == "end" { print >(dir "/ended") }' "$results/console"
[[ -e $results/ended ]] || { echo "the outer machine did not come to its end:"; tail -n 30 "$results/console"; exit 1; }
ls "$results"
