/* sysvm/guest/modules.c: kernel modules and what they need, from a kernel's module folder.
 *
 * The folder of a Debian package that was only unpacked has no modules.dep yet (an installation makes it), so the needs
 * are read where that takes them from: the "depends=" of each module's section .modinfo. Where a module lies is told by
 * modules.order, or modules.dep. Files may be compressed with xz, zstd or gzip.
 *
 * source  Linux documentation, kbuild/modules.rst; System V ABI, "Object Files" */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "sysvm/boot/unpack.h"
#include "sysvm/guest/internal.h"

#define MODULES_MAX 64 /* loaded */
#define DEPTH_MAX   16
#define NAME_ROOM   64
#define LIST_MAX    (16U << 20)
#define MODULE_MAX  (64U << 20)

struct text {
    char *data; /* NUL behind the last byte */
    size_t size;
};

struct search {
    const struct atoll_alloc *alloc;
    const char *folder;
    struct text paths, builtin;
    guest_take_module *take;
    void *context;
    char done[MODULES_MAX][NAME_ROOM];
    size_t n_done;
};

/* ---- files ---- */

static enum atoll_status fail_io(struct atoll_error *err, int error, const char *folder, const char *name) {
    atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "%s/%s: %s", folder, name, strerror(error));
    if (err) err->system_errno = error;
    return ATOLL_E_IO;
}

static enum atoll_status read_all(struct search *s, int fd, const char *name, size_t max, struct text *out,
                                  struct atoll_error *err) {
    struct stat st;
    if (fstat(fd, &st)) return fail_io(err, errno, s->folder, name);
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max) return fail_io(err, EFBIG, s->folder, name);
    size_t size = (size_t)st.st_size;
    char *data = atoll_new(s->alloc, size + 1, 1);
    if (!data) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    *out = (struct text){data, size};
    for (size_t at = 0; at < size;) {
        ssize_t n = read(fd, data + at, size - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return fail_io(err, n ? errno : EIO, s->folder, name);
        at += (size_t)n;
    }
    return ATOLL_OK;
}

static void free_text(struct search *s, struct text *text) {
    if (text->data) atoll_free(s->alloc, text->data, text->size + 1);
    *text = (struct text){0};
}

/* out: empty when there is no such file and `optional` */
static enum atoll_status read_file(struct search *s, const char *name, size_t max, bool optional,
                                   struct text *out, struct atoll_error *err) {
    char path[PATH_MAX];
    *out = (struct text){0};
    if (snprintf(path, sizeof path, "%s/%s", s->folder, name) >= (int)sizeof path)
        return fail_io(err, ENAMETOOLONG, s->folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) return optional && errno == ENOENT ? ATOLL_OK : fail_io(err, errno, s->folder, name);
    enum atoll_status status = read_all(s, fd, name, max, out, err);
    close(fd);
    if (status != ATOLL_OK) free_text(s, out);
    return status;
}

/* ---- names ---- */

/* "kernel/fs/fuse/virtio-x.ko.xz" is "virtio_x"; false when it is no module. */
static bool name_of(const char *path, size_t size, char out[NAME_ROOM]) {
    size_t begin = size;
    while (begin > 0 && path[begin - 1] != '/') begin--;
    size_t n = 0;
    for (; begin + n < size && n < NAME_ROOM - 1 && path[begin + n] != '.'; n++)
        out[n] = path[begin + n] == '-' ? '_' : path[begin + n];
    out[n] = 0;
    return n > 0 && begin + n + 2 < size && !memcmp(path + begin + n, ".ko", 3);
}

/* The line of `name` in a list of paths (behind which ':' may stand). */
static bool find_line(const struct text *list, const char *name, const char **out, size_t *out_size) {
    for (size_t at = 0; at < list->size;) {
        const char *line = list->data + at;
        size_t size = strcspn(line, "\n"), path_size = strcspn(line, ":\n");
        char found[NAME_ROOM];
        if (!size) size = 0; /* an empty line, or a NUL: go on behind it */
        at += size + 1;
        if (!name_of(line, path_size, found) || strcmp(found, name)) continue;
        *out = line;
        *out_size = path_size;
        return true;
    }
    return false;
}

