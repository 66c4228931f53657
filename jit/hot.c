/* jit/hot.c: the tier `auto`: programs start interpreted, and what is hot is compiled by a thread of the engine's.
 *
 *   the thread                                    the program
 *   sets store->attention, now and then  ------>  looks at its next loop head or function entry: jit_hot
 *   compiles what is asked for           <------  asks for the function it is in, later for the loop
 *   puts code into all instances         ------>  calls run it; the loop goes on in it (build_osr.c)
 *
 * So nothing is counted while the program runs: a function is asked for in proportion to the time it takes. The
 * thread sleeps while the program does not look: it waits for something, or runs compiled code.
 *
 * A module's `heat` and `loops`, and the list of instances, are guarded by jit_hot.lock. Code is compiled by one
 * thread at a time, outside of the lock, and only it fills jit_module.codes. */
#include <string.h>
#include <time.h>
#include "bytecode/thread.h"
#include "jit/engine.h"

#define FIRST_PAUSE_NS   UINT64_C(1000000)
#define LONGEST_PAUSE_NS UINT64_C(16000000)
#define LOOPS_A_FUNCTION 16

enum state { COLD, WANTED, READY, DECLINED }; /* from READY on the compiler is done with it */
struct jit_heat {
    uint8_t state, seen; /* seen: how often, up to 255 */
};
struct jit_loop {
    struct jit_loop *next; /* of the module */
    uint32_t func, offset;
    uint8_t state;
    struct jit_code code;
};
struct job {
    struct job *next;
    struct rt_module *module;
    uint32_t func;
    struct jit_loop *loop; /* NULL: the whole function */
};
struct link { /* instance->tier_data */
    struct rt_instance *instance;
    struct link *next, *previous;
};
struct jit_hot {
    const struct atoll_alloc *alloc;
    bool at_once;
    pthread_mutex_t lock;
    pthread_cond_t work, idle; /* for the thread; from the thread: a job is over */
    pthread_t thread;
    bool started, ending;
    bool asked; /* a program looked since attention was wanted last */
    struct job *first, **end;
    struct link *instances;
    const struct rt_module *compiling;
    _Atomic uint32_t stop; /* not 0: what is compiled now is not wanted any more */
};

static struct jit_heat *heat_of(const struct rt_module *module, uint32_t func) {
    return ((struct jit_module *)module->jit_data)->heat + (func - module->bc->n_imported_funcs);
}

bool jit_was_seen(const struct rt_module *module, uint32_t func) {
    const struct jit_module *jit = module->jit_data;
    return jit->heat && __atomic_load_n(&heat_of(module, func)->seen, __ATOMIC_RELAXED);
}

/* ---- compiling ---- */

/* Code for the job, in its place; the caller does not hold the lock, or is the only one. */
static enum atoll_status compile(struct jit_hot *hot, const struct job *job) {
    struct rt_module *module = job->module;
    struct jit_module *jit = module->jit_data;
    struct jit_code *code =
        job->loop ? &job->loop->code : jit->codes + (job->func - module->bc->n_imported_funcs);
    uint8_t *bytes;
    size_t capacity;
    enum atoll_status status = jit_compile(module, job->func, job->loop ? job->loop->offset : JIT_WHOLE,
                                           &jit->layout, &hot->stop, code, &bytes, &capacity);
    if (status) return status;
    status = jit_place_code(module, code, bytes);
    atoll_free(hot->alloc, bytes, capacity);
    if (status) {
        jit_code_fini(hot->alloc, code);
        *code = (struct jit_code){.func = job->func, .module = module, .declined = "out of memory for code"};
    }
    return status;
}

static void count(const struct job *job, const struct jit_code *code, double seconds) {
    struct jit_stats *stats = &((struct jit_module *)job->module->jit_data)->stats;
    stats->seconds += seconds;
    stats->code_bytes += code->size;
    stats->table_bytes += jit_code_table_bytes(code);
    stats->n_inlined += code->n_inlined_calls;
    if (job->loop) {
        stats->n_loops += code->size != 0;
    } else if (code->size) {
        stats->n_compiled++;
        stats->wasm_bytes += job->module->bc->funcs[job->func].body.size;
    } else {
        stats->n_declined++;
    }
}

