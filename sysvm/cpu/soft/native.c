/* sysvm/cpu/soft/native.c: the forms of an engine, and how an instruction runs by its form. */
#include <string.h>
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/native.h"
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/soft/system.h"

/* ---- the forms of an engine ---- */

/* A guest can ask for some 10^5 forms, one for each immediate operand: those that find the table full run from a
 * scratch place, which is slow, and right. A form, once in the table, stays. */
enum { FORMS_MAX = 8192, BUCKETS = 2 * FORMS_MAX, CODE_BYTES = (FORMS_MAX + 1) * NATIVE_CODE_MAX };

struct soft_natives {
    const struct atoll_alloc *alloc;
    pthread_mutex_t lock; /* guards all below; buckets are read without it */
    struct jit_memory memory;
    uint8_t *scratch;
    unsigned n_forms;
    _Atomic(struct native_form *) buckets[BUCKETS];
};

enum atoll_status soft_natives_new(const struct atoll_alloc *alloc, struct soft_natives **out) {
    struct soft_natives *natives = atoll_new(alloc, 1, sizeof *natives);
    if (!natives) return ATOLL_E_NOMEM;
    natives->alloc = alloc;
    if (jit_memory_open(&natives->memory, alloc, CODE_BYTES)) {
        atoll_free(alloc, natives, sizeof *natives);
        return ATOLL_E_NOMEM;
    }
    pthread_mutex_init(&natives->lock, NULL);
    natives->scratch = jit_memory_take(&natives->memory, NATIVE_CODE_MAX);
    *out = natives;
    return ATOLL_OK;
}

void soft_natives_free(struct soft_natives *natives) {
    if (!natives) return;
    for (unsigned i = 0; i < BUCKETS; i++)
        atoll_free(natives->alloc, natives->buckets[i], sizeof *natives->buckets[i]);
    jit_memory_close(&natives->memory);
    pthread_mutex_destroy(&natives->lock);
    atoll_free(natives->alloc, natives, sizeof *natives);
}

/* The bucket that holds the form, or the empty one where it belongs. There always is one: at most half are full. */
static unsigned bucket_of(struct soft_natives *natives, const struct native_form *form) {
    uint32_t hash = 2166136261u;
    for (unsigned i = 0; i < form->n_key; i++) hash = (hash ^ form->key[i]) * 16777619u;
    for (unsigned at = (hash ^ hash >> 15) % BUCKETS;; at = (at + 1) % BUCKETS) {
        const struct native_form *found = atomic_load_explicit(&natives->buckets[at], memory_order_acquire);
        if (!found || (found->n_key == form->n_key && !memcmp(found->key, form->key, form->n_key))) return at;
    }
}

static native_code *as_code(uint8_t *at) {
    union {
        uint8_t *bytes;
        native_code *code;
    } both = {at};
    return both.code;
}

static native_code *place(struct soft_natives *natives, const struct native_form *form, uint8_t *at) {
    uint8_t bytes[NATIVE_CODE_MAX];
    unsigned n = native_emit(form, bytes);
    if (!at) at = jit_memory_take(&natives->memory, n);
    if (!at || jit_memory_write(&natives->memory, at, bytes, n)) return NULL;
    return as_code(at);
}

/* Puts the form into the table if there is room. */
static const struct native_form *keep(struct soft_natives *natives, unsigned at,
                                      const struct native_form *form) {
    if (natives->n_forms == FORMS_MAX) return NULL;
    struct native_form *kept = atoll_new(natives->alloc, 1, sizeof *kept);
    if (!kept) return NULL;
    *kept = *form;
    kept->code = place(natives, form, NULL);
    if (!kept->code) {
        atoll_free(natives->alloc, kept, sizeof *kept);
        return NULL;
    }
    natives->n_forms++;
    atomic_store_explicit(&natives->buckets[at], kept, memory_order_release);
    return kept;
}

/* NULL: there was no room for it. */
static const struct native_form *find(struct soft_natives *natives, const struct native_form *form) {
    const struct native_form *found = natives->buckets[bucket_of(natives, form)];
    if (found) return found;
    pthread_mutex_lock(&natives->lock);
    unsigned at = bucket_of(natives, form);
    found = natives->buckets[at];
    if (!found) found = keep(natives, at, form);
    pthread_mutex_unlock(&natives->lock);
    return found;
}

