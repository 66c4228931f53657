/* Several processors: locked instructions, locks made of them, the order of stores and loads, a page that is mapped
 * anew while others use it, code that one writes and others run. The first processor starts the others, hands out jobs
 * that all do at once, and tells what came of them. */
#include "guest.h"
#define APIC 0xfee00000
#define ROUNDS 1000
#define FEW 200
#define MEETINGS 50
#define START_AT 0x8000             /* of the others, in real mode */
#define STACKS 0x300000
#define LEVEL(n) (STACKS + 0x1000 * (n))

/* All do it, this one, too; it goes on when all have. */
.macro JOB label
    movl $0, done
    movq $\label, job
    incl n_jobs
    call \label
1:  pause
    mov others, %eax
    cmp done, %eax
    jne 1b
.endm
/* Waits until all have come here n times; the counter is theirs alone. */
.macro MEET counter
    lock incl \counter
    incl %r9d
    mov others, %eax
    inc %eax
    imul %r9d, %eax
.Lmeet\@:
    pause
    cmp %eax, \counter
    jb .Lmeet\@
.endm

    START
guest:
    /* vector 45: what others see at PAGE(2) is forgotten */
    GATE 0x45, forget, 0x8e00
    mov $APIC, %ebx
    movl $0x1ff, 0xf0(%rbx)

    mov $start16, %esi
    mov $START_AT, %edi
    mov $(start16_end - start16), %ecx
    rep movsb
    movl $0xc4500, 0x300(%rbx)       /* INIT, to all others */
    movl $0xc4608, 0x300(%rbx)       /* start at 8000 */
1:  pause
    cmpl $2, others
    jb 1b
    SAY others

    xor %r13d, %r13d                 /* its own number */
    JOB increments
    SAY counter
    JOB exchanges
    SAY counter
    JOB compares
    SAY counter
    JOB bits
    SAY counter
    JOB guarded
    SAY plain
    JOB wide
    SAY pair
    SAY pair + 8
    JOB across_pages
    mov PAGE(1) - 2, %eax
    out %eax, $PORT_VALUE
    JOB messages
    SAY wrong
    JOB crossing
    SAY wrong
    MAP 2, (P | W)
    movl $0x111, PAGE(2)
    movl $0x222, PAGE(3)
    JOB forgotten
    SAY seen
    JOB rewritten
    SAY seen
    END

/* ---- jobs; r13: who does it, rbx, rsp and r12 stay ---- */

increments:
    mov $ROUNDS, %ecx
1:  lock incl counter
    lock addl $2, counter
    lock decl counter
    dec %ecx
    jnz 1b
    ret

exchanges:
    mov $ROUNDS, %ecx
1:  mov $3, %eax
    lock xaddl %eax, counter
    mov $-1, %eax
    lock xaddl %eax, counter
    dec %ecx
    jnz 1b
    ret

compares:
    mov $ROUNDS, %ecx
1:  mov counter, %eax
2:  lea 5(%rax), %edx
    lock cmpxchgl %edx, counter
    jne 2b
    dec %ecx
    jnz 1b
    ret

bits:                                /* a bit as a lock */
    mov $FEW, %ecx
1:  lock btsl $7, lock_word
    jnc 2f
    pause
    jmp 1b
2:  mov counter, %eax
    inc %eax
    mov %eax, counter
    lock btrl $7, lock_word
    dec %ecx
    jnz 1b
    ret

guarded:                             /* by an exchange, given back by a store */
    mov $FEW, %ecx
1:  mov $1, %eax
    xchg %eax, lock_word
    test %eax, %eax
    jz 2f
    pause
    jmp 1b
2:  mov plain, %rax
    lea 1(%rax), %rax
    mov %rax, plain
    movl $0, lock_word
    dec %ecx
    jnz 1b
    ret

wide:
    push %rbx
    mov $FEW, %esi
1:  mov pair, %rax
    mov pair + 8, %rdx
2:  mov %rax, %rbx
    mov %rdx, %rcx
    add $1, %rbx
    add $2, %rcx
    lock cmpxchg16b pair
    jne 2b
    dec %esi
    jnz 1b
    pop %rbx
    ret

across_pages:
    mov $FEW, %ecx
1:  lock incl PAGE(1) - 2
    dec %ecx
    jnz 1b
    ret

