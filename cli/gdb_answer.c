/* cli/gdb_answer.c: packets and their answers. An empty answer means that a packet is not known, which is how
 * a debugger finds out what there is. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/gdb.h"

#define TRIPLE           "wasm32-unknown-wasi-wasm"
#define MAX_BREAKPOINTS  4096
#define MAX_THREADS_TOLD 128
enum { NO_MORE_REGISTERS = 0x45 };

static void ok(struct gdb *g) { bc_buf_text(&g->reply, "OK"); }

/* ---- why it stands ---- */

/* Where there are too many for a packet, debuggers ask for a list. */
static void put_threads(struct gdb *g) {
    const char *before = "threads:";
    unsigned n = 0;
    for (const struct gdb_thread *t = g->list; t; t = t->next) n++;
    if (n > MAX_THREADS_TOLD) return;
    for (const struct gdb_thread *t = g->list; t; t = t->next, before = ",")
        bc_buf_text(&g->reply, "%s%x", before, t->id);
    before = ";thread-pcs:";
    for (const struct gdb_thread *t = g->list; t; t = t->next, before = ",")
        bc_buf_text(&g->reply, "%s%llx", before, (unsigned long long)t->at);
    bc_buf_text(&g->reply, ";");
}

static void put_description(struct gdb *g, const struct gdb_thread *t) {
    bool told = t->store->trap == RT_TRAP_HOST && t->store->trap_text[0];
    const char *text = told ? t->store->trap_text : rt_trap_text(t->store->trap);
    bc_buf_text(&g->reply, "description:");
    gdb_put_bytes(g, text, strlen(text));
    bc_buf_text(&g->reply, ";");
}

/* A thread that stands because another stopped has no reason and signal 0. */
void gdb_put_stop(struct gdb *g, const struct gdb_thread *t) {
    uint64_t at = t->at;
    bc_buf_text(&g->reply, "T%02xthread:%x;name:", t->reason ? t->signal : 0, t->id);
    bc_buf_text(&g->reply, t->id == 1 ? "main;" : "thread %x;", t->id);
    put_threads(g);
    bc_buf_text(&g->reply, "00:");
    gdb_put_bytes(g, &at, sizeof at);
    bc_buf_text(&g->reply, ";");
    if (t->reason) bc_buf_text(&g->reply, "reason:%s;", t->reason);
    if (t->trapped) put_description(g, t);
}

/* ---- queries ---- */

static void supported(struct gdb *g, const char *p) {
    (void)p;
    bc_buf_text(&g->reply,
                "PacketSize=%x;qXfer:libraries:read+;qXfer:features:read+;QStartNoAckMode+;vContSupported+;"
                "qWasmInstance+",
                GDB_PACKET_MAX);
}

static void put_triple(struct gdb *g) {
    bc_buf_text(&g->reply, "vendor:unknown;ostype:wasi;arch:wasm32;triple:");
    gdb_put_bytes(g, TRIPLE, strlen(TRIPLE));
    bc_buf_text(&g->reply, ";endian:little;ptrsize:4;");
}

static void host_info(struct gdb *g, const char *p) {
    (void)p;
    put_triple(g);
}

static void process_info(struct gdb *g, const char *p) {
    (void)p;
    bc_buf_text(&g->reply, "pid:1;parent-pid:1;");
    put_triple(g);
}

static void register_info(struct gdb *g, const char *p) {
    if (strcmp(p, "0") == 0)
        bc_buf_text(&g->reply, "name:pc;alt-name:pc;bitsize:64;offset:0;encoding:uint;format:hex;"
                               "set:General Purpose Registers;gcc:16;dwarf:16;generic:pc;");
    else
        gdb_put_error(g, NO_MORE_REGISTERS);
}

static void working_directory(struct gdb *g, const char *p) {
    char path[PATH_MAX];
    (void)p;
    if (getcwd(path, sizeof path))
        gdb_put_bytes(g, path, strlen(path));
    else
        gdb_put_error(g, GDB_ERROR_ADDRESS);
}

