/* Exceptions and interrupts of 64-bit mode: vectors, error codes, what is pushed and where, faults on the way into a
 * handler, iret's checks, the shadow of mov ss. */
#include "guest.h"

.macro TRY_DS selector
    mov $\selector, %ecx
    TRY mov %ecx, %ds
.endm
/* iretq to cs:rip with ss:rsp */
.macro TRY_IRET cs, rip, ss, rsp
    movq $STACK - 64, %rsp
    pushq $\ss
    pushq $\rsp
    pushq $2
    pushq $\cs
    pushq $\rip
    TRY iretq
    mov $STACK, %esp
.endm

    START
guest:
    xor %ecx, %ecx
    mov $7, %eax
    xor %edx, %edx
    TRY div %ecx
    TRY ud2
    mov $STACK, %esp
    mov $0x8000000000000000, %rax
    mov %rax, %rdx
    mov $-1, %rcx
    TRY idiv %rcx

    /* segment registers */
    TRY_DS USER_DATA                 /* fine at level 0 */
    TRY_DS KERNEL_CODE               /* readable code */
    TRY_DS CONFORMING
    TRY_DS TSS_SELECTOR              /* 13, the selector */
    TRY_DS 0x60                      /* beyond the limit */
    TRY_DS 0x44                      /* no LDT */
    TRY_DS ABSENT                    /* 11 */
    TRY_DS 0
    TRY_DS 3
    mov $KERNEL_DATA, %eax
    mov %eax, %ds
    mov $USER_DATA, %ecx
    TRY mov %ecx, %ss                /* 13: another level's */
    mov $ABSENT, %ecx
    TRY mov %ecx, %ss                /* 12 */
    mov $KERNEL_CODE, %ecx
    TRY mov %ecx, %ss
    xor %ecx, %ecx
    TRY mov %ecx, %ss                /* null is a stack segment of 64-bit mode */
    mov %ss, %eax
    SAY %eax
    mov $KERNEL_DATA, %ecx
    mov %ecx, %ss
    mov $0x60, %ecx
    TRY lldt %cx
    mov $KERNEL_DATA, %ecx
    TRY lldt %cx
    xor %ecx, %ecx
    TRY lldt %cx
    TRY ltr %cx
    mov $TSS_SELECTOR, %ecx
    TRY ltr %cx                      /* busy */

    /* far transfers */
    TRY ljmpl *to_data
    TRY ljmpl *to_null
    TRY ljmpl *to_both
    TRY ljmpl *to_beyond
    TRY ljmpl *to_user
    RESUME 1f
    ljmpl *to_conforming
1:  SAY $0xbad
in_conforming:
    mov %cs, %eax
    SAY %eax
    push $KERNEL_CODE
    push $2f
    lretq
