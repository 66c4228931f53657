/* sysvm/cpu/translate/emit_loop.c: a block that goes back to its own beginning, and whose accesses move by a constant each
 * round: its code a second time, without looks at the TLB.
 *
 *   the block ... jcc back --> back: not yet: the block, with a look at requests
 *                                    now and then: requests? leave
 *                              look: all streams in pages that the TLB has, for some rounds? else the block
 *                              round: the instructions; jcc out; rounds left? round; look
 *
 * Nothing in a round leaves for C code, so no entry of the TLB, no right and no code changes until requests are looked at
 * again; that is after a page at most. A stream's place in cpu->groups has the host's address of its lowest byte less the
 * part of the address that varies. An access to a table, whose index is nobody's stride but small, is a stream that
 * stands still, if all of the table lies in a page. */
#include "sysvm/cpu/translate/internal.h"

enum { ROUNDS_MAX = 1023, ROUNDS_MIN = 4, WAIT = 7 };

static struct x86_rm slot_of(const struct translation *t, const struct stream *stream) {
    return cpu_at(CPU_AT(groups) + (int32_t)(stream - t->streams) * 8);
}

/* ---- in a round ---- */

struct x86_rm dbt_stream_at(struct translation *t, const struct piece *piece) {
    const struct stream *stream = t->streams + piece->stream - 1;
    const int host = stream->varies == SOFT_NO_REG ? HOST_NONE : dbt_host(stream->varies);
    const int32_t displacement = (int32_t)piece->insn->displacement;
    x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_A, slot_of(t, stream));
    if (piece->table.n_bytes)
        return x86_mem_index(HOST_A, dbt_host(piece->table.index),
                             (unsigned)__builtin_ctz(piece->table.scale), piece->from_low);
    if (host == HOST_NONE) return x86_mem(HOST_A, piece->from_low);
    const unsigned scale =
        stream->varies == stream->index && stream->varies != stream->base ? stream->scale : 1;
    return x86_mem_index(HOST_A, host, (unsigned)__builtin_ctz(scale), displacement);
}

/* ---- before the first ---- */

/* From the host's address of the lowest byte, in rax; r11 goes. */
static void store_slot(struct translation *t, const struct stream *stream) {
    if (stream->varies != SOFT_NO_REG) {
        const bool is_index = stream->varies == stream->index && stream->varies != stream->base;
        int part = dbt_host(stream->varies);
        if (is_index && stream->scale > 1) {
            x86_op(&t->a, X86_MOV_LOAD | X86_W, HOST_B, x86_reg(part));
            x86_shift_imm(&t->a, 4, X86_W, part = HOST_B, (unsigned)__builtin_ctz(stream->scale));
        }
        x86_op(&t->a, X86_SUB | X86_W, HOST_A, x86_reg(part));
        x86_alu_imm(&t->a, 5, X86_W, x86_reg(HOST_A), (int32_t)(stream->low));
    }
    x86_op(&t->a, X86_MOV_STORE | X86_W, HOST_A, slot_of(t, stream));
}

/* How many rounds more stay in the page, by the distance of the lowest byte from its beginning; rax goes. */
static void bound_rounds(struct translation *t, const struct stream *stream, struct x86_rm distance) {
    const int32_t last = (int32_t)(VM_PAGE - (uint64_t)(stream->high - stream->low));
    const uint32_t stride = (uint32_t)(stream->stride < 0 ? -stream->stride : stream->stride);
    if (!stride) return;
    const uint32_t more_than_others = dbt_label(t);
    x86_op(&t->a, X86_MOV_LOAD, HOST_A, distance);
    if (stream->stride > 0) {
        x86_op(&t->a, X86_CODE(0, 0, 0xF7), 3, x86_reg(HOST_A)); /* neg */
        x86_alu_imm(&t->a, 0, 0, x86_reg(HOST_A), last);
    }
    unsigned shift = 0;
    while (1u << shift < stride) shift++;
    if (shift) x86_shift_imm(&t->a, 5, 0, HOST_A, shift);
    x86_op(&t->a, X86_CMP, HOST_A, cpu_at(CPU_AT(loop_rounds)));
    x86_branch(&t->a, CC_AE, more_than_others);
    x86_op(&t->a, X86_MOV_STORE, HOST_A, cpu_at(CPU_AT(loop_rounds)));
    dbt_here(t, more_than_others);
}

