/* cli/boot_disk.c: the disks of `atoll boot`: text, image, and what could not be saved at the end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/boot.h"
#include "sysvm/dev/virtio/block/block.h"

struct boot_disk {
    struct img_spec spec;
    struct img *img; /* NULL: not open */
};

int boot_disks_add(struct boot_disks *disks, const struct cli_verb *verb, const char *text) {
    struct atoll_error err;
    if (disks->n == BOOT_DISKS_MAX) return cli_usage(verb, "more than %d disks", BOOT_DISKS_MAX);
    struct boot_disk *disk = calloc(1, sizeof *disk);
    if (!disk) {
        cli_message("out of memory");
        return CLI_INTERNAL;
    }
    enum atoll_status status = img_spec_parse(text, &disk->spec, &err);
    if (status) {
        free(disk);
        return cli_usage(verb, "--disk: %s", err.text);
    }
    disks->disks[disks->n++] = disk;
    return CLI_OK;
}

static int open_failed(const struct boot_disk *disk, const struct atoll_error *err) {
    cli_error(disk->spec.path, err);
    if (err->code == ATOLL_E_NOMEM) return CLI_INTERNAL;
    return err->system_errno == ENOENT || err->system_errno == ENOTDIR ? CLI_NOT_FOUND : CLI_NOT_LOADABLE;
}

int boot_disks_check(const struct boot_disks *disks) {
    for (unsigned i = 0; i < disks->n; i++) {
        const char *path = disks->disks[i]->spec.path;
        if (access(path, R_OK) == 0) continue;
        int error = errno;
        cli_message("%s: %s", path, strerror(error));
        return error == ENOENT || error == ENOTDIR ? CLI_NOT_FOUND : CLI_NOT_LOADABLE;
    }
    return CLI_OK;
}

int boot_disks_open(struct boot_disks *disks, struct sandbox *sb) {
    for (unsigned i = 0; i < disks->n; i++) {
        struct boot_disk *disk = disks->disks[i];
        struct atoll_error err = {.offset = ATOLL_NO_OFFSET};
        if (img_spec_open(&disk->spec, sb, &atoll_default_alloc, &disk->img, &err))
            return open_failed(disk, &err);
    }
    return CLI_OK;
}

enum atoll_status boot_disks_put(struct boot_disks *disks, struct vm_machine *machine, struct vm_loop *loop,
                                 struct sandbox *sb, struct atoll_error *err) {
    enum atoll_status status = ATOLL_OK;
    for (unsigned i = 0; status == ATOLL_OK && i < disks->n; i++) {
        const struct boot_disk *disk = disks->disks[i];
        struct vblk_config config = {.alloc = &atoll_default_alloc,
                                     .loop = loop,
                                     .sandbox = sb,
                                     .img = disk->img,
                                     .name = disk->spec.path,
                                     .serial = disk->spec.serial};
        const struct virtio_ops *ops;
        void *dev;
        status = vblk_new(&config, &ops, &dev, err);
        if (status == ATOLL_OK) status = vm_machine_add_virtio(machine, ops, dev, err);
    }
    return status;
}

void boot_disks_each_file(const struct boot_disks *disks, void (*each)(void *context, int fd, bool changed),
                          void *context) {
    for (unsigned i = 0; i < disks->n; i++) img_each_file(disks->disks[i]->img, each, context);
}

const char *boot_disks_scratch(const struct boot_disks *disks) {
    for (unsigned i = 0; i < disks->n; i++)
        if (disks->disks[i]->spec.overlay == IMG_SNAPSHOT) return img_scratch_folder();
    return NULL;
}

int boot_disks_close(struct boot_disks *disks) {
    int result = CLI_OK;
    for (unsigned i = 0; i < disks->n; i++) {
        struct boot_disk *disk = disks->disks[i];
        int error = img_close(disk->img);
        disk->img = NULL;
        if (!error) continue;
        cli_message("%s: what was written last is not on it: %s", disk->spec.path, strerror(error));
        result = CLI_INTERNAL;
    }
    return result;
}

void boot_disks_free(struct boot_disks *disks) {
    for (unsigned i = 0; i < disks->n; i++) free(disks->disks[i]);
    disks->n = 0;
}