/* Lets programs use what has been compiled. The caller holds the lock. */
static void finish(struct jit_hot *hot, const struct job *job, enum atoll_status status, double seconds) {
    uint32_t own = job->func - job->module->bc->n_imported_funcs;
    const struct jit_code *code =
        job->loop ? &job->loop->code : ((struct jit_module *)job->module->jit_data)->codes + own;
    uint8_t *state = job->loop ? &job->loop->state : &heat_of(job->module, job->func)->state;
    count(job, code, seconds);
    *state = status ? DECLINED : READY;
    if (status || job->loop) return; /* where a loop goes on is told under the lock */
    jit_publish(job->module->engine->jit_data);
    for (struct link *l = hot->instances; l; l = l->next)
        if (l->instance->module == job->module) jit_use(l->instance->own_funcs + own, code);
}

static void run_job(struct jit_hot *hot, struct job *job) {
    double start = jit_cpu_seconds();
    enum atoll_status status = compile(hot, job);
    if (!hot->at_once) pthread_mutex_lock(&hot->lock);
    finish(hot, job, status, jit_cpu_seconds() - start);
    if (!hot->at_once) pthread_mutex_unlock(&hot->lock);
}

/* ---- the thread ---- */

static struct job *take_job(struct jit_hot *hot) {
    struct job *job = hot->first;
    hot->first = job->next;
    if (!hot->first) hot->end = &hot->first;
    return job;
}

static void work_off(struct jit_hot *hot) {
    struct job *job = take_job(hot);
    hot->compiling = job->module;
    atomic_store(&hot->stop, 0);
    pthread_mutex_unlock(&hot->lock);
    run_job(hot, job);
    atoll_free(hot->alloc, job, sizeof *job);
    pthread_mutex_lock(&hot->lock);
    hot->compiling = NULL;
    pthread_cond_broadcast(&hot->idle);
}

static void wait_for(struct jit_hot *hot, uint64_t pause_ns) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + pause_ns;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    while (!hot->ending && !hot->first)
        if (pthread_cond_timedwait(&hot->work, &hot->lock, &until)) return;
}

static void want_attention(struct jit_hot *hot) {
    hot->asked = false;
    for (struct link *l = hot->instances; l; l = l->next) atomic_store(&l->instance->store->attention, 1);
}

static void *thread(void *context) {
    struct jit_hot *hot = context;
    uint64_t pause_ns = FIRST_PAUSE_NS;
    pthread_mutex_lock(&hot->lock);
    while (!hot->ending) {
        if (hot->first) {
            work_off(hot);
            pause_ns = FIRST_PAUSE_NS;
        } else if (!hot->asked || !hot->instances) {
            pthread_cond_wait(&hot->work, &hot->lock);
        } else {
            wait_for(hot, pause_ns);
            if (hot->ending || hot->first) continue;
            want_attention(hot);
            if (pause_ns < LONGEST_PAUSE_NS) pause_ns *= 2;
        }
    }
    pthread_mutex_unlock(&hot->lock);
    return NULL;
}

/* Without the thread the program stays interpreted. */
static void start_thread(struct jit_hot *hot) {
    if (!hot->started && !hot->at_once) hot->started = bc_thread_start(&hot->thread, thread, hot);
}

enum atoll_status jit_hot_new(struct rt_engine *engine) {
    struct jit_hot *hot = atoll_new(engine->alloc, 1, sizeof *hot);
    if (!hot) return ATOLL_E_NOMEM;
    pthread_condattr_t monotonic;
    *hot = (struct jit_hot){.alloc = engine->alloc, .at_once = engine->config.hot_at_once};
    hot->end = &hot->first;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&hot->lock, NULL);
    pthread_cond_init(&hot->work, &monotonic);
    pthread_cond_init(&hot->idle, NULL);
    pthread_condattr_destroy(&monotonic);
    ((struct jit_engine *)engine->jit_data)->hot = hot;
    return ATOLL_OK;
}

