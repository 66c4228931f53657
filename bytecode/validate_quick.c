/* bytecode/validate_quick.c: the instructions that most code consists of, validated as they are read: no struct bc_instr
 * between, operands and places in variables of one loop. It knows only what is right. What is rare, or not certainly
 * valid, is left as it stands, and the general way (bc_reader_instr, bc_v_instruction) takes it or says what is wrong. */
#include "bytecode/validate.h"

#include <string.h>

/* ---- what is known of each instruction ---- */

enum kind {
    GENERAL, /* not known here */
    PLAIN,   /* by signature, nothing behind the opcode */
    NUMBER32,
    NUMBER64,
    FIXED4,
    FIXED8,
    MEMORY,
    LOCAL_GET,
    LOCAL_SET,
    LOCAL_TEE,
    GLOBAL_GET,
    GLOBAL_SET,
    DROP,
    SELECT,
    UNREACHABLE,
    BLOCK,
    LOOP,
    IF,
    ELSE,
    END,
    BR,
    BR_IF,
    RETURN,
    CALL,
    CALL_INDIRECT
};
struct row {
    uint64_t operands, mask; /* the lower one in the low half, as they stand on the stack */
    bc_valtype result;
    uint8_t kind, n_operands, n_results, align;
};

#define AT(s, i) ((s)[(i) < sizeof(s) ? (i) : 0])
#define TYPE(letter)                                                                                         \
    ((letter) == 'i' || (letter) == 'a' ? BC_I32                                                             \
     : (letter) == 'I'                  ? BC_I64                                                             \
     : (letter) == 'f'                  ? BC_F32                                                             \
     : (letter) == 'F'                  ? BC_F64                                                             \
                                        : BC_V128)
#define N_OPERANDS(s) (AT(s, 0) == ':' ? 0 : AT(s, 1) == ':' ? 1 : AT(s, 2) == ':' ? 2 : 3)
#define RESULT(s)     AT(s, N_OPERANDS(s) + 1)
#define OPERANDS(s)                                                                                          \
    ((N_OPERANDS(s) > 0 ? (uint64_t)TYPE(AT(s, 0)) : 0) |                                                    \
     (N_OPERANDS(s) > 1 ? (uint64_t)TYPE(AT(s, 1)) << 32 : 0))
#define MASK(s) (N_OPERANDS(s) > 1 ? ~UINT64_C(0) : N_OPERANDS(s) > 0 ? UINT64_C(0xFFFFFFFF) : 0)

#define KIND_OF_SIGNATURE(s, imm)                                                                            \
    (N_OPERANDS(s) > 2        ? GENERAL                                                                      \
     : (imm) == BC_IMM_NONE   ? PLAIN                                                                        \
     : (imm) == BC_IMM_I32    ? NUMBER32                                                                     \
     : (imm) == BC_IMM_I64    ? NUMBER64                                                                     \
     : (imm) == BC_IMM_F32    ? FIXED4                                                                       \
     : (imm) == BC_IMM_F64    ? FIXED8                                                                       \
     : (imm) == BC_IMM_MEMARG ? MEMORY                                                                       \
                              : GENERAL)
#define KIND_OF_OP(op)                                                                                       \
    ((op) == BC_LOCAL_GET       ? LOCAL_GET                                                                  \
     : (op) == BC_LOCAL_SET     ? LOCAL_SET                                                                  \
     : (op) == BC_LOCAL_TEE     ? LOCAL_TEE                                                                  \
     : (op) == BC_GLOBAL_GET    ? GLOBAL_GET                                                                 \
     : (op) == BC_GLOBAL_SET    ? GLOBAL_SET                                                                 \
     : (op) == BC_DROP          ? DROP                                                                       \
     : (op) == BC_SELECT        ? SELECT                                                                     \
     : (op) == BC_UNREACHABLE   ? UNREACHABLE                                                                \
     : (op) == BC_BLOCK         ? BLOCK                                                                      \
     : (op) == BC_LOOP          ? LOOP                                                                       \
     : (op) == BC_IF            ? IF                                                                         \
     : (op) == BC_ELSE          ? ELSE                                                                       \
     : (op) == BC_END           ? END                                                                        \
     : (op) == BC_BR            ? BR                                                                         \
     : (op) == BC_BR_IF         ? BR_IF                                                                      \
     : (op) == BC_RETURN        ? RETURN                                                                     \
     : (op) == BC_CALL          ? CALL                                                                       \
     : (op) == BC_CALL_INDIRECT ? CALL_INDIRECT                                                              \
                                : GENERAL)
