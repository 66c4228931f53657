/* tests/fuzz/fuzz_virtio_vsock.c: a hostile driver of stream sockets, with real UNIX sockets at the host's end. The
 * target's own deeds: a host program connects, sends, reads, hangs up; the loop's turn. After each deed the
 * connections have to add up. */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "sysvm/net/vsock_internal.h"
#include "tests/fuzz/virtio.h"

enum { HOST_ENDS = 8 };

static char folder[] = "/tmp/atoll-fuzz-vsock-XXXXXX", path[64];
static int listener = -1; /* of port 1 */

struct run {
    struct vfuzz v;
    struct vsock *vsock;
    struct vm_loop *loop;
    struct vm_timer *turn;
    unsigned n_deeds;
    int ends[HOST_ENDS]; /* of host programs; -1 = none */
};

static struct sockaddr_un address(const char *suffix) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s%s", path, suffix);
    return a;
}

static void clean_up(void) {
    unlink(address("_1").sun_path);
    unlink(path);
    rmdir(folder);
}

static void start(void) {
    struct sockaddr_un a;
    FUZZ_CHECK(mkdtemp(folder));
    atexit(clean_up);
    snprintf(path, sizeof path, "%s/v", folder);
    a = address("_1");
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    FUZZ_CHECK(!bind(listener, (struct sockaddr *)&a, sizeof a) && !listen(listener, 64));
}

static void keep_end(struct run *r, int fd) {
    for (int i = 0; i < HOST_ENDS && fd >= 0; i++)
        if (r->ends[i] < 0) {
            r->ends[i] = fd;
            return;
        }
    if (fd >= 0) close(fd);
}

static void host_connects(struct run *r) {
    struct sockaddr_un a = address("");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0 && send(fd, "CONNECT 22\n", 11, MSG_NOSIGNAL) == 11)
        keep_end(r, fd);
    else
        close(fd);
}

static void own_deed(struct run *r, unsigned deed) {
    static uint8_t bytes[3000];
    if (deed == 0) {
        host_connects(r);
        return;
    }
    if (deed == 4) return; /* a turn of the loop and no more */
    int *end = &r->ends[vfuzz_take(&r->v, 1) % HOST_ENDS];
    if (*end < 0) {
        *end = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        return;
    }
    if (deed == 1) (void)!send(*end, bytes, sizeof bytes, MSG_NOSIGNAL);
    if (deed == 2) (void)!recv(*end, bytes, sizeof bytes, 0);
    if (deed == 3) close(*end), *end = -1;
}

static void check(const struct vsock *v) {
    unsigned n = 0;
    for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++) {
        const struct vsock_connection *c = &v->connections[i];
        n += c->state != VSOCK_FREE;
        if (c->state == VSOCK_FREE) continue;
        FUZZ_CHECK(c->n_buffered <= VSOCK_BUFFER && c->received - c->passed_on == c->n_buffered);
        FUZZ_CHECK((c->fd >= 0) == (c->state != VSOCK_ENDING));
    }
    FUZZ_CHECK(n == v->n_connections && v->n_resets <= VSOCK_RESETS);
}

static void next_deed(void *context) {
    struct run *r = context;
    unsigned deed;
    if (r->v.at >= r->v.end || r->n_deeds++ >= VFUZZ_DEEDS) {
        vm_loop_stop(r->loop);
        return;
    }
    if (!vfuzz_step(&r->v, 5, &deed)) own_deed(r, deed);
    check(r->vsock);
    vm_timer_set(r->turn, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct run r = {.n_deeds = 0};
    struct sandbox *sandbox;
    const struct virtio_ops *ops;
    void *dev;
    struct sb_config sb = {.alloc = NULL};
    if (listener < 0) start();
    memset(r.ends, -1, sizeof r.ends);
    FUZZ_CHECK(!sb_new(&sb, &sandbox, NULL));
    FUZZ_CHECK(!vm_loop_new(&atoll_default_alloc, &r.loop, NULL));
    struct virtio_vsock_config config = {.loop = r.loop, .sandbox = sandbox, .spec = path};
    FUZZ_CHECK(!virtio_vsock_new(&config, &ops, &dev, NULL));
    r.vsock = dev;
    vfuzz_begin(&r.v, data, size, ops, dev);
    FUZZ_CHECK(!vm_timer_new(r.loop, next_deed, &r, &r.turn));
    vm_timer_set(r.turn, 0);
    FUZZ_CHECK(!vm_loop_run(r.loop));
    vm_timer_free(r.turn);
    fake_driver_free(r.v.d);
    for (int i = 0; i < HOST_ENDS; i++)
        if (r.ends[i] >= 0) close(r.ends[i]);
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) close(fd);
    vm_loop_free(r.loop);
    sb_free(sandbox);
    return 0;
}
