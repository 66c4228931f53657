/* jit/build_inline.c: a call of a small function of the module becomes its body. The body is built as any other,
 * with locals, operands and blocks of its own; its parameters are the caller's operands, its end is a block that every
 * return of it leads to, and what it throws and does not handle goes to the caller's handlers. A tail call at its end is a
 * call from where it is called itself, which returns to there (build_control.c).
 *
 *        ... arguments            where = number in ir_func.places:
 *        body of the callee         its byte of the module, and where it is called, which may be such a number again
 *        results ...
 *
 * So whoever looks at a place in the code, for a backtrace or a sample, is told of the same functions as if there had
 * been a call. Fuel is taken as at a call, too. What is different: there is no look at the end of the stack at the
 * callee's entry. A recursion passes an entry that has one every few rounds, since no function is inlined into itself
 * more than MOST_ROUNDS deep. */
#include "bytecode/stress.h"
#include "jit/build.h"
#include "jit/engine.h"

/* Of a body that is inlined anywhere, and in a loop. Where all functions are compiled most of them run seldom. */
struct limits {
    uint32_t anywhere, in_loop;
};
static const struct limits of_all = {ATOLL_LIMIT(24, 160), ATOLL_LIMIT(80, 400)};
static const struct limits of_hot = {ATOLL_LIMIT(40, 160), ATOLL_LIMIT(120, 400)}; /* callers */
static const struct limits of_seen = {ATOLL_LIMIT(80, 240),
                                      ATOLL_LIMIT(300, 600)}; /* functions found running, too */

#define MOST_NESTED  4
#define MOST_ROUNDS  1 /* of a recursion */
#define MOST_LOCALS  32
#define MOST_BYTES   (1u << 16) /* of bodies in a caller */
#define LARGE_CALLER (1u << 17) /* values; beyond, a caller is better not made larger */

static const struct limits *limits_of(const struct ir_func *f) {
    const struct jit_engine *engine = f->module->engine->jit_data;
    return engine->hot ? &of_hot : &of_all;
}

uint32_t build_inline_room(const struct ir_func *f) {
    uint32_t own = f->bc->funcs[f->func].body.size, least = limits_of(f)->in_loop;
    if (f->bc->n_bytes >= JIT_INLINED) return 0; /* byte offsets and numbers of places would look alike */
    if (own < least) own = least;
    return own < MOST_BYTES ? own : MOST_BYTES;
}

static bool in_loop(const struct build *b) {
    for (; b; b = b->outer) {
        if (b->f->loop && !b->outer) return true; /* entered at a loop */
        for (size_t i = b->n_frames; i-- > 0;)
            if (b->frames[i].op == BC_LOOP) return true;
    }
    return false;
}

/* Whether the function is being built too often already, or too many that call each other are. */
static bool is_around(const struct build *b, uint32_t func) {
    unsigned n = 0, same = 0;
    for (; b; b = b->outer) {
        same += b->func == func;
        if (n++ == MOST_NESTED || same > MOST_ROUNDS) return true;
    }
    return false;
}

/* Whether the frame it takes in the caller's is a small one. */
static bool can_be_inlined(const struct ir_func *f, uint32_t func) {
    const struct bc_func *callee = &f->bc->funcs[func];
    const struct bc_type *type = &f->bc->types[callee->type];
    return type->n_params + callee->n_locals <= MOST_LOCALS && type->n_results <= MOST_LOCALS;
}

static bool pays(struct build *b, uint32_t func) {
    struct ir_func *f = b->f;
    if (func < f->bc->n_imported_funcs || f->n_ins > LARGE_CALLER) return false;
    const struct bc_func *callee = &f->bc->funcs[func];
    uint32_t size = callee->body.size;
    const struct limits *limits = jit_was_seen(f->module, func) ? &of_seen : limits_of(f);
    if (size > f->inline_bytes || size > limits->in_loop) return false;
    if (size > limits->anywhere && !in_loop(b)) return false;
    return !is_around(b, func) && can_be_inlined(f, func);
}

bool build_inline(struct build *b, uint32_t func) {
    struct ir_func *f = b->f;
    if (f->failed || !pays(b, func)) return false;
    const struct bc_func *callee = &f->bc->funcs[func];
    const struct bc_type *type = &f->bc->types[callee->type];
    struct build c = {
        .f = f, .outer = b, .func = func, .call = f->where, .block = b->block, .osr_block = IR_NONE};
    f->inline_bytes -= callee->body.size;
    f->n_inlined++;
    build_function(&c);
    b->block = c.block;
    b->work += c.work;
    f->where = c.call;
    if (!f->failed && !f->declined) {
        b->n_stack -= type->n_params;
        for (uint32_t i = 0; i < type->n_results && c.block != IR_NONE; i++)
            build_push(b, c.stack[c.n_stack - type->n_results + i]);
    }
    atoll_free(f->alloc, c.stack, c.cap_stack * sizeof *c.stack);
    return true;
}
