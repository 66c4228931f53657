/* jit/dump_code.c: machine code as text, beside the wasm instructions it came from and their source lines:
 *
 *     0x1f3 i32.add  at work.c:12
 *       0012  01 c8                    add eax, ecx
 *
 * Every byte of the function stands in some line. The code has no place yet: jumps count from the function's start, and
 * what gets an address later is told by name. Zydis reads the instructions; it is loaded when somebody looks, so that no
 * other run pays for it, and without it there are bytes alone. */
#include <dlfcn.h>
#include <inttypes.h>
#include <Zydis/Zydis.h>
#include "jit/dump.h"
#include "jit/engine.h"

typedef ZyanStatus disassemble_fn(ZydisMachineMode mode, ZyanU64 address, const void *bytes, ZyanUSize size,
                                  ZydisDisassembledInstruction *out);

struct listing {
    const struct emit *e;
    struct bc_buf *out;
    disassemble_fn *disassemble; /* NULL: there is none */
    struct bc_debug *debug;
    uint32_t where;      /* the wasm instruction told last */
    uint32_t line;       /* and its line, in */
    struct bc_name file; /* this file */
    uint32_t next_reloc;
};

static disassemble_fn *load_disassembler(struct jit_engine *engine) {
    union {
        void *symbol;
        disassemble_fn *function;
    } found = {NULL};
    pthread_mutex_lock(&engine->lock);
    if (!engine->disassembler) engine->disassembler = dlopen("libZydis.so.4.0", RTLD_NOW | RTLD_LOCAL);
    if (engine->disassembler) found.symbol = dlsym(engine->disassembler, "ZydisDisassembleIntel");
    pthread_mutex_unlock(&engine->lock);
    return found.function;
}

void jit_disassembler_close(struct jit_engine *engine) {
    if (engine->disassembler) dlclose(engine->disassembler);
    engine->disassembler = NULL;
}

/* ---- where code came from ---- */

static void put_source(struct listing *l) {
    const struct bc_source_map *map = l->e->f->module->source_map;
    const struct bc_source_map_entry *entry = map ? bc_source_map_find(map, l->where) : NULL;
    struct bc_source source;
    if (entry) {
        bc_buf_text(l->out, "  at %" PRIu32 ":%" PRIu32, entry->line, entry->column);
    } else if (bc_debug_find(l->debug, l->where, &source, 1) && source.line &&
               (source.line != l->line || source.file.bytes != l->file.bytes)) {
        l->line = source.line;
        l->file = source.file;
        bc_buf_text(l->out, "  at ");
        rt_put_name(l->out, source.file);
        bc_buf_text(l->out, ":%" PRIu32, source.line);
    }
}

/* The wasm instruction, when it is not the one before. */
static void put_wasm(struct listing *l, uint32_t where) {
    const struct ir_func *f = l->e->f;
    struct bc_instr in;
    if (where == l->where) return;
    l->where = where;
    if (bc_decode_instr(f->bc, where, (uint32_t)f->bc->n_bytes, &in, NULL)) return;
    bc_buf_text(l->out, "  0x%" PRIx32 " ", where);
    bc_instr_print(f->bc, &in, l->out);
    put_source(l);
    bc_buf_u8(l->out, '\n');
}

static void put_note(struct listing *l, const struct emit_note *note) {
    const struct ir_func *f = l->e->f;
    switch ((enum emit_note_kind)note->kind) {
    case NOTE_ENTRY: bc_buf_text(l->out, "  entry:\n"); break;
    case NOTE_BLOCK:
        bc_buf_text(l->out, "  block %" PRIu32 ":\n", note->number);
        l->where = BC_NONE;
        break;
    case NOTE_INS: put_wasm(l, ir_byte(f, f->ins[note->number].where)); break;
    case NOTE_STUBS: put_wasm(l, ir_byte(f, note->number)); break;
    case NOTE_TABLE: bc_buf_text(l->out, "  jump table, distances from its start:\n"); break;
    case NOTE_LITERALS: bc_buf_text(l->out, "  padding and constants:\n"); break;
    }
}

/* ---- lines of code ---- */

static void put_bytes(struct listing *l, uint32_t at, uint32_t n, uint32_t columns) {
    const uint8_t *bytes = l->e->a.bytes + at;
    bc_buf_text(l->out, "    %04" PRIx32 " ", at);
    for (uint32_t i = 0; i < n; i++) bc_buf_text(l->out, " %02x", bytes[i]);
    for (uint32_t i = n; i < columns; i++) bc_buf_text(l->out, "   ");
}

