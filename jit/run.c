/* jit/run.c: into compiled code and out of it: entry from the host, calls of host and interpreted functions,
 * traps, faults, the walk over frames. Compiled code runs on the thread's own stack: the collector sees it as
 * it sees any other, and host functions need no switch. */
#include <string.h>
#include <ucontext.h>
#include "jit/engine.h"

struct jit_run {                     /* one entry */
    struct rt_activation activation; /* first: faults get its address */
    struct rt_instance *instance;    /* of the innermost frame, while the host runs */
    uintptr_t sp;                    /* of that frame, as it was before its call */
    const uint8_t *pc;               /* where it faulted, or NULL: at its return address, just below sp */
    bool for_interpreter;            /* which takes over tail calls of functions without code */
};

static struct jit_run *run_of(struct rt_store *store) { return (struct jit_run *)store->activation; }

void jit_run_stands(struct rt_store *store, struct rt_instance *instance) {
    struct jit_run *run = run_of(store);
    run->instance = instance;
    run->sp = store->native_sp;
    run->pc = NULL;
}

/* Compiled code at sp called. */
static void stand(struct rt_instance *instance, uintptr_t sp) {
    jit_seen(instance->store);
    instance->store->native_sp = sp;
    jit_run_stands(instance->store, instance);
}

/* ---- the walk ---- */

/* A call's place stands at its return address, where the next instruction may have its own. */
static uint32_t place_of(const struct jit_code *code, const uint8_t *pc, bool returned_to) {
    uint32_t at = (uint32_t)(pc - code->start);
    size_t low = 0, high = code->n_pcs;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code->pcs[middle].at <= at)
            low = middle + 1;
        else
            high = middle;
    }
    while (returned_to && low > 1 && code->pcs[low - 2].at == at) low--;
    return low ? code->pcs[low - 1].where : 0;
}

