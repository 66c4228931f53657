/* cli/boot.h: what the files of `atoll boot` share.
 *
 *   boot_flags.c     flags, NAME.vm -> struct boot_options
 *   boot_files.c     what a machine starts from: kernel, initial RAM disk, command line
 *   boot.c      options -> machine -> run -> exit status
 *   boot_disk.c --disk -> images -> devices of the machine
 *   console.c   the guest's console: the terminal's raw mode, escape keys, what a panic says
 *   boot_folders.c   folders of the host in the guest, and what a guest with a command starts from
 *   boot_command.c   that command's standard streams and end
 *   boot_jail.c what the process may still do once the guest runs
 *   boot_script.c    a console script at the guest's console
 *   boot_gdb*.c      a debugger at the machine (boot_gdb.h)
 *   boot_control.c   the control socket of a machine with a name; boot_detach.c: a machine in the background */
#ifndef ATOLL_CLI_BOOT_H
#define ATOLL_CLI_BOOT_H

#include "cli/cli.h"
#include "cli/terminal.h"
#include "cli/vm_file.h"
#include "sandbox/sandbox.h"
#include "sysvm/dev/host_stream.h"
#include "sysvm/guest/guest.h"
#include "sysvm/jail/jail.h"
#include "sysvm/machine.h"

/* ---- boot_disk.c ---- */

enum { BOOT_DISKS_MAX = 24 };
struct boot_disk;
struct boot_disks {
    struct boot_disk *disks[BOOT_DISKS_MAX];
    unsigned n;
};
/* Takes the text of a --disk. Returns CLI_OK or, after a message, CLI_USAGE or CLI_INTERNAL. */
int boot_disks_add(struct boot_disks *disks, const struct cli_verb *verb, const char *text);
/* Whether they are there, before anything is made. Returns CLI_OK or, after a message, the exit status. */
int boot_disks_check(const struct boot_disks *disks);
/* Opens all of them, for one machine; granted in `sb` now. Returns CLI_OK or, after a message, the exit status;
 * boot_disks_close follows in any case. */
int boot_disks_open(struct boot_disks *disks, struct sandbox *sb);
/* Puts them into a machine. */
enum atoll_status boot_disks_put(struct boot_disks *disks, struct vm_machine *machine, struct vm_loop *loop,
                                 struct sandbox *sb, struct atoll_error *err);
/* The files of all that are open, as img_each_file. */
void boot_disks_each_file(const struct boot_disks *disks, void (*each)(void *context, int fd, bool changed),
                          void *context);
/* The folder that files without a name are made in, or NULL when there are none. */
const char *boot_disks_scratch(const struct boot_disks *disks);
/* When no machine uses them. Returns CLI_INTERNAL after a message when something could not be saved. */
int boot_disks_close(struct boot_disks *disks);
void boot_disks_free(struct boot_disks *disks);

/* ---- boot_script.c ---- */

struct boot_script;
struct boot_script_events {                   /* on the loop's thread */
    void (*over)(void *context, bool failed); /* once; after a failure a message was printed */
    void (*power_button)(void *context);
    void (*kill)(void *context);
    void *context;
};
/* Reads a script and opens the files it names. `name` (for messages) is borrowed; the text is not kept.
 * Returns CLI_OK or, after a message, the exit status; boot_script_free follows in any case. */
int boot_script_new(const char *name, const char *text, size_t n, uint32_t first_line,
                    struct boot_script **out);
void boot_script_free(struct boot_script *script); /* NULL is allowed */
/* Another process goes on with the files it has made; NULL is allowed. */
void boot_script_leave(struct boot_script *script);
/* The file i that a step makes, and its removal where it does not; NULL: no more. */
const char *boot_script_made(const struct boot_script *script, size_t i);
/* A machine's loop, until detach. The script begins when the loop runs, and goes on with the next machine. */
enum atoll_status boot_script_attach(struct boot_script *script, struct vm_loop *loop,
                                     const struct boot_script_events *events, struct atoll_error *err);
