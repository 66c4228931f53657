# A KVM that is true is taken by auto.
boot $cloud clock --engine=auto --verbose --stats --timeout 900
expect_status 0
expect_output 'guest: clock kvm-clock'
expect_error 'engine kvm (KVM is fast here'
expect_error 'engine kvm, [0-9]* exits'
cat /tmp/err
chmod 0 /dev/kvm
mv /dev/kvm /dev/kvm-hidden
boot $cloud off --engine=kvm
mv /dev/kvm-hidden /dev/kvm
expect_status 125
expect_error '/dev/kvm: KVM is not there'
