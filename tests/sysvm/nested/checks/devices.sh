# What every machine has is found by its drivers, with messages as interrupts and without.
today=$(date -u +%Y-%m-%d)
boot $cloud devices --timeout 300
expect_status 0
expect_output 'guest: 0000:00:00.0 0x1b36:0x0008'
expect_output 'guest: 0000:00:0..0 0x1af4:0x1044 virtio-pci'
expect_output 'guest: 0000:00:0..0 0x1af4:0x1045 virtio-pci'
expect_output 'guest: rng virtio_rng.0 gave 1000 bytes'
expect_output "guest: rtc $today"
expect_output '[1-9][0-9]* .*PCI-MSI .*virtio0-input'
expect_output 'PCI-MSI .*virtio1-reporting_vq'

atoll boot --engine=kvm --kernel $cloud --initrd $inner --append "console=ttyS0 panic=-1 quiet do=devices pci=nomsi" --timeout 300 \
    </dev/null >/tmp/out 2>/tmp/err
status=$?
expect_status 0
expect_output 'guest: rng virtio_rng.0 gave 1000 bytes'
expect_output '[1-9][0-9]* .*IO-APIC .*fasteoi .*virtio0'
