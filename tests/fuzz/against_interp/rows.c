/* tests/fuzz/against_interp/rows.c: single instructions: those with a signature in the opcode table are used as the
 * table says; constants, locals, addresses and what makes a NaN's bits known for them. */
#include "tests/fuzz/against_interp/generate.h"

/* ---- instructions ---- */

void gen_op(struct gen *g, enum bc_op op) {
    const struct bc_op_info *info = bc_op_infos + op;
    g->budget--;
    if (info->prefix) {
        bc_buf_u8(g->code, info->prefix);
        bc_buf_u32(g->code, info->code);
    } else {
        bc_buf_u8(g->code, (uint8_t)info->code);
    }
}

void gen_op_index(struct gen *g, enum bc_op op, uint32_t index) {
    gen_op(g, op);
    bc_buf_u32(g->code, index);
}

uint8_t gen_valtype(char type) {
    switch (type) {
    case 'i':
    case GEN_COUNTER32: return 0x7F;
    case 'I':
    case GEN_COUNTER64: return 0x7E;
    case 'f': return 0x7D;
    case 'F': return 0x7C;
    case 'v': return 0x7B;
    default: return 0x70;
    }
}

/* ---- constants ---- */

void gen_const(struct gen *g, char type, uint64_t bits) {
    switch (type) {
    case 'i':
        gen_op(g, BC_I32_CONST);
        bc_buf_s64(g->code, (int32_t)bits);
        break;
    case 'I':
        gen_op(g, BC_I64_CONST);
        bc_buf_s64(g->code, (int64_t)bits);
        break;
    case 'f':
        gen_op(g, BC_F32_CONST);
        bc_buf_fixed(g->code, bits, 4);
        break;
    case 'F':
        gen_op(g, BC_F64_CONST);
        bc_buf_fixed(g->code, bits, 8);
        break;
    case 'v':
        gen_op(g, BC_V128_CONST);
        bc_buf_fixed(g->code, bits, 8);
        bc_buf_fixed(g->code, bits * UINT64_C(0x9E3779B97F4A7C15), 8);
        break;
    default:
        gen_op(g, BC_REF_NULL);
        bc_buf_u8(g->code, 0x70);
        break;
    }
}

static uint64_t integer(struct gen *g) {
    static const uint64_t edges[] = {0,
                                     1,
                                     2,
                                     3,
                                     4,
                                     7,
                                     8,
                                     15,
                                     16,
                                     31,
                                     32,
                                     63,
                                     64,
                                     127,
                                     128,
                                     255,
                                     256,
                                     0x7FFF,
                                     0x8000,
                                     0xFFFF,
                                     0x10000,
                                     0x7FFFFFFF,
                                     0x80000000,
                                     0xFFFFFFFF,
                                     0x100000000,
                                     INT64_MAX,
                                     (uint64_t)INT64_MIN,
                                     0xAAAAAAAA55555555};
    uint64_t value = edges[gen_below(g, sizeof edges / sizeof *edges)];
    switch (gen_below(g, 6)) {
    case 0: return value;
    case 1: return ~value + 1;
    case 2: return ~value;
    case 3: return UINT64_C(1) << gen_below(g, 64);
    case 4: return gen_below(g, 100);
    default: return gen_bits(g) >> gen_below(g, 64);
    }
}

/* No NaN: its bits would have to be the canonical ones, and those are made often enough. */
static double number(struct gen *g) {
    static const double edges[] = {0.0,           -0.0,         1.0,  -1.0,  0.5,    1.5,
                                   2.5,           -2.5,         1e10, -1e10, 1e-310, 2147483648.0,
                                   -2147483649.0, 4294967296.0, 1e19, 3.4e38};
    switch (gen_below(g, 4)) {
    case 0: return edges[gen_below(g, sizeof edges / sizeof *edges)];
    case 1: return (double)(int32_t)gen_below(g, 200) - 100;
    case 2: return (double)(int32_t)gen_bits(g) / 1024;
    default: return gen_rarely(g, 8) ? __builtin_inf() : (double)gen_below(g, 1000) / 8;
    }
}

void gen_any_const(struct gen *g, char type) {
    uint64_t bits = integer(g);
    if (type == 'f') {
        float value = (float)number(g);
        uint32_t word;
        memcpy(&word, &value, 4);
        bits = word;
    } else if (type == 'F') {
        double value = number(g);
        memcpy(&bits, &value, 8);
    }
    gen_const(g, type, bits);
}

/* ---- locals, globals ---- */

uint32_t gen_new_local(struct gen *g, char type) {
    if (g->n_locals == GEN_MAX_LOCALS) return gen_local(g, type);
    g->locals[g->n_locals] = type;
    return g->n_locals++;
}

