/* sandbox/xattr.c: extended attributes of nodes (node.h). The kernel takes no O_PATH descriptor for them, so the
 * way is its magic link, which is ours. */
#include <linux/limits.h>
#include <stdio.h>
#include <sys/xattr.h>
#include "sandbox/internal.h"
#include "sandbox/node.h"

#define PATH_BYTES 40

static const char *proc_path(const struct sb_file *node, char out[PATH_BYTES]) {
    snprintf(out, PATH_BYTES, "/proc/self/fd/%d", node->fd);
    return out;
}

static bool is_seen(const char *name) {
    return (!strncmp(name, "user.", 5) && name[5]) || !strcmp(name, "security.capability");
}

static int copy_name(const struct sb_file *node, struct sb_path name, char out[XATTR_NAME_MAX + 1]) {
    if (name.size == 0 || name.size > XATTR_NAME_MAX) return ERANGE;
    memcpy(out, name.bytes, name.size);
    out[name.size] = 0;
    if (strlen(out) != name.size) return EINVAL;
    if (!is_seen(out)) return EOPNOTSUPP;
    int proc = sb_proc_fd(node->sb); /* asked only whether /proc is what it should be */
    return proc < 0 ? -proc : 0;
}

static int copy_changed_name(const struct sb_file *node, struct sb_path name, char out[XATTR_NAME_MAX + 1]) {
    int error = copy_name(node, name, out);
    return !error && !strcmp(out, "security.capability") ? EPERM : error;
}

int sb_node_get_xattr(struct sb_file *node, struct sb_path name, void *buffer, size_t size, size_t *out_n) {
    char text[XATTR_NAME_MAX + 1], path[PATH_BYTES];
    struct sb_request request = sb_request_path(SB_FS_GET_XATTR, node, name);
    *out_n = 0;
    int error = sb_ask(node->sb, &request);
    if (error) return error;
    error = copy_name(node, name, text);
    ssize_t n = error ? 0 : getxattr(proc_path(node, path), text, buffer, size);
    if (n < 0) error = errno;
    *out_n = n < 0 ? 0 : (size_t)n;
    return sb_answer(node->sb, &request, error, *out_n);
}

int sb_node_set_xattr(struct sb_file *node, struct sb_path name, const void *value, size_t size, int flags) {
    char text[XATTR_NAME_MAX + 1], path[PATH_BYTES];
    struct sb_request request = sb_request_path(SB_FS_SET_XATTR, node, name);
    request.numbers[0] = size;
    int error = sb_ask(node->sb, &request);
    if (error) return error;
    error = copy_changed_name(node, name, text);
    if (!error && setxattr(proc_path(node, path), text, value, size, flags)) error = errno;
    return sb_answer(node->sb, &request, error, SB_ABSENT);
}

int sb_node_remove_xattr(struct sb_file *node, struct sb_path name) {
    char text[XATTR_NAME_MAX + 1], path[PATH_BYTES];
    struct sb_request request = sb_request_path(SB_FS_REMOVE_XATTR, node, name);
    int error = sb_ask(node->sb, &request);
    if (error) return error;
    error = copy_changed_name(node, name, text);
    if (!error && removexattr(proc_path(node, path), text)) error = errno;
    return sb_answer(node->sb, &request, error, SB_ABSENT);
}

/* Keeps the names a guest sees; returns their bytes. */
static size_t keep_seen(char *names, size_t n) {
    size_t kept = 0;
    for (size_t at = 0, size; at < n; at += size) {
        size = strnlen(names + at, n - at - 1) + 1;
        if (!is_seen(names + at)) continue;
        memmove(names + kept, names + at, size);
        kept += size;
    }
    return kept;
}

static int list_names(struct sb_file *node, char *buffer, size_t size, size_t *out_n) {
    char path[PATH_BYTES], *all = atoll_new(node->sb->alloc, 1, XATTR_LIST_MAX);
    if (!all) return ENOMEM;
    int proc = sb_proc_fd(node->sb);
    ssize_t n = proc < 0 ? -1 : listxattr(proc_path(node, path), all, XATTR_LIST_MAX);
    int error = proc < 0 ? -proc : n < 0 ? errno : 0;
    size_t kept = n > 0 ? keep_seen(all, (size_t)n) : 0;
    if (!error && size && kept > size) error = ERANGE;
    if (!error && size) memcpy(buffer, all, kept);
    *out_n = error ? 0 : kept;
    atoll_free(node->sb->alloc, all, XATTR_LIST_MAX);
    return error;
}

int sb_node_list_xattr(struct sb_file *node, char *buffer, size_t size, size_t *out_n) {
    struct sb_request request = sb_request_file(SB_FS_LIST_XATTR, node, SB_ABSENT, SB_ABSENT);
    *out_n = 0;
    int error = sb_ask(node->sb, &request);
    if (error) return error;
    error = list_names(node, buffer, size, out_n);
    return sb_answer(node->sb, &request, error, *out_n);
}
