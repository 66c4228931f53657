/* cli/gdb.h: the remote protocol of gdb and lldb, as the files of `atoll run --gdb` share it.
 *
 *   gdb_link.c   packets over a socket         gdb.c         where the program stops and goes on
 *   gdb_threads.c  the threads of the program: who runs, who stands still
 *   gdb_answer.c a packet -> its answer        gdb_values.c  memory, call stack, locals, globals
 *
 * Whoever connects is as hostile as any program: packets are bounded, every number in them is checked, and
 * what is wrong is answered with an error. Source: gdb manual, "Remote Protocol"; lldb, "GDB Remote Protocol
 * Extensions", "WebAssembly". */
#ifndef ATOLL_CLI_GDB_H
#define ATOLL_CLI_GDB_H

#include "cli/gdb_packet.h"
#include "cli/run.h"
#include "interp/interp.h"

/* ---- gdb_link.c ---- */

struct gdb_link {
    int listener, fd; /* -1: none */
    bool no_acks;
    uint8_t in[GDB_PACKET_MAX];
    size_t at, n;
    struct gdb_frame frame; /* its packet: the last one that came */
    struct bc_buf last;     /* the last one sent, whole: it may be asked for again */
};
enum gdb_event {
    GDB_PACKET,
    GDB_INTERRUPT, /* the byte 3 */
    GDB_CLOSED,
    GDB_STOPPED /* a signal or the timer wants atoll to end */
};
/* Listens on the loopback device; *port 0 becomes the one that was free. fails E_IO */
enum atoll_status gdb_link_listen(struct gdb_link *link, uint16_t *port, struct atoll_error *err);
/* Waits for a debugger; from then on nobody else can connect. fails E_IO, E_INTERRUPTED */
enum atoll_status gdb_link_accept(struct gdb_link *link, struct atoll_error *err);
/* Waits for the next packet, link->frame.packet. */
enum gdb_event gdb_link_receive(struct gdb_link *link);
/* Whether something has come, without waiting. */
bool gdb_link_ready(struct gdb_link *link);
void gdb_link_send(struct gdb_link *link, const char *payload, size_t size);
/* Lets the debugger read all that was sent; then the connection is over. */
void gdb_link_finish(struct gdb_link *link);
void gdb_link_close(struct gdb_link *link);

/* ---- addresses: bits 62..63 space, 32..61 instance, 0..31 byte ---- */

enum gdb_space { GDB_MEMORY, GDB_OBJECT }; /* linear memory 0; the module's bytes */
/* The program itself is 0, so that its pointers are addresses; what was preloaded counts from 1. */
struct gdb_address {
    enum gdb_space space;
    const struct rt_instance *instance;
    uint32_t offset;
};

/* A thread of the program, which runs in a store of its own. `still` and what is atomic is written by the thread itself
 * or under the lock; the rest belongs to the thread while it runs and to the one that serves while it is still. */
struct gdb_thread {
    struct rt_observer observer; /* first */
    struct rt_observer *other;   /* wants to be told of traps, too; or NULL */
    struct gdb *gdb;
    struct rt_store *store;
    struct gdb_thread *next;
    uint32_t id;         /* from 1, the program's first */
    _Atomic uint64_t at; /* the instruction that it asked about last; 0: none so far */
    atomic_bool asking;  /* is in its probe: soon still, or running */
    atomic_bool still;   /* waits for the debugger, or for others to have been served: its frames stand */
    atomic_bool held;    /* has to stay where it is while others go on */
    bool entered;        /* its first instruction has been seen */
    bool stepping;       /* stops at the next */
    bool trapped;        /* stands at a trap */
    const char *reason;  /* why it stopped; NULL: because another did */
    int signal;
    uint32_t unheard; /* instructions since the link was looked at */
};

struct gdb {
    struct rt_store *store; /* of the first thread */
    struct gdb_link link;
    uint16_t port;
    uint32_t n_preloads;
    bool threads;         /* the program may start some: each asks before every instruction */
    atomic_bool detached; /* nobody is there: the program just runs */
    atomic_bool killed;
    atomic_bool halted;   /* one thread serves the debugger, the others become still */
    pthread_mutex_t lock; /* held by the thread that serves; guards the rest */
    pthread_cond_t changed;
    struct gdb_thread first, *list;        /* by number */
    uint32_t last_id, listed;              /* the newest; the last that a list told of */
    struct gdb_thread *stopped, *selected; /* the one that serves; the one that packets ask about */
    enum gdb_resume { GDB_STAY, GDB_GO, GDB_KILL, GDB_DETACH } resume; /* what the last packet asked for */
    uint64_t *breakpoints;                                             /* addresses, ascending */
    size_t n_breakpoints, cap_breakpoints;
    struct bc_buf reply;
    struct interp_values values;
};

uint64_t gdb_address(const struct gdb *g, enum gdb_space space, const struct rt_instance *instance,
                     uint32_t offset);
/* False: there is no such instance or space. */
bool gdb_find_address(const struct gdb *g, uint64_t address, struct gdb_address *out);
/* The instance that code of `instance`, one of the first thread's, runs in on thread `t`. */
const struct rt_instance *gdb_instance_on(const struct gdb_thread *t, const struct rt_instance *instance);
/* Where a breakpoint stands or would: the first index whose address is not below. */
size_t gdb_breakpoint_index(const struct gdb *g, uint64_t address);

/* ---- gdb_threads.c: under the lock ---- */

/* NULL: there is no such thread. */
struct gdb_thread *gdb_find_thread(const struct gdb *g, uint64_t id);
/* Waits until the others are still, or known to be in the host, where they may be for long. */
void gdb_still_others(struct gdb *g, const struct gdb_thread *self);
/* All go on as they were; the next vCont may say otherwise. */
void gdb_release_all(struct gdb *g);
/* Waits while another thread serves, or this one is held. */
void gdb_wait_turn(struct gdb_thread *t);

/* ---- gdb.c ---- */

/* The thread has something to tell: it serves until the program may go on. */
void gdb_serve(struct gdb_thread *t, const char *reason, int number, bool tell);
/* Whether the debugger has something to say; now and then, by a thread that runs or is held. */
void gdb_look_at_link(struct gdb_thread *t);

/* ---- gdb_answer.c ---- */

/* Answers link->frame.packet; g->resume says what it asked for beyond an answer. */
void gdb_answer(struct gdb *g);
/* Why and where a thread stands. */
void gdb_put_stop(struct gdb *g, const struct gdb_thread *t);

/* ---- gdb_values.c: each appends hexadecimal digits, or an error ---- */

void gdb_put_error(struct gdb *g, unsigned number);
void gdb_put_bytes(struct gdb *g, const void *bytes, size_t n);
void gdb_read_memory(struct gdb *g, const char *arguments);
void gdb_write_memory(struct gdb *g, const char *arguments);
void gdb_memory_region(struct gdb *g, const char *arguments);
void gdb_call_stack(struct gdb *g);
void gdb_local(struct gdb *g, const char *arguments);
void gdb_operand(struct gdb *g, const char *arguments);
void gdb_global(struct gdb *g, const char *arguments);

#endif
