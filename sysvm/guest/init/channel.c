/* sysvm/guest/init/channel.c: messages over the console port. The port is a terminal to the kernel: it is set to leave
 * the bytes as they are. */
#include "sysvm/guest/init/init.h"

#define WAIT_MS 20000 /* for the driver to find its device */

static void make_raw(int port) {
    struct termios t;
    if (SYS3(ioctl, port, TCGETS, &t)) return;
    t.c_iflag = t.c_oflag = t.c_lflag = 0;
    t.c_cflag = (t.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8 | CREAD | CLOCAL;
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    SYS3(ioctl, port, TCSETS, &t);
}

void channel_open(struct channel *c) {
    long port = -ENOENT;
    for (int ms = 0; ms < WAIT_MS && port < 0; ms++) {
        struct {
            long seconds, nanoseconds;
        } pause = {0, 1000000};
        port = sys_open(GUEST_PORT, O_RDWR | O_NOCTTY);
        if (port < 0) SYS2(nanosleep, &pause, NULL);
    }
    if (port < 0) fail(c, 125, "cannot open ", GUEST_PORT, port);
    make_raw((int)port);
    c->port = (int)port;
    c->output_credit = GUEST_OUTPUT_WINDOW;
}

static void write_all(int fd, const uint8_t *bytes, size_t n) {
    while (n) {
        long done = sys_write(fd, bytes, n);
        if (done == -EINTR) continue;
        if (done <= 0) return; /* nobody to tell it to */
        bytes += done;
        n -= (size_t)done;
    }
}

void channel_send(struct channel *c, int kind, const void *bytes, size_t n) {
    uint8_t message[GUEST_HEADER_BYTES + GUEST_PAYLOAD_MAX];
    if (n > GUEST_PAYLOAD_MAX) n = GUEST_PAYLOAD_MAX;
    message[0] = (uint8_t)kind;
    message[1] = 0;
    message[2] = (uint8_t)n;
    message[3] = (uint8_t)(n >> 8);
    if (n) memcpy(message + GUEST_HEADER_BYTES, bytes, n);
    write_all(c->port, message, GUEST_HEADER_BYTES + n);
}

void channel_receive(struct channel *c, void (*take)(void *context, int kind, const uint8_t *bytes, size_t n),
                     void *context) {
    long n = sys_read(c->port, c->in + c->n_in, sizeof c->in - c->n_in);
    if (n <= 0) return;
    c->n_in += (size_t)n;
    while (c->n_in >= GUEST_HEADER_BYTES) {
        size_t size = (size_t)(c->in[2] | c->in[3] << 8), whole = GUEST_HEADER_BYTES + size;
        if (size > GUEST_PAYLOAD_MAX) fail(c, 125, "a message is too long", "", 0);
        if (c->n_in < whole) break;
        take(context, c->in[0], c->in + GUEST_HEADER_BYTES, size);
        memmove(c->in, c->in + whole, c->n_in - whole);
        c->n_in -= whole;
    }
}