static uint32_t func_at(const struct bc_module *bc, uint32_t at) {
    uint32_t low = bc->n_imported_funcs, high = bc->n_funcs;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (bc->funcs[middle].body.offset <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Whether the place is in an inlined function. Then *where becomes where that is called. */
static bool next_inlined(const struct jit_code *code, uint32_t *where, struct jit_inlined *out) {
    uint32_t number = *where & JIT_PLACE;
    if (!(*where & JIT_INLINED) || number >= code->n_inlined) return false;
    *out = code->inlined[number];
    *where = out->outer;
    return true;
}

static const uint8_t *return_address(uintptr_t sp) { return ((const uint8_t *const *)sp)[-1]; }

static void walk(struct rt_activation *activation) {
    struct jit_run *run = (struct jit_run *)activation;
    struct rt_store *store = activation->store;
    struct jit_engine *engine = jit_engine_of(store);
    const struct rt_instance *instance = run->instance;
    uintptr_t sp = run->sp;
    const uint8_t *pc = run->pc ? run->pc : return_address(sp);
    bool returned_to = !run->pc;
    uint32_t room;
    pthread_mutex_lock(&engine->lock);
    for (;;) {
        if (jit_is_tail_frame(engine, pc, &room)) {
            instance = *(const struct rt_instance *const *)(sp + room + 8);
            sp += room + JIT_TAIL_FRAME + 8;
            pc = return_address(sp);
            returned_to = true;
            continue;
        }
        const struct jit_code *code =
            jit_index_find(engine, pc - returned_to); /* a call may be a function's end */
        if (!code) break;                             /* the entry */
        uint32_t where = place_of(code, pc, returned_to);
        bool framed = !(where & JIT_NO_FRAME);
        if (where & JIT_FAR) instance = *(const struct rt_instance *const *)(sp + code->self_at);
        struct jit_inlined inner;
        while (next_inlined(code, &where, &inner))
            rt_store_add_frame(store, instance, func_at(code->module->bc, inner.at), inner.at);
        rt_store_add_frame(store, instance, code->func, where & ~(JIT_NO_FRAME | JIT_FAR));
        sp += (framed ? code->frame_bytes : 0) + 8;
        pc = return_address(sp);
        returned_to = true;
    }
    pthread_mutex_unlock(&engine->lock);
}

/* The function that is returned to from a frame which may not stand yet, or not any more: its return address is
 * where it will be, or at sp. */
static const uint8_t *caller_of(struct jit_engine *engine, const struct jit_code *code, uintptr_t *sp,
                                uintptr_t top) {
    const uintptr_t frames[] = {code->frame_bytes, 0};
    for (unsigned i = 0; i < 2; i++) {
        uintptr_t at = *sp + frames[i] + 8;
        if (at > top) continue;
        const uint8_t *pc = return_address(at);
        if (pc < engine->memory.base || pc >= engine->memory.base + engine->memory.used) continue;
        *sp = at;
        return pc;
    }
    return NULL;
}

/* The function whose code the pc is in, after those that are inlined there; returns how many. */
static uint32_t sample_code(const struct jit_code *code, const uint8_t *pc, bool returned_to,
                            struct jit_sampled *out, uint32_t max) {
    uint32_t where = place_of(code, pc, returned_to), n = 0;
    struct jit_inlined inner;
    while (n < max && next_inlined(code, &where, &inner))
        out[n++] = (struct jit_sampled){code->module, func_at(code->module->bc, inner.at)};
    if (n < max) out[n++] = (struct jit_sampled){code->module, code->func};
    return n;
}

uint32_t jit_sample(const struct rt_store *store, const void *ucontext, struct jit_sampled *out, uint32_t max,
                    bool *in_host) {
    const greg_t *registers = ((const ucontext_t *)ucontext)->uc_mcontext.gregs;
    const struct rt_activation *activation = store->activation;
    struct jit_engine *engine = jit_engine_of(store);
    const uint8_t *pc = (const uint8_t *)registers[REG_RIP];
    uintptr_t sp = (uintptr_t)registers[REG_RSP], bottom = sp;
    uint32_t n = 0;
    while (activation && (activation->walk != walk || activation->store != store))
        activation = activation->previous;
    if (!activation || pthread_mutex_trylock(&engine->lock)) return 0;
    bool ready = true;
    *in_host = !jit_index_find(engine, pc);
    if (*in_host) {
        sp = ((const struct jit_run *)activation)->sp;
        ready = sp > bottom && sp <= store->native_entry;
        pc = ready ? return_address(sp) : NULL;
    }
    for (bool returned_to = *in_host; ready && pc && n < max; returned_to = true) {
        uint32_t room;
        if (returned_to && jit_is_tail_frame(engine, pc, &room)) { /* it has no place of its own */
            sp += room + JIT_TAIL_FRAME + 8;
            pc = sp <= store->native_entry ? return_address(sp) : NULL;
            continue;
        }
        const struct jit_code *code = jit_index_find(engine, pc - returned_to);
        if (!code) break;
        n += sample_code(code, pc, returned_to, out + n, max - n);
        pc = caller_of(engine, code, &sp, store->native_entry);
    }
    pthread_mutex_unlock(&engine->lock);
    return n;
}

/* ---- traps ---- */

static enum rt_trap stop_reason(struct rt_store *store, enum rt_trap trap) {
    enum rt_interrupt why = atomic_load_explicit(&store->interrupt, memory_order_relaxed);
    if (!why || (trap != RT_TRAP_INTERRUPTED && trap != RT_TRAP_STACK_EXHAUSTED)) return trap;
    return why == RT_INTERRUPT_TIMEOUT ? RT_TRAP_TIMEOUT : RT_TRAP_INTERRUPTED;
}

enum rt_trap jit_trap(enum rt_trap trap, uintptr_t sp, struct rt_instance *instance) {
    struct rt_store *store = instance->store;
    stand(instance, sp);
    rt_store_capture(store);
    return stop_reason(store, trap);
}

bool jit_refuel(struct rt_instance *instance) {
    jit_seen(instance->store);
    return rt_fuel_take(instance->store);
}

static _Noreturn void land(struct jit_run *run, enum rt_trap trap) {
    struct rt_store *store = run->activation.store;
    jit_seen(store);
    rt_store_capture(store);
    jit_engine_of(store)->leave_from_host(trap, run->instance);
    __builtin_unreachable();
}

/* In signal context. */
static bool on_fault(struct rt_activation *activation, void *context, const void *address,
                     enum rt_trap trap) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    struct jit_run *run = (struct jit_run *)activation;
    (void)address;
    run->instance = (struct rt_instance *)registers[REG_R14];
    run->sp = (uintptr_t)registers[REG_RSP];
    run->pc = (const uint8_t *)registers[REG_RIP];
    registers[REG_RDI] = (greg_t)(uintptr_t)run;
    registers[REG_RSI] = (greg_t)trap;
    registers[REG_RSP] = ((registers[REG_RSP] - 256) & ~(greg_t)15) - 8;
    registers[REG_RIP] = (greg_t)(uintptr_t)land;
    return true;
}

/* ---- exceptions ---- */

/* The handler for the exception in flight, of the call that returns to pc; NULL: there is none. */
static const struct jit_landing *landing_of(const struct jit_code *code, const uint8_t *pc,
                                            const struct rt_instance *instance) {
    const struct rt_tag *tag = instance->store->thrown_tag;
    uint32_t at = (uint32_t)(pc - code->start), low = 0, high = code->n_landings;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (code->landings[middle].at < at)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < code->n_landings && code->landings[low].at == at; low++) {
        const struct jit_landing *l = code->landings + low;
        if (l->tag == JIT_ANY_TAG || instance->tags[l->tag] == tag) return l;
    }
    return NULL;
}

