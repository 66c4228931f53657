#!/bin/bash
# Debian's kernels, downloaded and unpacked, not installed. usage: prepare.sh DIR [NAME...]
# DIR/cloud, DIR/generic, DIR/new (6.12): vmlinuz and modules/ each; all of these, or those named. DIR/debian, only when
# named: a small Debian with systemd, as disk.img, vmlinuz and initrd.img; root needs no password, and devices may take
# their time. DIR/tools: the same with a C compiler and Python. 77: they cannot be had.
set -eu
dir=$1
shift
[[ $# -gt 0 ]] || set -- cloud generic new
mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9 # another preset's tests may want the same

skip() { echo "skipped: $*"; exit 77; }
for tool in apt-get apt-cache dpkg-deb; do command -v $tool >/dev/null || skip "no $tool"; done

# The newest package whose name fits.
newest() { apt-cache search --names-only "$1" | awk '{ print $1 }' | sort -V | tail -n 1; }
# What a package that only depends on another one depends on.
current() { apt-cache depends "$1" 2>/dev/null | awk '/Depends:/ { print $2; exit }'; }

unpack() {
    local name=$1 package=$2
    [[ -e $dir/$name/vmlinuz ]] && return
    [[ -n $package ]] || skip "no package for the $name kernel"
    local work=$dir/work
    rm -rf "$work" "${dir:?}/$name"
    mkdir "$work"
    (cd "$work" && apt-get download -qq "$package" >/dev/null 2>&1) || skip "$package cannot be downloaded"
    dpkg-deb -x "$work"/*.deb "$work/tree"
    mkdir "$work/out"
    mv "$work"/tree/boot/vmlinuz-* "$work/out/vmlinuz"
    mv "$work"/tree/lib/modules/* "$work/out/modules"
    mv "$work/out" "$dir/$name"
    rm -rf "$work"
}

# debian NAME SIZE PACKAGES
debian() {
    local out=$dir/$1 size=$2 work=$dir/work
    [[ -e $out/disk.img ]] && return
    [[ $EUID -eq 0 ]] || skip "a Debian is made by root alone"
    for tool in mmdebstrap mke2fs; do command -v $tool >/dev/null || skip "no $tool"; done
    rm -rf "$work" "$out"
    mkdir -p "$work/out"
    mmdebstrap --quiet --variant=minbase --mode=root \
        --include="systemd-sysv,udev,kmod,initramfs-tools,linux-image-cloud-amd64$3" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --customize-hook='chroot "$1" passwd -d root' \
        --customize-hook='echo debian >"$1/etc/hostname"' \
        --customize-hook='mkdir "$1/etc/systemd/system.conf.d"' \
        --customize-hook='printf "[Manager]\nDefaultDeviceTimeoutSec=900s\n" >"$1/etc/systemd/system.conf.d/slow.conf"' bookworm "$work/tree" >"$dir/debian.log" 2>&1 ||
        skip "no Debian could be made: $(tail -n 1 "$dir/debian.log")"
    truncate -s "$size" "$work/out/disk.img"
    mke2fs -q -t ext4 -d "$work/tree" "$work/out/disk.img"
    cp "$work"/tree/boot/vmlinuz-* "$work/out/vmlinuz"
    cp "$work"/tree/boot/initrd.img-* "$work/out/initrd.img"
    mv "$work/out" "$out"
    rm -rf "$work"
}

for name; do
    case $name in
    debian) debian debian 600M "" ;;
    tools) debian tools 1200M ",gcc,libc6-dev,python3-minimal" ;;
    cloud) unpack cloud "$(current linux-image-cloud-amd64)" ;;
    generic) unpack generic "$(current linux-image-amd64)" ;;
    new) unpack new "$(newest '^linux-image-6\.12\.[0-9]+\+deb12-amd64-unsigned$')" ;;
    *) echo "prepare.sh: there is no kernel \"$name\"" >&2; exit 2 ;;
    esac
done
