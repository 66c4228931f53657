/* runtime/heap.c: the managed heap. The one file that knows Boehm GC.
 *
 *   what the collector looks at                        what it never looks at
 *   native stacks and registers of the threads           linear memories
 *     that run stores with a heap                        static data
 *   each such store's wasm stack                         malloc'd memory
 *   managed globals, tables and segment items
 *   host roots, the exception in flight
 *   free objects in its lists
 *
 * The collector is one for the process, as libgc is; so is the list of heaps below, which changes only under
 * the collector's own lock. Layouts live in the heap and are marked through the objects that point to them:
 * an object that only looks alive may be met by the marker when its engine is long gone. */
#include <pthread.h>
#define GC_THREADS
#define GC_NO_THREAD_REDIRECTS
#include <gc/gc.h>
#include <gc/gc_inline.h>
#include <gc/gc_mark.h>
#include "runtime/internal.h"

#define DESCRIPTOR_BITS 62 /* words that a bitmap descriptor describes */

static struct {
    pthread_mutex_t lock; /* guards the start */
    _Atomic bool started;
    struct rt_heap *heaps;
    struct rt_heap_engine *engines;
    unsigned mixed_kind, large_kind, mark_proc;
    uint64_t max_bytes;
    pthread_key_t thread_key;
    GC_push_other_roots_proc previous_roots;
} collector = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* An engine's layouts. */
struct rt_heap_engine {
    struct rt_layout *layouts;
    const struct rt_layout *_Atomic host_layout; /* of boxes around host references */
    struct rt_heap_engine *next, **link;
};

/* ---- roots; the world stands still ---- */

/* A word at once, so that many roots do not fill the marker's stack. */
static void push_range(void *unused, void *low, void *high) {
    (void)unused;
    if ((char *)high - (char *)low == sizeof(void *))
        GC_push_all_eager(low, high);
    else
        GC_push_all(low, high);
}

/* A free object's words lead nowhere, so every object of a list is a root of its own. */
static void push_list(void *object) {
    void *some[64];
    while (object) {
        unsigned n = 0;
        for (; object && n < 64; object = *(void **)object) some[n++] = object;
        GC_push_all_eager(some, some + n);
    }
}

static void push_heap(struct rt_heap *heap) {
    for (uint32_t i = 0; i < RT_SPACES * RT_SMALL_CLASSES; i++) push_list(heap->free[i]);
    rt_store_each_root(heap->store, push_range, NULL);
}

static void GC_CALLBACK push_roots(void) {
    for (struct rt_heap *heap = collector.heaps; heap; heap = heap->next) push_heap(heap);
    for (struct rt_heap_engine *e = collector.engines; e; e = e->next)
        push_range(NULL, &e->layouts, &e->layouts + 1);
    if (collector.previous_roots) collector.previous_roots();
}

/* For objects with more words than a descriptor has bits. */
static struct GC_ms_entry *GC_CALLBACK mark_wide(GC_word *object, struct GC_ms_entry *stack,
                                                 struct GC_ms_entry *limit, GC_word env) {
    const struct rt_layout *layout = (const struct rt_layout *)object[0];
    (void)env;
    stack = GC_MARK_AND_PUSH((void *)object[0], stack, limit, (void **)object);
    for (uint32_t i = 1; i < layout->size_bytes / 8; i++)
        if (layout->ref_words[i / 64] >> i % 64 & 1 && object[i])
            stack = GC_MARK_AND_PUSH((void *)object[i], stack, limit, (void **)(object + i));
    return stack;
}

/* ---- start ---- */

static _Thread_local bool thread_registered;

static void leave_thread(void *unused) {
    (void)unused;
    GC_unregister_my_thread();
}

void rt_heap_enter_thread(void) {
    struct GC_stack_base base;
    if (thread_registered) return;
    if (!GC_thread_is_registered() && GC_get_stack_base(&base) == GC_SUCCESS) GC_register_my_thread(&base);
    pthread_setspecific(collector.thread_key, &collector);
    thread_registered = true;
}

