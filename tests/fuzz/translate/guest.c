/* tests/fuzz/translate/guest.c: the guest's memory and registers as an input has them. */
#include "tests/fuzz/translate/guest.h"
#include <Zydis/Zydis.h>
#include "sysvm/cpu/soft/code.h"
#include "sysvm/cpu/soft/native.h"
#include "sysvm/cpu/translate/translate.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/translate/internal.h"

static struct guest guest;
struct guest *guest_get(void) {
    return &guest;
}

/* ---- a machine ---- */

/* A device answers by the address and by what was written before: each access counts, and their order. */
static void serve(void *context, const struct vm_exit *exit) {
    struct guest *g = context;
    const uint64_t what[] = {exit->kind, exit->is_write, exit->address, exit->n_bytes, exit->count};
    g->devices = fuzz_hash(g->devices, what, sizeof what);
    if (exit->is_write)
        g->devices = fuzz_hash(g->devices, exit->data, (size_t)exit->n_bytes * exit->count);
    else
        memset(exit->data, (int)(g->devices & 0xFF), (size_t)exit->n_bytes * exit->count);
}

static void close_machine(struct guest *g) {
    if (!g->cpu) return;
    vm_engine_soft.vcpu_free(g->cpu);
    vm_engine_soft.destroy(g->engine);
    g->cpu = NULL;
}

static void open_machine(struct guest *g) {
    void *engine, *cpu;
    if (!g->memory) FUZZ_CHECK(!vm_memory_new(&atoll_default_alloc, VM_MEMORY_MIN, &g->memory, NULL));
    struct vm_engine_config config = {
        .alloc = &atoll_default_alloc, .memory = g->memory, .n_cpus = 1, .serve = serve, .context = g};
    FUZZ_CHECK(!vm_engine_soft.create(&config, &engine, NULL));
    FUZZ_CHECK(!vm_engine_soft.vcpu_new(engine, 0, &cpu, NULL));
    g->engine = engine;
    g->cpu = cpu;
    guest_take_state(g->cpu, &g->reset);
    g->is_spoilt = false;
}

/* ---- memory ---- */

enum { PRESENT = 1, WRITE = 2, USER = 4, ACCESSED = 32, DIRTY = 64 };
static bool is_32(const struct guest *g) { return g->header.step & GUEST_32; }

/* Without a 64-bit kernel, where exceptions end the run: its gates have another format. */
static bool is_protected(const struct guest *g) {
    return is_32(g) && !(g->header.mode & GUEST_DELIVERS) && g->seed & 32;
}

uint64_t guest_code_at(const struct guest *g, uint64_t offset) {
    const bool is_at_end = is_32(g) && g->header.step & GUEST_AT_END;
    return is_at_end ? (uint32_t)(offset - 2 * VM_PAGE) : CASE_CODE + offset;
}

enum {
    TABLES = 0x1000,
    PAE_TABLES = 0xA000,
    CODE = 0x10000,
    DATA = 0x20000,
    PAGE = 4096,
    DEVICE = 0x80000000
};
#define NO_EXECUTE (UINT64_C(1) << 63)

static uint8_t *at(struct guest *g, uint64_t gpa) {
    return (uint8_t *)vm_memory_at(g->memory, 0, GUEST_BYTES) + gpa;
}

static void put64(struct guest *g, uint64_t gpa, uint64_t value) { memcpy(at(g, gpa), &value, 8); }

static uint64_t code_page(unsigned i) { return CODE + (GUEST_CODE_PAGES - 1 - i) * (uint64_t)PAGE; }

/* No two that follow each other do so in physical memory. */
static uint64_t data_frame(unsigned i) { return DATA + i * 5 % GUEST_PAGES * (uint64_t)PAGE; }

static uint64_t data_page(unsigned i) {
    switch ((enum guest_page)i) {
    case GUEST_HOLE: return 0;
    case GUEST_DATA_AGAIN:
        return data_frame(GUEST_DATA) | PRESENT | USER | ACCESSED | WRITE | DIRTY | NO_EXECUTE;
    case GUEST_CODE_AGAIN: return code_page(0) | PRESENT | USER | ACCESSED | WRITE | DIRTY;
    case GUEST_DEVICE: return DEVICE | PRESENT | USER | ACCESSED | WRITE | DIRTY;
    case GUEST_CLEAN: return data_frame(i) | PRESENT | USER | WRITE | NO_EXECUTE;
    case GUEST_READ_ONLY: return data_frame(i) | PRESENT | USER | ACCESSED;
    case GUEST_KERNEL:
    case GUEST_STACK: return data_frame(i) | PRESENT | ACCESSED | WRITE | DIRTY | NO_EXECUTE;
    case GUEST_TABLES:
    case GUEST_GATES:
    case GUEST_HANDLERS: return data_frame(i) | PRESENT | ACCESSED;
    default: return data_frame(i) | PRESENT | USER | ACCESSED | WRITE | DIRTY | NO_EXECUTE;
    }
}