static void current_thread(struct gdb *g, const char *p) {
    (void)p, bc_buf_text(&g->reply, "QC%x", g->selected->id);
}
/* Those behind number `id`, as many as a packet holds. */
static void list_threads(struct gdb *g, uint32_t id) {
    for (const struct gdb_thread *t = g->list; t && g->reply.size < GDB_PACKET_MAX - 16; t = t->next) {
        if (t->id <= id) continue;
        bc_buf_text(&g->reply, "%c%x", g->reply.size ? ',' : 'm', t->id);
        g->listed = t->id;
    }
    if (!g->reply.size) bc_buf_text(&g->reply, "l");
}
static void first_threads(struct gdb *g, const char *p) { (void)p, list_threads(g, 0); }
static void more_threads(struct gdb *g, const char *p) { (void)p, list_threads(g, g->listed); }

/* A number in hexadecimal, 0 and -1 meaning the thread that stopped; NULL: it is answered already. */
static struct gdb_thread *take_thread(struct gdb *g, const char *p) {
    uint64_t id = 0;
    bool any = !strcmp(p, "-1") || !strcmp(p, "0");
    struct gdb_thread *t = any ? g->stopped : gdb_take_hex(&p, &id) && !*p ? gdb_find_thread(g, id) : NULL;
    if (!t) gdb_put_error(g, GDB_ERROR_NO_THREAD);
    return t;
}
/* 0: the process was started for the debugger, which ends it when it leaves without detaching. */
static void was_attached(struct gdb *g, const char *p) { (void)p, bc_buf_text(&g->reply, "0"); }
static void stop_reason(struct gdb *g, const char *p) { (void)p, gdb_put_stop(g, g->stopped); }
static void thread_stop_reason(struct gdb *g, const char *p) {
    const struct gdb_thread *t = take_thread(g, p);
    if (t) gdb_put_stop(g, t);
}

static void start_no_ack_mode(struct gdb *g, const char *p) {
    (void)p;
    g->link.no_acks = true;
    ok(g);
}

/* ---- qXfer: a document, piece by piece ---- */

static void put_xml_text(struct bc_buf *out, const char *text) {
    for (; *text; text++) {
        if (strchr("<>&\"'", *text) || (unsigned char)*text < ' ')
            bc_buf_text(out, "&#%d;", (unsigned char)*text);
        else
            bc_buf_u8(out, (uint8_t)*text);
    }
}

static void put_libraries(const struct gdb *g, struct bc_buf *out) {
    bc_buf_text(out, "<library-list>");
    for (size_t i = 0; i < g->store->n_instances; i++) {
        const struct rt_instance *instance = g->store->instances[i];
        bc_buf_text(out, "<library name=\"");
        put_xml_text(out, instance->module->label);
        bc_buf_text(out, "\"><section address=\"0x%llx\"/></library>",
                    (unsigned long long)gdb_address(g, GDB_OBJECT, instance, 0));
    }
    bc_buf_text(out, "</library-list>");
}

static void put_features(struct bc_buf *out) {
    bc_buf_text(
        out,
        "<?xml version=\"1.0\"?><target version=\"1.0\"><architecture>wasm32</architecture>"
        "<feature name=\"org.atoll.wasm\"><reg name=\"pc\" bitsize=\"64\" regnum=\"0\" type=\"code_ptr\" "
        "generic=\"pc\" encoding=\"uint\" format=\"hex\"/></feature></target>");
}

static void transfer(struct gdb *g, const char *p) {
    static const char libraries[] = "libraries:read::", features[] = "features:read:target.xml:";
    struct bc_buf document;
    bool is_libraries = !strncmp(p, libraries, strlen(libraries));
    if (!is_libraries && strncmp(p, features, strlen(features))) return;
    p += is_libraries ? strlen(libraries) : strlen(features);
    bc_buf_init(&document, &atoll_default_alloc);
    if (is_libraries)
        put_libraries(g, &document);
    else
        put_features(&document);
    gdb_put_document(&g->reply, &document, p);
    bc_buf_fini(&document);
}

