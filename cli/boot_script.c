/* cli/boot_script.c: the console script of `atoll boot --script`: its text and files, read and opened before the guest
 * runs, and the machine's console and clock for it. One script outlives the machines that resets make. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/boot.h"
#include "sysvm/script/script.h"

struct copy {
    struct vm_script_copy names;
    struct cli_file file; /* to the guest */
    int fd;               /* from the guest: open for writing, or -1 */
    bool is_new, is_saved;
};

struct boot_script {
    const char *name; /* the file's, for messages */
    struct vm_script *script;
    struct copy *copies;
    size_t n_copies, cap_copies;
    bool begun, failed;
    /* of the machine that runs */
    struct boot_script_events events;
    struct vm_loop *loop;
    struct vm_timer *timer;
    struct vm_stream_device device;
    const char *line_end;
    uint8_t waiting[65536]; /* output the script has not seen yet */
    size_t n_waiting;
    bool posted, has_room; /* work is to come; input was refused, and is not any more */
};

/* ---- files ---- */

static int tell_copy(const struct boot_script *b, const struct copy *copy, const char *why) {
    cli_message("%s:%u: %s: %s", b->name, copy->names.line, copy->names.host, why);
    return CLI_USAGE;
}

static int open_copy(struct boot_script *b, size_t i) {
    struct copy *copy = b->copies + i;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    if (copy->names.to_guest) {
        if (cli_file_read(copy->names.host, VM_SCRIPT_COPY_MAX, NULL, &copy->file, &err) != ATOLL_OK)
            return tell_copy(b, copy, err.text);
        vm_script_copy_bytes(b->script, i, copy->file.bytes, copy->file.size);
        return CLI_OK;
    }
    enum { FLAGS = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY };
    copy->fd = open(copy->names.host, FLAGS | O_EXCL, 0666);
    copy->is_new = copy->fd >= 0;
    if (!copy->is_new && errno == EEXIST) copy->fd = open(copy->names.host, FLAGS, 0666);
    return copy->fd >= 0 ? CLI_OK : tell_copy(b, copy, strerror(errno));
}

static int open_copies(struct boot_script *b) {
    struct vm_script_copy names;
    int result = CLI_OK;
    while (result == CLI_OK && vm_script_copy_at(b->script, b->n_copies, &names)) {
        if (atoll_grow(&atoll_default_alloc, (void **)&b->copies, &b->cap_copies, b->n_copies + 1,
                       sizeof *b->copies)) {
            cli_message("out of memory");
            return CLI_INTERNAL;
        }
        b->copies[b->n_copies] = (struct copy){.names = names, .fd = -1};
        result = open_copy(b, b->n_copies++);
    }
    return result;
}

static bool write_all(int fd, const uint8_t *bytes, size_t n) {
    if (ftruncate(fd, 0) && errno != EINVAL) return false; /* a pipe has no length */
    for (size_t done = 0; done < n;) {
        ssize_t wrote = write(fd, bytes + done, n - done);
        if (wrote < 0 && errno != EINTR) return false;
        if (wrote > 0) done += (size_t)wrote;
    }
    return true;
}

static bool save(void *context, size_t i, const uint8_t *bytes, size_t n) {
    struct copy *copy = ((struct boot_script *)context)->copies + i;
    return copy->is_saved = write_all(copy->fd, bytes, n);
}

int boot_script_new(const char *name, const char *text, size_t n, uint32_t first_line,
                    struct boot_script **out) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct boot_script *b = calloc(1, sizeof *b);
    struct vm_script_text t = {text, n, first_line};
    *out = b;
    if (!b) {
        cli_message("out of memory");
        return CLI_INTERNAL;
    }
    b->name = name;
    enum atoll_status status =
        vm_script_parse(&atoll_default_alloc, &t, cli_parse_duration, &b->script, &err);
    if (status == ATOLL_OK) return open_copies(b);
    cli_error(name, &err);
    return status == ATOLL_E_NOMEM ? CLI_INTERNAL : CLI_USAGE;
}

void boot_script_leave(struct boot_script *b) {
    for (size_t i = 0; b && i < b->n_copies; i++) b->copies[i].is_new = false;
}

const char *boot_script_made(const struct boot_script *b, size_t i) {
    for (size_t at = 0; b && at < b->n_copies; at++)
        if (b->copies[at].is_new && !i--) return b->copies[at].names.host;
    return NULL;
}