/* Both regions begin at a multiple of 2 MiB, in one of 512 GiB. */
static void put_page_tables(struct guest *g) {
    enum {
        LEVEL_3 = TABLES + PAGE,
        LEVEL_2 = LEVEL_3 + PAGE,
        OF_CODE = LEVEL_2 + PAGE,
        OF_DATA = OF_CODE + PAGE,
        HIGH = OF_DATA + PAGE,
        LOW = HIGH + 2 * PAGE
    };
    const uint64_t up = PRESENT | WRITE | USER | ACCESSED;
    const bool writable = g->header.mode & GUEST_WRITABLE;
    put64(g, TABLES, LEVEL_3 | up);
    put64(g, LEVEL_3 + (CASE_CODE >> 30) * 8, LEVEL_2 | up);
    put64(g, LEVEL_2 + (CASE_CODE >> 21 & 511) * 8, OF_CODE | up);
    put64(g, LEVEL_2 + (CASE_DATA >> 21 & 511) * 8, OF_DATA | up);
    _Static_assert(GUEST_FAR % (SOFT_TLB_ENTRIES * PAGE) == 0, "the same places in the TLB");
    put64(g, LEVEL_2 + ((CASE_DATA + GUEST_FAR) >> 21 & 511) * 8, OF_DATA | up);
    for (unsigned i = 0; i < GUEST_CODE_PAGES; i++)
        put64(g, OF_CODE + i * 8, code_page(i) | PRESENT | USER | ACCESSED | (writable ? WRITE | DIRTY : 0));
    /* Where 4 GiB end, and at 0. */
    for (unsigned i = 0; g->header.step & GUEST_AT_END && i < GUEST_CODE_PAGES; i++) {
        const uint64_t linear = (uint32_t)((i - 2) * VM_PAGE), tables = i < 2 ? HIGH : LOW;
        put64(g, LEVEL_3 + (linear >> 30) * 8, tables | up);
        put64(g, tables + (linear >> 21 & 511) * 8, (tables + PAGE) | up);
        put64(g, tables + PAGE + (linear >> 12 & 511) * 8,
              code_page(i) | PRESENT | USER | ACCESSED | (writable ? WRITE | DIRTY : 0));
    }
    for (unsigned i = 0; i < GUEST_PAGES; i++) put64(g, OF_DATA + i * 8, data_page(i));
    /* PAE: the same from level 3 on, whose entries have no rights. */
    for (unsigned i = 0; is_protected(g) && i < 4; i++) {
        uint64_t entry;
        memcpy(&entry, at(g, LEVEL_3 + i * 8), 8);
        put64(g, PAE_TABLES + i * 8, entry & ~(uint64_t)(WRITE | USER | ACCESSED));
    }
}

static uint64_t data_address(unsigned page) { return CASE_DATA + page * (uint64_t)PAGE; }

enum { BUDGET_AT = 16, FAULTS_MAX = 60, HALT_AT = 0x200 }; /* of exceptions that are delivered */
enum {
    TSS_AT = 0x100,
    TSS_BYTES = 0x68,
    KERNEL_CODE = 8,
    USER_CODE = 0x2B,
    USER_DATA = 0x23,
    TSS_SELECTOR = 0x30,
    USER_CODE_32 = 0x1B,
    KERNEL_CODE_32 = 0x40
};