void boot_script_detach(struct boot_script *script); /* NULL is allowed */
/* Where input goes, and what ends a line of it; before the loop runs. */
void boot_script_join(struct boot_script *script, struct vm_stream_device device, const char *line_end);
/* These may come from any thread, under the machine lock; what follows from them happens on the loop. Of output, no more
 * than there is space for (NULL: any); when there is space again the device of boot_script_join is told. */
size_t boot_script_space(const struct boot_script *script);
void boot_script_output(struct boot_script *script, const uint8_t *bytes, size_t n);
void boot_script_room(struct boot_script *script);
/* As vm_script_guest_gone; NULL is allowed. */
void boot_script_gone(struct boot_script *script, bool off, const char *how);
bool boot_script_runs(const struct boot_script *script);   /* NULL: false */
bool boot_script_failed(const struct boot_script *script); /* NULL: false */

/* ---- boot_control.c ---- */

struct boot_control;
struct boot_control_events { /* on the loop's thread */
    void (*power_button)(void *context);
    void (*kill)(void *context);
    const char *(*set_memory)(void *context, uint64_t n_bytes); /* NULL, or why not */
    uint64_t (*balloon_bytes)(void *context);
    void *context;
};
/* Takes the name and listens. `facts`: fields of the answer to "info", as JSON without braces; not kept.
 * out    *out also after a failure, for boot_control_free, which makes the name free again; then fds are closed
 * fails  as control_folder_open, control_lock, control_listen; E_NOMEM */
enum atoll_status boot_control_new(const char *name, const char *facts, struct boot_control **out,
                                   struct atoll_error *err);
void boot_control_free(struct boot_control *control); /* NULL is allowed, here and below */
/* Where its files are, which are removed at the end; or NULL. */
const char *boot_control_folder(const struct boot_control *control);
/* A machine's loop, until detach; clients stay over resets. */
enum atoll_status boot_control_attach(struct boot_control *control, struct vm_loop *loop,
                                      const struct boot_control_events *events, struct atoll_error *err);
void boot_control_detach(struct boot_control *control);
/* Any thread, under the machine lock; what follows from them happens on the loop. */
void boot_control_join(struct boot_control *control, struct vm_stream_device device);
void boot_control_output(struct boot_control *control, const uint8_t *bytes, size_t n);
void boot_control_room(struct boot_control *control);

/* ---- boot_gdb.c ---- */

struct boot_gdb;
/* PORT[,run] */
bool boot_gdb_check(const char *spec);
/* Listens, and says where. `kill` is called on the loop's thread when the debugger ends the machine.
 * out    *out also after a failure, for boot_gdb_free. fails  E_IO, E_NOMEM */
enum atoll_status boot_gdb_new(const char *spec, void (*kill)(void *context), void *context,
                               struct boot_gdb **out, struct atoll_error *err);
void boot_gdb_free(struct boot_gdb *gdb); /* NULL is allowed, here and below */
/* A machine that is loaded, until detach; a debugger stays over resets. */
enum atoll_status boot_gdb_attach(struct boot_gdb *gdb, struct vm_machine *machine, struct vm_loop *loop,
                                  struct atoll_error *err);
void boot_gdb_detach(struct boot_gdb *gdb);
/* The last machine has ended; tells the debugger. */
void boot_gdb_finish(struct boot_gdb *gdb, int status);

/* ---- boot_detach.c ---- */

struct boot_background {
    int told, log; /* who waits for the start; where messages go from then on. -1: nobody, nowhere */
};
/* Goes on in a process of its own, without a terminal, whose messages are passed on until it runs, and then are
 * lines of the file `log_path` (NULL: lost).
 * out    *out: in that process, for boot_detach_running; empty in the one that stays
 * Returns CLI_OK in the new process; in the other one *out_stays is true and the exit status is returned. */
