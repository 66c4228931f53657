/* sysvm/cpu/translate/group.c: accesses of a block that share one way through the TLB: those at constant distances from
 * each other, as on a stack frame or in a structure.
 *
 * The first looks whether all of them lie in its page, in which rights are alike, and keeps the host's address. If they
 * do not, the interpreter runs the rest of the block. So the others cannot fault, and disturb no flags.
 *
 * In a block that goes back to its own beginning, accesses whose addresses each round moves by a constant are streams: one
 * look tells for how many rounds they stay in their pages (emit_loop.c). */
#include <Zydis/Mnemonic.h>
#include "sysvm/cpu/translate/internal.h"

enum { SPAN_MAX = 512, NOTHING = 0xFF };

/* What a register holds: what it held at some point (a new number whenever that is lost), and a distance from it. */
struct value {
    uint32_t origin;
    int64_t distance;
};
struct key {
    uint8_t segment, scale;
    bool is_rip;
    uint32_t base, index; /* origins; 0: none */
};
struct candidate {
    struct key key;
    int64_t low, high; /* of all accesses */
    bool written;
    uint8_t alignment; /* of the first, which is the leader */
    uint8_t n;
    int64_t leader; /* its own distance */
    bool open;
};
struct state {
    uint8_t width; /* of the translation */
    struct value values[16];
    uint32_t n_origins;
    struct candidate candidates[GROUPS_MAX];
    unsigned n;
    uint8_t of[PIECES_MAX];        /* piece -> candidate, or NOTHING */
    int64_t distances[PIECES_MAX]; /* of its access */
};

/* ---- registers ---- */

static void lose(struct state *s, uint32_t gprs) {
    for (unsigned reg = 0; reg < 16; reg++)
        if (gprs >> reg & 1) s->values[reg] = (struct value){++s->n_origins, 0};
}

/* The distance by which an instruction moves a register, all that addresses are made of. */
static bool is_moved(const struct state *s, const struct soft_insn *insn, unsigned *out_reg,
                     int64_t *out_by) {
    const struct soft_operand *to = insn->operands;
    if (to->kind != SOFT_GPR || to->n_bytes != s->width) return false;
    *out_reg = to->reg;
    *out_by = (int64_t)insn->immediate;
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_ADD: return insn->operands[1].kind == SOFT_IMM;
    case ZYDIS_MNEMONIC_SUB: *out_by = -*out_by; return insn->operands[1].kind == SOFT_IMM;
    case ZYDIS_MNEMONIC_INC: *out_by = 1; return true;
    case ZYDIS_MNEMONIC_DEC: *out_by = -1; return true;
    default: return false;
    }
}

static bool is_copied(const struct state *s, const struct soft_insn *insn) {
    const struct soft_operand *o = insn->operands;
    return insn->mnemonic == ZYDIS_MNEMONIC_MOV && o[0].kind == SOFT_GPR && o[1].kind == SOFT_GPR &&
           o[0].n_bytes == s->width;
}

static bool is_simple_lea(const struct state *s, const struct soft_insn *insn) {
    return insn->mnemonic == ZYDIS_MNEMONIC_LEA && insn->operands[0].n_bytes == s->width &&
           insn->address_bytes == s->width && insn->base < 16 && insn->index == SOFT_NO_REG;
}

static void follow(struct state *s, const struct piece *piece) {
    const struct soft_insn *insn = piece->insn;
    unsigned reg;
    int64_t by;
    if (piece->form == FORM_HANDLER) {
        lose(s, 0xFFFF);
    } else if (is_moved(s, insn, &reg, &by)) {
        s->values[reg].distance += by;
    } else if (is_copied(s, insn)) {
        s->values[insn->operands[0].reg] = s->values[insn->operands[1].reg];
    } else if (is_simple_lea(s, insn)) {
        s->values[insn->operands[0].reg] = s->values[insn->base];
        s->values[insn->operands[0].reg].distance += insn->displacement;
    } else if (piece->form == FORM_PUSH || piece->form == FORM_CALL) {
        s->values[VM_RSP].distance -= s->width;
    } else if (piece->form == FORM_RET) {
        s->values[VM_RSP].distance += dbt_pops_of(piece);
    } else if (piece->form == FORM_POP) {
        s->values[VM_RSP].distance += s->width;
        lose(s, 1u << insn->operands[0].reg);
    } else if (piece->form == FORM_LEAVE) {
        s->values[VM_RSP] = s->values[VM_RBP];
        s->values[VM_RSP].distance += s->width;
        lose(s, 1u << VM_RBP);
    } else {
        lose(s, piece->gpr_written);
    }
}

