#!/bin/sh
# atoll disk: what it makes, prints and leaves behind; and QEMU's tools as a second opinion where they are installed.
# usage: disk_test.sh ATOLL SAMPLES
. "$(dirname "$0")/lib.sh"
cd "$dir" || exit 1
random() { head -c "$1" /dev/urandom; }

# create and info
expect 0 "" disk create a.qcow2 64M
expect 0 "format         qcow2 version 3" disk info a.qcow2
expect 0 '"size": 67108864' disk info --json a.qcow2
expect 0 "nothing is wrong" disk check a.qcow2
expect 0 '"corruptions": 0' disk check --json a.qcow2
expect 1 "File exists" disk create a.qcow2 64M
expect 0 "" disk create a.img 10M
check "a raw image has its size" [ "$(stat -c %s a.img)" -eq 10485760 ]
expect 1 "too large" disk create --cluster-size 512 huge.qcow2 1T
check "and what cannot be made is not there" absent huge.qcow2
expect 1 "No such file" disk create -b nothing.qcow2 over.qcow2
check "nor an overlay of nothing" absent over.qcow2
expect 1 "No such file" disk create none/a.qcow2 1M
ln -s nowhere.qcow2 dangling.qcow2
expect 1 "File exists" disk create dangling.qcow2 1M
expect 1 "No such file" disk create none/ 1M
umask 027 && expect 0 "" disk create masked.img 1M && umask 022
check "the umask counts" [ "$(stat -c %a masked.img)" = 640 ]
expect 2 "size is missing" disk create b.qcow2
expect 2 "is no size" disk create b.qcow2 many
expect 2 "did you mean \"create\"" disk creat b.qcow2 1M
expect 2 "power of 2" disk create --cluster-size 1000 b.qcow2 1M
expect 2 "raw or qcow2" disk create --format vmdk b.qcow2 1M
expect 1 "No such file" disk info missing.img
expect 1 "neither a file nor a block device" disk info /dev/zero
expect 1 "Is a directory" disk info .
expect 1 "a raw image has nothing to check" disk check a.img
random 5000 >noise.qcow2
expect 1 "noise.qcow2:0x0: this is no qcow2 image" disk info noise.qcow2
one_line
: >empty.qcow2
expect 1 "this is no qcow2 image" disk info empty.qcow2

# contents do not decide what a file is
cp a.qcow2 hidden.img
expect 0 "format         raw" disk info hidden.img
expect 0 "begins like a qcow2 image" disk info hidden.img
expect 0 "format         qcow2" disk info --format qcow2 hidden.img

