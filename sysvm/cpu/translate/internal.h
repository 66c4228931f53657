/* sysvm/cpu/translate/internal.h: what the files of the translator share. */
#ifndef ATOLL_SYSVM_CPU_TRANSLATE_INTERNAL_H
#define ATOLL_SYSVM_CPU_TRANSLATE_INTERNAL_H

#include "jit/memory.h"
#include "jit/x86.h"
#include "sysvm/cpu/soft/mmu.h"
#include "sysvm/cpu/soft/soft.h"
#include "sysvm/cpu/translate/translate.h"

/* ---- a block on its way ---- */

enum form {
    FORM_HANDLER, /* the interpreter's */
    FORM_SAME,
    FORM_BIT,
    FORM_BSWAP,
    FORM_CALL,
    FORM_CLI,
    FORM_CMPXCHG,
    FORM_DIV,
    FORM_EXTEND,
    FORM_FENCE,
    FORM_FLAG,
    FORM_IDIV,
    FORM_JCC,
    FORM_JMP,
    FORM_LEA,
    FORM_LEAVE,
    FORM_MOV,
    FORM_MUL,
    FORM_NOTHING,
    FORM_POP,
    FORM_PUSH,
    FORM_RET,
    FORM_STI, /* not the last of its block */
    FORM_SWAPGS,
    FORM_VECTOR, /* has no row: whatever runs on the host's vector registers (native.h) */
    FORM_X87,    /* the same of its x87 unit */
    FORM_ZEROUPPER
};

/* The access that an instruction makes beside that of a memory operand. */
enum stack_access { STACK_NONE, STACK_PUSH, STACK_POP, STACK_FRAME /* leave: at rbp */ };

/* A register operand as an instruction encodes it. */
struct field {
    int8_t reg; /* the guest's number, -1: there is none */
    bool is_high /* ah .. bh */, is_vector, read, written;
    uint8_t n_bytes;
};

/* Of a memory operand whose index is known to be small (bound.c): all of what it may be lies in n_bytes from its
 * address with an index of 0. */
struct table {
    uint8_t base, index, scale; /* as in struct soft_insn, but the register that is small is the index */
    uint16_t n_bytes;           /* 0: it is none */
};

struct piece { /* an instruction */
    const struct soft_insn *insn;
    uint8_t form;
    uint8_t memory_bytes; /* 0: no memory operand */
    bool memory_written;
    uint8_t stack;      /* enum stack_access: 8 bytes */
    uint8_t group;      /* group.c: 0, or one more than the index of the group that its access belongs to */
    bool leads;         /* it looks for all of them */
    int16_t distance;   /* from the lowest byte of the group */
    bool implies_other; /* a register that no field names, and that is elsewhere on the host */
    bool observes;      /* it may fault, or the interpreter runs it: then the flags before it are seen */
    uint8_t alignment;  /* 0, or what the address of the memory operand has to be a multiple of */
    uint8_t vectors;    /* as in struct soft_block */
    uint8_t x87;        /* as there */
    uint8_t segments;   /* as there */
    int16_t from_low;   /* of the stream */
    uint8_t
        stream; /* group.c: 0, or one more than the index of its access's stream, where the block is a loop */
    uint8_t imm_bytes; /* as it is written */
    uint8_t extension; /* of the opcode, in ModRM.reg */
    uint32_t op;       /* for x86_op, x86_vex */
    int32_t imm;
    struct table table;
    struct field reg, rm, vvvv;
    uint32_t gpr_read, gpr_written; /* bits by number */
    uint16_t flags_read, flags_written;
    /* flow.c. Before this instruction: flags that a later one of the block, or whoever comes behind it, reads; flags
     * that nobody reads, but that an exception would show. */
    uint16_t live, shown;
};

enum {
    PIECES_MAX = 48,
    LABELS_MAX = 512,
    COLD_MAX = 2 * PIECES_MAX,
    EXITS_MAX = PIECES_MAX + 2,
    GROUPS_MAX = 16,
    STREAMS_MAX = 8
};