/* ---- accesses ---- */

/* So that sums of a few stay within what an address can have as its displacement. */
static bool is_small(int64_t distance) { return distance > INT32_MIN / 4 && distance < INT32_MAX / 4; }

/* False: none, or one that goes alone. */
static bool access_of(const struct state *s, const struct piece *piece, struct key *out,
                      int64_t *out_distance) {
    const struct soft_insn *insn = piece->insn;
    const struct value *rsp = s->values + VM_RSP, *rbp = s->values + VM_RBP;
    *out = (struct key){.segment = VM_DS};
    if (piece->form == FORM_HANDLER || (piece->stack && piece->memory_bytes)) return false;
    if (piece->form == FORM_X87)
        return false; /* notes the address of each, and a control word may go another way */
    switch (piece->stack) {
    case STACK_PUSH:
        out->base = rsp->origin;
        *out_distance = rsp->distance - s->width;
        return true;
    case STACK_POP:
        out->base = rsp->origin;
        *out_distance = rsp->distance;
        return true;
    case STACK_FRAME:
        out->base = rbp->origin;
        *out_distance = rbp->distance;
        return true;
    default: break;
    }
    if (!piece->memory_bytes || insn->address_bytes != s->width) return false;
    if (insn->segment == VM_FS || insn->segment == VM_GS) out->segment = insn->segment;
    /* Each looks for itself whether it lies within such a segment of 4 GiB. */
    if (out->segment != VM_DS && s->width == 4 && (insn->base < 16 || insn->index < 16)) return false;
    int64_t distance = insn->displacement;
    out->is_rip = insn->base == SOFT_RIP;
    if (out->is_rip) distance += insn->offset + insn->length;
    if (insn->base < 16) {
        out->base = s->values[insn->base].origin;
        distance += s->values[insn->base].distance;
    }
    if (insn->index < 16) {
        out->index = s->values[insn->index].origin;
        out->scale = insn->scale;
        distance += s->values[insn->index].distance * insn->scale;
    }
    *out_distance = distance;
    return is_small(distance) && is_small(insn->displacement);
}

static bool is_same(const struct key *a, const struct key *b) {
    return a->segment == b->segment && a->scale == b->scale && a->is_rip == b->is_rip && a->base == b->base &&
           a->index == b->index;
}

static unsigned bytes_of(const struct state *s, const struct piece *piece) {
    return piece->memory_bytes ? piece->memory_bytes : s->width;
}

static bool joins(const struct state *s, const struct candidate *c, const struct key *key,
                  const struct piece *piece, int64_t distance) {
    int64_t low = distance < c->low ? distance : c->low, end = distance + bytes_of(s, piece);
    if (!c->open || !is_same(&c->key, key) || (end > c->high ? end : c->high) - low > SPAN_MAX) return false;
    return piece->alignment <= c->alignment &&
           (!piece->alignment || !((distance - c->leader) % piece->alignment));
}

static bool is_written(const struct piece *piece) {
    return piece->stack == STACK_PUSH || (piece->memory_bytes && piece->memory_written);
}

