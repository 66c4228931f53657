/* cli/coredump.c: core dumps: a module that never runs, whose sections hold what the program held.
 *
 *   at the trap: frames -> struct coredump.frames (encoded)      the wasm stack still stands
 *   at the end:  core, coremodules, coreinstances, corestack | memory | global | data -> the file, in one go
 *
 * Source: WebAssembly tool conventions, "Coredump". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/run.h"
#include "interp/interp.h"

/* Lowering functions again for their operands ends after so many bytes of code: a deep recursion through a
 * large function shows the locals of every frame, and the operands of as many as that buys. */
#define OPERAND_WORK (UINT64_C(32) << 20)
/* More pieces of memory than a module may have data segments become fewer by taking zeroes along. */
#define MAX_RUNS 50000
#define PAGE     4096u

enum { SECTION_CUSTOM = 0, SECTION_MEMORY = 5, SECTION_GLOBAL = 6, SECTION_DATA = 11 };
enum { MISSING = 0x01, F64 = 0x7C, F32 = 0x7D, I64 = 0x7E, I32 = 0x7F, V128 = 0x7B };
enum { REF_EXN = 0x69, REF_ANY = 0x6E, REF_EXTERN = 0x6F, REF_FUNC = 0x70 };
enum { OP_END = 0x0B, OP_I32_CONST = 0x41, OP_I64_CONST, OP_F32_CONST, OP_F64_CONST, OP_REF_NULL = 0xD0 };

struct coredump {
    struct rt_observer observer; /* first */
    struct rt_store *store;
    struct bc_buf frames; /* of the last trap, encoded */
    uint32_t n_frames;
    uint64_t work; /* bytes of code left to lower again */
    struct interp_values values;
    bool failed; /* out of memory while the frames were encoded */
};

/* ---- at the trap ---- */

/* v128 and references have no form in a core dump. */
static void put_value(struct bc_buf *out, const struct interp_value *v) {
    switch (v->known ? (enum bc_kind)v->kind : BC_KIND_BOTTOM) {
    case BC_KIND_I32:
        bc_buf_u8(out, I32);
        bc_buf_s64(out, (int32_t)v->bits[0]);
        break;
    case BC_KIND_I64:
        bc_buf_u8(out, I64);
        bc_buf_s64(out, (int64_t)v->bits[0]);
        break;
    case BC_KIND_F32:
        bc_buf_u8(out, F32);
        bc_buf_fixed(out, v->bits[0], 4);
        break;
    case BC_KIND_F64:
        bc_buf_u8(out, F64);
        bc_buf_fixed(out, v->bits[0], 8);
        break;
    default: bc_buf_u8(out, MISSING);
    }
}

static void put_place(struct bc_buf *out, const struct rt_frame *at) {
    const struct bc_func *func = &at->instance->module->bc->funcs[at->func];
    bc_buf_u8(out, 0);
    bc_buf_u32(out, at->instance->id);
    bc_buf_u32(out, at->func);
    bc_buf_u32(out, at->offset >= func->body.offset ? at->offset - func->body.offset : 0);
}

static bool put_frame(void *context, const struct interp_frame *frame) {
    struct coredump *d = context;
    uint64_t size = frame->at.instance->module->bc->funcs[frame->at.func].body.size;
    bool operands = d->work >= size;
    if (operands) d->work -= size;
    if (interp_frame_values(frame, operands, &d->values)) d->failed = true;
    if (d->failed || d->frames.failed) return false;
    put_place(&d->frames, &frame->at);
    bc_buf_u32(&d->frames, d->values.n_locals);
    for (uint32_t i = 0; i < d->values.n_locals; i++) put_value(&d->frames, d->values.items + i);
    bc_buf_u32(&d->frames, d->values.n_operands);
    for (uint32_t i = 0; i < d->values.n_operands; i++)
        put_value(&d->frames, d->values.items + d->values.n_locals + i);
    d->n_frames++;
    return true;
}

/* Frames of compiled code have no values to show: then those that the backtrace kept are told, all without.
 */
static void put_places(struct coredump *d) {
    bc_buf_fini(&d->frames);
    d->n_frames = 0;
    for (uint32_t i = 0; i < d->store->n_frames; i++) {
        const struct rt_frame *frame = rt_store_frame(d->store, i);
        if (!frame || !frame->instance || frame->func == BC_NONE) continue;
        put_place(&d->frames, frame);
        bc_buf_bytes(&d->frames, "\0", 2); /* no locals, no operands */
        d->n_frames++;
    }
}

