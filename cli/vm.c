/* cli/vm.c: machines that run, by their names: list, info, console, stop, kill. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "cli/cli.h"
#include "cli/control.h"
#include "cli/terminal.h"
#include "cli/ucl/ucl.h"

enum { VM_JSON = 1, VM_TIMEOUT };
static const struct cli_flag flags[] = {
    {VM_JSON, "json", 0, NULL, "list, info: print JSON"},
    {VM_TIMEOUT, "timeout", 0, "TIME", "stop: how long the guest may take before it is ended (default: 30s)"},
    {0}};

struct vm {
    const struct cli_verb *verb;
    struct control_folder folder;
    bool json, timeout_given;
    const char *timeout; /* as JSON has it */
    const char *name, *size;
};

/* ---- a conversation ---- */

/* Answers come at once, unless the machine's process is stopped. */
static const struct timeval patience = {.tv_sec = 5};

static int connect_to(const struct vm *vm, int *out_fd) {
    struct atoll_error err;
    if (!control_is_alive(&vm->folder, vm->name)) {
        cli_message("vm: there is no machine \"%s\"", vm->name);
        return CLI_NOT_FOUND;
    }
    if (control_connect(&vm->folder, vm->name, out_fd, &err) != ATOLL_OK) {
        cli_error("vm", &err);
        return CLI_INTERNAL;
    }
    if (control_peer_allowed(*out_fd)) return CLI_OK;
    close(*out_fd);
    cli_message("vm: the socket of \"%s\" is somebody else's", vm->name);
    return CLI_INTERNAL;
}

static bool send_all(int fd, const char *bytes, size_t n) {
    while (n) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR && errno != EAGAIN) return false;
        if (sent > 0) bytes += sent, n -= (size_t)sent;
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        if (n && poll(&wait, 1, (int)patience.tv_sec * 1000) <= 0) return false;
    }
    return true;
}

/* A line without its end; byte by byte, because what follows is the console's. */
static bool read_line(int fd, char line[CONTROL_LINE_MAX]) {
    for (size_t n = 0; n < CONTROL_LINE_MAX; n++) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, (int)patience.tv_sec * 1000) <= 0 || recv(fd, line + n, 1, 0) != 1) return false;
        if (line[n] != '\n') continue;
        line[n] = 0;
        return true;
    }
    return false;
}

static const char *field(const struct ucl_document *answer, const char *name) {
    return ucl_text(answer->root, name);
}

/* Asks, and reads the answer. out: *out_answer, for ucl_document_free when CLI_OK. */
static int ask(const struct vm *vm, int fd, const char *request, struct ucl_document *out_answer) {
    char line[CONTROL_LINE_MAX];
    bool told = send_all(fd, request, strlen(request)) && read_line(fd, line) && line[0] == '{';
    if (!told || ucl_read("answer", line, strlen(line), NULL, out_answer, NULL) != ATOLL_OK) {
        if (told) ucl_document_free(out_answer);
        cli_message("vm: \"%s\" does not answer", vm->name);
        return CLI_INTERNAL;
    }
    const char *ok = field(out_answer, "ok"), *error = field(out_answer, "error");
    if (ok && strcmp(ok, "true") == 0) return CLI_OK;
    cli_message("vm: %s: %s", vm->name, error ? error : "refused");
    ucl_document_free(out_answer);
    return CLI_INTERNAL;
}

/* The machine has gone when its name is free. */
static void wait_for_end(int fd) {
    char bytes[256];
    ssize_t n;
    do {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        poll(&wait, 1, -1);
        n = recv(fd, bytes, sizeof bytes, 0);
    } while (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)));
}

/* ---- list, info ---- */

static const struct {
    const char *name;
    bool is_text;
} fields[] = {{"name", true},   {"pid", false},   {"memory_bytes", false},  {"cpus", false},
              {"engine", true}, {"kernel", true}, {"balloon_bytes", false}, {"uptime_ms", false}};
enum { N_FIELDS = sizeof fields / sizeof *fields };

static bool is_number(const char *text) { return *text && strspn(text, "0123456789") == strlen(text); }

