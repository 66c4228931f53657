/* cli/boot_gdb_answer.c: packets of a machine's debugger and their answers. An empty answer means that a packet is not
 * known, which is how a debugger finds out what there is. */
#include <errno.h>
#include <string.h>
#include "cli/boot_gdb.h"

enum { READ_MAX = GDB_PACKET_MAX / 2 - 8, SIGNAL_INT = 2, SIGNAL_TRAP = 5, SIGNAL_SEGV = 11 };

void boot_gdb_put_error(struct boot_gdb *g, unsigned number) { bc_buf_text(&g->reply, "E%02x", number); }
static void ok(struct boot_gdb *g) { bc_buf_text(&g->reply, "OK"); }

/* ---- why it stands ---- */

static void put_reason(struct boot_gdb *g, const struct vm_debug_stop *stop) {
    static const char *const words[] = {
        [VM_BREAK_WRITE] = "watch", [VM_BREAK_READ] = "rwatch", [VM_BREAK_ACCESS] = "awatch"};
    if (stop->why == VM_DEBUG_DATA)
        bc_buf_text(&g->reply, "%s:%llx;", words[stop->data_kind], (unsigned long long)stop->address);
    if (stop->why == VM_DEBUG_CODE && g->tells_kinds)
        bc_buf_text(&g->reply, "%s:;", stop->is_hard ? "hwbreak" : "swbreak");
}

static void put_stop_of(struct boot_gdb *g, unsigned cpu) {
    struct vm_debug_stop stop = vm_debug_stop_of(g->debug, cpu);
    unsigned number = stop.why == VM_DEBUG_ASKED     ? SIGNAL_INT
                      : stop.why == VM_DEBUG_CRASHED ? SIGNAL_SEGV
                                                     : SIGNAL_TRAP;
    bc_buf_text(&g->reply, "T%02xthread:%x;", number, cpu + 1);
    put_reason(g, &stop);
}

void boot_gdb_put_stop(struct boot_gdb *g) {
    g->selected = vm_debug_stopped(g->debug);
    put_stop_of(g, g->selected);
}
static void stop_reason(struct boot_gdb *g, const char *p) {
    (void)p;
    put_stop_of(g, vm_debug_stopped(g->debug));
}

/* ---- queries ---- */

static void supported(struct boot_gdb *g, const char *p) {
    g->tells_kinds = strstr(p, "swbreak+") != NULL;
    bc_buf_text(&g->reply,
                "PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;vContSupported+;swbreak+;hwbreak+",
                GDB_PACKET_MAX);
}

static void start_no_ack_mode(struct boot_gdb *g, const char *p) {
    (void)p;
    g->no_acks = true;
    ok(g);
}

/* 1: it was there before the debugger, which leaves it running when it goes. */
static void was_attached(struct boot_gdb *g, const char *p) { (void)p, bc_buf_text(&g->reply, "1"); }

static void describe(struct boot_gdb *g, const char *p) {
    struct bc_buf document;
    bc_buf_init(&document, &atoll_default_alloc);
    boot_gdb_describe_registers(&document);
    gdb_put_document(&g->reply, &document, p);
    bc_buf_fini(&document);
}

/* ---- processors ---- */

/* A number in hexadecimal, 0 and -1 meaning the one that stopped; false: it is answered already. */
static bool take_cpu(struct boot_gdb *g, const char *p, unsigned *out) {
    uint64_t id = 0;
    bool any = !strcmp(p, "-1") || !strcmp(p, "0");
    bool valid = any || (gdb_take_hex(&p, &id) && !*p && id && id <= vm_debug_n_cpus(g->debug));
    if (!valid)
        boot_gdb_put_error(g, GDB_ERROR_NO_THREAD);
    else
        *out = any ? vm_debug_stopped(g->debug) : (unsigned)id - 1;
    return valid;
}

static void current_thread(struct boot_gdb *g, const char *p) {
    (void)p, bc_buf_text(&g->reply, "QC%x", g->selected + 1);
}
/* VM_CPUS_MAX of them fit into a packet. */
static void all_threads(struct boot_gdb *g, const char *p) {
    (void)p;
    for (unsigned i = 0; i < vm_debug_n_cpus(g->debug); i++)
        bc_buf_text(&g->reply, "%c%x", i ? ',' : 'm', i + 1);
}
static void no_more_threads(struct boot_gdb *g, const char *p) { (void)p, bc_buf_text(&g->reply, "l"); }