/* What the frame keeps for its caller comes back as on its way out. */
static void give_back(const struct jit_code *code, uintptr_t sp, struct jit_resume *resume) {
    const uint64_t *at = (const uint64_t *)(sp + code->frame_bytes);
    for (unsigned i = 0; i < JIT_N_SAVED; i++)
        if (code->used_saved >> jit_saved_registers[i] & 1) resume->saved[i] = *--at;
}

/* From the frame where the run stands outwards. */
static const struct jit_landing *find_landing(struct rt_store *store, struct jit_resume *resume) {
    struct jit_engine *engine = jit_engine_of(store);
    const struct jit_run *run = run_of(store);
    const struct jit_landing *found = NULL;
    struct rt_instance *instance = run->instance;
    uintptr_t sp = run->sp;
    uint32_t room;
    pthread_mutex_lock(&engine->lock);
    for (const uint8_t *pc = return_address(sp); !found; pc = return_address(sp)) {
        if (jit_is_tail_frame(engine, pc, &room)) {
            instance = *(struct rt_instance *const *)(sp + room + 8);
            sp += room + JIT_TAIL_FRAME + 8;
            continue;
        }
        const struct jit_code *code = jit_index_find(engine, pc - 1);
        if (!code) break; /* the entry */
        if (place_of(code, pc, true) & JIT_FAR) instance = *(struct rt_instance *const *)(sp + code->self_at);
        found = landing_of(code, pc, instance);
        if (found) {
            *resume = (struct jit_resume){
                .pc = code->start + found->target,
                .sp = sp,
                .instance = instance,
                .saved = {resume->saved[0], resume->saved[1], resume->saved[2], resume->saved[3]}};
            break;
        }
        give_back(code, sp, resume);
        sp += code->frame_bytes + 8;
    }
    pthread_mutex_unlock(&engine->lock);
    return found;
}

/* The values go to where the handler's frame has its outgoing area. */
static enum rt_trap land_at(struct rt_store *store, const struct jit_landing *landing, uintptr_t sp) {
    union rt_slot *slots = (union rt_slot *)sp;
    uint32_t n = landing->tag == JIT_ANY_TAG ? 0 : store->thrown_tag->type->param_slots;
    void *exception = landing->with_ref ? rt_exception_ref(store) : NULL;
    if (landing->with_ref && !exception) return RT_TRAP_OUT_OF_MEMORY;
    if (n) memcpy(slots, rt_exception_values(store), n * sizeof *slots);
    if (landing->with_ref) slots[n].ref = exception;
    rt_exception_caught(store);
    store->n_frames = 0; /* of a nested run that it came from */
    return RT_TRAP_NONE;
}

static enum rt_trap unwind(struct rt_store *store, struct jit_resume *resume) {
    const struct jit_landing *landing = find_landing(store, resume);
    enum rt_trap trap = landing ? land_at(store, landing, resume->sp) : RT_TRAP_UNCAUGHT_EXCEPTION;
    if (trap && !store->n_frames) rt_store_capture(store);
    return trap;
}

enum rt_trap jit_throw(struct rt_instance *instance, uintptr_t sp, uint64_t tag, struct jit_resume *resume) {
    struct rt_store *store = instance->store;
    stand(instance, sp);
    store->n_frames = 0;
    enum rt_trap trap = rt_throw(store, instance->tags[tag], (const union rt_slot *)sp);
    if (trap == RT_TRAP_UNCAUGHT_EXCEPTION) return unwind(store, resume);
    rt_store_capture(store);
    return trap;
}

