/* Code that changes while it runs, by its own page, another mapping and another page table; instructions over the edge
 * of a page and of 15 bytes; accesses and strings that end in a page that is not there, or in a device. */
#include "guest.h"
#define ALIAS(n)  (0x600000 + 0x1000 * (n)) /* the window once more */
#define DEVICE    0x10000000

.macro RUN address:vararg
    mov $(\address), %ebx
    call *%rbx
    out %eax, $PORT_VALUE
.endm
/* mov $value, %eax; ret */
.macro PUT_FUNCTION page, value
    movb $0xb8, PAGE(\page)
    movl $\value, PAGE(\page) + 1
    movb $0xc3, PAGE(\page) + 5
.endm

    START
guest:
    movq $(WINDOW | P | W | PS), TABLES + 0x2018

    /* the instruction behind the one that writes it */
    movb $2, 1f + 1
1:  mov $1, %eax
    out %eax, $PORT_VALUE           /* 2 */

    /* a loop that writes into itself */
    mov $3, %ecx
2:  mov $0x10, %eax
    out %eax, $PORT_VALUE           /* 10 11 12 */
    incb 2b + 1
    dec %ecx
    jnz 2b

    /* a function near by, called again and again, that changes on the way and at last comes back elsewhere */
    xor %eax, %eax
    mov $200, %ecx
5:  call 6f
    dec %ecx
    jnz 5b
    ud2
6:  add $1, %eax
    cmp $100, %ecx
    jne 7f
    movb $2, 6b + 2
7:  cmp $1, %ecx
    jne 8f
    movq $9f, (%rsp)
8:  ret
9:  out %eax, $PORT_VALUE           /* 101 times 1, 99 times 2: 12b */

    /* a string that becomes the code behind it */
    mov $3f, %edi
    mov $4, %ecx
    mov $0x90, %eax
    rep stosb
3:  ud2
    ud2
    SAY $0x20

    /* a function that is written by another name, and then is another page */
    PUT_FUNCTION 1, 0x30
    PUT_FUNCTION 2, 0x33
    RUN PAGE(1)                    /* 30 */
    movb $0x31, PAGE(1) + 1
    RUN PAGE(1)                    /* 31 */
    movb $0x32, ALIAS(1) + 1
    RUN PAGE(1)                    /* 32 */
    RUN ALIAS(1)
    movq $(PAGE(2) | P | W), ENTRY(1)
    invlpg PAGE(1)
    RUN PAGE(1)                    /* 33 */
    RUN ALIAS(1)                   /* 32 */
    lock xaddl %ecx, ALIAS(2) + 1   /* by a locked instruction: ecx is 0 */
    mov $0x34, %ecx
    lock cmpxchgl %ecx, ALIAS(2) + 1 /* eax is 32: not equal */
    mov $0x33, %eax
    lock cmpxchgl %ecx, ALIAS(2) + 1
    RUN PAGE(1)                    /* 34 */

    /* an instruction on two pages, of which the second changes, becomes another, and goes */
    movw $0x40b8, PAGE(3) + 0xffe
    movl $0xc3000000, PAGE(4)
    movl $0xc3000002, PAGE(5)
    RUN (PAGE(3) + 0xffe)            /* 40 */
    movb $1, PAGE(4)
    RUN (PAGE(3) + 0xffe)            /* 140 */
    movq $(PAGE(5) | P | W), ENTRY(4)
    invlpg PAGE(4)
    RUN (PAGE(3) + 0xffe)            /* 240 */
    MAP 4, 0
    RESUME 4f
    RUN (PAGE(3) + 0xffe)            /* a fetch of the second page */
4:

    /* 15 bytes are an instruction, also in front of a page that is not there; 16 are none */
    mov $PAGE(6) + 0xff1, %edi
    mov $0x3e, %eax
    mov $13, %ecx
    rep stosb
    movw $0xe0eb, PAGE(6) + 0xffe   /* 13 prefixes and jmp .-0x1e */
    movb $0xc3, PAGE(6) + 0xfe0
    MAP 7, 0
    mov $0x50, %eax
    RUN (PAGE(6) + 0xff1)            /* 50 */
    .fill 14, 1, 0x66
    nop
    TRY .byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90 /* #GP */

    /* over the edge into a page that is not there: nothing is written, a string stops where it got to */
    movl $0x64636261, PAGE(8) + 0xffc
    MAP 9, 0
    TRY movl $-1, PAGE(8) + 0xffe   /* 2 */
    mov PAGE(8) + 0xffc, %eax
    out %eax, $PORT_VALUE
    TRY lock incl PAGE(8) + 0xfff
    mov $PAGE(8) + 0xffc, %esi
    mov $8, %ecx
    mov $PORT_VALUE, %edx
    TRY rep outsb                   /* 61 62 63 64 */
    SAY %ecx
    SAY %esi
    mov $PAGE(8) + 0xff8, %edi
    mov $PAGE(10), %esi
    mov $16, %ecx
    TRY rep movsb
    SAY %ecx
    SAY %edi
    SAY %esi

    /* and into a device */
    movq $(DEVICE | P | W), ENTRY(9)
    movw $0x1234, PAGE(8) + 0xfff
    movzbl PAGE(8) + 0xfff, %eax
    out %eax, $PORT_VALUE           /* 34 */
    mov $PAGE(8) + 0xffe, %edi
    mov $4, %ecx
    mov $0x70, %eax
    rep stosb                       /* two bytes each */
    SAY %ecx
    END
