/* cli/boot_flags.c: what `atoll boot` is told: by flags, and by a machine as a file, whose lines are flags. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/boot.h"
#include "cli/control.h"
#include "sysvm/layout.h"
#include "sysvm/net/net.h"
#include "sysvm/net/vsock.h"

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
    BOOT_DETACH,
    BOOT_LOG,
    BOOT_GDB,
    BOOT_CONSOLE,
    BOOT_ICOUNT,
    BOOT_PERF,
    BOOT_NATIVE_GDB,
    BOOT_CWD
};
static const struct cli_flag flags[] = {
    {BOOT_KERNEL, "kernel", 0, "FILE", "Linux or PVH kernel (default: the host's own)"},
    {BOOT_INITRD, "initrd", 0, "FILE", "initial RAM disk"},
    {BOOT_APPEND, "append", 0, "TEXT", "the kernel's command line (default: console=ttyS0)"},
    {BOOT_MEMORY, "memory", 0, "SIZE[,shared|,private]",
     "guest memory, from 16M (default: 512M): a memfd, which other processes of the user can look into "
     "(docs/memory.md), unless it is private"},
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
    {BOOT_LOG, "log", 0, "FILE", "with --detach: append messages after the start, and how it ended, to FILE"},
    {BOOT_GDB, "gdb", 0, "PORT[,run]",
     "wait for a debugger at a local port; run: until it comes the guest runs"},
    {BOOT_CONSOLE, "console", 0, "serial|virtio",
     "the console: ttyS0 (default), or hvc0, which has the size of the terminal's window"},
    {BOOT_ICOUNT, "icount", 0, NULL,
     "time is a function of executed instructions: the same guest does the same (docs/icount.md)"},
    {BOOT_PERF, "perf", 0, NULL, "name the guest's translated code for perf, in /tmp/perf-PID.map"},
    {BOOT_NATIVE_GDB, "native-gdb", 0, NULL,
     "name the guest's translated code for a gdb that looks at atoll itself"},
    {BOOT_CWD, "cwd", 0, "DIR", "the folder of the guest that the command starts in (default: /)"},
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

/* SIZE[,shared|,private] */
static int take_memory(struct boot_options *o, const char *text) {
    static const char *const kinds[] = {[VM_MEMORY_SHARED] = "shared", [VM_MEMORY_PRIVATE] = "private"};
    const char *comma = strchr(text, ',');
    char size[32];
    int n = snprintf(size, sizeof size, "%.*s", comma ? (int)(comma - text) : (int)strlen(text), text);
    bool is_size = n >= 0 && (size_t)n < sizeof size && cli_parse_size(size, &o->memory_bytes);
    o->memory_kind = VM_MEMORY_DEFAULT;
    for (size_t i = VM_MEMORY_SHARED; comma && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(comma + 1, kinds[i]) == 0) o->memory_kind = (enum vm_memory_kind)i;
    if (!is_size || (comma && !o->memory_kind))
        return cli_usage(o->verb, "--memory takes SIZE, SIZE,shared or SIZE,private, not \"%s\"", text);
    if (o->memory_bytes >= VM_BOOT_MEMORY_MIN && o->memory_bytes <= VM_MEMORY_MAX &&
        o->memory_bytes % VM_PAGE == 0)
        return CLI_OK;
    return cli_usage(o->verb, "--memory takes 16M to 1T, in pages of 4 KiB, not \"%s\"%s", text,
                     size[strlen(size) - 1] >= '0' && size[strlen(size) - 1] <= '9' ? ", which are bytes"
                                                                                    : "");
}

static int take_net(struct boot_options *o, const char *value) {
    struct atoll_error err;
    if (vnet_spec_check(value, &err) != ATOLL_OK) return cli_usage(o->verb, "--net: %s", err.text);
    o->net = value;
    o->folders.network = true;
    return CLI_OK;
}

static int take_vsock(struct boot_options *o, const char *value) {
    struct atoll_error err;
    if (virtio_vsock_check(value, &err) != ATOLL_OK) return cli_usage(o->verb, "--vsock: %s", err.text);
    o->vsock = value;
    o->folders.vsock = true;
    return CLI_OK;
}

static int take_word(struct boot_words *words, const char *word) {
    if (boot_words_add(words, word)) return CLI_OK;
    cli_message("out of memory");
    return CLI_INTERNAL;
}

static int take_script(struct boot_options *o, const char *path) {
    struct cli_file file;
    boot_script_free(o->script); /* the last one counts */
    o->script = NULL;
    int result = boot_read_file(path, 0, &file);
    if (result != CLI_OK) return result;
    result = boot_script_new(cli_file_name(path), (const char *)file.bytes, file.size, 1, &o->script);
    cli_file_close(&file);
    return result;
}

