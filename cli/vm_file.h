/* cli/vm_file.h: a machine as a file: flags of `atoll boot`, one a line.
 *
 *   #!/usr/bin/env -S atoll boot
 *   kernel = /boot/vmlinuz         a word goes to the end of its line, or to ; , ] }
 *   memory = 512M
 *   append = "console=ttyS0 quiet" strings as in JSON; 'plain' ones are taken as they are
 *   disk = [ "a.img", "b.qcow2" ]  several of a kind
 *   stats = true                   a flag that takes no value
 *   script = <<END                 lines of text, up to one that is END
 *   expect "login: "
 *   END
 *   .include "common.vm"           what another file says; .include(try=true): if it is there
 *
 * This is a part of libucl's syntax, and JSON is a part of this: ":" or a blank may stand for "=", names may be quoted,
 * and braces around the whole are allowed. Comments: # to the end of the line, and as in C, one in another. Sections,
 * objects in lists and other macros are not taken; nothing is converted, so 512M stays these four letters. */
#ifndef ATOLL_CLI_VM_FILE_H
#define ATOLL_CLI_VM_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "atoll/error.h"

struct cli_vm_entry {
    const char *name, *value; /* end with a zero byte, and have no other */
    uint32_t line;
    bool is_text;     /* came as lines; the first is the one behind `line` */
    bool after_comma; /* stands behind another one's comma on its line */
};
/* The names of entries that are macros; their values are names of files. */
#define CLI_VM_INCLUDE     ".include"
#define CLI_VM_TRY_INCLUDE ".include-try"
struct cli_vm_file {
    char *text; /* owned: the entries' strings */
    struct cli_vm_entry *entries;
    size_t n_entries, cap_entries;
};
#define CLI_VM_FILE_MAX ((size_t)1 << 20) /* bytes */

/* in     bytes[0 .. n): not kept
 * out    *out, in the file's order, for cli_vm_file_free; nothing when it fails
 * fails  E_SYNTAX (line, column), E_LIMIT (n), E_NOMEM */
enum atoll_status cli_vm_file_parse(const char *bytes, size_t n, struct cli_vm_file *out,
                                    struct atoll_error *err);
void cli_vm_file_free(struct cli_vm_file *file);

#endif