static void start_collector(void) {
    struct GC_stack_base base;
    GC_set_all_interior_pointers(0);
    GC_set_no_dls(1);
    GC_set_warn_proc(GC_ignore_warn_proc);
    /* this may not be the main thread, whose stack libgc would take */
    if (GC_get_stack_base(&base) == GC_SUCCESS) GC_set_stackbottom(NULL, &base);
    GC_INIT();
    GC_clear_roots();
    GC_allow_register_threads();
    GC_register_displacement(RT_EXTERN_TAG);
    collector.mark_proc = GC_new_proc(mark_wide);
    /* the descriptor is in the second word of what the first word points to */
    GC_word per_object =
        (GC_word)(-(GC_signed_word)sizeof(GC_word) - GC_INDIR_PER_OBJ_BIAS) | GC_DS_PER_OBJECT;
    collector.mixed_kind = GC_new_kind(GC_new_free_list(), per_object, 0, 1);
    collector.large_kind = GC_new_kind(GC_new_free_list(), GC_DS_LENGTH, 1, 0);
    collector.previous_roots = GC_get_push_other_roots();
    GC_set_push_other_roots(push_roots);
    pthread_key_create(&collector.thread_key, leave_thread);
    atomic_store(&collector.started, true);
}

bool rt_heap_started(void) { return atomic_load(&collector.started); }

/* One limit for the process: the most generous engine's. */
static void raise_limit(uint64_t bytes) {
    if (bytes <= collector.max_bytes) return;
    collector.max_bytes = bytes;
    GC_set_max_heap_size(bytes);
}

static void *link_heap(void *p) {
    struct rt_heap *heap = p;
    heap->next = collector.heaps;
    heap->link = &collector.heaps;
    if (heap->next) heap->next->link = &heap->next;
    collector.heaps = heap;
    heap->store->heap = heap;
    return NULL;
}

/* Free objects become garbage, which may only look alive: then the marker reads a first word. A link there
 * would be taken for a layout, and the object it leads to may be somebody's by then. */
static void cut_list(void *object) {
    for (void *next; object; object = next) {
        next = *(void **)object;
        *(void **)object = NULL;
    }
}

static void *unlink_heap(void *p) {
    struct rt_heap *heap = p;
    for (uint32_t i = 0; i < RT_SPACES * RT_SMALL_CLASSES; i++) cut_list(heap->free[i]);
    *heap->link = heap->next;
    if (heap->next) heap->next->link = heap->link;
    return NULL;
}

static void *link_engine(void *p) {
    struct rt_heap_engine *e = p;
    e->next = collector.engines;
    e->link = &collector.engines;
    if (e->next) e->next->link = &e->next;
    collector.engines = e;
    return NULL;
}

static void *unlink_engine(void *p) {
    struct rt_heap_engine *e = p;
    *e->link = e->next;
    if (e->next) e->next->link = e->link;
    return NULL;
}

static enum atoll_status start_engine(struct rt_engine *engine) {
    if (engine->heap) return ATOLL_OK;
    struct rt_heap_engine *e = atoll_new(engine->alloc, 1, sizeof *e);
    if (!e) return ATOLL_E_NOMEM;
    GC_call_with_alloc_lock(link_engine, e);
    engine->heap = e;
    return ATOLL_OK;
}

enum atoll_status rt_heap_start_engine(struct rt_engine *engine) {
    pthread_mutex_lock(&collector.lock);
    if (!rt_heap_started()) start_collector();
    raise_limit(rt_heap_limit(engine));
    rt_heap_enter_thread();
    enum atoll_status status = start_engine(engine);
    pthread_mutex_unlock(&collector.lock);
    return status;
}

