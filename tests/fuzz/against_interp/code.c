/* tests/fuzz/against_interp/code.c: bodies of functions. Instructions with a signature in the opcode table are used
 * as the table says; those without have a function here. */
#include "tests/fuzz/against_interp/generate.h"

#define MAX_DEPTH 9
#define COUNTER32 'x' /* a local of a loop's own: others read it only */
#define COUNTER64 'y'

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
    case COUNTER32: return 0x7F;
    case 'I':
    case COUNTER64: return 0x7E;
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

static bool get_counter(struct gen *g, char type) {
    char wanted = type == 'i' ? COUNTER32 : COUNTER64;
    for (uint32_t i = g->n_locals; i-- > 0;)
        if (g->locals[i] == wanted && !gen_rarely(g, 3)) {
            gen_op_index(g, BC_LOCAL_GET, i);
            return true;
        }
    return false;
}

static bool any_global(struct gen *g, char type, bool to_set, uint32_t *out) {
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

static void small(struct gen *g, char type, uint32_t mask) { /* a value up to the mask, nearly always */
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
static bool by_table(struct gen *g, enum bc_op op, char result) {
    const struct bc_op_info *info = bc_op_infos + op;
    uint32_t memory = 0;
    uint64_t offset = 0;
    if (!available(g, op, result, &memory)) return false;
    bool bulk = op == BC_MEMORY_FILL || op == BC_MEMORY_INIT;
    char index = g->memories[memory].is64 ? 'I' : 'i';
    for (unsigned k = 0; info->signature[k] != ':'; k++) {
        char type = info->signature[k];
        if (op == BC_MEMORY_GROW)
            small(g, index, 1);
        else if (bulk && k == 0)
            small(g, index, 0xFFFF);
        else if (bulk)
            small(g, type == 'a' ? index : type, op == BC_MEMORY_INIT ? 31 : 255);
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
struct rows {
    uint16_t ops[BC_OP_COUNT];
    uint32_t n;
};
static const struct rows *rows_of(char result) {
    static struct rows all[7];
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

static bool value_by_table(struct gen *g, char type) {
    const struct rows *rows = rows_of(type);
    enum bc_op op = rows->ops[gen_below(g, rows->n)];
    if (is_atomic(op) && !gen_rarely(g, 6)) return false;
    if (!by_table(g, op, type)) return false;
    const char *results = strchr(bc_op_infos[op].signature, ':') + 1;
    for (unsigned k = 1; results[0] && results[k]; k++)
        gen_op_index(g, BC_LOCAL_SET, gen_local(g, results[k]));
    return true;
}

/* ---- blocks ---- */

static uint32_t type_with(const struct gen *g, const char *params, const char *results) {
    for (uint32_t i = 0; i < g->n_types; i++)
        if (!strcmp(g->types[i].params, params) && !strcmp(g->types[i].results, results)) return i;
    return BC_NONE;
}

void gen_open(struct gen *g, enum bc_op op, const char *types, bool open) {
    gen_op(g, op);
    if (!types[0])
        bc_buf_u8(g->code, 0x40);
    else if (!types[1])
        bc_buf_u8(g->code, gen_valtype(types[0]));
    else
        bc_buf_s64(g->code, type_with(g, "", types));
    FUZZ_CHECK(g->n_labels < 64);
    g->labels[g->n_labels++] = (struct gen_label){op == BC_LOOP ? "" : types, open};
}

void gen_close(struct gen *g) {
    gen_op(g, BC_END);
    g->n_labels--;
}

static const char *letters(char type) {
    static const char strings[][2] = {"i", "I", "f", "F", "v", "c"};
    return strings[strchr("iIfFvc", type) - "iIfFvc"];
}

/* An enclosing label that branches may go to, as a depth; BC_NONE: none. `types`: NULL = any. */
static uint32_t some_label(struct gen *g, const char *types) {
    uint32_t n = 0, found[64];
    for (uint32_t i = 0; i < g->n_labels; i++)
        if (g->labels[i].open && (!types || !strcmp(types, g->labels[i].types)))
            found[n++] = g->n_labels - 1 - i;
    return n ? found[gen_below(g, n)] : BC_NONE;
}

static void branch_if(struct gen *g) {
    uint32_t depth = some_label(g, NULL);
    if (depth == BC_NONE) return;
    const char *types = g->labels[g->n_labels - 1 - depth].types;
    gen_values(g, types);
    gen_value(g, 'i');
    gen_op_index(g, BC_BR_IF, depth);
    for (const char *t = types; *t; t++) gen_op(g, BC_DROP);
}

static void branch_table(struct gen *g) {
    gen_open(g, BC_BLOCK, "", true);
    uint32_t n = gen_below(g, 8);
    gen_value(g, 'i');
    if (!gen_rarely(g, 3)) {
        gen_const(g, 'i', 7);
        gen_op(g, BC_I32_AND);
    }
    gen_op_index(g, BC_BR_TABLE, n);
    for (uint32_t i = 0; i <= n; i++) bc_buf_u32(g->code, some_label(g, ""));
    gen_close(g);
}

static void block_value(struct gen *g, char type) {
    const char *types = letters(type);
    switch (gen_below(g, 3)) {
    case 0:
        gen_value(g, 'i');
        gen_open(g, BC_IF, types, true);
        gen_statements(g, gen_below(g, 2));
        gen_value(g, type);
        gen_op(g, BC_ELSE);
        gen_statements(g, gen_below(g, 2));
        gen_value(g, type);
        break;
    case 1:
        gen_open(g, BC_BLOCK, types, true);
        gen_statements(g, gen_below(g, 3));
        gen_value(g, type);
        break;
    default: gen_open(g, BC_LOOP, types, false); gen_value(g, type);
    }
    gen_close(g);
}

/* A block with parameters: they are on the stack when it begins. */
static void block_with_parameters(struct gen *g) {
    uint32_t index = gen_below(g, g->n_types);
    const struct gen_type *type = g->types + index;
    if (strchr(type->params, 'c') || strchr(type->results, 'c')) return;
    gen_values(g, type->params);
    bool loop = gen_rarely(g, 3);
    gen_op(g, loop ? BC_LOOP : BC_BLOCK);
    bc_buf_s64(g->code, index);
    FUZZ_CHECK(g->n_labels < 64);
    g->labels[g->n_labels++] = (struct gen_label){type->results, !loop};
    for (size_t k = strlen(type->params); k-- > 0;)
        gen_op_index(g, BC_LOCAL_SET, gen_local(g, type->params[k]));
    gen_statements(g, gen_below(g, 3));
    gen_values(g, type->results);
    gen_close(g);
    for (size_t k = strlen(type->results); k-- > 0;)
        gen_op_index(g, BC_LOCAL_SET, gen_local(g, type->results[k]));
}

static void condition(struct gen *g) {
    gen_value(g, 'i');
    gen_open(g, BC_IF, "", true);
    gen_statements(g, 1 + gen_below(g, 3));
    if (gen_rarely(g, 2)) {
        gen_op(g, BC_ELSE);
        gen_statements(g, 1 + gen_below(g, 3));
    }
    gen_close(g);
}

static void count_down(struct gen *g, uint32_t counter) {
    gen_op_index(g, BC_LOCAL_GET, counter);
    gen_const(g, 'i', 1);
    gen_op(g, BC_I32_SUB);
}

/* A counter ends the loop, at its head (then any branch may go back) or at its end, as compilers do. */
static void loop(struct gen *g) {
    if (g->loops >= 3 || g->n_locals > GEN_MAX_LOCALS - 20) return;
    static const uint8_t rounds[] = {7, 3, 2};
    uint32_t counter = gen_new_local(g, COUNTER32);
    gen_const(g, 'i', 1 + gen_below(g, rounds[g->loops]));
    gen_op_index(g, BC_LOCAL_SET, counter);
    g->loops++;
    if (gen_rarely(g, 2)) {
        gen_open(g, BC_BLOCK, "", true);
        gen_open(g, BC_LOOP, "", true);
        gen_op_index(g, BC_LOCAL_GET, counter);
        gen_op(g, BC_I32_EQZ);
        gen_op_index(g, BC_BR_IF, 1);
        count_down(g, counter);
        gen_op_index(g, BC_LOCAL_SET, counter);
        gen_statements(g, 1 + gen_below(g, 4));
        gen_op_index(g, BC_BR, 0);
        gen_close(g);
    } else {
        gen_open(g, BC_LOOP, "", false);
        gen_statements(g, 1 + gen_below(g, 4));
        count_down(g, counter);
        gen_op_index(g, BC_LOCAL_TEE, counter);
        gen_op_index(g, BC_BR_IF, 0);
    }
    gen_close(g);
    g->loops--;
}

/* ---- exceptions ---- */

static void try_block(struct gen *g) {
    uint32_t tag = gen_below(g, g->n_tags);
    const char *types = g->types[g->tags[tag]].params;
    gen_open(g, BC_BLOCK, types, true);
    gen_op(g, BC_TRY_TABLE);
    bc_buf_u8(g->code, 0x40);
    bc_buf_u32(g->code, 1);
    bool all = !types[0] && gen_rarely(g, 2);
    bc_buf_u8(g->code, all ? 2 : 0);
    if (!all) bc_buf_u32(g->code, tag);
    bc_buf_u32(g->code, 0);
    g->labels[g->n_labels++] = (struct gen_label){"", true};
    gen_statements(g, 1 + gen_below(g, 3));
    gen_close(g);
    gen_values(g, types);
    gen_close(g);
    for (const char *t = types; *t; t++) gen_op(g, BC_DROP);
}

static void throw_sometimes(struct gen *g) {
    uint32_t tag = gen_below(g, g->n_tags);
    gen_value(g, 'i');
    gen_const(g, 'i', 31);
    gen_op(g, BC_I32_AND);
    gen_op(g, BC_I32_EQZ);
    gen_open(g, BC_IF, "", true);
    gen_values(g, g->types[g->tags[tag]].params);
    gen_op_index(g, BC_THROW, tag);
    gen_close(g);
}

/* ---- calls ---- */

/* Calls lead to functions behind this one, unless this one counts: every cycle has one that does. */
static bool may_call(const struct gen *g, uint32_t func) {
    return func < g->n_imports || func > g->func || g->guarded[g->func];
}

static uint32_t some_func(struct gen *g, char result, const char *results) {
    uint32_t n = 0, found[GEN_MAX_FUNCS];
    for (uint32_t i = 0; i < g->n_funcs; i++) {
        const char *its = g->types[g->funcs[i]].results;
        if (may_call(g, i) && (!result || strchr(its, result)) && (!results || !strcmp(its, results)))
            found[n++] = i;
    }
    return n ? found[gen_below(g, n)] : BC_NONE;
}

static void select_of_type(struct gen *g, uint32_t type) {
    gen_op(g, BC_SELECT_T);
    bc_buf_u32(g->code, 1);
    bc_buf_u8(g->code, 0x64);
    bc_buf_s64(g->code, type);
}

/* The call behind its arguments: by name, by a table or by a reference. */
static void transfer(struct gen *g, uint32_t func, bool tail) {
    uint32_t type = g->funcs[func], way = g->guarded[g->func] ? gen_below(g, 4) : 0;
    if (way == 1 && g->n_tables) {
        uint32_t t = gen_below(g, g->n_tables), at = 0;
        const struct gen_table *table = g->tables + t;
        while (at < table->n_funcs && g->funcs[table->funcs[at]] != type) at++;
        if (at < table->n_funcs || gen_rarely(g, 20)) {
            char index = table->is64 ? 'I' : 'i';
            if (gen_rarely(g, 2)) {
                gen_const(g, index, at);
            } else { /* an index that is no constant */
                small(g, index, 1);
                gen_const(g, index, at);
                gen_op(g, table->is64 ? BC_I64_OR : BC_I32_OR);
            }
            gen_op_index(g, tail ? BC_RETURN_CALL_INDIRECT : BC_CALL_INDIRECT, type);
            bc_buf_u32(g->code, t);
            return;
        }
    }
    if (way == 2) {
        gen_op_index(g, BC_REF_FUNC, func);
        if (gen_rarely(g, 2)) {
            uint32_t other = func;
            for (uint32_t i = 0; i < g->n_funcs; i++)
                if (g->funcs[i] == type && gen_rarely(g, 2)) other = i;
            gen_op_index(g, BC_REF_FUNC, other);
            gen_value(g, 'i');
            select_of_type(g, type);
        }
        gen_op_index(g, tail ? BC_RETURN_CALL_REF : BC_CALL_REF, type);
        return;
    }
    gen_op_index(g, tail ? BC_RETURN_CALL : BC_CALL, func);
}

static bool call(struct gen *g, char result) {
    uint32_t most = g->loops ? 2 : 5;
    if (g->calls >= most) return false;
    uint32_t func = some_func(g, result, NULL);
    if (func == BC_NONE) return false;
    g->calls++;
    const struct gen_type *type = g->types + g->funcs[func];
    gen_values(g, type->params);
    transfer(g, func, false);
    uint32_t kept = BC_NONE;
    for (size_t k = strlen(type->results); k-- > 0;) {
        if (k == 0 && type->results[0] == result && kept == BC_NONE) return true; /* stays where it is */
        uint32_t local = gen_local(g, type->results[k]);
        gen_op_index(g, BC_LOCAL_SET, local);
        if (type->results[k] == result) kept = local;
    }
    if (result) gen_op_index(g, BC_LOCAL_GET, kept);
    return true;
}

static void tail_call(struct gen *g) {
    uint32_t func = some_func(g, 0, g->type->results);
    if (func == BC_NONE || g->loops) return;
    gen_value(g, 'i');
    gen_open(g, BC_IF, "", true);
    gen_values(g, g->types[g->funcs[func]].params);
    transfer(g, func, true);
    gen_close(g);
}

static void return_if(struct gen *g) {
    gen_value(g, 'i');
    gen_open(g, BC_IF, "", true);
    if (gen_rarely(g, 12)) {
        gen_op(g, BC_UNREACHABLE);
    } else {
        gen_values(g, g->type->results);
        gen_op(g, BC_RETURN);
    }
    gen_close(g);
}

/* ---- references and tables ---- */

static void reference(struct gen *g) {
    switch (gen_below(g, 5)) {
    case 0: gen_const(g, 'c', 0); return;
    case 1:
        if (g->n_tables) {
            uint32_t t = gen_below(g, g->n_tables);
            small(g, g->tables[t].is64 ? 'I' : 'i', 3);
            gen_op_index(g, BC_TABLE_GET, t);
            return;
        } /* fall through */
    case 2: gen_op_index(g, BC_LOCAL_GET, gen_local(g, 'c')); return;
    default: gen_op_index(g, BC_REF_FUNC, gen_below(g, g->n_funcs));
    }
}

static bool from_reference(struct gen *g, char type) { /* an i32, or the index type of a table */
    if (type == 'i' && gen_rarely(g, 2)) {
        reference(g);
        gen_op(g, BC_REF_IS_NULL);
        return true;
    }
    uint32_t t = gen_below(g, g->n_tables);
    if (!g->n_tables || g->tables[t].is64 != (type == 'I')) return false;
    if (gen_rarely(g, 4)) {
        reference(g);
        small(g, type, 1);
        gen_op_index(g, BC_TABLE_GROW, t);
    } else {
        gen_op_index(g, BC_TABLE_SIZE, t);
    }
    return true;
}

static void table_statement(struct gen *g) {
    uint32_t t = gen_below(g, g->n_tables), other = gen_below(g, g->n_tables);
    char index = g->tables[t].is64 ? 'I' : 'i', its = g->tables[other].is64 ? 'I' : 'i';
    switch (gen_below(g, 4)) {
    case 0:
        small(g, index, 3);
        reference(g);
        gen_op_index(g, BC_TABLE_SET, t);
        break;
    case 1:
        small(g, index, 3);
        reference(g);
        small(g, index, 1);
        gen_op_index(g, BC_TABLE_FILL, t);
        break;
    case 2:
        small(g, index, 1);
        small(g, its, 1);
        small(g, index == 'I' && its == 'I' ? 'I' : 'i', 1);
        gen_op_index(g, BC_TABLE_COPY, t);
        bc_buf_u32(g->code, other);
        break;
    default:
        if (!g->n_elems) return;
        small(g, index, 1);
        small(g, 'i', 0);
        small(g, 'i', 1);
        gen_op_index(g, BC_TABLE_INIT, gen_below(g, g->n_elems));
        bc_buf_u32(g->code, t);
    }
}

static void memory_copy(struct gen *g) {
    uint32_t to = gen_below(g, g->n_memories), from = gen_below(g, g->n_memories);
    char t = g->memories[to].is64 ? 'I' : 'i', f = g->memories[from].is64 ? 'I' : 'i';
    small(g, t, 0xFFF);
    small(g, f, 0xFFF);
    small(g, t == 'I' && f == 'I' ? 'I' : 'i', 0x1FF);
    gen_op_index(g, BC_MEMORY_COPY, to);
    bc_buf_u32(g->code, from);
}

/* ---- values ---- */

static void leaf(struct gen *g, char type) {
    uint32_t global;
    if (type == 'c') {
        reference(g);
        return;
    }
    uint32_t way = gen_below(g, 10);
    if (way < 3 && (type == 'i' || type == 'I') && get_counter(g, type)) return;
    if (way < 4)
        gen_any_const(g, type);
    else if (way < 5 && any_global(g, type, false, &global))
        gen_op_index(g, BC_GLOBAL_GET, global);
    else
        gen_op_index(g, BC_LOCAL_GET, gen_local(g, type));
}

static void choice(struct gen *g, char type) {
    gen_value(g, type);
    gen_value(g, type);
    gen_value(g, 'i');
    if (gen_rarely(g, 3)) {
        gen_op(g, BC_SELECT_T);
        bc_buf_u32(g->code, 1);
        bc_buf_u8(g->code, gen_valtype(type));
    } else {
        gen_op(g, BC_SELECT);
    }
}

static bool by_chance(struct gen *g, char type) {
    uint32_t way = gen_below(g, 32);
    if (way < 15) return value_by_table(g, type);
    if (way < 19) return gen_shape(g, type);
    if (way < 22) return choice(g, type), true;
    if (way < 24) return block_value(g, type), true;
    if (way < 26) return call(g, type);
    if (way < 27 && (type == 'i' || type == 'I')) return from_reference(g, type);
    if (way < 29) {
        gen_value(g, type);
        gen_op_index(g, BC_LOCAL_TEE, gen_local(g, type));
        return true;
    }
    return false;
}

void gen_value(struct gen *g, char type) {
    g->depth++;
    bool done =
        type != 'c' && g->depth < MAX_DEPTH && g->budget > 0 && g->n_labels < 50 && by_chance(g, type);
    if (!done) leaf(g, type);
    g->depth--;
}

void gen_values(struct gen *g, const char *types) {
    for (; *types; types++) gen_value(g, *types);
}

/* ---- statements ---- */

static void set_global(struct gen *g) {
    char type = gen_any_type(g);
    uint32_t global;
    if (!any_global(g, type, true, &global)) return;
    gen_value(g, type);
    gen_op_index(g, BC_GLOBAL_SET, global);
}

static void set_local(struct gen *g) {
    char type = gen_rarely(g, 40) ? 'c' : gen_any_type(g);
    gen_value(g, type);
    gen_op_index(g, BC_LOCAL_SET, gen_local(g, type));
}

void gen_statement(struct gen *g) {
    const struct rows *rows = rows_of('-');
    uint32_t way = gen_below(g, 64);
    if (g->budget <= 0 || g->n_labels >= 45 || g->depth >= MAX_DEPTH) return;
    g->depth++;
    if (way < 20)
        set_local(g);
    else if (way < 24)
        set_global(g);
    else if (way < 34)
        by_table(g, rows->ops[gen_below(g, rows->n)], 0);
    else if (way < 41)
        gen_shape_statement(g);
    else if (way < 45)
        condition(g);
    else if (way < 50)
        loop(g);
    else if (way < 53)
        branch_if(g);
    else if (way < 54)
        branch_table(g);
    else if (way < 55)
        block_with_parameters(g);
    else if (way < 57)
        call(g, 0);
    else if (way < 58)
        tail_call(g);
    else if (way < 59)
        return_if(g);
    else if (way < 61 && g->n_tables)
        table_statement(g);
    else if (way < 62 && g->n_memories)
        memory_copy(g);
    else if (way < 63 && g->n_tags && g->func % 8 == 1)
        gen_rarely(g, 2) ? try_block(g) : throw_sometimes(g);
    g->depth--;
}

void gen_statements(struct gen *g, uint32_t n) {
    while (n-- > 0) gen_statement(g);
}

/* ---- functions ---- */

static void count_call(struct gen *g) {
    gen_op_index(g, BC_GLOBAL_GET, g->calls_left);
    gen_op(g, BC_I32_EQZ);
    gen_open(g, BC_IF, "", false);
    for (const char *t = g->type->results; *t; t++) gen_const(g, *t, 0);
    gen_op(g, BC_RETURN);
    gen_close(g);
    gen_op_index(g, BC_GLOBAL_GET, g->calls_left);
    gen_const(g, 'i', 1);
    gen_op(g, BC_I32_SUB);
    gen_op_index(g, BC_GLOBAL_SET, g->calls_left);
}

/* What a function is about: types of its values, and how long it is. */
static void choose_kind(struct gen *g) {
    static const uint8_t kinds[][5] = {{6, 4, 1, 1, 1}, {1, 1, 3, 5, 1}, {2, 1, 1, 1, 8},
                                       {8, 0, 0, 0, 0}, {1, 9, 0, 1, 0}, {2, 2, 2, 2, 2}};
    static const uint16_t lengths[] = {20, 60, 120, 250, 500};
    memcpy(g->weights, kinds[gen_below(g, 6)], 5);
    g->budget = lengths[gen_below(g, 5)];
    if (gen_rarely(g, 60)) g->budget = 2500;
}

void gen_function(struct gen *g, uint32_t func, struct bc_buf *out) {
    struct bc_buf code;
    bc_buf_init(&code, &atoll_default_alloc);
    g->code = &code;
    g->func = func;
    g->type = g->types + g->funcs[func];
    g->n_locals = (uint32_t)strlen(g->type->params);
    memcpy(g->locals, g->type->params, g->n_locals);
    g->labels[0] = (struct gen_label){g->type->results, true};
    g->n_labels = 1;
    g->loops = g->calls = g->depth = 0;
    choose_kind(g);
    if (g->guarded[func]) count_call(g);
    int32_t enough = g->budget / 6;
    while (g->budget > enough) gen_statement(g), g->budget--;
    gen_values(g, g->type->results);
    gen_op(g, BC_END);
    struct bc_buf body;
    bc_buf_init(&body, &atoll_default_alloc);
    uint32_t n_params = (uint32_t)strlen(g->type->params);
    bc_buf_u32(&body, g->n_locals - n_params);
    for (uint32_t i = n_params; i < g->n_locals; i++) {
        bc_buf_u32(&body, 1);
        bc_buf_u8(&body, gen_valtype(g->locals[i]));
    }
    bc_buf_bytes(&body, code.data, code.size);
    bc_buf_u32(out, (uint32_t)body.size);
    bc_buf_bytes(out, body.data, body.size);
    bc_buf_fini(&body);
    bc_buf_fini(&code);
}
