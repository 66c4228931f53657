# Four processors, more memory than fits below the hole.
boot $cloud off --timeout 900 --cpus 4 --memory 3584M
expect_status 0
expect_output 'guest: userland on 6.1.*cloud.*, 4 processors, 3[0-9]\{6\} KiB'