2:  mov %cs, %eax
    SAY %eax
    push $0x68
    push $2b
    TRY lretq
    mov $STACK, %esp

    /* iret */
    TRY_IRET KERNEL_DATA, 0, KERNEL_DATA, STACK
    TRY_IRET 0, 0, KERNEL_DATA, STACK
    TRY_IRET BOTH_WIDTHS, 0, KERNEL_DATA, STACK
    TRY_IRET KERNEL_CODE, 0, USER_DATA, STACK
    TRY_IRET USER_CODE, 0, 0, STACK
    TRY_IRET USER_CODE, 0, KERNEL_DATA, STACK
    TRY_IRET ABSENT, 0, KERNEL_DATA, STACK
    movq $STACK - 64, %rsp           /* an address that is none */
    pushq $KERNEL_DATA
    pushq $STACK
    pushq $2
    pushq $KERNEL_CODE
    mov $0x800000000000, %rax
    push %rax
    TRY iretq
    mov $STACK, %esp

    /* flags a handler sees and what iret gives back; stacks */
    GATE 6, told_gate, 0x8e00        /* interrupts off */
    pushq $0x202
    popfq
    TRY ud2
    GATE 6, told_gate, 0x8f00        /* stays */
    TRY ud2
    cli
    mov $STACK - 4, %rsp             /* not aligned */
    TRY ud2
    mov $STACK, %esp
    GATE 6, told_gate, 0x8e01        /* stack of the TSS */
    TRY ud2

    /* gates that are none: what #UD becomes */
    GATE 6, told_gate, 0x0e00        /* 11: not present */
    TRY ud2
    GATE 6, told_gate, 0x8c00        /* 13: a call gate */
    TRY ud2
    GATE 6, told_gate, 0x8600        /* 13: of 16 bits */
    TRY ud2
    GATE 6, told_gate, 0x8e00
    movw $KERNEL_DATA, idt + 6 * 16 + 2
    TRY ud2
    movw $0, idt + 6 * 16 + 2
    TRY ud2
    movw $KERNEL_CODE32, idt + 6 * 16 + 2
    TRY ud2
    movw $ABSENT, idt + 6 * 16 + 2
    TRY ud2
    movw $USER_CODE, idt + 6 * 16 + 2
    TRY ud2
    movw $0x60, idt + 6 * 16 + 2
    TRY ud2
    GATE 6, (stubs + 16 * 6), 0x8e00

    /* level 3: privileged instructions, the stack of the TSS */
    MAP 0, (P | W | U)
    mov $KERNEL_DATA, %eax
    mov %eax, %gs
    mov $0xc0000101, %ecx            /* GS base */
    mov $0x12345678, %eax
    xor %edx, %edx
    wrmsr
    USER user_code
    mov %rax, %r15
    mov %gs, %eax                    /* level 3 may not have it; the base stays */
    SAY %eax
    mov $0xc0000101, %ecx
    rdmsr
    SAY %eax
    mov %r15, %rax
    movw $0, tss + 0x66              /* the map of ports is the TSS' own bytes: open */
    USER user_ports

    /* a fault on the way into a handler: of the page fault's, a double fault, on a stack of its own */
    GATE 8, (stubs + 16 * 8), 0x8e01
    movb $0x0e, idt + 14 * 16 + 5    /* 14: not present */
    MAP 1, 0
    TRY mov PAGE(1), %eax            /* 8, error 0 */
    movb $0x8e, idt + 14 * 16 + 5
    movb $0x0e, idt + 6 * 16 + 5        /* of an invalid opcode: the second fault alone */
    TRY ud2                          /* 11, error 6 * 8 + 3 */
    movb $0x8e, idt + 6 * 16 + 5
    /* A stack that cannot be written: the pushes of #UD fault, then those of #PF */
    mov $0x700000, %esp
    movq $0, TABLES + 0x2018
    invlpg 0x600000
    TRY ud2
    mov $STACK, %esp

    /* mov ss holds back what would be delivered behind it: nothing to see but that it works */
    mov $KERNEL_DATA, %eax
    mov %eax, %ss
    mov $STACK, %esp
    SAY %esp

    /* three faults: the processor is reset, which ends this guest */
    lidt no_idt
    ud2

told_gate: /* what was pushed: flags, stack pointer's low bits, selector of the stack */
    mov 16(%rsp), %eax
    and $0x3200, %eax
    out %eax, $PORT_VALUE
    mov %esp, %eax
    out %eax, $PORT_VALUE
    pushfq
    pop %rax
    and $0x3200, %eax
    out %eax, $PORT_VALUE
    mov 32(%rsp), %eax
    out %eax, $PORT_VALUE
    mov %ss, %eax
    out %eax, $PORT_VALUE
    addq $2, (%rsp)                  /* behind ud2 */
    iretq

user_code:
    UTRY hlt
    UTRY cli
    UTRY mov %cr0, %rax
    UTRY mov %cr3, %rax
    UTRY lgdt (%rsp)
    UTRY wbinvd
    UTRY invlpg (%rsp)
    UTRY rdmsr
    UTRY out %al, $0x80
    UTRY in $0x80, %al
    UTRY ud2
    UTRY ltr %ax
    UTRY swapgs
    UTRY sysretq
    UTRY clts
    mov $KERNEL_DATA, %ecx
    UTRY mov %ecx, %ds
    mov $KERNEL_CODE, %ecx
    UTRY mov %ecx, %ds
    mov $CONFORMING, %ecx
    UTRY mov %ecx, %ds
    mov $USER_DATA, %ecx
    UTRY mov %ecx, %ds
    xor %ecx, %ecx
    UTRY mov %ecx, %ss
    pushfq                           /* neither IF nor IOPL changes here */
    orq $0x3200, (%rsp)
    popfq
    USER_END

user_ports:
    UTRY out %al, $0x81
    UTRY out %eax, $0x81
    mov $0x338, %edx                 /* beyond the limit of the TSS */
    UTRY out %al, %dx
    USER_END

    .p2align 3
to_data:       .long 0
               .word KERNEL_DATA
to_null:       .long 0
               .word 0
to_both:       .long 0
               .word BOTH_WIDTHS
to_beyond:     .long 0
               .word 0x60
to_user:       .long 0
               .word USER_CODE
to_conforming: .long in_conforming
               .word CONFORMING
no_idt:        .word 0
               .quad 0