static void add(struct state *s, unsigned i, const struct piece *piece) {
    struct key key;
    int64_t distance;
    s->of[i] = NOTHING;
    if (!access_of(s, piece, &key, &distance)) return;
    unsigned at = 0;
    while (at < s->n && !joins(s, s->candidates + at, &key, piece, distance)) at++;
    if (at == GROUPS_MAX) return;
    struct candidate *c = s->candidates + at;
    if (at == s->n) {
        *c = (struct candidate){.key = key,
                                .low = distance,
                                .high = distance,
                                .alignment = piece->alignment,
                                .leader = distance,
                                .open = true};
        s->n++;
    }
    if (distance < c->low) c->low = distance;
    if (distance + bytes_of(s, piece) > c->high) c->high = distance + bytes_of(s, piece);
    c->written |= is_written(piece);
    c->n++;
    s->of[i] = (uint8_t)at;
    s->distances[i] = distance;
}

/* What a handler does to translations, segments and rights is not known here. */
static void close_all(struct state *s) {
    for (unsigned i = 0; i < s->n; i++) s->candidates[i].open = false;
}

/* To where the block begins. */
static bool is_jump_back(const struct translation *t, const struct piece *piece) {
    const struct soft_insn *insn = piece->insn;
    return piece->form == FORM_JCC &&
           insn->offset + insn->length + (int64_t)insn->immediate == t->block->insns[0].offset;
}

void dbt_group(struct translation *t) {
    struct state s = {.width = t->width};
    bool led[GROUPS_MAX] = {0};
    lose(&s, 0xFFFF);
    for (unsigned i = 0; i < t->n_pieces; i++) {
        add(&s, i, t->pieces + i);
        follow(&s, t->pieces + i);
        if (t->pieces[i].form == FORM_HANDLER || t->pieces[i].form == FORM_SWAPGS) close_all(&s);
        if (is_jump_back(t, t->pieces + i)) close_all(&s); /* rounds of the loop lead none */
    }
    for (unsigned i = 0; i < t->n_pieces; i++) {
        struct piece *piece = t->pieces + i;
        if (s.of[i] == NOTHING || s.candidates[s.of[i]].n < 2) continue;
        const struct candidate *c = s.candidates + s.of[i];
        piece->group = (uint8_t)(s.of[i] + 1);
        piece->leads = !led[s.of[i]];
        piece->distance = (int16_t)(s.distances[i] - c->low);
        led[s.of[i]] = true;
        t->groups[s.of[i]] = (struct group){(uint16_t)(c->high - c->low), c->written};
        if (!piece->leads)
            piece->observes = piece->form == FORM_DIV || piece->form == FORM_IDIV || piece->form == FORM_RET;
    }
}

/* ---- loops ---- */

/* Whether the block is a loop of instructions that never leave in its midst. */
static bool is_loop(struct translation *t) {
    unsigned n = 0;
    while (n < t->n_pieces && !is_jump_back(t, t->pieces + n)) n++;
    t->n_round = n;
    for (const struct piece *piece = t->pieces; piece < t->pieces + n; piece++) {
        if (piece->stack || (piece->memory_bytes && dbt_needs_flags(t, piece))) return false;
        switch ((enum form)piece->form) {
        case FORM_SAME:
        case FORM_MOV:
        case FORM_VECTOR:
        case FORM_BSWAP:
        case FORM_EXTEND:
        case FORM_LEA:
        case FORM_NOTHING: break;
        default: return false;
        }
    }
    return n < t->n_pieces;
}

/* A register that an address is made of holds what it held when the round began, and a distance. */
static bool is_of_round(const struct state *s, unsigned reg) {
    return reg >= 16 || s->values[reg].origin == reg + 1;
}

static bool fits(const struct stream *stream, const struct piece *piece, int64_t low, int64_t high) {
    const struct soft_insn *insn = piece->insn;
    const int64_t span =
        (high > stream->high ? high : stream->high) - (low < stream->low ? low : stream->low);
    if (stream->base != insn->base || stream->index != insn->index) return false;
    if (insn->index < 16 && stream->scale != insn->scale) return false;
    /* Tables beside each other may lie in two pages. */
    if (stream->is_table || piece->table.n_bytes)
        return low < stream->high && high > stream->low && span <= (int64_t)VM_PAGE;
    return span <= SPAN_MAX;
}

