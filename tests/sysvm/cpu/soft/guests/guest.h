/* tests/sysvm/cpu/soft/guests/guest.h: what the guests of 64-bit mode begin with. They tell what happens by ports:
 *
 *   80 a value   90 an exception's vector   91 its error code   92 CR2 of a page fault   f4 the end
 *
 * START sets up descriptors, a TSS, an IDT, and page table PT for 200000 .. 3fffff: entry n is page n there, supervisor
 * and writable until the guest says otherwise. Exceptions are told, and go on where RESUME has said. */

#define TABLES   0x9000  /* as vm_state_long leaves them: PML4, PDPT, four directories */
#define PT       0x10000
#define STACK    0x80000
#define STACK0   0x84000 /* of level 0, from level 3 */
#define STACK2   0x88000 /* IST 1 */
#define WINDOW   0x200000
#define ENTRY(n) PT + 8 * (n)
#define PAGE(n)  (WINDOW + 0x1000 * (n))

#define P   1
#define W   2
#define U   4
#define A   0x20
#define D   0x40
#define PS  0x80
#define G   0x100

#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_CODE32 0x1b
#define USER_DATA   0x23
#define USER_CODE   0x2b
#define KERNEL_CODE32 0x30
#define TSS_SELECTOR  0x38
#define ABSENT        0x48 /* data, not present */
#define BOTH_WIDTHS   0x50 /* code with L and D */
#define CONFORMING    0x58

#define PORT_VALUE 0x80
#define PORT_VECTOR 0x90
#define PORT_ERROR 0x91
#define PORT_CR2 0x92
#define PORT_END 0xf4

.macro SAY value
    mov \value, %eax
    out %eax, $PORT_VALUE
.endm

/* The same at level 3. */
.macro UTRY instruction:vararg
    lea .Lutry\@(%rip), %r14
    \instruction
.Lutry\@:
.endm

/* Where the next exception goes on. */
.macro RESUME label
    movq $\label, resume
.endm

/* One instruction, which may fault. */
.macro TRY instruction:vararg
    movq $.Ltry\@, resume
    \instruction
.Ltry\@:
.endm

.macro MAP page, flags
    movq $(PAGE(\page) | (\flags)), ENTRY(\page)
    invlpg PAGE(\page)
.endm

/* The low bits of an entry, A and D among them. */
.macro SAY_ENTRY page
    mov ENTRY(\page), %eax
    and $0xfff, %eax
    out %eax, $PORT_VALUE
.endm

.macro END
    out %eax, $PORT_END
    jmp .
.endm

/* Runs the code at `label` (copied into page 0 of the window, mapped for users) at level 3; it comes
 * back by an invalid opcode without a place to go on. */
.macro USER label
    mov $\label, %rsi
    call run_user
.endm
.macro USER_END
    xor %r14d, %r14d
    ud2
.endm

.macro GATE vector, handler, type
    mov $\handler, %rax
    mov $(idt + 16 * \vector), %edi
    mov %ax, (%rdi)
    movw $KERNEL_CODE, 2(%rdi)
    movw $\type, 4(%rdi)
    shr $16, %rax
    mov %ax, 6(%rdi)
    movq $0, 8(%rdi)
.endm

.macro START
    .text
    .globl _start
_start:
    mov $STACK, %esp
    lgdt gdtr
    push $KERNEL_CODE
    push $1f
    lretq
1:  mov $KERNEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    .set vector, 0
    .rept 32
    GATE vector, (stubs + 16 * vector), 0x8e00
    .set vector, vector + 1
    .endr
    lidt idtr
    /* the TSS: its base into the descriptor, stacks into it */
    mov $tss, %eax
    mov %ax, gdt + TSS_SELECTOR + 2
    shr $16, %eax
    mov %al, gdt + TSS_SELECTOR + 4
    movq $STACK0, tss + 4
    movq $STACK2, tss + 0x24
    movw $0x68, tss + 0x66
    mov $TSS_SELECTOR, %eax
    ltr %ax
    /* the window: its directory entry is page table PT, user rights all the way down to it */
    mov $PT, %edi
    mov $(WINDOW | P | W), %rax
    mov $512, %ecx
1:  mov %rax, (%rdi)
    add $0x1000, %rax
    add $8, %rdi
    dec %ecx
    jnz 1b
    orq $U, TABLES
    orq $U, TABLES + 0x1000
    movq $(PT | P | W | U), TABLES + 0x2008
    mov %cr3, %rax
    mov %rax, %cr3
    jmp guest

    .p2align 4
stubs:
    .set vector, 0
    .rept 32
    .p2align 4
    .if vector != 8 && (vector < 10 || vector > 14) && vector != 17
    push $0
    .endif
    push $vector
    jmp report
    .set vector, vector + 1
    .endr

/* vector, error, rip, cs, rflags, rsp, ss */
report:
    testb $3, 24(%rsp)
    jz 1f
    test %r14, %r14
    jz back
1:  push %rax
    mov 8(%rsp), %eax
    out %eax, $PORT_VECTOR
    mov 16(%rsp), %eax
    out %eax, $PORT_ERROR
    cmpb $14, 8(%rsp)
    jne 1f
    mov %cr2, %rax
    out %eax, $PORT_CR2
1:  mov resume, %rax
    testb $3, 32(%rsp)
    jz 1f
    mov %r14, %rax
1:  test %rax, %rax
    jnz 2f
    out %eax, $PORT_END
2:  mov %rax, 24(%rsp)
    movq $0, resume
    pop %rax
    add $16, %rsp
    iretq

run_user:
    mov $PAGE(0), %edi
    mov $0x800, %ecx
    cld
    rep movsb
    mov %rsp, kernel_stack
    pushq $USER_DATA
    pushq $(PAGE(0) + 0x1000)
    pushq $2
    pushq $USER_CODE
    pushq $PAGE(0)
    iretq
back:
    mov kernel_stack, %rsp
    mov $KERNEL_DATA, %eax
    mov %eax, %ss
    ret

    .p2align 4
gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* kernel code */
    .quad 0x00cf93000000ffff /* kernel data */
    .quad 0x00cffb000000ffff /* user code, 32 bits */
    .quad 0x00cff3000000ffff /* user data */
    .quad 0x00affb000000ffff /* user code */
    .quad 0x00cf9b000000ffff /* kernel code, 32 bits */
    .quad 0x0000890000000067 /* TSS, low half */
    .quad 0
    .quad 0x00cf13000000ffff /* not present */
    .quad 0x00ef9b000000ffff /* L and D */
    .quad 0x00af9f000000ffff /* conforming */
gdt_end:
gdtr:
    .word gdt_end - gdt - 1
    .quad gdt
idtr:
    .word 16 * 256 - 1
    .quad idt
    .p2align 3
resume: .quad 0
kernel_stack: .quad 0
tss: .fill 0x68, 1, 0
    .p2align 4
idt: .fill 16 * 256, 1, 0
    .p2align 4
.endm
