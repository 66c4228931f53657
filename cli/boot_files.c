/* cli/boot_files.c: what a machine starts from: kernel, initial RAM disk, command line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "cli/boot.h"

int boot_read_file(const char *path, uint64_t max_bytes, struct cli_file *out) {
    struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
    enum atoll_status status = cli_file_read(path, max_bytes, NULL, out, &err);
    if (status == ATOLL_OK) return CLI_OK;
    cli_error(cli_file_name(path), &err);
    if (status != ATOLL_E_IO) return CLI_INTERNAL;
    return err.system_errno == ENOENT || err.system_errno == ENOTDIR ? CLI_NOT_FOUND : CLI_NOT_LOADABLE;
}

/* The initial RAM disk: a file, or with --rootfs what is put together here. */
static int read_initrd(const struct boot_options *o, struct sandbox *sb, struct boot_files *files) {
    if (o->initrd_path) return boot_read_file(o->initrd_path, o->memory_bytes, &files->initrd);
    if (!o->folders.rootfs) return CLI_OK;
    int result = boot_folders_archive(&o->folders, sb, o->kernel_path, &files->kernel, &files->archive);
    files->initrd = (struct cli_file){files->archive.bytes, files->archive.size};
    return result;
}

/* A command's guest keeps quiet, and does not stay after a panic; what the user says comes last, and wins. */
static int command_line(const struct boot_options *o, char **out) {
    const char *given = o->cmdline ? o->cmdline : "";
    const char *console = o->virtio_console ? "console=ttyS0 console=hvc0" : "console=ttyS0";
    *out = NULL;
    int n = o->folders.rootfs ? asprintf(out, "console=ttyS0 quiet panic=-1 rdinit=/init %s", given)
                              : asprintf(out, "%s", o->cmdline ? given : console);
    if (n >= 0) return CLI_OK;
    *out = NULL;
    cli_message("out of memory");
    return CLI_INTERNAL;
}

int boot_files_read(const struct boot_options *o, struct sandbox *sb, struct boot_files *files) {
    enum { KERNEL_MAX = 1 << 30 };
    int result = boot_read_file(o->kernel_path, KERNEL_MAX, &files->kernel);
    if (result == CLI_OK) result = read_initrd(o, sb, files);
    return result == CLI_OK ? command_line(o, &files->cmdline) : result;
}

void boot_files_free(struct boot_files *files) {
    free(files->cmdline);
    cli_file_close(&files->kernel);
    if (!files->archive.bytes) cli_file_close(&files->initrd);
    guest_archive_free(&atoll_default_alloc, &files->archive);
    *files = (struct boot_files){0};
}

int boot_find_kernel(struct boot_options *o) {
    static const char *const places[] = {"/boot/vmlinuz-%s", "/lib/modules/%s/vmlinuz"};
    struct utsname host;
    uname(&host);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        free(o->default_kernel);
        if (asprintf(&o->default_kernel, places[i], host.release) < 0) { /* NOLINT: from the list above */
            o->default_kernel = NULL;
            cli_message("out of memory");
            return CLI_INTERNAL;
        }
        o->kernel_path = o->default_kernel;
        if (access(o->kernel_path, F_OK) == 0) return CLI_OK;
    }
    cli_message("boot: the host's kernel is not in /boot/vmlinuz-%s; name one with --kernel", host.release);
    return CLI_NOT_FOUND;
}

int boot_check_files(const struct boot_options *o) {
    const char *const paths[] = {o->kernel_path, o->initrd_path};
    for (size_t i = 0; i < 2; i++) {
        if (!paths[i] || strcmp(paths[i], "-") == 0 || access(paths[i], R_OK) == 0) continue;
        int error = errno;
        cli_message("%s: %s", paths[i], strerror(error));
        return error == ENOENT || error == ENOTDIR ? CLI_NOT_FOUND : CLI_NOT_LOADABLE;
    }
    return boot_disks_check(&o->disks);
}
