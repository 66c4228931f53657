/* jit/build_ops.c: instructions that neither branch nor call. */
#include <string.h>
#include "jit/build.h"

/* ---- slow instructions ---- */

void build_slow(struct build *b, const struct bc_instr *in, uint32_t n_args, unsigned n_results,
                const uint8_t *results) {
    struct ir_func *f = b->f;
    uint32_t at = build_pop_list(b, n_args);
    if (f->failed) return;
    uint8_t kinds[16];
    uint32_t bytes = 0;
    if (n_args > 1000) {
        f->declined = "an instruction with too many operands";
        return;
    }
    uint8_t *types = n_args > sizeof kinds ? bc_arena_new(&f->arena, n_args, 1) : kinds;
    if (!types) {
        f->failed = true;
        return;
    }
    for (uint32_t i = 0; i < n_args; i++) {
        types[i] = f->ins[f->items[at + i]].type;
        bytes += types[i] == IR_V128 ? 16 : 8;
    }
    uint32_t slow = build_new(b, IR_SLOW, IR_VOID);
    uint32_t number = jit_slow_new(f->module, b->func, in->offset, n_args, types);
    if (number == IR_NONE || f->failed) {
        f->failed = true;
        return;
    }
    f->ins[slow].a = at;
    f->ins[slow].b = n_args;
    f->ins[slow].imm = number;
    f->has_calls = true;
    if (bytes < 16) bytes = 16;
    if (bytes > f->out_bytes) f->out_bytes = bytes;
    uint32_t offset = 0;
    for (unsigned i = 0; i < n_results && !f->failed; i++) {
        uint32_t v = build_new(b, IR_RESULT, results[i]);
        if (f->failed) return;
        f->ins[v].imm = offset;
        offset += results[i] == IR_V128 ? 16 : 8;
        build_push(b, v);
    }
}

static uint8_t letter_type(const struct build *b, const struct bc_instr *in, char letter) {
    switch (letter) {
    case 'i': return IR_I32;
    case 'I': return IR_I64;
    case 'f': return IR_F32;
    case 'F': return IR_F64;
    case 'v': return IR_V128;
    default: return b->f->bc->memories[in->index].limits.is64 ? IR_I64 : IR_I32;
    }
}

/* By the signature in the opcode table. */
static void slow_by_signature(struct build *b, const struct bc_instr *in) {
    const char *signature = bc_op_infos[in->op].signature, *colon = strchr(signature, ':');
    uint8_t results[2] = {0};
    unsigned n_results = (unsigned)strlen(colon + 1);
    for (unsigned i = 0; i < n_results; i++) results[i] = letter_type(b, in, colon[1 + i]);
    build_slow(b, in, (uint32_t)(colon - signature), n_results, results);
}

static uint8_t field_type(const struct build *b, const struct bc_instr *in) {
    const struct bc_type *type = b->f->bc->types + in->index;
    bc_valtype t = type->fields[type->form == BC_TYPE_STRUCT ? in->index2 : 0].type;
    return bc_valtype_kind(t) == BC_KIND_PACKED ? IR_I32 : (uint8_t)ir_type_of(t);
}

static void slow(struct build *b, const struct bc_instr *in, uint32_t n_args, uint8_t result) {
    build_slow(b, in, n_args, result != IR_VOID, &result);
}