enum rt_trap jit_throw_ref(struct rt_instance *instance, uintptr_t sp, uint64_t exception,
                           struct jit_resume *resume) {
    struct rt_store *store = instance->store;
    stand(instance, sp);
    store->n_frames = 0;
    enum rt_trap trap = rt_throw_ref(store, (void *)(uintptr_t)exception);
    if (trap == RT_TRAP_UNCAUGHT_EXCEPTION) return unwind(store, resume);
    rt_store_capture(store);
    return trap;
}

enum rt_trap jit_raise(struct rt_instance *instance, uintptr_t sp, uint64_t trap, struct jit_resume *resume) {
    struct rt_store *store = instance->store;
    if (trap != RT_TRAP_UNCAUGHT_EXCEPTION || !store->thrown_tag) return (enum rt_trap)trap;
    stand(instance, sp);
    return unwind(store, resume);
}

/* ---- entry ---- */

static void set_limit(struct rt_store *store, uintptr_t limit) {
    atomic_store(&store->native_limit, limit);
    if (atomic_load(&store->interrupt)) atomic_store(&store->native_limit, UINTPTR_MAX);
}

static uintptr_t limit_here(const struct rt_store *store) {
    uintptr_t here = (uintptr_t)__builtin_frame_address(0), limit = rt_native_stack_limit();
    size_t own = store->engine->config.stack_bytes;
    return here > own && here - own > limit ? here - own : limit;
}

static enum rt_trap enter(struct rt_store *store, struct rt_func *func, jit_entry *entry, const void *code,
                          union rt_slot *slots, bool for_interpreter) {
    struct jit_engine *engine = jit_engine_of(store);
    if (!entry) return RT_TRAP_OUT_OF_MEMORY;
    struct jit_run run = {.for_interpreter = for_interpreter,
                          .activation = {.store = store,
                                         .code_begin = engine->memory.base,
                                         .code_end = engine->memory.base + engine->memory.size,
                                         .on_fault = on_fault,
                                         .walk = walk}};
    uintptr_t outer_entry = store->native_entry, outer_call = store->native_call, outer_sp = store->native_sp;
    uintptr_t outer_limit = store->native_entry ? atomic_load(&store->native_limit) : 0;
    union rt_slot *scan_top = store->scan_top;
    store->scan_top = store->stack_top;
    set_limit(store, outer_entry && outer_limit != UINTPTR_MAX ? outer_limit : limit_here(store));
    rt_activation_push(&run.activation);
    enum rt_trap trap = entry(code, slots, func->instance, store);
    jit_seen(store);
    rt_activation_pop(&run.activation);
    set_limit(store, outer_limit);
    store->native_entry = outer_entry;
    store->native_call = outer_call;
    store->native_sp = outer_sp;
    store->scan_top = scan_top;
    return trap;
}

/* Code that waits for its first call may turn out to be broken. */
static enum rt_trap enter_function(struct rt_store *store, struct rt_func *func, union rt_slot *args_results,
                                   bool for_interpreter) {
    const void *code = __atomic_load_n(&func->jit_code, __ATOMIC_ACQUIRE);
    if (code == jit_engine_of(store)->first) {
        if (!jit_saved_use(func)) return interp_tier.call(store, func, args_results);
        code = __atomic_load_n(&func->jit_code, __ATOMIC_ACQUIRE);
    }
    return enter(store, func, jit_entry_of(func, false), code, args_results, for_interpreter);
}

enum rt_trap jit_enter(struct rt_store *store, struct rt_func *func, union rt_slot *args_results) {
    return enter_function(store, func, args_results, false);
}

enum rt_trap jit_enter_from_interpreter(struct rt_store *store, struct rt_func *func,
                                        union rt_slot *args_results) {
    return enter_function(store, func, args_results, true);
}

enum rt_trap jit_enter_loop(struct rt_store *store, struct rt_func *func, const void *code,
                            union rt_slot *frame) {
    return enter(store, func, jit_entry_of(func, true), code, frame, true);
}

/* ---- calls of functions without code ---- */

