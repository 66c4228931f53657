/* cli/gdb_answer.c: packets and their answers. An empty answer means that a packet is not known, which is how
 * a debugger finds out what there is. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/gdb.h"

#define TRIPLE          "wasm32-unknown-wasi-wasm"
#define MAX_BREAKPOINTS 4096
enum { ERROR_PACKET = 1, ERROR_FULL = 12, ERROR_ADDRESS = 14, NO_MORE_REGISTERS = 0x45 };

static void ok(struct gdb *g) { bc_buf_text(&g->reply, "OK"); }

/* ---- why it stands ---- */

void gdb_put_stop(struct gdb *g) {
    bc_buf_text(&g->reply, "T%02xthread:1;name:main;threads:1;thread-pcs:%llx;00:", g->signal,
                (unsigned long long)g->pc);
    gdb_put_bytes(g, &g->pc, sizeof g->pc);
    bc_buf_text(&g->reply, ";reason:%s;", g->reason);
    if (!g->trapped) return;
    bool told = g->store->trap == RT_TRAP_HOST && g->store->trap_text[0];
    const char *text = told ? g->store->trap_text : rt_trap_text(g->store->trap);
    bc_buf_text(&g->reply, "description:");
    gdb_put_bytes(g, text, strlen(text));
    bc_buf_text(&g->reply, ";");
}

/* ---- queries ---- */

static void supported(struct gdb *g, const char *p) {
    (void)p;
    bc_buf_text(&g->reply,
                "PacketSize=%x;qXfer:libraries:read+;qXfer:features:read+;QStartNoAckMode+;vContSupported+",
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
        gdb_put_error(g, ERROR_ADDRESS);
}

static void current_thread(struct gdb *g, const char *p) { (void)p, bc_buf_text(&g->reply, "QC1"); }
static void first_threads(struct gdb *g, const char *p) { (void)p, bc_buf_text(&g->reply, "m1"); }
static void no_more_threads(struct gdb *g, const char *p) { (void)p, bc_buf_text(&g->reply, "l"); }
/* 0: the process was started for the debugger, which ends it when it leaves without detaching. */
static void was_attached(struct gdb *g, const char *p) { (void)p, bc_buf_text(&g->reply, "0"); }
static void stop_reason(struct gdb *g, const char *p) { (void)p, gdb_put_stop(g); }
static void call_stack(struct gdb *g, const char *p) { (void)p, gdb_call_stack(g); }

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

/* A document's bytes are sent as they are: of those that would have to be escaped put_xml_text leaves none
 * but `}`, `#`,
 * `$`, `*` in a file's name, which are escaped here. */
static void put_piece(struct gdb *g, const struct bc_buf *document, uint64_t at, uint64_t n) {
    if (at > document->size) at = document->size;
    if (n > document->size - at) n = document->size - at;
    if (n > GDB_PACKET_MAX / 2 - 8) n = GDB_PACKET_MAX / 2 - 8;
    bc_buf_u8(&g->reply, at + n < document->size ? 'm' : 'l');
    for (uint64_t i = at; i < at + n; i++) {
        uint8_t c = document->data[i];
        bool special = c == '}' || c == '#' || c == '$' || c == '*';
        if (special) bc_buf_u8(&g->reply, '}');
        bc_buf_u8(&g->reply, special ? c ^ 0x20 : c);
    }
}

static void transfer(struct gdb *g, const char *p) {
    static const char libraries[] = "libraries:read::", features[] = "features:read:target.xml:";
    struct bc_buf document;
    uint64_t at, n;
    bool is_libraries = !strncmp(p, libraries, strlen(libraries));
    if (!is_libraries && strncmp(p, features, strlen(features))) return;
    p += is_libraries ? strlen(libraries) : strlen(features);
    if (!gdb_take_hex(&p, &at) || *p++ != ',' || !gdb_take_hex(&p, &n) || *p) {
        gdb_put_error(g, ERROR_PACKET);
        return;
    }
    bc_buf_init(&document, &atoll_default_alloc);
    if (is_libraries)
        put_libraries(g, &document);
    else
        put_features(&document);
    if (document.failed)
        gdb_put_error(g, ERROR_FULL);
    else
        put_piece(g, &document, at, n);
    bc_buf_fini(&document);
}

/* ---- registers: pc, 64 bits ---- */

static void all_registers(struct gdb *g, const char *p) { (void)p, gdb_put_bytes(g, &g->pc, sizeof g->pc); }

static void one_register(struct gdb *g, const char *p) {
    uint64_t number;
    if (gdb_take_hex(&p, &number) && number == 0)
        gdb_put_bytes(g, &g->pc, sizeof g->pc);
    else
        gdb_put_error(g, ERROR_PACKET);
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
        gdb_put_error(g, ERROR_PACKET);
        return false;
    }
    if (type > 1) return false;
    bool found = gdb_find_address(g, *out_address, &a) && a.space == GDB_OBJECT;
    const struct bc_module *bc = found ? a.instance->module->bc : NULL;
    if (bc && a.offset < bc->n_bytes) {
        *out_address += instruction_at(bc, a.offset) - a.offset;
        return true;
    }
    gdb_put_error(g, ERROR_ADDRESS);
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
        gdb_put_error(g, ERROR_FULL);
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

/* At an address of the debugger's choice: a wasm program cannot. */
static void go(struct gdb *g, enum gdb_resume how, const char *address) {
    if (*address)
        gdb_put_error(g, ERROR_PACKET);
    else
        g->resume = how;
}

static void go_on(struct gdb *g, const char *p) { go(g, GDB_GO, p); }
static void step(struct gdb *g, const char *p) { go(g, GDB_STEP, p); }
/* With a signal, which has no meaning for a wasm program. */
static void go_on_signalled(struct gdb *g, const char *p) { go(g, GDB_GO, strchr(p, ';') ? "?" : ""); }
static void step_signalled(struct gdb *g, const char *p) { go(g, GDB_STEP, strchr(p, ';') ? "?" : ""); }

/* vCont;ACTION:THREAD;...: the first action that is meant for the one thread there is. */
static void go_on_by_thread(struct gdb *g, const char *p) {
    switch (*p) {
    case 'c':
    case 'C': g->resume = GDB_GO; break;
    case 's':
    case 'S': g->resume = GDB_STEP; break;
    default: gdb_put_error(g, ERROR_PACKET);
    }
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

static void accept_thread(struct gdb *g, const char *p) { (void)p, ok(g); }

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
    {"qsThreadInfo", true, no_more_threads},
    {"qThreadStopInfo", false, stop_reason},
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
    {"C", false, go_on_signalled},
    {"s", false, step},
    {"S", false, step_signalled},
    {"k", true, end_program},
    {"D", false, detach},
    {"H", false, accept_thread},
    {"T", false, accept_thread},
};

void gdb_answer(struct gdb *g) {
    const char *packet = g->link.packet;
    g->reply.size = 0;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        const struct answer *a = &answers[i];
        size_t n = strlen(a->beginning);
        if (strncmp(packet, a->beginning, n) || (a->whole && packet[n])) continue;
        a->answer(g, packet + n);
        return;
    }
}
