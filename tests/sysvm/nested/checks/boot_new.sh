# Debian's 6.12 kernel (packed with zstd).
boot $new off --timeout 900
expect_status 0
expect_output 'guest: userland on 6.12.*, 1 processors'
