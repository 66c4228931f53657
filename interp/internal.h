/* interp/internal.h: what the files of interp/ share.
 *
 *   lower.c  wasm bytes -> code        exec_*.c  handlers (dispatch.h, handlers.def)
 *   interp.c entry, traps, stack walk  table.c   handlers by number      dump.c  listing
 *   unwind.c exceptions find handlers
 *
 * A frame on the wasm stack; fp points behind the header, so parameters are at negative slots:
 *
 *   | parameters, later results | return ip | caller's fp | rt_func | locals | operands -> |
 *   ^ fp - 3 - P                  fp[-3]      fp[-2]        fp[-1]    fp[0]
 *
 * P = max(parameter slots, result slots). A caller computes arguments right where the callee's parameters
 * are. The word behind a call is a RELOAD instruction: a call into another instance returns there, any other
 * behind it. */
#ifndef ATOLL_INTERP_INTERNAL_H
#define ATOLL_INTERP_INTERNAL_H

#include <pthread.h>
#include <setjmp.h>
#include "interp/interp.h"

#define INTERP_STATE                                                                                         \
    const uint64_t *ip, union rt_slot *fp, uint8_t *mem, struct rt_instance *inst, struct rt_store *store,   \
        uint64_t r0, double d0, float s0
typedef enum rt_trap interp_handler(INTERP_STATE);
#define INTERP_SECTION __attribute__((section("atoll_interp"), noinline))

enum interp_op {
#define H(name, words) H_##name,
#include "interp/handlers.def"
#undef H
    H_COUNT
};
#define H(name, words) interp_handler interp_do_##name;
#include "interp/handlers.def"
#undef H
extern interp_handler *const interp_handlers[H_COUNT];
struct interp_op_info {
    const char *name;
    uint8_t words;
    bool vector; /* operand 0 is the destination slot, and the result is nowhere else */
};
extern const struct interp_op_info interp_op_infos[H_COUNT];

/* Operand 2 of BR_ON_CAST: null matches; branch when it matches; the branch goes backward. */
enum { INTERP_CAST_NULLABLE = 1, INTERP_CAST_WHEN = 2, INTERP_CAST_BACKWARD = 4 };

#define INTERP_HEADER_SLOTS 3
/* Slots that parameters or results take: the callee's P. */
static inline uint32_t interp_window(uint32_t param_slots, uint32_t result_slots) {
    return param_slots > result_slots ? param_slots : result_slots;
}

/* Where lowered code came from: the instruction at word `at` and those behind it, at byte `offset` of the
 * module. */
struct interp_pc {
    uint32_t at, offset;
};
/* An exception handler: a catch clause. Its values go straight to where the label wants them, so that landing
 * is no code of its own. */
struct interp_clause {
    uint32_t tag;     /* INTERP_NONE: any exception */
    uint32_t target;  /* word to go on at */
    int32_t slot;     /* first slot of the tag's values */
    int32_t ref_slot; /* slot of the exception itself, or INTERP_NO_SLOT */
    uint32_t next;    /* clause of the same try, or INTERP_NONE */
};
/* The body of a try: instructions at words [start, end). Inner ones stand before outer ones. */
struct interp_try {
    uint32_t start, end;
    uint32_t first_clause; /* or INTERP_NONE */
    uint32_t level;        /* blocks around it */
    uint32_t delegate;     /* the search goes on at this level at most; INTERP_NONE: no delegate */
};
#define INTERP_NONE    UINT32_MAX
#define INTERP_NO_SLOT INT32_MIN
struct interp_code { /* of one function */
    uint64_t *words;
    uint32_t n_words, n_pcs;
    uint32_t n_tries, n_clauses, n_loops;
    size_t cap_words, cap_pcs, cap_tries, cap_clauses, cap_loops; /* for atoll_free */
    struct interp_pc *pcs;                                        /* sorted */
    struct interp_pc *loops; /* sorted: heads, and their `loop` instructions */
    struct interp_try *tries;
    struct interp_clause *clauses;
};
/* rt_module.tier_data. Code for a guarded memory 0 and checked code exist side by side. */
struct interp_module {
    pthread_mutex_t lock; /* guards the making of code and of the tables */
    /* By own function; [1] = memory 0 is guarded. Made on demand, read without the lock. */
    struct interp_code *_Atomic *_Atomic codes[2];
};