static void name_thread(struct boot_gdb *g, const char *p) {
    unsigned cpu;
    char text[32];
    if (!take_cpu(g, p, &cpu)) return;
    int n = snprintf(text, sizeof text, "processor %u", cpu);
    gdb_put_hex(&g->reply, text, (size_t)n);
}

/* Hg: the one that packets ask about from now on. Hc, of old: vCont is used. */
static void select_thread(struct boot_gdb *g, const char *p) {
    unsigned cpu;
    if (!*p) {
        boot_gdb_put_error(g, GDB_ERROR_PACKET);
        return;
    }
    if (!take_cpu(g, p + 1, &cpu)) return;
    if (*p == 'g') g->selected = cpu;
    ok(g);
}
static void is_alive(struct boot_gdb *g, const char *p) {
    unsigned cpu;
    if (take_cpu(g, p, &cpu)) ok(g);
}

/* ---- registers ---- */

static void all_registers(struct boot_gdb *g, const char *p) { (void)p, boot_gdb_get_registers(g); }
static void set_all_registers(struct boot_gdb *g, const char *p) { boot_gdb_set_registers(g, p); }

static void one_register(struct boot_gdb *g, const char *p) {
    uint64_t number;
    if (gdb_take_hex(&p, &number) && !*p)
        boot_gdb_get_register(g, number);
    else
        boot_gdb_put_error(g, GDB_ERROR_PACKET);
}
static void set_one_register(struct boot_gdb *g, const char *p) {
    uint64_t number;
    if (gdb_take_hex(&p, &number) && gdb_take_char(&p, '='))
        boot_gdb_set_register(g, number, p);
    else
        boot_gdb_put_error(g, GDB_ERROR_PACKET);
}

/* ---- memory ---- */

/* m ADDRESS,LENGTH: as many of them as there are. */
static void read_memory(struct boot_gdb *g, const char *p) {
    uint64_t address, n;
    uint8_t bytes[READ_MAX];
    if (!gdb_take_hex(&p, &address) || !gdb_take_char(&p, ',') || !gdb_take_hex(&p, &n) || *p) {
        boot_gdb_put_error(g, GDB_ERROR_PACKET);
        return;
    }
    size_t got = vm_debug_read(g->debug, g->selected, address, bytes, n < READ_MAX ? n : READ_MAX);
    if (n && !got)
        boot_gdb_put_error(g, GDB_ERROR_ADDRESS);
    else
        gdb_put_hex(&g->reply, bytes, got);
}

/* M ADDRESS,LENGTH:BYTES: all or nothing. */
static void write_memory(struct boot_gdb *g, const char *p) {
    uint64_t address, n;
    uint8_t bytes[GDB_PACKET_MAX];
    bool whole = gdb_take_hex(&p, &address) && gdb_take_char(&p, ',') && gdb_take_hex(&p, &n) &&
                 gdb_take_char(&p, ':') && n <= sizeof bytes && gdb_take_bytes(p, bytes, n);
    if (!whole)
        boot_gdb_put_error(g, GDB_ERROR_PACKET);
    else if (!vm_debug_write(g->debug, g->selected, address, bytes, n))
        boot_gdb_put_error(g, GDB_ERROR_ADDRESS);
    else
        ok(g);
}

/* ---- breakpoints ---- */

/* TYPE,ADDRESS,KIND; of data KIND is the length. False: answered already. */
static bool take_breakpoint(struct boot_gdb *g, const char *p, struct vm_breakpoint *out, bool *out_is_hard) {
    static const enum vm_break_kind kinds[] = {VM_BREAK_CODE, VM_BREAK_CODE, VM_BREAK_WRITE, VM_BREAK_READ,
                                               VM_BREAK_ACCESS};
    uint64_t type, address, n;
    if (!gdb_take_hex(&p, &type) || !gdb_take_char(&p, ',') || !gdb_take_hex(&p, &address) ||
        !gdb_take_char(&p, ',') || !gdb_take_hex(&p, &n)) {
        boot_gdb_put_error(g, GDB_ERROR_PACKET);
        return false;
    }
    if (type >= sizeof kinds / sizeof *kinds) return false;
    bool is_code = kinds[type] == VM_BREAK_CODE;
    *out = (struct vm_breakpoint){.address = address, .n_bytes = 1, .kind = kinds[type]};
    if (!is_code) out->n_bytes = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
    *out_is_hard = type == 1;
    return true;
}

