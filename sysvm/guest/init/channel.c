/* sysvm/guest/init/channel.c: messages over the console port. */
#include "sysvm/guest/init/init.h"

#define WAIT_MS 20000 /* for the driver to find its device, and the port its name */
#define PORTS   "/sys/class/virtio-ports"

/* Whether /sys/class/virtio-ports/PORT/name says what it should; a newline ends it. */
static bool is_named(const char *port, const char *name) {
    char path[128] = PORTS "/", found[64];
    text_add(path, sizeof path, port);
    text_add(path, sizeof path, "/name");
    long fd = sys_open(path, O_RDONLY);
    if (fd < 0) return false;
    long n = sys_read((int)fd, found, sizeof found - 1);
    sys_close((int)fd);
    if (n > 0 && found[n - 1] == '\n') n--;
    found[n > 0 ? n : 0] = 0;
    return !strcmp(found, name);
}

/* Opens the port of that name; -ENOENT: it is not there (yet). */
static long open_port(const char *name) {
    _Alignas(8) char entries[2048]; /* linux_dirent64: u64, u64, size u16, type u8, name */
    long folder = sys_open(PORTS, O_RDONLY | O_DIRECTORY), n = 0, port = -ENOENT;
    if (folder < 0) return folder;
    while (port == -ENOENT && (n = SYS3(getdents64, folder, entries, sizeof entries)) > 0) {
        for (long at = 0; port == -ENOENT && at < n;
             at += *(const uint16_t *)(const void *)(entries + at + 16)) {
            const char *entry = entries + at + 19;
            char path[128] = "/dev/";
            text_add(path, sizeof path, entry);
            if (is_named(entry, name)) port = sys_open(path, O_RDWR);
        }
    }
    sys_close((int)folder);
    return port;
}

void channel_open(struct channel *c) {
    long port = -ENOENT;
    for (int ms = 0; ms < WAIT_MS && port < 0; ms++) {
        struct {
            long seconds, nanoseconds;
        } pause = {0, 1000000};
        port = open_port(GUEST_PORT);
        if (port < 0) SYS2(nanosleep, &pause, NULL);
    }
    if (port < 0) fail(c, 125, "cannot open the port ", GUEST_PORT, port);
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