/* A file that was made for a copy that did not come goes. */
void boot_script_free(struct boot_script *b) {
    if (!b) return;
    for (size_t i = 0; i < b->n_copies; i++) {
        struct copy *copy = b->copies + i;
        if (copy->fd >= 0) close(copy->fd);
        if (copy->is_new && !copy->is_saved) unlink(copy->names.host);
        cli_file_close(&copy->file);
    }
    atoll_free(&atoll_default_alloc, b->copies, b->cap_copies * sizeof *b->copies);
    vm_script_free(b->script);
    free(b);
}

/* ---- what the script asks for ---- */

static size_t send_input(void *context, const uint8_t *bytes, size_t n) {
    struct boot_script *b = context;
    return b->device.ops->receive(b->device.device, bytes, n);
}

static void act(void *context, enum vm_script_act act) {
    struct boot_script *b = context;
    if (act == VM_SCRIPT_POWER_BUTTON)
        b->events.power_button(b->events.context);
    else
        b->events.kill(b->events.context);
}

static void done(void *context, const struct atoll_error *err) {
    struct boot_script *b = context;
    b->failed = err != NULL;
    if (err) cli_error(b->name, err);
    b->events.over(b->events.context, b->failed);
}

/* ---- what happens ---- */

static void on_time(void *context) {
    struct boot_script *b = context;
    vm_script_tick(b->script, vm_now_ns());
    vm_timer_set(b->timer, vm_script_deadline(b->script));
}

/* On the loop's thread, which has the rights for what a step may do; processors' threads only leave bytes here. */
static void work(void *context) {
    struct boot_script *b = context;
    struct vm_script_host host = {send_input, act, save, done, b, b->line_end};
    size_t n = b->n_waiting;
    bool room = b->has_room, was_full = n == sizeof b->waiting;
    b->posted = b->has_room = false;
    b->n_waiting = 0;
    if (!b->begun) vm_script_begin(b->script, &host, vm_now_ns());
    b->begun = true;
    if (room) vm_script_room(b->script, vm_now_ns());
    if (n) vm_script_output(b->script, b->waiting, n, vm_now_ns());
    if (b->timer) vm_timer_set(b->timer, vm_script_deadline(b->script));
    if (was_full) b->device.ops->writable(b->device.device);
}

static void work_soon(struct boot_script *b) {
    if (!b->posted) b->posted = !vm_loop_post(b->loop, work, b);
}

size_t boot_script_space(const struct boot_script *b) {
    return boot_script_runs(b) ? sizeof b->waiting - b->n_waiting : SIZE_MAX;
}

void boot_script_output(struct boot_script *b, const uint8_t *bytes, size_t n) {
    if (!boot_script_runs(b)) return;
    memcpy(b->waiting + b->n_waiting, bytes, n);
    b->n_waiting += n;
    work_soon(b);
}

void boot_script_room(struct boot_script *b) {
    b->has_room = true;
    work_soon(b);
}

bool boot_script_runs(const struct boot_script *b) { return b && !vm_script_is_over(b->script); }
bool boot_script_failed(const struct boot_script *b) { return b && b->failed; }

void boot_script_gone(struct boot_script *b, bool off, const char *how) {
    if (!b || !b->loop) return;
    if (!b->begun || b->n_waiting) work(b); /* its last words count, also of one that was gone at once */
    vm_script_guest_gone(b->script, off, how);
}

enum atoll_status boot_script_attach(struct boot_script *b, struct vm_loop *loop,
                                     const struct boot_script_events *events, struct atoll_error *err) {
    b->events = *events;
    b->loop = loop;
    if (vm_timer_new(loop, on_time, b, &b->timer))
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    work_soon(b);
    return b->posted ? ATOLL_OK : atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
}

void boot_script_join(struct boot_script *b, struct vm_stream_device device, const char *line_end) {
    b->device = device;
    b->line_end = line_end;
}

void boot_script_detach(struct boot_script *b) {
    if (!b || !b->loop) return;
    vm_loop_forget(b->loop, b);
    vm_timer_free(b->timer);
    b->timer = NULL, b->loop = NULL;
    b->posted = false;
    if (b->begun) vm_script_reset(b->script);
}
