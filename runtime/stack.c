/* runtime/stack.c: the wasm stack of a store, and how much of the native one is left. */
#include <pthread.h>
#include <sys/mman.h>
#include "runtime/internal.h"

#define GUARD_BYTES (UINT64_C(64) << 10)
/* What a host function and the tier's entry may need below a nested call. */
#define NATIVE_RESERVE_BYTES (UINT64_C(256) << 10)
#define THREAD_LOCAL         static _Thread_local __attribute__((tls_model("initial-exec")))

enum atoll_status rt_stack_new(struct rt_store *store, size_t bytes, struct atoll_error *err) {
    size_t size = rt_host_page_up(bytes);
    if (size < bytes || size > SIZE_MAX / 2)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "stack of %zu bytes is too large", bytes);
    char *map =
        mmap(NULL, size + 2 * GUARD_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "cannot reserve a stack of %zu bytes", bytes);
    if (mprotect(map + GUARD_BYTES, size, PROT_READ | PROT_WRITE)) {
        munmap(map, size + 2 * GUARD_BYTES);
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "cannot commit a stack of %zu bytes", bytes);
    }
    store->stack = store->stack_top = (union rt_slot *)(map + GUARD_BYTES);
    store->stack_end = (union rt_slot *)(map + GUARD_BYTES + size);
    return ATOLL_OK;
}

void rt_stack_free(struct rt_store *store) {
    if (!store->stack) return;
    char *low = (char *)store->stack - GUARD_BYTES, *high = (char *)store->stack_end + GUARD_BYTES;
    munmap(low, (size_t)(high - low));
}

bool rt_stack_guards(const struct rt_store *store, const void *address) {
    uintptr_t at = (uintptr_t)address, low = (uintptr_t)store->stack, high = (uintptr_t)store->stack_end;
    return (at < low && low - at <= GUARD_BYTES) || (at >= high && at - high < GUARD_BYTES);
}

/* Of this thread; asked once, since for the main thread the C library reads /proc. 0: nobody knows. */
THREAD_LOCAL uintptr_t native_low, native_high;

static bool know_native_stack(void) {
    pthread_attr_t attr;
    void *base;
    size_t size;
    if (native_low) return true;
    if (pthread_getattr_np(pthread_self(), &attr)) return false;
    if (!pthread_attr_getstack(&attr, &base, &size)) {
        native_low = (uintptr_t)base;
        native_high = native_low + size;
    }
    pthread_attr_destroy(&attr);
    return native_low != 0;
}

uintptr_t rt_native_stack_limit(void) { return know_native_stack() ? native_low + NATIVE_RESERVE_BYTES : 0; }

bool rt_native_stack_left(void) { return (uintptr_t)__builtin_frame_address(0) >= rt_native_stack_limit(); }

uintptr_t rt_native_stack_base(const void *in_use) {
    uintptr_t at = (uintptr_t)in_use;
    return know_native_stack() && at >= native_low && at < native_high ? native_high : 0;
}