/* What a machine says is read and written anew: numbers are numbers, text is text. */
static void print_json(const struct ucl_document *info) {
    const char *separator = "";
    putchar('{');
    for (size_t i = 0; i < N_FIELDS; i++) {
        const char *value = field(info, fields[i].name);
        if (!value || (!fields[i].is_text && !is_number(value))) continue;
        printf("%s\"%s\":", separator, fields[i].name);
        if (fields[i].is_text)
            cli_json_string(value);
        else
            fputs(value, stdout);
        separator = ",";
    }
    putchar('}');
}

/* As messages do: bytes that are no text do not get to the terminal. */
static void print_text(const char *text, int width) {
    for (; *text; text++, width--)
        putchar((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7E ? '?' : *text);
    for (; width > 0; width--) putchar(' ');
}

static unsigned long long number(const struct ucl_document *info, const char *name) {
    const char *value = field(info, name);
    return value && is_number(value) ? strtoull(value, NULL, 10) : 0;
}

static void print_row(const struct ucl_document *info) {
    const char *name = field(info, "name"), *kernel = field(info, "kernel");
    print_text(name ? name : "", 20);
    printf(" %8llu %7lluM %4llu %8llus  ", number(info, "pid"), number(info, "memory_bytes") >> 20,
           number(info, "cpus"), number(info, "uptime_ms") / 1000);
    print_text(kernel ? kernel : "", 0);
    putchar('\n');
}

static void print_lines(const struct ucl_document *info) {
    for (size_t i = 0; i < N_FIELDS; i++) {
        const char *value = field(info, fields[i].name);
        if (!value) continue;
        printf("%-13s ", fields[i].name);
        print_text(value, 0);
        putchar('\n');
    }
}

static int do_info(struct vm *vm) {
    struct ucl_document info;
    int fd, result = connect_to(vm, &fd);
    if (result != CLI_OK) return result;
    result = ask(vm, fd, "{\"do\":\"info\"}\n", &info);
    close(fd);
    if (result != CLI_OK) return result;
    if (vm->json)
        print_json(&info), putchar('\n');
    else
        print_lines(&info);
    ucl_document_free(&info);
    return CLI_OK;
}

static int is_socket(const struct dirent *entry) {
    size_t n = strlen(entry->d_name);
    return n > 5 && strcmp(entry->d_name + n - 5, ".lock") == 0;
}

static int list_one(struct vm *vm, bool *first) {
    struct ucl_document info;
    int fd;
    if (!control_name_valid(vm->name) || !control_is_alive(&vm->folder, vm->name)) return CLI_OK;
    int result = connect_to(vm, &fd);
    if (result != CLI_OK) return result;
    result = ask(vm, fd, "{\"do\":\"info\"}\n", &info);
    close(fd);
    if (result != CLI_OK) return result;
    if (vm->json)
        fputs(*first ? "" : ",\n ", stdout), print_json(&info);
    else
        print_row(&info);
    *first = false;
    ucl_document_free(&info);
    return CLI_OK;
}

static int do_list(struct vm *vm) {
    struct dirent **entries;
    bool first = true;
    int result = CLI_OK, n = scandir(vm->folder.path, &entries, is_socket, alphasort);
    if (n < 0) {
        cli_message("vm: %s: %s", vm->folder.path, strerror(errno));
        return CLI_INTERNAL;
    }
    fputs(vm->json ? "[" : "", stdout);
    if (!vm->json) puts("name                      pid   memory cpus    uptime  kernel");
    for (int i = 0; i < n; i++) {
        entries[i]->d_name[strlen(entries[i]->d_name) - 5] = 0;
        vm->name = entries[i]->d_name;
        int one = list_one(vm, &first);
        if (one != CLI_OK) result = one;
        free(entries[i]);
    }
    free(entries);
    fputs(vm->json ? "]\n" : "", stdout);
    return result;
}

/* ---- memory ---- */

/* One request of one value; `waits`: until the machine has ended. */
static int request_of(struct vm *vm, const char *what, const char *key, const char *value, bool waits) {
    char request[160];
    struct ucl_document answer;
    int fd, result = connect_to(vm, &fd);
    if (result != CLI_OK) return result;
    snprintf(request, sizeof request, "{\"do\":\"%s\",\"%s\":\"%s\"}\n", what, key, value);
    result = ask(vm, fd, request, &answer);
    if (result == CLI_OK) {
        ucl_document_free(&answer);
        if (waits) wait_for_end(fd);
    }
    close(fd);
    return result;
}

static int do_memory(struct vm *vm) { return request_of(vm, "memory", "size", vm->size, false); }

/* ---- stop, kill ---- */

static int do_stop(struct vm *vm) { return request_of(vm, "stop", "timeout", vm->timeout, true); }

/* By asking; a process that does not answer is ended by the kernel. */
static int do_kill(struct vm *vm) {
    static const char request[] = "{\"do\":\"kill\"}\n";
    char line[CONTROL_LINE_MAX];
    struct ucred peer;
    socklen_t size = sizeof peer;
    int fd, result = connect_to(vm, &fd);
    if (result != CLI_OK) return result;
    bool told = send_all(fd, request, sizeof request - 1) && read_line(fd, line);
    if (!told && !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.pid > 1)
        kill(peer.pid, SIGKILL);
    wait_for_end(fd);
    close(fd);
    for (int i = 0; i < 500 && control_is_alive(&vm->folder, vm->name); i++) usleep(10000);
    return CLI_OK;
}

/* ---- console ---- */

struct attached {
    int fd;
    bool detached;
};

static void on_detach(void *context) { ((struct attached *)context)->detached = true; }

static bool print_all(const uint8_t *bytes, size_t n) {
    while (n) {
        ssize_t wrote = write(STDOUT_FILENO, bytes, n);
        if (wrote < 0 && errno != EINTR) return false;
        if (wrote > 0) bytes += wrote, n -= (size_t)wrote;
    }
    return true;
}

/* Both ways until one side ends. */
static void relay(struct attached *a, bool terminal) {
    struct cli_keys keys = {.quits = "leave; the machine goes on", .quit = on_detach, .context = a};
    struct pollfd fds[3] = {
        {.fd = a->fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}, {.fd = STDOUT_FILENO}};
    uint8_t bytes[4096];
    while (!a->detached) {
        if (poll(fds, 3, -1) < 0 && errno != EINTR) return;
        if (fds[2].revents & POLLERR) return; /* nobody reads any more */
        if (fds[0].revents) {
            ssize_t n = recv(a->fd, bytes, sizeof bytes, 0);
            if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return;
            if (n > 0 && !print_all(bytes, (size_t)n)) return;
        }
        if (!fds[1].revents) continue;
        ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (n <= 0) fds[1].fd = -1; /* what the guest writes is shown all the same */
        if (n <= 0) continue;
        size_t left = terminal ? cli_keys_filter(&keys, bytes, (size_t)n) : (size_t)n;
        if (!send_all(a->fd, (const char *)bytes, left)) return;
    }
}

static int do_console(struct vm *vm) {
    struct attached a = {0};
    struct ucl_document answer;
    int result = connect_to(vm, &a.fd);
    if (result != CLI_OK) return result;
    result = ask(vm, a.fd, "{\"do\":\"console\"}\n", &answer);
    if (result == CLI_OK) {
        ucl_document_free(&answer);
        bool terminal = cli_terminal_raw(true);
        relay(&a, terminal);
        cli_terminal_restore();
    }
    close(a.fd);
    return result;
}

/* ---- the verb ---- */

static const struct {
    const char *name;
    int (*run)(struct vm *vm);
    bool has_name;
} actions[] = {{"list", do_list, false}, {"info", do_info, true}, {"console", do_console, true},
               {"stop", do_stop, true},  {"kill", do_kill, true}, {"memory", do_memory, true}};
enum { N_ACTIONS = sizeof actions / sizeof *actions };

static int take_flag(struct vm *vm, int id, const char *value) {
    uint64_t ns;
    if (id == VM_JSON) vm->json = true;
    if (id != VM_TIMEOUT) return CLI_OK;
    vm->timeout = value;
    vm->timeout_given = true;
    if (strlen(value) < 64 && !strpbrk(value, "\"\\") && cli_parse_duration(value, &ns)) return CLI_OK;
    return cli_usage(vm->verb, "--timeout does not take \"%s\"", value);
}

static int act(struct vm *vm, size_t action) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    if (control_folder_open(&vm->folder, &err) != ATOLL_OK) {
        cli_error("vm", &err);
        return CLI_INTERNAL;
    }
    int result = actions[action].run(vm);
    control_folder_close(&vm->folder);
    return result;
}