/* Those whose operands the table leaves to the validator. */
static void slow_special(struct build *b, const struct bc_instr *in) {
    const struct bc_module *bc = b->f->bc;
    switch (in->op) {
    case BC_TABLE_GROW: slow(b, in, 2, bc->tables[in->index].limits.is64 ? IR_I64 : IR_I32); break;
    case BC_TABLE_FILL:
    case BC_TABLE_COPY:
    case BC_TABLE_INIT:
    case BC_MEMORY_FILL:
    case BC_MEMORY_COPY:
    case BC_MEMORY_INIT: slow(b, in, 3, IR_VOID); break;
    case BC_ELEM_DROP:
    case BC_DATA_DROP: slow(b, in, 0, IR_VOID); break;
    case BC_STRUCT_NEW: slow(b, in, bc->types[in->index].n_fields, IR_I64); break;
    case BC_STRUCT_NEW_DEFAULT: slow(b, in, 0, IR_I64); break;
    case BC_STRUCT_GET:
    case BC_STRUCT_GET_S:
    case BC_STRUCT_GET_U: slow(b, in, 1, field_type(b, in)); break;
    case BC_STRUCT_SET: slow(b, in, 2, IR_VOID); break;
    case BC_ARRAY_NEW:
    case BC_ARRAY_NEW_DATA:
    case BC_ARRAY_NEW_ELEM: slow(b, in, 2, IR_I64); break;
    case BC_ARRAY_NEW_DEFAULT: slow(b, in, 1, IR_I64); break;
    case BC_ARRAY_NEW_FIXED: slow(b, in, in->index2, IR_I64); break;
    case BC_ARRAY_FILL:
    case BC_ARRAY_INIT_DATA:
    case BC_ARRAY_INIT_ELEM: slow(b, in, 4, IR_VOID); break;
    case BC_ARRAY_COPY: slow(b, in, 5, IR_VOID); break;
    case BC_ANY_CONVERT_EXTERN:
    case BC_EXTERN_CONVERT_ANY: slow(b, in, 1, IR_I64); break;
    case BC_ATOMIC_FENCE:
        break; /* x86 orders all but a store before a load, which atomics do for themselves */
    default: b->f->declined = bc_op_infos[in->op].text; break;
    }
}

/* ---- memory ---- */

bool build_plain_memory(const struct build *b, uint32_t memory) {
    const struct bc_limits *limits = &b->f->bc->memories[memory].limits;
    return memory == 0 && !limits->is64 && limits->page_size_log2 == 16 && !jit_is_checked(b->f->module);
}

/* x << k & mask, and x >> k & mask that leaves the low bits out, as a shift to the left of what is left of them: that
 * becomes part of the access. */
static uint32_t as_product(struct build *b, uint32_t v) {
    struct ir_func *f = b->f;
    const struct ir_ins i = f->ins[v];
    if (f->failed || i.op != BC_I32_AND || !ir_is_const(f, i.b) || !f->ins[i.b].imm) return v;
    const struct ir_ins inner = f->ins[i.a];
    bool up = inner.op == BC_I32_SHL, down = inner.op == BC_I32_SHR_U;
    if ((!up && !down) || !ir_is_const(f, inner.b)) return v;
    uint64_t mask = f->ins[i.b].imm, count = f->ins[inner.b].imm & 31;
    uint64_t k = up ? count : (uint64_t)__builtin_ctzll(mask);
    if (k < 1 || k > 3 || (down && (mask | ((1u << k) - 1)) != UINT32_MAX >> count)) return v;
    uint32_t of = down ? ir_binary(f, b->block, BC_I32_SHR_U, IR_I32, inner.a, ir_const(f, IR_I32, count + k))
                       : ir_binary(f, b->block, BC_I32_AND, IR_I32, inner.a, ir_const(f, IR_I32, mask >> k));
    return ir_binary(f, b->block, BC_I32_SHL, IR_I32, of, ir_const(f, IR_I32, k));
}

/* x + c that cannot wrap becomes x, and c part of the offset. */
static uint32_t without_constant(const struct ir_func *f, uint32_t v, uint64_t *offset) {
    const struct ir_ins *i = f->ins + v;
    if (f->failed || i->op != BC_I32_ADD || !ir_is_const(f, i->b)) return v;
    uint64_t c = f->ins[i->b].imm;
    if (ir_possible_bits(f, i->a, 4) + c > UINT32_MAX || *offset + c > INT32_MAX) return v;
    *offset += c;
    return i->a;
}

