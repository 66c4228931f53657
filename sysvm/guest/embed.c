/* sysvm/guest/embed.c: init, as it was built, in the read-only data of this program. ATOLL_GUEST_INIT is its path. */
#include "sysvm/guest/internal.h"

__asm__(".pushsection .rodata\n"
        ".globl guest_init, guest_init_end\n"
        ".hidden guest_init, guest_init_end\n"
        ".balign 16\n"
        "guest_init: .incbin \"" ATOLL_GUEST_INIT "\"\n"
        "guest_init_end: .byte 0\n"
        ".popsection\n");
