/* syscall, sysret, sysenter, sysexit, swapgs, bases of FS and GS, MSRs, int n, CPUID bits that follow registers. */
#include "guest.h"

.macro SET_MSR msr, high, low
    mov $\msr, %ecx
    mov $\high, %edx
    mov $\low, %eax
    TRY wrmsr
.endm
.macro GET_MSR msr
    mov $\msr, %ecx
    TRY rdmsr
.endm
.macro SAY_FRAME /* registers a system call leaves, selectors, flags */
    out %eax, $PORT_VALUE
    mov %ecx, %eax
    sub $PAGE(0), %eax
    out %eax, $PORT_VALUE
    mov %r11d, %eax
    out %eax, $PORT_VALUE
    mov %cs, %eax
    out %eax, $PORT_VALUE
    mov %ss, %eax
    out %eax, $PORT_VALUE
    pushfq
    pop %rax
    out %eax, $PORT_VALUE
.endm

    START
guest:
    MAP 0, (P | W | U)
    /* EFER: reserved bits, LME while paging, SCE */
    GET_MSR 0xc0000080
    SAY %eax
    SET_MSR 0xc0000080, 1, 0x500
    SET_MSR 0xc0000080, 0, 0x400       /* 13: LME off */
    TRY syscall                      /* 6: off */
    SET_MSR 0xc0000080, 0, 0xd01
    GET_MSR 0xc0000080
    SAY %eax

    /* syscall: user at 2b, 23 from 18 + 16, 18 + 8; kernel at 8, 10 */
    SET_MSR 0xc0000081, 0x001b0008, 0
    SET_MSR 0xc0000084, 1, 0           /* 13 */
    SET_MSR 0xc0000082, 0x8000, 0      /* 13: not canonical; the right value comes behind it, for CPUs that take this */
    SET_MSR 0xc0000084, 0, 0x4700
    mov $entry64, %eax
    xor %edx, %edx
    mov $0xc0000082, %ecx
    wrmsr
    USER user_syscall

    /* sysexit goes to level 3 at 30 + 32 | 3 ... of these descriptors that is 2b: sysenter_cs is 8 */
    SET_MSR 0x174, 0, 8
    SET_MSR 0x175, 0, STACK0
    SET_MSR 0x176, 0x8000, 0           /* 13 */
    mov $entry_sysenter, %eax
    xor %edx, %edx
    mov $0x176, %ecx
    wrmsr
    USER user_sysenter
    SET_MSR 0x174, 0, 0
    USER user_sysenter2              /* 13 */

    /* bases */
    mov $0xc0000101, %ecx
    mov $0x11, %eax
    xor %edx, %edx
    wrmsr
    mov $0xc0000102, %ecx
    mov $0x22, %eax
    wrmsr
    swapgs
    mov $0xc0000101, %ecx
    rdmsr
    SAY %eax
    mov $0xc0000102, %ecx
    rdmsr
    SAY %eax
    TRY rdgsbase %rax                /* 6: CR4.FSGSBASE is off */
    mov %cr4, %rax
    or $0x10000, %eax
    mov %rax, %cr4
    mov $0x100000000, %rax
    TRY wrfsbase %rax
    TRY rdfsbase %rbx
    mov %rbx, %rax
    shr $32, %rax
    SAY %eax
    mov $0x800000000000, %rax
    TRY wrfsbase %rax
    mov $0x12345678, %eax
    wrfsbase %eax
    rdfsbase %rbx
    SAY %ebx
    xor %eax, %eax
    mov %eax, %fs                    /* a null selector clears the base */
    rdfsbase %rbx
    SAY %ebx
    movl $0x77, PAGE(1)
    mov $PAGE(1), %eax
    wrgsbase %rax
    mov %gs:0, %eax
    SAY %eax
    mov $PAGE(1) - 0x10, %eax
    wrfsbase %rax
    mov $0x10, %ebx
    mov %fs:(%rbx), %eax
    SAY %eax

    /* control registers */
    mov $0x100000000, %rax
    TRY mov %rax, %cr0
    mov %cr0, %rax
    mov %rax, %rbx
    and $~1, %rbx
    TRY mov %rbx, %cr0               /* 13: PG without PE */
    mov %rax, %rbx
    btc $31, %rbx
    TRY mov %rbx, %cr0               /* 13: no paging in 64-bit code */
    mov %rax, %rbx
    or $0x20000000, %rbx
    TRY mov %rbx, %cr0               /* 13: NW without CD */
    mov %cr4, %rax
    mov %rax, %rbx
    and $~0x20, %rbx
    TRY mov %rbx, %cr4               /* 13: PAE in long mode */
    mov %rax, %rbx
    bts $63, %rbx
    TRY mov %rbx, %cr4
    mov $16, %eax
    TRY mov %rax, %cr8
    mov $5, %eax
    TRY mov %rax, %cr8
    mov %cr8, %rax
    SAY %eax
    xor %eax, %eax
    mov %rax, %cr8
    mov $-1, %rax
    mov %rax, %cr2
    mov %cr2, %rax
    SAY %eax

    /* MSRs that are none, or refuse */
    GET_MSR 0x12345
    SET_MSR 0x12345, 0, 0
    SET_MSR 0x277, 0, 0x02             /* 13: no such memory type */
    SET_MSR 0x277, 0x00070106, 0x00070106
    GET_MSR 0x277
    SAY %eax
    SET_MSR 0x2ff, 0, 0xc07            /* 13 */

    /* OSXSAVE and the APIC id in CPUID; xsetbv */
    mov $1, %eax
    cpuid
    bt $27, %ecx
    setc %al
    movzx %al, %eax
    SAY %eax
    xor %ecx, %ecx
    TRY xgetbv                       /* 6 */
    mov %cr4, %rax
    or $0x40000, %eax
    mov %rax, %cr4
    mov $1, %eax
    cpuid
    bt $27, %ecx
    setc %al
    movzx %al, %eax
    SAY %eax
    xor %ecx, %ecx
    xor %edx, %edx
    mov $2, %eax
    TRY xsetbv                       /* 13: x87 stays on */
    mov $5, %eax
    TRY xsetbv                       /* 13: AVX without SSE */
    mov $3, %eax
    TRY xsetbv
    xgetbv
    SAY %eax

    /* KVM's hypercalls: there is none of this number */
    mov $500, %eax
    TRY vmcall
    SAY %eax
    mov $500, %eax
    TRY vmmcall
    SAY %eax

    /* last, since QEMU's SVM ends a guest that does this */
    mov %cr3, %rax
    mov %rax, %rbx
    bts $60, %rbx
    TRY mov %rbx, %cr3
    END

entry64:
    mov %rsp, %r9
    mov $STACK0, %esp
    SAY_FRAME
    mov %r9, %rsp
    mov $0x3202, %r11d
    sysretq

entry_sysenter:
    mov %esp, %eax
    out %eax, $PORT_VALUE
    xor %ecx, %ecx
    xor %r11d, %r11d
    SAY_FRAME
    mov $(PAGE(0) + 0x1000), %ecx
    mov %r10, %rdx
    sysexitq

user_syscall:
    pushfq
    orl $0x4001, (%rsp)              /* NT, CF: told in r11; the mask clears the former */
    popfq
    mov $0x51, %eax
    syscall
.Lafter:
    pushfq                           /* IOPL 3 came by r11: ports are open */
    pop %rax
    out %eax, $0x80
    mov %cs, %eax
    out %eax, $0x80
    mov %ss, %eax
    out %eax, $0x80
    USER_END

user_sysenter:
    mov $0x52, %eax
    lea 1f(%rip), %r10
    sysenter
1:  USER_END
user_sysenter2:
    UTRY sysenter
    USER_END