uint32_t build_address(struct build *b, const struct bc_instr *in, unsigned size, uint32_t v,
                       uint64_t *displacement, uint32_t *absolute) {
    struct ir_func *f = b->f;
    uint64_t offset = in->memarg_offset;
    *absolute = 0;
    *displacement = 0;
    if (build_plain_memory(b, in->index)) {
        v = as_product(b, without_constant(f, v, &offset));
        if (ir_is_const(f, v)) {
            offset += f->ins[v].imm;
            if (offset <= INT32_MAX) return *displacement = offset, IR_NONE;
            return ir_const(f, IR_I64, offset);
        }
        if (offset <= INT32_MAX) return *displacement = offset, v;
        uint32_t wide = ir_unary(f, b->block, BC_I64_EXTEND_I32_U, IR_I64, v);
        return ir_binary(f, b->block, BC_I64_ADD, IR_I64, wide, ir_const(f, IR_I64, offset));
    }
    uint32_t i = build_new(b, IR_ADDRESS, IR_I64);
    if (f->failed) return 0;
    f->ins[i].a = v;
    f->ins[i].imm = offset;
    f->ins[i].index = in->index;
    f->ins[i].lane = (uint8_t)size;
    *absolute = 1;
    *displacement = (uint64_t) - (int64_t)size;
    return i;
}

/* A lane comes into a vector that stands above the address. */
static void load(struct build *b, const struct bc_instr *in, unsigned type) {
    struct ir_func *f = b->f;
    uint64_t displacement;
    bool lane = bc_op_infos[in->op].immediates == BC_IMM_MEMARG_LANE;
    uint32_t absolute, vector = lane ? build_pop(b) : IR_NONE, a = build_pop(b);
    a = build_address(b, in, bc_op_infos[in->op].access, a, &displacement, &absolute);
    uint32_t v = build_new(b, IR_LOAD, type);
    if (f->failed) return;
    f->ins[v].sub = (uint16_t)in->op;
    f->ins[v].a = a;
    f->ins[v].b = vector;
    f->ins[v].lane = in->lane;
    f->ins[v].imm = displacement;
    f->ins[v].index = absolute;
    build_push(b, v);
}

static void store(struct build *b, const struct bc_instr *in) {
    struct ir_func *f = b->f;
    uint64_t displacement;
    uint32_t absolute, value = build_pop(b), a = build_pop(b);
    a = build_address(b, in, bc_op_infos[in->op].access, a, &displacement, &absolute);
    if (in->op == BC_I32_STORE8 || in->op == BC_I32_STORE16) /* the bits above are not stored */
        while (!f->failed && f->ins[value].op == BC_I32_AND && ir_is_const(f, f->ins[value].b) &&
               (f->ins[f->ins[value].b].imm & (in->op == BC_I32_STORE8 ? 0xFF : 0xFFFF)) ==
                   (in->op == BC_I32_STORE8 ? 0xFF : 0xFFFF))
            value = f->ins[value].a;
    uint32_t v = build_new(b, IR_STORE, IR_VOID);
    if (f->failed) return;
    f->ins[v].sub = (uint16_t)in->op;
    f->ins[v].a = a;
    f->ins[v].b = value;
    f->ins[v].lane = in->lane;
    f->ins[v].imm = displacement;
    f->ins[v].index = absolute;
}

static void memory_size(struct build *b, const struct bc_instr *in) {
    const struct bc_limits *limits = &b->f->bc->memories[in->index].limits;
    uint32_t v = build_new(b, IR_MEMORY_SIZE, limits->is64 ? IR_I64 : IR_I32);
    if (b->f->failed) return;
    b->f->ins[v].index = in->index;
    b->f->ins[v].imm = limits->page_size_log2;
    build_push(b, v);
}

/* ---- the rest ---- */

static void select(struct build *b) {
    struct ir_func *f = b->f;
    uint32_t c = build_pop(b), no = build_pop(b), yes = build_pop(b);
    if (f->failed) return;
    if (ir_is_const(f, c)) {
        build_push(b, f->ins[c].imm ? yes : no);
        return;
    }
    if (yes == no) {
        build_push(b, yes);
        return;
    }
    uint32_t v = build_new(b, IR_SELECT, f->ins[yes].type);
    if (f->failed) return;
    f->ins[v].a = yes;
    f->ins[v].b = no;
    f->ins[v].c = c;
    build_push(b, v);
}