/* Where the arithmetic flags are, while code is written. */
enum flags_at {
    FLAGS_SAVED,  /* cpu->flags has them, the host's do not count */
    FLAGS_HOST,   /* in the host's flags; cpu->flags is old */
    FLAGS_REMADE, /* nowhere: piece `producer` run again makes them */
    FLAGS_NONE    /* nowhere, and nobody asks */
};

/* The way of an instruction that the short path does not serve: behind the block's code. */
struct cold {
    const struct piece *piece;
    uint32_t label, back;
    enum flags_at before, after;
    const struct piece *producer;
    bool rest; /* the interpreter does all that follows, too */
};

/* A way out to an address that is known. */
struct exit {
    int64_t target; /* relative to cpu->page_base */
    uint32_t label; /* of the code that leaves */
    uint32_t at,
        at_with_flags; /* in the code: the distances of its jumps, 0: none; the latter jumps with the flags
                                 * in the host's flags */
    bool saves_flags;  /* its code does so */
    const struct piece *producer; /* NULL, or what has to run again before: they are nowhere */
    uint32_t stamp;
};

struct group {
    uint16_t n_bytes; /* from the first byte to the last */
    bool written;
};

/* Accesses of a block that is a loop, which move on by `stride` each round; see emit_loop.c. */
struct stream {
    uint8_t base, index, scale;            /* as in struct soft_insn */
    uint8_t varies;                        /* the one of both that changes, or SOFT_NO_REG */
    uint8_t alignment;                     /* of the lowest byte */
    bool written, base_moved, index_moved; /* where an access is made, from what the round began with */
    bool is_table;                         /* some of them have an index beside, which stays within `high` */
    const struct piece *first;
    int64_t low, high; /* distances from base and index as a round begins */
    int64_t more;      /* what the address of `first`, with these, lacks of the lowest byte's */
    int32_t stride;
};

struct translation {
    struct x86 a;
    struct soft_translator *translator;
    const struct soft_block *block;
    uint8_t width; /* of addresses, and of what is pushed: 8, or 4 in 32-bit code */
    uint32_t w;    /* X86_W where it is 8 */
    struct piece pieces[PIECES_MAX];
    unsigned n_pieces;
    struct group groups[GROUPS_MAX];
    struct stream streams[STREAMS_MAX];
    unsigned n_streams;    /* 0: the block is no loop that runs without looks at the TLB */
    unsigned n_round;      /* pieces of such a loop, in front of its jump back */
    bool in_loop;          /* what is written runs so */
    uint32_t back, resume; /* labels: of where its jump goes, of what stands behind the jump */
    enum flags_at at_jump, behind_jump;
    enum flags_at flags;
    const struct piece *producer; /* of the flags, where it is one that can be run again */
    uint8_t group_in_a; /* 0, or one more than the index of the group whose place on the host rax has */
    /* What the guest's rsp is more than the host's register for it: of pushes and pops in a row the last moves it. */
    int32_t stack_lag;
    struct cold colds[COLD_MAX];
    unsigned n_colds;
    struct exit exits[EXITS_MAX];
    unsigned n_exits, n_new_stamps;
    uint32_t labels[LABELS_MAX];
    uint32_t n_labels;
    bool ended;                             /* the last instruction always goes elsewhere */
    uint32_t leave, polled, start;          /* in the code */
    uint32_t to_leave, to_polled, to_start; /* labels of these */
};

/* ---- read.c, bound.c, group.c, flow.c ---- */

/* An instruction of a block. */
void dbt_read(const struct soft_translator *translator, enum soft_mode mode, const struct soft_insn *insn,
              struct piece *out);
