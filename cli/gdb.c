/* cli/gdb.c: a debugger's view of a run: where the program stops, and what makes it go on.
 *
 *   gdb_new: listens -> gdb_wait: a debugger is there -> the first instruction: stop
 *   stop: packets are answered until one lets the program go on, step, or end
 *   running: breakpoints, and now and then a look whether the debugger wants it to stop
 *
 * All in the program's thread: it stands still because it is here. */
#include <signal.h>
#include "cli/gdb.h"

#define LOOK_EVERY 4096 /* instructions */

/* ---- addresses ---- */

uint64_t gdb_address(const struct gdb *g, enum gdb_space space, const struct rt_instance *instance,
                     uint32_t offset) {
    uint64_t id = instance->id == g->n_preloads ? 0 : instance->id + 1;
    return (uint64_t)space << 62 | id << 32 | offset;
}

bool gdb_find_address(const struct gdb *g, uint64_t address, struct gdb_address *out) {
    uint64_t space = address >> 62, id = address >> 32 & 0x3FFFFFFF, index = id ? id - 1 : g->n_preloads;
    if (space > GDB_OBJECT || index >= g->store->n_instances || (id && index >= g->n_preloads)) return false;
    *out = (struct gdb_address){(enum gdb_space)space, g->store->instances[index], (uint32_t)address};
    return true;
}