static void trapped(struct rt_observer *observer, struct rt_store *store) {
    struct coredump *d = (struct coredump *)observer;
    bc_buf_fini(&d->frames);
    d->failed = false;
    d->n_frames = 0;
    d->work = OPERAND_WORK;
    interp_each_frame(store, put_frame, d);
}

struct coredump *coredump_new(struct rt_store *store) {
    struct coredump *d = atoll_new(&atoll_default_alloc, 1, sizeof *d);
    if (!d) return NULL;
    d->observer.trapped = trapped;
    d->store = store;
    bc_buf_init(&d->frames, &atoll_default_alloc);
    store->observer = &d->observer;
    return d;
}

struct coredump *coredump_of(const struct rt_store *store) {
    struct rt_observer *observer = store->observer;
    return observer && observer->trapped == trapped ? (struct coredump *)observer : NULL;
}

void coredump_free(struct coredump *d) {
    if (!d) return;
    if (d->store->observer == &d->observer) d->store->observer = NULL;
    bc_buf_fini(&d->frames);
    interp_values_fini(&d->values, d->store->engine->alloc);
    atoll_free(&atoll_default_alloc, d, sizeof *d);
}

/* ---- at the end: what the store holds, listed ---- */

struct run_of_bytes { /* without a page of zeroes in it */
    uint32_t memory;
    uint64_t at, size;
};
struct contents {
    const struct rt_memory **memories; /* each once, however many instances share it */
    size_t n_memories, cap_memories;
    uint32_t *first_global;          /* by instance: the number of its first own global */
    const struct rt_global **others; /* constants of the first thread's, behind them */
    size_t n_others, cap_others;
    struct run_of_bytes *runs;
    size_t n_runs, cap_runs;
    bool failed;
};

static void contents_fini(struct contents *c, const struct rt_store *store) {
    atoll_free(&atoll_default_alloc, (void *)c->memories, c->cap_memories * sizeof *c->memories);
    atoll_free(&atoll_default_alloc, c->first_global, (store->n_instances + 1) * sizeof *c->first_global);
    atoll_free(&atoll_default_alloc, (void *)c->others, c->cap_others * sizeof *c->others);
    atoll_free(&atoll_default_alloc, c->runs, c->cap_runs * sizeof *c->runs);
}

/* The number of an item in a list, where it comes to stand when it does not yet. */
static uint32_t number_in(struct contents *c, const void ***list, size_t *n, size_t *capacity,
                          const void *item) {
    size_t i = 0;
    while (i < *n && (*list)[i] != item) i++;
    if (i < *n) return (uint32_t)i;
    void *p = (void *)*list;
    if (atoll_grow(&atoll_default_alloc, &p, capacity, i + 1, sizeof **list)) {
        c->failed = true;
        return 0;
    }
    *list = p;
    (*list)[(*n)++] = item;
    return (uint32_t)i;
}

static uint32_t memory_number(struct contents *c, const struct rt_memory *memory) {
    return number_in(c, (const void ***)&c->memories, &c->n_memories, &c->cap_memories, memory);
}

static uint32_t n_own_globals(const struct rt_instance *instance) {
    return instance->module->bc->n_globals - instance->module->bc->n_imported_globals;
}

static void list_entities(struct contents *c, const struct rt_store *store) {
    c->first_global = atoll_new(&atoll_default_alloc, store->n_instances + 1, sizeof *c->first_global);
    if (!c->first_global) {
        c->failed = true;
        return;
    }
    for (size_t i = 0; i < store->n_instances; i++) {
        const struct rt_instance *instance = store->instances[i];
        c->first_global[i + 1] = c->first_global[i] + n_own_globals(instance);
        for (uint32_t m = 0; m < instance->module->bc->n_memories; m++)
            memory_number(c, instance->memories[m]);
    }
}

/* The number of a global that an instance owns. No program imports one that the command made; a thread's
 * instance may have constants that belong to the first thread's. */
