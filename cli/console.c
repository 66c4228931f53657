/* cli/console.c: the guest's console on standard input and output, with a script and attached terminals listening. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "cli/boot.h"
#include "sysvm/dev/host_stream.h"

enum { LINE_MAX_BYTES = 256, N_LINES = 12 };
#define QUIET_NS UINT64_C(1000000000)

struct boot_console {
    struct vm_loop *loop;
    struct vm_host_stream *stream;
    struct boot_console_events events;
    struct boot_script *script;     /* or NULL */
    struct boot_control *control;   /* or NULL */
    struct vm_stream_device device; /* what input is for */
    struct cli_keys keys;
    bool hidden, is_terminal;
    bool size_due;      /* the guest has not been told yet what size the window has */
    uint64_t output_ns; /* when it wrote last */
    bool saw_panic;
    char panic[LINE_MAX_BYTES];          /* the line that said so first */
    char kernel_line[LINE_MAX_BYTES];    /* of the kernel's own: the one that is being written */
    size_t n_kernel;                     /* bytes of it */
    char lines[N_LINES][LINE_MAX_BYTES]; /* the last ones, a ring; the one at `line` is being written */
    unsigned line, n_lines;
    size_t n; /* bytes of it */
};

/* ---- keys ---- */

static void on_key_quit(void *context) {
    struct boot_console *console = context;
    console->events.quit(console->events.context);
}

/* Linux looks at the size of hvc0 only when it is told that it has changed, and until 6.1 at least falls over its own
 * feet when that happens while the driver makes its console. Who types at what has been quiet sees that it is made. */
static void tell_size(struct boot_console *console) {
    if (!console->size_due || vm_now_ns() - console->output_ns < QUIET_NS) return;
    console->size_due = false;
    boot_console_resize(console);
}

/* What stays for the guest. */
static size_t filter_keys(void *context, uint8_t *bytes, size_t n) {
    struct boot_console *console = context;
    tell_size(console);
    return cli_keys_filter(&console->keys, bytes, n);
}

/* ---- what went by ---- */

/* What is longer than a line's room is kept in its first part. */
static void put(char line[LINE_MAX_BYTES], size_t *n, uint8_t byte) {
    if (byte != '\r' && byte && *n < LINE_MAX_BYTES - 1) line[(*n)++] = (char)byte;
}

static void watch(struct boot_console *console, const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char *line = console->lines[console->line % N_LINES];
        if (bytes[i] != '\n') {
            put(line, &console->n, bytes[i]);
            continue;
        }
        line[console->n] = 0;
        console->line++;
        console->n = 0;
        if (console->n_lines < N_LINES) console->n_lines++;
    }
}

/* Of the kernel's own messages: a program that shows the log of an old panic is no panic. */
static void watch_for_panic(struct boot_console *console, const uint8_t *bytes, size_t n) {
    char *line = console->kernel_line;
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != '\n') {
            put(line, &console->n_kernel, bytes[i]);
            continue;
        }
        line[console->n_kernel] = 0;
        console->n_kernel = 0;
        if (!strstr(line, "Kernel panic - not syncing")) continue;
        if (!console->saw_panic) memcpy(console->panic, line, sizeof console->panic);
        console->saw_panic = true;
        if (strstr(line, "---[ end Kernel panic")) console->events.panicked(console->events.context);
    }
}

bool boot_console_saw_panic(const struct boot_console *console) { return console->saw_panic; }

void boot_console_print_last(const struct boot_console *console) {
    unsigned n = console->n_lines < N_LINES ? console->n_lines : N_LINES - 1; /* one is being written */
    if (console->saw_panic) cli_message("boot: the guest panicked: %s", console->panic);
    for (unsigned i = console->line - n; i != console->line; i++)
        cli_message("guest: %s", console->lines[i % N_LINES]);
    const char *last = console->lines[console->line % N_LINES];
    if (console->n) cli_message("guest: %.*s", (int)console->n, last); /* a prompt has no end */
}

/* ---- between the device and the descriptors ---- */

static void want_stream(struct boot_console *console) {
    struct vm_stream_end stream = vm_host_stream_end(console->stream);
    boot_control_room(console->control);
    if (boot_script_runs(console->script))
        boot_script_room(console->script);
    else
        stream.ops->input_wanted(stream.end);
}

static size_t fit_script(const struct boot_console *console, size_t n, bool heard) {
    size_t space = heard ? boot_script_space(console->script) : n;
    return n < space ? n : space;
}

