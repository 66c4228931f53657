/* tests/sysvm/cpu/soft/native_case.h: one instruction with all that it works on, run on this machine's processor and on
 * the software CPU.
 *
 *   code   one page: the instruction, every other byte int3
 *   data   two pages to write, one to read, none before or behind
 * Both stand at the same addresses here and in the guest; both processors run the same state in user mode, in a code
 * segment of 64 or of 32 bits. */
#ifndef ATOLL_TESTS_NATIVE_CASE_H
#define ATOLL_TESTS_NATIVE_CASE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    CASE_CODE = 0x40000000, /* below 2 GiB: 32-bit addresses reach all of it */
    CASE_DATA = 0x50000000,
    CASE_PAGE = 4096,
    CASE_WRITABLE = 2 * CASE_PAGE,
    CASE_DATA_BYTES = 3 * CASE_PAGE,
    CASE_RIP = CASE_CODE + 2048,
    CASE_FP_BYTES = 832, /* XSAVE, standard format: x87, SSE, AVX */
    CASE_YMM_HIGH = 576
};
enum { CASE_RAN = 0xFF }; /* in `vector`: no exception */

struct case_state {
    uint64_t gpr[16], rip, rflags;
    unsigned bits; /* of the code: 64 or 32 */
    _Alignas(64) uint8_t fp[CASE_FP_BYTES];
    uint8_t data[CASE_DATA_BYTES];
    uint8_t vector; /* how it ended */
    uint32_t error_code;
    uint64_t cr2;
};

/* ---- this machine (native_run.c) ---- */

/* Maps code and data, takes the signals; once, in a process that does nothing else. False: the addresses are taken. */
bool native_begin(void);
/* Runs bytes[0 .. n) from *in; *out: the state behind it. */
void native_run(const uint8_t *bytes, unsigned n, const struct case_state *in, struct case_state *out);

/* ---- the software CPU (soft_run.c) ---- */

struct soft_guest;
struct soft_guest *soft_guest_new(void); /* NULL: no memory */
/* False: the instruction does not come to an end. */
bool soft_guest_run(struct soft_guest *guest, bool translated, const uint8_t *bytes, unsigned n,
                    const struct case_state *in, struct case_state *out);

/* Of 64 bits, as it is at first, or of 32: what runs from here on. */
void soft_guest_set_width(struct soft_guest *guest, unsigned bits);

/* Instructions in a row, until one raises an exception, as the int3 behind them does. is_cold: no translation of an
 * address is known at first. False: they do not come to an end. */
bool soft_guest_run_block(struct soft_guest *guest, bool translated, bool is_cold, const uint8_t *bytes,
                          unsigned n, const struct case_state *in, struct case_state *out);

/* ---- cases (case_make.c) ---- */

struct case_random {
    uint64_t state;
};
uint64_t case_random(struct case_random *r);

/* An encoding to be tried with any registers, addresses and immediates. */
struct case_form {
    uint16_t mnemonic;
    uint8_t prefix, map, opcode, reg; /* reg: of ModRM where it selects the operation, else 8 */
    uint8_t modrm;                    /* the whole ModRM where it selects the operation, else 0 */
    bool vex, w, l, is_memory;
    uint8_t bits; /* of the code: 64 or 32 */
};
/* All encodings of user-mode instructions that have a row in code of `bits`; *out_n of them, to be freed. */
struct case_form *case_forms(unsigned bits, unsigned *out_n);
/* A case of the form: its bytes (at most 15), its state; the length, or 0: try again. */
unsigned case_make(struct case_random *r, const struct case_form *form, uint8_t bytes[15],
                   struct case_state *out);
/* Makes an instruction of 64-bit code one of 32-bit code, more or less the same. */
void case_drop_rex(uint8_t *bytes, unsigned n);
/* What processors may do each in their own way. */
struct case_traits {
    uint32_t undefined_flags;
    bool by_parts; /* several accesses to memory, in any order; a fault may leave a part done */
    bool
        is_repeated; /* a fault may come in the midst: of flags, and of counts of 32 bits, what was done is its own */
    bool may_fault; /* also where its mask lets no access through */
    bool
        by_stages; /* an exception keeps flags of later stages from showing, or comes behind those of earlier ones */
};
struct case_traits case_traits(unsigned bits, const uint8_t *bytes, unsigned n);

#endif
