/* Out of 64-bit mode and back, as kernels' trampolines go: compatibility mode, protected mode without paging, 32-bit
 * paging with pages of 4 MiB, PAE, 16-bit protected mode, real mode with an interrupt, and into long mode again.
 * Begins in flat 32-bit protected mode. Ports as in guest.h. */
#define VALUE  0x80
#define END    0xf4
#define STACK  0x80000
#define PD32   0x20000 /* page directory, and a table for 400000 .. 7fffff */
#define PT32   0x21000
#define PAE    0x22000 /* pointers, and behind them a directory */
#define PML4   0x24000 /* with a table of pointers and a directory */
#define REAL   0x30000 /* where the real-mode part is copied */

#define CODE32 0x08
#define DATA   0x10
#define CODE64 0x18
#define CODE16 0x20
#define DATA16 0x28
#define SMALL  0x30 /* data of 4 KiB at 50000 */
#define DOWN   0x38 /* data that expands down to 50fff, 32 bits */
#define READ_ONLY 0x40
#define EXECUTE_ONLY 0x48

.macro SAY value
    mov \value, %eax
    out %eax, $VALUE
.endm
.macro TRY instruction:vararg
    movl $.Ltry\@, resume
    \instruction
.Ltry\@:
.endm
.macro GATE32 vector
    mov $handler\vector, %eax
    mov %ax, idt + 8 * \vector
    movw $CODE32, idt + 8 * \vector + 2
    movw $0x8e00, idt + 8 * \vector + 4
    shr $16, %eax
    mov %ax, idt + 8 * \vector + 6
.endm

    .text
    .code32
    .globl _start
_start:
    mov $STACK, %esp
    lgdt gdtr
    ljmp $CODE32, $1f