messages:                            /* who sees the flag sees the data */
    cmp $1, %r13d
    ja 9f
    je 5f
1:  mov flag, %eax
    mov data, %edx
    cmp %eax, %edx
    jae 2f
    incl wrong
2:  cmp $(8 * ROUNDS), %eax
    jne 1b
    ret
5:  xor %ecx, %ecx
6:  inc %ecx
    mov %ecx, data
    mov %ecx, flag
    cmp $(8 * ROUNDS), %ecx
    jne 6b
9:  ret

crossing:                            /* of two that store and then look, one sees the other */
    xor %r9d, %r9d
    mov $MEETINGS, %esi
    lea left(,%r13,4), %rdi
    mov %r13d, %ecx
    xor $1, %ecx
1:  MEET together
    cmp $1, %r13d
    ja 2f
    movl $1, (%rdi)
    mfence
    mov left(,%rcx,4), %eax
    mov %eax, results(,%r13,4)
2:  MEET together
    test %r13d, %r13d
    jnz 3f
    mov results, %eax
    or results + 4, %eax
    jnz 4f
    incl wrong
4:  movq $0, left
3:  dec %esi
    jnz 1b
    ret

forgotten:
    xor %r9d, %r9d
    test %r13d, %r13d
    jz 3f
    mov PAGE(2), %eax
    MEET meetings
    sti
1:  mov PAGE(2), %eax
    pause
    cmpl $0, go
    je 1b
    cli
    mov PAGE(2), %eax
    lock addl %eax, seen
    ret
3:  MEET meetings
    movq $(PAGE(3) | P | W), ENTRY(2)
    invlpg PAGE(2)
    movl $0xc4045, 0x300(%rbx)       /* to all others */
1:  pause
    mov acknowledged, %eax
    cmp others, %eax
    jne 1b
    movl $1, go
    ret

forget:
    invlpg PAGE(2)
    lock incl acknowledged
    movl $0, 0xb0(%rbx)
    iretq

rewritten:                           /* mov $n, %eax; ret, with another n each time; run often enough to be hot */
    xor %r9d, %r9d
    mov $20, %esi
    movb $0xb8, PAGE(5)
    movb $0xc3, PAGE(5) + 5
1:  MEET rewrites
    test %r13d, %r13d
    jnz 2f
    mov %esi, PAGE(5) + 1
2:  MEET rewrites
    test %r13d, %r13d
    jz 4f
    push %rbx
    xor %eax, %eax
    cpuid                            /* serializes */
    pop %rbx
    mov $60, %edi
3:  mov $PAGE(5), %edx
    call *%rdx
    cmp %esi, %eax
    jne 5f
    dec %edi
    jnz 3b
    lock incl seen
4:  dec %esi
    jnz 1b
    ret
5:  lock addl $0x10000, seen
    jmp 4b

/* ---- the others ---- */

    .code16
start16:
    cli
    mov %cs, %ax
    mov %ax, %ds
    lgdtl gdtr16 - start16
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov $TABLES, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000001, %eax
    mov %eax, %cr0
    ljmpl $KERNEL_CODE, $start64
    .p2align 2
gdtr16:
    .word gdt_end - gdt - 1
    .long gdt
start16_end:
    .code64
start64:
    mov $KERNEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    lidt idtr
    mov $APIC, %ebx
    movl $0x1ff, 0xf0(%rbx)
    mov $1, %r13d
    lock xaddl %r13d, others
    inc %r13d
    mov %r13d, %eax
    shl $12, %eax
    lea LEVEL(1)(%rax), %esp
    xor %r12d, %r12d
1:  pause
    cmp n_jobs, %r12d
    je 1b
    inc %r12d
    mov job, %rax
    call *%rax
    lock incl done
    jmp 1b

    .p2align 6
others:       .long 0
n_jobs:       .long 0
job:          .quad 0
done:         .long 0
counter:      .long 0
lock_word:    .long 0
wrong:        .long 0
plain:        .quad 0
    .p2align 4
pair:         .quad 0, 0
data:         .long 0
    .p2align 6
flag:         .long 0
left:         .long 0, 0
results:      .long 0, 0
together:     .long 0
meetings:     .long 0
rewrites:     .long 0
acknowledged: .long 0
go:           .long 0
seen:         .long 0
