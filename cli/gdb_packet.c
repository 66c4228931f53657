/* cli/gdb_packet.c: see gdb_packet.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cli/gdb_packet.h"

/* ---- numbers ---- */

int gdb_digit(int c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool gdb_take_hex(const char **at, uint64_t *out) {
    unsigned n = 0;
    for (*out = 0; gdb_digit(**at) >= 0; n++) *out = *out << 4 | (uint64_t)gdb_digit(*(*at)++);
    return n > 0 && n <= 16;
}

bool gdb_take_char(const char **at, char wanted) { return **at == wanted && (*at)++; }

bool gdb_take_bytes(const char *at, void *out, size_t n) {
    if (strlen(at) != 2 * n || strspn(at, "0123456789abcdefABCDEF") != 2 * n) return false;
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)out)[i] = (uint8_t)(gdb_digit(at[2 * i]) << 4 | gdb_digit(at[2 * i + 1]));
    return true;
}

/* ---- bytes -> packets ---- */

/* A $ begins a packet wherever it stands: the one before never ended. */
static void take_inside(struct gdb_frame *f, uint8_t byte) {
    if (byte == '#') {
        f->packet[f->n < GDB_PACKET_MAX ? f->n : GDB_PACKET_MAX] = 0;
        f->at = GDB_SUM_HIGH;
        return;
    }
    bool again = byte == '$';
    f->sum = again ? 0 : (uint8_t)(f->sum + byte);
    if (!again && f->n < GDB_PACKET_MAX) f->packet[f->n] = (char)byte;
    f->n = again ? 0 : f->n < SIZE_MAX ? f->n + 1 : f->n;
}

static enum gdb_framed take_between(struct gdb_frame *f, uint8_t byte) {
    if (byte == 3) return GDB_FRAME_INTERRUPT;
    if (byte == '-') return GDB_FRAME_AGAIN;
    if (byte == '$') f->n = 0, f->sum = 0, f->at = GDB_INSIDE;
    return GDB_FRAME_MORE;
}

static enum gdb_framed take_sum(struct gdb_frame *f, uint8_t byte) {
    int low = gdb_digit(byte);
    f->at = GDB_BETWEEN;
    if (f->high < 0 || low < 0 || f->high * 16 + low != f->sum) return GDB_FRAME_BROKEN;
    return f->n > GDB_PACKET_MAX ? GDB_FRAME_LONG : GDB_FRAME_PACKET;
}

enum gdb_framed gdb_frame_take(struct gdb_frame *f, uint8_t byte) {
    switch (f->at) {
    case GDB_BETWEEN: return take_between(f, byte);
    case GDB_INSIDE: take_inside(f, byte); return GDB_FRAME_MORE;
    case GDB_SUM_HIGH:
        f->high = gdb_digit(byte);
        f->at = GDB_SUM_LOW;
        return GDB_FRAME_MORE;
    case GDB_SUM_LOW: break;
    }
    return take_sum(f, byte);
}

/* ---- answers ---- */

void gdb_frame_put(struct bc_buf *out, const void *payload, size_t n) {
    uint8_t sum = 0;
    for (size_t i = 0; i < n; i++) sum = (uint8_t)(sum + ((const uint8_t *)payload)[i]);
    bc_buf_u8(out, '$');
    bc_buf_bytes(out, payload, n);
    bc_buf_text(out, "#%02x", sum);
}

void gdb_put_hex(struct bc_buf *out, const void *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) bc_buf_text(out, "%02x", ((const uint8_t *)bytes)[i]);
}

/* Bytes that mean something in packets are escaped. */
static void put_piece(struct bc_buf *out, const struct bc_buf *document, uint64_t at, uint64_t n) {
    if (at > document->size) at = document->size;
    if (n > document->size - at) n = document->size - at;
    if (n > GDB_PACKET_MAX / 2 - 8) n = GDB_PACKET_MAX / 2 - 8;
    bc_buf_u8(out, at + n < document->size ? 'm' : 'l');
    for (uint64_t i = at; i < at + n; i++) {
        uint8_t c = document->data[i];
        bool special = c == '}' || c == '#' || c == '$' || c == '*';
        if (special) bc_buf_u8(out, '}');
        bc_buf_u8(out, special ? c ^ 0x20 : c);
    }
}

void gdb_put_document(struct bc_buf *out, const struct bc_buf *document, const char *range) {
    uint64_t at, n;
    if (!gdb_take_hex(&range, &at) || !gdb_take_char(&range, ',') || !gdb_take_hex(&range, &n) || *range)
        bc_buf_text(out, "E%02x", GDB_ERROR_PACKET);
    else if (document->failed)
        bc_buf_text(out, "E%02x", GDB_ERROR_FULL);
    else
        put_piece(out, document, at, n);
}

/* ---- tables of packets ---- */

bool gdb_begins(const char *packet, const char *beginning, bool whole, const char **out_arguments) {
    size_t n = strlen(beginning);
    *out_arguments = packet + n;
    return !strncmp(packet, beginning, n) && !(whole && packet[n]);
}

/* ---- going on ---- */

struct given {
    enum gdb_action action;
    bool is_all; /* for every thread that no action before is for */
    uint64_t thread;
};

/* One ACTION[:THREAD] and the ; behind it. */
static bool take_action(const char **at, struct given *out) {
    static const char letters[] = "cCsS";
    const char *letter = **at ? strchr(letters, **at) : NULL;
    uint64_t signal_number;
    if (!letter) return false;
    *out = (struct given){.action = letter - letters >= 2 ? GDB_STEP : GDB_CONTINUE};
    bool signalled = (letter - letters) & 1;
    ++*at;
    if (signalled && !gdb_take_hex(at, &signal_number)) return false;
    out->is_all = **at != ':' || !strncmp(*at, ":-1", 3);
    if (out->is_all) *at += **at == ':' ? 3 : 0;
    if (!out->is_all && (++*at, !gdb_take_hex(at, &out->thread))) return false;
    return !**at || *(*at)++ == ';';
}

bool gdb_are_actions(const char *actions) {
    struct given given;
    while (*actions)
        if (!take_action(&actions, &given)) return false;
    return true;
}

enum gdb_action gdb_action_for(const char *actions, uint64_t thread) {
    struct given given;
    while (*actions && take_action(&actions, &given))
        if (given.is_all || given.thread == thread) return given.action;
    return GDB_HOLD;
}

bool gdb_actions_of_old(const char *packet, uint64_t thread, char out[GDB_ACTIONS_OF_OLD]) {
    bool signalled = *packet == 'C' || *packet == 'S', steps = *packet == 's' || *packet == 'S';
    if (signalled ? strchr(packet, ';') != NULL : packet[1] != 0) return false;
    if (steps)
        snprintf(out, GDB_ACTIONS_OF_OLD, "s:%llx", (unsigned long long)thread);
    else
        snprintf(out, GDB_ACTIONS_OF_OLD, "c");
    return true;
}

/* ---- the port ---- */

static int fail(struct atoll_error *err, const char *what, int fd) {
    int error = errno;
    if (fd >= 0) close(fd);
    atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "--gdb: %s: %s", what, strerror(error));
    if (err) err->system_errno = error;
    return -1;
}

int gdb_listen(uint16_t *port, struct atoll_error *err) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return fail(err, "socket", fd);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, size) || listen(fd, 1) ||
        getsockname(fd, (struct sockaddr *)&address, &size))
        return fail(err, "cannot listen", fd);
    *port = ntohs(address.sin_port);
    return fd;
}