/* Fills `table` of all pieces. */
void dbt_find_tables(struct translation *t);
/* Fills groups, and what pieces have to do with them. */
void dbt_group(struct translation *t);
/* Fills streams, if the block is a loop that they make faster. Behind dbt_flow. */
void dbt_find_streams(struct translation *t);
/* Fills `live` and `shown` of all; returns what is asked of the flags before the first. */
uint16_t dbt_flow(struct piece *pieces, unsigned n_pieces);
/* Whether a piece reads flags, or keeps some that somebody asks for behind it. */
bool dbt_needs_flags(const struct translation *t, const struct piece *piece);
/* Whether running `producer` again in front of any later piece, as long as its flags are shown, gives them. */
bool dbt_can_remake(const struct translation *t, const struct piece *producer, const struct piece *from);
/* The same for whoever asks, be it behind the block; then it needs neither rax nor r11. */
bool dbt_can_remake_for_all(const struct translation *t, const struct piece *producer,
                            const struct piece *from);
/* Where a direct jump or call leads, relative to page_base. */
int64_t dbt_target_of(const struct piece *piece);
/* How far a return moves the stack. */
int32_t dbt_pops_of(const struct piece *piece);
static inline bool dbt_is_same_page(int64_t target) { return target >= 0 && target < (int64_t)VM_PAGE; }

/* ---- registers ---- */

enum { HOST_A = RAX, HOST_B = R11, HOST_NONE = -1 };
/* The host's register of a guest's; HOST_NONE: it is in memory. */
int dbt_host(int guest);
#define CPU_AT(field) ((int32_t)(offsetof(struct soft_cpu, field) - offsetof(struct soft_cpu, page_base)))
static inline struct x86_rm cpu_at(int32_t at) { return x86_mem(RSP, at); }
static inline struct x86_rm gpr_at(int guest) { return cpu_at(CPU_AT(gpr) + guest * 8); }

/* ---- emit.c: what all forms use ---- */

uint32_t dbt_label(struct translation *t);
void dbt_here(struct translation *t, uint32_t label);
/* A guest's register of 8 bytes into, or from, a host's; flags stay. */
void dbt_get(struct translation *t, int host, int guest);
void dbt_set(struct translation *t, int guest, int host);

/* The guest's rsp is where it should be; flags stay. */
void dbt_stack_to_host(struct translation *t);

/* The flags into cpu->flags; rax goes. Into the host's flags from there; rax goes. */
void dbt_save_flags(struct translation *t);
void dbt_load_flags(struct translation *t);
/* Before something that needs all of them in the host's flags, or nowhere but in cpu->flags. */
void dbt_flags_to_host(struct translation *t);
void dbt_flags_to_memory(struct translation *t);
/* Before something of this piece that spoils the host's flags. */
void dbt_spoil_flags(struct translation *t, const struct piece *piece);
/* What the piece leaves in the host's flags counts from here on. */
void dbt_flags_made(struct translation *t, const struct piece *piece);

/* An instruction, whatever its form. */
void dbt_piece(struct translation *t, const struct piece *piece);
/* The interpreter's handler, here. */
void dbt_handler(struct translation *t, const struct piece *piece);
/* A label of code that lets the handler do this piece, then goes on behind it. To be asked for when the state of the
 * flags is that before the piece; dbt_cold_done when the short path is complete. */
struct cold *dbt_cold(struct translation *t, const struct piece *piece);
void dbt_cold_done(struct translation *t, struct cold *cold); /* NULL is allowed */

/* ---- emit_memory.c ---- */

/* The linear address of the memory operand in rax; r11 goes, flags stay unless there is a segment base (then they were
 * spoilt before). Where it may lie beyond the end of such a segment, to the way of dbt_cold that was asked for last. */
void dbt_linear(struct translation *t, const struct piece *piece);
/* From a linear address in rax to a host address in rax, n_bytes of it; else to `cold`. r11 and flags go. */
void dbt_check(struct translation *t, unsigned n_bytes, bool write, const struct cold *cold);

