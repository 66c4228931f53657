/* Rights and faults of 4-level paging: error codes, CR2, A and D bits, WP, NX, SMEP, SMAP, reserved bits, large pages,
 * borders, invalidation. */
#include "guest.h"
    START
guest:
    /* supervisor: present, read-only with and without WP */
    MAP 1, P
    TRY mov PAGE(1), %eax
    SAY_ENTRY 1
    TRY movl $1, PAGE(1)            /* WP is off: written */
    SAY_ENTRY 1
    mov %cr0, %rax
    or $0x10000, %eax
    mov %rax, %cr0
    MAP 1, P
    TRY movl $1, PAGE(1) + 8        /* error 3 */
    SAY_ENTRY 1
    MAP 1, 0
    TRY mov PAGE(1) + 4, %eax       /* 0 */
    TRY movl $1, PAGE(1) + 4        /* 2 */
    TRY lock incl PAGE(1) + 4       /* 2: read-modify-write is a write */

    /* dirty only by the write */
    MAP 2, (P | W)
    TRY mov PAGE(2), %eax
    SAY_ENTRY 2
    TRY movl $2, PAGE(2)
    SAY_ENTRY 2

    /* a reserved bit: no entry of the first table is a page, on any processor */
    movq $(TABLES + 0x1000 + (P | W | PS)), TABLES + 8
    mov $0x8000003000, %rbx
    TRY mov (%rbx), %eax            /* 9 */
    TRY movl $0, (%rbx)             /* b */
    movq $0, TABLES + 8
    mov %cr3, %rax
    mov %rax, %cr3

    /* no execute: EFER.NXE off makes it reserved, on makes it a right */
    mov $(1 << 63), %rax
    or $(PAGE(4) | P | W), %rax
    mov %rax, ENTRY(4)
    movb $0xc3, PAGE(5)
    MAP 5, (P | W)
    TRY mov PAGE(4), %eax           /* 9 */
    mov $0xc0000080, %ecx
    rdmsr
    or $0x800, %eax
    wrmsr
    TRY mov PAGE(4), %eax
    mov $PAGE(4), %ebx
    RESUME 1f
    call *%rbx                      /* 11 */
1:  mov $STACK, %esp
    mov $PAGE(5), %ebx
    call *%rbx
    SAY $0x501

    /* users */
    MAP 0, (P | W | U)
    MAP 6, (P | W)
    MAP 7, (P | U)
    MAP 8, (P | W | U)
    MAP 9, 0
    USER user_accesses

    /* the supervisor and users' pages */
    movb $0xc3, PAGE(8)
    mov $PAGE(8), %ebx
    call *%rbx
    SAY $0x801
    mov $7, %eax
    xor %ecx, %ecx
    cpuid
    mov %ebx, %r15d
    mov $0x00100000, %eax           /* SMEP */
    mov %cr4, %rbx
    or %rax, %rbx
    mov %rbx, %cr4
    mov $PAGE(8), %ebx
    RESUME 2f
    call *%rbx                      /* 11 */