/* The first of the flags that time by instructions goes without; NULL: there is none. */
static const char *uncounted(const struct boot_options *o) {
    return o->engine_choice == VM_ENGINE_KVM ? "--engine=kvm"
           : o->n_cpus > 1                   ? "--cpus"
           : o->disks.n                      ? "--disk"
           : o->net                          ? "--net"
           : o->vsock                        ? "--vsock"
           : o->virtio_console               ? "--console=virtio"
           : o->folders.rootfs               ? "--rootfs"
           : o->folders.dirs.n               ? "--dir"
                                             : NULL;
}

/* What only means something together. */
static int check_flags(const struct boot_options *o) {
    const struct boot_folders *f = &o->folders;
    const char *alone = f->args.n     ? f->args.items[0]
                        : f->writable ? "--rw"
                        : f->env.n    ? "--env"
                        : f->modules  ? "--modules"
                        : f->cwd      ? "--cwd"
                                      : NULL;
    if (!f->rootfs && alone) return cli_usage(o->verb, "\"%s\" is for guests with --rootfs", alone);
    if (o->log_path && !o->detach)
        return cli_usage(o->verb, "--log is for machines in the background (--detach)");
    if (f->rootfs && o->virtio_console)
        return cli_usage(o->verb, "with --rootfs the console is CMD's, which needs no --console");
    if (o->icount && uncounted(o))
        return cli_usage(o->verb, "--icount does without %s, whose answers come by the host's time",
                         uncounted(o));
    if (f->rootfs && o->initrd_path) return cli_usage(o->verb, "--rootfs has an initial RAM disk of its own");
    return CLI_OK;
}

/* Returns CLI_OK or, after a message, what to exit with. */
static int take_flag(struct boot_options *o, int id, const char *value) {
    bool valid = true;
    switch (id) {
    case BOOT_KERNEL: o->kernel_path = value; break;
    case BOOT_INITRD: o->initrd_path = value; break;
    case BOOT_DISK: return boot_disks_add(&o->disks, o->verb, value);
    case BOOT_APPEND: o->cmdline = value; break;
    case BOOT_MEMORY: return take_memory(o, value);
    case BOOT_CPUS:
        valid = cli_parse_count(value, &o->n_cpus) && o->n_cpus >= 1 && o->n_cpus <= VM_CPUS_MAX;
        break;
    case BOOT_TIMEOUT: valid = cli_parse_duration(value, &o->timeout_ns) && o->timeout_ns; break;
    case BOOT_ENGINE: valid = parse_engine(value, &o->engine_choice); break;
    case BOOT_SELF_UNPACKING: o->self_unpacking = true; break;
    case BOOT_NET: return take_net(o, value);
    case BOOT_VSOCK: return take_vsock(o, value);
    case BOOT_STRACE: o->strace = true; break;
    case BOOT_STATS: o->stats = true; break;
    case BOOT_VERBOSE: o->verbose = true; break;
    case BOOT_ROOTFS: o->folders.rootfs = value; break;
    case BOOT_RW: o->folders.writable = true; break;
    case BOOT_DIR: return take_word(&o->folders.dirs, value);
    case BOOT_ENV:
        valid = value[0] && value[0] != '=';
        if (valid) return take_word(&o->folders.env, value);
        break;
    case BOOT_MODULES: o->folders.modules = value; break;
    case BOOT_NO_JAIL: o->no_jail = true; break;
    case BOOT_SCRIPT: return take_script(o, value);
    case BOOT_NAME:
        o->name = value;
        o->folders.balloon = true; /* "atoll vm memory" */
        valid = control_name_valid(value);
        break;
    case BOOT_DETACH: o->detach = o->folders.balloon = true; break;
    case BOOT_LOG: o->log_path = value; break;
    case BOOT_GDB:
        o->gdb = value;
        valid = boot_gdb_check(value);
        break;
    case BOOT_CONSOLE:
        o->virtio_console = !strcmp(value, "virtio");
        valid = o->virtio_console || !strcmp(value, "serial");
        break;
    case BOOT_ICOUNT: o->icount = true; break;
    case BOOT_PERF: o->perf = true; break;
    case BOOT_NATIVE_GDB: o->native_gdb = true; break;
    case BOOT_CWD:
        o->folders.cwd = value;
        valid = value[0] == '/';
        break;
    default: return CLI_USAGE;
    }
    return valid ? CLI_OK : cli_usage(o->verb, "--%s does not take \"%s\"", flags[id - 1].name, value);
}

/* ---- a machine as a file ---- */

