/* sysvm/jail/jail.c: see jail.h. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sysvm/jail/internal.h"

/* A signal is the process's; so is the jail it tells of. */
static _Atomic(struct jail *) current;

static void on_forbidden(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number, (void)context;
    struct jail *jail = atomic_load(&current);
    char thread[16] = "loop";
    if (!jail) return;
    if (getpid() != gettid()) prctl(PR_GET_NAME, thread);
    unsigned number = (unsigned)info->si_syscall;
    bool known = number < JAIL_CALLS && info->si_arch == AUDIT_ARCH_X86_64;
    jail->config.forbidden(thread, known ? jail->names[number] : "?", info->si_syscall);
}

enum atoll_status jail_new(const struct jail_config *config, struct jail **out, struct atoll_error *err) {
    const struct atoll_alloc *alloc = config->alloc ? config->alloc : &atoll_default_alloc;
    struct jail *jail = atoll_new(alloc, 1, sizeof *jail);
    if (!jail) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    jail->alloc = alloc;
    jail->config = *config;
    enum atoll_status status = jail_make_filters(jail, err);
    if (status) return jail_free(jail), status;
    jail_learn_names(jail);
    *out = jail;
    return ATOLL_OK;
}

void jail_free(struct jail *jail) {
    if (!jail) return;
    struct jail *mine = jail;
    if (atomic_compare_exchange_strong(&current, &mine, NULL)) signal(SIGSYS, SIG_DFL);
    for (unsigned i = 0; i <= JAIL_ROLES; i++)
        atoll_free(jail->alloc, jail->filters[i].code, jail->filters[i].n_bytes);
    atoll_free(jail->alloc, jail, sizeof *jail);
}

void jail_holds(const struct jail *jail, struct jail_holds *out) { *out = jail->holds; }

/* ---- entering ---- */

static enum atoll_status fail(struct atoll_error *err, const char *what) {
    int system_errno = errno;
    atoll_fail(err, ATOLL_E_IO, ATOLL_NO_OFFSET, "jail: %s: %s", what, strerror(system_errno));
    if (err) err->system_errno = system_errno;
    return ATOLL_E_IO;
}

static bool keeps(const struct jail_config *config, int capability) {
    switch (capability) {
    case CAP_DAC_OVERRIDE: return true; /* files of the grants, opened again after a reset */
    case CAP_CHOWN:
    case CAP_FOWNER:
    case CAP_FSETID: return config->owns_files;
    case CAP_NET_ADMIN: return config->net_admin;
    case CAP_NET_BIND_SERVICE: return config->tcp;
    default: return false;
    }
}

/* Of those there are, the kept ones stay; none can be got back, or inherited. */
static enum atoll_status drop_capabilities(struct jail *jail, struct atoll_error *err) {
    const struct jail_config *config = &jail->config;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data)) return fail(err, "capabilities");
    for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
        if (!keeps(config, i)) prctl(PR_CAPBSET_DROP, i, 0, 0, 0); /* who may not has none to drop */
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (int i = 0; i < 64; i++) {
        uint32_t bit = UINT32_C(1) << i % 32;
        data[i / 32].inheritable = 0;
        if (!keeps(config, i)) data[i / 32].permitted &= ~bit;
        data[i / 32].effective &= data[i / 32].permitted;
    }
    if (syscall(SYS_capset, &header, data)) return fail(err, "capabilities");
    jail->holds.capabilities = data[0].effective | (uint64_t)data[1].effective << 32;
    return ATOLL_OK;
}

static enum atoll_status handle_forbidden(struct jail *jail, struct atoll_error *err) {
    struct sigaction action = {.sa_sigaction = on_forbidden, .sa_flags = SA_SIGINFO};
    atomic_store(&current, jail);
    return sigaction(SIGSYS, &action, NULL) ? fail(err, "SIGSYS") : ATOLL_OK;
}

/* A signal that is blocked would end the process without a word. */
static void unblock_forbidden(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGSYS);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

enum atoll_status jail_enter(struct jail *jail, struct atoll_error *err) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return fail(err, "no_new_privs");
    enum atoll_status status = drop_capabilities(jail, err);
    if (!status) status = jail_keep_to_paths(jail, err);
    if (!status) status = handle_forbidden(jail, err);
    unblock_forbidden();
    return status ? status : jail_apply(&jail->filters[JAIL_ROLES], err);
}

enum atoll_status jail_thread(struct jail *jail, enum jail_role role, struct atoll_error *err) {
    unblock_forbidden();
    return jail_apply(&jail->filters[role], err);
}