static uint32_t global_number(struct contents *c, const struct rt_store *store,
                              const struct rt_global *global) {
    for (size_t i = 0; i < store->n_instances; i++) {
        const struct rt_instance *owner = store->instances[i];
        if (global >= owner->own_globals && global < owner->own_globals + n_own_globals(owner))
            return c->first_global[i] + (uint32_t)(global - owner->own_globals);
    }
    return c->first_global[store->n_instances] +
           number_in(c, (const void ***)&c->others, &c->n_others, &c->cap_others, global);
}

static bool is_zero(const uint8_t *bytes, uint64_t n) {
    return !bytes[0] && !memcmp(bytes, bytes + 1, n - 1);
}

static void add_run(struct contents *c, uint32_t memory, uint64_t at, uint64_t size, uint64_t gap) {
    struct run_of_bytes *last = c->n_runs ? &c->runs[c->n_runs - 1] : NULL;
    if (last && last->memory == memory && at - (last->at + last->size) < gap) {
        last->size = at + size - last->at;
        return;
    }
    void *p = c->runs;
    if (atoll_grow(&atoll_default_alloc, &p, &c->cap_runs, c->n_runs + 1, sizeof *c->runs)) {
        c->failed = true;
        return;
    }
    c->runs = p;
    c->runs[c->n_runs++] = (struct run_of_bytes){memory, at, size};
}

/* Joins neighbours that are less than `gap` apart. */
static void join_runs(struct contents *c, uint64_t gap) {
    size_t n = c->n_runs;
    c->n_runs = 0;
    for (size_t i = 0; i < n; i++) {
        struct run_of_bytes r = c->runs[i];
        add_run(c, r.memory, r.at, r.size, gap);
    }
}

static void list_runs(struct contents *c) {
    for (uint32_t m = 0; m < c->n_memories; m++) {
        uint64_t size = atomic_load(&c->memories[m]->size_bytes);
        for (uint64_t at = 0; at < size && !c->failed; at += PAGE) {
            uint64_t n = size - at < PAGE ? size - at : PAGE;
            if (!is_zero(c->memories[m]->base + at, n)) add_run(c, m, at, n, 1);
        }
    }
    for (uint64_t gap = 2 * PAGE; c->n_runs > MAX_RUNS && gap; gap *= 2) join_runs(c, gap);
}

/* ---- the file ---- */

/* Appends a section, and empties its payload. */
static void put_section(struct bc_buf *out, uint8_t id, const char *name, struct bc_buf *payload) {
    struct bc_buf head;
    bc_buf_init(&head, &atoll_default_alloc);
    if (name) {
        bc_buf_u32(&head, (uint32_t)strlen(name));
        bc_buf_bytes(&head, name, strlen(name));
    }
    bc_buf_u8(out, id);
    bc_buf_u32(out, (uint32_t)(head.size + payload->size));
    bc_buf_bytes(out, head.data, head.size);
    bc_buf_bytes(out, payload->data, payload->size);
    if (head.failed || payload->failed || head.size + payload->size > UINT32_MAX) out->failed = true;
    bc_buf_fini(&head);
    payload->size = 0;
}

static void put_text(struct bc_buf *out, const char *text) {
    bc_buf_u8(out, 0);
    bc_buf_u32(out, (uint32_t)strlen(text));
    bc_buf_bytes(out, text, strlen(text));
}

static void put_instance(struct bc_buf *out, struct contents *c, const struct rt_store *store,
                         uint32_t index) {
    const struct rt_instance *instance = store->instances[index];
    const struct bc_module *bc = instance->module->bc;
    bc_buf_u8(out, 0);
    bc_buf_u32(out, index); /* an instance, a module: the command loads no file twice */
    bc_buf_u32(out, bc->n_memories);
    for (uint32_t i = 0; i < bc->n_memories; i++) bc_buf_u32(out, memory_number(c, instance->memories[i]));
    bc_buf_u32(out, bc->n_globals);
    for (uint32_t i = 0; i < bc->n_globals; i++)
        bc_buf_u32(out, global_number(c, store, instance->globals[i]));
}