void soft_native_prepare(struct soft_cpu *cpu, struct soft_insn *insn) {
    struct native_form form;
    if (insn->run != soft_native) return;
    if (native_form_of(cpu, insn, &form))
        insn->native = find(cpu->engine->natives, &form);
    else
        insn->run = soft_undefined;
}

bool native_form_call(struct soft_cpu *cpu, const struct native_form *form, struct native_frame *frame) {
    if (form->code) {
        form->code(frame);
        return true;
    }
    struct soft_natives *natives = cpu->engine->natives;
    pthread_mutex_lock(&natives->lock);
    native_code *code = place(natives, form, natives->scratch);
    if (code) code(frame);
    pthread_mutex_unlock(&natives->lock);
    if (!code) soft_raise(cpu, SOFT_MC, false, 0); /* the host has no memory left: as broken hardware */
    return code != NULL;
}

/* ---- operands ---- */

static unsigned operand_register(const struct soft_insn *insn, const struct native_operand *o) {
    return o->index == NATIVE_HIDDEN ? o->reg : insn->operands[o->index].reg;
}

static bool is_high(const struct soft_insn *insn, const struct native_operand *o) {
    return o->index != NATIVE_HIDDEN && insn->operands[o->index].kind == SOFT_GPR_HIGH;
}

static void load_operand(struct soft_cpu *cpu, const struct soft_insn *insn, const struct native_operand *o,
                         struct native_frame *frame) {
    unsigned reg = operand_register(insn, o);
    switch (o->kind) {
    case SOFT_GPR: frame->gpr_in[o->slot] = is_high(insn, o) ? cpu->gpr[reg] >> 8 : cpu->gpr[reg]; return;
    case SOFT_MM: memcpy(frame->in[o->slot], fp_mmx(cpu, reg), 8); return;
    default: fp_read_vector(cpu, reg, o->kind == SOFT_YMM ? 32 : 16, frame->in[o->slot]); return;
    }
}

static void store_mm(struct soft_cpu *cpu, unsigned reg, const uint8_t *from) {
    uint8_t *at = fp_mmx(cpu, reg);
    memcpy(at, from, 8);
    memset(at + 8, 0xFF, 2);
}

static void store_operand(struct soft_cpu *cpu, const struct soft_insn *insn, const struct native_form *form,
                          const struct native_operand *o, const struct native_frame *frame) {
    unsigned reg = operand_register(insn, o);
    switch (o->kind) {
    case SOFT_GPR: soft_gpr_set(cpu, reg, o->n_bytes, frame->gpr_out[o->slot]); return;
    case SOFT_MM: store_mm(cpu, reg, frame->out[o->slot]); return;
    case SOFT_YMM: fp_write_vector(cpu, reg, 32, frame->out[o->slot]); return;
    default:
        fp_write_vector(cpu, reg, 16, frame->out[o->slot]);
        if (form->vex) fp_clear_upper(cpu, reg);
        return;
    }
}

static void commit(struct soft_cpu *cpu, const struct soft_insn *insn, const struct native_form *form,
                   const struct native_frame *frame) {
    if (form->is_mmx) fp_enter_mmx(cpu);
    for (unsigned i = form->n_operands; i-- > 0;) /* the first one counts where two are the same register */
        if (form->operands[i].is_out) store_operand(cpu, insn, form, form->operands + i, frame);
    if (form->flags)
        cpu->rflags = (cpu->rflags & ~(uint64_t)SOFT_ARITHMETIC) | (frame->flags_out & SOFT_ARITHMETIC);
}

/* ---- floating-point exceptions ---- */

enum { MXCSR_INVALID = 1, MXCSR_DENORMAL = 2, MXCSR_ZERO = 4, MXCSR_UNDERFLOW = 16, MXCSR_PRECISION = 32 };

/* Whether a half-precision result is denormal: these are not flushed to zero whatever MXCSR says. */
static bool has_tiny_half(const struct native_form *form, const struct native_frame *frame) {
    const uint8_t *at = form->memory_out ? frame->memory : frame->out[SLOT_RM];
    for (unsigned i = 0; i < (form->memory_out ? form->memory_bytes : 16u); i += 2) {
        unsigned half = at[i] | (unsigned)at[i + 1] << 8;
        if (!(half & 0x7C00) && half & 0x3FF) return true;
    }
    return false;
}

/* Runs with all exceptions masked, which tells by flags what the guest's masks would have let through. An underflow
 * that is exact shows only where results are flushed to zero, and counts only where the guest does not mask it.
 * Exceptions of operands come before those of results. False: cpu->fault. */