1:  mov $DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    GATE32 0
    GATE32 6
    GATE32 10
    GATE32 11
    GATE32 12
    GATE32 13
    GATE32 14
    lidt idtr32

    /* ---- segments ---- */
    mov $SMALL, %eax
    mov %eax, %fs
    TRY movl $1, %fs:0xffc
    TRY movl $1, %fs:0xffd           /* 13 */
    TRY movb $1, %fs:0x1000          /* 13 */
    TRY movl $1, %fs:-2              /* 13: no wrap within the segment */
    mov $DOWN, %eax
    mov %eax, %fs
    TRY movl $1, %fs:0xffc           /* 13: below */
    TRY mov %fs:0xfff, %al           /* 13 */
    TRY mov %fs:0x1000, %eax
    mov $READ_ONLY, %eax
    mov %eax, %fs
    TRY mov %fs:0, %ecx
    TRY mov %ecx, %fs:0              /* 13 */
    mov $EXECUTE_ONLY, %eax
    TRY mov %eax, %fs                /* 13, the selector */
    TRY mov %eax, %cs:0              /* 13: code is never written */
    xor %eax, %eax
    mov %eax, %fs
    TRY mov %fs:0, %eax              /* 13: null */
    TRY mov %eax, %ss                /* 13 */
    mov $READ_ONLY, %eax
    TRY mov %eax, %ss                /* 13 */
    mov $SMALL, %eax                 /* beyond the stack's limit: 12; the handler still has room */
    mov %eax, %ss
    mov $0x800, %esp
    TRY mov 0x7fd(%esp), %eax
    mov $DATA, %eax
    mov %eax, %ss
    mov $STACK, %esp

    /* lar, lsl, verr, verw */
    mov $SMALL, %ecx
    lar %ecx, %eax
    out %eax, $VALUE
    lsl %ecx, %eax
    out %eax, $VALUE
    mov $DATA, %ecx
    lsl %ecx, %eax
    out %eax, $VALUE
    mov $EXECUTE_ONLY, %ecx
    verr %cx
    setz %al
    out %eax, $VALUE
    mov $READ_ONLY, %ecx
    verw %cx
    setz %bl
    verr %cx
    setz %bh
    movzx %bx, %eax
    out %eax, $VALUE
    mov $0x1000, %ecx
    xor %eax, %eax
    lar %ecx, %eax                   /* beyond the limit: no fault, ZF clear */
    setz %al
    out %eax, $VALUE

    /* ---- 32-bit paging ---- */
    mov $PD32, %edi
    xor %eax, %eax
    mov $0x2000, %ecx
    cld
    rep stosl
    movl $0x83, PD32                 /* 0 .. 3fffff as one page */
    movl $(PT32 | 3), PD32 + 4
    movl $(0x50000 | 3), PT32        /* 400000 shows 50000 */
    movl $(0x50000 | 1), PT32 + 4
    movl $0x12345678, 0x50000
    mov $PD32, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x10, %eax                   /* PSE */
    mov %eax, %cr4
    mov %cr0, %eax
    or $0x80010000, %eax             /* PG, WP */
    mov %eax, %cr0
    SAY 0x400000
    TRY movl $1, 0x401000            /* 14, error 3 */
    TRY mov 0x402000, %eax           /* 14, 0 */
    TRY movl $2, 0x400004
    SAY PT32
    movl $0x00200083, PD32 + 8
    TRY mov 0x800000, %eax           /* 14, 9: bit 21 */
    mov PD32, %eax
    out %eax, $VALUE
    mov %cr0, %eax
    and $0x7fffffff, %eax
    mov %eax, %cr0

    /* ---- PAE ---- */
    movl $(PAE + 0x1001), PAE
    movl $0x83, PAE + 0x1000
    movl $0x200083, PAE + 0x1008
    movl $0x83, PAE + 0x1010         /* 400000 shows 0 */
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    movl $(PAE + 0x1003), PAE        /* a reserved bit of a pointer: found when CR3, then CR0, is loaded */
    mov $PAE, %eax
    TRY mov %eax, %cr3
    mov %cr0, %eax
    or $0x80000000, %eax
    TRY mov %eax, %cr0               /* 13 */
    movl $(PAE + 0x1001), PAE
    mov %eax, %cr0
    SAY 0x450000
    TRY mov 0x40000000, %eax         /* 14, 0: no pointer */
    TRY mov 0x600000, %eax           /* 14, 0: no directory entry */
    SAY PAE + 0x1010
    mov %cr0, %eax
    and $0x7fffffff, %eax
    mov %eax, %cr0

    /* ---- long mode: compatibility, 64 bits, and back ---- */
    movl $(PML4 + 0x1003), PML4
    movl $(PML4 + 0x2003), PML4 + 0x1000
    movl $0x83, PML4 + 0x2000
    mov $PML4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    rdmsr                            /* LMA is set; this is compatibility mode */
    out %eax, $VALUE
    mov $-1, %ecx
    inc %ecx                         /* 32 bits wide: wraps */
    SAY %ecx
    ljmp $CODE64, $3f
    .code64
3:  mov $-1, %ecx
    mov $0x100000000, %rax
    lea 1(%rcx,%rax), %rbx
    shr $32, %rbx
    SAY %ebx
    pushq $CODE32
    pushq $4f
    lretq
    .code32
4:  mov %cs, %eax
    out %eax, $VALUE
    push $0x1234
    SAY (%esp)
    mov %cr0, %eax
    and $0x7fffffff, %eax
    mov %eax, %cr0
    mov $0xc0000080, %ecx
    rdmsr
    out %eax, $VALUE                 /* LMA is clear */
    and $~0x100, %eax
    wrmsr

    /* ---- real mode ---- */
    mov $real_begin, %esi
    mov $REAL, %edi
    mov $real_end - real_begin, %ecx
    rep movsb
    ljmp $CODE16, $(in16 - real_begin)

    .code16
