/* cli/gdb_values.c: what a debugger reads and writes: memory, module bytes, call stack, locals, operands,
 * globals. */
#include <stdlib.h>
#include <string.h>
#include "cli/gdb.h"

enum { ERROR_NO_SUCH = 2 };
#define READ_MAX   (GDB_PACKET_MAX / 2 - 8)
#define FRAMES_MAX (GDB_PACKET_MAX / 16 - 1) /* 16 digits each */

void gdb_put_error(struct gdb *g, unsigned number) { bc_buf_text(&g->reply, "E%02x", number); }

void gdb_put_bytes(struct gdb *g, const void *bytes, size_t n) { gdb_put_hex(&g->reply, bytes, n); }

/* ---- memory ---- */

/* What lies at the address, and how many bytes follow it in its space, all of it from *start. */
struct range {
    uint8_t *bytes;
    uint64_t n, size;
    bool writable;
};

static bool find_range(const struct gdb *g, uint64_t address, struct range *out) {
    struct gdb_address a;
    if (!gdb_find_address(g, address, &a)) return false;
    const struct bc_module *bc = a.instance->module->bc;
    if (a.space == GDB_OBJECT) {
        *out = (struct range){.bytes = (uint8_t *)(uintptr_t)bc->bytes, .size = bc->n_bytes};
    } else {
        if (!bc->n_memories) return false;
        struct rt_memory *memory = gdb_instance_on(g->selected, a.instance)->memories[0];
        *out =
            (struct range){.bytes = memory->base, .size = atomic_load(&memory->size_bytes), .writable = true};
    }
    if (a.offset >= out->size) return false;
    out->bytes += a.offset;
    out->n = out->size - a.offset;
    return true;
}

/* m ADDRESS,LENGTH: as many of them as there are. */
void gdb_read_memory(struct gdb *g, const char *p) {
    uint64_t address, n;
    struct range r;
    if (!gdb_take_hex(&p, &address) || !gdb_take_char(&p, ',') || !gdb_take_hex(&p, &n) || *p) {
        gdb_put_error(g, GDB_ERROR_PACKET);
        return;
    }
    if (!find_range(g, address, &r)) {
        gdb_put_error(g, GDB_ERROR_ADDRESS);
        return;
    }
    if (n > r.n) n = r.n;
    gdb_put_bytes(g, r.bytes, n > READ_MAX ? READ_MAX : n);
}

/* M ADDRESS,LENGTH:BYTES: all or nothing, and only linear memory. */
void gdb_write_memory(struct gdb *g, const char *p) {
    uint64_t address, n;
    uint8_t bytes[GDB_PACKET_MAX];
    struct range r;
    bool whole = gdb_take_hex(&p, &address) && gdb_take_char(&p, ',') && gdb_take_hex(&p, &n) &&
                 gdb_take_char(&p, ':') && n <= sizeof bytes && gdb_take_bytes(p, bytes, n);
    if (!whole) {
        gdb_put_error(g, GDB_ERROR_PACKET);
        return;
    }
    if (!find_range(g, address, &r) || !r.writable || n > r.n) {
        gdb_put_error(g, GDB_ERROR_ADDRESS);
        return;
    }
    memcpy(r.bytes, bytes, n);
    bc_buf_text(&g->reply, "OK");
}

void gdb_memory_region(struct gdb *g, const char *p) {
    uint64_t address;
    struct range r;
    if (!gdb_take_hex(&p, &address) || *p) {
        gdb_put_error(g, GDB_ERROR_PACKET);
        return;
    }
    if (find_range(g, address, &r))
        bc_buf_text(&g->reply, "start:%llx;size:%llx;permissions:%s;",
                    (unsigned long long)(address - (r.size - r.n)), (unsigned long long)r.size,
                    r.writable ? "rw" : "rx");
    else /* to the end of this instance's part of the space */
        bc_buf_text(&g->reply, "start:%llx;size:%llx;", (unsigned long long)address,
                    (unsigned long long)((UINT64_C(1) << 32) - (uint32_t)address));
}

/* ---- frames ---- */

/* A frame that waits for a call shows where it will go on, as machines do: debuggers look one byte before. */
static uint32_t shown_offset(const struct interp_frame *frame) {
    const struct bc_module *bc = frame->at.instance->module->bc;
    const struct bc_func *func = &bc->funcs[frame->at.func];
    struct bc_instr in;
    bool waits = frame->calls &&
                 !bc_decode_instr(bc, frame->at.offset, func->body.offset + func->body.size, &in, NULL);
    return waits ? in.next : frame->at.offset;
}

