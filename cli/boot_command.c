/* cli/boot_command.c: the command of `atoll boot --rootfs`: standard streams, signals and the window, between the host
 * and init in the guest. */
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "cli/boot.h"
#include "sysvm/dev/host_stream.h"
#include "sysvm/dev/virtio/console.h"
#include "sysvm/guest/command.h"
#include "sysvm/guest/protocol.h"

struct boot_command {
    struct guest_command *command;
    struct vm_host_stream *stdio, *errors; /* stdio: the console's; errors: NULL in the background */
};

static bool is_closed(void *context, unsigned which) {
    struct boot_command *c = ((struct boot_command_events *)context)->command;
    return c && vm_host_stream_is_closed(which && c->errors ? c->errors : c->stdio);
}

static void on_end(void *context, int status) {
    struct boot_command_events *events = context;
    events->ended(events->context, status);
}

static void on_failure(void *context, int status, const char *text) {
    struct boot_command_events *events = context;
    cli_message("boot: %s", text);
    events->ended(events->context, status);
}

static enum atoll_status add_port(struct boot_command *c, struct vm_loop *loop, struct vm_machine *machine,
                                  struct atoll_error *err) {
    struct vcon_config config = {.alloc = &atoll_default_alloc,
                                 .loop = loop,
                                 .end = guest_command_port_end(c->command),
                                 .name = GUEST_PORT};
    const struct virtio_ops *ops;
    struct vcon *port;
    enum atoll_status status = vcon_new(&config, &ops, &port, err);
    if (status != ATOLL_OK) return status;
    guest_command_join(c->command, vcon_stream(port));
    return vm_machine_add_virtio(machine, ops, port, err);
}

static enum atoll_status open_errors(struct boot_command *c, struct vm_loop *loop, struct atoll_error *err) {
    struct vm_host_stream_config errors = {
        .alloc = &atoll_default_alloc, .loop = loop, .in = -1, .out = STDERR_FILENO};
    return vm_host_stream_new(&errors, &c->errors, err);
}

enum atoll_status boot_command_new(struct vm_loop *loop, struct vm_machine *machine,
                                   struct boot_console *console, struct boot_command_events *events,
                                   struct boot_command **out, struct atoll_error *err) {
    struct boot_command *c = calloc(1, sizeof *c);
    if (!c) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    *out = events->command = c;
    c->stdio = boot_console_stream(console);
    enum atoll_status status = events->in_background ? ATOLL_OK : open_errors(c, loop, err);
    if (status != ATOLL_OK) return status;
    struct vm_stream_end output = boot_console_command_end(console);
    struct guest_command_config config = {
        .alloc = &atoll_default_alloc,
        .outputs = {output, c->errors ? vm_host_stream_end(c->errors) : output},
        .is_closed = is_closed,
        .ended = on_end,
        .failed = on_failure,
        .context = events};
    status = guest_command_new(&config, &c->command, err);
    if (status == ATOLL_OK) status = add_port(c, loop, machine, err);
    if (status != ATOLL_OK) return status;
    if (c->errors) vm_host_stream_join(c->errors, guest_command_errors(c->command));
    boot_console_join_command(console, guest_command_input(c->command, output),
                              boot_is_terminal() ? "\r" : "\n");
    boot_command_resize(c);
    return ATOLL_OK;
}

void boot_command_free(struct boot_command *c) {
    if (!c) return;
    vm_host_stream_free(c->errors);
    guest_command_free(c->command);
    free(c);
}

void boot_command_end_input(struct boot_command *c) { guest_command_end_input(c->command); }

bool boot_command_signal(struct boot_command *c, int number) {
    if (!guest_command_runs(c->command)) return false;
    guest_command_signal(c->command, number);
    return true;
}

void boot_command_power_off(struct boot_command *c) { guest_command_signal(c->command, SIGTERM); }

void boot_command_resize(struct boot_command *c) {
    struct winsize size;
    if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size)) guest_command_window(c->command, size.ws_col, size.ws_row);
}