real_begin:
in16:
    mov $DATA16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $0xffff, %ecx
    inc %cx
    mov %cx, %ax
    outl %eax, $VALUE
    mov $0x12340000, %ecx
    mov $0x5678ffff, %eax
    tzcnt %cx, %ax                   /* its operands have 16 bits without a prefix that says so */
    outl %eax, $VALUE
    lidtl %cs:(idtr16 - real_begin)
    mov %cr0, %eax
    and $~1, %eax
    mov %eax, %cr0
    ljmp $(REAL >> 4), $(in_real - real_begin)
in_real:
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x7000, %sp
    movw $(on_int - real_begin), 0x21 * 4
    movw $(REAL >> 4), 0x21 * 4 + 2
    movw $(on_ud - real_begin), 6 * 4
    movw $(REAL >> 4), 6 * 4 + 2
    movw $(on_gp - real_begin), 13 * 4
    movw $(REAL >> 4), 13 * 4 + 2
    mov $0x4321, %eax
    pushw $0x0202
    popfw
    int $0x21
    outl %eax, $VALUE
    ud2
    movl $0x1ffff, %ebx
    mov (%ebx), %al                  /* 13: beyond 64 KiB */
    lcall $(REAL >> 4), $(far_one - real_begin)
    mov %sp, %ax
    outl %eax, $VALUE
    smsw %ax
    and $1, %eax
    outl %eax, $VALUE
    cli
    lgdtl %cs:(gdtr_real - real_begin)
    mov %cr0, %eax
    or $1, %eax
    mov %eax, %cr0
    ljmpl $CODE32, $back32
far_one:
    mov %cs, %ax
    outl %eax, $VALUE
    lret
on_int:
    pushf
    pop %bx
    and $0x200, %bx
    movzx %bx, %eax
    outl %eax, $VALUE
    mov %sp, %bx
    mov %ss:4(%bx), %ax
    outl %eax, $VALUE
    mov $0x5678, %eax
    iretw
on_ud:
    mov $6, %eax
    outl %eax, $VALUE
    mov %sp, %bp
    addw $2, (%bp)
    iretw
on_gp:
    mov $13, %eax
    outl %eax, $VALUE
    mov %sp, %bp
    addw $3, (%bp)
    iretw
    .p2align 2
idtr16:
    .word 0x3ff
    .long 0
gdtr_real:
    .word gdt_end - gdt - 1
    .long gdt
real_end:

    .code32
back32:
    mov $DATA, %eax
    mov %eax, %ds
    mov %eax, %ss
    mov $STACK, %esp
    SAY $0x32
    out %eax, $END
    jmp .

.macro HANDLER vector, has_error
handler\vector:
    .if !\has_error
    push $0
    .endif
    push $\vector
    jmp report
.endm
    HANDLER 0, 0
    HANDLER 6, 0
    HANDLER 10, 1
    HANDLER 11, 1
    HANDLER 12, 1
    HANDLER 13, 1
    HANDLER 14, 1
report: /* vector, error, eip, cs, eflags */
    push %eax
    mov 4(%esp), %eax
    out %eax, $0x90
    mov 8(%esp), %eax
    out %eax, $0x91
    cmpl $14, 4(%esp)
    jne 1f
    mov %cr2, %eax
    out %eax, $0x92
1:  mov %cs:resume, %eax
    mov %eax, 12(%esp)
    pop %eax
    add $8, %esp
    iretl

    .p2align 3
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00af9b000000ffff
    .quad 0x00009b030000ffff
    .quad 0x000093000000ffff
    .quad 0x0040930500000fff
    .quad 0x0040970500000fff
    .quad 0x00cf91000000ffff
    .quad 0x00cf99000000ffff
gdt_end:
gdtr:
    .word gdt_end - gdt - 1
    .long gdt
idtr32:
    .word 8 * 32 - 1
    .long idt
    .p2align 3
resume: .long 0
    .p2align 3
idt: .fill 8 * 32, 1, 0
