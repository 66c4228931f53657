/* cli/boot_gdb.h: the remote protocol of gdb, as the files of `atoll boot --gdb` share it.
 *
 *   gdb_packet.c           bytes <-> packets
 *   boot_gdb.c             the connection on the machine's loop; when packets are answered
 *   boot_gdb_answer.c      a packet -> its answer
 *   boot_gdb_registers.c   registers, and the document that describes them
 *
 * Threads of the protocol are processors, numbered from 1. Whoever connects is as hostile as any guest. */
#ifndef ATOLL_CLI_BOOT_GDB_H
#define ATOLL_CLI_BOOT_GDB_H

#include "cli/boot.h"
#include "cli/gdb_packet.h"
#include "sysvm/debug.h"
#include "sysvm/layout.h"

struct boot_gdb {
    int listener, fd; /* -1: none */
    uint16_t port;
    bool runs;                     /* the first machine runs before a debugger comes */
    bool was_attached, is_leaving; /* is_leaving: the last one's breakpoints are to go */
    void (*kill)(void *context);
    void *context;
    /* of the machine that runs */
    struct vm_loop *loop;
    struct vm_debug *debug;
    struct vm_watch *accepts, *watch;
    /* of the connection */
    bool no_acks, has_packet; /* has_packet: frame.packet waits for the machine to stand still */
    bool owes_stop;           /* the debugger waits to be told why the machine stands */
    bool is_ending;           /* closed when all is sent */
    bool tells_kinds;         /* it knows swbreak and hwbreak */
    uint8_t in[1024];
    size_t at, n;
    struct gdb_frame frame;
    struct bc_buf reply, last, out; /* a payload; the last packet; bytes to send, from `sent` on */
    size_t sent;
    /* what packets say */
    unsigned selected; /* the processor they ask about */
    enum boot_gdb_wish { BOOT_GDB_STAY, BOOT_GDB_RESUME, BOOT_GDB_KILL, BOOT_GDB_DETACH } wish;
    enum vm_debug_action actions[VM_CPUS_MAX]; /* of BOOT_GDB_RESUME */
};

/* ---- boot_gdb_answer.c ---- */

/* Answers frame.packet into reply; `wish` says what it asked for beyond an answer. All processors stand still. */
void boot_gdb_answer(struct boot_gdb *g);
/* Why the machine stands; selects the processor that stopped it. */
void boot_gdb_put_stop(struct boot_gdb *g);
void boot_gdb_put_error(struct boot_gdb *g, unsigned number);

/* ---- boot_gdb_registers.c ---- */

void boot_gdb_describe_registers(struct bc_buf *out); /* target.xml */
/* Of the selected processor: all, or one by its number, in hexadecimal digits; or an error. */
void boot_gdb_get_registers(struct boot_gdb *g);
void boot_gdb_get_register(struct boot_gdb *g, uint64_t number);
void boot_gdb_set_registers(struct boot_gdb *g, const char *digits);
void boot_gdb_set_register(struct boot_gdb *g, uint64_t number, const char *digits);

#endif