static void put_process(struct bc_buf *out, const struct coredump *d, struct contents *c, const char *program,
                        uint32_t thread) {
    const struct rt_store *store = d->store;
    char name[24] = "main";
    if (thread) snprintf(name, sizeof name, "thread %u", thread);
    uint32_t n = (uint32_t)store->n_instances;
    struct bc_buf payload;
    bc_buf_init(&payload, &atoll_default_alloc);
    put_text(&payload, program);
    put_section(out, SECTION_CUSTOM, "core", &payload);
    bc_buf_u32(&payload, n);
    for (uint32_t i = 0; i < n; i++) put_text(&payload, store->instances[i]->module->label);
    put_section(out, SECTION_CUSTOM, "coremodules", &payload);
    bc_buf_u32(&payload, n);
    for (uint32_t i = 0; i < n; i++) put_instance(&payload, c, store, i);
    put_section(out, SECTION_CUSTOM, "coreinstances", &payload);
    put_text(&payload, name);
    bc_buf_u32(&payload, d->n_frames);
    bc_buf_bytes(&payload, d->frames.data, d->frames.size);
    put_section(out, SECTION_CUSTOM, "corestack", &payload);
    bc_buf_fini(&payload);
}

enum { LIMIT_MAX = 1, LIMIT_SHARED = 2, LIMIT_64 = 4, LIMIT_PAGE_SIZE = 8 };

static void put_memories(struct bc_buf *out, const struct contents *c) {
    struct bc_buf payload;
    bc_buf_init(&payload, &atoll_default_alloc);
    bc_buf_u32(&payload, (uint32_t)c->n_memories);
    for (size_t i = 0; i < c->n_memories; i++) {
        const struct bc_limits *type = &c->memories[i]->type;
        bool odd_pages = type->page_size_log2 != 16;
        int flags = (type->has_max ? LIMIT_MAX : 0) | (type->shared ? LIMIT_SHARED : 0) |
                    (type->is64 ? LIMIT_64 : 0) | (odd_pages ? LIMIT_PAGE_SIZE : 0);
        bc_buf_u8(&payload, (uint8_t)flags);
        bc_buf_u64(&payload, atomic_load(&c->memories[i]->size_bytes) >> type->page_size_log2);
        if (type->has_max) bc_buf_u64(&payload, type->max);
        if (odd_pages) bc_buf_u32(&payload, type->page_size_log2);
    }
    if (c->n_memories) put_section(out, SECTION_MEMORY, NULL, &payload);
    bc_buf_fini(&payload);
}

/* References mean nothing outside of the process: null, of the kind that they are. */
static uint8_t reference_kind(const struct rt_valtype *type) {
    if (type->type) return type->type->form == BC_TYPE_FUNC ? REF_FUNC : REF_ANY;
    switch ((enum bc_heap_kind)type->heap) {
    case BC_HEAP_FUNC:
    case BC_HEAP_NOFUNC: return REF_FUNC;
    case BC_HEAP_EXTERN:
    case BC_HEAP_NOEXTERN: return REF_EXTERN;
    case BC_HEAP_EXN:
    case BC_HEAP_NOEXN: return REF_EXN;
    default: return REF_ANY;
    }
}

static void put_global(struct bc_buf *out, const struct rt_global *global) {
    uint8_t ref = reference_kind(&global->type);
    static const uint8_t types[] = {[BC_KIND_I32] = I32,
                                    [BC_KIND_I64] = I64,
                                    [BC_KIND_F32] = F32,
                                    [BC_KIND_F64] = F64,
                                    [BC_KIND_V128] = V128};
    enum bc_kind kind = (enum bc_kind)global->type.kind;
    bc_buf_u8(out, kind == BC_KIND_REF ? ref : types[kind]);
    bc_buf_u8(out, 0); /* constant */
    switch (kind) {
    case BC_KIND_I32: bc_buf_u8(out, OP_I32_CONST), bc_buf_s64(out, global->value[0].i32); break;
    case BC_KIND_I64: bc_buf_u8(out, OP_I64_CONST), bc_buf_s64(out, global->value[0].i64); break;
    case BC_KIND_F32: bc_buf_u8(out, OP_F32_CONST), bc_buf_fixed(out, global->value[0].u32, 4); break;
    case BC_KIND_F64: bc_buf_u8(out, OP_F64_CONST), bc_buf_fixed(out, global->value[0].u64, 8); break;
    case BC_KIND_V128:
        bc_buf_bytes(out, "\xFD\x0C", 2); /* v128.const */
        bc_buf_fixed(out, global->value[0].u64, 8);
        bc_buf_fixed(out, global->value[1].u64, 8);
        break;
    default: bc_buf_u8(out, OP_REF_NULL), bc_buf_u8(out, ref);
    }
    bc_buf_u8(out, OP_END);
}

