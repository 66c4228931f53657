/* cli/boot_jail.c: the jail of `atoll boot`: what the flags name, and what is said when somebody tries to leave. */
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/boot.h"

/* ---- what is said ---- */

static size_t put(char *line, size_t n, size_t size, const char *text) {
    size_t length = strlen(text);
    if (length > size - n) length = size - n;
    memcpy(line + n, text, length);
    return n + length;
}

/* In a signal handler: nothing here takes a lock or memory. */
static void forbidden(const char *thread, const char *call, int number) {
    char line[200], digits[12];
    size_t n = 0, at = sizeof digits - 1;
    unsigned left = (unsigned)number;
    digits[at] = 0;
    do digits[--at] = (char)('0' + left % 10);
    while (left /= 10);
    const char *const words[] = {"atoll: boot: jail: thread ",
                                 thread,
                                 " made the system call ",
                                 call,
                                 " (",
                                 digits + at,
                                 "), which is not allowed: the machine is ended\n"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) n = put(line, n, sizeof line, words[i]);
    cli_terminal_restore();
    (void)!write(STDERR_FILENO, line, n);
    _exit(CLI_INTERNAL);
}

/* A thread without its filter must not meet the guest, and who waits for it would wait for ever. */
void boot_jail_thread(void *jail, enum vm_role role) {
    static const enum jail_role roles[] = {
        [VM_ROLE_VCPU] = JAIL_VCPU, [VM_ROLE_DISK] = JAIL_DISK, [VM_ROLE_FOLDER] = JAIL_FOLDER};
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    if (jail_thread(jail, roles[role], &err) == ATOLL_OK) return;
    cli_terminal_restore();
    cli_error("boot", &err);
    _exit(CLI_INTERNAL);
}

static void print_capabilities(uint64_t left, char *out, size_t size) {
    static const struct {
        int number;
        const char *name;
    } names[] = {
        {CAP_CHOWN, "chown"},   {CAP_DAC_OVERRIDE, "dac_override"},         {CAP_FOWNER, "fowner"},
        {CAP_FSETID, "fsetid"}, {CAP_NET_BIND_SERVICE, "net_bind_service"}, {CAP_NET_ADMIN, "net_admin"}};
    size_t n = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!(left & UINT64_C(1) << names[i].number)) continue;
        if (n) n = put(out, n, size - 1, " ");
        n = put(out, n, size - 1, names[i].name);
    }
    if (!n) n = put(out, n, size - 1, "none");
    out[n] = 0;
}

void boot_jail_print(const struct jail *jail) {
    struct jail_holds holds;
    char capabilities[100], files[64] = "no Landlock in this kernel";
    if (!jail) {
        cli_message("boot: jail: none");
        return;
    }
    jail_holds(jail, &holds);
    print_capabilities(holds.capabilities, capabilities, sizeof capabilities);
    if (holds.landlock)
        snprintf(files, sizeof files, "%zu by name (Landlock %u)", holds.n_paths, holds.landlock);
    cli_message("boot: jail: no new privileges; capabilities: %s; files: %s", capabilities, files);
    cli_message("boot: jail: system calls: loop %u, processors %u, disks %u, folders %u",
                holds.n_calls[JAIL_ROLES], holds.n_calls[JAIL_VCPU], holds.n_calls[JAIL_DISK],
                holds.n_calls[JAIL_FOLDER]);
}

/* ---- what is named ---- */

enum { DEVICE = JAIL_READ | JAIL_WRITE | JAIL_DEVICE };

struct named {
    struct jail_config config;
    struct jail_path *paths;
    size_t capacity;
    char *owned[2]; /* paths made here: of the name servers, of vsock's folder */
    char **folders; /* made here, too: of files that scripts make */
    size_t n_folders, cap_folders;
    bool failed; /* out of memory */
};

static void add(struct named *named, struct jail_path path) {
    struct jail_config *config = &named->config;
    if (atoll_grow(&atoll_default_alloc, (void **)&named->paths, &named->capacity, config->n_paths + 1,
                   sizeof path)) {
        named->failed = true;
        return;
    }
    named->paths[config->n_paths++] = path;
}

static void add_path(struct named *named, const char *path, unsigned rights) {
    if (path) add(named, (struct jail_path){.path = path, .rights = rights});
}

static void add_disk(void *context, int fd, bool changed) {
    unsigned rights = JAIL_READ | JAIL_DEVICE | (changed ? JAIL_WRITE : 0);
    add(context, (struct jail_path){.fd = fd, .rights = rights});
}

