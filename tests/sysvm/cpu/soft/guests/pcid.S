/* Process-context identifiers: two address spaces whose user code lies at the same addresses, run by turns until it is
 * translated; then what has to forget a translation, of the space that is current and of the other. That something is
 * still remembered is never asked: a processor may forget. */
#include "guest.h"
#define TABLES_B 0x14000 /* PML4, PDPT, the first directory, PT of the window */
#define ENTRY_B(n) TABLES_B + 0x3000 + 8 * (n)
#define CR4_PGE 0x80
#define CR4_PCIDE 0x20000
#define KEEP 63

.macro CR4_SET bits
    mov %cr4, %rax
    or $(\bits), %rax
    mov %rax, %cr4
.endm
.macro CR4_CLEAR bits
    mov %cr4, %rax
    and $~(\bits), %rax
    mov %rax, %cr4
.endm

/* The user code of a space, and what it adds up; translations of the space are kept. */
.macro VISIT_A
    mov $(TABLES | 1), %eax
    bts $KEEP, %rax
    call visit
.endm
.macro VISIT_B
    mov $(TABLES_B | 2), %eax
    bts $KEEP, %rax
    call visit
.endm
.macro SAY_A
    xor %r13d, %r13d
    VISIT_A
    SAY %r13d
.endm
.macro SAY_B
    xor %r13d, %r13d
    VISIT_B
    SAY %r13d
.endm
.macro AGAIN what
    mov $60, %r12d
.Lagain\@:
    \what
    dec %r12d
    jnz .Lagain\@
.endm
.macro VISIT_BOTH
    VISIT_A
    VISIT_B
.endm

.macro MAP_A page, frame, flags=0
    movq $(PAGE(\frame) | P | W | U | \flags), ENTRY(\page)
.endm
.macro MAP_B page, frame, flags=0
    movq $(PAGE(\frame) | P | W | U | \flags), ENTRY_B(\page)
.endm
.macro FORGET type, pcid, address=0
    movq $(\pcid), descriptor
    movq $(\address), descriptor + 8
    mov $(\type), %eax
    invpcid descriptor, %rax
.endm
.macro TEMPLATE label, frame
    mov $\label, %esi
    mov $PAGE(\frame), %edi
    mov $0x80, %ecx
    rep movsb
.endm

    START
guest:
    mov $1, %eax
    xor %ecx, %ecx
    cpuid
    and $CR4_PCIDE, %ecx            /* the same bit */
    SAY %ecx

    cld
    TEMPLATE first_a, 20
    TEMPLATE second_a, 21
    TEMPLATE first_b, 24
    TEMPLATE second_b, 25
    .irp page, 20, 21, 30
    MAP_A \page, \page
    .endr
    mov $PT, %esi
    mov $(TABLES_B + 0x3000), %edi
    mov $0x1000, %ecx
    rep movsb
    mov $TABLES, %esi
    mov $TABLES_B, %edi
    mov $0x3000, %ecx
    rep movsb
    movq $(TABLES_B + 0x1000 + (P | W | U)), TABLES_B
    movq $(TABLES_B + 0x2000 + (P | W | U)), TABLES_B + 0x1000
    movq $(TABLES_B + 0x3000 + (P | W | U)), TABLES_B + 0x2008
    MAP_B 20, 24
    MAP_B 21, 25
    mov $TABLES, %eax
    mov %rax, %cr3

    /* what is refused without CR4.PCIDE, and on the way there */
    mov $TABLES, %eax
    bts $KEEP, %rax
    TRY mov %rax, %cr3
    movq $1, descriptor
    movq $0, descriptor + 8
    mov $1, %eax
    TRY invpcid descriptor, %rax
    mov $(TABLES | 0x18), %eax
    mov %rax, %cr3
    mov %cr4, %rax
    or $CR4_PCIDE, %eax
    TRY mov %rax, %cr4
    mov $TABLES, %eax
    mov %rax, %cr3
    CR4_SET CR4_PCIDE
    mov $TABLES, %eax
    bts $62, %rax
    TRY mov %rax, %cr3
    mov %cr0, %rax
    btr $31, %rax
    TRY mov %rax, %cr0

    /* bit 63 is an order, not a bit of CR3 */
    mov $(TABLES | 1), %eax
    bts $KEEP, %rax
    mov %rax, %cr3
    mov %cr3, %rax
    shr $63, %rax
    SAY %eax
    mov %cr3, %rax
    and $0xfff, %eax
    SAY %eax

    /* by turns */
    xor %r13d, %r13d
    AGAIN VISIT_BOTH
    SAY %r13d
    SAY_A
    SAY_B

    /* of the other space: an address, a context, all contexts */
    MAP_A 20, 24
    FORGET 0, 1, PAGE(20)
    SAY_A
    SAY_B
    MAP_A 20, 20
    FORGET 1, 1
    SAY_A
    SAY_B
    MAP_A 21, 25
    FORGET 3, 0
    SAY_A
    AGAIN VISIT_BOTH
    MAP_B 20, 20                    /* ... of the current one */
    VISIT_B
    FORGET 0, 2, PAGE(20)
    SAY_B
    MAP_B 20, 24
    FORGET 1, 2
    SAY_B

    /* CR3 loaded without the order, for the other space, then for the current one */
    MAP_A 21, 21
    mov $(TABLES | 1), %eax
    mov %rax, %cr3
    SAY_A
    MAP_A 20, 24
    mov $(TABLES | 1), %eax
    mov %rax, %cr3
    SAY_A
    SAY_B
    MAP_A 20, 20
    VISIT_B
    FORGET 2, 0
    SAY_A

    /* other tables under the same identifier */
    mov $(TABLES_B | 1), %eax
    mov %rax, %cr3
    call visit_here
    mov $(TABLES | 1), %eax
    mov %rax, %cr3
    SAY_A

    /* invlpg */
    AGAIN VISIT_BOTH
    VISIT_A
    MAP_A 21, 25
    invlpg PAGE(21) + 0x321
    SAY_A
    MAP_A 21, 21
    invlpg PAGE(21)
    SAY_A
    SAY_B

    /* global pages are of all identifiers */
    CR4_SET CR4_PGE
    MAP_A 20, 20, G
    MAP_B 20, 20, G
    FORGET 2, 0
    AGAIN VISIT_BOTH
    SAY_A
    SAY_B
    MAP_A 20, 24, G
    MAP_B 20, 24, G
    invlpg PAGE(20)
    SAY_A
    SAY_B
    AGAIN VISIT_BOTH
    MAP_A 20, 20
    MAP_B 20, 24
    CR4_CLEAR CR4_PGE
    SAY_A
    SAY_B

    /* more spaces than are kept */
    xor %r13d, %r13d
    mov $40, %r12d