static void put_tables(struct guest *g) {
    static const uint64_t descriptors[] = {0,
                                           UINT64_C(0x00AF9B000000FFFF), /* the kernel's code, data */
                                           UINT64_C(0x00CF93000000FFFF),
                                           UINT64_C(0x00CFFB000000FFFF), /* users': 32 bits, data, 64 bits */
                                           UINT64_C(0x00CFF3000000FFFF),
                                           UINT64_C(0x00AFFB000000FFFF)};
    put64(g, data_frame(GUEST_TABLES) + KERNEL_CODE_32, UINT64_C(0x00CF9B000000FFFF));
    const uint64_t gdt = data_frame(GUEST_TABLES), tss = data_address(GUEST_TABLES) + TSS_AT;
    for (unsigned i = 0; i < sizeof descriptors / 8; i++) put64(g, gdt + i * 8, descriptors[i]);
    put64(g, gdt + TSS_SELECTOR,
          (TSS_BYTES - 1) | (tss & 0xFFFFFF) << 16 | UINT64_C(0x8B) << 40 | (tss >> 24) << 56);
    put64(g, gdt + TSS_AT + 4, data_address(GUEST_STACK) + PAGE - 1024); /* of level 0 */
    put64(g, gdt + TSS_AT + 36, data_address(GUEST_STACK) + PAGE);       /* the first of IST */
    at(g, gdt + TSS_AT)[0x66] = TSS_BYTES;                               /* no ports */
}

static bool has_error_code(unsigned vector) {
    return vector == SOFT_DOUBLE || (vector >= SOFT_TS && vector <= SOFT_PAGE) || vector == SOFT_ALIGN;
}

/* Users may raise those that `int n` is for; int3 is the end. */
static void put_gates(struct guest *g) {
    for (unsigned vector = 0; vector < 256; vector++) {
        const uint64_t gate = data_frame(GUEST_GATES) + vector * 16;
        const uint64_t handlers = data_address(GUEST_HANDLERS);
        const uint64_t to =
            vector == SOFT_BP ? handlers + HALT_AT : handlers + (has_error_code(vector) ? 0 : 4);
        const uint64_t level = vector >= 32 || vector == SOFT_BP ? 3 : 0, stack = vector == SOFT_DOUBLE;
        put64(g, gate,
              (to & 0xFFFF) | KERNEL_CODE << 16 | stack << 32 | (0x8E | level << 5) << 40 |
                  (to >> 16 & 0xFFFF) << 48);
        put64(g, gate + 8, to >> 32);
    }
}

/* add rsp, 8; dec dword [budget]; jz end; add qword [rsp], step; iretq; end: hlt
 * and for syscall: swapgs; inc qword gs:[8]; swapgs; sysretq */
static void put_handlers(struct guest *g) {
    static const uint8_t fault[] = {0x48, 0x83, 0xC4, 8, 0xFF, 0x0C, 0x25, 0,   0,
                                    0,    0,    0x74, 7, 0x48, 0x83, 0x04, 0x24};
    static const uint8_t back[] = {0x48, 0xCF};
    static const uint8_t call[] = {0x0F, 0x01, 0xF8, 0x65, 0x48, 0xFF, 0x04, 0x25, 8,
                                   0,    0,    0,    0x0F, 0x01, 0xF8, 0x48, 0x0F, 0x07};
    const uint32_t budget = (uint32_t)data_address(GUEST_KERNEL) + BUDGET_AT;
    uint8_t *handlers = at(g, data_frame(GUEST_HANDLERS));
    memset(handlers, 0xF4, PAGE); /* hlt */
    memcpy(handlers, fault, sizeof fault);
    memcpy(handlers + 7, &budget, 4);
    handlers[sizeof fault] = g->header.step & 15;
    memcpy(handlers + sizeof fault + 1, back, sizeof back);
    memcpy(handlers + GUEST_SYSCALL, call, sizeof call);
    put64(g, data_frame(GUEST_KERNEL) + BUDGET_AT, FAULTS_MAX);
}

static void put_memory(struct guest *g) {
    static const uint8_t filled[] = {GUEST_DATA, GUEST_DATA_1, GUEST_READ_ONLY, GUEST_CLEAN, GUEST_KERNEL};
    struct case_random random = {g->seed};
    memset(at(g, 0), 0, GUEST_BYTES);
    put_page_tables(g);
    for (unsigned i = 0; i < sizeof filled; i++)
        for (unsigned offset = 0; offset < PAGE; offset += 8)
            put64(g, data_frame(filled[i]) + offset, case_random(&random) >> (offset >> 3 & 7) * 8);
    put_tables(g);
    put_gates(g);
    put_handlers(g);
    memset(at(g, CODE), 0xCC, GUEST_CODE_PAGES * PAGE);
    for (size_t i = 0; i < g->n_code; i++) {
        const size_t offset = g->start + i;
        at(g, code_page((unsigned)(offset / PAGE)))[offset % PAGE] = g->code[i];
    }
}

/* ---- registers ---- */