void jit_hot_free(struct jit_engine *engine) {
    struct jit_hot *hot = engine->hot;
    if (!hot) return;
    pthread_mutex_lock(&hot->lock);
    hot->ending = true;
    pthread_cond_signal(&hot->work);
    pthread_mutex_unlock(&hot->lock);
    if (hot->started) pthread_join(hot->thread, NULL);
    pthread_cond_destroy(&hot->work);
    pthread_cond_destroy(&hot->idle);
    pthread_mutex_destroy(&hot->lock);
    atoll_free(hot->alloc, hot, sizeof *hot);
    engine->hot = NULL;
}

void jit_hot_lock(const struct jit_engine *engine) {
    if (engine->hot) pthread_mutex_lock(&engine->hot->lock);
}
void jit_hot_unlock(const struct jit_engine *engine) {
    if (engine->hot) pthread_mutex_unlock(&engine->hot->lock);
}

bool jit_is_ready(const struct jit_module *jit, uint32_t own) {
    return jit->heat ? jit->heat[own].state == READY : jit->compiled;
}

bool jit_is_decided(const struct jit_module *jit, uint32_t own) {
    return jit->heat ? jit->heat[own].state >= READY : jit->compiled;
}

/* ---- instances and modules ---- */

static void take_saved(struct rt_module *module) {
    struct jit_module *jit = module->jit_data;
    if (!jit_restore_saved(module)) return;
    for (uint32_t i = 0; i < jit_n_own(module); i++)
        if (jit_saved_waits(jit, i))
            jit->heat[i].state = READY;
        else if (jit->codes[i].module)
            jit->heat[i].state = jit->codes[i].size ? READY : DECLINED;
}

void jit_hot_cool(struct jit_module *jit, uint32_t own) {
    if (jit->heat) jit->heat[own].state = COLD;
}

enum atoll_status jit_hot_prepare(struct rt_instance *instance) {
    struct jit_hot *hot = jit_engine_of(instance->store)->hot;
    struct rt_module *module = instance->module;
    enum atoll_status status = jit_module_open(instance);
    if (status) return status;
    struct jit_module *jit = module->jit_data;
    struct link *link = atoll_new(hot->alloc, 1, sizeof *link);
    if (!link) return ATOLL_E_NOMEM;
    pthread_mutex_lock(&jit->lock);
    pthread_mutex_lock(&hot->lock);
    if (!jit->heat) jit->heat = atoll_new(hot->alloc, jit_n_own(module) + 1u, sizeof *jit->heat);
    if (!jit->layout.codes)
        jit->layout.codes = jit->codes; /* once: the engine's thread reads it as it compiles */
    if (jit->heat) {
        take_saved(module);
        *link = (struct link){.instance = instance, .next = hot->instances};
        if (link->next) link->next->previous = link;
        hot->instances = link;
        instance->tier_data = link;
        jit_use_all(instance);
        start_thread(hot);
        hot->asked = true;
        pthread_cond_signal(&hot->work);
    }
    pthread_mutex_unlock(&hot->lock);
    pthread_mutex_unlock(&jit->lock);
    if (instance->tier_data) return ATOLL_OK;
    atoll_free(hot->alloc, link, sizeof *link);
    return ATOLL_E_NOMEM;
}

void jit_hot_instance_free(struct rt_instance *instance) {
    struct jit_hot *hot = jit_engine_of(instance->store)->hot;
    struct link *link = instance->tier_data;
    pthread_mutex_lock(&hot->lock);
    *(link->previous ? &link->previous->next : &hot->instances) = link->next;
    if (link->next) link->next->previous = link->previous;
    pthread_mutex_unlock(&hot->lock);
    atoll_free(hot->alloc, link, sizeof *link);
    instance->tier_data = NULL;
}

static void drop_jobs(struct jit_hot *hot, const struct rt_module *module) {
    struct job **link = &hot->first;
    while (*link) {
        struct job *job = *link;
        if (job->module != module) {
            link = &job->next;
            continue;
        }
        *link = job->next;
        atoll_free(hot->alloc, job, sizeof *job);
    }
    hot->end = link;
}

