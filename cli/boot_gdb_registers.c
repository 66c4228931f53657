/* cli/boot_gdb_registers.c: the registers of a processor as gdb numbers them, and the document that says so.
 *
 *   a row a kind of register (blocks) -> numbers in this order -> bytes in vm_cpu_state and vm_fp_state
 *
 * Source: gdb manual, "i386 Features"; Intel SDM volume 1, "FXSAVE Area". */
#include <string.h>
#include "cli/boot_gdb.h"

struct registers {
    struct vm_cpu_state cpu;
    struct vm_fp_state fp;
};

enum kind {
    GENERAL,
    RIP,
    RFLAGS,
    SELECTOR,
    X87,
    X87_STATE,
    XMM,
    MXCSR,
    YMM_HIGH,
    SEGMENT_BASE,
    KERNEL_GS,
    CONTROL
};

static const struct block {
    enum kind kind;
    unsigned n, n_bytes;
    const char *feature; /* NULL: of the block before */
    const char *type, *names;
} blocks[] = {
    {GENERAL, 16, 8, "org.gnu.gdb.i386.core", "int64",
     "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15"},
    {RIP, 1, 8, NULL, "code_ptr", "rip"},
    {RFLAGS, 1, 4, NULL, "i386_eflags", "eflags"},
    {SELECTOR, 6, 4, NULL, "int32", "cs ss ds es fs gs"},
    {X87, 8, 10, NULL, "i387_ext", "st0 st1 st2 st3 st4 st5 st6 st7"},
    {X87_STATE, 8, 4, NULL, "int32", "fctrl fstat ftag fiseg fioff foseg fooff fop"},
    {XMM, 16, 16, "org.gnu.gdb.i386.sse", "vec128",
     "xmm0 xmm1 xmm2 xmm3 xmm4 xmm5 xmm6 xmm7 xmm8 xmm9 xmm10 xmm11 xmm12 xmm13 xmm14 xmm15"},
    {MXCSR, 1, 4, NULL, "int32", "mxcsr"},
    {YMM_HIGH, 16, 16, "org.gnu.gdb.i386.avx", "uint128",
     "ymm0h ymm1h ymm2h ymm3h ymm4h ymm5h ymm6h ymm7h ymm8h ymm9h ymm10h ymm11h ymm12h ymm13h ymm14h ymm15h"},
    {SEGMENT_BASE, 2, 8, "org.gnu.gdb.i386.segments", "int64", "fs_base gs_base"},
    {KERNEL_GS, 1, 8, "org.atoll.x86.system", "int64", "k_gs_base"},
    {CONTROL, 6, 8, NULL, "int64", "cr0 cr2 cr3 cr4 cr8 efer"},
};
enum { N_BLOCKS = sizeof blocks / sizeof *blocks };

/* ---- where they are ---- */

static uint64_t *control(struct vm_cpu_state *s, unsigned i) {
    uint64_t *const all[] = {&s->cr0, &s->cr2, &s->cr3, &s->cr4, &s->cr8, &s->efer};
    return all[i];
}

/* Of registers that stand somewhere as gdb wants them; else NULL. */
static void *place_of(struct registers *r, enum kind kind, unsigned i) {
    static const uint8_t general[] = {VM_RAX, VM_RBX, VM_RCX, VM_RDX, VM_RSI, VM_RDI, VM_RBP, VM_RSP};
    enum { FXSAVE_MXCSR = 24, FXSAVE_ST = 32, FXSAVE_XMM = 160 };
    switch (kind) {
    case GENERAL: return r->cpu.gpr + (i < 8 ? general[i] : i);
    case RIP: return &r->cpu.rip;
    case X87: return r->fp.bytes + FXSAVE_ST + i * 16;
    case XMM: return r->fp.bytes + FXSAVE_XMM + i * 16;
    case MXCSR: return r->fp.bytes + FXSAVE_MXCSR;
    case YMM_HIGH: return r->fp.bytes + VM_FP_YMM_HIGH + i * 16;
    case SEGMENT_BASE: return &r->cpu.segments[i ? VM_GS : VM_FS].base;
    case KERNEL_GS: return &r->cpu.kernel_gs_base;
    case CONTROL: return control(&r->cpu, i);
    default: return NULL;
    }
}

static unsigned selector(const struct vm_cpu_state *s, unsigned i) {
    static const uint8_t order[] = {VM_CS, VM_SS, VM_DS, VM_ES, VM_FS, VM_GS};
    return s->segments[order[i]].selector;
}

/* ---- x87: the image has a bit a register, gdb wants two ---- */

enum { FCW = 0, FSW = 2, FTW = 4, FOP = 6, FIP = 8, FDP = 16 };
enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };

static uint16_t get16(const struct registers *r, unsigned at) {
    uint16_t value;
    memcpy(&value, r->fp.bytes + at, sizeof value);
    return value;
}