/* False: the loop cannot be had. */
static bool add_to_stream(struct translation *t, const struct state *s, struct piece *piece,
                          int64_t *out_distance) {
    struct soft_insn at_0;
    struct piece access = *piece;
    struct key key;
    int64_t low;
    if (piece->table.n_bytes) access = dbt_without_index(piece, &at_0);
    const struct soft_insn *insn = access.insn;
    if (!access_of(s, &access, &key, &low) || key.segment != VM_DS) return false;
    if (!is_of_round(s, insn->base) || !is_of_round(s, insn->index)) return false;
    const int64_t high = low + (piece->table.n_bytes ? piece->table.n_bytes : piece->memory_bytes);
    const int64_t base_moved = insn->base < 16 ? s->values[insn->base].distance : 0;
    const int64_t index_moved = insn->index < 16 ? s->values[insn->index].distance : 0;
    *out_distance = low;
    unsigned i = 0;
    while (i < t->n_streams && !fits(t->streams + i, &access, low, high)) i++;
    if (i == STREAMS_MAX) return false;
    struct stream *stream = t->streams + i;
    if (i == t->n_streams) {
        *stream = (struct stream){.base = insn->base,
                                  .index = insn->index,
                                  .scale = insn->scale,
                                  .first = piece,
                                  .low = low,
                                  .high = high,
                                  .more = base_moved + index_moved * insn->scale - low};
        t->n_streams++;
    }
    if (low < stream->low) stream->low = low;
    if (high > stream->high) stream->high = high;
    stream->written |= piece->memory_written;
    stream->is_table |= piece->table.n_bytes != 0;
    stream->base_moved |= base_moved != 0;
    stream->index_moved |= index_moved != 0;
    if (piece->alignment > stream->alignment) stream->alignment = piece->alignment;
    piece->stream = (uint8_t)(i + 1);
    return true;
}

/* How far a register is moved by a round; false: it is another's value then. */
static bool step_of(const struct state *s, unsigned reg, int64_t *out_step) {
    *out_step = reg < 16 ? s->values[reg].distance : 0;
    return is_of_round(s, reg) && is_small(*out_step);
}

/* What a round does to the address. */
static bool finish_stream(const struct state *s, struct stream *stream) {
    int64_t base_step, index_step;
    if (!step_of(s, stream->base, &base_step) || !step_of(s, stream->index, &index_step)) return false;
    if (base_step && index_step) return false;
    if (stream->is_table && (base_step || index_step || stream->alignment)) return false;
    const int64_t stride = base_step + index_step * stream->scale;
    if (stride > SPAN_MAX || stride < -SPAN_MAX) return false;
    if (stream->alignment && stride % stream->alignment) return false;
    stream->stride = (int32_t)stride;
    stream->varies = base_step ? stream->base : index_step ? stream->index : SOFT_NO_REG;
    if ((base_step && stream->index_moved) || (index_step && stream->base_moved)) return false;
    stream->more += stream->low;
    return stream->varies == SOFT_NO_REG || dbt_host(stream->varies) != HOST_NONE;
}

static bool find_streams(struct translation *t) {
    struct state s = {.width = t->width};
    int64_t distances[PIECES_MAX] = {0};
    struct piece *pieces = t->pieces;
    lose(&s, 0xFFFF);
    for (unsigned i = 0; i < t->n_round; i++) {
        if (pieces[i].memory_bytes && !add_to_stream(t, &s, pieces + i, distances + i)) return false;
        follow(&s, pieces + i);
    }
    for (unsigned i = 0; i < t->n_streams; i++)
        if (!finish_stream(&s, t->streams + i)) return false;
    for (unsigned i = 0; i < t->n_round; i++) {
        if (!pieces[i].stream) continue;
        pieces[i].from_low = (int16_t)(distances[i] - t->streams[pieces[i].stream - 1].low);
        if (pieces[i].alignment && pieces[i].from_low % pieces[i].alignment) return false;
    }
    return true;
}

/* Not in 32-bit code: a register that wraps would lead 4 GiB away from its stream's place on the host. */
void dbt_find_streams(struct translation *t) {
    if (t->width == 4 || !is_loop(t) || !find_streams(t)) t->n_streams = 0;
}