# convert
{ random 3000000; head -c 5000000 /dev/zero; random 70001; } >data.img
truncate -s 20000768 data.img
{ random 1000; head -c 100000 /dev/zero; random 77; } >odd.img
expect 0 "" disk convert data.img data.qcow2
expect 0 "" disk convert data.qcow2 back.img
check "there and back" cmp data.img back.img
expect 0 "" disk convert odd.img odd.qcow2
expect 0 "" disk convert odd.qcow2 odd-back.img
check "a size that is no number of sectors" cmp odd.img odd-back.img
check "holes stay holes" [ "$(du -k back.img | cut -f1)" -lt 5000 ]
expect 0 "" disk convert --cluster-size 512 data.img small.qcow2
expect 0 "" disk convert small.qcow2 data.qcow2
expect 0 "nothing is wrong" disk check data.qcow2
expect 0 "" disk convert data.qcow2 back.img
check "through small clusters" cmp data.img back.img
expect 2 "would be replaced" disk convert data.img data.img
ln -s data.img link.img
expect 2 "would be replaced" disk convert data.img link.img
expect 1 "this is no qcow2 image" disk convert noise.qcow2 kept.img
check "nothing is made of nothing" absent kept.img
mkdir full
(ulimit -f 2000 && "$atoll" disk convert data.img full/x.qcow2) >out 2>&1
check "a file too large is told by 125" [ $? -eq 125 ]
check "in one line" [ "$(wc -l <out)" -eq 1 ]
check "that names the file that was asked for" grep -q '^atoll: full/x.qcow2: cannot write.*: File too large$' out
check "and leaves nothing" no_leftovers full 0
# Killed in the midst of it: what is written has no name yet (on a file system with such files).
random 300000000 >large.img
mkdir killed
"$atoll" disk convert large.img killed/x.qcow2 2>out &
pid=$!
until readlink /proc/$pid/fd/* | grep -q "killed/" || ! kill -0 $pid 2>/dev/null; do :; done
kill -9 $pid
wait $pid
[ $? -eq 137 ] && check "a conversion that is killed leaves nothing" no_leftovers killed 0
rm -f large.img
echo new >killed/x.img
expect 0 "" disk convert data.img killed/x.img
check "what was there is replaced" cmp data.img killed/x.img
check "by one file" no_leftovers killed 1
echo old >full/x.img
(ulimit -f 2000 && "$atoll" disk convert data.img full/x.img) >out 2>&1
check "nor takes what was there" same full/x.img old

# overlays
expect 0 "" disk create -b data.qcow2 over.qcow2
expect 0 "data.qcow2 (qcow2)" disk info over.qcow2
expect 0 "" disk convert over.qcow2 back.img
check "an overlay shows what is below" cmp data.img back.img
mkdir sub
expect 0 "" disk create -b ../data.qcow2 sub/over.qcow2
expect 1 "is not below the image's folder" disk convert sub/over.qcow2 back2.img
one_line
expect 0 "" disk convert --backing data.qcow2 sub/over.qcow2 back2.img
check "when it is allowed" cmp data.img back2.img

# resize
expect 0 "" disk resize over.qcow2 +1M
expect 0 '"size": 21049344' disk info --json over.qcow2
expect 2 "would be lost; --shrink" disk resize over.qcow2 1M
one_line
expect 0 "" disk resize --shrink over.qcow2 1M
expect 0 "nothing is wrong" disk check over.qcow2
expect 2 "is no size" disk resize over.qcow2 -- -2M
expect 0 "" disk resize --shrink over.qcow2 -- -64k
expect 0 '"size": 983040' disk info --json over.qcow2
expect 0 "" disk resize a.img +1M
check "a raw image grows" [ "$(stat -c %s a.img)" -eq 11534336 ]

# no room
no_room() {
    (ulimit -f 4 && "$atoll" disk "$@") >out 2>&1
    [ $? -eq 125 ] && grep -q "too large" out
}
check "create tells that there is no room as convert does" no_room create no-room.img 1M
check "a new image that has no room leaves nothing" [ ! -e no-room.img ]
check "resize tells it, too" no_room resize a.img +1M
check "and leaves the image as it was" [ "$(stat -c %s a.img)" -eq 11534336 ]

# a second opinion
if command -v qemu-img >/dev/null && command -v qemu-io >/dev/null; then
    quiet() { "$@" >/dev/null 2>"$dir/err" || { cat "$dir/err"; false; }; }
    for size in 512 4096 65536 2097152; do
        expect 0 "" disk convert --cluster-size $size data.img q.qcow2
        check "QEMU accepts clusters of $size" quiet qemu-img check q.qcow2
        check "and reads them" quiet qemu-img compare -f raw -F qcow2 data.img q.qcow2
    done
    for options in compat=0.10 compat=1.1 cluster_size=512 cluster_size=2M refcount_bits=1 refcount_bits=64 \
        lazy_refcounts=on preallocation=metadata; do
        quiet qemu-img convert -f raw -O qcow2 -o $options data.img q.qcow2
        expect 0 "nothing is wrong" disk check q.qcow2
        expect 0 "" disk convert q.qcow2 back.img
        check "QEMU's $options is read" cmp data.img back.img
        quiet qemu-io -f qcow2 -c "write -P 7 1000 100000" -c "discard 2M 1M" -c "write -z 5M 64k" q.qcow2
        expect 0 "nothing is wrong" disk check q.qcow2
        expect 0 "" disk resize q.qcow2 +100M
        check "what was resized is accepted, $options" quiet qemu-img check q.qcow2
    done
    for options in compression_type=zlib compression_type=zstd compression_type=zstd,cluster_size=4k; do
        quiet qemu-img convert -c -f raw -O qcow2 -o $options data.img q.qcow2
        expect 0 "nothing is wrong" disk check q.qcow2
        expect 0 "" disk convert q.qcow2 back.img
        check "$options is read" cmp data.img back.img
    done
    quiet qemu-img create -f qcow2 -b data.qcow2 -F qcow2 q-over.qcow2
    quiet qemu-io -f qcow2 -c "write -P 9 70000 5000" q-over.qcow2
    expect 0 "" disk convert q-over.qcow2 back.img
    check "QEMU's overlay is read" quiet qemu-img compare -f raw -F qcow2 back.img q-over.qcow2
    quiet qemu-img snapshot -c before q-over.qcow2
    quiet qemu-io -f qcow2 -c "write -P 1 60000 300000" q-over.qcow2
    expect 0 "nothing is wrong" disk check q-over.qcow2
    expect 0 "snapshots      1" disk info q-over.qcow2
    expect 1 "internal snapshots" disk resize q-over.qcow2 +1M
    # somebody else writes
    mkfifo hold
    : >prompt
    qemu-io -f qcow2 q-over.qcow2 <hold >prompt 2>&1 &
    holder=$!
    exec 9>hold
    until grep -q 'qemu-io>' prompt; do kill -0 $holder || break; done
    expect 1 "somebody else is writing to it" disk check q-over.qcow2
    expect 1 "in use by somebody else" disk resize q-over.qcow2 +1M
    inode=$(stat -c %i q-over.qcow2)
    expect 1 "q-over.qcow2: in use by somebody else" disk convert data.img q-over.qcow2
    one_line
    check "nor is it replaced" [ "$(stat -c %i q-over.qcow2)" -eq "$inode" ]
    exec 9>&-
    wait $holder
    expect 0 "nothing is wrong" disk check q-over.qcow2
else
    echo "qemu-img is not installed: not compared"
fi
exit $failed