static void add_folders(struct named *named, const struct sandbox *sandbox) {
    for (size_t i = 0; i < sb_grant_count(sandbox); i++) {
        const struct sb_file *file = sb_grant_at(sandbox, i)->file;
        bool readonly = sb_file_readonly(file);
        if (sb_file_type(file) != SB_TYPE_DIRECTORY) continue;
        add(named, (struct jail_path){.fd = sb_file_fd(file),
                                      .rights = JAIL_READ | (readonly ? 0 : (unsigned)JAIL_WRITE)});
        if (!readonly) named->config.owns_files = true;
    }
}

/* The folder of the first n bytes of path; "" = the one we are in. */
static char *folder_of(const char *path, size_t n) {
    const char *slash = memrchr(path, '/', n);
    return !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* Where a service of the host replaces the file, its folder is named: else the new one could not be read. */
static void add_name_servers(struct named *named) {
    char *file = realpath("/etc/resolv.conf", NULL);
    add_path(named, "/etc/resolv.conf", JAIL_READ);
    if (!file || strncmp(file, "/run/", 5) != 0) {
        free(file);
        return;
    }
    named->owned[0] = folder_of(file, strlen(file));
    free(file);
    if (!named->owned[0]) named->failed = true;
    add_path(named, named->owned[0], JAIL_READ);
}

static void add_network(struct named *named, const char *net) {
    if (strncmp(net, "tap=", 4) == 0) {
        add_path(named, "/dev/net/tun", DEVICE);
        named->config.net_admin = true;
    } else if (strcmp(net, "none") != 0) { /* libslirp: name servers, random numbers */
        add_name_servers(named);
        add_path(named, "/dev/urandom", JAIL_READ);
        named->config.tcp = true;
    }
}

/* A copy that did not come is removed at the end. */
static void add_script(struct named *named, const struct boot_script *script) {
    const char *file;
    for (size_t i = 0; (file = boot_script_made(script, i)); i++) {
        char *folder = folder_of(file, strlen(file));
        if (!folder || atoll_grow(&atoll_default_alloc, (void **)&named->folders, &named->cap_folders,
                                  named->n_folders + 1, sizeof folder)) {
            free(folder);
            named->failed = true;
            return;
        }
        named->folders[named->n_folders++] = folder;
        add_path(named, folder, JAIL_SCRATCH);
    }
}

static void add_all(struct named *named, const struct boot_jail_wants *wants) {
    add_path(named, wants->kernel, JAIL_READ);
    add_path(named, wants->initrd, JAIL_READ);
    add_path(named, "/dev/kvm", DEVICE);
    /* consoles open their outputs anew, to wait for nobody */
    add(named, (struct jail_path){.fd = STDOUT_FILENO, .rights = JAIL_WRITE});
    add(named, (struct jail_path){.fd = STDERR_FILENO, .rights = JAIL_WRITE});
    boot_disks_each_file(wants->disks, add_disk, named);
    add_path(named, boot_disks_scratch(wants->disks), JAIL_SCRATCH);
    add_folders(named, wants->sandbox);
    add_script(named, wants->script);
    add_path(named, boot_control_folder(wants->control), JAIL_SOCKETS | JAIL_SCRATCH);
    if (wants->net) add_network(named, wants->net);
    if (!wants->vsock) return;
    named->owned[1] = folder_of(wants->vsock, strcspn(wants->vsock, ","));
    if (!named->owned[1]) named->failed = true;
    add_path(named, named->owned[1], JAIL_SOCKETS);
}

enum atoll_status boot_jail_enter(const struct boot_jail_wants *wants, struct jail **out,
                                  struct atoll_error *err) {
    struct named named = {.config = {.makes_code = wants->makes_code, .forbidden = forbidden}};
    add_all(&named, wants);
    named.config.paths = named.paths;
    enum atoll_status status =
        named.failed ? atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory") : ATOLL_OK;
    if (status == ATOLL_OK) status = jail_new(&named.config, out, err);
    if (status == ATOLL_OK) status = jail_enter(*out, err);
    atoll_free(&atoll_default_alloc, named.paths, named.capacity * sizeof *named.paths);
    for (size_t i = 0; i < sizeof named.owned / sizeof *named.owned; i++) free(named.owned[i]);
    for (size_t i = 0; i < named.n_folders; i++) free(named.folders[i]);
    atoll_free(&atoll_default_alloc, named.folders, named.cap_folders * sizeof *named.folders);
    return status;
}