static bool call_checked(struct soft_cpu *cpu, const struct native_form *form, struct native_frame *frame) {
    uint32_t guest = fp_get32(cpu, FP_MXCSR), unmasked = ~(guest >> 7) & MXCSR_FLAGS;
    frame->mxcsr_in = (guest | MXCSR_MASKS) & ~(uint32_t)MXCSR_FLAGS;
    bool tiny = false;
    if (unmasked & MXCSR_UNDERFLOW) {
        frame->mxcsr_in |= MXCSR_FTZ; /* the guest's counts only where it masks underflow */
        if (!native_form_call(cpu, form, frame)) return false;
        tiny = frame->mxcsr_out & MXCSR_UNDERFLOW;
        frame->mxcsr_in &= ~(uint32_t)MXCSR_FTZ;
    }
    if (!native_form_call(cpu, form, frame)) return false;
    uint32_t raised = frame->mxcsr_out & MXCSR_FLAGS;
    if (tiny || (unmasked & MXCSR_UNDERFLOW && form->halves && has_tiny_half(form, frame)))
        raised |= MXCSR_UNDERFLOW;
    if (raised & unmasked & (MXCSR_INVALID | MXCSR_DENORMAL | MXCSR_ZERO))
        raised &= MXCSR_INVALID | MXCSR_DENORMAL | MXCSR_ZERO;
    fp_set32(cpu, FP_MXCSR, guest | raised);
    if (!(raised & unmasked)) return true;
    soft_raise(cpu, cpu->cr4 & SOFT_CR4_OSXMMEXCPT ? SOFT_XM : SOFT_UD, false, 0);
    return false;
}

/* ---- running ---- */

static bool check(struct soft_cpu *cpu, const struct native_form *form) {
    if (form->vex && (form->is_vector || form->is_mmx)) return fp_check_avx(cpu);
    if (form->is_vector && !fp_check_sse(cpu)) return false;
    return !form->is_mmx || fp_check_mmx(cpu);
}

static uint64_t base_of(const struct soft_cpu *cpu, const struct soft_insn *insn) {
    return cpu->mode == SOFT_LONG64 && insn->segment < VM_FS ? 0 : cpu->segments[insn->segment].base;
}

static bool read_memory(struct soft_cpu *cpu, const struct soft_insn *insn, const struct native_form *form,
                        struct native_frame *frame, uint64_t *out_linear) {
    if (form->aligned && (soft_effective(cpu, insn) + base_of(cpu, insn)) % form->memory_bytes) {
        soft_raise_gp(cpu, 0);
        return false;
    }
    if (!soft_linear(cpu, insn, out_linear, form->memory_bytes, form->memory_out)) return false;
    return !form->memory_in || soft_read(cpu, *out_linear, frame->memory, form->memory_bytes);
}

static enum soft_step run_vector(struct soft_cpu *cpu, const struct soft_insn *insn,
                                 const struct native_form *form) {
    struct native_frame frame;
    uint64_t linear = 0;
    if (!check(cpu, form)) return SOFT_FAULT;
    if (form->is_mmx && form->memory_out) fp_set_top(cpu, 0); /* also in front of a fault */
    if (form->memory_bytes && !read_memory(cpu, insn, form, &frame, &linear)) return SOFT_FAULT;
    for (unsigned i = 0; i < form->n_operands; i++) load_operand(cpu, insn, form->operands + i, &frame);
    if (form->flags) frame.flags_in = (cpu->rflags & SOFT_ARITHMETIC) | SOFT_FLAG_ONE;
    bool done = form->mxcsr ? call_checked(cpu, form, &frame) : native_form_call(cpu, form, &frame);
    if (!done) {
        if (form->is_mmx) fp_enter_mmx(cpu); /* also in front of the exception */
        return SOFT_FAULT;
    }
    if (form->memory_out && !soft_write(cpu, linear, frame.memory, form->memory_bytes)) return SOFT_FAULT;
    commit(cpu, insn, form, &frame);
    return SOFT_NEXT;
}

enum soft_step soft_native(struct soft_cpu *cpu, const struct soft_insn *insn) {
    const struct native_form *form = insn->native;
    struct native_form made;
    if (!form) {
        if (!native_form_of(cpu, insn, &made)) return soft_raise_ud(cpu);
        form = find(cpu->engine->natives, &made);
        if (!form) form = &made;
    }
    return form->is_x87 ? native_run_x87(cpu, insn, form) : run_vector(cpu, insn, form);
}
