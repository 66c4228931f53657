/* Alignment checks: of users' accesses, with CR0.AM and RFLAGS.AC, in front of what paging says. */
#include "guest.h"
#define AM 0x40000
#define AC 0x40000

.macro SET_AC
    pushfq
    orl $AC, (%rsp)
    popfq
.endm

    START
guest:
    MAP 0, (P | W | U)
    MAP 1, (P | W | U)
    MAP 2, 0
    mov %cr4, %rax
    or $0x600, %eax                  /* vectors */
    mov %rax, %cr4
    USER user_code                   /* CR0.AM is clear: nothing */
    SAY $0x100
    mov %cr0, %rax
    or $AM, %eax
    mov %rax, %cr0
    USER user_code
    SAY $0x200
    SET_AC                           /* level 0 is not checked */
    TRY mov PAGE(1) + 1, %eax
    TRY lock incl PAGE(1) + 1
    END

user_code:
    mov $PAGE(1), %ebx
    UTRY mov 1(%rbx), %eax           /* RFLAGS.AC is clear */
    fninit
    SET_AC
    UTRY mov 1(%rbx), %al
    UTRY mov 4(%rbx), %eax
    UTRY mov 1(%rbx), %ax
    UTRY mov 2(%rbx), %eax
    UTRY mov 4(%rbx), %rax
    UTRY mov %eax, 1(%rbx)
    UTRY lock incl 2(%rbx)
    UTRY xchg %eax, 3(%rbx)
    UTRY lock cmpxchg8b 4(%rbx)
    UTRY movups 1(%rbx), %xmm0       /* those of 16 bytes have their own rules */
    UTRY movaps 8(%rbx), %xmm0
    UTRY movq 4(%rbx), %xmm0
    UTRY movss 2(%rbx), %xmm0
    UTRY fldt 8(%rbx)
    UTRY fldt 4(%rbx)
    UTRY fnstcw 1(%rbx)
    mov %rsp, %rbp
    sub $4, %rsp
    UTRY push %rbx
    mov %rbp, %rsp
    mov $PAGE(1) + 1, %esi
    UTRY lodsw
    lea 8(%rbx), %edi
    mov $20, %ecx
    mov $PAGE(1) + 1, %esi
    UTRY rep movsb
    mov $PAGE(1) + 5, %edi
    mov $20, %ecx
    UTRY rep stosw
    mov $PAGE(2), %ebx
    UTRY mov (%rbx), %eax            /* no page */
    UTRY mov 1(%rbx), %eax           /* nor aligned */
    UTRY mov -2(%rbx), %eax          /* across its edge */
    UTRY mov PAGE(3) + 1, %eax       /* the supervisor's */
    andl $0, PAGE(1)
    USER_END
