# An ELF kernel packed with xz, by its PVH entry: Linux notes 0xB0 as its loader then.
boot /kernels/generic/vmlinux.xz loader --timeout 900
expect_status 0
expect_output 'guest: userland on 6.1.[^ ]*-amd64, 1 processors'
expect_output 'guest: loader 176'
