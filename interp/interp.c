/* interp/interp.c: into a run and out of it: entry from the host, lowering at the first call, traps, faults,
 * the walk over frames. */
#include <ucontext.h>
#include "interp/dispatch.h"

extern const char __start_atoll_interp[], __stop_atoll_interp[];

/* Static code; handlers' addresses are not constants in C, but their bits in a pointer-sized union are. */
union stub_word {
    interp_handler *handler;
};
static const union stub_word lower_stub[] = {{interp_do_LOWER}};
static const union stub_word exit_stub[] = {{interp_do_RELOAD}, {interp_do_EXIT}};
#define STUB(stub, n) ((const uint64_t *)(const void *)((stub) + (n)))

/* ---- code by function ---- */

bool interp_guarded(const struct rt_instance *instance) {
    if (!instance->module->bc->n_memories) return true;
    return instance->memories[0]->guarded;
}

static struct interp_module *module_data(const struct rt_module *module) { return module->tier_data; }

static struct interp_code *known_code(const struct rt_module *module, uint32_t func, bool guarded) {
    struct interp_code *_Atomic *codes =
        atomic_load_explicit(&module_data(module)->codes[guarded], memory_order_acquire);
    return codes ? atomic_load_explicit(&codes[func - module->bc->n_imported_funcs], memory_order_acquire)
                 : NULL;
}

static uint32_t n_own(const struct rt_module *module) {
    return module->bc->n_funcs - module->bc->n_imported_funcs;
}

void interp_code_fini(const struct atoll_alloc *alloc, struct interp_code *code) {
    atoll_free(alloc, code->words, code->cap_words * sizeof *code->words);
    atoll_free(alloc, code->pcs, code->cap_pcs * sizeof *code->pcs);
    atoll_free(alloc, code->tries, code->cap_tries * sizeof *code->tries);
    atoll_free(alloc, code->clauses, code->cap_clauses * sizeof *code->clauses);
    atoll_free(alloc, code->loops, code->cap_loops * sizeof *code->loops);
}

const struct interp_code *interp_code_running(const struct rt_func *func) {
    return known_code(func->instance->module, func->index, interp_guarded(func->instance));
}

static struct interp_code *make_code(const struct rt_module *module, uint32_t func, bool guarded,
                                     const bc_stop *stop) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct interp_code *code = atoll_new(alloc, 1, sizeof *code);
    if (code && interp_lower(module, func, guarded, stop, code)) {
        atoll_free(alloc, code, sizeof *code);
        code = NULL;
    }
    return code;
}

struct interp_code *interp_code_of(const struct rt_module *module, uint32_t func, bool guarded,
                                   const bc_stop *stop) {
    struct interp_module *data = module_data(module);
    pthread_mutex_lock(&data->lock);
    struct interp_code *_Atomic *codes = data->codes[guarded];
    if (!codes) {
        codes = atoll_new(module->engine->alloc, n_own(module), sizeof(void *));
        atomic_store_explicit(&data->codes[guarded], codes, memory_order_release);
    }
    struct interp_code *code = codes ? known_code(module, func, guarded) : NULL;
    if (!code && codes) {
        code = make_code(module, func, guarded, stop);
        atomic_store_explicit(&codes[func - module->bc->n_imported_funcs], code, memory_order_release);
    }
    pthread_mutex_unlock(&data->lock);
    return code;
}

static void module_free(struct rt_module *module) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct interp_module *data = module->tier_data;
    if (!data) return;
    for (int guarded = 0; guarded < 2; guarded++) {
        if (!data->codes[guarded]) continue;
        for (uint32_t i = 0; i < n_own(module); i++) {
            struct interp_code *code = data->codes[guarded][i];
            if (code) interp_code_fini(alloc, code);
            atoll_free(alloc, code, sizeof *code);
        }
        atoll_free(alloc, (void *)data->codes[guarded], n_own(module) * sizeof(void *));
    }
    pthread_mutex_destroy(&data->lock);
    atoll_free(alloc, data, sizeof *data);
    module->tier_data = NULL;
}