static int find_action(const char *word, size_t *out) {
    for (*out = 0; *out < N_ACTIONS; ++*out)
        if (strcmp(actions[*out].name, word) == 0) return CLI_OK;
    return CLI_USAGE;
}

static int check(struct vm *vm, const char *word, size_t *out_action) {
    uint64_t n_bytes;
    if (!word) return cli_usage(vm->verb, "list, info, console, stop, kill or memory is missing");
    if (find_action(word, out_action) != CLI_OK)
        return cli_usage(vm->verb, "\"%s\" is none of list, info, console, stop, kill, memory", word);
    bool takes_size = actions[*out_action].run == do_memory;
    if (takes_size && vm->name && !vm->size) return cli_usage(vm->verb, "memory needs a size, too");
    if (takes_size && vm->name && (strlen(vm->size) > 32 || !cli_parse_size(vm->size, &n_bytes)))
        return cli_usage(vm->verb, "\"%s\" is no size", vm->size);
    if (!takes_size && vm->size)
        return cli_usage(vm->verb, "one machine at a time, not \"%s\", too", vm->size);
    if (vm->name && !actions[*out_action].has_name) return cli_usage(vm->verb, "list takes no name");
    if (!vm->name && actions[*out_action].has_name)
        return cli_usage(vm->verb, "%s needs the name of a machine", word);
    if (vm->name && !control_name_valid(vm->name))
        return cli_usage(vm->verb, "no machine is called \"%s\"", vm->name);
    if (vm->json && *out_action > 1) return cli_usage(vm->verb, "--json is for list and info");
    if (vm->timeout_given && strcmp(word, "stop")) return cli_usage(vm->verb, "--timeout is for stop");
    return CLI_OK;
}