/* ---- what a module needs ---- */

static bool within(uint64_t offset, uint64_t n, uint64_t size) {
    return offset <= size && n <= size - offset;
}

static bool section_at(const uint8_t *elf, size_t size, const Elf64_Ehdr *h, unsigned i, Elf64_Shdr *out) {
    uint64_t at = h->e_shoff + (uint64_t)i * sizeof *out;
    if (h->e_shoff > size || !within(at, sizeof *out, size)) return false;
    memcpy(out, elf + at, sizeof *out);
    return out->sh_type == SHT_NOBITS || within(out->sh_offset, out->sh_size, size);
}

/* The contents of .modinfo: texts KEY=VALUE. */
static bool find_modinfo(const uint8_t *elf, size_t size, const char **out, size_t *out_size) {
    Elf64_Ehdr h;
    Elf64_Shdr names, section;
    if (size < sizeof h) return false;
    memcpy(&h, elf, sizeof h);
    if (memcmp(h.e_ident, ELFMAG, SELFMAG) || h.e_ident[EI_CLASS] != ELFCLASS64 ||
        h.e_shentsize != sizeof(Elf64_Shdr) || !section_at(elf, size, &h, h.e_shstrndx, &names) ||
        names.sh_type != SHT_STRTAB)
        return false;
    for (unsigned i = 0; i < h.e_shnum; i++) {
        static const char wanted[] = ".modinfo";
        if (!section_at(elf, size, &h, i, &section) || section.sh_type == SHT_NOBITS) continue;
        if (!within(section.sh_name, sizeof wanted, names.sh_size)) continue;
        if (memcmp(elf + names.sh_offset + section.sh_name, wanted, sizeof wanted)) continue;
        *out = (const char *)elf + section.sh_offset;
        *out_size = (size_t)section.sh_size;
        return true;
    }
    return false;
}

/* ---- in order ---- */

static enum atoll_status want(struct search *s, const char *name, size_t name_size, unsigned depth,
                              struct atoll_error *err);

static enum atoll_status want_needs(struct search *s, const char *name, const uint8_t *elf, size_t size,
                                    unsigned depth, struct atoll_error *err) {
    static const char key[] = "depends=";
    const char *info;
    size_t n;
    if (!find_modinfo(elf, size, &info, &n))
        return atoll_fail(err, ATOLL_E_MALFORMED, ATOLL_NO_OFFSET, "%s: '%s' is no kernel module", s->folder,
                          name);
    for (size_t at = 0; at < n; at += strnlen(info + at, n - at) + 1) {
        size_t length = strnlen(info + at, n - at), from = sizeof key - 1;
        if (length < from || memcmp(info + at, key, from)) continue;
        while (from < length) {
            const char *need = info + at + from, *comma = memchr(need, ',', length - from);
            size_t need_size = comma ? (size_t)(comma - need) : length - from;
            enum atoll_status status = need_size ? want(s, need, need_size, depth + 1, err) : ATOLL_OK;
            if (status != ATOLL_OK) return status;
            from += need_size + 1;
        }
    }
    return ATOLL_OK;
}

static enum atoll_status take(struct search *s, const char *name, struct vm_bytes module, unsigned depth,
                              struct atoll_error *err) {
    char file[NAME_ROOM + 4];
    enum atoll_status status = want_needs(s, name, module.data, module.size, depth, err);
    if (status != ATOLL_OK) return status;
    snprintf(file, sizeof file, "%s.ko", name);
    return s->take(s->context, file, module.data, module.size, err);
}

