/* Interrupts of the local APIC: in front of which instruction they come (IF, the shadow of sti, popf, iret, CR8), in which
 * order, how hlt ends, and its timer: once, again and again, by the counter. Messages go to the processor itself: each
 * waits when the next instruction runs. */
#include "guest.h"
#define APIC 0xfee00000
#define EOI 0xb0
#define SPURIOUS 0xf0
#define IN_SERVICE 0x120            /* of vectors 40 to 5f */
#define REQUESTED 0x220
#define MESSAGE 0x300
#define LVT_TIMER 0x320
#define INITIAL 0x380
#define COUNT 0x390
#define DIVIDE 0x3e0
#define MASKED 0x10000
#define PERIODIC 0x20000
#define DEADLINE 0x40000
#define MSR_DEADLINE 0x6e0

.macro SEND vector                  /* to itself, an edge */
    movl $(0x44000 | \vector), MESSAGE(%rbx)
.endm
.macro PRIORITY class
    mov $\class, %eax
    mov %rax, %cr8
.endm
/* Tells the vector, ecx, and how far behind r15 it came. */
.macro HANDLER vector, more:vararg
handler_\vector:
    push %rax
    SAY $\vector
    SAY %ecx
    mov 8(%rsp), %rax
    sub %r15, %rax
    out %eax, $PORT_VALUE
    \more
    movl $0, EOI(%rbx)
    pop %rax
    iretq
.endm
.macro SAY_REQUESTED                /* whether 40 waits */
    mov REQUESTED(%rbx), %eax
    and $1, %eax
    out %eax, $PORT_VALUE
.endm

    START
    HANDLER 0x40
    HANDLER 0x41, call allows_others
    HANDLER 0x42
    HANDLER 0x50
    HANDLER 0x61
handler_0x43:                        /* out of level 3: what it came from, and does not go back to */
    mov 8(%rsp), %eax
    out %eax, $PORT_VALUE
    mov 32(%rsp), %eax
    out %eax, $PORT_VALUE
    mov %ss, %eax
    out %eax, $PORT_VALUE
    movl $0, EOI(%rbx)
    jmp back
handler_0x51:
    incl ticks
    movl $0, EOI(%rbx)
    iretq
allows_others:                       /* a higher class comes at once, the same one only behind the end */
    SEND 0x42
    SEND 0x61
    sti
    nop
    mov IN_SERVICE(%rbx), %eax
    out %eax, $PORT_VALUE
    mov REQUESTED(%rbx), %eax
    out %eax, $PORT_VALUE
    cli
    ret

guest:
    .irp vector, 0x40, 0x41, 0x42, 0x43, 0x50, 0x51, 0x61
    GATE \vector, handler_\vector, 0x8e00
    .endr
    mov $APIC, %ebx
    movl $0x1ff, SPURIOUS(%rbx)
    xor %ecx, %ecx

    /* behind sti one instruction runs first */
    SEND 0x40
    mov $1f, %r15
1:  sti
    inc %ecx
    inc %ecx
    cli
    SAY %ecx

    /* and if that is cli, nothing comes */
    SEND 0x40
    xor %ecx, %ecx
    sti
    cli
    inc %ecx
    SAY %ecx
    SAY_REQUESTED

    /* behind popf it comes at once */
    xor %ecx, %ecx
    mov $1f, %r15
    pushq $0x202
1:  popfq
    inc %ecx
    cli
    SAY %ecx
    SAY_REQUESTED

    /* behind iretq, too */
    xor %ecx, %ecx
    SEND 0x40
    mov %rsp, %rdx
    pushq $KERNEL_DATA
    pushq %rdx
    pushq $0x202
    pushq $KERNEL_CODE
    pushq $1f
    mov $1f, %r15
    iretq
1:  inc %ecx
    SAY %ecx

    /* while IF is set: behind the instruction that sends it, or lets it through */
    xor %ecx, %ecx
    mov $1f, %r15
1:  SEND 0x40
    inc %ecx
    PRIORITY 4
    SEND 0x40
    inc %ecx
    SAY_REQUESTED
    mov $1f, %r15
    xor %eax, %eax
1:  mov %rax, %cr8
    inc %ecx
    SAY %ecx

    /* by class, highest first, as far as CR8 lets them */
    mov $1f, %r15
    PRIORITY 15
    SEND 0x40
    SEND 0x61
    SEND 0x50
    PRIORITY 5
1:  inc %ecx
    PRIORITY 0
    inc %ecx
    mov %cr8, %rax
    out %eax, $PORT_VALUE

    /* one in the handler of another */
    mov $1f, %r15
    SEND 0x41
1:  inc %ecx
    SAY %ecx
    cli

    /* hlt ends, and the handler goes on behind it */
    SEND 0x40
    mov $1f, %r15
1:  sti
    hlt
    inc %ecx
    cli
    SAY %ecx

    /* at level 3, in front of its first instruction */
    MAP 0, (P | W | U)
    movw $0x0b0f, PAGE(0)            /* ud2 */
    SEND 0x43
    pushq $1f
    mov %rsp, kernel_stack
    pushq $USER_DATA
    pushq $(PAGE(0) + 0x1000)
    pushq $0x202
    pushq $USER_CODE
    pushq $PAGE(0)
    iretq
1:  cli

    /* the timer, once: a count of 0 behind it */
    movl $0xb, DIVIDE(%rbx)
    movl $0x50, LVT_TIMER(%rbx)
    mov $1f, %r15
    movl $1000, INITIAL(%rbx)
1:  sti
    hlt
    cli
    SAY COUNT(%rbx)
    SAY INITIAL(%rbx)

    /* masked it runs down all the same, and tells nobody */
    movl $(MASKED | 0x50), LVT_TIMER(%rbx)
    movl $1000, INITIAL(%rbx)
1:  cmpl $0, COUNT(%rbx)
    jne 1b
    mov REQUESTED(%rbx), %eax
    out %eax, $PORT_VALUE

    /* again and again */
    movl $(PERIODIC | 0x51), LVT_TIMER(%rbx)
    movl $1000000, INITIAL(%rbx)
1:  sti
    hlt
    cli
    cmpl $3, ticks
    jb 1b
    movl $0, INITIAL(%rbx)
    sti
    nop
    cli
    mov ticks, %edx
    movl $0x50, LVT_TIMER(%rbx)      /* long enough that another tick would have come */
    mov $1f, %r15
    movl $3000000, INITIAL(%rbx)
1:  sti
    hlt
    cli
    sub ticks, %edx
    SAY %edx

    /* by the counter, where there is that */
    mov $1, %eax
    push %rbx
    cpuid
    pop %rbx
    bt $24, %ecx
    jnc 1f
    xor %ecx, %ecx
    movl $(DEADLINE | 0x50), LVT_TIMER(%rbx)
    movl $1000, INITIAL(%rbx)        /* counts for nothing now */
    SAY COUNT(%rbx)
    rdtsc
    add $100000, %eax
    adc $0, %edx
    mov $MSR_DEADLINE, %ecx
    mov $2f, %r15
    wrmsr
2:  sti
    hlt
    cli
    rdmsr
    or %edx, %eax
    out %eax, $PORT_VALUE
    wrmsr                            /* 0: none */
    movl $0x50, LVT_TIMER(%rbx)      /* another mode: the old one forgets */
    rdmsr
    or %edx, %eax
    out %eax, $PORT_VALUE
1:  SAY IN_SERVICE(%rbx)
    SAY REQUESTED(%rbx)
    END

    .p2align 3
ticks: .quad 0
