/* cli/boot_folders.c: folders of the host in a guest (--rootfs, --dir), and the archive that a guest with a command
 * starts from. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "cli/boot.h"
#include "sysvm/dev/virtio/fs/fs.h"

#define TAG_BYTES 36

bool boot_words_add(struct boot_words *words, const char *word) {
    if (atoll_grow(&atoll_default_alloc, (void **)&words->items, &words->capacity, words->n + 1,
                   sizeof *words->items))
        return false;
    words->items[words->n++] = word;
    return true;
}

void boot_words_free(struct boot_words *words) {
    atoll_free(&atoll_default_alloc, words->items, words->capacity * sizeof *words->items);
    *words = (struct boot_words){0};
}

bool boot_is_terminal(void) { return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO); }

/* ---- grants ---- */

/* A guest's kernel holds a descriptor of each file it has seen: as many as the host allows. */
uint32_t boot_max_fds(void) {
    enum { OURS = 256, MOST = 1 << 20 };
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return 0;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit)) getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur > MOST) return MOST;
    return limit.rlim_cur > 2 * OURS ? (uint32_t)limit.rlim_cur - OURS : OURS;
}

int boot_folders_grant(const struct boot_folders *f, struct sandbox *sandbox) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    enum atoll_status status = ATOLL_OK;
    if (f->rootfs) status = sb_grant_dir(sandbox, f->rootfs, "/", !f->writable, &err);
    for (size_t i = 0; status == ATOLL_OK && i < f->dirs.n; i++) {
        status = sb_grant_dir_text(sandbox, f->dirs.items[i], &err);
        const struct sb_grant *last =
            status == ATOLL_OK ? sb_grant_at(sandbox, sb_grant_count(sandbox) - 1) : NULL;
        if (last && f->rootfs && last->guest[0] != '/')
            status = atoll_fail(&err, ATOLL_E_USAGE, ATOLL_NO_OFFSET, "--dir: '%s' is no path from the root",
                                last->guest);
        if (last && !f->rootfs && strlen(last->guest) > TAG_BYTES)
            status = atoll_fail(&err, ATOLL_E_USAGE, ATOLL_NO_OFFSET,
                                "--dir: '%s' is longer than the %d bytes a guest mounts a folder by",
                                last->guest, TAG_BYTES);
    }
    if (status == ATOLL_OK) return CLI_OK;
    cli_error("boot", &err);
    return status == ATOLL_E_USAGE ? CLI_USAGE : CLI_INTERNAL;
}

/* The k-th folder of those granted (the root is the first), or NULL: there are grants of other kinds. */
static const struct sb_grant *folder_at(struct sandbox *sandbox, size_t k) {
    for (size_t i = 0; i < sb_grant_count(sandbox); i++) {
        const struct sb_grant *grant = sb_grant_at(sandbox, i);
        if (sb_file_type(grant->file) == SB_TYPE_DIRECTORY && !k--) return grant;
    }
    return NULL;
}

static void tag_of(const struct boot_folders *f, const struct sb_grant *grant, size_t i,
                   char out[TAG_BYTES + 1]) {
    if (f->rootfs)
        snprintf(out, TAG_BYTES + 1, "atoll%zu", i);
    else
        snprintf(out, TAG_BYTES + 1, "%s", grant->guest);
}

/* Without the rights of root, files can only be the host user's: the guest sees them as root's. */
enum atoll_status boot_folders_attach(const struct boot_folders *f, struct sandbox *sandbox,
                                      struct vm_loop *loop, struct vm_machine *machine,
                                      struct atoll_error *err) {
    enum atoll_status status = ATOLL_OK;
    const struct sb_grant *grant;
    for (size_t i = 0; status == ATOLL_OK && (grant = folder_at(sandbox, i)); i++) {
        const struct virtio_ops *ops;
        void *dev;
        char tag[TAG_BYTES + 1];
        tag_of(f, grant, i, tag);
        struct vfs_config config = {
            .loop = loop,
            .tag = tag,
            .fuse = {.root = grant->file, .map_owner = geteuid() != 0, .uid = geteuid(), .gid = getegid()}};
        status = vfs_new(&config, &ops, &dev, err);
        if (status == ATOLL_OK) status = vm_machine_add_virtio(machine, ops, dev, err);
    }
    return status;
}

/* ---- the kernel's modules ---- */

static bool is_module_folder(const char *path) {
    char file[PATH_MAX];
    static const char *const lists[] = {"modules.order", "modules.dep"};
    for (size_t i = 0; i < 2; i++)
        if (snprintf(file, sizeof file, "%s/%s", path, lists[i]) < (int)sizeof file &&
            access(file, R_OK) == 0)
            return true;
    return false;
}

/* What a bzImage says its release is: "6.1.0-18-amd64 (...)". */
static bool release_of(const struct cli_file *kernel, char out[128]) {
    enum { OFFSET_AT = 0x20E, BASE = 0x200 };
    if (kernel->size < 0x300 || memcmp(kernel->bytes + 0x202, "HdrS", 4)) return false;
    size_t at = BASE + (size_t)(kernel->bytes[OFFSET_AT] | kernel->bytes[OFFSET_AT + 1] << 8), n = 0;
    for (; n < 127 && at + n < kernel->size; n++) {
        unsigned char c = kernel->bytes[at + n];
        if (c <= ' ' || c == '/' || c >= 0x7F) break;
        out[n] = (char)c;
    }
    out[n] = 0;
    return n > 0 && out[0] != '.';
}

