#!/bin/bash
# Debian's installer, as its package has it, on the software CPU: to its first screen.
# usage: installer_test.sh ATOLL DIR
#   DIR   where the package's kernel and initrd are kept; the variable ATOLL_INSTALLER goes before
# 77: something it needs is missing
set -eu
atoll=$1 dir=${ATOLL_INSTALLER:-$2}
mkdir -p "$dir"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [[ ! -e $dir/initrd.gz ]]; then
    for tool in apt-get dpkg-deb; do command -v $tool >/dev/null || { echo "skipped: no $tool"; exit 77; }; done
    package=debian-installer-12-netboot-amd64
    (cd "$work" && apt-get download -qq $package >/dev/null 2>&1) ||
        { echo "skipped: $package cannot be downloaded"; exit 77; }
    dpkg-deb -x "$work"/*.deb "$work/tree"
    find "$work/tree" -path '*/text/*' \( -name linux -o -name initrd.gz \) -exec cp -L {} "$work" \;
    mv "$work/linux" "$dir/linux"
    mv "$work/initrd.gz" "$dir/initrd.gz"
fi

cat >"$work/script" <<'END'
timeout 15m
fail "the kernel panicked" when "Kernel panic"
expect "Select a language"
expect "Prompt: "
kill
END
status=0
"$atoll" boot --engine=soft --memory 1G --kernel "$dir/linux" --initrd "$dir/initrd.gz" --append \
    "console=ttyS0 TERM=dumb DEBIAN_FRONTEND=text priority=critical" --script "$work/script" --timeout 20m \
    </dev/null >"$work/out" 2>"$work/err" || status=$?
if [[ $status -ne 0 ]]; then
    echo "FAILED: status $status"
    tail -n 40 "$work/out"
    cat "$work/err"
    exit 1
fi
echo "ok: the installer asks for a language"
