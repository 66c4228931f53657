/* tests/fuzz/translate/guest.h: a guest of a few pages on one processor of the software CPU, made from an input,
 * and run twice from there: interpreted, one instruction at a time, and translated.
 *
 *   input   struct guest_header, then code from header.start on; behind it int3, whose handler halts
 *   code    four pages at CASE_CODE, not in order in physical memory; of 64 bits, or of 32 (enum guest_width)
 *   data    at CASE_DATA: pages as `enum guest_page` says, of which some are others by another address; all once more
 *           GUEST_FAR behind, where they have the same places in the TLB
 *   tables  GDT, IDT, TSS; handlers that go on `header.step` bytes behind what raised, and one for syscall */
#ifndef ATOLL_TESTS_FUZZ_TRANSLATE_GUEST_H
#define ATOLL_TESTS_FUZZ_TRANSLATE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum guest_page { /* by address from CASE_DATA on */
                  GUEST_DATA = 0,
                  GUEST_DATA_1,
                  GUEST_READ_ONLY,
                  GUEST_HOLE,
                  GUEST_DATA_AGAIN, /* page 0 */
                  GUEST_CODE_AGAIN, /* the first page of code, to be written */
                  GUEST_CLEAN,      /* neither accessed nor dirty yet */
                  GUEST_DEVICE,     /* no RAM */
                  GUEST_KERNEL,     /* the supervisor's, and the swapped base of GS */
                  GUEST_STACK,      /* of the handlers */
                  GUEST_TABLES,
                  GUEST_GATES,
                  GUEST_HANDLERS,
                  GUEST_PAGES
};

enum guest_mode {
    GUEST_IN_KERNEL = 1,
    GUEST_DELIVERS = 2, /* exceptions go to handlers; else one ends the run */
    GUEST_WRITABLE = 4, /* code, at its own address */
    GUEST_WARM = 8,     /* the TLB has the data when it starts */
    GUEST_UNITS_OFF = 16,
    GUEST_SMAP = 32,
    GUEST_POLLS = 64,    /* a request waits all the time: translated code leaves wherever it may */
    GUEST_LUKEWARM = 128 /* now and then an instruction is interpreted in between */
};

/* In the upper bits of `step`. */
enum guest_width {
    GUEST_32 = 128,     /* 32-bit code, under a 64-bit kernel or in protected mode */
    GUEST_AT_END = 64,  /* then: at the end of the 4 GiB, and from 0 on */
    GUEST_NOT_FLAT = 32 /* then: a segment that is not what most have */
};

enum { GUEST_FAR = 1 << 25 };
enum { GUEST_CODE_PAGES = 4, GUEST_CODE_MAX = 0x2000, GUEST_REGISTER_NIBBLES = 16 };

/* As bytes: the input has no alignment. */
struct guest_header {
    uint8_t mode, flags /* arithmetic; bit 1: DF, bit 3: AC */, step /* of 4 bits, and the width */, seed[2];
    uint8_t start[2];         /* where the code stands in its pages */
    uint8_t registers[16][2]; /* upper 4 bits: of which kind; the others: where in a page, or a number */
};

/* False: too short an input. Everything starts anew: memory, registers, translations. */
bool guest_load(const uint8_t *data, size_t size);
/* Both runs, compared as far as a run depends on nothing but the input. False: they differ; if `print`, how. */
bool guest_agrees(bool print);
/* What the last runs were like: instructions interpreted; whether they were compared to the end. */
unsigned guest_instructions(void);
bool guest_compared(void);
/* The code as it was loaded, as text. */
void guest_print(void);

#endif