static enum atoll_status unpack_and_take(struct search *s, const char *name, const char *path, unsigned depth,
                                         struct atoll_error *err) {
    struct text file;
    enum atoll_status status = read_file(s, path, MODULE_MAX, false, &file, err);
    if (status != ATOLL_OK) return status;
    struct vm_bytes bytes = {(const uint8_t *)file.data, file.size};
    enum boot_packing packing = boot_packing_of(bytes);
    if (packing == BOOT_PLAIN) {
        status = take(s, name, bytes, depth, err);
    } else {
        struct boot_unpacked unpacked;
        status = boot_unpack(packing, bytes, MODULE_MAX, &unpacked, err);
        if (status == ATOLL_OK) {
            status = take(s, name, (struct vm_bytes){unpacked.data, unpacked.size}, depth, err);
            boot_unpacked_free(&unpacked);
        }
    }
    free_text(s, &file);
    return status;
}

static bool is_done(const struct search *s, const char *name) {
    for (size_t i = 0; i < s->n_done; i++)
        if (!strcmp(s->done[i], name)) return true;
    return false;
}

/* Those that it needs come first. A name is marked when its turn begins, so a circle ends. */
static enum atoll_status want(struct search *s, const char *text, size_t text_size, unsigned depth,
                              struct atoll_error *err) {
    char name[NAME_ROOM], path[PATH_MAX];
    const char *line;
    size_t size;
    if (text_size >= NAME_ROOM || depth > DEPTH_MAX || s->n_done == MODULES_MAX)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "%s: modules need too many others", s->folder);
    for (size_t i = 0; i < text_size; i++) name[i] = text[i] == '-' ? '_' : text[i];
    name[text_size] = 0;
    if (is_done(s, name) || find_line(&s->builtin, name, &line, &size)) return ATOLL_OK;
    memcpy(s->done[s->n_done++], name, text_size + 1);
    if (!find_line(&s->paths, name, &line, &size))
        return atoll_fail(err, ATOLL_E_LINK, ATOLL_NO_OFFSET, "%s has no module '%s'", s->folder, name);
    if (size >= sizeof path) return fail_io(err, ENAMETOOLONG, s->folder, name);
    memcpy(path, line, size);
    path[size] = 0;
    /* The lists name files as they are, or without the compression of Debian's. */
    static const char *const endings[] = {"", ".xz", ".zst", ".gz"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char whole[PATH_MAX], full[PATH_MAX];
        if (snprintf(whole, sizeof whole, "%s%s", path, endings[i]) >= (int)sizeof whole ||
            snprintf(full, sizeof full, "%s/%s", s->folder, whole) >= (int)sizeof full)
            return fail_io(err, ENAMETOOLONG, s->folder, name);
        if (access(full, F_OK) == 0) return unpack_and_take(s, name, whole, depth, err);
    }
    return fail_io(err, ENOENT, s->folder, path);
}

enum atoll_status guest_modules(const struct atoll_alloc *alloc, const struct guest_config *config,
                                guest_take_module *take_one, void *context, struct atoll_error *err) {
    struct search *s = atoll_new(alloc, 1, sizeof *s);
    if (!s) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    s->alloc = alloc, s->folder = config->modules, s->take = take_one, s->context = context;
    enum atoll_status status = read_file(s, "modules.order", LIST_MAX, true, &s->paths, err);
    if (status == ATOLL_OK && !s->paths.data)
        status = read_file(s, "modules.dep", LIST_MAX, false, &s->paths, err);
    if (status == ATOLL_OK) status = read_file(s, "modules.builtin", LIST_MAX, true, &s->builtin, err);
    for (size_t i = 0; status == ATOLL_OK && i < config->n_modules; i++) {
        status = want(s, config->module_names[i], strlen(config->module_names[i]), 0, err);
        if (status == ATOLL_E_LINK && i + config->n_optional >= config->n_modules) status = ATOLL_OK;
    }
    free_text(s, &s->paths);
    free_text(s, &s->builtin);
    atoll_free(alloc, s, sizeof *s);
    return status;
}