2:  mov $STACK, %esp
    mov $0x00200000, %eax           /* SMAP */
    mov %cr4, %rbx
    or %rax, %rbx
    mov %rbx, %cr4
    TRY mov PAGE(8), %eax           /* 1 */
    TRY movl $0, PAGE(8)            /* 3 */
    stac
    TRY mov PAGE(8), %eax
    TRY movl $0xc3, PAGE(8)
    clac
    TRY mov PAGE(8), %eax           /* 1 */
    pushfq
    orl $0x40000, (%rsp)
    popfq
    TRY mov PAGE(8), %eax
    clac
    mov %cr4, %rbx
    and $~0x300000, %ebx
    mov %rbx, %cr4
    TRY mov PAGE(8), %eax

    /* across pages: the second one's address is told, and nothing is written to the first */
    MAP 10, (P | W)
    movq $0, PAGE(10) + 0xff8
    MAP 11, P
    TRY movq $-1, PAGE(10) + 0xffc  /* 3 at the second page */
    mov PAGE(10) + 0xffc, %eax
    SAY %eax
    MAP 11, 0
    TRY mov PAGE(10) + 0xffd, %eax
    MAP 11, (P | W)
    mov $0x1122334455667788, %rax
    mov %rax, PAGE(10) + 0xffb
    mov PAGE(10) + 0xffb, %rbx
    shr $32, %rbx
    SAY %ebx
    mov PAGE(11), %eax
    and $0xff, %eax
    SAY %eax

    /* translations stay until they are invalidated; all tests of staleness go the sure way */
    MAP 12, (P | W)
    movl $12, PAGE(12)
    MAP 13, (P | W)
    movl $13, PAGE(13)
    movq $(PAGE(13) | P | W), ENTRY(12)
    invlpg PAGE(12)
    mov PAGE(12), %eax
    SAY %eax
    movq $(PAGE(12) | P | W), ENTRY(12)
    mov %cr3, %rax
    mov %rax, %cr3
    mov PAGE(12), %eax
    SAY %eax

    /* global pages: CR4.PGE off and on forgets them */
    mov %cr4, %rax
    or $0x80, %eax
    mov %rax, %cr4
    MAP 12, (P | W | G)
    mov PAGE(12), %eax
    SAY %eax
    movq $(PAGE(13) | P | W | G), ENTRY(12)
    mov %cr4, %rax
    and $~0x80, %eax
    mov %rax, %cr4
    mov PAGE(12), %eax
    SAY %eax
    movq $(PAGE(12) | P | W | G), ENTRY(12)
    invlpg PAGE(12) + 0x123
    mov PAGE(12), %eax
    SAY %eax

    /* a large page: A and D in the directory; invlpg anywhere within forgets all of it */
    movq $(WINDOW | P | W | PS), TABLES + 0x2018 /* 600000 shows 200000 */
    invlpg 0x600000
    mov 0x600000 + 0xc000, %eax     /* page 12 */
    SAY %eax
    mov TABLES + 0x2018, %eax
    and $0xfff, %eax
    SAY %eax
    movl $120, 0x600000 + 0xc000
    mov TABLES + 0x2018, %eax
    and $0xfff, %eax
    SAY %eax
    mov PAGE(12), %eax
    SAY %eax
    mov 0x600000 + 0xd000, %eax
    SAY %eax
    movq $0, TABLES + 0x2018
    invlpg 0x700000
    TRY mov 0x600000 + 0xd000, %eax /* 0 */
    movq $(0x202000 | P | W | PS), TABLES + 0x2018
    invlpg 0x600000
    TRY mov 0x600000, %eax          /* 9: address bits of a large page that have to be 0 */

    /* not present higher up */
    mov $0x8000000000, %rbx
    TRY mov (%rbx), %eax
    /* addresses that are none: #GP, of the stack #SS */
    mov $0x800000000000, %rbx
    TRY mov (%rbx), %eax
    mov %rbx, %rbp
    TRY mov (%rbp), %eax
    mov $0x7ffffffffffe, %rbx
    TRY mov (%rbx), %eax            /* begins well */
    mov $-2, %rbx
    TRY mov (%rbx), %ax
    END

user_accesses: /* runs as a copy in page 0, level 3: ports and the kernel's memory are out of reach */
    UTRY mov PAGE(8), %eax
    UTRY movl $8, PAGE(8)
    UTRY mov PAGE(6), %eax               /* 5 */
    UTRY movl $6, PAGE(6)                /* 7 */
    UTRY mov PAGE(7), %eax
    UTRY movl $7, PAGE(7)                /* 7 */
    UTRY mov PAGE(9), %eax               /* 4 */
    mov $PAGE(6), %ebx
    UTRY call *%rbx                      /* 15 */
    USER_END
