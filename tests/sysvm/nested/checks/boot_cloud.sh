# Debian's 6.1 cloud kernel (packed with lz4) to userland, and off.
boot $cloud off --timeout 900
expect_status 0
expect_output 'guest: userland on 6.1.*cloud.*, 1 processors'
cat /tmp/out
