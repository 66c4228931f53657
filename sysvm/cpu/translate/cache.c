/* sysvm/cpu/translate/cache.c: where translations stand, how they are joined, and when they go.
 *
 * Memory is bounded: when the code is full, all translations go and are made anew as blocks get hot again. A page of
 * guest memory that is written to takes its own with it: their entries become jumps out, whoever jumps there. */
#include <cpuid.h>
#include <string.h>
#include "sysvm/cpu/soft/code.h"
#include "sysvm/cpu/soft/native.h"
#include "sysvm/cpu/translate/internal.h"

enum { CODE_BYTES = 24 << 20, FIRST_STAMP = 1, LINKS_MAX = 1 << 17 };

/* ---- addresses ---- */

/* No entry is found by the address that it would be at: 0 is not where 1 is looked for. */
static void clear_target(struct soft_target *targets, unsigned i) {
    targets[i] = (struct soft_target){.linear = i ? 0 : 1};
}

static void clear_targets(struct leads *leads) {
    if (leads->n_used > LEADS_USED_MAX) {
        memset(leads->targets, 0, sizeof leads->targets);
        clear_target(leads->targets, 0);
    } else {
        for (unsigned i = 0; i < leads->n_used; i++) clear_target(leads->targets, leads->used[i]);
    }
    leads->n_used = 0;
}

void soft_translations_enter(struct soft_cpu *cpu) {
    if (!cpu->translator) return;
    for (unsigned v = 0; v < SOFT_N_VIEWS; v++) {
        struct leads *leads = cpu->translator->leads + soft_scope_of(&cpu->tlb, v);
        cpu->translated.epochs[v] = leads->epoch;
        cpu->translated.targets[v] = leads->targets;
    }
}

/* One that no stamp has. */
static void new_epoch(struct soft_translator *translator, unsigned scope) {
    _Static_assert(SOFT_EPOCHS <= VM_PAGE, "a stamp is a page and an epoch");
    struct soft_translated *translated = &translator->cpu->translated;
    translated->lives[translator->leads[scope].epoch] = false;
    if (translator->last_epoch + 1 == SOFT_EPOCHS) {
        memset(translated->stamps, 0, sizeof translated->stamps);
        memset(translated->lives, 0, sizeof translated->lives);
        translator->pending = 0;
        translator->last_epoch = SOFT_N_SCOPES;
        for (unsigned i = 0; i < SOFT_N_SCOPES; i++) {
            translator->leads[i].epoch = i + 1;
            translated->lives[i + 1] = i != scope && i >= SOFT_VIEW_USER;
        }
    }
    translator->leads[scope].epoch = ++translator->last_epoch;
    translated->lives[translator->last_epoch] = scope >= SOFT_VIEW_USER;
}

void soft_translations_moved(struct soft_cpu *cpu, unsigned scope) {
    if (!cpu->translator) return;
    struct leads *leads = cpu->translator->leads + scope;
    clear_targets(leads);
    new_epoch(cpu->translator, scope);
    soft_translations_enter(cpu);
}

/* ---- who names code ---- */

void dbt_tell(const struct soft_translator *translator, const struct soft_block *block, const uint8_t *code,
              size_t n_bytes) {
    const struct soft_cpu *cpu = translator->cpu;
    const struct vm_code_listener *listener = &cpu->engine->config.code;
    const struct vm_code told = {.cpu = cpu->index,
                                 .is_common = !block,
                                 .is_user = block && block->view == SOFT_VIEW_USER,
                                 .linear = block ? cpu->rip : 0,
                                 .start = code,
                                 .n_bytes = n_bytes};
    if (listener->placed) listener->placed(listener->context, &told);
}

static void tell_gone(const struct soft_translator *translator) {
    const struct vm_code_listener *listener = &translator->cpu->engine->config.code;
    if (listener->placed) listener->gone(listener->context, translator->cpu->index);
}

/* ---- beginning and end ---- */

static bool host_bit(unsigned leaf, unsigned reg, unsigned bit) {
    unsigned r[4];
    return __get_cpuid_count(leaf, 0, r, r + 1, r + 2, r + 3) && r[reg] >> bit & 1;
}

/* Whether lahf and sahf exist in 64-bit mode. */
static bool host_has_lahf(void) { return host_bit(0x80000001, 2, 0); }

static void find_host(struct soft_translator *translator) {
    translator->has_bmi1 = host_bit(7, 1, 3);
    translator->has_bmi2 = host_bit(7, 1, 8);
    translator->has_adx = host_bit(7, 1, 19);
    translator->has_movbe = host_bit(1, 2, 22);
    translator->has_popcnt = host_bit(1, 2, 23);
    translator->has_lzcnt = host_bit(0x80000001, 2, 5);
    translator->has_avx = native_host_has_avx();
}