int boot_detach(const char *name, const char *log_path, struct boot_background *out, bool *out_stays);
/* The machine runs. False: who waited for that has gone (Ctrl-C), and nobody knows of the machine. */
bool boot_detach_running(struct boot_background *b);

/* ---- console.c ---- */

struct boot_console;

/* What a key or the guest's output asks for; called on the loop's thread. */
struct boot_console_events {
    void (*quit)(void *context);     /* Ctrl-a x */
    void (*panicked)(void *context); /* the guest's kernel panicked and has said all it had to say */
    void (*input_ended)(void *context);
    void *context;
};

struct boot_console_config {
    struct vm_loop *loop;
    struct boot_console_events events;
    bool hidden; /* standard input and output are not the serial port's, which is watched for a panic */
    struct boot_script *script; /* or NULL; as long as it runs, input is its own, and a terminal as it was */
    struct boot_control *control; /* or NULL; hears and writes, too */
};
/* Standard input and output as the guest's console. A terminal goes into raw mode until free.
 * fails  E_NOMEM, E_IO */
enum atoll_status boot_console_new(const struct boot_console_config *config, struct boot_console **out,
                                   struct atoll_error *err);
struct vm_host_stream *boot_console_stream(struct boot_console *console);
void boot_console_free(struct boot_console *console); /* NULL is allowed */
struct vm_stream_end boot_console_end(struct boot_console *console);
void boot_console_join(struct boot_console *console, struct vm_stream_device device);
/* The same for the streams of a command, or a console that is no serial port, where that is hidden. `line_end`: what a
 * script's lines end with. */
struct vm_stream_end boot_console_command_end(struct boot_console *console);
void boot_console_join_command(struct boot_console *console, struct vm_stream_device device,
                               const char *line_end);
void boot_console_resize(
    struct boot_console *console); /* tells the device what size the window has, if it can know */
/* The script is over: input is the user's. */
void boot_console_hand_over(struct boot_console *console);
/* Whether a line of a kernel's panic went by. */
bool boot_console_saw_panic(const struct boot_console *console);
/* The line of the panic, if there was one, and the last lines that went by, to stderr. */
void boot_console_print_last(const struct boot_console *console);

/* ---- folders ---- */

struct boot_words {
    const char **items;
    size_t n, capacity;
};
bool boot_words_add(struct boot_words *words, const char *word); /* false: out of memory */
void boot_words_free(struct boot_words *words);                  /* the words are their owners' */

struct boot_folders {
    const char *rootfs, *modules, *cwd; /* or NULL */
    bool writable;                      /* the root, for the guest */
    bool network, vsock, balloon;       /* its driver is needed, too */
    struct boot_words dirs, env, args;
};
/* Whether a command gets a terminal of its own. */
bool boot_is_terminal(void);
/* How many files guests may hold; raises the limit of the process. */
uint32_t boot_max_fds(void);
/* The root first. Returns CLI_OK or, after a message, the exit status. */
int boot_folders_grant(const struct boot_folders *f, struct sandbox *sandbox);
/* A virtio-fs device for each grant. */
enum atoll_status boot_folders_attach(const struct boot_folders *f, struct sandbox *sandbox,
                                      struct vm_loop *loop, struct vm_machine *machine,
                                      struct atoll_error *err);
/* owns  *out, for guest_archive_free. Returns CLI_OK or, after a message, the exit status. */
int boot_folders_archive(const struct boot_folders *f, struct sandbox *sandbox, const char *kernel_path,
                         const struct cli_file *kernel, struct guest_archive *out);

/* ---- boot_flags.c ---- */