static void put_globals(struct bc_buf *out, const struct contents *c, const struct rt_store *store) {
    struct bc_buf payload;
    bc_buf_init(&payload, &atoll_default_alloc);
    uint32_t n = c->first_global[store->n_instances] + (uint32_t)c->n_others;
    bc_buf_u32(&payload, n);
    for (size_t i = 0; i < store->n_instances; i++) {
        const struct rt_instance *instance = store->instances[i];
        for (uint32_t g = 0; g < n_own_globals(instance); g++)
            put_global(&payload, instance->own_globals + g);
    }
    for (size_t i = 0; i < c->n_others; i++) put_global(&payload, c->others[i]);
    if (n) put_section(out, SECTION_GLOBAL, NULL, &payload);
    bc_buf_fini(&payload);
}

/* A data segment up to its bytes. */
static void put_run(struct bc_buf *out, const struct contents *c, const struct run_of_bytes *run) {
    bool is64 = c->memories[run->memory]->type.is64;
    bc_buf_u8(out, run->memory ? 2 : 0);
    if (run->memory) bc_buf_u32(out, run->memory);
    bc_buf_u8(out, is64 ? OP_I64_CONST : OP_I32_CONST);
    bc_buf_s64(out, is64 ? (int64_t)run->at : (int32_t)run->at);
    bc_buf_u8(out, OP_END);
    bc_buf_u32(out, (uint32_t)run->size);
}

/* `head`, then the data section. Its size is known first: the memories stand still, or at least do not
 * shrink. */
static int write_file(const char *path, const struct contents *c, const struct bc_buf *head) {
    struct bc_buf buf;
    struct cli_output out;
    bc_buf_init(&buf, &atoll_default_alloc);
    bc_buf_u32(&buf, (uint32_t)c->n_runs);
    uint64_t size = 0;
    for (size_t i = 0; i < c->n_runs; i++) {
        put_run(&buf, c, c->runs + i);
        size += c->runs[i].size;
    }
    size += buf.size;
    bool failed = buf.failed;
    bc_buf_fini(&buf);
    if (failed || size > UINT32_MAX) {
        cli_message("%s: %s", path, failed ? "out of memory" : "the memories hold more than a core dump can");
        return CLI_INTERNAL;
    }
    int status = cli_output_open(&out, path);
    if (status) return status;
    cli_output_write(&out, head->data, head->size);
    bc_buf_u8(&buf, SECTION_DATA);
    bc_buf_u32(&buf, (uint32_t)size);
    bc_buf_u32(&buf, (uint32_t)c->n_runs);
    for (size_t i = 0; i < c->n_runs && !buf.failed && !out.error; i++) {
        put_run(&buf, c, c->runs + i);
        cli_output_write(&out, buf.data, buf.size);
        cli_output_write(&out, c->memories[c->runs[i].memory]->base + c->runs[i].at, c->runs[i].size);
        buf.size = 0;
    }
    cli_output_write(&out, buf.data, buf.size); /* there were no runs */
    failed = buf.failed;
    bc_buf_fini(&buf);
    if (failed) cli_message("%s: out of memory", path);
    status = cli_output_close(&out, !failed);
    return failed ? CLI_INTERNAL : status;
}

int coredump_write(struct coredump *d, const char *path, const char *program, uint32_t thread) {
    struct contents c = {0};
    struct bc_buf head;
    int result = CLI_INTERNAL;
    bc_buf_init(&head, &atoll_default_alloc);
    if (!d->failed && d->n_frames != d->store->n_frames) put_places(d);
    list_entities(&c, d->store);
    if (!c.failed) list_runs(&c);
    if (!c.failed) {
        bc_buf_bytes(&head, "\0asm\1\0\0\0", 8);
        put_process(&head, d, &c, program, thread);
        put_memories(&head, &c);
        put_globals(&head, &c, d->store);
    }
    if (c.failed || d->failed || d->frames.failed || head.failed)
        cli_message("%s: out of memory", path);
    else
        result = write_file(path, &c, &head);
    bc_buf_fini(&head);
    contents_fini(&c, d->store);
    return result;
}