struct soft_translator *soft_translator_new(const struct atoll_alloc *alloc, struct soft_cpu *cpu) {
    struct soft_translator *translator = host_has_lahf() ? atoll_new(alloc, 1, sizeof *translator) : NULL;
    if (!translator) return NULL;
    translator->alloc = alloc;
    translator->cpu = cpu;
    find_host(translator);
    translator->n_stamps = FIRST_STAMP;
    for (unsigned i = 0; i < SOFT_N_SCOPES; i++) {
        translator->leads[i].n_used = LEADS_USED_MAX + 1;
        clear_targets(translator->leads + i);
        new_epoch(translator, i);
    }
    if (jit_memory_open(&translator->memory, alloc, CODE_BYTES) || !dbt_make_thunks(translator)) {
        soft_translator_free(translator);
        return NULL;
    }
    translator->n_links = 1; /* 0 is none */
    return translator;
}

void soft_translator_free(struct soft_translator *translator) {
    if (!translator) return;
    tell_gone(translator);
    jit_memory_close(&translator->memory);
    atoll_free(translator->alloc, translator->links, translator->cap_links * sizeof *translator->links);
    atoll_free(translator->alloc, translator, sizeof *translator);
}

/* ---- by page ---- */

static struct soft_block **pages_at(struct soft_translator *translator, const struct soft_code_page *page) {
    return translator->pages + (uintptr_t)page / sizeof *page % TRANSLATED_HASHES;
}

void soft_translations_drop(struct soft_cpu *cpu) {
    struct soft_translator *translator = cpu->translator;
    if (!translator) return;
    for (unsigned i = 0; i < TRANSLATED_HASHES; i++) {
        for (struct soft_block *block = translator->pages[i]; block; block = block->next_translated) {
            block->code = block->polled = block->leave = NULL;
            block->heat = block->joined = 0;
        }
        translator->pages[i] = NULL;
    }
    for (unsigned i = 0; i < SOFT_N_SCOPES; i++) clear_targets(translator->leads + i);
    if (translator->start) {
        jit_memory_give_back(&translator->memory, translator->start, translator->used);
        tell_gone(translator);
        dbt_tell(translator, NULL, translator->thunks, translator->n_thunks);
    }
    translator->start = NULL;
    translator->used = 0;
    translator->n_links = 1;
    /* Those that are given out again may have another view, whose epoch may be what an old one says: code that was not
     * joined yet would leave with the page of its target, and the distance added once more. */
    memset(cpu->translated.stamps, 0, sizeof cpu->translated.stamps);
    translator->n_stamps = FIRST_STAMP;
    translator->pending = 0;
}

/* ---- writing code ---- */

static bool write_jump(struct soft_translator *translator, const uint8_t *at, const uint8_t *to) {
    int32_t distance = (int32_t)(to - (at + 4));
    size_t offset = (size_t)(at - translator->memory.base);
    return !jit_memory_write(&translator->memory, translator->memory.base + offset,
                             (const uint8_t *)&distance, 4);
}

/* An entry becomes a jump. */
static void redirect(struct soft_translator *translator, const uint8_t *entry, const uint8_t *to) {
    uint8_t bytes[5] = {0xE9};
    int32_t distance = (int32_t)(to - (entry + sizeof bytes));
    memcpy(bytes + 1, &distance, 4);
    uint8_t *at = translator->memory.base + (entry - translator->memory.base);
    jit_memory_write(&translator->memory, at, bytes, sizeof bytes);
}

/* False: no memory, or no stamps are left. */
static bool has_room(struct soft_translator *translator, const struct translation *t) {
    if (translator->n_stamps + t->n_new_stamps > SOFT_STAMPS || translator->n_links + t->n_exits > LINKS_MAX)
        return false;
    return translator->n_links + t->n_exits <= translator->cap_links ||
           !atoll_grow(translator->alloc, (void **)&translator->links, &translator->cap_links,
                       translator->n_links + t->n_exits, sizeof *translator->links);
}

static void add_links(struct soft_translator *translator, const struct translation *t, uint8_t *code) {
    for (unsigned i = 0; i < t->n_exits; i++) {
        const struct exit *exit = t->exits + i;
        translator->links[translator->n_links++] =
            (struct link){.from = t->block,
                          .target = exit->target,
                          .at = exit->at ? code + exit->at : NULL,
                          .at_with_flags = exit->at_with_flags ? code + exit->at_with_flags : NULL,
                          .out = code + t->labels[exit->label],
                          .stamp = exit->stamp};
    }
    translator->n_stamps += t->n_new_stamps;
}