uint32_t gen_local(struct gen *g, char type) {
    uint32_t n = 0, found[GEN_MAX_LOCALS];
    for (uint32_t i = 0; i < g->n_locals; i++)
        if (g->locals[i] == type) found[n++] = i;
    if (n && (g->n_locals >= GEN_MAX_LOCALS - 16 || !gen_rarely(g, n + 1))) return found[gen_below(g, n)];
    FUZZ_CHECK(g->n_locals < GEN_MAX_LOCALS);
    g->locals[g->n_locals] = type;
    return g->n_locals++;
}

bool gen_get_counter(struct gen *g, char type) {
    char wanted = type == 'i' ? GEN_COUNTER32 : GEN_COUNTER64;
    for (uint32_t i = g->n_locals; i-- > 0;)
        if (g->locals[i] == wanted && !gen_rarely(g, 3)) {
            gen_op_index(g, BC_LOCAL_GET, i);
            return true;
        }
    return false;
}

bool gen_any_global(struct gen *g, char type, bool to_set, uint32_t *out) {
    uint32_t n = 0, found[16];
    for (uint32_t i = 0; i < g->n_globals; i++)
        if (g->globals[i].type == type && (g->globals[i].mutable || !to_set) &&
            (i != g->calls_left || !to_set))
            found[n++] = i;
    if (n) *out = found[gen_below(g, n)];
    return n;
}

char gen_any_type(struct gen *g) {
    uint32_t sum = 0;
    for (unsigned i = 0; i < 5; i++) sum += g->weights[i];
    uint32_t at = gen_below(g, sum);
    for (unsigned i = 0; i < 5; i++) {
        if (at < g->weights[i]) return "iIfFv"[i];
        at -= g->weights[i];
    }
    return 'i';
}

/* ---- NaNs ---- */

/* (x == x) ? x : NaN, and what is similar for vectors: lanes that are none become zero. */
void gen_settle_nan(struct gen *g, char type) {
    uint32_t temporary = gen_local(g, type);
    gen_op_index(g, BC_LOCAL_TEE, temporary);
    gen_const(g, type, type == 'f' ? 0x7FC00000 : UINT64_C(0x7FF8000000000000));
    gen_op_index(g, BC_LOCAL_GET, temporary);
    gen_op_index(g, BC_LOCAL_GET, temporary);
    gen_op(g, type == 'f' ? BC_F32_EQ : BC_F64_EQ);
    gen_op(g, BC_SELECT);
}

static void settle_lanes(struct gen *g, enum bc_op equal) {
    uint32_t temporary = gen_local(g, 'v');
    gen_op_index(g, BC_LOCAL_TEE, temporary);
    gen_op_index(g, BC_LOCAL_GET, temporary);
    gen_op_index(g, BC_LOCAL_GET, temporary);
    gen_op(g, equal);
    gen_op(g, BC_V128_AND);
    gen_op_index(g, BC_LOCAL_TEE, temporary); /* nobody finds the other one there */
}

/* Where an operand that is a float is seen as bits. */
static bool shows_bits(enum bc_op op, unsigned operand) {
    const struct bc_op_info *info = bc_op_infos + op;
    return info->access || strstr(info->text, "reinterpret") || strstr(info->text, "splat") ||
           strstr(info->text, "replace_lane") || (strstr(info->text, "copysign") && operand == 1);
}

static bool exact_lanes(const char *text) {
    static const char *const words[] = {"abs", "neg", "pmin", "pmax", "splat", "_lane", "convert"};
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(text, words[i])) return true;
    return false;
}

static void settle_result(struct gen *g, enum bc_op op) {
    const char *text = bc_op_infos[op].text;
    if (strncmp(text, "f32x4.", 6) && strncmp(text, "f64x2.", 6)) return;
    if (exact_lanes(text)) return;
    static const char *const compares[] = {".eq", ".ne", ".lt", ".gt", ".le", ".ge"};
    for (unsigned i = 0; i < 6; i++)
        if (!strcmp(text + 5, compares[i])) return;
    settle_lanes(g, text[1] == '3' ? BC_F32X4_EQ : BC_F64X2_EQ);
}

/* ---- addresses ---- */

static uint32_t log2_of(uint32_t n) { return n < 2 ? 0 : (uint32_t)__builtin_ctz(n); }

static bool is_atomic(enum bc_op op) { return bc_op_infos[op].prefix == 0xFE; }

void gen_memarg(struct gen *g, uint32_t align_log2, uint32_t memory, uint64_t offset) {
    bc_buf_u32(g->code, memory ? align_log2 | 64 : align_log2);
    if (memory) bc_buf_u32(g->code, memory);
    bc_buf_u64(g->code, offset);
}

