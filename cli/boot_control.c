/* cli/boot_control.c: the control socket of a running machine (docs/control.md).
 *
 *   accept -> a line -> a request -> an answer, and for "console" bytes both ways from then on
 *
 * After the start, all a machine needs for this is: accept4, getsockopt, recv, send and close on the loop's thread, and
 * at the end unlink of two files in the control folder. What consoles see is kept in a ring; a slow one misses some, and
 * the machine never waits. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cli/boot.h"
#include "cli/control.h"
#include "cli/ucl/ucl.h"

enum { CLIENTS_MAX = 16, RING_BYTES = 65536, INPUT_BYTES = 1024 };

struct client {
    struct boot_control *control;
    int fd; /* -1: free */
    struct vm_watch *watch;
    bool is_console, ends; /* ends: closed when all is sent */
    char line[CONTROL_LINE_MAX];
    size_t n_line;
    char answer[CONTROL_LINE_MAX];
    size_t n_answer, n_sent;
    uint64_t seen; /* of the console's output */
    uint8_t input[INPUT_BYTES];
    size_t input_from, n_input;
};

struct boot_control {
    struct control_folder folder;
    char name[CONTROL_NAME_MAX + 1];
    int lock, socket;
    struct boot_control_events events;
    char *facts; /* owned: fields of "info" that do not change */
    uint64_t start_ns, kill_ns;
    struct client clients[CLIENTS_MAX];
    uint8_t ring[RING_BYTES]; /* the last bytes of output */
    uint64_t n_output;        /* all there were */
    /* of the machine that runs */
    struct vm_loop *loop;
    struct vm_watch *watch;
    struct vm_timer *timer;
    struct vm_stream_device device;
    bool posted;
};

/* ---- to a client ---- */

static void close_client(struct client *c) {
    vm_watch_free(c->watch);
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->watch = NULL;
}