/* One host -> wasm entry. */
struct interp_run {
    struct rt_activation activation; /* first: the fault handler gets its address */
    jmp_buf jump;                    /* where a fault unwinds to */
    enum rt_trap fault;
    const uint64_t *ip; /* while the host runs: the call instruction and its frame */
    union rt_slot *fp;
    /* ATOLL_INTERP_LOOP: the state between two handlers */
    uint8_t *mem;
    struct rt_instance *inst;
    uint64_t r0;
    double d0;
    float s0;
    interp_handler *next;
};
#define INTERP_PARKED ((enum rt_trap)RT_TRAP_COUNT)
enum rt_trap interp_park(INTERP_STATE, interp_handler *next);
static inline struct interp_run *interp_run_of(struct rt_store *store) {
    return (struct interp_run *)store->activation;
}

/* Lowers own function `func` (index in the module). fails ATOLL_E_NOMEM, E_INTERRUPTED when *stop (NULL:
 * nobody does) asks for an end; code is then untouched */
enum atoll_status interp_lower(const struct rt_module *module, uint32_t func, bool guarded,
                               const bc_stop *stop, struct interp_code *out);
/* Lowers the one instruction at byte `at` on operands of these kinds in slots from 0 on; its results end up
 * in slots from 0 on, *n_results of them. fails ATOLL_E_NOMEM */
enum atoll_status interp_lower_one(const struct rt_module *module, uint32_t func, uint32_t at,
                                   uint32_t n_args, const uint8_t *kinds, struct interp_code *out,
                                   uint32_t *n_results);
/* The code of the function, made now if need be; NULL when out of memory or stopped. */
struct interp_code *interp_code_of(const struct rt_module *module, uint32_t func, bool guarded,
                                   const bc_stop *stop);
void interp_code_fini(const struct atoll_alloc *alloc, struct interp_code *code);
/* What stands on the operand stack before the instruction at byte `offset`, as found by lowering again. Appends them
 * from the bottom to a growing array. fails ATOLL_E_NOMEM */
enum atoll_status interp_operands_at(const struct rt_module *module, uint32_t func, bool guarded,
                                     uint32_t offset, struct interp_operand **out, size_t *out_n,
                                     size_t *out_capacity);
/* That of a function that runs. */
const struct interp_code *interp_code_running(const struct rt_func *func);
/* Finds the handler of the exception in flight, from the frame *fp executing *ip outwards in this run, and
 * puts the exception's values where it wants them; *ip and *fp are where to go on. Returns
 * RT_TRAP_UNCAUGHT_EXCEPTION when there is none in this run, RT_TRAP_OUT_OF_MEMORY. */
enum rt_trap interp_unwind(struct rt_store *store, const uint64_t **ip, union rt_slot **fp);
/* The end of the frame that runs: its code begins with ENTER, which knows. */
union rt_slot *interp_frame_end(union rt_slot *fp);
/* Whether instance's code may rely on memory 0's guard pages. */
bool interp_guarded(const struct rt_instance *instance);
/* Whether it is an activation of this tier: a struct interp_run. */
bool interp_owns(const struct rt_activation *activation);
/* Fills the store's backtrace from the frame at fp, executing ip, outwards. */
void interp_capture(struct rt_store *store, const uint64_t *ip, union rt_slot *fp);
/* The byte offset of the instruction at ip, or, when the frame waits for a call to return, of the call. */
uint32_t interp_offset(const struct rt_func *func, const uint64_t *ip, bool returning);
/* Keeps the backtrace of a trap, and lets the observer look at more. */
void interp_raised(struct rt_store *store, enum rt_trap trap, const uint64_t *ip, union rt_slot *fp);
/* Its probe; a function, since handlers call nothing through a pointer but the next handler. */
enum rt_trap interp_ask_observer(struct rt_store *store, struct rt_instance *instance, uint32_t offset);
/* Clears the upper halves of 32-bit values that the host wrote: code relies on them. */
void interp_tidy(const struct rt_valtype *types, uint32_t n, union rt_slot *slots);

#endif