/* Pushes an address that is usually in bounds with the offset returned. */
static uint64_t address(struct gen *g, uint32_t memory, uint32_t access, bool aligned) {
    static const uint64_t far[] = {0xFFFFFFFF, 0xFFFFFFF0, 0x80000000, 0x7FFFFFFF, 0x10000};
    const struct gen_memory *m = g->memories + memory;
    char type = m->is64 ? 'I' : 'i';
    uint64_t align = aligned ? ~(uint64_t)(access - 1) : ~UINT64_C(0), bytes = (uint64_t)m->pages << 16;
    uint64_t offset = gen_rarely(g, 2) ? gen_below(g, 300) & align : 0;
    switch (gen_below(g, 60)) {
    case 0: gen_value(g, type); return offset;
    case 1:
        gen_value(g, type);
        return m->is64 && gen_rarely(g, 2) ? far[gen_below(g, 5)] << 30 : far[gen_below(g, 5)];
    case 2:
    case 3: gen_const(g, type, bytes - access - gen_below(g, 3) + gen_below(g, 3)); return 0;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
    case 9:
    case 10:
    case 11: gen_const(g, type, gen_below(g, 1024) & align); return offset;
    default: break;
    }
    gen_value(g, type);
    static const uint16_t masks[] = {0xFF, 0xFFF, 0x7FFF, 0xFFE0, 0xF8};
    gen_const(g, type, masks[gen_below(g, 5)] & align);
    gen_op(g, m->is64 ? BC_I64_AND : BC_I32_AND);
    return offset;
}

void gen_small(struct gen *g, char type, uint32_t mask) { /* a value up to the mask, nearly always */
    gen_value(g, type);
    if (gen_rarely(g, 80)) return;
    gen_const(g, type, mask);
    gen_op(g, type == 'I' ? BC_I64_AND : BC_I32_AND);
}

/* ---- instructions of the table ---- */

static bool uses_memory(unsigned immediates) {
    switch (immediates) {
    case BC_IMM_MEMARG:
    case BC_IMM_MEMARG_LANE:
    case BC_IMM_MEMORY:
    case BC_IMM_DATA_MEMORY: return true;
    default: return false;
    }
}

static unsigned lanes_of(enum bc_op op) {
    const struct bc_op_info *info = bc_op_infos + op;
    if (info->access) return 16u / info->access;
    const char *x = strchr(info->text, 'x');
    return (unsigned)atoi(x + 1);
}

static void immediates(struct gen *g, enum bc_op op, uint32_t memory, uint64_t offset) {
    const struct bc_op_info *info = bc_op_infos + op;
    uint32_t align = log2_of(info->access);
    if (!is_atomic(op) && gen_rarely(g, 4)) align = gen_below(g, align + 1);
    switch (info->immediates) {
    case BC_IMM_MEMARG: gen_memarg(g, align, memory, offset); break;
    case BC_IMM_MEMARG_LANE:
        gen_memarg(g, align, memory, offset);
        bc_buf_u8(g->code, (uint8_t)gen_below(g, lanes_of(op)));
        break;
    case BC_IMM_LANE: bc_buf_u8(g->code, (uint8_t)gen_below(g, lanes_of(op))); break;
    case BC_IMM_SHUFFLE: {
        uint32_t way = gen_below(g, 6), step = gen_below(g, 32);
        for (unsigned i = 0; i < 16; i++) {
            uint32_t lane = way == 0   ? i + step
                            : way == 1 ? (i ^ step)
                            : way == 2 ? i / 4 * 8 + i
                                       : gen_below(g, 32);
            bc_buf_u8(g->code, lane & 31);
        }
        break;
    }
    case BC_IMM_MEMORY: bc_buf_u32(g->code, memory); break;
    case BC_IMM_DATA: bc_buf_u32(g->code, gen_below(g, g->n_datas)); break;
    case BC_IMM_ELEM: bc_buf_u32(g->code, gen_below(g, g->n_elems)); break;
    case BC_IMM_DATA_MEMORY:
        bc_buf_u32(g->code, gen_below(g, g->n_datas));
        bc_buf_u32(g->code, memory);
        break;
    case BC_IMM_FENCE: bc_buf_u8(g->code, 0); break;
    default: break;
    }
}

/* A float that a trapping conversion nearly always takes. */
static void in_range(struct gen *g, char type) {
    if (gen_rarely(g, 30)) return;
    gen_settle_nan(g, type);
    uint64_t low = type == 'f' ? 0 : UINT64_C(0x3FF0000000000000),
             high = type == 'f' ? 0x4EFFFFFF : UINT64_C(0x41DFFFFFFFC00000);
    gen_const(g, type, high);
    gen_op(g, type == 'f' ? BC_F32_MIN : BC_F64_MIN);
    gen_const(g, type, low);
    gen_op(g, type == 'f' ? BC_F32_MAX : BC_F64_MAX);
}

