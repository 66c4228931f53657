/* sandbox/sandbox.c: a sandbox's life and its limits. */
#include <sys/eventfd.h>
#include "sandbox/internal.h"

enum atoll_status sb_new(const struct sb_config *config, struct sandbox **out, struct atoll_error *err) {
    const struct atoll_alloc *alloc = config->alloc ? config->alloc : &atoll_default_alloc;
    struct sandbox *sb = atoll_new(alloc, 1, sizeof *sb);
    if (!sb) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    sb->alloc = alloc;
    sb->config = *config;
    if (sb->config.max_fds == 0) sb->config.max_fds = SB_MAX_FDS_DEFAULT;
    sb->proc_fd = -1;
    if (config->no_openat2) sb->openat2 = OPENAT2_REFUSED;
    sb->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (sb->wake_fd < 0) {
        int system_errno = errno;
        atoll_free(alloc, sb, sizeof *sb);
        atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "cannot create an eventfd: %s", strerror(system_errno));
        if (err) err->system_errno = system_errno;
        return ATOLL_E_IO;
    }
    *out = sb;
    return ATOLL_OK;
}

void sb_free(struct sandbox *sb) {
    if (!sb) return;
    for (size_t i = 0; i < sb->n_grants; i++) sb_file_unref(sb->grants[i].file);
    atoll_free(sb->alloc, sb->grants, sb->cap_grants * sizeof *sb->grants);
    atoll_free(sb->alloc, sb->rules, sb->cap_rules * sizeof *sb->rules);
    sb_disks_free(sb);
    close(sb->wake_fd);
    if (sb->proc_fd >= 0) close(sb->proc_fd);
    atoll_free(sb->alloc, sb, sizeof *sb);
}

uint64_t sb_output_bytes(const struct sandbox *sb, bool *out_exceeded) {
    if (out_exceeded) *out_exceeded = sb->output_exceeded;
    return sb->output_bytes;
}

uint64_t sb_output_take(struct sandbox *sb, uint64_t want) {
    uint64_t max = sb->config.max_output_bytes, now = atomic_load(&sb->output_bytes), room;
    do {
        room = max == 0 ? want : now < max ? max - now : 0;
        if (room > want) room = want;
    } while (!atomic_compare_exchange_weak(&sb->output_bytes, &now, now + room));
    if (room < want) sb->output_exceeded = true;
    return room;
}

void sb_output_give(struct sandbox *sb, uint64_t unused) { atomic_fetch_sub(&sb->output_bytes, unused); }

void sb_set_stop(struct sandbox *sb, const _Atomic uint32_t *stop) { sb->stop = stop; }

void sb_wake(struct sandbox *sb) {
    /* In a signal handler errno belongs to the code that was interrupted. A full counter wakes as well. */
    int saved = errno;
    uint64_t one = 1;
    ssize_t ignored = write(sb->wake_fd, &one, sizeof one);
    (void)ignored;
    errno = saved;
}
