/* Debug registers and single steps: execution, writes, accesses, repeated instructions, the shadow of mov ss, RF,
 * general detect. The handler tells DR6, rip less r15, RF of the image, ecx; r13 counts the steps that are left. */
#include "guest.h"

/* DR7: register n on (local), condition, length of its encoding */
#define ON(n) (1 << (2 * (n)))
#define HOW(n, condition, length) (((condition) << (16 + 4 * (n))) | ((length) << (18 + 4 * (n))))
#define WRITES 1
#define ACCESSES 3
#define BYTE 0
#define WORD2 1
#define WORD4 3
#define WORD8 2

.macro ARM register, address, dr7
    mov $\address, %rax
    mov %rax, %dr\register
    mov $(\dr7), %eax
    mov %rax, %dr7
.endm
.macro DISARM
    xor %eax, %eax
    mov %rax, %dr7
.endm
.macro STEPS n
    mov $\n, %r13d
    pushfq
    orl $0x100, (%rsp)
    popfq
.endm

    START
db: push %rax
    mov %dr6, %rax
    and $0xe00f, %eax
    out %eax, $PORT_VALUE
    mov 8(%rsp), %rax
    sub %r15, %rax
    out %eax, $PORT_VALUE
    mov 24(%rsp), %eax
    shr $16, %eax
    and $1, %eax
    out %eax, $PORT_VALUE
    SAY %ecx
    mov %dr6, %rax
    test $9, %al                     /* those of execution here */
    jz 1f
    orl $0x10000, 24(%rsp)
1:  xor %eax, %eax
    mov %rax, %dr6
    dec %r13
    jg 1f
    andl $~0x100, 24(%rsp)
1:  pop %rax
    iretq

guest:
    GATE 1, db, 0x8e00
    mov %cr4, %rax
    or $0x200, %eax                  /* vectors */
    mov %rax, %cr4
    xor %ecx, %ecx

    /* execution: in front of the instruction, once; RF gets over it */
    mov $1f, %r15
    ARM 0, 1f, ON(0)
    nop
1:  inc %ecx
    nop
    SAY %ecx
    mov $2, %edx                     /* in a loop, each time */
    ARM 0, 2f, ON(0)
    mov $2f, %r15
2:  inc %ecx
    dec %edx
    jnz 2b
    ARM 3, 3f, (ON(0) | ON(3))       /* two at one place */
    ARM 0, 3f, (ON(0) | ON(3))
    mov $3f, %r15
3:  nop
    DISARM
    mov $4f, %r15                    /* nothing is left of what another told before */
    mov $0xffff0ff2, %eax
    mov %rax, %dr6
    ARM 0, 4f, ON(0)
4:  nop
    DISARM
    SAY $0x100

    /* writes to four bytes */
    xor %ecx, %ecx
    mov $1f, %r15
    ARM 1, data, (ON(1) | HOW(1, WRITES, WORD4))
    mov data, %eax                   /* a read: nothing */
    movl $1, data + 4                /* behind it: nothing */
    movl $1, data - 4
1:  movl $1, data
    movb $1, data + 3
    movl $1, data - 2
    movw $1, data - 2
    lock incl data
    xchg %eax, data
    movups %xmm0, data - 8
    movups data - 8, %xmm0
    pushq data
    popq data
    DISARM
    SAY $0x200

    /* accesses to one byte, to eight; a misaligned DR counts from its multiple */
    mov $1f, %r15
    ARM 2, data, (ON(2) | HOW(2, ACCESSES, BYTE))
1:  mov data, %al
    mov data + 1, %al
    cmpb $0, data
    ARM 2, (data + 5), (ON(2) | HOW(2, ACCESSES, WORD8))
    mov data + 7, %al
    mov data + 8, %al
    DISARM
    SAY $0x300

    /* an instruction that faults has met nothing */
    ARM 1, data, (ON(1) | HOW(1, ACCESSES, WORD4))
    movq $0, ENTRY(1)
    invlpg PAGE(1)
    mov $data, %esi
    mov $PAGE(1), %edi
    mov $1f, %r15
    TRY movsb                        /* reads, and cannot write */
1:  DISARM
    SAY $0x400

    /* element by element */
    mov $(data - 2), %edi
    mov $8, %ecx
    xor %eax, %eax
    cld
    ARM 1, data, (ON(1) | HOW(1, WRITES, WORD2))
    mov $1f, %r15
1:  rep stosb
    mov $(data - 2), %edi            /* one that does nothing */
    rep stosb
    mov $data - 15, %edi             /* the last one only */
    mov $16, %ecx
    mov $2f, %r15
2:  rep stosb
    DISARM
    SAY $0x500

    /* the shadow of mov ss: traps come behind the next instruction, breakpoints not at all */
    movw $KERNEL_DATA, data
    xor %ecx, %ecx
    ARM 1, data, (ON(1) | HOW(1, ACCESSES, WORD2))
    mov $1f, %r15
1:  mov data, %ss
    nop
    nop
    ARM 0, 2f, ON(0)
    mov $KERNEL_DATA, %eax
    mov $2f, %r15
    mov %eax, %ss
2:  nop
    DISARM
    mov $KERNEL_DATA, %eax
    mov $3f, %r15
    STEPS 2
3:  mov %eax, %ss
    nop
    nop
    SAY $0x600

    /* steps: the instruction behind popf is the first; each turn of a repeated one */
    mov $1f, %r15
    STEPS 3
1:  nop
    inc %ecx
    jmp 2f
    nop
2:  nop
    mov $data, %edi
    mov $2, %ecx
    mov $3f, %r15
    STEPS 2
3:  rep stosb
    nop
    mov $4f, %r15                    /* a step onto a breakpoint: the step, then the breakpoint */
    ARM 0, 4f, ON(0)
    STEPS 1
    nop
4:  nop
    DISARM
    SAY $0x700

    /* general detect */
    mov $0x2000, %eax
    mov %rax, %dr7
    mov $1f, %r15
1:  mov %dr0, %rdx
    mov %dr7, %rax                   /* it is off now */
    SAY %eax
    END
    .p2align 4
    .quad 0, 0
data:
    .quad 0, 0