#define KNOWN_FEATURES (UINT64_C(1) << BC_FEATURE_MVP | UINT64_C(1) << BC_FEATURE_SIGN_EXTENSION)
#define KIND(op, prefix, s, imm, feature)                                                                    \
    ((prefix) || !(KNOWN_FEATURES >> (feature)&1) ? GENERAL                                                  \
     : sizeof(s) > 1                              ? KIND_OF_SIGNATURE(s, imm)                                \
                                                  : KIND_OF_OP(op))
#define LOG2(n) ((n) >= 8 ? 3 : (n) >= 4 ? 2 : (n) >= 2 ? 1 : 0)

/* By opcode byte; what has a prefix stands behind, to be out of the way. */
#define SPECIAL ""
static const struct row rows[256 + BC_OP_COUNT] = {
#define OP(id, prefix, code, text, imm, s, access, feature)                                                  \
    [(prefix) ? 256 + BC_##id                                                                                \
              : (code)] = {OPERANDS(s),     MASK(s),                                                         \
                           TYPE(RESULT(s)), KIND(BC_##id, prefix, s, BC_IMM_##imm, BC_FEATURE_##feature),    \
                           N_OPERANDS(s),   RESULT(s) != 0,                                                  \
                           LOG2(access)},
#include "bytecode/opcodes.def"
#undef OP
};

/* ---- the place ---- */

#define MOST_READ   16u /* bytes of a known instruction, read before it is known to be whole */
#define TURN_BYTES  ATOLL_LIMIT(65536u, 4u) /* after which the caller may look whether it shall stop */
#define SPARE_ITEMS 2u                      /* of the stack, so that two operands are compared at once */

struct place {
    const uint8_t *at, *end; /* of the body */
    bc_valtype *top, *base,
        *room;             /* of the operands; the innermost frame's lowest; where there may be more */
    struct control *frame; /* the innermost */
    struct validator *v;
};

#define INLINE static inline __attribute__((always_inline))

/* Bytes of a LEB128 number; 9 = more than eight. */
INLINE unsigned leb_bytes(const uint8_t *at) {
    uint64_t word;
    if (*at < 0x80) return 1;
    memcpy(&word, at, sizeof word);
    word = ~word & UINT64_C(0x8080808080808080);
    return word ? (unsigned)__builtin_ctzll(word) / 8 + 1 : 9;
}

/* Behind a number of 32 bits, NULL = it is not one. Linkers pad numbers to five bytes, so those are frequent; of the
 * fifth, four bits belong to the number, and the others are zero or repeat its sign. */
INLINE const uint8_t *behind_u32(const uint8_t *at) {
    unsigned n = leb_bytes(at);
    return n < 5 || (n == 5 && at[4] < 0x10) ? at + n : NULL;
}
INLINE const uint8_t *behind_s32(const uint8_t *at) {
    unsigned n = leb_bytes(at);
    return n < 5 || (n == 5 && (at[4] < 0x08 || at[4] >= 0x78)) ? at + n : NULL;
}

/* The number at *at, which is before `end`; *at goes behind it. */
INLINE bool take_u32(const uint8_t **at, const uint8_t *end, uint32_t *out) {
    const uint8_t *p = *at, *next = behind_u32(p);
    uint32_t value = *p & 0x7F;
    if (!next || next > end) return false;
    *at = next;
    if (__builtin_expect(*p >= 0x80, 0))
        for (unsigned shift = 7; ++p < next; shift += 7) value |= (uint32_t)(*p & 0x7F) << shift;
    *out = value;
    return true;
}

/* At least n operands of the innermost frame's own. */
INLINE bool has(const struct place *q, ptrdiff_t n) { return q->top - q->base >= n; }

INLINE bool has_type(const struct place *q, bc_valtype type) { return has(q, 1) && q->top[-1] == type; }

INLINE void become_unreachable(struct place *q) {
    q->top = q->base;
    q->frame->unreachable = true;
}

/* ---- frames and branches: of at most one result, no parameters. Each answers false having changed nothing. ---- */

INLINE bool begin(struct place *q, enum bc_op op) {
    uint8_t code = q->at[1];
    struct validator *v = q->v;
    if ((code != 0x40 && (code < 0x7C || code > 0x7F)) || v->n_controls == v->controls_capacity) return false;
    if (q->end - q->at < 2 || (op == BC_IF && !has_type(q, BC_I32))) return false;
    q->top -= op == BC_IF;
    q->base = q->top;
    q->frame = &v->controls[v->n_controls++];
    *q->frame = (struct control){.op = op,
                                 .block_type = code == 0x40 ? BC_BLOCK_EMPTY
                                                            : (bc_valtype)(BC_KIND_I32 + (0x7F - code)),
                                 .height = (uint32_t)(q->top - v->stack),
                                 .init_height = (uint32_t)v->n_undo,
                                 .stamp = BC_NONE};
    q->at += 2;
    return true;
}

/* The innermost frame holds its results and nothing else. */
INLINE bool is_finished(const struct place *q) {
    const struct control *c = q->frame;
    if (c->init_height != q->v->n_undo) return false;
    if (c->block_type == BC_BLOCK_EMPTY) return q->top == q->base;
    return q->top - q->base == 1 && q->top[-1] == c->block_type;
}

INLINE bool else_(struct place *q) {
    if (q->frame->op != BC_IF || !is_finished(q)) return false;
    q->frame->op = BC_ELSE;
    q->frame->unreachable = false;
    q->top = q->base;
    q->at++;
    return true;
}

/* The body's own end is left to the general way. */
INLINE bool end(struct place *q) {
    struct validator *v = q->v;
    if (v->n_controls < 2 || !is_finished(q)) return false;
    if (q->frame->op == BC_IF && q->frame->block_type != BC_BLOCK_EMPTY) return false;
    v->n_controls--;
    q->frame--;
    q->base = v->stack + q->frame->height;
    q->at++;
    return true;
}

INLINE bool branch(struct place *q, bool conditional) {
    const uint8_t *next = q->at + 1;
    uint32_t depth;
    if (!take_u32(&next, q->end, &depth) || depth >= q->v->n_controls) return false;
    const struct control *c = q->frame - depth;
    if (c->block_type & BC_BLOCK_TYPE_INDEX && c->block_type != BC_BLOCK_EMPTY) return false;
    bool carries = c->block_type != BC_BLOCK_EMPTY && c->op != BC_LOOP;
    if (!has(q, carries + conditional) || (conditional && q->top[-1] != BC_I32)) return false;
    if (carries && q->top[-1 - conditional] != c->block_type) return false;
    q->top -= conditional;
    if (!conditional) become_unreachable(q);
    q->at = next;
    return true;
}

INLINE bool return_(struct place *q) {
    const struct bc_type *t = &q->v->m->types[q->v->func->type];
    if (t->n_results > 1 || (t->n_results && !has_type(q, t->results[0]))) return false;
    become_unreachable(q);
    q->at++;
    return true;
}

/* Arguments below `above` operands; then the result stands in their place. */
INLINE bool call_type(struct place *q, const struct bc_type *t, unsigned above) {
    if (t->n_results > 1 || !has(q, (ptrdiff_t)t->n_params + above)) return false;
    bc_valtype *arguments = q->top - above - t->n_params;
    for (uint32_t i = 0; i < t->n_params; i++)
        if (arguments[i] != t->params[i]) return false;
    if (t->n_results) *arguments++ = t->results[0];
    q->top = arguments;
    return true;
}

INLINE bool call(struct place *q) {
    const struct bc_module *m = q->v->m;
    const uint8_t *next = q->at + 1;
    uint32_t func;
    if (!take_u32(&next, q->end, &func) || func >= m->n_funcs) return false;
    if (!call_type(q, &m->types[m->funcs[func].type], 0)) return false;
    q->at = next;
    return true;
}

INLINE bool call_indirect(struct place *q) {
    const struct bc_module *m = q->v->m;
    const uint8_t *next = q->at + 1;
    uint32_t type, table;
    if (!take_u32(&next, q->end, &type) || !take_u32(&next, q->end, &table)) return false;
    if (type >= m->n_types || m->types[type].form != BC_TYPE_FUNC || table >= m->n_tables) return false;
    if (m->tables[table].type != BC_FUNCREF || m->tables[table].limits.is64) return false;
    if (!has_type(q, BC_I32) || !call_type(q, &m->types[type], 1)) return false;
    q->at = next;
    return true;
}

INLINE bool unreachable(struct place *q) {
    become_unreachable(q);
    q->at++;
    return true;
}

/* ---- variables and parametric instructions ---- */

INLINE bool local(struct place *q, enum kind kind, uint32_t n_locals) {
    const uint8_t *next = q->at + 1;
    uint32_t i;
    if (!take_u32(&next, q->end, &i) || i >= n_locals) return false;
    bc_valtype type = q->v->locals[i];
    if (kind == LOCAL_GET)
        *q->top++ = type;
    else if (!has_type(q, type))
        return false;
    q->top -= kind == LOCAL_SET;
    q->at = next;
    return true;
}

INLINE bool global(struct place *q, enum kind kind) {
    const uint8_t *next = q->at + 1;
    uint32_t i;
    if (!take_u32(&next, q->end, &i) || i >= q->v->n_visible_globals) return false;
    const struct bc_global *g = &q->v->m->globals[i];
    if (kind == GLOBAL_GET)
        *q->top++ = g->type;
    else if (g->mutable && has_type(q, g->type))
        q->top--;
    else
        return false;
    q->at = next;
    return true;
}

INLINE bool drop(struct place *q) {
    if (!has(q, 1)) return false;
    q->top--;
    q->at++;
    return true;
}

INLINE bool select_(struct place *q) {
    if (!has(q, 3) || q->top[-1] != BC_I32 || q->top[-2] != q->top[-3]) return false;
    if (q->top[-2] < BC_I32 || q->top[-2] > BC_V128) return false;
    q->top -= 2;
    q->at++;
    return true;
}

/* ---- by signature ---- */

/* `next` is behind the immediates, or NULL when they are not certainly right. */
INLINE bool by_signature(struct place *q, const struct row *row, const uint8_t *next) {
    uint64_t operands;
    if (!next || next > q->end || !has(q, row->n_operands)) return false;
    memcpy(&operands, q->top - row->n_operands, sizeof operands); /* there are SPARE_ITEMS above */
    if ((operands ^ row->operands) & row->mask) return false;
    q->top -= row->n_operands;
    *q->top = row->result;
    q->top += row->n_results;
    q->at = next;
    return true;
}

INLINE bool memory(struct place *q, const struct row *row, bool plain_memory) {
    if (!plain_memory || q->at[1] > row->align) return false;
    return by_signature(q, row, behind_u32(q->at + 2));
}

INLINE bool number64(struct place *q, const struct row *row) {
    unsigned n = leb_bytes(q->at + 1);
    return n < 9 && by_signature(q, row, q->at + 1 + n);
}

/* ---- a turn ---- */

INLINE bool one(struct place *q, uint32_t n_locals, bool plain_memory) {
    const struct row *row = &rows[*q->at];
    switch ((enum kind)row->kind) {
    case GENERAL: return false;
    case PLAIN: return by_signature(q, row, q->at + 1);
    case NUMBER32: return by_signature(q, row, behind_s32(q->at + 1));
    case NUMBER64: return number64(q, row);
    case FIXED4: return by_signature(q, row, q->at + 5);
    case FIXED8: return by_signature(q, row, q->at + 9);
    case MEMORY: return memory(q, row, plain_memory);
    case LOCAL_GET: return local(q, LOCAL_GET, n_locals);
    case LOCAL_SET: return local(q, LOCAL_SET, n_locals);
    case LOCAL_TEE: return local(q, LOCAL_TEE, n_locals);
    case GLOBAL_GET: return global(q, GLOBAL_GET);
    case GLOBAL_SET: return global(q, GLOBAL_SET);
    case DROP: return drop(q);
    case SELECT: return select_(q);
    case UNREACHABLE: return unreachable(q);
    case BLOCK: return begin(q, BC_BLOCK);
    case LOOP: return begin(q, BC_LOOP);
    case IF: return begin(q, BC_IF);
    case ELSE: return else_(q);
    case END: return end(q);
    case BR: return branch(q, false);
    case BR_IF: return branch(q, true);
    case RETURN: return return_(q);
    case CALL: return call(q);
    case CALL_INDIRECT: return call_indirect(q);
    }
    return false;
}

void bc_v_quick(struct validator *v) {
    const struct bc_module *m = v->m;
    const uint8_t *bytes = m->bytes;
    if (KNOWN_FEATURES & ~v->r.features || m->n_bytes < MOST_READ || v->stack_room < SPARE_ITEMS) return;
    size_t stop = m->n_bytes - MOST_READ;
    if (stop > v->r.end) stop = v->r.end;
    if (stop > v->r.at && stop - v->r.at > TURN_BYTES) stop = v->r.at + TURN_BYTES;
    bool plain_memory = m->n_memories && !m->memories[0].limits.is64;
    uint32_t n_locals = v->tracks_init ? 0 : v->n_flat;
    struct place q = {.at = bytes + v->r.at,
                      .end = bytes + v->r.end,
                      .top = v->stack + v->n_stack,
                      .room = v->stack + v->stack_room - SPARE_ITEMS,
                      .frame = bc_v_top(v),
                      .v = v};
    q.base = v->stack + q.frame->height;
    while (q.at < bytes + stop && q.top <= q.room)
        if (!one(&q, n_locals, plain_memory)) break;
    v->r.at = (uint32_t)(q.at - bytes);
    v->n_stack = (size_t)(q.top - v->stack);
}