static void set_breakpoint(struct boot_gdb *g, const char *p) {
    struct vm_breakpoint breakpoint;
    bool is_hard;
    if (!take_breakpoint(g, p, &breakpoint, &is_hard)) return;
    switch (vm_debug_set(g->debug, g->selected, &breakpoint, is_hard)) {
    case 0: ok(g); return;
    case ENOTSUP: return;
    case EINVAL: boot_gdb_put_error(g, GDB_ERROR_ADDRESS); return;
    default: boot_gdb_put_error(g, GDB_ERROR_FULL);
    }
}

static void clear_breakpoint(struct boot_gdb *g, const char *p) {
    struct vm_breakpoint breakpoint;
    bool is_hard;
    if (!take_breakpoint(g, p, &breakpoint, &is_hard)) return;
    vm_debug_clear(g->debug, &breakpoint, is_hard);
    ok(g);
}

/* ---- going on ---- */

/* vCont;ACTION[:THREAD];... */
static void go_on_by_thread(struct boot_gdb *g, const char *p) {
    static const enum vm_debug_action actions[] = {
        [GDB_HOLD] = VM_DEBUG_STAY, [GDB_CONTINUE] = VM_DEBUG_RUN, [GDB_STEP] = VM_DEBUG_STEP};
    bool some = false;
    if (!gdb_are_actions(p)) {
        boot_gdb_put_error(g, GDB_ERROR_PACKET);
        return;
    }
    for (unsigned i = 0; i < vm_debug_n_cpus(g->debug); i++) {
        g->actions[i] = actions[gdb_action_for(p, i + 1)];
        some |= g->actions[i] != VM_DEBUG_STAY;
    }
    if (some)
        g->wish = BOOT_GDB_RESUME;
    else
        boot_gdb_put_error(g, GDB_ERROR_NO_THREAD);
}

static void go_on(struct boot_gdb *g, const char *p) {
    char actions[GDB_ACTIONS_OF_OLD];
    (void)p;
    if (gdb_actions_of_old(g->frame.packet, g->selected + 1, actions))
        go_on_by_thread(g, actions);
    else
        boot_gdb_put_error(g, GDB_ERROR_PACKET);
}

static void continue_actions(struct boot_gdb *g, const char *p) {
    (void)p, bc_buf_text(&g->reply, "vCont;c;C;s;S");
}
static void end_machine(struct boot_gdb *g, const char *p) { (void)p, g->wish = BOOT_GDB_KILL; }
static void detach(struct boot_gdb *g, const char *p) {
    (void)p;
    g->wish = BOOT_GDB_DETACH;
    ok(g);
}

/* ---- by their beginnings ---- */

struct answer {
    const char *beginning;
    bool whole; /* nothing may follow */
    void (*answer)(struct boot_gdb *g, const char *arguments);
};
/* Longer beginnings stand before those that they begin with. */
static const struct answer answers[] = {
    {"?", true, stop_reason},
    {"qSupported", false, supported},
    {"QStartNoAckMode", true, start_no_ack_mode},
    {"qAttached", false, was_attached},
    {"qXfer:features:read:target.xml:", false, describe},
    {"qfThreadInfo", true, all_threads},
    {"qsThreadInfo", true, no_more_threads},
    {"qThreadExtraInfo,", false, name_thread},
    {"qC", true, current_thread},
    {"vCont?", true, continue_actions},
    {"vCont;", false, go_on_by_thread},
    {"vKill", false, end_machine},
    {"g", true, all_registers},
    {"G", false, set_all_registers},
    {"p", false, one_register},
    {"P", false, set_one_register},
    {"m", false, read_memory},
    {"M", false, write_memory},
    {"Z", false, set_breakpoint},
    {"z", false, clear_breakpoint},
    {"c", false, go_on},
    {"C", false, go_on},
    {"s", false, go_on},
    {"S", false, go_on},
    {"k", true, end_machine},
    {"D", false, detach},
    {"H", false, select_thread},
    {"T", false, is_alive},
};

void boot_gdb_answer(struct boot_gdb *g) {
    const char *arguments;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        const struct answer *a = &answers[i];
        if (!gdb_begins(g->frame.packet, a->beginning, a->whole, &arguments)) continue;
        a->answer(g, arguments);
        return;
    }
}
