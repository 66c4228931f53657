#!/bin/bash
# A Debian with systemd, as mmdebstrap makes it, on the software CPU: its login prompt, then what people do there: a
# compiler, Python, a package from a repository. usage: systemd_test.sh ATOLL KERNELS
#   KERNELS  the folder of nested/prepare.sh; the variable ATOLL_NESTED_KERNELS goes before
# 77: something it needs is missing
set -eu
here=$(cd "$(dirname "$0")" && pwd)
atoll=$1 kernels=${ATOLL_NESTED_KERNELS:-$2}
"$here/../nested/prepare.sh" "$kernels" tools || exit $?
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/script" <<'END'
timeout 20m
fail "the kernel panicked" when "Kernel panic"
expect "debian login: "
type "root"
expect "# "
run "test $(cat /proc/1/comm) = systemd && systemctl is-active --wait multi-user.target"
run "cd /root && printf '#include <math.h>\\n#include <stdio.h>\\nint main(void) { printf(\"%%.6f\", sqrt(2.0) + sin(1.0)); }' >a.c"
run "gcc -O2 -o a a.c -lm && test $(./a) = 2.255685"
run "test $(python3 -c 'print(sum(x * x for x in range(100000)) % 997, 2 ** 0.5)' | md5sum | cut -c1-8) = PYTHON"
run "mkdir -p p/DEBIAN p/usr/bin /repository && printf '#!/bin/sh\\necho from a package\\n' >p/usr/bin/told && chmod 755 p/usr/bin/told"
run "printf 'Package: told\\nVersion: 1\\nArchitecture: all\\nMaintainer: nobody <nobody@localhost>\\nDescription: tells\\n' >p/DEBIAN/control"
run "dpkg-deb --build p /repository/told.deb"
run "cd /repository && { cat ~/p/DEBIAN/control; echo Filename: ./told.deb; echo Size: $(stat -c %s told.deb); echo SHA256: $(sha256sum told.deb | cut -c1-64); } >Packages"
run "echo 'deb [trusted=yes] file:/repository ./' >/etc/apt/sources.list && apt-get update && apt-get -y install told"
run "test \"$(told)\" = 'from a package'"
type "poweroff"
wait off
END
sum=$(python3 -c 'print(sum(x * x for x in range(100000)) % 997, 2 ** 0.5)' | md5sum | cut -c1-8)
sed -i "s/PYTHON/$sum/" "$work/script"
status=0
"$atoll" boot --engine=soft --memory 1G --cpus 2 --disk "$kernels/tools/disk.img:snapshot" \
    --kernel "$kernels/tools/vmlinuz" --initrd "$kernels/tools/initrd.img" --append "root=/dev/vda rw console=ttyS0 quiet" --script "$work/script" \
    --timeout 40m </dev/null >"$work/out" 2>"$work/err" || status=$?
if [[ $status -ne 0 ]]; then
    echo "FAILED: status $status"
    tail -n 60 "$work/out"
    cat "$work/err"
    exit 1
fi
echo "ok: systemd, gcc, Python and apt-get on two processors"
