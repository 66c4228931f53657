/* sysvm/cpu/soft/code.c: which pages hold decoded code.
 *
 * Who decodes marks the chunks first, then makes sure that no processor writes there unseen (run.c), then takes the
 * generation, reads, and looks whether the marks still stand. Who writes clears all marks of the page, then lets the
 * generation grow: a block whose marks were lost while it was made is thrown away, one made before dies. */
#include "sysvm/cpu/soft/code.h"
#include "sysvm/cpu/soft/soft.h"

enum { GROUP_PAGES = 512, CHUNK = 64 };
#define GROUP_BYTES (GROUP_PAGES * VM_PAGE)

struct group {
    struct soft_code_page pages[GROUP_PAGES];
};
struct soft_code { /* a pointer for every 2 MiB of RAM */
    const struct atoll_alloc *alloc;
    const struct vm_memory *memory;
    size_t n_groups;
    _Atomic(struct group *) *groups;
    pthread_mutex_t lock; /* guards the list of pages that were written, the last ones */
    uint64_t n_changes;
    struct soft_code_page *changes[SOFT_CODE_CHANGES];
};

struct soft_code *soft_code_new(const struct atoll_alloc *alloc, const struct vm_memory *memory) {
    struct soft_code *code = atoll_new(alloc, 1, sizeof *code);
    if (!code) return NULL;
    code->alloc = alloc;
    code->memory = memory;
    code->n_groups = (vm_memory_size(memory) + GROUP_BYTES - 1) / GROUP_BYTES;
    code->groups = atoll_new(alloc, code->n_groups, sizeof *code->groups);
    pthread_mutex_init(&code->lock, NULL);
    if (code->groups) return code;
    soft_code_free(code);
    return NULL;
}

void soft_code_free(struct soft_code *code) {
    if (!code) return;
    for (size_t i = 0; code->groups && i < code->n_groups; i++)
        atoll_free(code->alloc, atomic_load(code->groups + i), sizeof(struct group));
    pthread_mutex_destroy(&code->lock);
    atoll_free(code->alloc, (void *)code->groups, code->n_groups * sizeof *code->groups);
    atoll_free(code->alloc, code, sizeof *code);
}

/* The number of the page in the order of the host mapping; SIZE_MAX where no RAM is. */
static uint64_t page_number(const struct soft_code *code, uint64_t gpa) {
    const struct vm_ram *ranges;
    size_t n = vm_memory_ranges(code->memory, &ranges);
    for (size_t i = 0; i < n; i++)
        if (gpa - ranges[i].gpa < ranges[i].size_bytes)
            return (ranges[i].offset + (gpa - ranges[i].gpa)) / VM_PAGE;
    return UINT64_MAX;
}

static struct soft_code_page *page_in(const struct soft_code *code, uint64_t number) {
    struct group *group = atomic_load_explicit(code->groups + number / GROUP_PAGES, memory_order_acquire);
    return group ? group->pages + number % GROUP_PAGES : NULL;
}

struct soft_code_page *soft_code_page(const struct soft_code *code, uint64_t gpa) {
    uint64_t number = page_number(code, gpa);
    return number == UINT64_MAX ? NULL : page_in(code, number);
}

struct soft_code_page *soft_code_make_page(struct soft_code *code, uint64_t gpa) {
    uint64_t number = page_number(code, gpa);
    if (number == UINT64_MAX) return NULL;
    struct soft_code_page *page = page_in(code, number);
    if (page) return page;
    struct group *made = atoll_new(code->alloc, 1, sizeof *made), *other = NULL;
    if (!made) return NULL;
    if (!atomic_compare_exchange_strong(code->groups + number / GROUP_PAGES, &other, made))
        atoll_free(code->alloc, made, sizeof *made); /* another processor was faster */
    return page_in(code, number);
}

/* The chunks of a page that n_bytes from `offset` on touch; both stay within the page. */
static uint64_t chunks_of(uint64_t offset, uint64_t n_bytes) {
    unsigned first = (unsigned)(offset / CHUNK), last = (unsigned)((offset + n_bytes - 1) / CHUNK);
    return UINT64_MAX >> (63 - last) & UINT64_MAX << first;
}

void soft_code_mark(struct soft_code_page *page, uint64_t offset, uint64_t n_bytes, uint64_t *in_out_marks) {
    uint64_t marks = chunks_of(offset, n_bytes);
    *in_out_marks |= marks;
    atomic_fetch_or(&page->chunks, marks);
}

static void tell(struct soft_engine *engine, struct soft_code_page *page) {
    struct soft_code *code = engine->code;
    pthread_mutex_lock(&code->lock);
    code->changes[code->n_changes++ % SOFT_CODE_CHANGES] = page;
    pthread_mutex_unlock(&code->lock);
    pthread_mutex_lock(&engine->chips.lock); /* a disk's worker may write while processors are freed */
    for (unsigned i = 0; i < engine->config.n_cpus; i++)
        if (engine->cpus[i]) soft_wake(engine->cpus[i], SOFT_REQUEST_CODE);
    pthread_mutex_unlock(&engine->chips.lock);
}

int soft_code_changes(struct soft_code *code, uint64_t *in_out_seen,
                      struct soft_code_page *out[SOFT_CODE_CHANGES]) {
    pthread_mutex_lock(&code->lock);
    uint64_t seen = *in_out_seen, n = code->n_changes - seen;
    for (uint64_t i = 0; i < n && n <= SOFT_CODE_CHANGES; i++)
        out[i] = code->changes[(seen + i) % SOFT_CODE_CHANGES];
    *in_out_seen = code->n_changes;
    pthread_mutex_unlock(&code->lock);
    return n <= SOFT_CODE_CHANGES ? (int)n : -1;
}

void soft_code_written(struct soft_engine *engine, uint64_t gpa, uint64_t n_bytes) {
    for (uint64_t done = 0, n; done < n_bytes; done += n) {
        uint64_t offset = (gpa + done) % VM_PAGE;
        n = n_bytes - done < VM_PAGE - offset ? n_bytes - done : VM_PAGE - offset;
        struct soft_code_page *page = soft_code_page(engine->code, gpa + done);
        if (!page || !(atomic_load(&page->chunks) & chunks_of(offset, n))) continue;
        atomic_store(&page->chunks, 0);
        atomic_fetch_add(&page->generation, 1);
        tell(engine, page);
    }
}