static bool divides(enum bc_op op) {
    return (op >= BC_I32_DIV_S && op <= BC_I32_REM_U) || (op >= BC_I64_DIV_S && op <= BC_I64_REM_U);
}
static bool truncates(enum bc_op op) { return strstr(bc_op_infos[op].text, ".trunc_f") != NULL; }

static void operand(struct gen *g, enum bc_op op, unsigned k, char type) {
    gen_value(g, type);
    if ((type == 'f' || type == 'F') && shows_bits(op, k)) gen_settle_nan(g, type);
    if (truncates(op) && (type == 'f' || type == 'F')) in_range(g, type);
    if (divides(op) && k == 1 && !gen_rarely(g, 20)) {
        gen_const(g, type, 1 + gen_below(g, 8));
        gen_op(g, type == 'i' ? BC_I32_OR : BC_I64_OR);
    }
}

/* Whether the module has what the instruction needs; picks the memory. */
static bool available(struct gen *g, enum bc_op op, char result, uint32_t *memory) {
    const struct bc_op_info *info = bc_op_infos + op;
    if (info->immediates == BC_IMM_DATA_MEMORY || info->immediates == BC_IMM_DATA)
        if (!g->n_datas) return false;
    if (info->immediates == BC_IMM_ELEM && !g->n_elems) return false;
    if (!uses_memory(info->immediates)) return true;
    if (!g->n_memories) return false;
    *memory = gen_rarely(g, 3) ? gen_below(g, g->n_memories) : 0;
    const char *results = strchr(info->signature, ':') + 1;
    return *results != 'a' || g->memories[*memory].is64 == (result == 'I');
}

/* An instruction by its row; its results stay on the stack. False: nothing was written. */
bool gen_row(struct gen *g, enum bc_op op, char result) {
    const struct bc_op_info *info = bc_op_infos + op;
    uint32_t memory = 0;
    uint64_t offset = 0;
    if (!available(g, op, result, &memory)) return false;
    bool bulk = op == BC_MEMORY_FILL || op == BC_MEMORY_INIT;
    char index = g->memories[memory].is64 ? 'I' : 'i';
    for (unsigned k = 0; info->signature[k] != ':'; k++) {
        char type = info->signature[k];
        if (op == BC_MEMORY_GROW)
            gen_small(g, index, 1);
        else if (bulk && k == 0)
            gen_small(g, index, 0xFFFF);
        else if (bulk)
            gen_small(g, type == 'a' ? index : type, op == BC_MEMORY_INIT ? 31 : 255);
        else if (type == 'a')
            offset = address(g, memory, info->access, is_atomic(op) && !gen_rarely(g, 40));
        else
            operand(g, op, k, type);
    }
    gen_op(g, op);
    immediates(g, op, memory, offset);
    settle_result(g, op);
    return true;
}

/* Rows that by_table can write, by their first result; '-' for none. */
const struct gen_rows *gen_rows(char result) {
    static struct gen_rows all[7];
    static bool made;
    for (unsigned op = 0; !made && op < BC_OP_COUNT; op++) {
        const struct bc_op_info *info = bc_op_infos + op;
        if (!info->signature) continue;
        const char *results = strchr(info->signature, ':') + 1;
        bool constant = info->immediates >= BC_IMM_V128 && info->immediates <= BC_IMM_F64;
        if (constant || strstr(info->text, "atomic.wait")) continue; /* a wait would be one */
        for (unsigned k = 0; k < 6; k++) {
            char letter = "iIfFv"[k];
            bool fits = *results == letter || (*results == 'a' && k < 2) || (!*results && k == 5);
            if (fits) all[k].ops[all[k].n++] = (uint16_t)op;
        }
    }
    made = true;
    const char *at = strchr("iIfFv-", result);
    return all + (at - "iIfFv-");
}

bool gen_value_by_row(struct gen *g, char type) {
    const struct gen_rows *rows = gen_rows(type);
    enum bc_op op = rows->ops[gen_below(g, rows->n)];
    if (is_atomic(op) && !gen_rarely(g, 2)) return false;
    if (!gen_row(g, op, type)) return false;
    const char *results = strchr(bc_op_infos[op].signature, ':') + 1;
    for (unsigned k = 1; results[0] && results[k]; k++)
        gen_op_index(g, BC_LOCAL_SET, gen_local(g, results[k]));
    return true;
}