/* What functions have goes with the module. */
static void free_loops(struct rt_module *module) {
    struct jit_module *jit = module->jit_data;
    struct jit_engine *engine = module->engine->jit_data;
    pthread_mutex_lock(&engine->lock);
    jit_index_remove(engine, module);
    for (struct jit_loop *l = jit->loops, *next; l; l = next) {
        next = l->next;
        if (l->code.start) jit_memory_give_back(&engine->memory, l->code.start, l->code.size);
        jit_code_fini(engine->alloc, &l->code);
        atoll_free(engine->alloc, l, sizeof *l);
    }
    pthread_mutex_unlock(&engine->lock);
    jit->loops = NULL;
}

void jit_hot_forget(struct rt_module *module) {
    struct jit_module *jit = module->jit_data;
    struct jit_hot *hot = ((struct jit_engine *)module->engine->jit_data)->hot;
    if (!hot) return;
    pthread_mutex_lock(&hot->lock);
    drop_jobs(hot, module);
    while (hot->compiling == module) {
        atomic_store(&hot->stop, 1);
        pthread_cond_wait(&hot->idle, &hot->lock);
    }
    pthread_mutex_unlock(&hot->lock);
    free_loops(module);
    atoll_free(hot->alloc, jit->heat, (jit_n_own(module) + 1u) * sizeof *jit->heat);
    jit->heat = NULL;
}

/* ---- what the program tells ---- */

/* The caller holds the lock. */
static void want(struct jit_hot *hot, struct rt_module *module, uint32_t func, struct jit_loop *loop,
                 uint8_t *state) {
    struct job *job = atoll_new(hot->alloc, 1, sizeof *job);
    if (!job) return;
    *job = (struct job){.module = module, .func = func, .loop = loop};
    *state = WANTED;
    if (hot->at_once) {
        run_job(hot, job);
        atoll_free(hot->alloc, job, sizeof *job);
        return;
    }
    *hot->end = job;
    hot->end = &job->next;
}

/* Known, or new and cold; NULL: there are enough of this function. */
static struct jit_loop *loop_of(struct jit_hot *hot, struct rt_module *module, uint32_t func,
                                uint32_t offset) {
    struct jit_module *jit = module->jit_data;
    unsigned n = 0;
    for (struct jit_loop *l = jit->loops; l; l = l->next) {
        if (l->func != func) continue;
        if (l->offset == offset) return l;
        n++;
    }
    struct jit_loop *loop = n < LOOPS_A_FUNCTION ? atoll_new(hot->alloc, 1, sizeof *loop) : NULL;
    if (!loop) return NULL;
    *loop = (struct jit_loop){.next = jit->loops, .func = func, .offset = offset, .state = COLD};
    jit->loops = loop;
    return loop;
}

/* A function is wanted when it is seen; one of its loops when that was of no use, since the program has not left
 * it. */
static const void *consider(struct jit_hot *hot, struct rt_module *module, uint32_t func, uint32_t offset) {
    struct jit_heat *heat = heat_of(module, func);
    bool known = heat->seen > 0;
    if (heat->state == DECLINED) return NULL;
    if (heat->seen < UINT8_MAX) __atomic_store_n(&heat->seen, heat->seen + 1, __ATOMIC_RELAXED);
    if (heat->state == COLD && (!hot->at_once || (known && offset == BC_NONE)))
        want(hot, module, func, NULL, &heat->state);
    if (offset == BC_NONE || (!known && !hot->at_once)) return NULL;
    struct jit_loop *loop = loop_of(hot, module, func, offset);
    if (loop && loop->state == COLD) want(hot, module, func, loop, &loop->state);
    return loop && loop->state == READY ? loop->code.start : NULL;
}

const void *jit_hot(struct rt_store *store, struct rt_func *func, uint32_t loop) {
    struct jit_hot *hot = jit_engine_of(store)->hot;
    struct rt_instance *instance = func->instance;
    if (!instance->tier_data) return NULL;
    pthread_mutex_lock(&hot->lock);
    const void *code = consider(hot, instance->module, func->index, loop);
    hot->asked = true;
    pthread_cond_signal(&hot->work);
    pthread_mutex_unlock(&hot->lock);
    return code;
}
