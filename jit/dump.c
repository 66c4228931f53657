/* jit/dump.c: who looks at a function as it is compiled, and the stages that are IR. */
#include <inttypes.h>
#include "jit/dump.h"

const char *const jit_stage_names[JIT_STAGES] = {
#define X(id, name) name,
    JIT_STAGE_LIST(X)
#undef X
};

static const struct rt_code_viewer *viewer_of(const struct ir_func *f) {
    return f->module->engine->config.viewer;
}

void jit_dump_begin(struct ir_func *f, struct bc_buf *text) {
    const struct rt_code_viewer *viewer = viewer_of(f);
    if (!viewer || f->failed || !viewer->wants(viewer->context, f->module, f->func)) return;
    bc_buf_init(text, f->alloc);
    f->dump = text;
}

void jit_dump_end(struct ir_func *f, const char *declined, bool shown) {
    const struct rt_code_viewer *viewer = viewer_of(f);
    if (!f->dump) return;
    if (declined) bc_buf_text(f->dump, "function %" PRIu32 " stays interpreted: %s\n", f->func, declined);
    if (!f->dump->failed && shown)
        viewer->show(viewer->context, f->module, f->func, f->loop ? f->loop_offset : BC_NONE,
                     (const char *)f->dump->data, f->dump->size);
    bc_buf_fini(f->dump);
    f->dump = NULL;
}

/* "function 7 work (loop at 0x1f3), select:" */
bool jit_dump_stage(const struct ir_func *f, enum jit_stage stage) {
    if (!f->dump || !(viewer_of(f)->stages >> stage & 1)) return false;
    struct bc_name name = rt_module_func_name(f->module, f->func);
    bc_buf_text(f->dump, "function %" PRIu32, f->func);
    if (name.size) bc_buf_u8(f->dump, ' ');
    rt_put_name(f->dump, name);
    if (f->loop) bc_buf_text(f->dump, " (loop at 0x%" PRIx32 ")", f->loop_offset);
    bc_buf_text(f->dump, ", %s:\n", jit_stage_names[stage]);
    return true;
}

void ir_show(const struct ir_func *f, enum jit_stage stage) {
    if (!f->dump || f->failed || f->declined || !jit_dump_stage(f, stage)) return;
    ir_print(f, f->dump);
    bc_buf_u8(f->dump, '\n');
}