enum atoll_status rt_heap_start(struct rt_store *store, struct atoll_error *err) {
    if (store->heap) {
        rt_heap_enter_thread();
        return ATOLL_OK;
    }
    struct rt_heap *heap = atoll_new(rt_alloc(store), 1, sizeof *heap);
    if (!heap) return atoll_fail(err, ATOLL_E_NOMEM, ATOLL_NO_OFFSET, "out of memory");
    enum atoll_status status = rt_heap_start_engine(store->engine);
    if (status) {
        atoll_free(rt_alloc(store), heap, sizeof *heap);
        return atoll_fail(err, status, ATOLL_NO_OFFSET, "out of memory");
    }
    heap->store = store;
    GC_call_with_alloc_lock(link_heap, heap);
    return ATOLL_OK;
}

void rt_heap_free(struct rt_store *store) {
    if (!store->heap) return;
    GC_call_with_alloc_lock(unlink_heap, store->heap);
    atoll_free(rt_alloc(store), store->heap, sizeof *store->heap);
    store->heap = NULL;
}

void rt_heap_engine_free(struct rt_engine *engine) {
    if (!engine->heap) return;
    GC_call_with_alloc_lock(unlink_engine, engine->heap);
    atoll_free(engine->alloc, engine->heap, sizeof *engine->heap);
}

bool rt_heap_pause(const struct rt_store *store) {
    if (store->heap) GC_disable();
    return store->heap != NULL;
}

void rt_heap_resume(bool paused) {
    if (paused) GC_enable();
}

void rt_heap_usage(uint64_t *out_heap, uint64_t *out_allocated) {
    *out_heap = rt_heap_started() ? GC_get_heap_size() : 0;
    *out_allocated = rt_heap_started() ? GC_get_total_bytes() : 0;
}

void rt_heap_collect(void) {
    if (rt_heap_started()) GC_gcollect();
}

/* ---- host roots ---- */

struct root_change {
    struct rt_store *store;
    struct rt_root *root;
};

static void *link_root(void *p) {
    struct root_change *c = p;
    c->root->next = c->store->roots;
    c->root->link = &c->store->roots;
    if (c->root->next) c->root->next->link = &c->root->next;
    c->store->roots = c->root;
    return NULL;
}

static void *unlink_root(void *p) {
    struct rt_root *root = p;
    *root->link = root->next;
    if (root->next) root->next->link = root->link;
    root->link = NULL;
    return NULL;
}

/* While no collector walks the list. */
static void change(void *(*function)(void *), void *argument) {
    if (rt_heap_started())
        GC_call_with_alloc_lock(function, argument);
    else
        function(argument);
}

void rt_root_add(struct rt_store *store, struct rt_root *root) {
    change(link_root, &(struct root_change){store, root});
}

void rt_root_remove(struct rt_root *root) {
    if (root->link) change(unlink_root, root);
}

/* ---- allocation ---- */

static int kind_of(enum rt_space space) {
    return space == RT_SPACE_PLAIN  ? GC_I_PTRFREE
           : space == RT_SPACE_REFS ? GC_I_NORMAL
                                    : (int)collector.mixed_kind;
}

/* The batch goes straight to the list, whose objects are roots: libgc builds it without its lock, and lets a
 * collection begin as soon as the list is where it was told to put it. */
void *rt_heap_refill(struct rt_store *store, uint32_t list) {
    size_t size = list % RT_SMALL_CLASSES * 16;
    GC_generic_malloc_many(size, kind_of((enum rt_space)(list / RT_SMALL_CLASSES)), &store->heap->free[list]);
    return store->heap->free[list] ? rt_free_list_take(store->heap, list) : NULL;
}

/* References in large objects are not cleared here, in one go that nothing could stop: who wants them null does it.
 * A collection may read what was there before, and keeps too much at worst. */
static void *allocate_large(enum rt_space space, size_t size) {
    if (size < RT_UNCLEARED_BYTES) return GC_generic_malloc(size, kind_of(space));
    return GC_generic_malloc_ignore_off_page(size, space == RT_SPACE_REFS ? (int)collector.large_kind
                                                                          : kind_of(space));
}