static void global(struct build *b, const struct bc_instr *in) {
    struct ir_func *f = b->f;
    bool set = in->op == BC_GLOBAL_SET;
    uint32_t value = set ? build_pop(b) : IR_NONE;
    unsigned type = ir_type_of(f->bc->globals[in->index].type);
    uint32_t v = build_new(b, set ? IR_GLOBAL_SET : IR_GLOBAL_GET, set ? IR_VOID : type);
    if (f->failed) return;
    f->ins[v].a = value;
    f->ins[v].imm = in->index;
    if (!set) build_push(b, v);
}

uint32_t build_vector_const(struct build *b, const uint8_t *bytes) {
    struct ir_func *f = b->f;
    if (f->n_pool == f->cap_pool &&
        atoll_grow(f->alloc, (void **)&f->pool, &f->cap_pool, f->n_pool + 1, sizeof *f->pool)) {
        f->failed = true;
        return 0;
    }
    memcpy(f->pool[f->n_pool], bytes, 16);
    return ir_const(f, IR_V128, f->n_pool++);
}

static bool may_trap(uint16_t op) {
    if (ir_is_division(op)) return true;
    switch (op) {
    case BC_I32_TRUNC_F32_S:
    case BC_I32_TRUNC_F32_U:
    case BC_I32_TRUNC_F64_S:
    case BC_I32_TRUNC_F64_U:
    case BC_I64_TRUNC_F32_S:
    case BC_I64_TRUNC_F32_U:
    case BC_I64_TRUNC_F64_S:
    case BC_I64_TRUNC_F64_U: return true;
    default: return false;
    }
}

/* Whether this very operation may: a division by a constant that is neither 0 nor -1 does not. */
static bool this_may_trap(const struct ir_func *f, uint32_t v) {
    const struct ir_ins *i = f->ins + v;
    if (!may_trap(i->op)) return false;
    if (i->b == IR_NONE || !ir_is_const(f, i->b)) return true;
    uint64_t divisor = f->ins[i->b].imm;
    return !divisor || divisor == (i->type == IR_I64 ? UINT64_MAX : UINT32_MAX);
}

static void numeric(struct build *b, const struct bc_instr *in) {
    struct ir_func *f = b->f;
    const char *signature = bc_op_infos[in->op].signature, *colon = strchr(signature, ':');
    unsigned n = (unsigned)(colon - signature), type = letter_type(b, in, colon[1]);
    uint16_t op = (uint16_t)in->op;
    uint32_t operands[3] = {IR_NONE, IR_NONE, IR_NONE}, v;
    for (unsigned i = n; i-- > 0;) operands[i] = build_pop(b);
    size_t before = f->n_ins;
    if (n == 1 && bc_op_infos[in->op].immediates == BC_IMM_NONE) {
        v = ir_unary(f, b->block, op, type, operands[0]);
    } else if (n == 2 && bc_op_infos[in->op].immediates == BC_IMM_NONE) {
        v = ir_binary(f, b->block, op, type, operands[0], operands[1]);
    } else {
        v = build_new(b, op, type);
        if (f->failed) return;
        f->ins[v].a = operands[0];
        f->ins[v].b = operands[1];
        f->ins[v].c = operands[2];
        f->ins[v].lane = in->lane;
    }
    if (!f->failed && v >= before && this_may_trap(f, v)) f->ins[v].effect = true;
    build_push(b, v);
}

static void shuffle(struct build *b, const struct bc_instr *in) {
    struct ir_func *f = b->f;
    uint32_t right = build_pop(b), left = build_pop(b);
    uint32_t lanes = build_vector_const(b, in->v128), v = build_new(b, BC_I8X16_SHUFFLE, IR_V128);
    if (f->failed) return;
    f->ins[v].a = left;
    f->ins[v].b = right;
    f->ins[v].imm = f->ins[lanes].imm;
    build_push(b, v);
}

