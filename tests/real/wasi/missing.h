/* tests/real/wasi/missing.h: put in front of each source: declarations that WASI's C library leaves out. */
#ifndef ATOLL_TESTS_MISSING_H
#define ATOLL_TESTS_MISSING_H

#include <fcntl.h>
#include <sys/types.h>

#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2
#define F_GETLK 5
#define F_SETLK 6
int fchmod(int fd, mode_t mode);
int fchown(int fd, uid_t owner, gid_t group);
uid_t geteuid(void);

#endif