/* Where the entry of a page is in its view's table, in r11, from a linear address in rax; and a field of it. */
void dbt_find_entry(struct translation *t);
struct x86_rm dbt_entry_at(const struct translation *t, size_t field);
/* The piece with an index of 0 in its table; *insn is its instruction then. */
struct piece dbt_without_index(const struct piece *piece, struct soft_insn *insn);
/* The linear address of the memory operand and a distance more, in rax. */
void dbt_linear_and(struct translation *t, const struct piece *piece, int64_t more);

/* The one access of a piece, its memory operand or the stack's: what stands for it. rax is in it; r11 goes, and flags
 * unless it is in a group that another leads. *out_cold: as dbt_cold, or NULL: it cannot fail. */
struct x86_rm dbt_reach(struct translation *t, const struct piece *piece, struct cold **out_cold);

/* ---- emit_integer.c, emit_branch.c ---- */

void dbt_same(struct translation *t, const struct piece *piece);
/* On vector registers, which the host's are; also with general ones and memory. */
void dbt_vector(struct translation *t, const struct piece *piece);
/* Whether an operand goes through rax or r11. */
bool dbt_needs_scratch(const struct field *field);
/* Only registers: runs the piece again for its flags. */
void dbt_again(struct translation *t, const struct piece *piece);
void dbt_bswap(struct translation *t, const struct piece *piece);
void dbt_cmpxchg(struct translation *t, const struct piece *piece);
void dbt_div(struct translation *t, const struct piece *piece);
void dbt_extend(struct translation *t, const struct piece *piece);
void dbt_flag(struct translation *t, const struct piece *piece);
void dbt_lea(struct translation *t, const struct piece *piece);
void dbt_mov(struct translation *t, const struct piece *piece);
void dbt_mul(struct translation *t, const struct piece *piece);

void dbt_leave(struct translation *t, const struct piece *piece);
void dbt_pop(struct translation *t, const struct piece *piece);
void dbt_push(struct translation *t, const struct piece *piece);
void dbt_call(struct translation *t, const struct piece *piece);
void dbt_jcc(struct translation *t, const struct piece *piece);
void dbt_jmp(struct translation *t, const struct piece *piece);
void dbt_ret(struct translation *t, const struct piece *piece);
void dbt_find_target(struct x86 *a, enum soft_view view, uint32_t miss);
/* On to the instruction behind the last. */
void dbt_fall(struct translation *t);
/* The code of all exits, behind everything else. */
void dbt_exits(struct translation *t);

/* ---- emit_loop.c ---- */

/* The jump back of a block with streams; behind everything else of the block, all that it may lead to. */
void dbt_loop_jump(struct translation *t, const struct piece *jump);
void dbt_loop(struct translation *t);
/* In such a loop, what stands for the memory operand of a piece; rax is in it. */
struct x86_rm dbt_stream_at(struct translation *t, const struct piece *piece);

/* ---- emit_x87.c ---- */

/* Whether an instruction is one for the host's x87 unit: then all of *out but the flags. */
bool dbt_read_x87(const struct soft_insn *insn, struct piece *out);
void dbt_x87(struct translation *t, const struct piece *piece);

/* ---- emit_system.c: what kernels do all the time ---- */

void dbt_cli(struct translation *t, const struct piece *piece);
void dbt_sti(struct translation *t, const struct piece *piece);
void dbt_swapgs(struct translation *t, const struct piece *piece);

/* ---- the cache ---- */

/* A jump out of a block, to be patched when its target is known. */
struct link {
    const struct soft_block *from;
    struct soft_block *to; /* NULL where it is not joined */
    int64_t target;        /* relative to cpu->page_base */
    uint8_t *at, *at_with_flags;
    const uint8_t *out;      /* what both lead to when they are not joined */
    uint32_t next, previous; /* of those that are joined with one block; 0: none */
    uint32_t stamp;          /* of a jump to another page: index of cpu->translated.stamps; else 0 */
};