static bool put_pc(void *context, const struct interp_frame *frame) {
    struct gdb *g = context;
    uint64_t pc = gdb_address(g, GDB_OBJECT, frame->at.instance, shown_offset(frame));
    gdb_put_bytes(g, &pc, sizeof pc);
    return frame->index + 1 < FRAMES_MAX;
}

/* Of a thread that is in the host only the place is known. */
static bool each_frame(struct gdb *g, interp_visitor *visit, void *context) {
    if (!atomic_load(&g->selected->still)) return false;
    interp_each_frame(g->selected->store, visit, context);
    return true;
}

void gdb_call_stack(struct gdb *g) {
    uint64_t at = g->selected->at;
    if (!each_frame(g, put_pc, g) || !g->reply.size) gdb_put_bytes(g, &at, sizeof at);
}

struct wanted { /* FRAME;INDEX, in decimal */
    struct gdb *g;
    uint64_t frame, index;
    bool operand, found;
};

static bool take_decimal(const char **at, uint64_t *out) {
    unsigned n = 0;
    for (*out = 0; **at >= '0' && **at <= '9'; n++) *out = *out * 10 + (uint64_t)(*(*at)++ - '0');
    return n > 0 && n <= 18;
}

static bool take_wanted(struct gdb *g, const char *p, struct wanted *out) {
    *out = (struct wanted){.g = g};
    if (take_decimal(&p, &out->frame) && gdb_take_char(&p, ';') && take_decimal(&p, &out->index) && !*p)
        return true;
    gdb_put_error(g, GDB_ERROR_PACKET);
    return false;
}

/* References are addresses of the host: they are not shown. */
static bool put_value(struct gdb *g, uint8_t kind, const void *bits) {
    switch ((enum bc_kind)kind) {
    case BC_KIND_I32:
    case BC_KIND_F32: gdb_put_bytes(g, bits, 4); return true;
    case BC_KIND_I64:
    case BC_KIND_F64: gdb_put_bytes(g, bits, 8); return true;
    case BC_KIND_V128: gdb_put_bytes(g, bits, 16); return true;
    default: return false;
    }
}

static bool find_value(void *context, const struct interp_frame *frame) {
    struct wanted *w = context;
    struct interp_values *values = &w->g->values;
    if (frame->index < w->frame) return true;
    if (interp_frame_values(frame, w->operand, values)) {
        gdb_put_error(w->g, GDB_ERROR_FULL);
        w->found = true;
        return false;
    }
    uint64_t n = w->operand ? values->n_operands : values->n_locals;
    uint64_t first = w->operand ? values->n_locals : 0;
    if (w->index < n) {
        const struct interp_value *v = values->items + first + w->index;
        w->found = v->known && put_value(w->g, v->kind, v->bits);
    }
    return false;
}

static void put_wanted(struct gdb *g, const char *arguments, bool operand) {
    struct wanted w;
    if (!take_wanted(g, arguments, &w)) return;
    w.operand = operand;
    each_frame(g, find_value, &w);
    if (!w.found) gdb_put_error(g, ERROR_NO_SUCH);
}

void gdb_local(struct gdb *g, const char *arguments) { put_wanted(g, arguments, false); }
void gdb_operand(struct gdb *g, const char *arguments) { put_wanted(g, arguments, true); }

static void find_in(struct wanted *w, const struct rt_instance *instance) {
    if (w->index >= instance->module->bc->n_globals) return;
    const struct rt_global *global = instance->globals[w->index];
    w->found = put_value(w->g, global->type.kind, global->value);
}

static bool find_global(void *context, const struct interp_frame *frame) {
    struct wanted *w = context;
    if (frame->index < w->frame) return true;
    find_in(w, frame->at.instance);
    return false;
}

/* INDEX;instance:ID;, the id as addresses have it, and the instance that of the selected thread. False: another form. */
static bool take_global_of(struct gdb *g, const char *p, struct wanted *out) {
    static const char key[] = ";instance:";
    struct gdb_address a;
    uint64_t id;
    *out = (struct wanted){.g = g};
    if (!take_decimal(&p, &out->index) || strncmp(p, key, strlen(key))) return false;
    p += strlen(key);
    bool whole = take_decimal(&p, &id) && (!*p || !strcmp(p, ";")) && id < 1 << 30;
    if (whole && gdb_find_address(g, id << 32, &a)) find_in(out, gdb_instance_on(g->selected, a.instance));
    if (!out->found) gdb_put_error(g, whole ? ERROR_NO_SUCH : GDB_ERROR_PACKET);
    return true;
}

void gdb_global(struct gdb *g, const char *arguments) {
    struct wanted w;
    if (take_global_of(g, arguments, &w) || !take_wanted(g, arguments, &w)) return;
    each_frame(g, find_global, &w);
    if (!w.found) gdb_put_error(g, ERROR_NO_SUCH);
}