1:  mov $(TABLES | 3), %ebx
    mov $(TABLES_B | 4), %r15d
2:  mov %rbx, %rax
    bts $KEEP, %rax
    call visit
    mov %r15, %rax
    bts $KEEP, %rax
    call visit
    add $2, %ebx
    add $2, %r15d
    cmp $(TABLES | 17), %ebx
    jb 2b
    mov $(TABLES | 20), %eax        /* an odd number: a place is taken by turns */
    bts $KEEP, %rax
    call visit
    dec %r12d
    jnz 1b
    SAY %r13d

    /* a large page: invlpg anywhere in it forgets the code of all of it */
    movq $(WINDOW | P | W | U | PS), TABLES + 0x2018 /* 600000 shows 200000 */
    mov $(TABLES | 1), %eax
    mov %rax, %cr3
    xor %ebp, %ebp
    mov $60, %r12d
3:  mov $0x600000 + 0x14000, %eax
    call *%rax
    dec %r12d
    jnz 3b
    SAY %edx
    movq $(0x400000 | P | W | U | PS), TABLES + 0x2018
    movb $0xc3, 0x400000 + 0x14000
    invlpg 0x6ff000
    mov $7, %edx
    mov $0x600000 + 0x14000, %eax
    call *%rax
    SAY %edx

    /* what invpcid refuses */
    movq $0x1000, descriptor
    mov $1, %eax
    TRY invpcid descriptor, %rax
    movq $1, descriptor
    mov $4, %eax
    TRY invpcid descriptor, %rax
    movb $0x80, descriptor + 14
    xor %eax, %eax
    TRY invpcid descriptor, %rax
    mov $1, %eax
    TRY invpcid descriptor, %rax     /* no address is asked for */

    /* identifiers off: all is forgotten, and 0 is the only one */
    VISIT_A
    MAP_A 20, 24
    CR4_CLEAR CR4_PCIDE
    mov %cr3, %rax
    and $0xfff, %eax
    SAY %eax
    call visit_here
    MAP_A 20, 20
    mov $TABLES, %eax
    mov %rax, %cr3
    call visit_here
    END

/* With a value for CR3 in rax. */
visit:
    mov %rax, %cr3
    mov $(PAGE(21) + 0x40), %ebp
    mov %rsp, kernel_stack
    pushq $USER_DATA
    pushq $(PAGE(30) + 0xff0)
    pushq $2
    pushq $USER_CODE
    pushq $PAGE(20)
    iretq
visit_here:
    xor %r13d, %r13d
    mov %cr3, %rax
    call visit
    SAY %r13d
    ret

    .p2align 4
descriptor: .quad 0, 0

/* The first page's code calls into the second, then jumps there; edx is for the call from the kernel. */
    .macro FIRST n
    mov $\n, %ecx
    cmp $(PAGE(21) + 0x40), %ebp
    jne 1f
    call *%rbp
    .byte 0xe9
    .long 0x1000 - (. + 4 - 9b)
1:  mov $\n, %edx
    ret
    .endm
first_a:
9:  FIRST 1
    .org first_a + 0x80
first_b:
9:  FIRST 2
    .org first_b + 0x80
second_a:
    add %ecx, %r13d
    xor %r14d, %r14d
    ud2
    .org second_a + 0x40
    add $0x10000, %r13d
    ret
    .org second_a + 0x80
second_b:
    lea (%r13,%rcx,2), %r13d
    xor %r14d, %r14d
    ud2
    .org second_b + 0x40
    add $0x20000, %r13d
    ret
    .org second_b + 0x80
