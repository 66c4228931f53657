/* cli/boot.c: boots a guest operating system.
 *
 *   options -> files, engine -> console, machine -> run -> exit status; again after a reset */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "cli/boot.h"
#include "cli/control.h"
#include "cli/perf.h"
#include "cli/run.h"
#include "sandbox/sandbox.h"
#include "sysvm/dev/host_stream.h"
#include "sysvm/dev/virtio/console.h"
#include "sysvm/layout.h"
#include "sysvm/net/net.h"
#include "sysvm/net/virtio_net.h"
#include "sysvm/net/vsock.h"

struct boot {
    struct boot_options o;
    const struct vm_engine_ops *engine;
    struct vm_probe *probe; /* which that was measured in */
    struct sandbox *sandbox;
    struct jail *jail;            /* NULL: not entered */
    struct boot_control *control; /* NULL: without a name */
    struct boot_gdb *gdb;         /* NULL: none */
    char own_name[32];            /* where --detach has none */
    struct boot_background background;
    uint64_t deadline_ns;
    uint64_t left_bytes;     /* of its memory, to the guest; 0: all */
    int signals;             /* signalfd */
    struct boot_files files; /* of the next machine, as far as they are read */
    /* of the machine that runs; another one after a reset */
    struct vm_loop *loop;
    struct boot_console *console;
    struct vm_machine *machine;
    struct vm_watch *signal_watch;
    struct vm_timer *timer;
    struct boot_command *command; /* NULL: without --rootfs */
    struct boot_command_events command_events;
    /* why it was stopped from here */
    bool timed_out, panicked, quit, command_ended, script_failed, killed;
    int signal, command_status;
    int output_error; /* errno of the first that standard output failed with, in any machine */
};

/* ---- what ends a machine from outside ---- */

static void on_signal(void *context, uint32_t events) {
    struct boot *boot = context;
    struct signalfd_siginfo info;
    (void)events;
    if (read(boot->signals, &info, sizeof info) != sizeof info) return;
    if (info.ssi_signo == SIGWINCH) {
        if (boot->command) boot_command_resize(boot->command);
        boot_console_resize(boot->console);
        return;
    }
    /* A command may have its own mind about a signal. The second one ends the machine. */
    if (boot->command && !boot->signal && boot_command_signal(boot->command, (int)info.ssi_signo)) {
        boot->signal = (int)info.ssi_signo;
        return;
    }
    boot->signal = (int)info.ssi_signo;
    vm_machine_stop(boot->machine);
}

static void on_timeout(void *context) {
    struct boot *boot = context;
    boot->timed_out = true;
    vm_machine_stop(boot->machine);
}

static void on_quit(void *context) {
    struct boot *boot = context;
    boot->quit = true;
    vm_machine_stop(boot->machine);
}

static void on_kill(void *context) {
    struct boot *boot = context;
    boot->killed = true;
    vm_machine_stop(boot->machine);
}

static void on_command_end(void *context, int status) {
    struct boot *boot = context;
    boot->command_ended = true;
    boot->command_status = status;
    boot_script_gone(boot->o.script, true, "ended its command");
    vm_machine_stop(boot->machine);
}

static void on_input_end(void *context) {
    struct boot *boot = context;
    if (boot->command) boot_command_end_input(boot->command);
}

static void on_script_over(void *context, bool failed) {
    struct boot *boot = context;
    boot->script_failed = failed;
    if (failed)
        vm_machine_stop(boot->machine);
    else
        boot_console_hand_over(boot->console);
}

/* The init of --rootfs knows no button; what a button is for is told to the command. */
static void on_power_button(void *context) {
    struct boot *boot = context;
    if (boot->command) boot_command_power_off(boot->command);
    vm_machine_power_button(boot->machine);
}

/* Stays over resets. */
static const char *on_memory(void *context, uint64_t n_bytes) {
    struct boot *boot = context;
    if (n_bytes < VM_BOOT_MEMORY_MIN || n_bytes > boot->o.memory_bytes)
        return "\"size\" is from 16M to what the machine has";
    if (!vm_machine_set_memory(boot->machine, n_bytes)) return "this machine has no balloon";
    boot->left_bytes = n_bytes;
    return NULL;
}

static uint64_t on_balloon(void *context) {
    return vm_machine_balloon_bytes(((struct boot *)context)->machine);
}

static void on_running(void *context) {
    struct boot *boot = context;
    if (!boot_detach_running(&boot->background)) on_quit(boot);
}

static void on_panic(void *context) {
    struct boot *boot = context;
    boot->panicked = true;
    vm_machine_stop(boot->machine);
}

/* Signals come through the loop from now on; one that was ignored when atoll started stays ignored. */
static int take_signals(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action;
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&set, numbers[i]);
    }
    signal(SIGPIPE, SIG_IGN); /* a console nobody reads any more */
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- a machine ---- */

static int load(struct boot *boot) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    const struct boot_files *files = &boot->files;
    struct vm_machine_kernel k = {.kernel = {files->kernel.bytes, files->kernel.size},
                                  .initrd = {files->initrd.bytes, files->initrd.size},
                                  .cmdline = files->cmdline,
                                  .self_unpacking = boot->o.self_unpacking};
    enum atoll_status status = vm_machine_load(boot->machine, &k, &err);
    if (status == ATOLL_OK) return CLI_OK;
    cli_error(boot->o.kernel_path, &err);
    return status == ATOLL_E_NOMEM || status == ATOLL_E_IO ? CLI_INTERNAL : CLI_NOT_LOADABLE;
}

static enum atoll_status watch_outside(struct boot *boot, struct atoll_error *err) {
    int error = vm_loop_watch(boot->loop, boot->signals, EPOLLIN, on_signal, boot, &boot->signal_watch);
    if (!error) error = vm_timer_new(boot->loop, on_timeout, boot, &boot->timer);
    if (error) return atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "%s", strerror(error));
    vm_timer_set(boot->timer, boot->deadline_ns);
    return ATOLL_OK;
}

static void trace_line(void *context, const char *line) {
    (void)context;
    dprintf(STDERR_FILENO, "%s%s", line, cli_terminal_line_end());
}

static enum atoll_status add_network(struct boot *boot, struct atoll_error *err) {
    struct virtio_net_config config = {
        .alloc = &atoll_default_alloc, .loop = boot->loop, .sandbox = boot->sandbox, .spec = boot->o.net};
    const struct virtio_ops *ops;
    void *dev;
    enum atoll_status status = virtio_net_new(&config, &ops, &dev, err);
    return status == ATOLL_OK ? vm_machine_add_virtio(boot->machine, ops, dev, err) : status;
}

static enum atoll_status add_vsock(struct boot *boot, struct atoll_error *err) {
    struct virtio_vsock_config config = {
        .alloc = &atoll_default_alloc, .loop = boot->loop, .sandbox = boot->sandbox, .spec = boot->o.vsock};
    const struct virtio_ops *ops;
    void *dev;
    enum atoll_status status = virtio_vsock_new(&config, &ops, &dev, err);
    return status == ATOLL_OK ? vm_machine_add_virtio(boot->machine, ops, dev, err) : status;
}

/* hvc0 of the guest; what it writes to the serial port besides is looked at for a panic. */
static enum atoll_status add_console(struct boot *boot, struct atoll_error *err) {
    struct vcon_config config = {
        .alloc = &atoll_default_alloc, .loop = boot->loop, .end = boot_console_command_end(boot->console)};
    const struct virtio_ops *ops;
    struct vcon *port;
    enum atoll_status status = vcon_new(&config, &ops, &port, err);
    if (status != ATOLL_OK) return status;
    boot_console_join_command(boot->console, vcon_stream(port), "\r");
    return vm_machine_add_virtio(boot->machine, ops, port, err);
}

static enum atoll_status add_command(struct boot *boot, struct atoll_error *err) {
    boot->command_events = (struct boot_command_events){
        .ended = on_command_end, .in_background = boot->o.detach, .context = boot};
    return boot_command_new(boot->loop, boot->machine, boot->console, &boot->command_events, &boot->command,
                            err);
}

static enum atoll_status make(struct boot *boot, struct atoll_error *err) {
    struct boot_console_config console = {.events = {on_quit, on_panic, on_input_end, boot},
                                          .hidden = boot->o.folders.rootfs || boot->o.virtio_console,
                                          .script = boot->o.script,
                                          .control = boot->control};
    struct boot_control_events control = {on_power_button, on_quit, on_memory, on_balloon, boot};
    struct boot_script_events script = {on_script_over, on_power_button, on_quit, boot};
    enum atoll_status status = vm_loop_new(&atoll_default_alloc, &boot->loop, err);
    if (status == ATOLL_OK && boot->jail) vm_loop_watch_threads(boot->loop, boot_jail_thread, boot->jail);
    console.loop = boot->loop;
    if (status == ATOLL_OK) status = watch_outside(boot, err);
    if (status == ATOLL_OK) status = boot_console_new(&console, &boot->console, err);
    if (status == ATOLL_OK && boot->control)
        status = boot_control_attach(boot->control, boot->loop, &control, err);
    if (status == ATOLL_OK && boot->background.told >= 0 && vm_loop_post(boot->loop, on_running, boot))
        status = atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    if (status == ATOLL_OK && boot->o.script)
        status = boot_script_attach(boot->o.script, boot->loop, &script, err);
    if (status != ATOLL_OK) return status;
    struct vm_machine_config config = {.alloc = &atoll_default_alloc,
                                       .engine = boot->engine,
                                       .memory_bytes = boot->o.memory_bytes,
                                       .memory_kind = boot->o.memory_kind,
                                       .n_cpus = (unsigned)boot->o.n_cpus,
                                       .counts = boot->o.icount,
                                       .serial = boot_console_end(boot->console),
                                       .loop = boot->loop,
                                       .sandbox = boot->sandbox};
    if (boot->o.perf || boot->o.native_gdb) config.code = perf_guest_listener();
    status = vm_machine_new(&config, &boot->machine, err);
    if (status != ATOLL_OK) return status;
    if (boot->o.verbose)
        cli_message("boot: guest memory is %s",
                    vm_machine_shares_memory(boot->machine) ? "shared, a memfd" : "private");
    if (boot->left_bytes) vm_machine_set_memory(boot->machine, boot->left_bytes);
    boot_console_join(boot->console, vm_machine_serial(boot->machine));
    status = boot_disks_put(&boot->o.disks, boot->machine, boot->loop, boot->sandbox, err);
    if (status == ATOLL_OK && boot->o.net) status = add_network(boot, err);
    if (status == ATOLL_OK && boot->o.vsock) status = add_vsock(boot, err);
    if (status == ATOLL_OK && boot->o.virtio_console) status = add_console(boot, err);
    if (status == ATOLL_OK)
        status = boot_folders_attach(&boot->o.folders, boot->sandbox, boot->loop, boot->machine, err);
    return status == ATOLL_OK && boot->o.folders.rootfs ? add_command(boot, err) : status;
}

static void unmake(struct boot *boot) {
    boot_gdb_detach(boot->gdb);
    vm_machine_free(boot->machine);
    boot_script_detach(boot->o.script);
    boot_control_detach(boot->control);
    boot_command_free(boot->command);
    boot_console_free(boot->console);
    vm_timer_free(boot->timer);
    vm_watch_free(boot->signal_watch);
    vm_loop_free(boot->loop);
    boot->machine = NULL, boot->command = NULL, boot->console = NULL, boot->timer = NULL,
    boot->signal_watch = NULL, boot->loop = NULL;
}

static int stopped_status(const struct boot *boot) {
    if (boot->panicked) return CLI_PANIC;
    if (boot->killed) return CLI_SIGNAL + SIGKILL;
    if (boot->script_failed) return CLI_SCRIPT;
    if (boot->timed_out) cli_message("boot: the guest ran into the timeout");
    if (boot->timed_out) return CLI_TIMEOUT;
    if (boot->command_ended) return boot->command_status;
    if (boot->quit && boot->o.folders.rootfs && !boot->o.script)
        return CLI_SIGNAL + SIGKILL; /* its command has not ended, so 0 would be a lie */
    return boot->signal ? CLI_SIGNAL + boot->signal : CLI_OK;
}

/* A guest that was to run a command, and went before it had. */
static int gone_status(const struct boot *boot, const char *how) {
    if (boot_script_failed(boot->o.script)) return CLI_SCRIPT;
    if (!boot->o.folders.rootfs || boot->o.script) return CLI_OK; /* a script may be what it went for */
    cli_message("boot: the guest %s before the command had ended", how);
    boot_console_print_last(boot->console);
    return CLI_INTERNAL;
}

static int status_of(const struct boot *boot, enum vm_end end, const struct atoll_error *err) {
    switch (end) {
    case VM_END_OFF: return gone_status(boot, "was switched off");
    case VM_END_RESET:
        return boot_console_saw_panic(boot->console) ? CLI_PANIC : gone_status(boot, "was reset");
    case VM_END_STOPPED: return stopped_status(boot);
    case VM_END_CRASHED: cli_message("boot: the guest crashed (triple fault)"); return CLI_PANIC;
    case VM_END_FAILED: cli_error("boot", err); return CLI_INTERNAL;
    case VM_END_NONE: break;
    }
    return CLI_INTERNAL;
}

static void print_stats(const struct boot *boot) {
    struct vm_machine_count count;
    boot_jail_print(boot->jail);
    cli_message("boot: engine %s, %llu exits", boot->engine->name,
                (unsigned long long)vm_machine_exits(boot->machine));
    for (size_t i = 0; vm_machine_count(boot->machine, i, &count); i++)
        if (count.n)
            cli_message("boot: %s 0x%llx %s: %llu", count.is_port ? "port" : "memory",
                        (unsigned long long)count.base, count.device, (unsigned long long)count.n);
}

/* Once: the machine after a reset has no more rights than the first. */
static int enter_jail(struct boot *boot) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct boot_jail_wants wants = {.kernel = boot->o.kernel_path,
                                    .initrd = boot->o.initrd_path,
                                    .net = boot->o.net,
                                    .vsock = boot->o.vsock,
                                    .disks = &boot->o.disks,
                                    .script = boot->o.script,
                                    .control = boot->control,
                                    .sandbox = boot->sandbox,
                                    .makes_code = strcmp(boot->engine->name, "soft") == 0};
    if (boot->o.no_jail || boot->jail) return CLI_OK;
    if (boot_jail_enter(&wants, &boot->jail, &err) == ATOLL_OK) {
        if (boot->o.verbose) boot_jail_print(boot->jail);
        return CLI_OK;
    }
    cli_error("boot", &err);
    cli_message("boot: --no-jail does without");
    return CLI_INTERNAL;
}

static int attach_debugger(struct boot *boot) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    if (!boot->gdb || boot_gdb_attach(boot->gdb, boot->machine, boot->loop, &err) == ATOLL_OK) return CLI_OK;
    cli_error("boot", &err);
    return CLI_INTERNAL;
}

/* The first time, before signals come through the loop: a pipe that nobody writes to is waited for no longer than the
 * user, or --timeout, does. Returns CLI_OK or, after a message, the exit status. */
static int read_first(struct boot *boot) {
    cli_stop_watch(NULL, boot->o.timeout_ns);
    int result = boot_files_read(&boot->o, boot->sandbox, &boot->files);
    cli_stop_unwatch();
    boot->signals = take_signals();
    if (cli_stop_signal()) return CLI_SIGNAL + cli_stop_signal();
    return cli_stopped() ? CLI_TIMEOUT : result;
}

/* Made, loaded, and ready to run. Returns CLI_OK or, after a message, the exit status. */
static int prepare(struct boot *boot) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    int result = boot_disks_open(&boot->o.disks, boot->sandbox);
    if (result == CLI_OK && !boot->files.kernel.bytes)
        result = boot_files_read(&boot->o, boot->sandbox, &boot->files);
    if (result == CLI_OK) result = enter_jail(boot);
    if (result == CLI_OK && make(boot, &err) != ATOLL_OK) {
        cli_error("boot", &err);
        result = CLI_INTERNAL;
    }
    if (result == CLI_OK) result = load(boot);
    if (result == CLI_OK) result = attach_debugger(boot);
    boot_files_free(&boot->files);
    return result;
}

/* A guest that ended by itself has said what it said: who reads that may take his time, but for a signal to us and the
 * timeout. */
static void pass_on_the_rest(struct boot *boot) {
    struct pollfd fds[2] = {{.fd = STDOUT_FILENO, .events = POLLOUT},
                            {.fd = boot->signals, .events = POLLIN}};
    for (size_t before = 0, left; (left = vm_machine_output_left(boot->machine)); before = left) {
        if (left == before && fds[0].revents) return; /* it is not the reader that is waited for */
        uint64_t now = vm_now_ns(), ns = boot->deadline_ns > now ? boot->deadline_ns - now : 0;
        int ms = ns / 1000000 < INT_MAX ? (int)(ns / 1000000) : -1;
        int n = poll(fds, 2, ms);
        if (!n || (n < 0 && errno != EINTR) || fds[1].revents) return;
    }
}

/* Returns the exit status; *out_again: the guest asked for a reset. */
static int run_machine(struct boot *boot, bool *out_again) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    enum vm_end end = VM_END_NONE;
    int result = prepare(boot);
    if (result != CLI_OK) return result;
    if (vm_machine_run(boot->machine, &end, &err) != ATOLL_OK) {
        cli_error("boot", &err);
        return CLI_INTERNAL;
    }
    if (end != VM_END_STOPPED || boot->panicked) pass_on_the_rest(boot);
    if (end == VM_END_OFF) boot_script_gone(boot->o.script, true, "powered off");
    if (!boot->output_error) boot->output_error = vm_host_stream_error(boot_console_stream(boot->console));
    result = status_of(boot, end, &err);
    if (result == CLI_PANIC || result == CLI_SCRIPT) boot_console_print_last(boot->console);
    *out_again = end == VM_END_RESET && result == CLI_OK;
    if (boot->o.stats) print_stats(boot);
    return result;
}

/* One for all machines that resets make. */
static enum atoll_status make_sandbox(struct boot *boot, struct atoll_error *err) {
    struct sb_config config = {.alloc = &atoll_default_alloc,
                               .max_fds = boot_max_fds(),
                               .trace = boot->o.strace ? trace_line : NULL};
    enum atoll_status status = sb_new(&config, &boot->sandbox, err);
    return status == ATOLL_OK && boot->o.net ? vnet_grant(boot->sandbox, boot->o.net, err) : status;
}

/* What "info" tells, as JSON. */
static int take_name(struct boot *boot) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    char *facts = NULL;
    size_t n;
    FILE *out = open_memstream(&facts, &n);
    if (out) {
        fprintf(
            out,
            "\"name\":\"%s\",\"pid\":%d,\"memory_bytes\":%llu,\"cpus\":%llu,\"engine\":\"%s\",\"kernel\":",
            boot->o.name, (int)getpid(), (unsigned long long)boot->o.memory_bytes,
            (unsigned long long)boot->o.n_cpus, boot->engine->name);
        cli_json_write(out, boot->o.kernel_path, 1000);
    }
    if (!out || fclose(out)) {
        free(facts);
        cli_message("out of memory");
        return CLI_INTERNAL;
    }
    enum atoll_status status = boot_control_new(boot->o.name, facts, &boot->control, &err);
    free(facts);
    if (status != ATOLL_OK) cli_error("boot", &err);
    return status == ATOLL_OK ? CLI_OK : CLI_INTERNAL;
}

/* Before the jail, behind which no file can be made. */
static int name_code(const struct boot_options *o) {
    const char *why;
    if (o->perf && !perf_open(&why)) {
        cli_message("boot: --perf: %s", why);
        return CLI_INTERNAL;
    }
    if (o->native_gdb) native_gdb_open();
    return CLI_OK;
}

static int run_all(struct boot *boot) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    int result = boot->o.kernel_path ? CLI_OK : boot_find_kernel(&boot->o);
    if (result == CLI_OK) result = boot_check_files(&boot->o);
    if (result != CLI_OK) return result;
    /* The engine last: choosing may measure, which takes a moment. */
    enum atoll_status status = make_sandbox(boot, &err);
    if (status == ATOLL_OK) result = boot_folders_grant(&boot->o.folders, boot->sandbox);
    if (result != CLI_OK) return result;
    char why[VM_ENGINE_WHY];
    if (status == ATOLL_OK)
        status =
            vm_engine_choose(&atoll_default_alloc, boot->o.icount ? VM_ENGINE_SOFT : boot->o.engine_choice,
                             &boot->engine, why, &boot->probe, &err);
    if (status != ATOLL_OK) {
        cli_error("boot", &err);
        return status == ATOLL_E_USAGE ? CLI_USAGE : CLI_INTERNAL;
    }
    if (boot->o.verbose) cli_message("boot: engine %s (%s)", boot->engine->name, why);
    if (boot->o.name) result = take_name(boot);
    if (result == CLI_OK) result = name_code(&boot->o);
    if (result != CLI_OK) return result;
    if (boot->o.gdb && boot_gdb_new(boot->o.gdb, on_kill, boot, &boot->gdb, &err) != ATOLL_OK) {
        cli_error("boot", &err);
        return CLI_INTERNAL;
    }
    boot->deadline_ns = boot->o.timeout_ns ? vm_now_ns() + boot->o.timeout_ns : UINT64_MAX;
    result = read_first(boot);
    bool again;
    do {
        again = false;
        if (result == CLI_OK) result = run_machine(boot, &again);
        unmake(boot);
        int closed = boot_disks_close(&boot->o.disks);
        if (closed != CLI_OK) result = closed, again = false;
    } while (again);
    boot_files_free(&boot->files);
    if (boot->output_error) cli_message("standard output: %s", strerror(boot->output_error));
    if (boot->output_error && result == CLI_OK) result = CLI_INTERNAL;
    boot_gdb_finish(boot->gdb, result);
    native_gdb_close();
    perf_close();
    close(boot->signals);
    return result;
}

/* Here, or in the background, whose process is another one. */
static int run_somewhere(struct boot *boot) {
    bool stays = false;
    if (!boot->o.detach) return run_all(boot);
    snprintf(boot->own_name, sizeof boot->own_name, "vm-%d", (int)getpid());
    if (!boot->o.name) boot->o.name = boot->own_name;
    int result = boot_detach(boot->o.name, boot->o.log_path, &boot->background, &stays);
    if (stays) boot_script_leave(boot->o.script);
    if (stays || result != CLI_OK) return result;
    result = run_all(boot);
    if (boot->o.log_path) cli_message("boot: machine %s ended with status %d", boot->o.name, result);
    return result;
}

int boot_run(struct cli_parser *p) {
    struct boot boot = {.background = {-1, -1}};
    int result = boot_options_read(&boot.o, p);
    if (result == CLI_OK) result = run_somewhere(&boot);
    boot_control_free(boot.control);
    boot_gdb_free(boot.gdb);
    sb_free(boot.sandbox);
    jail_free(boot.jail);
    vm_probe_free(boot.probe);
    boot_options_free(&boot.o);
    return boot.o.helped ? CLI_OK : result;
}