void *rt_object_new(struct rt_store *store, const struct rt_layout *layout, size_t size_bytes) {
    struct rt_object *object;
    if (size_bytes <= RT_SMALL_BYTES) {
        uint32_t list = rt_free_list(layout, (uint32_t)size_bytes);
        object = store->heap->free[list] ? rt_free_list_take(store->heap, list) : rt_heap_refill(store, list);
    } else {
        object = allocate_large((enum rt_space)layout->space, size_bytes);
    }
    if (object) object->layout = layout;
    return object;
}

/* ---- layouts ---- */

static uint8_t field_log2(const struct rt_valtype *t) {
    switch (t->kind) {
    case BC_KIND_PACKED: return t->heap == 8 ? 0 : 1;
    case BC_KIND_I32:
    case BC_KIND_F32: return 2;
    case BC_KIND_V128: return 4;
    default: return 3;
    }
}

static bool is_ref(const struct rt_valtype *t) { return t->kind == BC_KIND_REF; }

/* A field's place behind `size` bytes; v128 is aligned to 8. */
static uint32_t place_field(uint32_t *size, uint8_t log2) {
    uint32_t align = log2 > 3 ? 8 : 1u << log2, at = (*size + align - 1) & ~(align - 1);
    *size = at + (1u << log2);
    return at;
}

static void set_ref_word(uint64_t *words, uint32_t offset) {
    words[offset / 512] |= UINT64_C(1) << offset / 8 % 64;
}

/* From the words that hold references: the space and what the collector reads. The layout itself is one. */
static void describe(struct rt_layout *layout, uint64_t *ref_words, uint32_t n_words, bool any_ref,
                     bool only_refs) {
    layout->space = !any_ref ? RT_SPACE_PLAIN : only_refs ? RT_SPACE_REFS : RT_SPACE_MIXED;
    if (layout->space != RT_SPACE_MIXED) return;
    if (n_words > DESCRIPTOR_BITS) {
        layout->ref_words = ref_words;
        layout->gc_descriptor = GC_MAKE_PROC(collector.mark_proc, 0);
        return;
    }
    GC_word bits = GC_DS_BITMAP | (GC_word)1 << 63;
    for (uint32_t i = 0; i < n_words; i++)
        if (ref_words[0] >> i & 1) bits |= (GC_word)1 << (63 - i);
    layout->gc_descriptor = bits;
}

/* Fields and the bit set are parts of the layout's own allocation. */
static struct rt_layout *new_layout(const struct rt_type *type, enum rt_object_form form, uint32_t n_fields,
                                    uint32_t n_words, uint64_t **out_ref_words) {
    size_t bytes =
        sizeof(struct rt_layout) + n_fields * sizeof(struct rt_slot_place) + (n_words / 64 + 1) * 8;
    struct rt_layout *layout = GC_malloc(bytes + 8);
    if (!layout) return NULL;
    *out_ref_words = (uint64_t *)(layout + 1);
    layout->type = type;
    layout->form = (uint8_t)form;
    layout->n_fields = n_fields;
    layout->fields = (const struct rt_slot_place *)(*out_ref_words + n_words / 64 + 1);
    return layout;
}

static struct rt_layout *struct_layout(const struct rt_type *type) {
    uint64_t *ref_words;
    uint32_t size = 8;
    for (uint32_t i = 0; i < type->n_fields; i++) place_field(&size, field_log2(&type->fields[i].type));
    struct rt_layout *layout =
        new_layout(type, RT_OBJECT_STRUCT, type->n_fields, (size + 15) / 16 * 2, &ref_words);
    if (!layout) return NULL;
    struct rt_slot_place *places = (struct rt_slot_place *)(uintptr_t)layout->fields;
    bool any_ref = false, only_refs = true;
    size = 8;
    layout->uniform = true;
    for (uint32_t i = 0; i < type->n_fields; i++) {
        const struct rt_valtype *t = &type->fields[i].type;
        places[i].size_log2 = field_log2(t);
        places[i].offset = place_field(&size, places[i].size_log2);
        if (places[i].size_log2 != 3) layout->uniform = false;
        if (is_ref(t)) set_ref_word(ref_words, places[i].offset);
        any_ref |= is_ref(t);
        only_refs &= is_ref(t);
    }
    layout->size_bytes = (size + 15) & ~15u;
    describe(layout, ref_words, layout->size_bytes / 8, any_ref, only_refs);
    return layout;
}

