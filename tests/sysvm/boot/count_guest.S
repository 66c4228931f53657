/* tests/sysvm/boot/count_guest.S: a kernel that tells by the serial port what time it is, and whatever else could
 * differ from run to run: the time stamp counter, ACPI's timer, the clock of day, random numbers, where an interrupt
 * comes. */
    .globl _start
    .text

.macro SAY what
    mov \what, %rdi
    call say
.endm

.macro NOW
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
.endm

_start:
    mov $stack, %rsp
    cli
    lgdt gdtr
    push $8
    push $1f
    lretq
1:  mov $0x10, %eax
    mov %eax, %ss
    NOW
    SAY %rax
    mov $0x608, %edx                 /* ACPI's timer */
    in %dx, %eax
    SAY %rax
    mov $9, %al                      /* the year, the second */
    call clock
    mov $0, %al
    call clock
    rdrand %rax
    SAY %rax
    rdrand %rax
    SAY %rax

    /* the APIC's timer, periodic: where each of ten interrupts finds a loop, by its count */
    mov $tick, %rax
    mov $(idt + 16 * 0x40), %edi
    mov %ax, (%rdi)
    movw $8, 2(%rdi)
    movw $0x8e00, 4(%rdi)
    shr $16, %rax
    mov %ax, 6(%rdi)
    lidt idtr
    mov $0xfee00000, %ebx
    movl $0x1ff, 0xf0(%rbx)
    movl $0xb, 0x3e0(%rbx)           /* divided by 1 */
    movl $0x20040, 0x320(%rbx)
    movl $10007, 0x380(%rbx)
    xor %ebp, %ebp
    sti
1:  inc %ebp
    cmpl $10, ticks
    jb 1b

    /* four seconds asleep */
    movl $0x40, 0x320(%rbx)
    movl $0xb, 0x3e0(%rbx)
    NOW
    mov %rax, %rbp
    movl $0xffffffff, 0x380(%rbx)
1:  cli
    cmpl $11, ticks
    jae 2f
    sti
    hlt
    jmp 1b
2:  NOW
    sub %rbp, %rax
    SAY %rax
    mov $0x608, %edx
    in %dx, %eax
    SAY %rax
    mov $0x604, %edx
    mov $((5 << 10) | (1 << 13)), %eax
    out %ax, %dx
    jmp .

tick:
    incl ticks
    push %rax
    push %rdi
    push %rcx
    push %rdx
    SAY %rbp
    pop %rdx
    pop %rcx
    pop %rdi
    pop %rax
    movl $0, 0xb0(%rbx)
    iretq

clock:
    out %al, $0x70
    in $0x71, %al
    movzbl %al, %eax
    SAY %rax
    ret

/* rdi in hexadecimal, and a line's end */
say:
    mov $16, %ecx
1:  rol $4, %rdi
    mov %edi, %eax
    and $15, %eax
    movzbl digits(%rax), %eax
    mov $0x3f8, %edx
    out %al, %dx
    dec %ecx
    jnz 1b
    mov $10, %al
    out %al, %dx
    ret

digits:
    .ascii "0123456789abcdef"
    .p2align 3
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdtr:
    .word 23
    .quad gdt
idtr:
    .word 16 * 256 - 1
    .quad idt
ticks:
    .long 0
    .p2align 4
idt:
    .fill 16 * 256, 1, 0
    .fill 4096, 1, 0
stack:
