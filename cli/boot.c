/* cli/boot.c: boots a guest operating system.
 *
 *   flags -> struct boot -> files, engine -> console, machine -> run -> exit status; again after a reset */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "cli/boot.h"
#include "cli/control.h"
#include "cli/vm_file.h"
#include "sandbox/sandbox.h"
#include "sysvm/layout.h"
#include "sysvm/net/net.h"
#include "sysvm/net/virtio_net.h"
#include "sysvm/net/vsock.h"

struct boot {
    const struct cli_verb *verb;
    /* as the flags say */
    const char *kernel_path, *initrd_path, *cmdline, *net, *vsock; /* the last two NULL: not there */
    uint64_t memory_bytes, n_cpus, timeout_ns;
    enum vm_engine_choice engine_choice;
    bool self_unpacking, strace, stats, verbose, no_jail, helped;
    struct cli_vm_file file; /* NAME.vm, whose strings are values of flags */
    const char *file_path;
    struct boot_folders folders;
    struct boot_disks disks;
    struct boot_script *script; /* NULL: none */
    const char *name;           /* of the control socket; NULL: none */
    bool detach;
    /* made from them */
    char *default_kernel; /* owned; NULL: --kernel was given */
    const struct vm_engine_ops *engine;
    struct sandbox *sandbox;
    struct jail *jail;            /* NULL: not entered */
    struct boot_control *control; /* NULL: without a name */
    char own_name[32];            /* where --detach has none */
    int told;                     /* who waits for the start; -1: nobody */
    uint64_t deadline_ns;
    int signals; /* signalfd */
    /* of the machine that runs; another one after a reset */
    struct vm_loop *loop;
    struct boot_console *console;
    struct vm_machine *machine;
    struct vm_watch *signal_watch;
    struct vm_timer *timer;
    struct boot_command *command; /* NULL: without --rootfs */
    struct boot_command_events command_events;
    /* why it was stopped from here */
    bool timed_out, panicked, quit, command_ended, script_failed;
    int signal, command_status;
};

/* ---- flags ---- */

enum {
    BOOT_KERNEL = 1,
    BOOT_INITRD,
    BOOT_APPEND,
    BOOT_MEMORY,
    BOOT_CPUS,
    BOOT_TIMEOUT,
    BOOT_ENGINE,
    BOOT_SELF_UNPACKING,
    BOOT_DISK,
    BOOT_NET,
    BOOT_VSOCK,
    BOOT_STRACE,
    BOOT_STATS,
    BOOT_VERBOSE,
    BOOT_ROOTFS,
    BOOT_RW,
    BOOT_DIR,
    BOOT_ENV,
    BOOT_MODULES,
    BOOT_NO_JAIL,
    BOOT_SCRIPT,
    BOOT_NAME,
    BOOT_DETACH
};
static const struct cli_flag flags[] = {
    {BOOT_KERNEL, "kernel", 0, "FILE", "Linux or PVH kernel (default: the host's own)"},
    {BOOT_INITRD, "initrd", 0, "FILE", "initial RAM disk"},
    {BOOT_APPEND, "append", 0, "TEXT", "the kernel's command line (default: console=ttyS0)"},
    {BOOT_MEMORY, "memory", 0, "SIZE", "guest memory, from 16M (default: 512M)"},
    {BOOT_CPUS, "cpus", 0, "N", "processors, up to 128 (default: 1)"},
    {BOOT_TIMEOUT, "timeout", 0, "TIME", "end the guest after TIME: 500ms, 2s, 1.5m"},
    {BOOT_ENGINE, "engine", 0, "NAME", "what runs the processors: auto, kvm or soft (default: auto)"},
    {BOOT_SELF_UNPACKING, "self-unpacking", 0, NULL, "let a bzImage unpack (and randomise) itself"},
    {BOOT_DISK, "disk", 0, "FILE[:OPTION]...",
     "disk image (again: one more); ro, raw, qcow2, snapshot, overlay[=FILE], direct, serial=TEXT, "
     "backing=FILE, "
     "nolock (docs/disks.md)"},
    {BOOT_NET, "net", 0, "NET",
     "grant a network: user[:OPTION,...], tap=INTERFACE or none (docs/network.md)"},
    {BOOT_VSOCK, "vsock", 0, "PATH[,cid=N]",
     "stream sockets between guest and host, at UNIX sockets (docs/network.md)"},
    {BOOT_STRACE, "strace", 0, NULL, "print every request to the sandbox and its answer to standard error"},
    {BOOT_STATS, "stats", 0, NULL,
     "print at the end how often which device was accessed, and what the jail held"},
    {BOOT_VERBOSE, "verbose", 'v', NULL, "say which engine runs the guest and why, and what the jail holds"},
    {BOOT_ROOTFS, "rootfs", 0, "DIR", "the folder DIR is the guest's root, and a command runs there"},
    {BOOT_RW, "rw", 0, NULL, "the guest's changes of the root are made in DIR (default: thrown away)"},
    {BOOT_DIR, "dir", 'd', "HOST[::GUEST][:ro]", "grant a directory, under another name, read-only"},
    {BOOT_ENV, "env", 'e', "NAME[=VALUE]", "a variable for the command; without a value, atoll's own"},
    {BOOT_MODULES, "modules", 0, "DIR",
     "the kernel's modules (default: beside it, or the host's of its release)"},
    {BOOT_NO_JAIL, "no-jail", 0, NULL,
     "keep rights and system calls that a machine does not need, to debug (docs/jail.md)"},
    {BOOT_SCRIPT, "script", 0, "FILE", "waits for the console's output and answers it (docs/scripts.md)"},
    {BOOT_NAME, "name", 0, "NAME", "lets \"atoll vm\" find the machine by this name (docs/control.md)"},
    {BOOT_DETACH, "detach", 0, NULL, "return when the machine runs, and print its name"},
    {0}};

static bool parse_engine(const char *text, enum vm_engine_choice *out) {
    static const char *const names[] = {"auto", "kvm", "soft"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i])) continue;
        *out = (enum vm_engine_choice)i;
        return true;
    }
    return false;
}

static int take_net(struct boot *boot, const char *value) {
    struct atoll_error err;
    if (vnet_spec_check(value, &err) != ATOLL_OK) return cli_usage(boot->verb, "--net: %s", err.text);
    boot->net = value;
    boot->folders.network = true;
    return CLI_OK;
}

static int take_vsock(struct boot *boot, const char *value) {
    struct atoll_error err;
    if (virtio_vsock_check(value, &err) != ATOLL_OK) return cli_usage(boot->verb, "--vsock: %s", err.text);
    boot->vsock = value;
    return CLI_OK;
}

static int take_word(struct boot_words *words, const char *word) {
    if (boot_words_add(words, word)) return CLI_OK;
    cli_message("out of memory");
    return CLI_INTERNAL;
}

static int read_file(const char *path, uint64_t max_bytes, struct cli_file *out);

static int take_script(struct boot *boot, const char *path) {
    struct cli_file file;
    boot_script_free(boot->script); /* the last one counts */
    boot->script = NULL;
    int result = read_file(path, 0, &file);
    if (result != CLI_OK) return result;
    result = boot_script_new(cli_file_name(path), (const char *)file.bytes, file.size, 1, &boot->script);
    cli_file_close(&file);
    return result;
}

/* What only means something together. */
static int check_flags(const struct boot *boot) {
    const struct boot_folders *f = &boot->folders;
    const char *alone = f->args.n     ? f->args.items[0]
                        : f->writable ? "--rw"
                        : f->env.n    ? "--env"
                        : f->modules  ? "--modules"
                                      : NULL;
    if (!f->rootfs && alone) return cli_usage(boot->verb, "\"%s\" is for guests with --rootfs", alone);
    if (f->rootfs && boot->initrd_path)
        return cli_usage(boot->verb, "--rootfs has an initial RAM disk of its own");
    return CLI_OK;
}

/* Returns CLI_OK or, after a message, what to exit with. */
static int take_flag(struct boot *boot, int id, const char *value) {
    bool valid = true;
    switch (id) {
    case BOOT_KERNEL: boot->kernel_path = value; break;
    case BOOT_INITRD: boot->initrd_path = value; break;
    case BOOT_DISK: return boot_disks_add(&boot->disks, boot->verb, value);
    case BOOT_APPEND: boot->cmdline = value; break;
    case BOOT_MEMORY:
        valid = cli_parse_size(value, &boot->memory_bytes) && boot->memory_bytes >= VM_BOOT_MEMORY_MIN &&
                boot->memory_bytes <= VM_MEMORY_MAX && boot->memory_bytes % VM_PAGE == 0;
        break;
    case BOOT_CPUS:
        valid = cli_parse_count(value, &boot->n_cpus) && boot->n_cpus >= 1 && boot->n_cpus <= VM_CPUS_MAX;
        break;
    case BOOT_TIMEOUT: valid = cli_parse_duration(value, &boot->timeout_ns) && boot->timeout_ns; break;
    case BOOT_ENGINE: valid = parse_engine(value, &boot->engine_choice); break;
    case BOOT_SELF_UNPACKING: boot->self_unpacking = true; break;
    case BOOT_NET: return take_net(boot, value);
    case BOOT_VSOCK: return take_vsock(boot, value);
    case BOOT_STRACE: boot->strace = true; break;
    case BOOT_STATS: boot->stats = true; break;
    case BOOT_VERBOSE: boot->verbose = true; break;
    case BOOT_ROOTFS: boot->folders.rootfs = value; break;
    case BOOT_RW: boot->folders.writable = true; break;
    case BOOT_DIR: return take_word(&boot->folders.dirs, value);
    case BOOT_ENV:
        valid = value[0] && value[0] != '=';
        if (valid) return take_word(&boot->folders.env, value);
        break;
    case BOOT_MODULES: boot->folders.modules = value; break;
    case BOOT_NO_JAIL: boot->no_jail = true; break;
    case BOOT_SCRIPT: return take_script(boot, value);
    case BOOT_NAME:
        boot->name = value;
        valid = control_name_valid(value);
        break;
    case BOOT_DETACH: boot->detach = true; break;
    default: return CLI_USAGE;
    }
    return valid ? CLI_OK : cli_usage(boot->verb, "--%s does not take \"%s\"", flags[id - 1].name, value);
}

/* ---- a machine as a file ---- */

/* Returns CLI_OK or, after a message, the exit status. */
static int read_file(const char *path, uint64_t max_bytes, struct cli_file *out) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    enum atoll_status status = cli_file_read(path, max_bytes, NULL, out, &err);
    if (status == ATOLL_OK) return CLI_OK;
    cli_error(cli_file_name(path), &err);
    if (status != ATOLL_E_IO) return CLI_INTERNAL;
    return err.system_errno == ENOENT || err.system_errno == ENOTDIR ? CLI_NOT_FOUND : CLI_NOT_LOADABLE;
}

/* True: the flag is to be set; *out_status is CLI_USAGE after a message where a line is wrong. */
static bool is_set(const struct boot *boot, const struct cli_vm_entry *entry, const struct cli_flag *flag,
                   int *out_status) {
    static const char *const words[] = {"true", "yes", "on", "false", "no", "off"};
    if (flag->value) return true;
    for (size_t i = 0; i < 6; i++)
        if (strcmp(entry->value, words[i]) == 0) return i < 3;
    cli_message("%s:%u: %s is true or false, not \"%s\"", boot->file_path, entry->line, entry->name,
                entry->value);
    *out_status = CLI_USAGE;
    return false;
}

/* Lines of text are a script. */
static int take_text(struct boot *boot, const struct cli_vm_entry *entry, const struct cli_flag *flag) {
    boot_script_free(boot->script);
    boot->script = NULL;
    if (flag->id == BOOT_SCRIPT)
        return boot_script_new(boot->file_path, entry->value, strlen(entry->value), entry->line + 1,
                               &boot->script);
    cli_message("%s:%u: %s is one line", boot->file_path, entry->line, entry->name);
    return CLI_USAGE;
}

static int take_entry(struct boot *boot, const struct cli_vm_entry *entry) {
    const char *names[sizeof flags / sizeof *flags];
    size_t n = 0;
    int status = CLI_OK;
    for (const struct cli_flag *flag = flags; flag->name; flag++) {
        names[n++] = flag->name;
        if (strcmp(flag->name, entry->name)) continue;
        if (!is_set(boot, entry, flag, &status)) return status;
        if (entry->is_text) return take_text(boot, entry, flag);
        status = take_flag(boot, flag->id, entry->value);
        if (status != CLI_OK) cli_message("%s:%u: this line is not taken", boot->file_path, entry->line);
        return status;
    }
    names[n] = NULL;
    const char *near = cli_nearest(entry->name, names);
    cli_message("%s:%u: there is no flag \"%s\"%s%s", boot->file_path, entry->line, entry->name,
                near ? "; perhaps " : "", near ? near : "");
    return CLI_USAGE;
}

/* What the file says counts as if it stood on the command line instead of the file's name. */
static int take_file(struct boot *boot, const char *path) {
    struct cli_file file;
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    size_t size = strlen(path);
    if (size < 3 || strcmp(path + size - 3, ".vm"))
        return cli_usage(boot->verb, "\"%s\" is no flag, and no file NAME.vm", path);
    if (boot->file_path) return cli_usage(boot->verb, "one file at a time, not \"%s\", too", path);
    boot->file_path = path;
    int result = read_file(path, CLI_VM_FILE_MAX, &file);
    if (result != CLI_OK) return result;
    enum atoll_status status = cli_vm_file_parse((const char *)file.bytes, file.size, &boot->file, &err);
    cli_file_close(&file);
    if (status != ATOLL_OK) {
        cli_error(path, &err);
        return status == ATOLL_E_NOMEM ? CLI_INTERNAL : CLI_USAGE;
    }
    for (size_t i = 0; i < boot->file.n_entries && result == CLI_OK; i++)
        result = take_entry(boot, boot->file.entries + i);
    return result;
}

/* ---- what ends a machine from outside ---- */

static void on_signal(void *context, uint32_t events) {
    struct boot *boot = context;
    struct signalfd_siginfo info;
    (void)events;
    if (read(boot->signals, &info, sizeof info) != sizeof info) return;
    if (info.ssi_signo == SIGWINCH) {
        if (boot->command) boot_command_resize(boot->command);
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

static void on_command_end(void *context, int status) {
    struct boot *boot = context;
    boot->command_ended = true;
    boot->command_status = status;
    boot_script_gone(boot->script, true, "ended its command");
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

static void on_power_button(void *context) {
    struct boot *boot = context;
    vm_machine_power_button(boot->machine);
}

static void on_running(void *context) {
    struct boot *boot = context;
    boot_detach_running(&boot->told);
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

/* ---- files ---- */

/* What a machine starts from, read before it is made. */
struct boot_files {
    struct cli_file kernel, initrd;
    struct guest_archive archive; /* owns the initrd where it was put together here */
    char *cmdline;
};

/* The initial RAM disk: a file, or with --rootfs what is put together here. */
static int read_initrd(struct boot *boot, struct boot_files *files) {
    if (boot->initrd_path) return read_file(boot->initrd_path, boot->memory_bytes, &files->initrd);
    if (!boot->folders.rootfs) return CLI_OK;
    int result = boot_folders_archive(&boot->folders, boot->sandbox, boot->kernel_path, &files->kernel,
                                      &files->archive);
    files->initrd = (struct cli_file){files->archive.bytes, files->archive.size};
    return result;
}

/* A command's guest keeps quiet, and does not stay after a panic; what the user says comes last, and wins. */
static int command_line(const struct boot *boot, char **out) {
    const char *given = boot->cmdline ? boot->cmdline : "";
    *out = NULL;
    int n = boot->folders.rootfs ? asprintf(out, "console=ttyS0 quiet panic=-1 rdinit=/init %s", given)
                                 : asprintf(out, "%s", boot->cmdline ? given : "console=ttyS0");
    if (n >= 0) return CLI_OK;
    *out = NULL;
    cli_message("out of memory");
    return CLI_INTERNAL;
}

static int read_files(struct boot *boot, struct boot_files *files) {
    enum { KERNEL_MAX = 1 << 30 };
    int result = read_file(boot->kernel_path, KERNEL_MAX, &files->kernel);
    if (result == CLI_OK) result = read_initrd(boot, files);
    return result == CLI_OK ? command_line(boot, &files->cmdline) : result;
}

static void free_files(struct boot_files *files) {
    free(files->cmdline);
    cli_file_close(&files->kernel);
    if (!files->archive.bytes) cli_file_close(&files->initrd);
    guest_archive_free(&atoll_default_alloc, &files->archive);
}

static int load(struct boot *boot, const struct boot_files *files) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct vm_machine_kernel k = {.kernel = {files->kernel.bytes, files->kernel.size},
                                  .initrd = {files->initrd.bytes, files->initrd.size},
                                  .cmdline = files->cmdline,
                                  .self_unpacking = boot->self_unpacking};
    enum atoll_status status = vm_machine_load(boot->machine, &k, &err);
    if (status == ATOLL_OK) return CLI_OK;
    cli_error(boot->kernel_path, &err);
    return status == ATOLL_E_NOMEM || status == ATOLL_E_IO ? CLI_INTERNAL : CLI_NOT_LOADABLE;
}

/* The kernel that runs the host, where Debian and others put it. */
static int find_kernel(struct boot *boot) {
    static const char *const places[] = {"/boot/vmlinuz-%s", "/lib/modules/%s/vmlinuz"};
    struct utsname host;
    uname(&host);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        free(boot->default_kernel);
        if (asprintf(&boot->default_kernel, places[i], host.release) < 0) { /* NOLINT: from the list above */
            boot->default_kernel = NULL;
            cli_message("out of memory");
            return CLI_INTERNAL;
        }
        boot->kernel_path = boot->default_kernel;
        if (access(boot->kernel_path, F_OK) == 0) return CLI_OK;
    }
    cli_message("boot: the host's kernel is not in /boot/vmlinuz-%s; name one with --kernel", host.release);
    return CLI_NOT_FOUND;
}

/* ---- a machine ---- */

static enum atoll_status watch_outside(struct boot *boot, struct atoll_error *err) {
    int error = vm_loop_watch(boot->loop, boot->signals, EPOLLIN, on_signal, boot, &boot->signal_watch);
    if (!error) error = vm_timer_new(boot->loop, on_timeout, boot, &boot->timer);
    if (error) return atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "%s", strerror(error));
    vm_timer_set(boot->timer, boot->deadline_ns);
    return ATOLL_OK;
}

static void trace_line(void *context, const char *line) {
    (void)context;
    dprintf(STDERR_FILENO, "%s\n", line);
}

static enum atoll_status add_network(struct boot *boot, struct atoll_error *err) {
    struct virtio_net_config config = {
        .alloc = &atoll_default_alloc, .loop = boot->loop, .sandbox = boot->sandbox, .spec = boot->net};
    const struct virtio_ops *ops;
    void *dev;
    enum atoll_status status = virtio_net_new(&config, &ops, &dev, err);
    return status == ATOLL_OK ? vm_machine_add_virtio(boot->machine, ops, dev, err) : status;
}

static enum atoll_status add_vsock(struct boot *boot, struct atoll_error *err) {
    struct virtio_vsock_config config = {
        .alloc = &atoll_default_alloc, .loop = boot->loop, .sandbox = boot->sandbox, .spec = boot->vsock};
    const struct virtio_ops *ops;
    void *dev;
    enum atoll_status status = virtio_vsock_new(&config, &ops, &dev, err);
    return status == ATOLL_OK ? vm_machine_add_virtio(boot->machine, ops, dev, err) : status;
}

static enum atoll_status add_command(struct boot *boot, struct atoll_error *err) {
    boot->command_events = (struct boot_command_events){.ended = on_command_end, .context = boot};
    return boot_command_new(boot->loop, boot->machine, boot->console, &boot->command_events, &boot->command,
                            err);
}

static enum atoll_status make(struct boot *boot, struct atoll_error *err) {
    struct boot_console_config console = {.events = {on_quit, on_panic, on_input_end, boot},
                                          .hidden = boot->folders.rootfs != NULL,
                                          .script = boot->script,
                                          .control = boot->control};
    struct boot_control_events control = {on_power_button, on_quit, boot};
    struct boot_script_events script = {on_script_over, on_power_button, on_quit, boot};
    enum atoll_status status = vm_loop_new(&atoll_default_alloc, &boot->loop, err);
    if (status == ATOLL_OK && boot->jail) vm_loop_watch_threads(boot->loop, boot_jail_thread, boot->jail);
    console.loop = boot->loop;
    if (status == ATOLL_OK) status = watch_outside(boot, err);
    if (status == ATOLL_OK) status = boot_console_new(&console, &boot->console, err);
    if (status == ATOLL_OK && boot->control)
        status = boot_control_attach(boot->control, boot->loop, &control, err);
    if (status == ATOLL_OK && boot->told >= 0 && vm_loop_post(boot->loop, on_running, boot))
        status = atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    if (status == ATOLL_OK && boot->script)
        status = boot_script_attach(boot->script, boot->loop, &script, err);
    if (status != ATOLL_OK) return status;
    struct vm_machine_config config = {.alloc = &atoll_default_alloc,
                                       .engine = boot->engine,
                                       .memory_bytes = boot->memory_bytes,
                                       .n_cpus = (unsigned)boot->n_cpus,
                                       .serial = boot_console_end(boot->console),
                                       .loop = boot->loop,
                                       .sandbox = boot->sandbox};
    status = vm_machine_new(&config, &boot->machine, err);
    if (status != ATOLL_OK) return status;
    boot_console_join(boot->console, vm_machine_serial(boot->machine));
    status = boot_disks_put(&boot->disks, boot->machine, boot->loop, boot->sandbox, err);
    if (status == ATOLL_OK && boot->net) status = add_network(boot, err);
    if (status == ATOLL_OK && boot->vsock) status = add_vsock(boot, err);
    if (status == ATOLL_OK)
        status = boot_folders_attach(&boot->folders, boot->sandbox, boot->loop, boot->machine, err);
    return status == ATOLL_OK && boot->folders.rootfs ? add_command(boot, err) : status;
}

static void unmake(struct boot *boot) {
    vm_machine_free(boot->machine);
    boot_script_detach(boot->script);
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
    if (boot->script_failed) return CLI_SCRIPT;
    if (boot->timed_out) cli_message("boot: the guest ran into the timeout");
    if (boot->timed_out) return CLI_TIMEOUT;
    if (boot->command_ended) return boot->command_status;
    return boot->signal ? CLI_SIGNAL + boot->signal : CLI_OK;
}

/* A guest that was to run a command, and went before it had. */
static int gone_status(const struct boot *boot, const char *how) {
    if (boot_script_failed(boot->script)) return CLI_SCRIPT;
    if (!boot->folders.rootfs || boot->script) return CLI_OK; /* a script may be what it went for */
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
    struct boot_jail_wants wants = {.kernel = boot->kernel_path,
                                    .initrd = boot->initrd_path,
                                    .net = boot->net,
                                    .vsock = boot->vsock,
                                    .disks = &boot->disks,
                                    .script = boot->script,
                                    .control = boot->control,
                                    .sandbox = boot->sandbox,
                                    .makes_code = strcmp(boot->engine->name, "soft") == 0};
    if (boot->no_jail || boot->jail) return CLI_OK;
    if (boot_jail_enter(&wants, &boot->jail, &err) == ATOLL_OK) {
        if (boot->verbose) boot_jail_print(boot->jail);
        return CLI_OK;
    }
    cli_error("boot", &err);
    cli_message("boot: --no-jail does without");
    return CLI_INTERNAL;
}

/* Made, loaded, and ready to run. Returns CLI_OK or, after a message, the exit status. */
static int prepare(struct boot *boot) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct boot_files files = {0};
    int result = boot_disks_open(&boot->disks, boot->sandbox);
    if (result == CLI_OK) result = read_files(boot, &files);
    if (result == CLI_OK) result = enter_jail(boot);
    if (result == CLI_OK && make(boot, &err) != ATOLL_OK) {
        cli_error("boot", &err);
        result = CLI_INTERNAL;
    }
    if (result == CLI_OK) result = load(boot, &files);
    free_files(&files);
    return result;
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
    if (end == VM_END_OFF) boot_script_gone(boot->script, true, "powered off");
    result = status_of(boot, end, &err);
    if (result == CLI_PANIC || result == CLI_SCRIPT) boot_console_print_last(boot->console);
    *out_again = end == VM_END_RESET && result == CLI_OK;
    if (boot->stats) print_stats(boot);
    return result;
}

/* Before anything is made: a name that is wrong is the likeliest mistake. */
static int check_files(const struct boot *boot) {
    const char *const paths[] = {boot->kernel_path, boot->initrd_path};
    for (size_t i = 0; i < 2; i++) {
        if (!paths[i] || strcmp(paths[i], "-") == 0 || access(paths[i], R_OK) == 0) continue;
        int error = errno;
        cli_message("%s: %s", paths[i], strerror(error));
        return error == ENOENT || error == ENOTDIR ? CLI_NOT_FOUND : CLI_NOT_LOADABLE;
    }
    return boot_disks_check(&boot->disks);
}

/* One for all machines that resets make. */
static enum atoll_status make_sandbox(struct boot *boot, struct atoll_error *err) {
    struct sb_config config = {
        .alloc = &atoll_default_alloc, .max_fds = boot_max_fds(), .trace = boot->strace ? trace_line : NULL};
    enum atoll_status status = sb_new(&config, &boot->sandbox, err);
    return status == ATOLL_OK && boot->net ? vnet_grant(boot->sandbox, boot->net, err) : status;
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
            boot->name, (int)getpid(), (unsigned long long)boot->memory_bytes,
            (unsigned long long)boot->n_cpus, boot->engine->name);
        cli_json_write(out, boot->kernel_path, 1000);
    }
    if (!out || fclose(out)) {
        free(facts);
        cli_message("out of memory");
        return CLI_INTERNAL;
    }
    enum atoll_status status = boot_control_new(boot->name, facts, &boot->control, &err);
    free(facts);
    if (status != ATOLL_OK) cli_error("boot", &err);
    return status == ATOLL_OK ? CLI_OK : CLI_INTERNAL;
}

static int run_all(struct boot *boot) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    int result = boot->kernel_path ? CLI_OK : find_kernel(boot);
    if (result == CLI_OK) result = check_files(boot);
    if (result != CLI_OK) return result;
    /* The engine last: choosing may measure, which takes a moment. */
    enum atoll_status status = make_sandbox(boot, &err);
    if (status == ATOLL_OK) result = boot_folders_grant(&boot->folders, boot->sandbox);
    if (result != CLI_OK) return result;
    char why[VM_ENGINE_WHY];
    if (status == ATOLL_OK)
        status = vm_engine_choose(&atoll_default_alloc, boot->engine_choice, &boot->engine, why, &err);
    if (status != ATOLL_OK) {
        cli_error("boot", &err);
        return CLI_INTERNAL;
    }
    if (boot->verbose) cli_message("boot: engine %s (%s)", boot->engine->name, why);
    if (boot->name) result = take_name(boot);
    if (result != CLI_OK) return result;
    boot->deadline_ns = boot->timeout_ns ? vm_now_ns() + boot->timeout_ns : UINT64_MAX;
    boot->signals = take_signals();
    bool again;
    do {
        again = false;
        result = run_machine(boot, &again);
        unmake(boot);
        int closed = boot_disks_close(&boot->disks);
        if (closed != CLI_OK) result = closed, again = false;
    } while (again);
    close(boot->signals);
    return result;
}

static int take_flags(struct boot *boot, struct cli_parser *p) {
    for (int id; (id = cli_next(p)) != CLI_END;) {
        if (id == CLI_HELP) boot->helped = true;
        if (id == CLI_HELP || id == CLI_BAD) return CLI_USAGE;
        int result = id != CLI_ARGUMENT ? take_flag(boot, id, p->value)
                     : p->flags_ended   ? take_word(&boot->folders.args, p->value) /* behind "--" */
                                        : take_file(boot, p->value);
        if (result != CLI_OK) return result;
    }
    return CLI_OK;
}

/* Here, or in the background, whose process is another one. */
static int run_somewhere(struct boot *boot) {
    bool stays = false;
    if (!boot->detach) return run_all(boot);
    snprintf(boot->own_name, sizeof boot->own_name, "vm-%d", (int)getpid());
    if (!boot->name) boot->name = boot->own_name;
    int result = boot_detach(boot->name, &boot->told, &stays);
    if (stays) boot_script_leave(boot->script);
    return stays || result != CLI_OK ? result : run_all(boot);
}

static int run_boot(struct cli_parser *p) {
    struct boot boot = {.verb = p->verb, .memory_bytes = UINT64_C(512) << 20, .n_cpus = 1, .told = -1};
    int result = take_flags(&boot, p);
    if (result == CLI_OK) result = check_flags(&boot);
    if (result == CLI_OK) result = run_somewhere(&boot);
    boot_control_free(boot.control);
    sb_free(boot.sandbox);
    boot_script_free(boot.script);
    boot_disks_free(&boot.disks);
    boot_words_free(&boot.folders.dirs);
    boot_words_free(&boot.folders.env);
    boot_words_free(&boot.folders.args);
    free(boot.default_kernel);
    cli_vm_file_free(&boot.file);
    jail_free(boot.jail);
    return boot.helped ? CLI_OK : result;
}

const struct cli_verb cli_verb_boot = {
    .name = "boot",
    .arguments = "[NAME.vm] [-- CMD [ARGS...]]",
    .summary = "boot a guest operating system",
    .text =
        "Boots a Linux kernel (bzImage, ELF vmlinux, also compressed with gzip, xz, zstd, lz4 or lzma) or "
        "any "
        "kernel with a PVH entry in a virtual machine whose serial console is standard input and output. A "
        "guest that resets is booted again.\n\n"
        "NAME.vm is a machine as a file: a line \"flag = value\" for each flag, \"flag = true\" for one "
        "without "
        "a value, \"[ a, b ]\" for several; # begins a comment, and JSON is taken, too. Flags behind it go "
        "before "
        "what it says. A file that begins with \"#!/usr/bin/env -S atoll boot\" can be run itself.\n\n"
        "On a terminal, Ctrl-a x quits and Ctrl-a h helps.\n\n"
        "With --rootfs DIR that folder is the guest's root, through virtio-fs, and CMD (/bin/sh) runs there "
        "with "
        "standard input, output and error of its own; it has a terminal when atoll has one. What it changes "
        "is "
        "thrown away at the end, unless --rw. Modules that the kernel needs come from its module folder. "
        "SIGINT, "
        "SIGTERM, SIGHUP and SIGQUIT go to CMD; a second one ends the guest.\n\n"
        "--dir HOST::GUEST gives the guest a folder: with --rootfs it is mounted at GUEST, else the guest "
        "mounts "
        "it (mount -t virtiofs GUEST WHERE). Nothing outside the folder can be reached. When atoll does not "
        "run "
        "as root, its user's files are root's to the guest.\n\n"
        "With --script FILE, or \"script = <<END\" and lines up to END in NAME.vm, a script waits for what "
        "the "
        "guest writes and answers it; when it is over, input is the user's.\n\n"
        "The exit status is 0 when the guest powers off, with --rootfs that of CMD (128 + n: ended by signal "
        "n); 123 when the script failed, 124 after --timeout, 255 when it panics or crashes, "
        "125 when atoll failed, 126 when the kernel cannot be booted or CMD "
        "not run, 127 when there is no such file.",
    .flags = flags,
    .run = run_boot,
};