static void ref_func(struct build *b, uint32_t func) {
    uint32_t v = build_new(b, IR_REF_FUNC, IR_I64);
    if (b->f->failed) return;
    b->f->ins[v].imm = func;
    build_push(b, v);
}

static void other(struct build *b, const struct bc_instr *in) {
    const struct bc_op_info *info = bc_op_infos + in->op;
    bool native = jit_native((uint16_t)in->op);
    if (info->access && native && strchr(info->signature, ':')[1])
        load(b, in, letter_type(b, in, strchr(info->signature, ':')[1]));
    else if (info->access && native)
        store(b, in);
    else if (build_object(b, in) || build_parts(b, in) || build_atomic(b, in) || build_table(b, in))
        return;
    else if (!info->signature)
        slow_special(b, in);
    else if (native)
        numeric(b, in);
    else
        slow_by_signature(b, in);
}

void build_instr(struct build *b, const struct bc_instr *in) {
    struct ir_func *f = b->f;
    if (f->failed) return;
    switch (in->op) {
    case BC_UNREACHABLE:
    case BC_BLOCK:
    case BC_LOOP:
    case BC_IF:
    case BC_ELSE:
    case BC_END:
    case BC_BR:
    case BC_BR_IF:
    case BC_BR_TABLE:
    case BC_RETURN:
    case BC_CALL:
    case BC_CALL_INDIRECT:
    case BC_CALL_REF:
    case BC_RETURN_CALL:
    case BC_RETURN_CALL_INDIRECT:
    case BC_RETURN_CALL_REF:
    case BC_BR_ON_NULL:
    case BC_BR_ON_NON_NULL:
    case BC_BR_ON_CAST:
    case BC_BR_ON_CAST_FAIL:
    case BC_TRY:
    case BC_TRY_TABLE:
    case BC_CATCH:
    case BC_CATCH_ALL:
    case BC_DELEGATE:
    case BC_THROW:
    case BC_THROW_REF:
    case BC_RETHROW: build_control(b, in); break;
    case BC_NOP: break;
    case BC_DROP: build_pop(b); break;
    case BC_SELECT:
    case BC_SELECT_T: select(b); break;
    case BC_LOCAL_GET: build_push(b, b->locals[in->index]); break;
    case BC_LOCAL_SET: b->locals[in->index] = build_pop(b); break;
    case BC_LOCAL_TEE:
        b->locals[in->index] = build_pop(b);
        build_push(b, b->locals[in->index]);
        break;
    case BC_GLOBAL_GET:
    case BC_GLOBAL_SET: global(b, in); break;
    case BC_I32_CONST: build_push(b, ir_const(f, IR_I32, (uint32_t)in->i32)); break;
    case BC_I64_CONST: build_push(b, ir_const(f, IR_I64, (uint64_t)in->i64)); break;
    case BC_F32_CONST: build_push(b, ir_const(f, IR_F32, in->f32_bits)); break;
    case BC_F64_CONST: build_push(b, ir_const(f, IR_F64, in->f64_bits)); break;
    case BC_V128_CONST: build_push(b, build_vector_const(b, in->v128)); break;
    case BC_I8X16_SHUFFLE: shuffle(b, in); break;
    case BC_MEMORY_SIZE: memory_size(b, in); break;
    case BC_REF_NULL: build_push(b, ir_const(f, IR_I64, 0)); break;
    case BC_REF_IS_NULL: build_push(b, ir_unary(f, b->block, BC_I64_EQZ, IR_I32, build_pop(b))); break;
    case BC_REF_FUNC: ref_func(b, in->index); break;
    case BC_REF_AS_NON_NULL: build_push(b, build_pop_non_null(b, RT_TRAP_NULL_REFERENCE)); break;
    case BC_REF_EQ: {
        uint32_t right = build_pop(b), left = build_pop(b);
        build_push(b, ir_binary(f, b->block, BC_I64_EQ, IR_I32, left, right));
        break;
    }
    default: other(b, in); break;
    }
}