struct boot_options {
    const struct cli_verb *verb;
    const char *kernel_path, *initrd_path, *cmdline, *net, *vsock; /* the last two NULL: not there */
    uint64_t memory_bytes, n_cpus, timeout_ns;
    enum vm_memory_kind memory_kind; /* VM_MEMORY_DEFAULT: not said */
    enum vm_engine_choice engine_choice;
    bool self_unpacking, strace, stats, verbose, no_jail, virtio_console, helped, icount, perf, native_gdb;
    const char *file_path;   /* NAME.vm; NULL: none */
    struct cli_vm_file file; /* what it says; its strings are values of flags */
    struct boot_folders folders;
    struct boot_disks disks;
    struct boot_script *script; /* NULL: none */
    const char *name;           /* of the control socket; NULL: none */
    bool detach;
    const char *log_path; /* of --detach; NULL: none */
    const char *gdb;      /* where a debugger comes; NULL: none does */
    char *default_kernel; /* owned; NULL: --kernel was given */
};
/* Takes all flags. Returns CLI_OK or, after a message, the exit status (where o->helped, none was needed);
 * boot_options_free follows in any case. */
int boot_options_read(struct boot_options *o, struct cli_parser *p);
void boot_options_free(struct boot_options *o);

/* ---- boot_files.c ---- */

/* What a machine starts from, read before it is made. */
struct boot_files {
    struct cli_file kernel, initrd;
    struct guest_archive archive; /* owns the initrd where it was put together here */
    char *cmdline;
};
/* All of these return CLI_OK or, after a message, the exit status. */
int boot_read_file(const char *path, uint64_t max_bytes, struct cli_file *out); /* 0: of any size */
/* The kernel that runs the host, where Debian and others put it; becomes --kernel. */
int boot_find_kernel(struct boot_options *o);
/* Before anything is made: a name that is wrong is the likeliest mistake. */
int boot_check_files(const struct boot_options *o);
/* boot_files_free follows in any case. */
int boot_files_read(const struct boot_options *o, struct sandbox *sb, struct boot_files *files);
void boot_files_free(struct boot_files *files);

/* ---- boot.c ---- */

int boot_run(struct cli_parser *p);

/* ---- boot_jail.c ---- */

/* What the flags name: nothing else can be opened by name from then on, also by a machine that is made after a
 * reset. A flag that needs more adds it here. */
struct boot_jail_wants {
    const char *kernel, *initrd, *net, *vsock; /* NULL: not there */
    const struct boot_disks *disks;            /* open */
    const struct boot_script *script;          /* or NULL */
    const struct boot_control *control;        /* or NULL */
    const struct sandbox *sandbox;             /* its folders */
    bool makes_code;                           /* the engine does */
};
/* Before any thread is made, and any machine. out: *out also after a failure, for jail_free
 * fails  as jail_new, jail_enter */
enum atoll_status boot_jail_enter(const struct boot_jail_wants *wants, struct jail **out,
                                  struct atoll_error *err);
/* For vm_loop_watch_threads, with the jail as context; ends the process where the kernel refuses. */
void boot_jail_thread(void *jail, enum vm_role role);
void boot_jail_print(const struct jail *jail); /* what holds; NULL: nothing does */

/* ---- the command ---- */

struct boot_command;
struct boot_command_events {
    void (*ended)(void *context,
                  int status); /* what atoll exits with; a message was printed where there is one */
    void *context;
    bool in_background;           /* standard error goes where standard output goes: to the console */
    struct boot_command *command; /* set by boot_command_new */
};
/* in     events: has to live as long as the command
 * out    *out also after a failure, for boot_command_free, after the machine */
enum atoll_status boot_command_new(struct vm_loop *loop, struct vm_machine *machine,
                                   struct boot_console *console, struct boot_command_events *events,
                                   struct boot_command **out, struct atoll_error *err);
void boot_command_free(struct boot_command *command);
void boot_command_end_input(struct boot_command *command);
bool boot_command_signal(struct boot_command *command, int number); /* false: it does not run */
void boot_command_power_off(struct boot_command *command); /* SIGTERM, also when it runs only later */
void boot_command_resize(struct boot_command *command);    /* the terminal's window has changed */

#endif
