/* sysvm/cpu/soft/engine.c: the software CPU behind the table of engines: processors, their sleep, what they ask of
 * the rest of the machine, doorbells. */
#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sysvm/cpu/soft/blocks.h"
#include "sysvm/cpu/soft/code.h"
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/system.h"
#include "sysvm/cpu/soft/vector.h"
#include "sysvm/cpu/translate/translate.h"

/* ---- sleep ---- */

/* The order of the two stores and loads here and in soft_wake: one of both sides sees the other. */
void soft_sleep(struct soft_cpu *cpu) {
    atomic_store(&cpu->sleeps, 1);
    while (!atomic_load(&cpu->requests))
        syscall(SYS_futex, &cpu->requests, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    atomic_store(&cpu->sleeps, 0);
}

void soft_wake(struct soft_cpu *cpu, uint32_t requests) {
    atomic_fetch_or(&cpu->requests, requests);
    if (atomic_load(&cpu->sleeps)) syscall(SYS_futex, &cpu->requests, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void request(void *context, unsigned index, enum soft_wish wish) {
    static const uint32_t requests[] = {[SOFT_WISH_INTERRUPT] = SOFT_REQUEST_INTERRUPT,
                                        [SOFT_WISH_NMI] = SOFT_REQUEST_NMI,
                                        [SOFT_WISH_INIT] = SOFT_REQUEST_INIT,
                                        [SOFT_WISH_SIPI] = SOFT_REQUEST_SIPI};
    struct soft_engine *engine = context;
    struct soft_cpu *cpu = engine->cpus[index];
    if (!cpu) return;
    if (wish == SOFT_WISH_NMI && atomic_load(&cpu->nmis) < 2) atomic_fetch_add(&cpu->nmis, 1);
    soft_wake(cpu, requests[wish]);
}

/* ---- start of processors ---- */

void soft_take_init(struct soft_cpu *cpu) {
    pthread_mutex_lock(&cpu->engine->chips.lock);
    soft_apic_init(cpu->apic);
    pthread_mutex_unlock(&cpu->engine->chips.lock);
    soft_reset(cpu, true);
    soft_debug_changed(cpu);
    cpu->waits_for_sipi = cpu->index != 0;
}

void soft_take_sipi(struct soft_cpu *cpu) {
    if (!cpu->waits_for_sipi) return;
    uint8_t vector = cpu->apic->sipi_vector;
    struct vm_segment *cs = cpu->segments + VM_CS;
    cs->selector = (uint16_t)(vector << 8);
    cs->base = (uint64_t)vector << 12;
    cpu->rip = 0;
    cpu->waits_for_sipi = cpu->halted = cpu->redelivers = false;
    soft_mode_changed(cpu);
}

/* ---- accesses outside ---- */

static bool answer_here(struct soft_engine *engine, const struct vm_exit *access) {
    uint32_t value = 0;
    if (access->kind == VM_EXIT_PORT) {
        memcpy(&value, access->data, access->n_bytes);
        if (!soft_chips_port(&engine->chips, (uint16_t)access->address, access->n_bytes, access->is_write,
                             &value))
            return false;
        if (!access->is_write) memcpy(access->data, &value, access->n_bytes);
        return true;
    }
    if (access->address >> 12 == VM_IOAPIC_BASE >> 12) {
        uint32_t offset = access->address & 0xFFF;
        memset(access->is_write ? (void *)&value : access->data, 0, access->is_write ? 4 : access->n_bytes);
        if (access->n_bytes != 4) return true;
        if (access->is_write) {
            memcpy(&value, access->data, 4);
            soft_ioapic_write(&engine->chips, offset, value);
        } else {
            value = soft_ioapic_read(&engine->chips, offset);
            memcpy(access->data, &value, 4);
        }
        return true;
    }
    return access->is_write && soft_doorbell_ring(&engine->doorbells, access->address, access->n_bytes);
}

/* Nobody serves at once: the answer is here already, or the processor has to leave for it. */
static bool answer_from_outside(struct soft_cpu *cpu, const struct vm_exit *access) {
    struct soft_leave *leave = &cpu->leave;
    if (leave->n_used < leave->n_done) {
        if (!access->is_write) memcpy(access->data, leave->answers[leave->n_used], access->n_bytes);
        leave->n_used++;
        return true;
    }
    if (leave->n_done ==
        SOFT_LEAVE_MAX) { /* no instruction has so many, but for those that can be taken up again */
        memset(access->data, 0xFF, access->is_write ? 0 : access->n_bytes);
        return true;
    }
    leave->exit = *access;
    leave->exit.data = leave->data;
    memset(leave->data, 0xFF, sizeof leave->data);
    if (access->is_write) memcpy(leave->data, access->data, access->n_bytes);
    cpu->fault = (struct soft_fault){.vector = SOFT_LEAVE};
    return false;
}

bool soft_serve(struct soft_cpu *cpu, enum vm_exit_kind kind, uint64_t address, void *data, unsigned n_bytes,
                bool is_write) {
    struct vm_exit access = {
        .kind = kind, .is_write = is_write, .address = address, .n_bytes = n_bytes, .count = 1, .data = data};
    const struct vm_engine_config *config = &cpu->engine->config;
    if (answer_here(cpu->engine, &access)) return true;
    if (!config->serve) return answer_from_outside(cpu, &access);
    if (!is_write) memset(data, 0xFF, n_bytes);
    config->serve(config->context, &access);
    return true;
}

void soft_leave_return(struct soft_cpu *cpu) {
    struct soft_leave *leave = &cpu->leave;
    if (leave->is_out) memcpy(leave->answers[leave->n_done++], leave->data, sizeof leave->data);
    leave->is_out = false;
    leave->n_used = 0;
}

/* ---- the table ---- */

static void wrote(void *engine, uint64_t gpa, uint64_t n_bytes) { soft_code_written(engine, gpa, n_bytes); }

static void destroy(void *object) {
    struct soft_engine *engine = object;
    vm_memory_set_watcher(engine->config.memory, NULL, NULL);
    if (engine->has_chips) soft_chips_fini(&engine->chips);
    soft_doorbell_fini(&engine->doorbells);
    soft_code_free(engine->code);
    soft_natives_free(engine->natives);
    pthread_mutex_destroy(&engine->split_lock);
    atoll_free(engine->config.alloc, engine, sizeof *engine);
}

static enum atoll_status set_up(struct soft_engine *engine, struct atoll_error *err) {
    const struct vm_engine_config *config = &engine->config;
    struct soft_chips_config chips = {.alloc = config->alloc,
                                      .n_cpus = config->n_cpus,
                                      .request = request,
                                      .context = engine,
                                      .manual_ns = config->counts ? &engine->counted_ns : NULL,
                                      .thread_starts = config->thread_starts,
                                      .thread_context = config->context};
    engine->code = soft_code_new(config->alloc, config->memory);
    if (!engine->code) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    if (soft_natives_new(config->alloc, &engine->natives))
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "no memory for the software CPU's code: %s",
                          strerror(errno));
    vm_memory_set_watcher(config->memory, wrote, engine);
    engine->has_chips = true;
    return soft_chips_init(&engine->chips, &chips, err);
}

static enum atoll_status create(const struct vm_engine_config *config, void **out_engine,
                                struct atoll_error *err) {
    if (config->n_cpus > VM_CPUS_MAX)
        return atoll_fail(err, ATOLL_E_LIMIT, ATOLL_NO_OFFSET, "the software CPU has at most %d processors",
                          VM_CPUS_MAX);
    if (config->counts && config->n_cpus > 1)
        return atoll_fail(err, ATOLL_E_UNSUPPORTED, ATOLL_NO_OFFSET,
                          "instructions are counted of one processor, not of %u", config->n_cpus);
    struct soft_engine *engine = atoll_new(config->alloc, 1, sizeof *engine);
    if (!engine) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    engine->config = *config;
    engine->counts = config->counts;
    soft_host_ask(&engine->host);
    pthread_mutex_init(&engine->split_lock, NULL);
    soft_doorbell_init(&engine->doorbells, config->alloc);
    enum atoll_status status = set_up(engine, err);
    if (status != ATOLL_OK)
        destroy(engine);
    else
        *out_engine = engine;
    return status;
}

/* Registers of the FPU stand at a multiple of 64 bytes, which allocators do not promise. */
struct room {
    char *start; /* of what was allocated */
    _Alignas(64) struct soft_cpu cpu;
};
enum { ROOM = sizeof(struct room) + 64 };

static struct soft_cpu *new_cpu(struct soft_engine *engine, unsigned index) {
    char *start = atoll_new(engine->config.alloc, 1, ROOM);
    if (!start) return NULL;
    struct room *room = (struct room *)(start + (64 - (uintptr_t)start % 64));
    room->start = start;
    room->cpu.engine = engine;
    room->cpu.index = index;
    room->cpu.apic = engine->chips.apics + index;
    return &room->cpu;
}

static void vcpu_free(void *object) {
    struct soft_cpu *cpu = object;
    struct soft_engine *engine = cpu->engine;
    pthread_mutex_lock(&engine->chips.lock); /* a timer may be asking it for something */
    engine->cpus[cpu->index] = NULL;
    pthread_mutex_unlock(&engine->chips.lock);
    soft_translator_free(cpu->translator);
    soft_blocks_free(cpu->blocks);
    atoll_free(engine->config.alloc, ((struct room *)((char *)cpu - offsetof(struct room, cpu)))->start,
               ROOM);
}

static enum atoll_status vcpu_new(void *object, unsigned index, void **out_vcpu, struct atoll_error *err) {
    struct soft_engine *engine = object;
    struct soft_blocks *blocks = soft_blocks_new(engine->config.alloc);
    struct soft_cpu *cpu = blocks ? new_cpu(engine, index) : NULL;
    if (!cpu) {
        soft_blocks_free(blocks);
        return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    }
    cpu->blocks = blocks;
    cpu->translator = soft_translator_new(engine->config.alloc, cpu);
    soft_reset(cpu, false);
    soft_debug_changed(cpu);
    cpu->waits_for_sipi = index != 0;
    pthread_mutex_lock(&engine->chips.lock);
    engine->cpus[index] = cpu;
    pthread_mutex_unlock(&engine->chips.lock);
    *out_vcpu = cpu;
    return ATOLL_OK;
}

static void run(void *vcpu, struct vm_exit *out_exit) { soft_run(vcpu, out_exit); }
static void kick(void *vcpu) { soft_wake(vcpu, SOFT_REQUEST_KICK); }

static int get_state(void *vcpu, struct vm_cpu_state *out) {
    const struct soft_cpu *cpu = vcpu;
    *out = (struct vm_cpu_state){.rip = cpu->rip,
                                 .rflags = cpu->rflags,
                                 .gdt = {cpu->gdt.base, cpu->gdt.limit},
                                 .idt = {cpu->idt.base, cpu->idt.limit},
                                 .cr0 = cpu->cr0,
                                 .cr2 = cpu->cr2,
                                 .cr3 = cpu->cr3,
                                 .cr4 = cpu->cr4,
                                 .cr8 = soft_apic_cr8(cpu->apic),
                                 .efer = cpu->efer,
                                 .kernel_gs_base = cpu->msrs.kernel_gs_base};
    memcpy(out->gpr, cpu->gpr, sizeof out->gpr);
    memcpy(out->segments, cpu->segments, sizeof out->segments);
    return 0;
}

static int set_state(void *vcpu, const struct vm_cpu_state *state) {
    struct soft_cpu *cpu = vcpu;
    memcpy(cpu->gpr, state->gpr, sizeof cpu->gpr);
    memcpy(cpu->segments, state->segments, sizeof cpu->segments);
    if (cpu->rip != state->rip) cpu->halted = cpu->redelivers = false;
    cpu->rip = state->rip;
    cpu->rflags = state->rflags | SOFT_FLAG_ONE;
    cpu->gdt.base = state->gdt.base, cpu->gdt.limit = state->gdt.limit;
    cpu->idt.base = state->idt.base, cpu->idt.limit = state->idt.limit;
    cpu->cr0 = state->cr0, cpu->cr2 = state->cr2, cpu->cr3 = state->cr3, cpu->cr4 = state->cr4;
    cpu->efer = state->efer;
    cpu->msrs.kernel_gs_base = state->kernel_gs_base;
    bool real = !(cpu->cr0 & SOFT_CR0_PE);
    cpu->cpl = real ? 0 : cpu->rflags & SOFT_VM ? 3 : state->segments[VM_SS].access >> 5 & 3;
    cpu->interrupt_shadow = false;
    cpu->leave = (struct soft_leave){0};
    soft_apic_set_cr8(cpu->apic, (uint8_t)(state->cr8 & 15));
    soft_tlb_flush(cpu, true);
    soft_tlb_enter_space(cpu, soft_pcid(cpu), true);
    soft_mode_changed(cpu);
    return 0;
}

static int get_fp(void *vcpu, struct vm_fp_state *out) {
    soft_fp_get(vcpu, out);
    return 0;
}
static int set_fp(void *vcpu, const struct vm_fp_state *state) {
    return soft_fp_set(vcpu, state) ? 0 : EINVAL;
}

static int set_debug(void *vcpu, const struct vm_debug_spec *spec) {
    struct soft_cpu *cpu = vcpu;
    cpu->debug.spec = *spec;
    cpu->debug.has_stop = false;
    soft_debug_changed(cpu);
    return 0;
}

static uint64_t clock_ns(void *engine) {
    return soft_clock_now(&((struct soft_engine *)engine)->chips.clock);
}

static void line(void *engine, unsigned gsi, bool level) {
    soft_chips_line(&((struct soft_engine *)engine)->chips, gsi, level);
}
static void msi(void *engine, uint64_t address, uint32_t data) {
    soft_chips_message(&((struct soft_engine *)engine)->chips, address, data);
}
static int doorbell(void *engine, uint64_t gpa, unsigned n_bytes, int eventfd, bool on) {
    return soft_doorbell_set(&((struct soft_engine *)engine)->doorbells, gpa, n_bytes, eventfd, on);
}

const struct vm_engine_ops vm_engine_soft = {.name = "soft",
                                             .irq = {.line = line, .msi = msi, .doorbell = doorbell},
                                             .create = create,
                                             .destroy = destroy,
                                             .vcpu_new = vcpu_new,
                                             .vcpu_free = vcpu_free,
                                             .run = run,
                                             .get_state = get_state,
                                             .set_state = set_state,
                                             .get_fp = get_fp,
                                             .set_fp = set_fp,
                                             .set_debug = set_debug,
                                             .clock_ns = clock_ns,
                                             .kick = kick};