static uint64_t register_of(struct case_random *random, const uint8_t bytes[2]) {
    const uint64_t low = bytes[0] | (bytes[1] & 15u) << 8;
    const unsigned kind = bytes[1] >> 4;
    switch (kind) {
    case 9: return CASE_CODE + low;
    case 10: return low;
    case 11: return (uint64_t)0 - low;
    case 12: return (UINT64_C(1) << 47) - 8 + low % 16;
    case 13: return case_random(random);
    case 14: return (uint32_t)case_random(random);
    case 15: return UINT64_C(1) << low % 64;
    default: return data_address(kind) + low;
    }
}

/* Of numbers, and things that are none, in all formats; control words as most programs have them, but sometimes. */
static void put_fp(struct guest *g, struct case_random *random, uint8_t *fp) {
    memset(fp, 0, SOFT_FP_BYTES);
    for (unsigned i = FP_XMM; i < FP_XMM + 256; i++) fp[i] = (uint8_t)(case_random(random) >> 8);
    for (unsigned i = 0; i < 8; i++) {
        fp[32 + i * 16 + 7] = 0x80 | (uint8_t)case_random(random);
        fp[32 + i * 16 + 8] = (uint8_t)case_random(random), fp[32 + i * 16 + 9] = 0x3F;
    }
    if (g->seed & 1)
        for (unsigned i = SOFT_FP_YMM_HIGH; i < SOFT_FP_BYTES; i++)
            fp[i] = (uint8_t)(case_random(random) >> 8);
    fp[FP_FCW] = 0x7F, fp[FP_FCW + 1] = 3;
    fp[4] = g->seed & 2 ? 0xFF : 0;
    fp[FP_MXCSR] = 0x80, fp[FP_MXCSR + 1] = g->seed % 16 == 4 ? 0x5E : 0x1F;
}

static void set_system(struct guest *g, struct guest_state *s) {
    const unsigned mode = g->header.mode;
    s->cr0 = SOFT_CR0_PG | SOFT_CR0_WP | SOFT_CR0_NE | SOFT_CR0_MP | SOFT_CR0_ET | SOFT_CR0_PE;
    if (mode & GUEST_UNITS_OFF) s->cr0 |= SOFT_CR0_TS;
    if (g->seed & 16) s->cr0 |= SOFT_CR0_AM;
    s->cr3 = TABLES;
    s->cr4 = SOFT_CR4_PAE | SOFT_CR4_PGE | SOFT_CR4_OSFXSR | SOFT_CR4_OSXMMEXCPT | SOFT_CR4_OSXSAVE |
             SOFT_CR4_FSGSBASE;
    if (mode & GUEST_SMAP) s->cr4 |= SOFT_CR4_SMAP;
    s->efer = SOFT_EFER_LME | SOFT_EFER_LMA | SOFT_EFER_SCE | SOFT_EFER_NXE;
    if (is_protected(g)) s->efer = SOFT_EFER_NXE, s->cr3 = PAE_TABLES;
    s->xcr0 = 7;
    s->gdt_base = data_address(GUEST_TABLES);
    s->gdt_limit = KERNEL_CODE_32 + 7;
    s->idt_base = data_address(GUEST_GATES);
    s->idt_limit = PAGE - 1;
    s->msrs.star = UINT64_C(0x1B) << 48 | (uint64_t)KERNEL_CODE << 32;
    s->msrs.lstar = data_address(GUEST_HANDLERS) + GUEST_SYSCALL;
    s->msrs.sfmask = SOFT_TF | SOFT_IF | SOFT_DF | SOFT_AC;
    s->msrs.kernel_gs_base = data_address(GUEST_KERNEL);
}

/* What 32-bit code is interpreted with, or asks for in front of each block. */
static void set_other_segment(struct guest *g, struct vm_segment *segments) {
    struct vm_segment *s = segments + g->seed / 8 % 6;
    switch (g->seed % 4) {
    case 0: s->limit = CASE_DATA + 2 * CASE_PAGE - 9; break;
    case 1: s->base = s == segments + VM_CS ? 0 : 16; break;
    case 2:
        if (s != segments + VM_CS && s != segments + VM_SS) *s = (struct vm_segment){.selector = 0};
        break;
    default:
        if (s != segments + VM_CS && s != segments + VM_SS)
            s->access &= (uint16_t)~2u; /* not to be written */
    }
}