/* True when all is sent. */
static bool send_bytes(struct client *c, const void *bytes, size_t n, size_t *out_sent) {
    ssize_t sent = send(c->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    *out_sent = sent > 0 ? (size_t)sent : 0;
    if (sent < 0 && errno != EAGAIN && errno != EINTR) c->ends = true, *out_sent = n;
    return *out_sent == n;
}

static bool send_answer(struct client *c) {
    size_t sent;
    if (c->n_sent == c->n_answer) return true;
    bool done = send_bytes(c, c->answer + c->n_sent, c->n_answer - c->n_sent, &sent);
    c->n_sent += sent;
    return done;
}

static bool send_output(struct client *c) {
    const struct boot_control *b = c->control;
    if (b->n_output - c->seen > RING_BYTES) c->seen = b->n_output - RING_BYTES;
    while (c->seen < b->n_output) {
        size_t at = c->seen % RING_BYTES, n = RING_BYTES - at, sent;
        if (n > b->n_output - c->seen) n = (size_t)(b->n_output - c->seen);
        bool done = send_bytes(c, b->ring + at, n, &sent);
        c->seen += sent;
        if (!done) return false;
    }
    return true;
}

/* What it may have, and what of it is waited for. */
static void serve(struct client *c) {
    bool all = send_answer(c) && (!c->is_console || send_output(c));
    if (c->ends && all) {
        close_client(c);
        return;
    }
    uint32_t events = c->n_input == c->input_from ? EPOLLIN : 0;
    if (c->watch) vm_watch_set(c->watch, events | (all ? 0 : EPOLLOUT));
}

static void answer(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void answer(struct client *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(c->answer, sizeof c->answer, format, args);
    va_end(args);
    c->n_answer = n < 0 ? 0 : (size_t)n < sizeof c->answer ? (size_t)n : sizeof c->answer - 1;
    c->n_sent = 0;
}

/* `why` is our own text, or an error's, whose quotes and control bytes are not JSON's. */
static void refuse(struct client *c, const char *why) {
    char text[512];
    size_t n = 0;
    for (; *why && n < sizeof text - 2; why++) {
        if (*why == '"' || *why == '\\') text[n++] = '\\';
        text[n++] = *why;
    }
    text[n] = 0;
    answer(c, "{\"ok\":false,\"error\":\"%s\"}\n", text);
    c->ends = true;
}

/* ---- requests ---- */

/* Fields that are not there: 30 s, no bytes. */
struct request {
    const char *word;
    uint64_t timeout_ns, n_bytes;
};

static void do_info(struct client *c, const struct request *r) {
    const struct boot_control *b = c->control;
    (void)r;
    answer(c, "{\"ok\":true,%s,\"balloon_bytes\":%llu,\"uptime_ms\":%llu}\n", b->facts,
           (unsigned long long)b->events.balloon_bytes(b->events.context),
           (unsigned long long)((vm_now_ns() - b->start_ns) / 1000000));
}

/* The machine's end is told by the end of the connection. */
static void do_stop(struct client *c, const struct request *r) {
    struct boot_control *b = c->control;
    uint64_t now = vm_now_ns();
    b->events.power_button(b->events.context);
    b->kill_ns = r->timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + r->timeout_ns;
    vm_timer_set(b->timer, b->kill_ns);
    answer(c, "{\"ok\":true}\n");
}

static void do_kill(struct client *c, const struct request *r) {
    struct boot_control *b = c->control;
    (void)r;
    answer(c, "{\"ok\":true}\n");
    b->events.kill(b->events.context);
}

static void do_console(struct client *c, const struct request *r) {
    (void)r;
    c->is_console = true;
    answer(c, "{\"ok\":true}\n");
}

static void do_memory(struct client *c, const struct request *r) {
    struct boot_control *b = c->control;
    const char *wrong =
        r->n_bytes ? b->events.set_memory(b->events.context, r->n_bytes) : "\"size\" is missing";
    if (wrong)
        refuse(c, wrong);
    else
        answer(c, "{\"ok\":true}\n");
}

static const struct {
    const char *name;
    void (*run)(struct client *c, const struct request *r);
} requests[] = {
    {"info", do_info}, {"stop", do_stop}, {"kill", do_kill}, {"console", do_console}, {"memory", do_memory}};

/* NULL, or what is wrong. */
static const char *read_request(const struct ucl_value *object, struct request *r) {
    for (const struct ucl_value *field = object->first; field; field = field->next) {
        bool is_time = strcmp(field->key, "timeout") == 0, is_size = strcmp(field->key, "size") == 0;
        bool is_word = strcmp(field->key, "do") == 0;
        if (!is_time && !is_size && !is_word) return "no request has such a field";
        if (!field->text) return "a field is text";
        if (is_word)
            r->word = field->text;
        else if (is_time && !cli_parse_duration(field->text, &r->timeout_ns))
            return "\"timeout\" is no time";
        else if (is_size && (!cli_parse_size(field->text, &r->n_bytes) || !r->n_bytes))
            return "\"size\" is no size";
    }
    return r->word ? NULL : "\"do\" is missing";
}

static void run_request(struct client *c, const struct ucl_value *object) {
    struct request r = {.timeout_ns = UINT64_C(30) * 1000000000};
    const char *wrong = read_request(object, &r);
    for (size_t i = 0; !wrong && i < sizeof requests / sizeof *requests; i++) {
        if (strcmp(requests[i].name, r.word)) continue;
        requests[i].run(c, &r);
        return;
    }
    refuse(c, wrong ? wrong : "\"do\" is info, stop, kill, console or memory");
}

/* The line without its end. */
static void take_request(struct client *c, size_t n) {
    struct ucl_document document;
    struct atoll_error err = {0};
    if (!n || c->line[0] != '{') {
        refuse(c, "a request is a JSON object on a line");
        return;
    }
    if (ucl_read("request", c->line, n, NULL, &document, &err) == ATOLL_OK)
        run_request(c, document.root);
    else
        refuse(c, err.text);
    ucl_document_free(&document);
}

/* Lines that are whole, one after the other, as answers can be sent. What is behind "console" is input. */
static void take_lines(struct client *c) {
    while (!c->is_console && !c->ends && c->n_sent == c->n_answer) {
        const char *end = memchr(c->line, '\n', c->n_line);
        if (!end) {
            if (c->n_line == sizeof c->line) refuse(c, "the line is too long");
            return;
        }
        size_t n = (size_t)(end - c->line);
        take_request(c, n);
        c->n_line -= n + 1;
        memmove(c->line, end + 1, c->n_line);
        send_answer(c);
    }
}

/* ---- from a client ---- */

static void hand_over(struct client *c) {
    struct boot_control *b = c->control;
    if (!b->device.ops || c->input_from == c->n_input) return;
    c->input_from +=
        b->device.ops->receive(b->device.device, c->input + c->input_from, c->n_input - c->input_from);
    if (c->input_from == c->n_input) c->input_from = c->n_input = 0;
}

static void read_some(struct client *c) {
    void *to = c->is_console ? (void *)c->input : c->line + c->n_line;
    size_t room = c->is_console ? sizeof c->input : sizeof c->line - c->n_line;
    if (!room || c->n_input) return;
    ssize_t n = recv(c->fd, to, room, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        c->ends = true;
        c->n_sent = c->n_answer;
        c->is_console = false; /* nobody reads it */
    } else if (c->is_console) {
        c->n_input = (size_t)n;
    } else {
        c->n_line += (size_t)n;
    }
}

static void client_ready(void *context, uint32_t events) {
    struct client *c = context;
    (void)events;
    send_answer(c);
    read_some(c);
    take_lines(c);
    hand_over(c);
    serve(c);
}

static void accept_one(void *context, uint32_t events) {
    struct boot_control *b = context;
    (void)events;
    int fd = accept4(b->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct client *c = b->clients;
    while (c < b->clients + CLIENTS_MAX && c->fd >= 0) c++;
    if (fd < 0) return;
    if (c == b->clients + CLIENTS_MAX || !control_peer_allowed(fd)) {
        close(fd);
        return;
    }
    *c = (struct client){.control = b, .fd = fd};
    c->seen = b->n_output > RING_BYTES ? b->n_output - RING_BYTES : 0;
    if (vm_loop_watch(b->loop, fd, EPOLLIN, client_ready, c, &c->watch)) close_client(c);
}

/* ---- the machine's console ---- */

/* On the loop's thread. */
static void work(void *context) {
    struct boot_control *b = context;
    b->posted = false;
    for (struct client *c = b->clients; c < b->clients + CLIENTS_MAX; c++) {
        if (c->fd < 0 || !c->is_console) continue;
        hand_over(c);
        serve(c);
    }
}

static void work_soon(struct boot_control *b) {
    if (!b->posted && b->loop) b->posted = !vm_loop_post(b->loop, work, b);
}

void boot_control_output(struct boot_control *b, const uint8_t *bytes, size_t n) {
    if (!b || !n) return;
    for (size_t i = 0; i < n; i++) b->ring[b->n_output++ % RING_BYTES] = bytes[i];
    work_soon(b);
}

void boot_control_room(struct boot_control *b) {
    if (b) work_soon(b);
}

void boot_control_join(struct boot_control *b, struct vm_stream_device device) {
    if (b) b->device = device;
}

/* ---- begin and end ---- */

static void on_time(void *context) {
    struct boot_control *b = context;
    b->events.kill(b->events.context);
}

enum atoll_status boot_control_attach(struct boot_control *b, struct vm_loop *loop,
                                      const struct boot_control_events *events, struct atoll_error *err) {
    b->events = *events;
    b->loop = loop;
    int error = vm_loop_watch(loop, b->socket, EPOLLIN, accept_one, b, &b->watch);
    if (!error) error = vm_timer_new(loop, on_time, b, &b->timer);
    for (struct client *c = b->clients; c < b->clients + CLIENTS_MAX && !error; c++)
        if (c->fd >= 0) error = vm_loop_watch(loop, c->fd, EPOLLIN | EPOLLOUT, client_ready, c, &c->watch);
    if (error) return atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "%s", strerror(error));
    vm_timer_set(b->timer, b->kill_ns);
    return ATOLL_OK;
}

void boot_control_detach(struct boot_control *b) {
    if (!b || !b->loop) return;
    for (struct client *c = b->clients; c < b->clients + CLIENTS_MAX; c++) {
        if (c->fd >= 0 && c->is_console) send_output(c);
        vm_watch_free(c->watch);
        c->watch = NULL;
    }
    vm_loop_forget(b->loop, b);
    vm_watch_free(b->watch);
    vm_timer_free(b->timer);
    b->watch = NULL, b->timer = NULL, b->loop = NULL, b->device.ops = NULL;
    b->posted = false;
}

enum atoll_status boot_control_new(const char *name, const char *facts, struct boot_control **out,
                                   struct atoll_error *err) {
    struct boot_control *b = calloc(1, sizeof *b);
    if (!b) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    *out = b;
    b->folder.fd = b->lock = b->socket = -1;
    for (size_t i = 0; i < CLIENTS_MAX; i++) b->clients[i].fd = -1;
    snprintf(b->name, sizeof b->name, "%s", name);
    b->start_ns = vm_now_ns();
    b->kill_ns = UINT64_MAX;
    b->facts = strdup(facts);
    if (!b->facts) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    enum atoll_status status = control_folder_open(&b->folder, err);
    if (status == ATOLL_OK) status = control_lock(&b->folder, name, &b->lock, err);
    return status == ATOLL_OK ? control_listen(&b->folder, name, &b->socket, err) : status;
}

const char *boot_control_folder(const struct boot_control *b) { return b ? b->folder.path : NULL; }

/* Who waits for the machine's end sees the connection closed when the name is free again. */
void boot_control_free(struct boot_control *b) {
    if (!b) return;
    if (b->lock >= 0) control_remove(&b->folder, b->name);
    if (b->socket >= 0) close(b->socket);
    if (b->lock >= 0) close(b->lock);
    for (struct client *c = b->clients; c < b->clients + CLIENTS_MAX; c++) close_client(c);
    control_folder_close(&b->folder);
    free(b->facts);
    free(b);
}