static void put_target(struct listing *l, const struct jit_reloc *reloc) {
    struct bc_name name;
    switch ((enum jit_reloc_kind)reloc->kind) {
    case JIT_RELOC_FUNC:
    case JIT_RELOC_SELF:
        name = rt_module_func_name(l->e->f->module, reloc->target);
        bc_buf_text(l->out, "  ; function %" PRIu32 " ", reloc->target);
        rt_put_name(l->out, name);
        break;
    case JIT_RELOC_TRAP:
        bc_buf_text(l->out, "  ; trap: %s", rt_trap_text((enum rt_trap)reloc->target));
        break;
    case JIT_RELOC_LEAVE: bc_buf_text(l->out, "  ; leaves compiled code with a trap"); break;
    case JIT_RELOC_THROW:
    case JIT_RELOC_THROW_REF: bc_buf_text(l->out, "  ; throws"); break;
    case JIT_RELOC_REFUEL: bc_buf_text(l->out, "  ; more fuel, or a trap"); break;
    case JIT_RELOC_TAIL: bc_buf_text(l->out, "  ; tail call by way of a frame in between"); break;
    case JIT_RELOC_TYPE: bc_buf_text(l->out, "  ; type %" PRIu32, reloc->target); break;
    case JIT_RELOC_LAYOUT: bc_buf_text(l->out, "  ; layout of type %" PRIu32, reloc->target); break;
    case JIT_RELOC_SLOW: bc_buf_text(l->out, "  ; its interpreted code"); break;
    default: bc_buf_text(l->out, "  ; runs interpreted code"); break;
    }
}

static bool is_call(const uint8_t *bytes, uint32_t n) {
    return n == 5 && (bytes[0] == 0xE8 || bytes[0] == 0xE9);
}

/* One instruction; returns its size. What no instruction is stands byte by byte. */
static uint32_t put_instruction(struct listing *l, uint32_t at, uint32_t end) {
    ZydisDisassembledInstruction in;
    const uint8_t *bytes = l->e->a.bytes + at;
    bool known =
        l->disassemble && ZYAN_SUCCESS(l->disassemble(ZYDIS_MACHINE_MODE_LONG_64, at, bytes, end - at, &in));
    uint32_t n = known ? in.info.length : end - at < 8 ? end - at : 8;
    const struct jit_code *code = l->e->out;
    while (l->next_reloc < code->n_relocs && code->relocs[l->next_reloc].at < at) l->next_reloc++;
    const struct jit_reloc *reloc = code->relocs + l->next_reloc;
    bool later = l->next_reloc < code->n_relocs && reloc->at < at + n;
    put_bytes(l, at, n, known ? 11 : 0);
    if (known && later && is_call(bytes, n)) /* it has no distance yet */
        bc_buf_text(l->out, "  %s", bytes[0] == 0xE8 ? "call" : "jmp");
    else if (known)
        bc_buf_text(l->out, "  %s", in.text);
    for (; later; later = ++l->next_reloc < code->n_relocs && (++reloc)->at < at + n) put_target(l, reloc);
    bc_buf_u8(l->out, '\n');
    return n;
}

static void put_data(struct listing *l, uint32_t at, uint32_t end, uint32_t a_line) {
    for (uint32_t n; at < end; at += n) {
        n = end - at < a_line ? end - at : a_line;
        put_bytes(l, at, n, 0);
        bc_buf_u8(l->out, '\n');
    }
}

static void put_part(struct listing *l, const struct emit_note *note, uint32_t end) {
    put_note(l, note);
    if (note->kind == NOTE_TABLE)
        put_data(l, note->at, end, 4);
    else if (note->kind == NOTE_LITERALS)
        put_data(l, note->at, end, 16);
    else
        for (uint32_t at = note->at; at < end;) at += put_instruction(l, at, end);
}

void jit_dump_code(struct emit *e) {
    const struct ir_func *f = e->f;
    if (!jit_dump_stage(f, JIT_STAGE_CODE)) return;
    struct listing l = {.e = e,
                        .out = f->dump,
                        .disassemble = load_disassembler(f->module->engine->jit_data),
                        .debug = rt_module_debug(f->module),
                        .where = BC_NONE};
    bc_buf_text(l.out, "  %zu bytes, a frame of %" PRIu32 "%s\n", e->a.size, e->out->frame_bytes,
                l.disassemble ? "" : "; instructions by name need libZydis (Debian: libzydis4.0)");
    for (size_t i = 0; i < e->n_notes && !l.out->failed; i++)
        put_part(&l, e->notes + i, i + 1 < e->n_notes ? e->notes[i + 1].at : (uint32_t)e->a.size);
    bc_buf_u8(l.out, '\n');
    bc_debug_free(l.debug);
}
