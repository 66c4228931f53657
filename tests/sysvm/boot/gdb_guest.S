/* tests/sysvm/boot/gdb_guest.S: a kernel for a debugger: everything stands where gdb_test.c expects it.
 * It counts, writes and reads a word, starts the second processor, and then does what the debugger writes into
 * `wish`. */
    .set START, 0x1000000
    .globl _start
    .text
_start:
    mov $0x1122334455667788, %rax
    mov $1, %ebx
    jmp steps

    .org 0x100, 0x90
steps:
    add $2, %rbx
    add $4, %rbx
    .org 0x110, 0x90
store:
    movl $7, word
behind_store:
    nop
load:
    mov word, %ecx
behind_load:
    nop

    .org 0x180, 0x90
start_second: /* a copy of its code at 0x8000, INIT, start-up */
    mov $second, %esi
    mov $0x8000, %edi
    mov $(second_end - second), %ecx
    rep movsb
    mov $0xFEE00000, %esi
    movl $0x1FF, 0xF0(%rsi)
    movl $0x01000000, 0x310(%rsi)
    movl $0x00004500, 0x300(%rsi)
    movl $0x01000000, 0x310(%rsi)
    movl $0x00004608, 0x300(%rsi)

    .org 0x200, 0x90
serve:
    incl ticks
    mov wish, %eax
    cmp $1, %eax
    je reset
    cmp $2, %eax
    je crash
    cmp $3, %eax
    je off
    cmp $4, %eax
    je wait
    cmp $5, %eax
    je own_int3
    pause                            /* where a host's processor waits for others, it may leave the guest here */
    jmp serve
reset:
    mov $0xCF9, %edx
    mov $6, %eax
    out %al, %dx
    jmp .
crash:
    lidt no_table
    ud2
off:
    mov $0x604, %edx
    mov $((5 << 10) | (1 << 13)), %eax
    out %ax, %dx
    jmp .
wait:
    cli
    hlt
    jmp wait
own_int3: /* a breakpoint of its own, with a handler that counts, and back to the loop */
    movl $0, wish
    mov %cs, %eax
    mov %ax, gate + 2
    lidt table
    mov $(START + 0xC00), %esp
    int3
behind_int3:
    jmp serve
int3_handler:
    incl taken
    iretq
no_table:
    .word 0
    .quad 0
table:
    .word 4 * 16 - 1
    .quad gate - 3 * 16
    .p2align 3
gate: /* of exception 3 */
    .word (START + int3_handler - _start) & 0xFFFF, 0, 0x8E00, START >> 16
    .quad 0

    .org 0x300, 0x90
second: /* real mode, 0x800:0 */
    .code16
    cli
    mov $5, %ax
1:  inc %ax
    pause
    jmp 1b
second_end:
    .code64

    .org 0x800, 0x90
word:
    .long 0
    .org 0x808, 0x90
wish:
    .long 0
ticks:
    .long 0
    .org 0x810, 0x90
taken:
    .long 0
    .org 0x1000, 0x90
