# A bzImage through its own 64-bit entry: it unpacks itself.
boot $cloud off --timeout 900 --self-unpacking
expect_status 0
expect_output 'guest: userland on 6.1.*cloud'