static int run_vm(struct cli_parser *p) {
    struct vm vm = {.verb = p->verb, .timeout = "30s"};
    const char *word = NULL;
    size_t action = 0;
    for (int id; (id = cli_next(p)) != CLI_END;) {
        int result = CLI_OK;
        if (id == CLI_HELP) return CLI_OK;
        if (id == CLI_BAD) return CLI_USAGE;
        if (id != CLI_ARGUMENT)
            result = take_flag(&vm, id, p->value);
        else if (!word)
            word = p->value;
        else if (!vm.name)
            vm.name = p->value;
        else if (!vm.size)
            vm.size = p->value;
        else
            result = cli_usage(vm.verb, "\"%s\" is too much", p->value);
        if (result != CLI_OK) return result;
    }
    int result = check(&vm, word, &action);
    return result == CLI_OK ? act(&vm, action) : result;
}

const struct cli_verb cli_verb_vm = {
    .name = "vm",
    .arguments = "list | info NAME | console NAME | stop NAME | kill NAME | memory NAME SIZE",
    .summary = "look after machines that run",
    .text =
        "Finds the machines that this user has started with \"atoll boot --name NAME\" or --detach.\n\n"
        "list shows all of them, and removes what is left of machines whose process was killed; info tells "
        "about one. console shows the last that a guest wrote and joins its console; on a terminal, Ctrl-a x "
        "leaves and Ctrl-a h helps. stop presses the power button, gives SIGTERM to the command of --rootfs, "
        "and waits until the guest is off; when that takes longer than --timeout it is ended. kill ends it "
        "at "
        "once. Both return when nothing is left of the machine. memory asks the guest, by its balloon, to do "
        "with SIZE of its memory; the rest goes back "
        "to "
        "the host. "
        "With the machine's own size it has all again.\n\n"
        "The exit status is 0, 127 when there is no such machine, 125 when it does not answer. "
        "docs/control.md describes the control socket.",
    .flags = flags,
    .run = run_vm,
};