/* ---- registers: pc, 64 bits ---- */

static void all_registers(struct gdb *g, const char *p) {
    uint64_t at = g->selected->at;
    (void)p, gdb_put_bytes(g, &at, sizeof at);
}

static void one_register(struct gdb *g, const char *p) {
    uint64_t number;
    if (gdb_take_hex(&p, &number) && number == 0)
        all_registers(g, p);
    else
        gdb_put_error(g, GDB_ERROR_PACKET);
}

/* ---- breakpoints ---- */

/* Debugging sections let a function begin at its local declarations: a breakpoint there means its first
 * instruction. */
static uint32_t instruction_at(const struct bc_module *bc, uint32_t offset) {
    uint32_t low = bc->n_imported_funcs, high = bc->n_funcs;
    while (low < high) { /* bodies stand in order */
        uint32_t middle = low + (high - low) / 2;
        const struct bc_func *f = &bc->funcs[middle];
        if (offset >= f->body.offset && offset < f->code_offset) return f->code_offset;
        if (offset < f->body.offset)
            high = middle;
        else
            low = middle + 1;
    }
    return offset;
}

/* TYPE,ADDRESS,KIND: types 0 and 1 mean the same here, others are not known. False: answered already. */
static bool take_breakpoint(struct gdb *g, const char *p, uint64_t *out_address) {
    uint64_t type, kind;
    struct gdb_address a;
    if (!gdb_take_hex(&p, &type) || *p++ != ',' || !gdb_take_hex(&p, out_address) || *p++ != ',' ||
        !gdb_take_hex(&p, &kind)) {
        gdb_put_error(g, GDB_ERROR_PACKET);
        return false;
    }
    if (type > 1) return false;
    bool found = gdb_find_address(g, *out_address, &a) && a.space == GDB_OBJECT;
    const struct bc_module *bc = found ? a.instance->module->bc : NULL;
    if (bc && a.offset < bc->n_bytes) {
        *out_address += instruction_at(bc, a.offset) - a.offset;
        return true;
    }
    gdb_put_error(g, GDB_ERROR_ADDRESS);
    return false;
}

static void set_breakpoint(struct gdb *g, const char *p) {
    uint64_t address;
    if (!take_breakpoint(g, p, &address)) return;
    size_t i = gdb_breakpoint_index(g, address);
    if (i < g->n_breakpoints && g->breakpoints[i] == address) {
        ok(g);
        return;
    }
    void *grown = g->breakpoints;
    if (g->n_breakpoints >= MAX_BREAKPOINTS || atoll_grow(&atoll_default_alloc, &grown, &g->cap_breakpoints,
                                                          g->n_breakpoints + 1, sizeof *g->breakpoints)) {
        gdb_put_error(g, GDB_ERROR_FULL);
        return;
    }
    g->breakpoints = grown;
    memmove(g->breakpoints + i + 1, g->breakpoints + i, (g->n_breakpoints - i) * sizeof *g->breakpoints);
    g->breakpoints[i] = address;
    g->n_breakpoints++;
    ok(g);
}

static void clear_breakpoint(struct gdb *g, const char *p) {
    uint64_t address;
    if (!take_breakpoint(g, p, &address)) return;
    size_t i = gdb_breakpoint_index(g, address);
    if (i < g->n_breakpoints && g->breakpoints[i] == address) {
        g->n_breakpoints--;
        memmove(g->breakpoints + i, g->breakpoints + i + 1, (g->n_breakpoints - i) * sizeof *g->breakpoints);
    }
    ok(g);
}

/* ---- going on ---- */

/* vCont;ACTION[:THREAD];... */
static void go_on_by_thread(struct gdb *g, const char *p) {
    bool some = false;
    if (!gdb_are_actions(p)) {
        gdb_put_error(g, GDB_ERROR_PACKET);
        return;
    }
    for (const struct gdb_thread *t = g->list; t; t = t->next) some |= gdb_action_for(p, t->id) != GDB_HOLD;
    if (!some) {
        gdb_put_error(g, GDB_ERROR_NO_THREAD);
        return;
    }
    for (struct gdb_thread *t = g->list; t; t = t->next) {
        enum gdb_action action = gdb_action_for(p, t->id);
        t->stepping = action == GDB_STEP;
        atomic_store(&t->held, action == GDB_HOLD);
    }
    g->resume = GDB_GO;
}

