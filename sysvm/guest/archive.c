/* sysvm/guest/archive.c: what the kernel starts from, put together in memory. */
#include <sys/stat.h>
#include "sysvm/guest/internal.h"
#include "sysvm/guest/protocol.h"

struct making {
    const struct atoll_alloc *alloc;
    struct guest_archive *archive;
    char *settings; /* NUL-terminated texts */
    size_t n_settings, cap_settings;
};

static enum atoll_status add_setting(struct making *m, const char *key, const char *value,
                                     struct atoll_error *err) {
    size_t key_size = strlen(key), size = key_size + strlen(value) + 1;
    if (atoll_grow(m->alloc, (void **)&m->settings, &m->cap_settings, m->n_settings + size, 1))
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    memcpy(m->settings + m->n_settings, key, key_size);
    memcpy(m->settings + m->n_settings + key_size, value, size - key_size);
    m->n_settings += size;
    return ATOLL_OK;
}

static enum atoll_status take_module(void *context, const char *name, const void *bytes, size_t size,
                                     struct atoll_error *err) {
    struct making *m = context;
    char path[160] = "modules/", setting[160] = "/modules/";
    strncat(path, name, 100);
    strncat(setting, name, 100);
    enum atoll_status status = guest_cpio_add(m->alloc, m->archive, path, S_IFREG | 0400, bytes, size, err);
    return status == ATOLL_OK ? add_setting(m, "module=", setting, err) : status;
}

static enum atoll_status fill(struct making *m, const struct guest_config *config, struct atoll_error *err) {
    size_t init_size = (size_t)(guest_init_end - guest_init);
    enum atoll_status s = guest_cpio_add(m->alloc, m->archive, "dev", S_IFDIR | 0755, NULL, 0, err);
    /* The kernel opens it as init's standard streams. */
    if (s == ATOLL_OK) s = guest_cpio_device(m->alloc, m->archive, "dev/console", S_IFCHR | 0600, 5, 1, err);
    if (s == ATOLL_OK)
        s = guest_cpio_add(m->alloc, m->archive, "init", S_IFREG | 0500, guest_init, init_size, err);
    if (s == ATOLL_OK) s = guest_cpio_add(m->alloc, m->archive, "modules", S_IFDIR | 0755, NULL, 0, err);
    if (s == ATOLL_OK && config->modules) s = guest_modules(m->alloc, config, take_module, m, err);
    for (size_t i = 0; s == ATOLL_OK && i < config->n_settings; i++)
        s = add_setting(m, "", config->settings[i], err);
    if (s == ATOLL_OK)
        s = guest_cpio_add(m->alloc, m->archive, &GUEST_SETTINGS_PATH[1], S_IFREG | 0400, m->settings,
                           m->n_settings, err);
    return s == ATOLL_OK ? guest_cpio_end(m->alloc, m->archive, err) : s;
}

enum atoll_status guest_archive_new(const struct guest_config *config, struct guest_archive *out,
                                    struct atoll_error *err) {
    struct making m = {.alloc = config->alloc ? config->alloc : &atoll_default_alloc, .archive = out};
    *out = (struct guest_archive){0};
    enum atoll_status status = fill(&m, config, err);
    atoll_free(m.alloc, m.settings, m.cap_settings);
    if (status != ATOLL_OK) guest_archive_free(m.alloc, out);
    return status;
}

void guest_archive_free(const struct atoll_alloc *alloc, struct guest_archive *archive) {
    atoll_free(alloc ? alloc : &atoll_default_alloc, archive->bytes, archive->capacity);
    *archive = (struct guest_archive){0};
}