/* What linear addresses of a scope lead to. */
enum { LEADS_USED_MAX = 512 };
struct leads {
    uint64_t epoch;
    uint8_t mode;    /* enum soft_mode of all code that `targets` name */
    unsigned n_used; /* more than LEADS_USED_MAX: not all of them are listed */
    uint16_t used[LEADS_USED_MAX];
    struct soft_target targets[SOFT_TARGETS];
};

enum { TRANSLATED_HASHES = 1 << 12 };
struct soft_translator {
    const struct atoll_alloc *alloc;
    struct soft_cpu *cpu;
    struct jit_memory memory;
    const uint8_t *thunks;
    size_t n_thunks;
    uint8_t *start; /* behind the thunks */
    size_t used;    /* of the code from `start` on */
    /* enter_code; [1]: with the vector registers as cpu->vectors and cpu->wide say, [2]: and with the x87 unit */
    const void *enter[3];
    struct link *links;
    size_t n_links, cap_links;
    uint32_t n_stamps;
    struct soft_block *pages[TRANSLATED_HASHES];
    uint64_t n_seen; /* of the engine's list of written pages */
    struct leads leads[SOFT_N_SCOPES];
    uint64_t last_epoch;
    /* The way that the last run of translated code left by, 0: none that can be joined. */
    uint32_t pending;
    uint64_t pending_epoch;
    uint64_t pending_rip;
    /* What the host has. */
    bool has_bmi1, has_bmi2, has_adx, has_movbe, has_popcnt, has_lzcnt, has_avx;
    struct translation work;
};
/* eax as translated code leaves: an index of links, or one of these. */
enum {
    LEFT_LINK = 0,
    LEFT_INDIRECT = 1 << 24,
    LEFT_BEFORE = 2 << 24, /* | offset in the page of the block that was about to start */
    LEFT_STEP = 3 << 24,
    LEFT_VECTORS = 4 << 24 /* | offset: the block needs the vector registers, or the x87 unit */
};

/* Code that leaves, enters, calls handlers; fills cpu->translated. False: no memory. */
bool dbt_make_thunks(struct soft_translator *translator);
/* uint32_t enter(struct soft_cpu *cpu, const uint8_t *code) */
typedef uint32_t enter_code(struct soft_cpu *cpu, const uint8_t *code);
/* What the guest's registers and modes allow: a value for cpu->vectors. Fills what belongs to it. */
uint8_t dbt_vectors(struct soft_cpu *cpu);
/* The same for cpu->x87. */
uint8_t dbt_x87_unit(const struct soft_cpu *cpu);
/* The same for cpu->flat. */
uint8_t dbt_flat(const struct soft_cpu *cpu);
/* Called by translated code: 0: go on behind the instruction. */
uint32_t dbt_step(struct soft_cpu *cpu, const struct soft_insn *insn);
/* The same for an instruction and all behind it in its block. */
void dbt_rest(struct soft_cpu *cpu, const struct soft_insn *insn, struct soft_block *block);

/* Makes the code of the block at cpu->rip; block->code stays NULL where it cannot be had. */
void dbt_block(struct soft_translator *translator, struct soft_block *block);
/* Places finished code and its links. Where there is no room, all translations go. */
void dbt_place(struct translation *t, struct soft_block *block);
/* Who names code hears of it; block: NULL for what all share. */
void dbt_tell(const struct soft_translator *translator, const struct soft_block *block, const uint8_t *code,
              size_t n_bytes);
/* The block's code is not entered any more, and it has none. */
void dbt_close(struct soft_translator *translator, struct soft_block *block);
void dbt_join(struct soft_translator *translator, uint32_t link, struct soft_block *to);
/* A block is about to run: its scope's addresses lead to code of its mode from here on. */
void dbt_take_mode(struct soft_translator *translator, const struct soft_block *block);
void dbt_remember(struct soft_translator *translator, uint64_t linear, const struct soft_block *block);

#endif