static void set_segments(struct guest *g, struct guest_state *s) {
    const bool in_kernel = g->header.mode & GUEST_IN_KERNEL;
    const struct vm_segment code = {.limit = UINT32_MAX,
                                    .selector = in_kernel ? KERNEL_CODE : USER_CODE,
                                    .access = in_kernel ? 0xA09B : 0xA0FB};
    const struct vm_segment data = {
        .limit = UINT32_MAX, .selector = in_kernel ? 0x10 : USER_DATA, .access = in_kernel ? 0xC093 : 0xC0F3};
    for (unsigned i = VM_ES; i <= VM_GS; i++) s->segments[i] = i == VM_CS ? code : data;
    s->segments[VM_FS].base = g->seed & 8 ? 0 : data_address(GUEST_DATA_1);
    s->segments[VM_GS].base = data_address(GUEST_DATA) + 64;
    if (is_32(g)) {
        s->segments[VM_CS].selector = in_kernel ? KERNEL_CODE_32 : USER_CODE_32;
        s->segments[VM_CS].access = in_kernel ? 0xC09B : 0xC0FB;
        if (g->header.step & GUEST_NOT_FLAT) set_other_segment(g, s->segments);
    }
    s->segments[VM_LDT] = (struct vm_segment){.access = 0x82};
    s->segments[VM_TR] = (struct vm_segment){.base = data_address(GUEST_TABLES) + TSS_AT,
                                             .limit = TSS_BYTES - 1,
                                             .selector = TSS_SELECTOR,
                                             .access = 0x8B};
    s->cpl = in_kernel ? 0 : 3;
}

static void set_state(struct guest *g) {
    struct guest_state *s = &g->first;
    struct case_random random = {g->seed ^ 0x5A5A5A};
    *s = g->reset;
    s->halted = false;
    for (unsigned i = 0; i < 16; i++) s->gpr[i] = register_of(&random, g->header.registers[i]);
    if (is_32(g)) s->gpr[VM_RSP] = (uint32_t)s->gpr[VM_RSP]; /* its upper half shows nowhere */
    s->rip = guest_code_at(g, g->start);
    s->rflags = SOFT_FLAG_ONE | (g->header.flags & (SOFT_CF | SOFT_PF | SOFT_AF | SOFT_ZF | SOFT_SF));
    if (g->header.flags & 2) s->rflags |= SOFT_DF;
    if (g->header.flags & 8) s->rflags |= SOFT_AC;
    if (g->header.flags & 32) s->rflags |= SOFT_OF;
    put_fp(g, &random, s->fp);
    set_system(g, s);
    set_segments(g, s);
}

bool guest_load(const uint8_t *data, size_t size) {
    struct guest *g = &guest;
    if (size <= sizeof g->header) return false;
    memcpy(&g->header, data, sizeof g->header);
    g->seed = g->header.seed[0] | (uint64_t)g->header.seed[1] << 8;
    g->start = (g->header.start[0] | g->header.start[1] << 8) % (GUEST_CODE_PAGES * PAGE - GUEST_CODE_MAX);
    g->n_code = size - sizeof g->header < GUEST_CODE_MAX ? size - sizeof g->header : GUEST_CODE_MAX;
    memcpy(g->code, data + sizeof g->header, g->n_code);
    if (g->is_spoilt) close_machine(g);
    if (!g->cpu) open_machine(g);
    put_memory(g);
    memcpy(g->first_memory, at(g, 0), GUEST_BYTES);
    set_state(g);
    return true;
}

void guest_print(void) {
    ZydisDisassembledInstruction d;
    const struct guest *g = &guest;
    const uint64_t first = guest_code_at(g, g->start);
    const ZydisMachineMode machine =
        is_32(g) ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32 : ZYDIS_MACHINE_MODE_LONG_64;
    fprintf(stderr, "  mode %02x, rflags %llx, step %x\n", g->header.mode,
            (unsigned long long)g->first.rflags, g->header.step);
    for (unsigned i = 0; i < 16; i++)
        fprintf(stderr, "  r%u %llx%s", i, (unsigned long long)g->first.gpr[i], i % 4 == 3 ? "\n" : "");
    for (size_t offset = 0; offset < g->n_code; offset += d.info.length) {
        if (ZYAN_SUCCESS(
                ZydisDisassembleIntel(machine, first + offset, g->code + offset, g->n_code - offset, &d))) {
            fprintf(stderr, "  %04x  %s\n", (unsigned)(g->start + offset), d.text);
        } else {
            fprintf(stderr, "  %04x  byte %02x\n", (unsigned)(g->start + offset), g->code[offset]);
            d.info.length = 1;
        }
    }
}
