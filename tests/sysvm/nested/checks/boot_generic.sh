# Debian's 6.1 generic kernel (packed with xz), on two processors.
boot $generic off --timeout 900 --cpus 2
expect_status 0
expect_output 'guest: userland on 6.1.[^ ]*-amd64, 2 processors'