static unsigned tag_of(const struct registers *r, unsigned physical) {
    const uint8_t *st = r->fp.bytes + 32 + ((physical - (get16(r, FSW) >> 11)) & 7) * 16;
    uint64_t fraction;
    uint16_t exponent;
    memcpy(&fraction, st, sizeof fraction);
    memcpy(&exponent, st + 8, sizeof exponent);
    exponent &= 0x7FFF;
    if (!(r->fp.bytes[FTW] >> physical & 1)) return TAG_EMPTY;
    if (!exponent && !fraction) return TAG_ZERO;
    return exponent == 0x7FFF || !(fraction >> 63) ? TAG_SPECIAL : TAG_VALID;
}

static uint32_t get_x87_state(const struct registers *r, unsigned i) {
    uint32_t tags = 0;
    for (unsigned k = 0; k < 8; k++) tags |= tag_of(r, k) << 2 * k;
    const uint32_t values[] = {get16(r, FCW),
                               get16(r, FSW),
                               tags,
                               get16(r, FIP + 4),
                               get16(r, FIP) | (uint32_t)get16(r, FIP + 2) << 16,
                               get16(r, FDP + 4),
                               get16(r, FDP) | (uint32_t)get16(r, FDP + 2) << 16,
                               get16(r, FOP)};
    return values[i];
}

static void set_x87_state(struct registers *r, unsigned i, uint32_t value) {
    static const uint8_t places[] = {FCW, FSW, FTW, FIP + 4, FIP, FDP + 4, FDP, FOP};
    uint8_t used = 0;
    for (unsigned k = 0; k < 8; k++) used |= (uint8_t)(((value >> 2 * k & 3) != TAG_EMPTY) << k);
    if (places[i] == FTW)
        r->fp.bytes[FTW] = used;
    else
        memcpy(r->fp.bytes + places[i], &value, i == 4 || i == 6 ? 4 : 2);
}

/* ---- one by one ---- */

static void get(struct registers *r, const struct block *b, unsigned i, uint8_t *out) {
    uint32_t value = b->kind == RFLAGS      ? (uint32_t)r->cpu.rflags
                     : b->kind == SELECTOR  ? selector(&r->cpu, i)
                     : b->kind == X87_STATE ? get_x87_state(r, i)
                                            : 0;
    const void *place = place_of(r, b->kind, i);
    memcpy(out, place ? place : &value, b->n_bytes);
}

/* False: it can only be read, and has another value. */
static bool set(struct registers *r, const struct block *b, unsigned i, const uint8_t *bytes) {
    uint32_t value;
    void *place = place_of(r, b->kind, i);
    memcpy(&value, bytes, sizeof value);
    if (place)
        memcpy(place, bytes, b->n_bytes);
    else if (b->kind == RFLAGS)
        r->cpu.rflags = value;
    else if (b->kind == X87_STATE)
        set_x87_state(r, i, value);
    else
        return value == selector(&r->cpu, i);
    return true;
}

/* Loads what there is; false: an error is told. */
static bool load(struct boot_gdb *g, struct registers *r) {
    bool done = !vm_debug_get_state(g->debug, g->selected, &r->cpu) &&
                !vm_debug_get_fp(g->debug, g->selected, &r->fp);
    if (!done) boot_gdb_put_error(g, GDB_ERROR_PACKET);
    return done;
}

/* The parts that changed, so that a processor that refuses one keeps the other. */
static void store(struct boot_gdb *g, const struct registers *before, const struct registers *r) {
    int error = 0;
    if (memcmp(&before->cpu, &r->cpu, sizeof r->cpu))
        error = vm_debug_set_state(g->debug, g->selected, &r->cpu);
    if (!error && memcmp(&before->fp, &r->fp, sizeof r->fp))
        error = vm_debug_set_fp(g->debug, g->selected, &r->fp);
    if (error)
        boot_gdb_put_error(g, GDB_ERROR_PACKET);
    else
        bc_buf_text(&g->reply, "OK");
}

/* The block of register `number`, which becomes its place in it; NULL: there is none. */
static const struct block *find(uint64_t *number) {
    for (const struct block *b = blocks; b < blocks + N_BLOCKS; b++) {
        if (*number < b->n) return b;
        *number -= b->n;
    }
    return NULL;
}

/* ---- packets ---- */

enum { REGISTER_MAX = 16, ALL_MAX = 1024 };

void boot_gdb_get_registers(struct boot_gdb *g) {
    struct registers r;
    uint8_t bytes[REGISTER_MAX];
    if (!load(g, &r)) return;
    for (const struct block *b = blocks; b < blocks + N_BLOCKS; b++)
        for (unsigned i = 0; i < b->n; i++) {
            get(&r, b, i, bytes);
            gdb_put_hex(&g->reply, bytes, b->n_bytes);
        }
}