size_t gdb_breakpoint_index(const struct gdb *g, uint64_t address) {
    size_t low = 0, high = g->n_breakpoints;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (g->breakpoints[middle] < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool at_breakpoint(const struct gdb *g, uint64_t address) {
    size_t i = gdb_breakpoint_index(g, address);
    return i < g->n_breakpoints && g->breakpoints[i] == address;
}

/* ---- standing still ---- */

static void say(struct gdb *g) {
    gdb_link_send(&g->link, (const char *)g->reply.data, g->reply.size);
    g->reply.size = 0;
    if (g->reply.failed) g->killed = true; /* out of memory: nothing can be told any more */
}

/* Answers until the program may go on. */
static void serve(struct gdb *g) {
    g->resume = GDB_STAY;
    while (g->resume == GDB_STAY && !g->killed) {
        enum gdb_event event = gdb_link_receive(&g->link);
        if (event == GDB_STOPPED) return;
        if (event == GDB_CLOSED) g->resume = GDB_KILL;
        if (event != GDB_PACKET) continue; /* it stands already */
        gdb_answer(g);
        if (g->resume == GDB_STAY || g->resume == GDB_DETACH) say(g);
    }
    g->stepping = g->resume == GDB_STEP;
    if (g->resume == GDB_KILL) g->killed = true;
    if (g->resume != GDB_DETACH) return;
    g->detached = true;
    gdb_link_finish(&g->link);
}

static void stop(struct gdb *g, const char *reason, int number, bool tell) {
    g->reason = reason;
    g->signal = number;
    if (tell) {
        gdb_put_stop(g);
        say(g);
    }
    serve(g);
}

/* How often a probe is to ask. */
static void settle(struct gdb *g) {
    bool each = g->stepping || g->n_breakpoints;
    g->observer.quiet = g->detached ? UINT32_MAX : each ? 0 : LOOK_EVERY;
}

/* What ends the program, if something does. */
static enum rt_trap outcome(struct gdb *g) {
    if (g->killed)
        rt_store_interrupt(g->store, RT_INTERRUPT_CANCEL); /* all runs of the store, not only this one */
    switch (atomic_load(&g->store->interrupt)) {
    case RT_INTERRUPT_NONE: return RT_TRAP_NONE;
    case RT_INTERRUPT_TIMEOUT: return RT_TRAP_TIMEOUT;
    default: return RT_TRAP_INTERRUPTED;
    }
}

/* ---- called by the running program ---- */

static void look_at_link(struct gdb *g) {
    g->unheard = 0;
    if (!gdb_link_ready(&g->link)) return;
    enum gdb_event event = gdb_link_receive(&g->link);
    if (event == GDB_CLOSED) g->killed = true;
    if (event == GDB_INTERRUPT) stop(g, "signal", SIGINT, true);
    /* anything else: a debugger waits for the stop before it asks */
}

static enum rt_trap probe(struct rt_observer *observer, struct rt_store *store, struct rt_instance *instance,
                          uint32_t offset) {
    struct gdb *g = (struct gdb *)observer;
    (void)store;
    if (!g->detached) {
        g->pc = gdb_address(g, GDB_OBJECT, instance, offset);
        bool first = !g->entered;
        g->entered = true;
        if (first)
            stop(g, "trace", SIGTRAP, false); /* the debugger asks */
        else if (at_breakpoint(g, g->pc))
            stop(g, "breakpoint", SIGTRAP, true);
        else if (g->stepping)
            stop(g, "trace", SIGTRAP, true);
        else if ((g->unheard += g->n_breakpoints ? 1 : LOOK_EVERY) >= LOOK_EVERY)
            look_at_link(g);
    }
    settle(g);
    return outcome(g);
}

static bool take_pc(void *context, const struct interp_frame *frame) {
    struct gdb *g = context;
    g->pc = gdb_address(g, GDB_OBJECT, frame->at.instance, frame->at.offset);
    return false;
}

static void trapped(struct rt_observer *observer, struct rt_store *store) {
    struct gdb *g = (struct gdb *)observer;
    if (g->other) g->other->trapped(g->other, store);
    bool ends =
        store->trap == RT_TRAP_INTERRUPTED || store->trap == RT_TRAP_TIMEOUT || store->trap == RT_TRAP_EXIT;
    if (g->detached || g->killed || ends) return;
    g->entered = true;
    interp_each_frame(store, take_pc, g);
    g->trapped = true;
    stop(g, "exception", SIGTRAP, true);
    g->trapped = false;
    settle(g);
}

/* ---- beginning and end ---- */

struct gdb *gdb_new(struct rt_store *store, uint16_t port, uint32_t n_preloads, struct atoll_error *err) {
    struct gdb *g = atoll_new(&atoll_default_alloc, 1, sizeof *g);
    if (!g) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory"), NULL;
    *g = (struct gdb){.observer = {.trapped = trapped, .probe = probe},
                      .other = store->observer,
                      .store = store,
                      .link = {.listener = -1, .fd = -1},
                      .n_preloads = n_preloads};
    bc_buf_init(&g->reply, &atoll_default_alloc);
    bc_buf_init(&g->link.last, &atoll_default_alloc);
    if (gdb_link_listen(&g->link, &port, err)) {
        gdb_free(g);
        return NULL;
    }
    store->observer = &g->observer;
    cli_message("waiting for a debugger at 127.0.0.1:%u", port);
    return g;
}

enum atoll_status gdb_wait(struct gdb *g, struct atoll_error *err) { return gdb_link_accept(&g->link, err); }

bool gdb_killed(const struct gdb *g) { return g && g->killed; }

void gdb_finish(struct gdb *g, int status) {
    if (!g || g->link.fd < 0 || g->detached) return;
    enum rt_trap trap = g->store->trap;
    bool by_signal =
        status > CLI_SIGNAL && trap != RT_TRAP_NONE && trap != RT_TRAP_EXIT; /* not its own status */
    if (!g->entered) stop(g, "trace", SIGTRAP, false); /* nothing ran: whoever connected is told so */
    bc_buf_text(&g->reply, by_signal ? "X%02x" : "W%02x", by_signal ? status - CLI_SIGNAL : status & 255);
    say(g);
    gdb_link_finish(&g->link);
}

void gdb_free(struct gdb *g) {
    if (!g) return;
    if (g->store->observer == &g->observer) g->store->observer = g->other;
    gdb_link_close(&g->link);
    bc_buf_fini(&g->reply);
    interp_values_fini(&g->values, g->store->engine->alloc);
    atoll_free(&atoll_default_alloc, g->breakpoints, g->cap_breakpoints * sizeof *g->breakpoints);
    atoll_free(&atoll_default_alloc, g, sizeof *g);
}
