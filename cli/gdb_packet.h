/* cli/gdb_packet.h: what the debugger servers of `atoll run --gdb` and `atoll boot --gdb` share of the remote protocol:
 * packets, numbers, documents, the port.
 *
 *   $payload#checksum   acknowledged by + or - until the debugger asks for silence; the byte 3 between them interrupts
 *
 * Source: gdb manual, "Remote Protocol". */
#ifndef ATOLL_CLI_GDB_PACKET_H
#define ATOLL_CLI_GDB_PACKET_H

#include "bytecode/bytecode.h"

#define GDB_PACKET_MAX                                                                                       \
    4096 /* bytes of a packet's payload, either way; longer ones are answered with an error */

/* What packets that are wrong are answered with: as errno counts, where that has such a number. */
enum gdb_error {
    GDB_ERROR_PACKET = 1,
    GDB_ERROR_NO_THREAD = 3,
    GDB_ERROR_TOO_LONG = 7,
    GDB_ERROR_FULL = 12,
    GDB_ERROR_ADDRESS = 14
};

/* ---- bytes -> packets ---- */

struct gdb_frame {                   /* all zeroes: nothing has come */
    char packet[GDB_PACKET_MAX + 1]; /* after GDB_FRAME_PACKET; ends with a zero byte */
    size_t n;
    uint8_t sum;
    int high; /* the first digit of the checksum */
    enum { GDB_BETWEEN, GDB_INSIDE, GDB_SUM_HIGH, GDB_SUM_LOW } at;
};
enum gdb_framed {
    GDB_FRAME_MORE,
    GDB_FRAME_PACKET,    /* `packet` is whole */
    GDB_FRAME_LONG,      /* too long: to be answered with an error */
    GDB_FRAME_BROKEN,    /* its checksum is wrong: - */
    GDB_FRAME_INTERRUPT, /* the byte 3 */
    GDB_FRAME_AGAIN      /* the one sent last is wanted once more */
};
enum gdb_framed gdb_frame_take(struct gdb_frame *frame, uint8_t byte);

/* ---- answers ---- */

/* Appends a packet with that payload. */
void gdb_frame_put(struct bc_buf *out, const void *payload, size_t n);
void gdb_put_hex(struct bc_buf *out, const void *bytes, size_t n);
/* The part of a document that qXfer asks for with "OFFSET,LENGTH" (or an error), as much of it as a packet holds. */
void gdb_put_document(struct bc_buf *out, const struct bc_buf *document, const char *range);

/* ---- numbers ---- */

int gdb_digit(int c); /* of a hexadecimal digit; -1: none */
/* 1 to 16 digits, which *at moves behind. */
bool gdb_take_hex(const char **at, uint64_t *out);
/* Moves *at behind the character, if that is what stands there. */
bool gdb_take_char(const char **at, char wanted);
/* Exactly n bytes in hexadecimal digits, to the end of the text. */
bool gdb_take_bytes(const char *at, void *out, size_t n);

/* ---- tables of packets ---- */

/* Whether a packet begins so (whole: and is no more than that); *out_arguments is what follows. */
bool gdb_begins(const char *packet, const char *beginning, bool whole, const char **out_arguments);

/* ---- going on: ACTION[:THREAD];... of vCont ---- */

enum gdb_action { GDB_HOLD, GDB_CONTINUE, GDB_STEP };
bool gdb_are_actions(const char *actions);
/* The first that is meant for a thread counts; one that none is meant for stays where it is. */
enum gdb_action gdb_action_for(const char *actions, uint64_t thread);
/* The packets c, s, C05 and S05 as actions, a step of that thread; what a signal means is not told. False: they name an
 * address to go on at, which is what registers are written for. */
enum { GDB_ACTIONS_OF_OLD = 20 };
bool gdb_actions_of_old(const char *packet, uint64_t thread, char out[GDB_ACTIONS_OF_OLD]);

/* ---- the port ---- */

/* Listens on the loopback device; *port 0 becomes the one that was free. Returns the descriptor or -1; fails E_IO */
int gdb_listen(uint16_t *port, struct atoll_error *err);

#endif
