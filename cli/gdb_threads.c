/* cli/gdb_threads.c: the threads of a program under a debugger: who runs, who stands still.
 *
 *   running   asks before each instruction (gdb.c, probe), and stands still when another serves the debugger
 *   still     its frames can be looked at
 *   in host   in a function of the host's or in memory.atomic.wait, where it does not ask; maybe for long. It stands
 *             still as soon as it comes back; until then only its place is known
 *
 * Who serves waits for the others to be one of the last two. What the place tells of "in host" can be wrong for calls by
 * reference; then a second is waited, and its frames are not looked at. */
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "cli/gdb.h"

#define NAP_US       100
#define HELD_LOOK_NS 50000000

/* Where a thread is by the instruction that it asked about last, and how often one naps for those there to be still. */
enum where { RUNNING, MAYBE_IN_HOST, IN_HOST };
static const unsigned naps_for[] = {[RUNNING] = 600000, [MAYBE_IN_HOST] = 10000, [IN_HOST] = 200};

struct gdb_thread *gdb_find_thread(const struct gdb *g, uint64_t id) {
    struct gdb_thread *t = g->list;
    while (t && t->id != id) t = t->next;
    return t;
}

static enum where where_is(const struct gdb *g, const struct gdb_thread *t) {
    struct gdb_address a;
    struct bc_instr in;
    uint64_t at = atomic_load(&t->at);
    if (!at || !gdb_find_address(g, at, &a)) return IN_HOST; /* its instance is being made */
    const struct bc_module *bc = a.instance->module->bc;
    if (bc_decode_instr(bc, a.offset, (uint32_t)bc->n_bytes, &in, NULL)) return IN_HOST;
    switch (in.op) {
    case BC_CALL:
    case BC_RETURN_CALL: return in.index < bc->n_imported_funcs ? IN_HOST : RUNNING;
    case BC_MEMORY_ATOMIC_WAIT32:
    case BC_MEMORY_ATOMIC_WAIT64: return IN_HOST;
    case BC_CALL_INDIRECT:
    case BC_RETURN_CALL_INDIRECT:
    case BC_CALL_REF:
    case BC_RETURN_CALL_REF: return MAYBE_IN_HOST;
    default: return RUNNING;
    }
}

/* A probe is over soon; an instruction may take long, so that all threads together get so many naps. */
static void still(const struct gdb *g, struct gdb_thread *t, unsigned *naps) {
    for (; !atomic_load(&t->still) && !cli_stopped(); usleep(NAP_US)) {
        if (atomic_load(&t->asking)) continue;
        enum where where = where_is(g, t);
        if (!naps[where]) return;
        naps[where]--;
    }
}

void gdb_still_others(struct gdb *g, const struct gdb_thread *self) {
    unsigned naps[sizeof naps_for / sizeof *naps_for];
    memcpy(naps, naps_for, sizeof naps);
    for (struct gdb_thread *t = g->list; t; t = t->next)
        if (t != self) still(g, t, naps);
}

void gdb_release_all(struct gdb *g) {
    for (struct gdb_thread *t = g->list; t; t = t->next) {
        t->stepping = false;
        atomic_store(&t->held, false);
    }
}

/* Nobody else may be running: one that is held listens, too. */
static void wait_held(struct gdb_thread *t) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += HELD_LOOK_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&t->gdb->changed, &t->gdb->lock, &until);
    if (!atomic_load(&t->gdb->halted)) gdb_look_at_link(t);
}

void gdb_wait_turn(struct gdb_thread *t) {
    struct gdb *g = t->gdb;
    while (!g->killed && !g->detached && !cli_stopped()) {
        if (atomic_load(&g->halted))
            pthread_cond_wait(&g->changed, &g->lock);
        else if (atomic_load(&t->held))
            wait_held(t);
        else
            return;
    }
}
