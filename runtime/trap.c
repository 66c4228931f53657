/* runtime/trap.c: how a run that did not return is told: trap texts, statuses, backtraces. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "runtime/internal.h"

#define FRAMES_INNER RT_BACKTRACE_INNER
#define FRAMES_OUTER (RT_BACKTRACE_MAX - FRAMES_INNER)

const char *rt_trap_text(enum rt_trap trap) {
    static const char *const texts[] = {
#define X(id, text) text,
        RT_TRAP_LIST(X)
#undef X
    };
    return (unsigned)trap < RT_TRAP_COUNT ? texts[trap] : "unknown trap";
}

static enum atoll_status status_of(enum rt_trap trap) {
    switch (trap) {
    case RT_TRAP_EXIT: return ATOLL_E_EXIT;
    case RT_TRAP_INTERRUPTED:
    case RT_TRAP_TIMEOUT:
    case RT_TRAP_OUT_OF_FUEL: return ATOLL_E_INTERRUPTED;
    default: return ATOLL_E_TRAP;
    }
}

enum atoll_status rt_trap_report(struct rt_store *store, enum rt_trap trap, struct atoll_error *err) {
    store->trap = trap;
    bool stopped = trap == RT_TRAP_INTERRUPTED || trap == RT_TRAP_TIMEOUT;
    /* the stop is delivered when it reaches the outermost caller: until then hosts in between must stop too
     */
    if (stopped && !store->host_depth) atomic_store(&store->interrupt, RT_INTERRUPT_NONE);
    if (trap == RT_TRAP_UNCAUGHT_EXCEPTION) rt_exception_describe(store);
    bool told = trap == RT_TRAP_HOST || trap == RT_TRAP_UNCAUGHT_EXCEPTION;
    const char *text = told && store->trap_text[0] ? store->trap_text : rt_trap_text(trap);
    return atoll_fail(err, status_of(trap), ATOLL_NO_OFFSET, "%s", text);
}

/* ---- frames: the innermost 48 in order, then a ring of the outermost 16 ---- */

void rt_store_capture(struct rt_store *store) {
    store->n_frames = 0;
    for (struct rt_activation *a = store->activation; a; a = a->previous)
        if (a->store == store && a->walk) a->walk(a);
}

static uint32_t frame_slot(uint32_t i) {
    return i < FRAMES_INNER ? i : FRAMES_INNER + (i - FRAMES_INNER) % FRAMES_OUTER;
}

void rt_store_add_frame(struct rt_store *store, const struct rt_instance *instance, uint32_t func,
                        uint32_t offset) {
    if (store->n_frames == UINT32_MAX) return;
    store->frames[frame_slot(store->n_frames++)] = (struct rt_frame){instance, func, offset};
}

const struct rt_frame *rt_store_frame(const struct rt_store *store, uint32_t i) {
    uint32_t n = store->n_frames;
    bool kept = i < n && (i < FRAMES_INNER || n - i <= FRAMES_OUTER);
    return kept ? store->frames + frame_slot(i) : NULL;
}

/* ---- backtrace text ---- */

void rt_put_name(struct bc_buf *out, struct bc_name name) {
    const uint8_t *c = (const uint8_t *)name.bytes;
    bool text = name.size && bc_utf8_valid(c, name.size);
    uint32_t n = name.size < 200 ? name.size : 200;
    while (text && n < name.size && (c[n] & 0xC0) == 0x80) n--; /* whole characters */
    for (uint32_t i = 0; i < n; i++) {
        bool c1 = text && c[i] == 0xC2 && c[i + 1] < 0xA0;
        if (c[i] < 0x20 || c[i] == 0x7F || (!text && c[i] >= 0x80) || c1)
            bc_buf_text(out, "\\%02x", c[i]);
        else
            bc_buf_u8(out, c[i]);
        if (c1) bc_buf_text(out, "\\%02x", c[++i]);
    }
}

static void put_place(struct bc_buf *out, const struct rt_module *module, uint32_t offset) {
    const char *label = module->label[0] ? module->label : "module";
    const struct bc_source_map_entry *entry =
        module->source_map ? bc_source_map_find(module->source_map, offset) : NULL;
    if (entry)
        bc_buf_text(out, "%s:%" PRIu32 ":%" PRIu32, label, entry->line, entry->column);
    else
        bc_buf_text(out, "%s:0x%" PRIx32, label, offset);
}

/* " at lib/copy.c:12:5"; nothing where the file is unknown. */
static void put_source(struct bc_buf *out, const struct bc_source *source) {
    if (!source->file.size) return;
    bc_buf_text(out, " at ");
    if (source->directory.size) {
        rt_put_name(out, source->directory);
        bc_buf_u8(out, '/');
    }
    rt_put_name(out, source->file);
    if (source->line) bc_buf_text(out, ":%" PRIu32, source->line);
    if (source->line && source->column) bc_buf_text(out, ":%" PRIu32, source->column);
}

/* Functions that were inlined there have lines of their own, the innermost first. */
static void put_inlined(struct bc_buf *out, const struct bc_source *sources, uint32_t n) {
    for (uint32_t i = 0; i + 1 < n; i++) {
        if (sources[i].function.size)
            rt_put_name(out, sources[i].function);
        else
            bc_buf_text(out, "?");
        bc_buf_text(out, " [inlined]");
        put_source(out, sources + i);
        bc_buf_text(out, "\n       ");
    }
}

#define INLINED_MAX 32

static void put_frame(struct bc_buf *out, uint32_t i, const struct rt_frame *frame, struct bc_debug *debug) {
    bc_buf_text(out, "%5" PRIu32 ": ", i);
    if (!frame->instance || frame->func == BC_NONE) {
        bc_buf_text(out, "<host function>\n");
        return;
    }
    struct rt_module *module = frame->instance->module;
    struct bc_source sources[INLINED_MAX];
    uint32_t n_sources = bc_debug_find(debug, frame->offset, sources, INLINED_MAX);
    put_inlined(out, sources, n_sources);
    struct bc_name name = rt_module_func_name(module, frame->func);
    if (name.size)
        rt_put_name(out, name);
    else
        bc_buf_text(out, "func[%" PRIu32 "]", frame->func);
    uint32_t start = module->bc->funcs[frame->func].code_offset;
    if (frame->offset >= start) bc_buf_text(out, "+0x%" PRIx32, frame->offset - start);
    bc_buf_text(out, " (");
    put_place(out, module, frame->offset);
    bc_buf_text(out, ")");
    if (n_sources) put_source(out, sources + n_sources - 1);
    bc_buf_text(out, "\n");
}

/* The reader of the frame's module: that of the frame before, mostly. */
static struct bc_debug *debug_of(const struct rt_frame *frame, struct bc_debug *debug,
                                 const struct rt_module **of) {
    if (!frame->instance || frame->instance->module == *of) return debug;
    bc_debug_free(debug);
    *of = frame->instance->module;
    return rt_module_debug(*of);
}

void rt_store_backtrace(const struct rt_store *store, struct bc_buf *out) {
    struct bc_debug *debug = NULL;
    const struct rt_module *debug_is_of = NULL;
    for (uint32_t i = 0; i < store->n_frames; i++) {
        const struct rt_frame *frame = rt_store_frame(store, i);
        if (frame) {
            debug = debug_of(frame, debug, &debug_is_of);
            put_frame(out, i, frame, debug);
            continue;
        }
        uint32_t left_out = store->n_frames - RT_BACKTRACE_MAX;
        bc_buf_text(out, "    ... %" PRIu32 " more frames\n", left_out);
        i += left_out - 1;
    }
    bc_debug_free(debug);
}