/* Two threads may prepare instances of one module at once: one's data wins. */
static enum atoll_status module_prepare(struct rt_module *module) {
    if (__atomic_load_n(&module->tier_data, __ATOMIC_ACQUIRE)) return ATOLL_OK;
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct interp_module *data = atoll_new(alloc, 1, sizeof *data);
    void *none = NULL;
    if (!data) return ATOLL_E_NOMEM;
    pthread_mutex_init(&data->lock, NULL);
    if (!__atomic_compare_exchange_n(&module->tier_data, &none, data, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        pthread_mutex_destroy(&data->lock);
        atoll_free(alloc, data, sizeof *data);
    }
    return ATOLL_OK;
}

static enum atoll_status prepare(struct rt_instance *instance, struct atoll_error *err) {
    if (module_prepare(instance->module))
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    for (uint32_t i = 0; i < n_own(instance->module); i++) instance->own_funcs[i].code = lower_stub;
    return ATOLL_OK;
}

/* Another thread may have put machine code there meanwhile. A function, as handlers keep no addresses. */
static void set_code(struct rt_func *func, const void *words) {
    const void *before = lower_stub;
    __atomic_compare_exchange_n(&func->code, &before, words, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

HANDLER(LOWER)
{
    struct rt_func *self = fp[-1].ref;
    const struct interp_code *code =
        interp_code_of(inst->module, self->index, interp_guarded(inst), &store->interrupt);
    if (!code && atomic_load_explicit(&store->interrupt, memory_order_relaxed)) GOTO_HANDLER(INTERRUPTED);
    if (!code) TRAP(RT_TRAP_OUT_OF_MEMORY);
    set_code(self, code->words);
    ip = code->words;
    DISPATCH();
}

/* ---- backtrace ---- */

uint32_t interp_offset(const struct rt_func *func, const uint64_t *ip, bool returning) {
    const struct rt_module *module = func->instance->module;
    const struct interp_code *code = interp_code_running(func);
    uint32_t found = module->bc->funcs[func->index].code_offset;
    if (!code || ip < code->words || ip > code->words + code->n_words) return found;
    uint32_t at = (uint32_t)(ip - code->words) - returning;
    size_t low = 0, high = code->n_pcs;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code->pcs[middle].at <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? code->pcs[low - 1].offset : found;
}

static void capture_run(struct rt_store *store, const uint64_t *ip, const union rt_slot *fp, bool returning) {
    for (; fp; fp = fp[-2].ref) {
        const struct rt_func *func = fp[-1].ref;
        rt_store_add_frame(store, func->instance, func->index, interp_offset(func, ip, returning));
        ip = fp[-3].ref;
        returning = true;
    }
}

static void walk(struct rt_activation *activation) {
    const struct interp_run *run = (const struct interp_run *)activation;
    capture_run(activation->store, run->ip, run->fp, false);
}

bool interp_owns(const struct rt_activation *activation) { return activation->walk == walk; }

void interp_capture(struct rt_store *store, const uint64_t *ip, union rt_slot *fp) {
    struct interp_run *run = interp_run_of(store);
    run->ip = ip;
    run->fp = fp;
    rt_store_capture(store);
}

HANDLER(TRAP_R0)
{
    enum rt_trap trap = (enum rt_trap)r0;
    (void)inst, (void)mem, (void)d0, (void)s0;
    if (trap != RT_TRAP_EXIT && !store->n_frames) interp_raised(store, trap, ip, fp);
    return trap;
}

HANDLER(EXIT)
{
    (void)ip, (void)fp, (void)mem, (void)inst, (void)store, (void)r0, (void)d0, (void)s0;
    return RT_TRAP_NONE;
}

/* ---- faults ---- */

static _Noreturn void land(const uint64_t *ip, union rt_slot *fp, struct interp_run *run) {
    interp_raised(run->activation.store, run->fault, ip, fp);
    longjmp(run->jump, 1);
}

/* In signal context. Faulting handlers hold ip and fp in rdi and rsi (exec_memory.c). */
static bool on_fault(struct rt_activation *activation, void *context, const void *address,
                     enum rt_trap trap) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    struct interp_run *run = (struct interp_run *)activation;
    (void)address;
    run->fault = trap;
    registers[REG_RDX] = (greg_t)(uintptr_t)run;
    registers[REG_RSP] = ((registers[REG_RSP] - 256) & ~(greg_t)15) - 8;
    registers[REG_RIP] = (greg_t)(uintptr_t)land;
    return true;
}

/* ---- entry ---- */

void interp_tidy(const struct rt_valtype *types, uint32_t n, union rt_slot *slots) {
    for (uint32_t i = 0; i < n; i++) {
        if (types[i].kind == BC_KIND_I32 || types[i].kind == BC_KIND_F32) slots->u64 = slots->u32;
        slots += types[i].kind == BC_KIND_V128 ? 2 : 1;
    }
}

#ifdef ATOLL_INTERP_LOOP
enum rt_trap interp_park(INTERP_STATE, interp_handler *next) {
    struct interp_run *run = interp_run_of(store);
    run->ip = ip;
    run->fp = fp;
    run->mem = mem;
    run->inst = inst;
    run->r0 = r0;
    run->d0 = d0;
    run->s0 = s0;
    run->next = next;
    return INTERP_PARKED;
}
static enum rt_trap resume(struct interp_run *run, enum rt_trap trap) {
    while (trap == INTERP_PARKED)
        trap = run->next(run->ip, run->fp, run->mem, run->inst, run->activation.store, run->r0, run->d0,
                         run->s0);
    return trap;
}
#else
static enum rt_trap resume(struct interp_run *run, enum rt_trap trap) {
    (void)run;
    return trap;
}
#endif

static enum rt_trap run_frame(struct rt_store *store, struct rt_func *func, union rt_slot *fp) {
    struct interp_run run = {.activation = {.store = store,
                                            .code_begin = __start_atoll_interp,
                                            .code_end = __stop_atoll_interp,
                                            .on_fault = on_fault,
                                            .walk = walk}};
    enum rt_trap trap;
    rt_activation_push(&run.activation);
    if (!_setjmp(run.jump)) {
        const uint64_t *ip =
            __atomic_load_n(&func->code, __ATOMIC_ACQUIRE); /* another thread may bring compiled code */
        trap = ((interp_handler *)(uintptr_t)ip[0])(ip, fp, func->instance->memory0_base, func->instance,
                                                    store, 0, 0, 0);
        trap = resume(&run, trap);
    } else {
        trap = run.fault;
    }
    rt_activation_pop(&run.activation);
    return trap;
}

static enum rt_trap call(struct rt_store *store, struct rt_func *func, union rt_slot *args_results) {
    const struct rt_type *type = func->type;
    uint32_t window = interp_window(type->param_slots, type->result_slots);
    union rt_slot *base = store->stack_top, *scan_top = store->scan_top;
    if ((size_t)(store->stack_end - base) < window + INTERP_HEADER_SLOTS) return RT_TRAP_STACK_EXHAUSTED;
    union rt_slot *fp = base + window + INTERP_HEADER_SLOTS;
    memmove(base, args_results, type->param_slots * sizeof *base);
    interp_tidy(type->params, type->n_params, base);
    fp[-3].ref = (void *)(uintptr_t)STUB(exit_stub, 1);
    fp[-2].ref = NULL;
    fp[-1].ref = func;
    store->scan_top = NULL;
    enum rt_trap trap = run_frame(store, func, fp);
    store->scan_top = scan_top;
    store->stack_top = base;
    if (!trap) {
        interp_tidy(type->results, type->n_results, base);
        memmove(args_results, base, type->result_slots * sizeof *base);
    }
    return trap;
}

/* ---- compiled functions, and the interpreter for compiled ones ---- */

static const union stub_word compiled_stub[] = {{interp_do_ENTER_COMPILED}};

void interp_use_compiled(struct rt_func *func) {
    __atomic_store_n(&func->code, compiled_stub, __ATOMIC_RELEASE);
}

void interp_use_lowered(struct rt_func *func) {
    __atomic_store_n(&func->code, (const void *)lower_stub, __ATOMIC_RELEASE);
}

union rt_slot *interp_frame_end(union rt_slot *fp) {
    const struct rt_func *func = fp[-1].ref;
    const void *code = __atomic_load_n(&func->code, __ATOMIC_ACQUIRE);
    if (code == compiled_stub) code = interp_code_running(func)->words; /* since when the frame was made */
    return fp + ((const uint32_t *)code)[2];
}

/* Of a frame: parameters, later results. */
static union rt_slot *frame_window(union rt_slot *fp) {
    const struct rt_type *type = ((const struct rt_func *)fp[-1].ref)->type;
    return fp - INTERP_HEADER_SLOTS - interp_window(type->param_slots, type->result_slots);
}

/* Before machine code takes the place of the frame at fp: what stands of this run is its caller, at its call. */
static void leave_frame_to_compiled(struct rt_store *store, union rt_slot *fp, union rt_slot *end) {
    struct interp_run *run = interp_run_of(store);
    run->ip = (const uint64_t *)fp[-3].ref - 1;
    run->fp = fp[-2].ref;
    store->stack_top = end;
    store->n_frames = 0;
}

/* The arguments stand in front of the header that the caller made. */
HANDLER(ENTER_COMPILED)
{
    (void)mem;
    leave_frame_to_compiled(store, fp, fp);
    r0 = store->engine->config.tier->call_compiled(store, fp[-1].ref, frame_window(fp));
    GOTO_HANDLER(LEAVE_COMPILED);
}

/* r0 = the trap of the machine code that took the frame's place, or none. */
HANDLER(LEAVE_COMPILED)
{
    enum rt_trap trap = (enum rt_trap)r0;
    (void)mem;
    if (UNLIKELY(trap != RT_TRAP_NONE)) {
        if (trap == RT_TAIL_CALL) GOTO_HANDLER(TAIL_FROM_COMPILED);
        if (trap == RT_TRAP_UNCAUGHT_EXCEPTION && store->thrown_tag &&
            fp[-2].ref) { /* on at the caller's call */
            ip = (const uint64_t *)fp[-3].ref - 1;
            fp = fp[-2].ref;
            GOTO_HANDLER(UNWIND);
        }
        return trap;
    }
    const union rt_slot *results = frame_window(fp);
    r0 = results[0].u64;
    d0 = results[0].f64;
    s0 = results[0].f32;
    ip = fp[-3].ref;
    fp = fp[-2].ref;
    DISPATCH();
}

/* The machine code that took the frame's place ends with a tail call, which takes the place of both. There is room: what
 * the arguments need above the frame they need below it, too. */
HANDLER(TAIL_FROM_COMPILED)
{
    struct rt_func *callee = store->tail;
    const struct rt_func *self = fp[-1].ref;
    const struct rt_type *type = callee->type;
    const uint64_t *back = fp[-3].ref;
    void *caller = fp[-2].ref;
    union rt_slot *base = frame_window(fp);
    if (callee->instance != self->instance && back[0] != (uint64_t)(uintptr_t)interp_do_RELOAD) back--;
    memmove(base, store->stack_top, type->param_slots * sizeof *base);
    fp = base + interp_window(type->param_slots, type->result_slots) + INTERP_HEADER_SLOTS;
    fp[-3].ref = (void *)(uintptr_t)back;
    fp[-2].ref = caller;
    fp[-1].ref = callee;
    inst = callee->instance;
    mem = inst->memory0_base;
    ip = __atomic_load_n((const uint64_t *const *)&callee->code, __ATOMIC_ACQUIRE);
    DISPATCH();
}

/* ---- attention: a stop, or a tier that wants to know where the program is ---- */

/* Functions of their own, since handlers call nothing through a pointer but the next handler. */
__attribute__((noinline)) static const void *tell_where(struct rt_store *store, struct rt_func *func,
                                                        uint32_t loop) {
    const struct rt_tier *tier = store->engine->config.tier;
    return tier->hot ? tier->hot(store, func, loop) : NULL;
}

__attribute__((noinline)) static enum rt_trap call_loop(struct rt_store *store, union rt_slot *fp,
                                                        const void *code) {
    leave_frame_to_compiled(store, fp, interp_frame_end(fp));
    return store->engine->config.tier->call_loop(store, fp[-1].ref, code, frame_window(fp));
}

/* In ENTER, of which only the locals are left to do; machine code that has come meanwhile can have the frame. */
HANDLER(ATTEND_ENTRY)
{
    struct rt_func *self = fp[-1].ref;
    if (rt_store_attend(store)) GOTO_HANDLER(INTERRUPTED);
    tell_where(store, self, BC_NONE);
    const uint64_t *code = __atomic_load_n((const uint64_t *const *)&self->code, __ATOMIC_ACQUIRE);
    if (code[0] == (uint64_t)(uintptr_t)interp_do_ENTER_COMPILED) {
        ip = code;
        DISPATCH();
    }
    for (int32_t i = 0; i < 2 * OPD(1); i++) fp[i].u64 = 0;
    NEXT(2);
}

/* The loop whose head is at the word. */
static uint32_t loop_at(const struct interp_code *code, const uint64_t *head) {
    uint32_t at = (uint32_t)(head - code->words);
    size_t low = 0, high = code->n_loops;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code->loops[middle].at < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low < code->n_loops && code->loops[low].at == at ? code->loops[low].offset : BC_NONE;
}

/* At a branch, taken, to the head of a loop, where every value is in its slot. */
HANDLER(ATTEND_LOOP)
{
    struct rt_func *self = fp[-1].ref;
    if (rt_store_attend(store)) GOTO_HANDLER(INTERRUPTED);
    const void *code = tell_where(store, self, loop_at(interp_code_running(self), ip + OPD(0)));
    if (!code) JUMP(0);
    r0 = call_loop(store, fp, code);
    GOTO_HANDLER(LEAVE_COMPILED);
}

struct interp_snippet {
    struct rt_func
        self; /* what the frame says it runs: code begins with ENTER, which knows the frame's size */
    struct interp_code code;
    uint32_t n_args, n_results; /* slots */
};

struct interp_snippet *interp_snippet_new(const struct rt_module *module, uint32_t func, uint32_t at,
                                          uint32_t n_args, const uint8_t *kinds) {
    const struct atoll_alloc *alloc = module->engine->alloc;
    struct interp_snippet *s = atoll_new(alloc, 1, sizeof *s);
    if (!s) return NULL;
    for (uint32_t i = 0; i < n_args; i++) s->n_args += kinds[i] == BC_KIND_V128 ? 2 : 1;
    if (interp_lower_one(module, func, at, n_args, kinds, &s->code, &s->n_results)) {
        atoll_free(alloc, s, sizeof *s);
        return NULL;
    }
    s->self = (struct rt_func){
        .code = s->code.words, .type = module->types[module->bc->funcs[func].type], .index = func};
    return s;
}

void interp_snippet_free(const struct rt_module *module, struct interp_snippet *snippet) {
    interp_code_fini(module->engine->alloc, &snippet->code);
    atoll_free(module->engine->alloc, snippet, sizeof *snippet);
}

enum rt_trap interp_snippet_run(struct rt_instance *instance, const struct interp_snippet *snippet,
                                union rt_slot *slots) {
    struct rt_store *store = instance->store;
    union rt_slot *base = store->stack_top, *scan_top = store->scan_top;
    if (store->stack_end - base < INTERP_HEADER_SLOTS + (ptrdiff_t)snippet->n_args)
        return RT_TRAP_STACK_EXHAUSTED;
    union rt_slot *fp = base + INTERP_HEADER_SLOTS;
    struct rt_func self = snippet->self;
    self.instance = instance;
    memcpy(fp, slots, snippet->n_args * sizeof *fp);
    fp[-3].ref = (void *)(uintptr_t)STUB(exit_stub, 1);
    fp[-2].ref = NULL;
    fp[-1].ref = &self;
    store->scan_top = NULL;
    enum rt_trap trap = run_frame(store, &self, fp);
    store->scan_top = scan_top;
    store->stack_top = base;
    if (!trap) memcpy(slots, fp, snippet->n_results * sizeof *fp);
    return trap;
}

const struct rt_tier interp_tier = {
    .name = "interp", .prepare = prepare, .call = call, .module_free = module_free};
