/* cli/gdb.c: a debugger's view of a run: where the program stops, and what makes it go on.
 *
 *   gdb_new: listens -> gdb_wait: a debugger is there -> the first instruction: stop
 *   stop: packets are answered until one lets the program go on, step, or end
 *   running: breakpoints, and now and then a look whether the debugger wants it to stop
 *
 * All in the program's threads: the one that stops serves the debugger, the others stand still where they ask next. */
#include <signal.h>
#include "cli/gdb.h"

#define LOOK_EVERY 4096 /* instructions */

/* ---- addresses ---- */

/* Threads run the same modules, each in instances of its own: their code has the addresses of the first thread's. */
static uint32_t index_of(const struct gdb *g, const struct rt_instance *instance) {
    if (instance->store == g->store) return instance->id;
    for (size_t i = 0; i < g->store->n_instances; i++)
        if (g->store->instances[i]->module == instance->module) return (uint32_t)i;
    return g->n_preloads;
}

const struct rt_instance *gdb_instance_on(const struct gdb_thread *t, const struct rt_instance *instance) {
    if (instance->store == t->store || !atomic_load(&t->still)) return instance;
    for (size_t i = 0; i < t->store->n_instances; i++)
        if (t->store->instances[i]->module == instance->module) return t->store->instances[i];
    return instance;
}

