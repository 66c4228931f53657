/* sysvm/cpu/soft/icount.c: a machine whose time is a function of the instructions that its processor has run.
 *
 * An instruction takes a nanosecond. Timers and interrupts are looked at behind each one, so it does not matter where
 * blocks end or who kicks; there is no thread for timers. A halted processor does not wait for the next timer: the time
 * becomes that timer's. */
#include <sys/random.h>
#include "sysvm/cpu/soft/soft.h"

void soft_count(struct soft_cpu *cpu) {
    cpu->engine->counted_ns = cpu->n_instructions + cpu->engine->skipped_ns;
}

/* Only this thread sets timers: no lock is needed to look. */
static bool timer_is_due(const struct soft_engine *engine) {
    const struct soft_timer *first = engine->chips.clock.first;
    return first && first->deadline_ns <= engine->counted_ns;
}

bool soft_count_due(struct soft_cpu *cpu) {
    return timer_is_due(cpu->engine) || (cpu->rflags & SOFT_IF && soft_apic_is_pending(cpu->apic));
}

static void fire(struct soft_engine *engine) {
    pthread_mutex_lock(&engine->chips.lock);
    soft_clock_run(&engine->chips);
    pthread_mutex_unlock(&engine->chips.lock);
}

void soft_count_run(struct soft_cpu *cpu) {
    if (timer_is_due(cpu->engine)) fire(cpu->engine);
}

/* One that is centuries away is none. */
bool soft_count_skip(struct soft_cpu *cpu) {
    struct soft_engine *engine = cpu->engine;
    const struct soft_timer *first = engine->chips.clock.first;
    if (!first || first->deadline_ns > UINT64_MAX / 4) return false;
    if (first->deadline_ns > engine->counted_ns)
        engine->skipped_ns += first->deadline_ns - engine->counted_ns;
    soft_count(cpu);
    fire(engine);
    return true;
}

/* Counted: a sequence that passes for random (splitmix64), the same each time. */
bool soft_random(struct soft_cpu *cpu, uint64_t *out) {
    if (!cpu->engine->counts) return getrandom(out, sizeof *out, GRND_NONBLOCK) == sizeof *out;
    uint64_t z = cpu->engine->randoms += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    *out = z ^ z >> 31;
    return true;
}
