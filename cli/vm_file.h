/* cli/vm_file.h: a machine as a file: a tree of the configuration language (cli/ucl) -> settings of flags, in order.
 *
 *   #!/usr/bin/env -S atoll boot
 *   kernel = /boot/vmlinuz               each flag is a key
 *   memory = 512M
 *   disk = [ "a.img", "b.qcow2:ro" ]     several of a kind; or the key several times
 *   disk "data" { file = c.img; overlay = true; serial = D1 }
 *   net user { hostfwd = "tcp::2222-:22" }
 *   guest { rootfs = /srv/root; env { LANG = C } }
 *   stats = true                         a flag that takes no value
 *   script = <<END                       lines of text, up to one that is END
 *   expect "login: "
 *   END
 *
 * A section is put together to what the flag takes as text ("c.img:overlay:serial=D1"), so it can say what the flag
 * can, and nothing else. docs/machine-files.md tells it all. */
#ifndef ATOLL_CLI_VM_FILE_H
#define ATOLL_CLI_VM_FILE_H

#include "cli/cli.h"
#include "cli/ucl/ucl.h"

struct cli_vm_setting {
    const struct cli_flag *flag;
    const char *value;            /* NULL where the flag takes none */
    const struct ucl_value *from; /* where it stands; from->is_lines: as lines */
};
struct cli_vm_file {
    struct ucl_document document; /* owns all strings */
    struct cli_vm_setting *settings;
    size_t n_settings, cap_settings;
    const struct ucl_file *failed; /* NULL, or the file that err->line is in */
};

/* in     flags: ends with a row of zeroes; kept. options: for ucl_read
 * out    *out also after a failure, for cli_vm_file_free
 * fails  as ucl_read; E_USAGE (line, out->failed): a key that is no flag, a value that is none of its */
enum atoll_status cli_vm_file_read(const char *path, const struct ucl_options *options,
                                   const struct cli_flag *flags, struct cli_vm_file *out,
                                   struct atoll_error *err);
/* The same of bytes; `name` is for messages, and kept. */
enum atoll_status cli_vm_file_parse(const char *name, const char *bytes, size_t n,
                                    const struct ucl_options *options, const struct cli_flag *flags,
                                    struct cli_vm_file *out, struct atoll_error *err);
void cli_vm_file_free(struct cli_vm_file *file);

#endif
