/* int n, int3, int1: gates' privilege, what is pushed, faults on the way. */
#include "guest.h"
    START
guest:
    GATE 0x40, told, 0x8e00
    GATE 0x41, told, 0xef00
    GATE 3, told, 0xee00
    GATE 1, told, 0x8e00
    int $0x40
    int $0x41
    int3
    .byte 0xf1
    GATE 0x42, told, 0x0e00
    TRY int $0x42                    /* 11, error 42 * 8 + 2: the instruction's own fault */
    GATE 0x42, told, 0x8e00
    movw $KERNEL_DATA, idt + 0x42 * 16 + 2
    TRY int $0x42                    /* 13, the selector */
    MAP 0, (P | W | U)
    USER user_code
    lidt short_idt
    TRY int $0x50                    /* 13, beyond the limit */
    END

told:
    mov (%rsp), %rax
    mov -2(%rax), %ax                /* the instruction in front of the address pushed */
    movzx %ax, %eax
    out %eax, $PORT_VALUE
    mov 8(%rsp), %eax
    out %eax, $PORT_VALUE
    mov 16(%rsp), %eax
    out %eax, $PORT_VALUE
    mov 32(%rsp), %eax
    out %eax, $PORT_VALUE
    iretq

user_code:
    UTRY int $0x40                   /* 13, error 40 * 8 + 2 */
    int $0x41
    nop
    int3
    nop
    .byte 0xf1                       /* no privilege is asked for it */
    USER_END

    .p2align 3
short_idt:
    .word 16 * 0x50 - 1
    .quad idt