static struct rt_layout *array_layout(const struct rt_type *type) {
    uint64_t *ref_words;
    struct rt_layout *layout = new_layout(type, RT_OBJECT_ARRAY, 0, 1, &ref_words);
    if (!layout) return NULL;
    layout->elem_log2 = field_log2(&type->fields[0].type);
    layout->space = is_ref(&type->fields[0].type) ? RT_SPACE_REFS : RT_SPACE_PLAIN;
    return layout;
}

static struct rt_layout *exception_layout(const struct rt_type *tag_type) {
    uint64_t *ref_words;
    uint32_t size = sizeof(struct rt_exception) + tag_type->param_slots * 8, at = sizeof(struct rt_exception);
    struct rt_layout *layout = new_layout(tag_type, RT_OBJECT_EXCEPTION, 0, (size + 15) / 16 * 2, &ref_words);
    if (!layout) return NULL;
    bool any_ref = false;
    for (uint32_t i = 0; i < tag_type->n_params; i++) {
        if (is_ref(&tag_type->params[i])) {
            set_ref_word(ref_words, at);
            any_ref = true;
        }
        at += tag_type->params[i].kind == BC_KIND_V128 ? 16 : 8;
    }
    layout->size_bytes = (size + 15) & ~15u;
    describe(layout, ref_words, layout->size_bytes / 8, any_ref, false);
    return layout;
}

static struct rt_layout *host_layout(void) {
    uint64_t *ref_words;
    struct rt_layout *layout = new_layout(NULL, RT_OBJECT_HOST, 0, 2, &ref_words);
    if (!layout) return NULL;
    layout->size_bytes = sizeof(struct rt_host_box);
    layout->space = RT_SPACE_PLAIN;
    return layout;
}

static const struct rt_layout *keep(struct rt_engine *engine, const struct rt_layout *_Atomic *place,
                                    struct rt_layout *made) {
    if (made) {
        made->next = engine->heap->layouts;
        engine->heap->layouts = made;
        atomic_store_explicit(place, made, memory_order_release);
    }
    return made;
}

static struct rt_layout *make_layout(const struct rt_type *type) {
    return type->form == BC_TYPE_STRUCT  ? struct_layout(type)
           : type->form == BC_TYPE_ARRAY ? array_layout(type)
                                         : exception_layout(type);
}

const struct rt_layout *rt_layout_of(struct rt_engine *engine, const struct rt_type *type) {
    /* the only field of a type that is set after it was published */
    const struct rt_layout *_Atomic *place = &((struct rt_type *)(uintptr_t)type)->layout;
    const struct rt_layout *layout = atomic_load_explicit(place, memory_order_acquire);
    if (layout) return layout;
    pthread_mutex_lock(&collector.lock);
    layout = atomic_load_explicit(place, memory_order_relaxed);
    if (!layout) layout = keep(engine, place, make_layout(type));
    pthread_mutex_unlock(&collector.lock);
    return layout;
}

const struct rt_layout *rt_host_layout_of(struct rt_engine *engine) {
    const struct rt_layout *_Atomic *place = &engine->heap->host_layout;
    pthread_mutex_lock(&collector.lock);
    const struct rt_layout *layout = atomic_load_explicit(place, memory_order_relaxed);
    if (!layout) layout = keep(engine, place, host_layout());
    pthread_mutex_unlock(&collector.lock);
    return layout;
}