static void tell_place(const struct ucl_file *file, uint32_t line, uint32_t column, const char *text) {
    if (column)
        cli_message("%s:%u:%u: %s", file->name, line, column, text);
    else if (line)
        cli_message("%s:%u: %s", file->name, line, text);
    else
        cli_message("%s: %s", file->name, text);
    for (; file->from; file = file->from)
        cli_message("%s:%u: included here", file->from->name, file->from_line);
}

/* Why the file could not be read; what to exit with. */
static int file_failed(const struct cli_vm_file *file, const char *path, const struct atoll_error *err) {
    const struct ucl_file none = {.name = path};
    tell_place(file->failed ? file->failed : &none, err->line, err->column, err->text);
    if (err->code == ATOLL_E_NOMEM) return CLI_INTERNAL;
    if (err->code != ATOLL_E_IO) return CLI_USAGE;
    return err->system_errno == ENOENT || err->system_errno == ENOTDIR ? CLI_NOT_FOUND : CLI_NOT_LOADABLE;
}

/* Lines of text are a script. */
static int take_lines(struct boot_options *o, const struct cli_vm_setting *setting) {
    const struct ucl_value *from = setting->from;
    if (setting->flag->id != BOOT_SCRIPT) {
        char text[64];
        snprintf(text, sizeof text, "%s is one line", setting->flag->name);
        tell_place(from->file, from->line, 0, text);
        return CLI_USAGE;
    }
    boot_script_free(o->script);
    o->script = NULL;
    return boot_script_new(from->file->name, setting->value, strlen(setting->value), from->line + 1,
                           &o->script);
}

static int take_setting(struct boot_options *o, const struct cli_vm_setting *setting) {
    const struct ucl_value *from = setting->from;
    if (from->is_lines) return take_lines(o, setting);
    int status = take_flag(o, setting->flag->id, setting->value);
    if (status != CLI_OK) tell_place(from->file, from->line, 0, "this line is not taken");
    return status;
}

/* What the file says counts as if it stood on the command line instead of the file's name. */
static int take_file(struct boot_options *o, const char *path) {
    static const struct ucl_options options = {.files = &ucl_system_files};
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    size_t size = strlen(path);
    if (size < 3 || strcmp(path + size - 3, ".vm"))
        return cli_usage(o->verb, "\"%s\" is no flag, and no file NAME.vm", path);
    if (o->file_path) return cli_usage(o->verb, "one file at a time, not \"%s\", too", path);
    o->file_path = path;
    if (cli_vm_file_read(path, &options, flags, &o->file, &err) != ATOLL_OK)
        return file_failed(&o->file, path, &err);
    int result = CLI_OK;
    for (size_t i = 0; i < o->file.n_settings && result == CLI_OK; i++)
        result = take_setting(o, o->file.settings + i);
    return result;
}

static int take_flags(struct boot_options *o, struct cli_parser *p) {
    for (int id; (id = cli_next(p)) != CLI_END;) {
        if (id == CLI_HELP) o->helped = true;
        if (id == CLI_HELP || id == CLI_BAD) return CLI_USAGE;
        int result = id != CLI_ARGUMENT ? take_flag(o, id, p->value)
                     : p->flags_ended   ? take_word(&o->folders.args, p->value) /* behind "--" */
                                        : take_file(o, p->value);
        if (result != CLI_OK) return result;
    }
    return CLI_OK;
}

int boot_options_read(struct boot_options *o, struct cli_parser *p) {
    o->verb = p->verb;
    o->memory_bytes = UINT64_C(512) << 20;
    o->n_cpus = 1;
    int result = take_flags(o, p);
    return result == CLI_OK ? check_flags(o) : result;
}

void boot_options_free(struct boot_options *o) {
    boot_script_free(o->script);
    boot_disks_free(&o->disks);
    boot_words_free(&o->folders.dirs);
    boot_words_free(&o->folders.env);
    boot_words_free(&o->folders.args);
    free(o->default_kernel);
    cli_vm_file_free(&o->file);
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
        "NAME.vm is a machine as a file, in libucl's language: a line \"flag = value\" for each flag, \"flag "
        "= true\" "
        "for one without a value, \"[ a, b ]\" for several, or sections (disk { file = a.img; ro = true }); "
        "# begins a "
        "comment, and JSON is taken, too. .include \"FILE\" takes another file in, and ${CURDIR} is the "
        "folder of the "
        "file (docs/machine-files.md). Flags behind it go before what it says. A file that begins with "
        "\"#!/usr/bin/env -S atoll boot\" can be run itself.\n\n"
        "On a terminal, Ctrl-a x quits and Ctrl-a h helps. A serial port does not know the size of its "
        "terminal; with "
        "--console virtio the console is hvc0, which does. Without --append the kernel is told to use both, "
        "ttyS0 "
        "for what it says before hvc0 has its driver; such messages are not shown.\n\n"
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
    .run = boot_run,
};