static void begin_stream(struct translation *t, const struct stream *stream) {
    const struct x86_rm spill = cpu_at(CPU_AT(spill));
    const size_t tag =
        stream->written ? offsetof(struct soft_tlb_entry, write) : offsetof(struct soft_tlb_entry, read);
    struct soft_insn insn;
    struct piece first = *stream->first;
    if (first.table.n_bytes) first = dbt_without_index(&first, &insn);
    dbt_linear_and(t, &first, stream->more);
    if (stream->alignment) {
        x86_op_imm(&t->a, X86_CODE(0, 0, 0xF6) | X86_BYTE_RM, 0, x86_reg(HOST_A), stream->alignment - 1, 1);
        x86_branch(&t->a, CC_NE, t->to_start);
    }
    dbt_find_entry(t);
    x86_op(&t->a, X86_SUB | X86_W, HOST_A, dbt_entry_at(t, tag));
    x86_alu_imm(&t->a, 7, X86_W, x86_reg(HOST_A),
                (int32_t)(VM_PAGE - (uint64_t)(stream->high - stream->low)));
    x86_branch(&t->a, CC_A, t->to_start);
    x86_op(&t->a, X86_MOV_STORE | X86_W, HOST_A, spill);
    x86_op(&t->a, X86_ADD | X86_W, HOST_A, dbt_entry_at(t, offsetof(struct soft_tlb_entry, host)));
    store_slot(t, stream);
    bound_rounds(t, stream, spill);
}

static void begin_rounds(struct translation *t) {
    const struct x86_rm rounds = cpu_at(CPU_AT(loop_rounds));
    x86_alu_imm(&t->a, 7, 0, cpu_at(CPU_AT(requests)), 0);
    x86_branch(&t->a, CC_NE, t->to_leave);
    x86_op_imm(&t->a, X86_CODE(0, 0, 0xC7), 0, rounds, ROUNDS_MAX, 4);
    for (unsigned i = 0; i < t->n_streams; i++) begin_stream(t, t->streams + i);
    x86_alu_imm(&t->a, 7, 0, rounds, ROUNDS_MIN);
    x86_branch(&t->a, CC_B, t->to_start);
}

/* ---- the loop ---- */

/* The jump's condition holds, behind a round: another one, or a look. Where the flags can be made again they are not
 * saved each time; then nobody asks for those of the round before. */
static void end_round(struct translation *t, uint32_t round, uint32_t look, bool saves) {
    const bool asked = !t->block->overwrites_flags;
    if (saves) dbt_save_flags(t);
    x86_alu_imm(&t->a, 5, 0, cpu_at(CPU_AT(loop_rounds)), 1);
    x86_branch(&t->a, CC_AE, round);
    if (!saves && asked) {
        dbt_again(t, t->producer);
        dbt_save_flags(t);
    }
    x86_op_imm(&t->a, X86_CODE(0, 0, 0xC7), 0, cpu_at(CPU_AT(loop_wait)), 0, 4);
    x86_jump(&t->a, look);
}

/* Whether the flags that a round leaves can be had again behind it. */
static bool can_remake(struct translation *t, const struct piece *jump) {
    const unsigned n_pieces = t->n_pieces;
    t->n_pieces = t->n_round + 1; /* whatever comes behind */
    const bool can = t->producer && dbt_can_remake(t, t->producer, jump);
    t->n_pieces = n_pieces;
    return can;
}

static void rounds(struct translation *t, uint32_t look) {
    const struct piece *jump = t->pieces + t->n_round;
    const uint32_t round = dbt_label(t), out = dbt_label(t);
    const bool reads_flags = t->pieces[0].live;
    t->in_loop = true;
    t->flags = reads_flags ? FLAGS_SAVED : FLAGS_NONE;
    t->producer = NULL;
    dbt_here(t, round);
    for (const struct piece *piece = t->pieces; piece < jump; piece++) dbt_piece(t, piece);
    dbt_flags_to_host(t);
    const bool saves = reads_flags || !can_remake(t, jump);
    x86_branch(&t->a, (jump->op & 15) ^ 1, out);
    end_round(t, round, look, saves);
    t->in_loop = false;
    dbt_here(t, out);
    if (t->behind_jump != FLAGS_HOST) dbt_save_flags(t);
    x86_jump(&t->a, t->resume);
}

void dbt_loop_jump(struct translation *t, const struct piece *jump) {
    t->back = dbt_label(t);
    t->resume = dbt_label(t);
    t->at_jump = t->flags;
    dbt_flags_to_host(t);
    x86_branch(&t->a, jump->op & 15, t->back);
    if (t->at_jump == FLAGS_SAVED) t->flags = FLAGS_SAVED;
    t->behind_jump = t->flags;
    dbt_here(t, t->resume);
}

void dbt_loop(struct translation *t) {
    const uint32_t look = dbt_label(t);
    dbt_here(t, t->back);
    if (t->at_jump != FLAGS_SAVED && !t->block->overwrites_flags) dbt_save_flags(t);
    x86_alu_imm(&t->a, 5, 0, cpu_at(CPU_AT(loop_wait)), 1);
    x86_branch(&t->a, CC_NS, t->to_polled);
    x86_op_imm(&t->a, X86_CODE(0, 0, 0xC7), 0, cpu_at(CPU_AT(loop_wait)), WAIT, 4);
    dbt_here(t, look);
    begin_rounds(t);
    rounds(t, look);
}
