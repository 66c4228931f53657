/* tests/sysvm/nested/kvm_holder.c: keeps one empty machine of KVM's open until it is ended.
 *
 * With a host's first machine Linux switches a branch on in its scheduler, and off with the last (preempt notifiers, a
 * static key): it patches code that the other processor runs. QEMU's software CPU with a thread a processor does not
 * always see that: both processors were found executing an int3 for ever that was no longer there. With one machine
 * kept nothing is patched while the checks run. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(void) {
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0 || ioctl(kvm, KVM_CREATE_VM, 0) < 0) {
        perror("kvm_holder: /dev/kvm");
        return 1;
    }
    for (;;) pause();
}
