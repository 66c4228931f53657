/* tests/fuzz/fuzz_soft.c: any bytes as code of the software CPU, in any mode: decoded and run a bounded number of steps,
 * with the bytes themselves as stack, tables and data wherever they are found. Nothing may crash, hang or take memory.
 *
 *   input   u8 mode: bits 0..1 real, flat 32-bit, 64-bit, 64-bit user mode; bit 2: vector units off
 *           u8 seed of the registers, then code, laid out again and again over the first pages of memory */
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/system.h"
#include "sysvm/cpu/soft/vector.h"
#include "tests/fuzz/fuzz.h"

enum { MEMORY_BYTES = 4 << 20, CODE = 0x20000, CODE_BYTES = 0x8000, STEPS_MAX = 400 };
enum { REAL, FLAT32, LONG, LONG_USER, MODES = 3, UNITS_OFF = 4 };

static struct vm_memory *memory;
static struct fuzz_alloc alloc;
static struct soft_cpu *cpu;

/* Every port and device answers by the address it is asked at. */
static void serve(void *context, const struct vm_exit *exit) {
    (void)context;
    FUZZ_CHECK(exit->n_bytes >= 1 && exit->n_bytes <= 8);
    if (!exit->is_write) memset(exit->data, (int)(exit->address & 0xFF), (size_t)exit->n_bytes * exit->count);
}

static void open_once(void) {
    void *engine, *vcpu;
    if (cpu) return;
    fuzz_alloc_init(&alloc, UINT64_MAX);
    FUZZ_CHECK(!vm_memory_new(&atoll_default_alloc, MEMORY_BYTES, &memory, NULL));
    struct vm_engine_config config = {.alloc = &alloc.alloc, .memory = memory, .n_cpus = 1, .serve = serve};
    FUZZ_CHECK(!vm_engine_soft.create(&config, &engine, NULL));
    FUZZ_CHECK(!vm_engine_soft.vcpu_new(engine, 0, &vcpu, NULL));
    cpu = vcpu;
}

static void set_registers(struct vm_cpu_state *state, const uint8_t *data, size_t size) {
    uint64_t hash = fuzz_hash(FUZZ_HASH_START, data, size < 2 ? size : 2);
    for (unsigned i = 0; i < 16; i++) {
        hash = fuzz_hash(hash, &i, sizeof i);
        state->gpr[i] = hash & 1 ? CODE + (hash >> 8 & 0xFFFF) : hash >> (hash >> 2 & 63);
    }
}

static void set_units(unsigned mode, const uint8_t *data, size_t size) {
    cpu->cr0 |= SOFT_CR0_NE | SOFT_CR0_MP;
    if (mode & UNITS_OFF) {
        cpu->cr0 |= SOFT_CR0_TS;
        return;
    }
    cpu->cr4 |= SOFT_CR4_OSFXSR | SOFT_CR4_OSXMMEXCPT | SOFT_CR4_OSXSAVE;
    cpu->xcr0 = 7;
    soft_fp_reset(cpu);
    for (unsigned at = 32; at < SOFT_FP_BYTES && size;
         at++) /* registers alone: the words in front have rules */
        if (at < 160 + 256 || at >= SOFT_FP_YMM_HIGH) cpu->fp[at] = data[at % size];
    for (unsigned i = 0; i < 8; i++) memset(cpu->fp + 32 + i * 16 + 10, 0, 6);
}

/* The loader's page tables are the kernel's alone. */
static void open_to_users(void) {
    enum { TABLES_BYTES = 6 * 4096, PRESENT = 1, USER = 4 };
    uint64_t *entries = vm_memory_at(memory, VM_BOOT_TABLES, TABLES_BYTES);
    for (unsigned i = 0; i < TABLES_BYTES / sizeof *entries; i++)
        if (entries[i] & PRESENT) entries[i] |= USER;
}

static void set_state(unsigned mode, const uint8_t *data, size_t size) {
    struct vm_cpu_state state;
    unsigned which = mode & MODES;
    if (which == REAL)
        vm_state_real(&state, CODE >> 4, 0);
    else if (which == FLAT32)
        vm_state_flat32(&state, CODE);
    else
        FUZZ_CHECK(vm_state_long(&state, memory, CODE));
    set_registers(&state, data, size);
    FUZZ_CHECK(!vm_engine_soft.set_state(cpu, &state));
    set_units(mode, data, size);
    if (which == LONG_USER) {
        open_to_users();
        cpu->cpl = 3;
    }
    soft_mode_changed(cpu);
    soft_tlb_flush(cpu, true);
}

static void run(void) {
    for (unsigned i = 0; i < STEPS_MAX; i++) {
        enum soft_step step = soft_step_one(cpu);
        FUZZ_CHECK(step <= SOFT_END);
        if (step == SOFT_HALT) return;
        cpu->halted = false;
        if (step == SOFT_FAULT && !soft_deliver(cpu, SOFT_EVENT_FAULT, cpu->fault.vector)) return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) return 0;
    open_once();
    uint8_t *host = vm_memory_at(memory, 0, MEMORY_BYTES);
    memset(host, 0, MEMORY_BYTES);
    for (size_t at = 0; at < CODE_BYTES; at++) host[CODE + at] = data[2 + at % (size - 2)];
    for (size_t at = 0; at < 0x1000; at++) host[at] = data[2 + at % (size - 2)]; /* vectors of real mode */
    set_state(data[0], data + 1, size - 1);
    int64_t in_use = alloc.n_bytes;
    run();
    /* Forms of instructions are kept, and there are at most as many as the engine bounds them to. */
    FUZZ_CHECK(alloc.n_bytes - in_use < 1 << 20);
    return 0;
}