uint64_t gdb_address(const struct gdb *g, enum gdb_space space, const struct rt_instance *instance,
                     uint32_t offset) {
    uint64_t index = index_of(g, instance), id = index == g->n_preloads ? 0 : index + 1;
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
static void answer_all(struct gdb *g) {
    g->resume = GDB_STAY;
    while (g->resume == GDB_STAY && !g->killed) {
        enum gdb_event event = gdb_link_receive(&g->link);
        if (event == GDB_STOPPED) break;
        if (event == GDB_CLOSED) g->resume = GDB_KILL;
        if (event != GDB_PACKET) continue; /* it stands already */
        gdb_answer(g);
        if (g->resume == GDB_STAY || g->resume == GDB_DETACH) say(g);
    }
    if (g->resume != GDB_GO) gdb_release_all(g);
    if (g->resume == GDB_KILL) g->killed = true;
    if (g->resume != GDB_DETACH) return;
    g->detached = true;
    gdb_link_finish(&g->link);
}

void gdb_serve(struct gdb_thread *t, const char *reason, int number, bool tell) {
    struct gdb *g = t->gdb;
    atomic_store(&g->halted, true);
    t->reason = reason;
    t->signal = number;
    g->stopped = g->selected = t;
    gdb_still_others(g, t);
    if (tell) {
        gdb_put_stop(g, t);
        say(g);
    }
    answer_all(g);
    t->reason = NULL;
    atomic_store(&g->halted, false);
    pthread_cond_broadcast(&g->changed);
}

/* A breakpoint that was taken away while a thread at it waited for its turn stops it no longer. */
static bool still_stops(const struct gdb_thread *t, const char *reason) {
    const struct gdb *g = t->gdb;
    if (g->killed || g->detached) return false;
    return strcmp(reason, "breakpoint") != 0 || at_breakpoint(g, t->at);
}

/* The others' turns come first: who is served decides who goes on. */
static void stop(struct gdb_thread *t, const char *reason, int number, bool tell) {
    struct gdb *g = t->gdb;
    atomic_store(&t->still, true);
    pthread_mutex_lock(&g->lock);
    gdb_wait_turn(t);
    if (still_stops(t, reason)) gdb_serve(t, reason, number, tell);
    gdb_wait_turn(t);
    atomic_store(&t->still, false);
    pthread_mutex_unlock(&g->lock);
}

/* How often a probe is to ask. */
static void settle(struct gdb_thread *t) {
    struct gdb *g = t->gdb;
    bool each = t->stepping || g->n_breakpoints || g->threads;
    t->observer.quiet = g->detached ? UINT32_MAX : each ? 0 : LOOK_EVERY;
}

/* What ends the program, if something does. */
static enum rt_trap outcome(struct gdb_thread *t) {
    if (t->gdb->killed) { /* all runs of the store, not only this one; the first thread ends the others */
        rt_store_interrupt(t->gdb->store, RT_INTERRUPT_CANCEL);
        rt_store_interrupt(t->store, RT_INTERRUPT_CANCEL);
    }
    switch (atomic_load(&t->store->interrupt)) {
    case RT_INTERRUPT_NONE: return RT_TRAP_NONE;
    case RT_INTERRUPT_TIMEOUT: return RT_TRAP_TIMEOUT;
    default: return RT_TRAP_INTERRUPTED;
    }
}

/* ---- called by the running program ---- */

void gdb_look_at_link(struct gdb_thread *t) {
    struct gdb *g = t->gdb;
    if (g->killed || g->detached || !gdb_link_ready(&g->link)) return;
    enum gdb_event event = gdb_link_receive(&g->link);
    if (event == GDB_CLOSED) {
        g->killed = true;
        pthread_cond_broadcast(&g->changed);
    }
    if (event == GDB_INTERRUPT) gdb_serve(t, "signal", SIGINT, true);
    /* anything else: a debugger waits for the stop before it asks */
}

static void look(struct gdb_thread *t) {
    t->unheard = 0;
    if (pthread_mutex_trylock(&t->gdb->lock)) return; /* another looks, or serves */
    atomic_store(&t->still, true);
    gdb_look_at_link(t);
    gdb_wait_turn(t);
    atomic_store(&t->still, false);
    pthread_mutex_unlock(&t->gdb->lock);
}

/* Returns whether the debugger has it step from here. */
static bool stand_still(struct gdb_thread *t) {
    atomic_store(&t->still, true);
    pthread_mutex_lock(&t->gdb->lock);
    gdb_wait_turn(t);
    atomic_store(&t->still, false);
    pthread_mutex_unlock(&t->gdb->lock);
    return t->stepping;
}

static void ask(struct gdb_thread *t) {
    struct gdb *g = t->gdb;
    bool first = !t->entered;
    t->entered = true;
    if ((atomic_load(&g->halted) || atomic_load(&t->held)) && stand_still(t)) return;
    if (first && t == &g->first)
        stop(t, "trace", SIGTRAP, false); /* the debugger asks */
    else if (at_breakpoint(g, t->at))
        stop(t, "breakpoint", SIGTRAP, true);
    else if (t->stepping)
        stop(t, "trace", SIGTRAP, true);
    else if ((t->unheard += g->n_breakpoints || g->threads ? 1 : LOOK_EVERY) >= LOOK_EVERY)
        look(t);
}

static enum rt_trap probe(struct rt_observer *observer, struct rt_store *store, struct rt_instance *instance,
                          uint32_t offset) {
    struct gdb_thread *t = (struct gdb_thread *)observer;
    struct gdb *g = t->gdb;
    (void)store;
    if (!g->detached) {
        atomic_store(&t->at, gdb_address(g, GDB_OBJECT, instance, offset));
        atomic_store(&t->asking, true); /* before `halted` is read: one that serves waits for it to be over */
        ask(t);
        settle(t);
        atomic_store(&t->asking, false);
    } else {
        settle(t);
    }
    return outcome(t);
}

static bool take_pc(void *context, const struct interp_frame *frame) {
    struct gdb_thread *t = context;
    atomic_store(&t->at, gdb_address(t->gdb, GDB_OBJECT, frame->at.instance, frame->at.offset));
    return false;
}

static void trapped(struct rt_observer *observer, struct rt_store *store) {
    struct gdb_thread *t = (struct gdb_thread *)observer;
    struct gdb *g = t->gdb;
    if (t->other) t->other->trapped(t->other, store);
    bool ends =
        store->trap == RT_TRAP_INTERRUPTED || store->trap == RT_TRAP_TIMEOUT || store->trap == RT_TRAP_EXIT;
    if (g->detached || g->killed || ends) return;
    t->entered = true;
    interp_each_frame(store, take_pc, t);
    t->trapped = true;
    stop(t, "exception", SIGTRAP, true);
    t->trapped = false;
    settle(t);
    if (t != &g->first) store->observer = t->other; /* whose dump is asked for when the program has ended */
}

/* ---- beginning and end ---- */

static void add_thread(struct gdb *g, struct gdb_thread *t, struct rt_store *store) {
    struct gdb_thread **end = &g->list;
    while (*end) end = &(*end)->next;
    *t = (struct gdb_thread){.observer = {.trapped = trapped, .probe = probe},
                             .other = store->observer,
                             .gdb = g,
                             .store = store,
                             .id = ++g->last_id};
    store->observer = &t->observer;
    *end = t;
}

void gdb_expect_threads(struct gdb *g) {
    if (g) g->threads = true;
}

struct gdb_thread *gdb_thread_new(struct gdb *g, struct rt_store *store) {
    struct gdb_thread *t = atoll_new(&atoll_default_alloc, 1, sizeof *t);
    if (!t) return NULL;
    pthread_mutex_lock(&g->lock);
    add_thread(g, t, store);
    pthread_mutex_unlock(&g->lock);
    return t;
}

/* One that was to step will not tell that it did: the others go on. */
void gdb_thread_end(struct gdb_thread *t) {
    if (!t) return;
    struct gdb *g = t->gdb;
    atomic_store(&t->still, true);
    pthread_mutex_lock(&g->lock);
    struct gdb_thread **link = &g->list;
    while (*link != t) link = &(*link)->next;
    *link = t->next;
    if (t->store->observer == &t->observer) t->store->observer = t->other;
    if (t->stepping) gdb_release_all(g);
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
    atoll_free(&atoll_default_alloc, t, sizeof *t);
}

struct gdb *gdb_new(struct rt_store *store, uint16_t port, uint32_t n_preloads, struct atoll_error *err) {
    struct gdb *g = atoll_new(&atoll_default_alloc, 1, sizeof *g);
    if (!g) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory"), NULL;
    *g = (struct gdb){.store = store, .link = {.listener = -1, .fd = -1}, .n_preloads = n_preloads};
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->changed, NULL);
    add_thread(g, &g->first, store);
    bc_buf_init(&g->reply, &atoll_default_alloc);
    bc_buf_init(&g->link.last, &atoll_default_alloc);
    if (gdb_link_listen(&g->link, &port, err)) {
        gdb_free(g);
        return NULL;
    }
    g->port = port;
    return g;
}

