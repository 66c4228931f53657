/* cli/gdb.h: the remote protocol of gdb and lldb, as the files of `atoll run --gdb` share it.
 *
 *   gdb_link.c   bytes <-> packets             gdb.c         where the program stops and goes on
 *   gdb_answer.c a packet -> its answer        gdb_values.c  memory, call stack, locals, globals
 *
 * Whoever connects is as hostile as any program: packets are bounded, every number in them is checked, and
 * what is wrong is answered with an error. Source: gdb manual, "Remote Protocol"; lldb, "GDB Remote Protocol
 * Extensions", "WebAssembly". */
#ifndef ATOLL_CLI_GDB_H
#define ATOLL_CLI_GDB_H

#include "cli/run.h"
#include "interp/interp.h"

#define GDB_PACKET_MAX                                                                                       \
    4096 /* bytes of a packet's payload, either way; longer ones are answered with an error */

/* ---- gdb_link.c ---- */

struct gdb_link {
    int listener, fd; /* -1: none */
    bool no_acks;
    uint8_t in[GDB_PACKET_MAX];
    size_t at, n;
    char packet[GDB_PACKET_MAX + 1]; /* the last one that came; ends with a zero byte */
    struct bc_buf last;              /* the last one sent, whole: it may be asked for again */
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
/* Waits for the next packet, link->packet. */
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

struct gdb {
    struct rt_observer observer; /* first */
    struct rt_observer *other;   /* wants to be told of traps, too; or NULL */
    struct rt_store *store;
    struct gdb_link link;
    uint32_t n_preloads;
    bool entered;  /* the first instruction has been seen */
    bool stepping; /* stop at the next */
    bool detached; /* nobody is there: the program just runs */
    bool killed;
    bool trapped; /* it stands at a trap */
    enum gdb_resume {
        GDB_STAY,
        GDB_GO,
        GDB_STEP,
        GDB_KILL,
        GDB_DETACH
    } resume; /* what the last packet asked for */
    const char *reason;
    int signal;
    uint64_t pc;
    uint64_t *breakpoints; /* addresses, ascending */
    size_t n_breakpoints, cap_breakpoints;
    uint32_t unheard; /* instructions since the link was looked at */
    struct bc_buf reply;
    struct interp_values values;
};

uint64_t gdb_address(const struct gdb *g, enum gdb_space space, const struct rt_instance *instance,
                     uint32_t offset);
/* False: there is no such instance or space. */
bool gdb_find_address(const struct gdb *g, uint64_t address, struct gdb_address *out);
/* Where a breakpoint stands or would: the first index whose address is not below. */
size_t gdb_breakpoint_index(const struct gdb *g, uint64_t address);

/* ---- gdb_answer.c ---- */

/* Answers link->packet; g->resume says what it asked for beyond an answer. */
void gdb_answer(struct gdb *g);
/* Why and where the program stands. */
void gdb_put_stop(struct gdb *g);

/* ---- gdb_values.c: each appends hexadecimal digits, or an error ---- */

void gdb_put_error(struct gdb *g, unsigned number);
void gdb_put_bytes(struct gdb *g, const void *bytes, size_t n);
bool gdb_take_hex(const char **at, uint64_t *out);
void gdb_read_memory(struct gdb *g, const char *arguments);
void gdb_write_memory(struct gdb *g, const char *arguments);
void gdb_memory_region(struct gdb *g, const char *arguments);
void gdb_call_stack(struct gdb *g);
void gdb_local(struct gdb *g, const char *arguments);
void gdb_operand(struct gdb *g, const char *arguments);
void gdb_global(struct gdb *g, const char *arguments);

#endif
