/* runtime/fault.c: faults of running wasm code become traps; every other fault stays a crash.
 *
 * One process-wide handler for SIGSEGV and SIGBUS, chained to whoever was there before. It touches only what
 * is safe in signal context: thread-local words and lists that cannot change while the faulting instruction
 * is the tier's own (the lists change in this folder's code, whose pc is not in a tier's range). */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include "runtime/internal.h"

#define ALT_STACK_BYTES ((size_t)64 << 10)

/* initial-exec: an access must not allocate, since the handler makes it */
#define THREAD_LOCAL static _Thread_local __attribute__((tls_model("initial-exec")))
THREAD_LOCAL struct rt_activation *innermost;
THREAD_LOCAL bool prepared;

static struct sigaction previous_segv, previous_bus;
static pthread_once_t install_once = PTHREAD_ONCE_INIT;
static pthread_key_t alt_stack_key;
static bool installed;

/* ---- the handler ---- */

static enum rt_trap trap_at(const struct rt_store *store, const void *address) {
    uintptr_t at = (uintptr_t)address;
    for (const struct rt_memory_link *l = store->memories; l; l = l->next)
        if (at - (uintptr_t)l->memory->base < l->memory->reserved_bytes) return RT_TRAP_MEMORY_BOUNDS;
    return rt_stack_guards(store, address) ? RT_TRAP_STACK_EXHAUSTED : RT_TRAP_NONE;
}

static bool becomes_trap(const siginfo_t *info, ucontext_t *context) {
    struct rt_activation *a = innermost;
    uintptr_t pc = (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
    if (!a || info->si_code <= 0 || pc < (uintptr_t)a->code_begin || pc >= (uintptr_t)a->code_end)
        return false;
    enum rt_trap trap = trap_at(a->store, info->si_addr);
    return trap && a->on_fault(a, context, info->si_addr, trap);
}

/* Lets the signal do what it would have done without us. */
static void pass_on(int number, siginfo_t *info, void *context) {
    struct sigaction *previous = number == SIGBUS ? &previous_bus : &previous_segv;
    if (previous->sa_flags & SA_SIGINFO) {
        previous->sa_sigaction(number, info, context);
    } else if (previous->sa_handler != SIG_DFL && previous->sa_handler != SIG_IGN) {
        previous->sa_handler(number);
    } else if (previous->sa_handler == SIG_DFL || info->si_code > 0) {
        /* the kernel ignores no fault: back to the default, and the instruction faults again */
        signal(number, SIG_DFL);
        if (info->si_code <= 0) raise(number);
    }
}

static void handle(int number, siginfo_t *info, void *context) {
    int saved_errno = errno;
    if (!becomes_trap(info, context)) pass_on(number, info, context);
    errno = saved_errno;
}

/* ---- set-up ---- */

static void free_alt_stack(void *stack) {
    stack_t off = {.ss_flags = SS_DISABLE}, current;
    if (!sigaltstack(NULL, &current) && current.ss_sp == stack) sigaltstack(&off, NULL);
    munmap(stack, ALT_STACK_BYTES);
}

static void install(void) {
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
    action.sa_sigaction = handle;
    sigemptyset(&action.sa_mask);
    if (pthread_key_create(&alt_stack_key, free_alt_stack)) return;
    if (sigaction(SIGSEGV, NULL, &previous_segv) || sigaction(SIGBUS, NULL, &previous_bus)) return;
    installed = !sigaction(SIGSEGV, &action, NULL) && !sigaction(SIGBUS, &action, NULL);
}

enum atoll_status rt_faults_install(void) {
    pthread_once(&install_once, install);
    return installed ? ATOLL_OK : ATOLL_E_IO;
}

enum atoll_status rt_thread_prepare(void) {
    stack_t current;
    if (prepared) return ATOLL_OK;
    if (rt_faults_install() || sigaltstack(NULL, &current)) return ATOLL_E_IO;
    if (current.ss_flags & SS_DISABLE) { /* another's alternate stack serves as well */
        void *stack = mmap(NULL, ALT_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (stack == MAP_FAILED) return ATOLL_E_NOMEM;
        stack_t mine = {.ss_sp = stack, .ss_size = ALT_STACK_BYTES};
        if (pthread_setspecific(alt_stack_key, stack) || sigaltstack(&mine, NULL)) {
            pthread_setspecific(alt_stack_key, NULL);
            munmap(stack, ALT_STACK_BYTES);
            return ATOLL_E_NOMEM;
        }
    }
    prepared = true;
    return ATOLL_OK;
}

void rt_activation_push(struct rt_activation *activation) {
    /* without an alternate stack the handler runs on this one, which faults of memories leave intact */
    rt_thread_prepare();
    activation->previous = innermost;
    innermost = activation;
    activation->store->activation = activation;
}

void rt_activation_pop(struct rt_activation *activation) {
    innermost = activation->previous;
    struct rt_store *store = activation->store;
    struct rt_activation *outer = activation->previous;
    while (outer && outer->store != store) outer = outer->previous;
    store->activation = outer;
}