/* Beside the kernel, as packages unpack it, or in the host. False: nowhere. */
static bool find_modules(const char *kernel_path, const struct cli_file *kernel, char out[PATH_MAX]) {
    char release[128];
    const char *slash = strrchr(kernel_path, '/');
    int n = slash ? (int)(slash - kernel_path) : 1;
    const char *folder = slash ? kernel_path : ".";
    if (release_of(kernel, release)) {
        snprintf(out, PATH_MAX, "%.*s/../lib/modules/%s", n, folder, release);
        if (is_module_folder(out)) return true;
        snprintf(out, PATH_MAX, "/lib/modules/%s", release);
        if (is_module_folder(out)) return true;
    }
    snprintf(out, PATH_MAX, "%.*s/modules", n, folder);
    return is_module_folder(out);
}

/* ---- the archive ---- */

/* The words of init's settings, each owned. */
struct settings {
    struct boot_words words;
    bool failed;
};

static void set(struct settings *s, const char *key, const char *value) {
    char *text = NULL;
    if (asprintf(&text, "%s=%s", key, value) < 0) text = NULL;
    if (text && boot_words_add(&s->words, text)) return;
    free(text);
    s->failed = true;
}

static void set_folders(struct settings *s, const struct boot_folders *f, struct sandbox *sandbox) {
    const struct sb_grant *grant;
    for (size_t i = 0; (grant = folder_at(sandbox, i)); i++) {
        char tag[TAG_BYTES + 1], mount[PATH_MAX + TAG_BYTES + 2];
        tag_of(f, grant, i, tag);
        snprintf(mount, sizeof mount, "%s:%s", tag, grant->guest);
        set(s, i ? "mount" : "root", i ? mount : tag);
    }
}

/* What the command finds in its environment, unless --env says otherwise. */
static void set_environment(struct settings *s, const struct boot_folders *f) {
    static const char *const defaults[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root",
        "LOGNAME=root"};
    const char *terminal = getenv("TERM");
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        size_t name = strcspn(defaults[i], "=") + 1, given = 0;
        for (size_t k = 0; k < f->env.n; k++) given += !strncmp(f->env.items[k], defaults[i], name);
        if (!given) set(s, "env", defaults[i]);
    }
    for (size_t i = 0; i < f->env.n; i++) {
        const char *value = strchr(f->env.items[i], '=') ? "" : getenv(f->env.items[i]);
        char text[4096];
        if (!value) continue; /* not set here, so not set there */
        snprintf(text, sizeof text, *value ? "%s=%s" : "%s", f->env.items[i], value);
        set(s, "env", strchr(f->env.items[i], '=') ? f->env.items[i] : text);
    }
    if (boot_is_terminal() && terminal) {
        char text[256];
        snprintf(text, sizeof text, "TERM=%s", terminal);
        set(s, "env", text);
    }
}

static void set_all(struct settings *s, const struct boot_folders *f, struct sandbox *sandbox) {
    set_folders(s, f, sandbox);
    if (f->writable) set(s, "write", "1");
    set(s, "host", "atoll");
    if (f->cwd) set(s, "dir", f->cwd);
    if (boot_is_terminal()) set(s, "terminal", "1");
    set_environment(s, f);
    if (!f->args.n) set(s, "arg", "/bin/sh");
    for (size_t i = 0; i < f->args.n; i++) set(s, "arg", f->args.items[i]);
}

int boot_folders_archive(const struct boot_folders *f, struct sandbox *sandbox, const char *kernel_path,
                         const struct cli_file *kernel, struct guest_archive *out) {
    const char *modules[9] = {"virtio_pci", "virtio_blk", "virtio_console",
                              "virtiofs",   "overlay",    "virtio_rng"};
    size_t n_modules = 6;
    if (f->network) modules[n_modules++] = "virtio_net";
    if (f->vsock) modules[n_modules++] = "vmw_vsock_virtio_transport";
    if (f->balloon) modules[n_modules++] = "virtio_balloon";
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    struct settings settings = {0};
    char folder[PATH_MAX];
    bool has_modules = f->modules || find_modules(kernel_path, kernel, folder);
    set_all(&settings, f, sandbox);
    struct guest_config config = {.modules = f->modules    ? f->modules
                                             : has_modules ? folder
                                                           : NULL,
                                  .module_names = modules,
                                  .n_modules = n_modules,
                                  .n_optional = (size_t)f->vsock + f->balloon, /* the last ones */
                                  .settings = settings.words.items,
                                  .n_settings = settings.words.n};
    enum atoll_status status = settings.failed
                                   ? atoll_fail(&err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory")
                                   : guest_archive_new(&config, out, &err);
    for (size_t i = 0; i < settings.words.n; i++) free((char *)settings.words.items[i]);
    boot_words_free(&settings.words);
    if (status == ATOLL_OK) return CLI_OK;
    cli_error("boot", &err);
    return CLI_INTERNAL;
}