static size_t take_output(void *end, const uint8_t *bytes, size_t n) {
    struct boot_console *console = end;
    struct vm_stream_end stream = vm_host_stream_end(console->stream);
    n = fit_script(console, n, !console->hidden);
    size_t taken = console->hidden ? n : stream.ops->write(stream.end, bytes, n);
    watch(console, bytes, taken);
    if (!console->hidden) boot_script_output(console->script, bytes, taken);
    if (!console->hidden) boot_control_output(console->control, bytes, taken);
    return taken;
}

static size_t take_kernel_output(void *end, const uint8_t *bytes, size_t n) {
    size_t taken = take_output(end, bytes, n);
    watch_for_panic(end, bytes, taken);
    return taken;
}

static void want_input(void *end) {
    struct boot_console *console = end;
    if (!console->hidden) want_stream(console);
}

struct vm_stream_end boot_console_end(struct boot_console *console) {
    static const struct vm_stream_ops ops = {take_output, want_input, take_kernel_output};
    return (struct vm_stream_end){&ops, console};
}

/* What a script waits for is worth a line when it fails. */
static size_t take_command_output(void *end, const uint8_t *bytes, size_t n) {
    struct boot_console *console = end;
    struct vm_stream_end stream = vm_host_stream_end(console->stream);
    n = fit_script(console, n, true);
    size_t taken = stream.ops->write(stream.end, bytes, n);
    console->output_ns = vm_now_ns();
    if (console->script) watch(console, bytes, taken);
    boot_script_output(console->script, bytes, taken);
    boot_control_output(console->control, bytes, taken);
    return taken;
}

static void want_command_input(void *end) { want_stream(end); }

struct vm_stream_end boot_console_command_end(struct boot_console *console) {
    static const struct vm_stream_ops ops = {take_command_output, want_command_input, NULL};
    return (struct vm_stream_end){&ops, console};
}

static void join(struct boot_console *console, struct vm_stream_device device, const char *line_end) {
    console->device = device;
    boot_control_join(console->control, device);
    if (boot_script_runs(console->script)) {
        boot_script_join(console->script, device, line_end);
        vm_host_stream_join_output(console->stream, device);
        return;
    }
    if (console->is_terminal) console->is_terminal = cli_terminal_raw(false);
    vm_host_stream_join(console->stream, device);
}

void boot_console_join(struct boot_console *console, struct vm_stream_device device) {
    if (!console->hidden) join(console, device, "\r");
}

void boot_console_join_command(struct boot_console *console, struct vm_stream_device device,
                               const char *line_end) {
    join(console, device, line_end);
    console->size_due = true;
    console->output_ns = vm_now_ns();
}

void boot_console_resize(struct boot_console *console) {
    struct winsize size;
    const struct vm_stream_device *device = &console->device;
    if (device->ops && device->ops->resize && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
        device->ops->resize(device->device, size.ws_col, size.ws_row);
}

void boot_console_hand_over(struct boot_console *console) { join(console, console->device, ""); }

struct vm_host_stream *boot_console_stream(struct boot_console *console) {
    return console->stream;
}

static void on_input_end(void *context) {
    struct boot_console *console = context;
    if (console->events.input_ended) console->events.input_ended(console->events.context);
}

enum atoll_status boot_console_new(const struct boot_console_config *config, struct boot_console **out,
                                   struct atoll_error *err) {
    struct boot_console *console = calloc(1, sizeof *console);
    if (!console) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    console->loop = config->loop;
    console->events = config->events;
    console->hidden = config->hidden;
    console->keys = (struct cli_keys){.quits = "quit", .quit = on_key_quit, .context = console};
    console->script = config->script;
    console->control = config->control;
    console->is_terminal = (!config->hidden || boot_is_terminal()) && isatty(STDIN_FILENO);
    struct vm_host_stream_config stream = {.alloc = &atoll_default_alloc,
                                           .loop = config->loop,
                                           .in = STDIN_FILENO,
                                           .out = STDOUT_FILENO,
                                           .filter = console->is_terminal ? filter_keys : NULL,
                                           .ended = on_input_end,
                                           .context = console};
    enum atoll_status status = vm_host_stream_new(&stream, &console->stream, err);
    if (status != ATOLL_OK)
        boot_console_free(console);
    else
        *out = console;
    return status;
}

void boot_console_free(struct boot_console *console) {
    if (!console) return;
    vm_host_stream_free(console->stream);
    cli_terminal_restore();
    free(console);
}