static void go_on(struct gdb *g, const char *p) {
    char actions[GDB_ACTIONS_OF_OLD];
    (void)p;
    if (gdb_actions_of_old(g->link.frame.packet, g->stopped->id, actions))
        go_on_by_thread(g, actions);
    else
        gdb_put_error(g, GDB_ERROR_PACKET);
}

static void continue_actions(struct gdb *g, const char *p) {
    (void)p, bc_buf_text(&g->reply, "vCont;c;C;s;S");
}
static void end_program(struct gdb *g, const char *p) { (void)p, g->resume = GDB_KILL; }

static void detach(struct gdb *g, const char *p) {
    (void)p;
    g->resume = GDB_DETACH;
    ok(g);
}

/* Hg: the one that packets ask about from now on. Hc, of old: the one to step is the one that stopped. */
static void select_thread(struct gdb *g, const char *p) {
    struct gdb_thread *t = *p ? take_thread(g, p + 1) : NULL;
    if (t && *p == 'g') g->selected = t;
    if (t) ok(g);
    if (!*p) gdb_put_error(g, GDB_ERROR_PACKET);
}
static void is_alive(struct gdb *g, const char *p) {
    if (take_thread(g, p)) ok(g);
}
/* lldb asks for a thread's stack before it asks for values in its frames, and selects it no otherwise. */
static void call_stack(struct gdb *g, const char *p) {
    struct gdb_thread *t = take_thread(g, p);
    if (!t) return;
    g->selected = t;
    gdb_call_stack(g);
}

/* ---- by their beginnings ---- */

typedef void answer_fn(struct gdb *g, const char *arguments);
struct answer {
    const char *beginning;
    bool whole; /* nothing may follow */
    answer_fn *answer;
};
/* Longer beginnings stand before those that they begin with. */
static const struct answer answers[] = {
    {"?", true, stop_reason},
    {"qSupported", false, supported},
    {"QStartNoAckMode", true, start_no_ack_mode},
    {"qHostInfo", true, host_info},
    {"qProcessInfo", true, process_info},
    {"qRegisterInfo", false, register_info},
    {"qGetWorkingDir", true, working_directory},
    {"qfThreadInfo", true, first_threads},
    {"qsThreadInfo", true, more_threads},
    {"qThreadStopInfo", false, thread_stop_reason},
    {"qAttached", false, was_attached},
    {"qXfer:", false, transfer},
    {"qMemoryRegionInfo:", false, gdb_memory_region},
    {"qWasmCallStack:", false, call_stack},
    {"qWasmLocal:", false, gdb_local},
    {"qWasmGlobal:", false, gdb_global},
    {"qWasmStackValue:", false, gdb_operand},
    {"qC", true, current_thread},
    {"vCont?", true, continue_actions},
    {"vCont;", false, go_on_by_thread},
    {"vKill", false, end_program},
    {"g", true, all_registers},
    {"p", false, one_register},
    {"m", false, gdb_read_memory},
    {"M", false, gdb_write_memory},
    {"Z", false, set_breakpoint},
    {"z", false, clear_breakpoint},
    {"c", false, go_on},
    {"C", false, go_on},
    {"s", false, go_on},
    {"S", false, go_on},
    {"k", true, end_program},
    {"D", false, detach},
    {"H", false, select_thread},
    {"T", false, is_alive},
};

void gdb_answer(struct gdb *g) {
    const char *arguments;
    g->reply.size = 0;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        const struct answer *a = &answers[i];
        if (!gdb_begins(g->link.frame.packet, a->beginning, a->whole, &arguments)) continue;
        a->answer(g, arguments);
        return;
    }
}