void boot_gdb_get_register(struct boot_gdb *g, uint64_t number) {
    struct registers r;
    uint8_t bytes[REGISTER_MAX];
    const struct block *b = find(&number);
    if (!b) {
        boot_gdb_put_error(g, GDB_ERROR_PACKET);
        return;
    }
    if (!load(g, &r)) return;
    get(&r, b, (unsigned)number, bytes);
    gdb_put_hex(&g->reply, bytes, b->n_bytes);
}

void boot_gdb_set_registers(struct boot_gdb *g, const char *digits) {
    struct registers before, r;
    uint8_t bytes[ALL_MAX];
    size_t n = 0, at = 0;
    bool valid = true;
    for (const struct block *b = blocks; b < blocks + N_BLOCKS; b++) n += (size_t)b->n * b->n_bytes;
    if (!gdb_take_bytes(digits, bytes, n)) {
        boot_gdb_put_error(g, GDB_ERROR_PACKET);
        return;
    }
    if (!load(g, &before)) return;
    r = before;
    for (const struct block *b = blocks; b < blocks + N_BLOCKS; b++)
        for (unsigned i = 0; i < b->n; i++, at += b->n_bytes) valid &= set(&r, b, i, bytes + at);
    if (valid)
        store(g, &before, &r);
    else
        boot_gdb_put_error(g, GDB_ERROR_PACKET);
}

void boot_gdb_set_register(struct boot_gdb *g, uint64_t number, const char *digits) {
    struct registers before, r;
    uint8_t bytes[REGISTER_MAX];
    const struct block *b = find(&number);
    if (!b || !gdb_take_bytes(digits, bytes, b->n_bytes)) {
        boot_gdb_put_error(g, GDB_ERROR_PACKET);
        return;
    }
    if (!load(g, &before)) return;
    r = before;
    if (set(&r, b, (unsigned)number, bytes))
        store(g, &before, &r);
    else
        boot_gdb_put_error(g, GDB_ERROR_PACKET);
}

/* ---- the document ---- */

static void put_flags(struct bc_buf *out) {
    static const struct {
        const char *name;
        unsigned bit;
    } flags[] = {{"CF", 0},  {"PF", 2},   {"AF", 4},   {"ZF", 6},  {"SF", 7},  {"TF", 8},
                 {"IF", 9},  {"DF", 10},  {"OF", 11},  {"NT", 14}, {"RF", 16}, {"VM", 17},
                 {"AC", 18}, {"VIF", 19}, {"VIP", 20}, {"ID", 21}};
    bc_buf_text(out, "<flags id=\"i386_eflags\" size=\"4\">");
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        bc_buf_text(out, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", flags[i].name, flags[i].bit,
                    flags[i].bit);
    bc_buf_text(out, "</flags>");
}

static void put_vectors(struct bc_buf *out) {
    static const struct {
        const char *id, *type;
        unsigned count;
    } vectors[] = {{"v4_float", "ieee_single", 4}, {"v2_double", "ieee_double", 2}, {"v16_int8", "int8", 16},
                   {"v8_int16", "int16", 8},       {"v4_int32", "int32", 4},        {"v2_int64", "int64", 2}};
    enum { N = sizeof vectors / sizeof *vectors };
    for (size_t i = 0; i < N; i++)
        bc_buf_text(out, "<vector id=\"%s\" type=\"%s\" count=\"%u\"/>", vectors[i].id, vectors[i].type,
                    vectors[i].count);
    bc_buf_text(out, "<union id=\"vec128\">");
    for (size_t i = 0; i < N; i++)
        bc_buf_text(out, "<field name=\"%s\" type=\"%s\"/>", vectors[i].id, vectors[i].id);
    bc_buf_text(out, "<field name=\"uint128\" type=\"uint128\"/></union>");
}

static void put_block(struct bc_buf *out, const struct block *b) {
    const char *name = b->names;
    for (unsigned i = 0; i < b->n; i++) {
        int n = (int)strcspn(name, " ");
        bc_buf_text(out, "<reg name=\"%.*s\" bitsize=\"%u\" type=\"%s\"/>", n, name, b->n_bytes * 8, b->type);
        name += n + 1;
    }
}

void boot_gdb_describe_registers(struct bc_buf *out) {
    bc_buf_text(out,
                "<?xml version=\"1.0\"?><target version=\"1.0\"><architecture>i386:x86-64</architecture>");
    for (const struct block *b = blocks; b < blocks + N_BLOCKS; b++) {
        if (b->feature)
            bc_buf_text(out, "%s<feature name=\"%s\">", b == blocks ? "" : "</feature>", b->feature);
        if (b->kind == GENERAL) put_flags(out);
        if (b->kind == XMM) put_vectors(out);
        put_block(out, b);
    }
    bc_buf_text(out, "</feature></target>");
}