void dbt_place(struct translation *t, struct soft_block *block) {
    struct soft_translator *translator = t->translator;
    uint8_t *code = has_room(translator, t) ? jit_memory_take(&translator->memory, t->a.size) : NULL;
    if (!code || jit_memory_write(&translator->memory, code, t->a.bytes, t->a.size)) {
        soft_translations_drop(translator->cpu);
        return;
    }
    if (!translator->start) translator->start = code;
    translator->used = (size_t)(code - translator->start) + t->a.size;
    block->leave = code + t->leave;
    block->polled = code + t->polled;
    block->code = code + t->start;
    struct soft_block **first = pages_at(translator, block->page);
    block->next_translated = *first;
    *first = block;
    add_links(translator, t, code);
    dbt_tell(translator, block, code, t->a.size);
}

/* ---- from block to block ---- */

void dbt_take_mode(struct soft_translator *translator, const struct soft_block *block) {
    struct leads *leads = translator->leads + soft_scope_of(&translator->cpu->tlb, block->view);
    if (leads->mode == block->mode) return;
    clear_targets(leads);
    leads->mode = block->mode;
}

void dbt_remember(struct soft_translator *translator, uint64_t linear, const struct soft_block *block) {
    struct leads *leads = translator->leads + soft_scope_of(&translator->cpu->tlb, block->view);
    const unsigned i = (uint32_t)(linear ^ linear >> 11) % SOFT_TARGETS;
    if (leads->targets[i].linear == linear && leads->targets[i].code == block->polled) return;
    leads->targets[i] = (struct soft_target){linear, block->polled};
    if (leads->n_used < LEADS_USED_MAX) leads->used[leads->n_used] = (uint16_t)i;
    if (leads->n_used <= LEADS_USED_MAX) leads->n_used++;
}

static void list(struct soft_translator *translator, uint32_t index, struct soft_block *to) {
    struct link *link = translator->links + index;
    link->to = to;
    link->previous = 0;
    link->next = to->joined;
    if (link->next) translator->links[link->next].previous = index;
    to->joined = index;
}

static void unlist(struct soft_translator *translator, struct link *link) {
    if (link->previous)
        translator->links[link->previous].next = link->next;
    else
        link->to->joined = link->next;
    if (link->next) translator->links[link->next].previous = link->previous;
    link->to = NULL;
}

/* Within a page, addresses lead where they led when the code was made. What goes forward cannot close a loop. */
void dbt_join(struct soft_translator *translator, uint32_t index, struct soft_block *to) {
    struct link *link = translator->links + index;
    struct soft_translated *translated = &translator->cpu->translated;
    if (link->from->view != to->view || link->from->mode != to->mode) return;
    if (!link->stamp && link->from->page != to->page) return;
    if (link->stamp) {
        const uint64_t page = translator->pending_rip - (uint64_t)link->target;
        translated->stamps[link->stamp] =
            (to->mode == SOFT_LONG64 ? page : (uint32_t)page) + translated->epochs[to->view];
    }
    if (link->to == to) return;
    if (link->to) unlist(translator, link);
    list(translator, index, to);
    const bool forward = link->target > (int64_t)(link->from->gpa % VM_PAGE);
    const uint8_t *entry = forward ? to->code : to->polled;
    if (link->at) write_jump(translator, link->at, entry);
    if (link->at_with_flags && to->overwrites_flags) write_jump(translator, link->at_with_flags, entry);
}

/* ---- what ends translations ---- */

/* Its jumps lead out again: to code that saves flags which are in the host's only, or, behind that, to the end of the
 * exit's code (emit_branch.c). One to another page finds that its stamp is none. */
static void unjoin(struct soft_translator *translator, struct link *link) {
    unlist(translator, link);
    if (link->stamp)
        translator->cpu->translated.stamps[link->stamp] = 0;
    else if (link->at)
        write_jump(translator, link->at, link->at_with_flags ? link->at + 4 : link->out);
    if (link->at_with_flags) write_jump(translator, link->at_with_flags, link->out);
}

void dbt_close(struct soft_translator *translator, struct soft_block *block) {
    struct soft_block **at = pages_at(translator, block->page);
    while (*at && *at != block) at = &(*at)->next_translated;
    if (!*at) return;
    *at = block->next_translated;
    while (block->joined) unjoin(translator, translator->links + block->joined);
    redirect(translator, block->polled, block->leave);
    block->code = block->polled = block->leave = NULL;
    block->heat = 0;
}

static void close_dead(struct soft_translator *translator, const struct soft_code_page *page) {
    for (struct soft_block *next, *block = *pages_at(translator, page); block; block = next) {
        next = block->next_translated;
        if (block->page == page && !soft_block_lives(block)) dbt_close(translator, block);
    }
}

void soft_translations_check(struct soft_cpu *cpu) {
    struct soft_translator *translator = cpu->translator;
    struct soft_code_page *pages[SOFT_CODE_CHANGES];
    if (!translator) return;
    int n = soft_code_changes(cpu->engine->code, &translator->n_seen, pages);
    if (n < 0) soft_translations_drop(cpu);
    for (int i = 0; i < n; i++) close_dead(translator, pages[i]);
}