static void take_arguments(const struct rt_type *type, const struct jit_arg *args,
                           const struct jit_regs *regs, const uint8_t *stack, union rt_slot *slots) {
    for (uint32_t i = 0, at = 0; i < type->n_params; i++) {
        uint8_t kind = type->params[i].kind, reg = args[i].reg;
        const void *from;
        if (reg == LOC_SPILL)
            from = stack + args[i].offset;
        else if (reg >= XMM0)
            from = regs->floats[reg - XMM0];
        else
            for (unsigned k = 0; jit_int_args[k] != reg || (from = regs->ints + k, false); k++) continue;
        memcpy(slots + at, from, kind == BC_KIND_V128 ? 16 : 8);
        if (kind == BC_KIND_F32 || kind == BC_KIND_I32) slots[at].u64 = slots[at].u32;
        at += kind == BC_KIND_V128 ? 2 : 1;
    }
}

static void give_results(const struct rt_type *type, struct jit_regs *regs, uint8_t *stack,
                         const union rt_slot *slots) {
    for (uint32_t i = 0, at = 0; i < type->n_results; i++) {
        uint8_t kind = type->results[i].kind;
        size_t size = kind == BC_KIND_V128 ? 16 : 8;
        union rt_slot low = slots[at];
        if (kind == BC_KIND_I32) low.u64 = low.u32; /* compiled code relies on clear upper halves */
        if (i) {
            memcpy(stack + 16 * (size_t)(i - 1), slots + at, size);
            memcpy(stack + 16 * (size_t)(i - 1), &low, 8);
        } else {
            memcpy(regs->floats[0], slots + at, size);
            regs->ints[0] = low.u64;
        }
        at += (uint32_t)(size / 8);
    }
}

static enum rt_trap call_host(struct rt_store *store, struct rt_func *func, struct rt_instance *caller,
                              union rt_slot *slots) {
    store->n_frames = 0;
    enum rt_trap trap = func->host(store, caller, func->context, slots);
    if (!trap) store->n_frames = 0; /* of a nested call's trap that the host got over */
    return trap;
}

/* Whether what calls at sp, without a frame of its own any more, returns to the interpreter, which entered this run:
 * at once or by way of a frame of the thunks for tail calls. */
static bool returns_to_interpreter(struct rt_store *store, uintptr_t sp) {
    const struct jit_engine *engine = jit_engine_of(store);
    const uint8_t *pc = return_address(sp);
    uint32_t room;
    if (!run_of(store)->for_interpreter) return false;
    if (jit_is_tail_frame(engine, pc, &room)) sp += room + JIT_TAIL_FRAME + 8;
    return sp == store->native_call;
}

enum rt_trap jit_bridge(struct rt_func *func, struct jit_regs *regs, uint8_t *stack,
                        struct rt_instance *caller) {
    const struct rt_type *type = func->type;
    struct rt_store *store = caller->store;
    const struct atoll_alloc *alloc = store->engine->alloc;
    uint32_t n = type->param_slots > type->result_slots ? type->param_slots : type->result_slots;
    union rt_slot *base = store->stack_top, *scan_top = store->scan_top;
    jit_seen(store);
    jit_run_stands(store, caller);
    enum rt_trap trap = RT_TRAP_STACK_EXHAUSTED;
    if (store->stack_end - base > (ptrdiff_t)n &&
        (uintptr_t)__builtin_frame_address(0) > rt_native_stack_limit()) {
        struct jit_arg few[16], *args = few;
        if (type->n_params > 16) args = atoll_new(alloc, type->n_params, sizeof *args);
        if (!args) return RT_TRAP_OUT_OF_MEMORY;
        jit_place_args(type->params, type->n_params, args);
        take_arguments(type, args, regs, stack, base);
        if (args != few) atoll_free(alloc, args, type->n_params * sizeof *args);
        if (!func->host && returns_to_interpreter(store, (uintptr_t)stack)) {
            store->tail = func;
            return RT_TAIL_CALL;
        }
        store->stack_top = base + n;
        store->scan_top = base + n;
        store->n_frames = 0;
        trap = func->host ? call_host(store, func, caller, base) : interp_tier.call(store, func, base);
        store->stack_top = base;
        store->scan_top = scan_top;
    }
    if (trap) {
        bool thrown = trap == RT_TRAP_UNCAUGHT_EXCEPTION && store->thrown_tag; /* on in jit_raise */
        if (trap != RT_TRAP_EXIT && !thrown && !store->n_frames) rt_store_capture(store);
        return trap;
    }
    give_results(type, regs, stack, base);
    return RT_TRAP_NONE;
}
