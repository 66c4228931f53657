/* tests/fuzz/against_interp/code.c: bodies of functions: values, blocks, calls, statements. Instructions that the opcode
 * table has no signature for have a function here. */
#include "tests/fuzz/against_interp/generate.h"

#define MAX_DEPTH 9

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

uint32_t gen_some_label(struct gen *g, const char *types) {
    uint32_t n = 0, found[64];
    for (uint32_t i = 0; i < g->n_labels; i++)
        if (g->labels[i].open && (!types || !strcmp(types, g->labels[i].types)))
            found[n++] = g->n_labels - 1 - i;
    return n ? found[gen_below(g, n)] : BC_NONE;
}

static void branch_if(struct gen *g) {
    uint32_t depth = gen_some_label(g, NULL);
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
    for (uint32_t i = 0; i <= n; i++) bc_buf_u32(g->code, gen_some_label(g, ""));
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
    uint32_t counter = gen_new_local(g, GEN_COUNTER32);
    gen_const(g, 'i', 1 + gen_below(g, rounds[g->loops]));
    gen_op_index(g, BC_LOCAL_SET, counter);
    g->loops++;
    if (gen_rarely(g, 2)) {
        bool around = gen_rarely(g, 3); /* an if around all, or a branch out */
        gen_open(g, around ? BC_LOOP : BC_BLOCK, "", true);
        if (!around) gen_open(g, BC_LOOP, "", true);
        gen_op_index(g, BC_LOCAL_GET, counter);
        if (!around) gen_op(g, BC_I32_EQZ);
        if (!around) gen_op_index(g, BC_BR_IF, 1);
        if (around) gen_open(g, BC_IF, "", true);
        count_down(g, counter);
        gen_op_index(g, BC_LOCAL_SET, counter);
        gen_statements(g, 1 + gen_below(g, 4));
        if (!gen_rarely(g, 5)) gen_op_index(g, BC_BR, around); /* else only what is inside leads back */
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
                gen_small(g, index, 1);
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
            gen_small(g, g->tables[t].is64 ? 'I' : 'i', 3);
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
        gen_small(g, type, 1);
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
        gen_small(g, index, 3);
        reference(g);
        gen_op_index(g, BC_TABLE_SET, t);
        break;
    case 1:
        gen_small(g, index, 3);
        reference(g);
        gen_small(g, index, 1);
        gen_op_index(g, BC_TABLE_FILL, t);
        break;
    case 2:
        gen_small(g, index, 1);
        gen_small(g, its, 1);
        gen_small(g, index == 'I' && its == 'I' ? 'I' : 'i', 1);
        gen_op_index(g, BC_TABLE_COPY, t);
        bc_buf_u32(g->code, other);
        break;
    default:
        if (!g->n_elems) return;
        gen_small(g, index, 1);
        gen_small(g, 'i', 0);
        gen_small(g, 'i', 1);
        gen_op_index(g, BC_TABLE_INIT, gen_below(g, g->n_elems));
        bc_buf_u32(g->code, t);
    }
}

static void memory_copy(struct gen *g) {
    uint32_t to = gen_below(g, g->n_memories), from = gen_below(g, g->n_memories);
    char t = g->memories[to].is64 ? 'I' : 'i', f = g->memories[from].is64 ? 'I' : 'i';
    gen_small(g, t, 0xFFF);
    gen_small(g, f, 0xFFF);
    gen_small(g, t == 'I' && f == 'I' ? 'I' : 'i', 0x1FF);
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
    if (way < 3 && (type == 'i' || type == 'I') && gen_get_counter(g, type)) return;
    if (way < 4)
        gen_any_const(g, type);
    else if (way < 5 && gen_any_global(g, type, false, &global))
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
    if (way < 15) return gen_value_by_row(g, type);
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
    if (!gen_any_global(g, type, true, &global)) return;
    gen_value(g, type);
    gen_op_index(g, BC_GLOBAL_SET, global);
}

static void set_local(struct gen *g) {
    char type = gen_rarely(g, 40) ? 'c' : gen_any_type(g);
    gen_value(g, type);
    gen_op_index(g, BC_LOCAL_SET, gen_local(g, type));
}

void gen_statement(struct gen *g) {
    const struct gen_rows *rows = gen_rows('-');
    uint32_t way = gen_below(g, 64);
    if (g->budget <= 0 || g->n_labels >= 45 || g->depth >= MAX_DEPTH) return;
    g->depth++;
    if (way < 20)
        set_local(g);
    else if (way < 24)
        set_global(g);
    else if (way < 34)
        gen_row(g, rows->ops[gen_below(g, rows->n)], 0);
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
    else if (g->n_tags)
        gen_exception_statement(g);
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