enum atoll_status gdb_wait(struct gdb *g, struct atoll_error *err) {
    cli_message("waiting for a debugger at 127.0.0.1:%u", g->port);
    return gdb_link_accept(&g->link, err);
}

bool gdb_killed(const struct gdb *g) { return g && g->killed; }

void gdb_finish(struct gdb *g, int status) {
    if (!g || g->link.fd < 0 || g->detached) return;
    enum rt_trap trap = g->store->trap;
    bool by_signal =
        status > CLI_SIGNAL && trap != RT_TRAP_NONE && trap != RT_TRAP_EXIT; /* not its own status */
    if (!g->first.entered)
        stop(&g->first, "trace", SIGTRAP, false); /* nothing ran: whoever connected is told so */
    bc_buf_text(&g->reply, by_signal ? "X%02x" : "W%02x", by_signal ? status - CLI_SIGNAL : status & 255);
    say(g);
    gdb_link_finish(&g->link);
}

void gdb_free(struct gdb *g) {
    if (!g) return;
    if (g->store->observer == &g->first.observer) g->store->observer = g->first.other;
    gdb_link_close(&g->link);
    bc_buf_fini(&g->reply);
    interp_values_fini(&g->values, g->store->engine->alloc);
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
    atoll_free(&atoll_default_alloc, g->breakpoints, g->cap_breakpoints * sizeof *g->breakpoints);
    atoll_free(&atoll_default_alloc, g, sizeof *g);
}
