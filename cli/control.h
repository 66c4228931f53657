/* cli/control.h: where the machines of a user are found: a private folder with two files a machine.
 *
 *   NAME.lock   locked (flock) as long as the machine's process lives, so nobody has to guess whether it does
 *   NAME.sock   its control socket: requests and answers are JSON, a line each (docs/control.md)
 *
 * The folder is $XDG_RUNTIME_DIR/atoll, or /tmp/atoll-UID where there is no such variable; it has to be the user's own
 * and nobody else's. A process that was killed leaves both files; `atoll vm list` and the next of that name remove
 * them under the lock. */
#ifndef ATOLL_CLI_CONTROL_H
#define ATOLL_CLI_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include "atoll/error.h"

enum {
    CONTROL_NAME_MAX = 48,  /* bytes of a machine's name */
    CONTROL_LINE_MAX = 4096 /* of a request or an answer, its end included */
};

/* Letters, digits, "-", "_" and "."; a letter or digit first. */
bool control_name_valid(const char *name);

struct control_folder {
    int fd;
    char path[80]; /* a socket's address has room for it and a name */
};
/* Makes the folder where it is missing. fails  E_IO, E_DENIED (it is not the user's own), E_LIMIT (a long path) */
enum atoll_status control_folder_open(struct control_folder *out, struct atoll_error *err);
void control_folder_close(struct control_folder *folder);

/* Takes the lock of a name; what a dead process left is removed first.
 * out    *out_fd: closing it gives the lock back, after control_remove
 * fails  E_DENIED (a machine of this name runs), E_IO */
enum atoll_status control_lock(const struct control_folder *folder, const char *name, int *out_fd,
                               struct atoll_error *err);
/* Both files, by who has the lock. */
void control_remove(const struct control_folder *folder, const char *name);
/* Whether a machine of this name runs; what a dead one left is removed. */
bool control_is_alive(const struct control_folder *folder, const char *name);

/* A socket at NAME.sock: bound and listening, or connected. Never waits. fails  E_IO */
enum atoll_status control_listen(const struct control_folder *folder, const char *name, int *out_fd,
                                 struct atoll_error *err);
enum atoll_status control_connect(const struct control_folder *folder, const char *name, int *out_fd,
                                  struct atoll_error *err);
/* Whether the other end is the same user's, or root's. */
bool control_peer_allowed(int fd);

#endif
