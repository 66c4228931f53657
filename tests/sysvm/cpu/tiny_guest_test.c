/* tests/sysvm/cpu/tiny_guest_test.c: guests of a few bytes, in real, protected and 64-bit mode, on one engine (usage:
 * tiny_guest_test kvm|soft; kvm is whatever /dev/kvm there is): every way a processor comes back, its state,
 * interrupts, doorbells, several processors. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "tests/sysvm/suite.h"
#include "sysvm/cpu/engine.h"
#include "sysvm/layout.h"

static const struct vm_engine_ops *ops;

struct fixture {
    struct vm_memory *memory;
    void *engine, *vcpus[8];
    unsigned n_cpus;
};

static struct fixture *machine_of(unsigned n_cpus) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->n_cpus = n_cpus;
    assert_int_equal(vm_memory_new(&atoll_default_alloc, 4 << 20, &f->memory, NULL), ATOLL_OK);
    struct vm_engine_config config = {.alloc = &atoll_default_alloc, .memory = f->memory, .n_cpus = n_cpus};
    assert_int_equal(ops->create(&config, &f->engine, NULL), ATOLL_OK);
    for (unsigned i = 0; i < n_cpus; i++)
        assert_int_equal(ops->vcpu_new(f->engine, i, &f->vcpus[i], NULL), ATOLL_OK);
    return f;
}

static int set_up(void **state) {
    *state = machine_of(1);
    return 0;
}

static int set_up_8(void **state) {
    *state = machine_of(8);
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    for (unsigned i = 0; i < f->n_cpus; i++) ops->vcpu_free(f->vcpus[i]);
    ops->destroy(f->engine);
    vm_memory_free(f->memory);
    free(f);
    return 0;
}

static void put(struct fixture *f, uint64_t gpa, const void *code, size_t n) {
    assert_true(vm_memory_write(f->memory, gpa, code, n));
}

static void start_real(struct fixture *f, const void *code, size_t n) {
    struct vm_cpu_state state;
    put(f, 0x10000, code, n);
    vm_state_real(&state, 0x1000, 0);
    assert_int_equal(ops->set_state(f->vcpus[0], &state), 0);
}

static void start_long(struct fixture *f, const void *code, size_t n) {
    struct vm_cpu_state state;
    put(f, VM_KERNEL_BASE, code, n);
    assert_true(vm_state_long(&state, f->memory, VM_KERNEL_BASE));
    assert_int_equal(ops->set_state(f->vcpus[0], &state), 0);
}

static struct vm_exit run(struct fixture *f) {
    struct vm_exit exit;
    do ops->run(f->vcpus[0], &exit);
    while (exit.kind == VM_EXIT_NONE);
    return exit;
}

static void assert_out(struct fixture *f, unsigned port, unsigned n_bytes, uint32_t value) {
    struct vm_exit exit = run(f);
    uint32_t got = 0;
    assert_int_equal(exit.kind, VM_EXIT_PORT);
    assert_true(exit.is_write);
    assert_int_equal(exit.address, port);
    assert_int_equal(exit.n_bytes, n_bytes);
    memcpy(&got, exit.data, n_bytes);
    assert_int_equal(got, value);
}

/* ---- ports and memory ---- */

static void real_mode_reads_and_writes_ports(void **state) {
    static const uint8_t code[] = {0xE4, 0x60,                /* in al, 0x60 */
                                   0xFE, 0xC0,                /* inc al */
                                   0xE6, 0x62,                /* out 0x62, al */
                                   0xB8, 0x34, 0x12,          /* mov ax, 0x1234 */
                                   0xBA, 0xF8, 0x03,          /* mov dx, 0x3f8 */
                                   0xEF,                      /* out dx, ax */
                                   0x66, 0xB8, 4,    3, 2, 1, /* mov eax, 0x01020304 */
                                   0x66, 0xEF};               /* out dx, eax */
    struct fixture *f = *state;
    start_real(f, code, sizeof code);
    struct vm_exit exit = run(f);
    assert_int_equal(exit.kind, VM_EXIT_PORT);
    assert_false(exit.is_write);
    assert_int_equal(exit.address, 0x60);
    *(uint8_t *)exit.data = 0x41;
    assert_out(f, 0x62, 1, 0x42);
    assert_out(f, 0x3F8, 2, 0x1234);
    assert_out(f, 0x3F8, 4, 0x01020304);
}

static void string_output_arrives_in_order(void **state) {
    static const uint8_t code[] = {0xBE, 0x20, 0x00,       /* mov si, 0x20 */
                                   0xB9, 0x05, 0x00,       /* mov cx, 5 */
                                   0xBA, 0xF8, 0x03,       /* mov dx, 0x3f8 */
                                   0xFC, 0x2E, 0xF3, 0x6E, /* cld; rep outsb cs: */
                                   0xE6, 0x80};            /* out 0x80, al */
    struct fixture *f = *state;
    char got[16] = "";
    size_t n = 0;
    start_real(f, code, sizeof code);
    put(f, 0x10020, "hello", 5);
    for (;;) {
        struct vm_exit exit = run(f);
        assert_int_equal(exit.kind, VM_EXIT_PORT);
        if (exit.address == 0x80) break;
        assert_int_equal(exit.n_bytes, 1);
        assert_in_range(n + exit.count, 1, 5);
        memcpy(got + n, exit.data, exit.count);
        n += exit.count;
    }
    assert_string_equal(got, "hello");
}

/* The first word lies on both sides of the edge. */
static void string_io_goes_over_the_edge_of_a_page(void **state) {
    static const uint8_t code[] = {0x0E, 0x07,             /* push cs; pop es */
                                   0xBE, 0xFF, 0x0F,       /* mov si, 0xfff */
                                   0xB9, 0x03, 0x00,       /* mov cx, 3 */
                                   0xBA, 0xF8, 0x03,       /* mov dx, 0x3f8 */
                                   0xFC, 0x2E, 0xF3, 0x6F, /* cld; rep outsw cs: */
                                   0xBF, 0xFF, 0x1F,       /* mov di, 0x1fff */
                                   0xB9, 0x02, 0x00,       /* mov cx, 2 */
                                   0xF3, 0x6D,             /* rep insw */
                                   0xE6, 0x80};            /* out 0x80, al */
    struct fixture *f = *state;
    char got[16] = "";
    size_t n_out = 0, n_in = 0;
    start_real(f, code, sizeof code);
    put(f, 0x10FFF, "string", 6);
    for (;;) {
        struct vm_exit exit = run(f);
        assert_int_equal(exit.kind, VM_EXIT_PORT);
        if (exit.address == 0x80) break;
        assert_int_equal(exit.n_bytes, 2);
        if (exit.is_write) {
            assert_in_range(n_out + 2 * exit.count, 2, 6);
            memcpy(got + n_out, exit.data, 2 * exit.count);
            n_out += 2 * exit.count;
        } else {
            assert_in_range(n_in + 2 * exit.count, 2, 4);
            memcpy(exit.data, &"page"[n_in], 2 * exit.count);
            n_in += 2 * exit.count;
        }
    }
    assert_string_equal(got, "string");
    assert_true(vm_memory_read(f->memory, 0x11FFF, got, 5));
    assert_memory_equal(got, "page", 5); /* and nothing behind it */
}

static void long_mode_reaches_memory_that_is_not_ram(void **state) {
    static const uint8_t code[] = {0xBB, 0x10, 0x00, 0x00, 0xC0, /* mov ebx, 0xc0000010 */
                                   0x48, 0x8B, 0x03,             /* mov rax, [rbx] */
                                   0x48, 0xFF, 0xC0,             /* inc rax */
                                   0x89, 0x43, 0x08,             /* mov [rbx+8], eax */
                                   0x66, 0x89, 0x43, 0x02};      /* mov [rbx+2], ax */
    struct fixture *f = *state;
    start_long(f, code, sizeof code);
    struct vm_exit exit = run(f);
    assert_int_equal(exit.kind, VM_EXIT_MEMORY);
    assert_false(exit.is_write);
    assert_true(exit.address == 0xC0000010);
    assert_int_equal(exit.n_bytes, 8);
    memset(exit.data, 0x11, 8);
    exit = run(f);
    assert_int_equal(exit.kind, VM_EXIT_MEMORY);
    assert_true(exit.is_write);
    assert_true(exit.address == 0xC0000018);
    assert_int_equal(exit.n_bytes, 4);
    assert_memory_equal(exit.data, "\x12\x11\x11\x11", 4);
    exit = run(f);
    assert_true(exit.address == 0xC0000012);
    assert_int_equal(exit.n_bytes, 2);
}

static void guest_memory_is_the_hosts(void **state) {
    static const uint8_t code[] = {0x48, 0xC7, 0x04, 0x25, 0, 0,
                                   0x20, 0,    0x2A, 0,    0, 0, /* mov qword [0x200000], 42 */
                                   0xE6, 0x80};
    struct fixture *f = *state;
    uint64_t value = 0;
    start_long(f, code, sizeof code);
    run(f);
    assert_true(vm_memory_read(f->memory, 0x200000, &value, 8));
    assert_int_equal(value, 42);
}

/* ---- state ---- */

static void state_comes_back_as_it_was_set(void **state) {
    struct fixture *f = *state;
    struct vm_cpu_state set, got;
    assert_true(vm_state_long(&set, f->memory, VM_KERNEL_BASE));
    for (unsigned i = 0; i < 16; i++) set.gpr[i] = 0x0101010101010101 * (i + 1);
    assert_int_equal(ops->set_state(f->vcpus[0], &set), 0);
    assert_int_equal(ops->get_state(f->vcpus[0], &got), 0);
    assert_memory_equal(set.gpr, got.gpr, sizeof set.gpr);
    assert_true(got.rip == VM_KERNEL_BASE && got.cr3 == set.cr3 && got.efer == set.efer);
    for (int i = 0; i < VM_LDT; i++) {
        assert_int_equal(got.segments[i].access, set.segments[i].access);
        assert_int_equal(got.segments[i].selector, set.segments[i].selector);
        assert_int_equal(got.segments[i].limit, set.segments[i].limit);
    }
}

static void flat_protected_mode_starts(void **state) {
    static const uint8_t code[] = {0xA1, 0x00, 0x00, 0x20, 0x00, /* mov eax, [0x200000] */
                                   0xE7, 0x80};                  /* out 0x80, eax */
    struct fixture *f = *state;
    struct vm_cpu_state start;
    put(f, VM_KERNEL_BASE, code, sizeof code);
    put(f, 0x200000, "\xEF\xBE\xAD\xDE", 4);
    vm_state_flat32(&start, VM_KERNEL_BASE);
    assert_int_equal(ops->set_state(f->vcpus[0], &start), 0);
    assert_out(f, 0x80, 4, 0xDEADBEEF);
}

static void a_triple_fault_is_a_reset(void **state) {
    static const uint8_t code[] = {0x0F, 0x0B}; /* ud2, and there is no IDT */
    struct fixture *f = *state;
    start_long(f, code, sizeof code);
    assert_int_equal(run(f).kind, VM_EXIT_RESET);
}

/* ---- kicks ---- */

static void a_kick_before_the_run_ends_it(void **state) {
    static const uint8_t code[] = {0xEB, 0xFE}; /* 1: jmp 1b */
    struct fixture *f = *state;
    struct vm_exit exit;
    start_long(f, code, sizeof code);
    ops->kick(f->vcpus[0]);
    ops->run(f->vcpus[0], &exit);
    assert_int_equal(exit.kind, VM_EXIT_NONE);
}

struct runner {
    struct fixture *f;
    struct vm_exit exit;
};

static void *run_on_thread(void *context) {
    struct runner *runner = context;
    ops->run(runner->f->vcpus[0], &runner->exit);
    return NULL;
}

static void a_kick_ends_a_loop_and_a_halt(void **state) {
    static const uint8_t loop[] = {0xEB, 0xFE}, halt[] = {0xF4, 0xEB, 0xFD};
    struct fixture *f = *state;
    for (int i = 0; i < 2; i++) {
        struct runner runner = {.f = f};
        pthread_t thread;
        start_long(f, i ? halt : loop, i ? sizeof halt : sizeof loop);
        assert_int_equal(pthread_create(&thread, NULL, run_on_thread, &runner), 0);
        ops->kick(f->vcpus[0]); /* before, while or after it enters the guest: each has to do */
        pthread_join(thread, NULL);
        assert_int_equal(runner.exit.kind, VM_EXIT_NONE);
        tear_down(state);
        set_up(state);
        f = *state;
    }
}

/* ---- faults without end ---- */

/* Guests that fault for ever, the processor itself being busy with it, from the time MARK is 1 on. */
#define MARK 0x3000

static const uint8_t iret16[] = {0xCF}, iret64[] = {0x48, 0xCF};

/* ud2, whose handler goes back to it. */
static void start_invalid(struct fixture *f) {
    static const uint8_t code[] = {0xC6, 0x06, 0x00, 0x30, 0x01, /* movb $1, 0x3000 */
                                   0x0F, 0x0B};                  /* ud2 */
    start_real(f, code, sizeof code);
    put(f, 0x10040, iret16, sizeof iret16);
    put(f, 6 * 4, "\x40\x00\x00\x10", 4);
}

/* Single steps, whose handler goes back with TF on. */
static void start_steps(struct fixture *f) {
    static const uint8_t code[] = {0xC6, 0x06, 0x00, 0x30, 0x01, /* movb $1, 0x3000 */
                                   0x68, 0x02, 0x01,             /* push 0x102 */
                                   0x9D,                         /* popf */
                                   0xEB, 0xFE};                  /* 1: jmp 1b */
    start_real(f, code, sizeof code);
    put(f, 0x10040, iret16, sizeof iret16);
    put(f, 1 * 4, "\x40\x00\x00\x10", 4);
}

/* #DB on its own stack (IST 1, at 0x9000), where the frame's push is watched: CVE-2015-8104. */
static void start_watched_frames(struct fixture *f) {
    static const uint8_t code[] = {0xB8, 0xE0, 0x8F, 0,    0,                   /* mov eax, 0x8fe0 */
                                   0x0F, 0x23, 0xC0,                            /* mov dr0, rax */
                                   0xB8, 0x01, 0x00, 0x09, 0,                   /* writes, 8 bytes */
                                   0x0F, 0x23, 0xF8,                            /* mov dr7, rax */
                                   0xC6, 0x04, 0x25, 0x00, 0x30, 0x00, 0x00, 1, /* movb $1, 0x3000 */
                                   0xCC,                                        /* 1: int3 */
                                   0xEB, 0xFD};                                 /* jmp 1b */
    static const uint64_t ist = 0x9000, gate[2] = {0x00008E0100100000 | 0x6000};
    struct vm_cpu_state state;
    start_long(f, code, sizeof code);
    put(f, 0x4000 + 1 * 16, gate, sizeof gate);
    put(f, 0x4000 + 3 * 16, gate, sizeof gate);
    put(f, 0x5000 + 0x24, &ist, sizeof ist);
    put(f, 0x6000, iret64, sizeof iret64);
    assert_true(vm_state_long(&state, f->memory, VM_KERNEL_BASE));
    state.idt.base = 0x4000, state.idt.limit = 0xFFF;
    state.segments[VM_TR] =
        (struct vm_segment){.base = 0x5000, .limit = 0x67, .selector = 0x20, .access = 0x8B};
    assert_int_equal(ops->set_state(f->vcpus[0], &state), 0);
}

/* #AC in ring 3, delivered to ring 3 on a stack that is not aligned: CVE-2015-5307. */
static void start_misaligned_frames(struct fixture *f) {
    static const uint8_t code[] = {0xC6, 0x05, 0x00, 0x30, 0x00, 0x00, 1, /* movb $1, 0x3000 */
                                   0xA1, 0x01, 0x30, 0x00, 0x00};         /* mov eax, [0x3001] */
    static const uint64_t gdt[5] = {[3] = 0x00CFFB000000FFFF, [4] = 0x00CFF3000000FFFF};
    static const uint64_t gate = 0x0000EE00001B6000;
    struct vm_cpu_state state;
    put(f, VM_KERNEL_BASE, code, sizeof code);
    put(f, 0x4000 + 17 * 8, &gate, sizeof gate);
    put(f, 0x5000, gdt, sizeof gdt);
    put(f, 0x6000, "\xEB\xFE", 2);
    vm_state_flat32(&state, VM_KERNEL_BASE);
    for (int i = 0; i < VM_LDT; i++)
        state.segments[i] = (struct vm_segment){.limit = UINT32_MAX,
                                                .selector = i == VM_CS ? 0x1B : 0x23,
                                                .access = i == VM_CS ? 0xC0FB : 0xC0F3};
    state.gdt.base = 0x5000, state.gdt.limit = sizeof gdt - 1;
    state.idt.base = 0x4000, state.idt.limit = 0x7FF;
    state.cr0 |= 1 << 18;    /* AM */
    state.rflags |= 1 << 18; /* AC */
    state.gpr[VM_RSP] = 0x8001;
    assert_int_equal(ops->set_state(f->vcpus[0], &state), 0);
}

/* It ends as the engine likes, but a kick ends the run. */
static void faults_without_end_can_be_stopped(void **state) {
    static void (*const guests[])(struct fixture * f) = {start_invalid, start_steps, start_watched_frames,
                                                         start_misaligned_frames};
    for (size_t i = 0; i < sizeof guests / sizeof *guests; i++) {
        struct fixture *f = *state;
        const volatile uint8_t *mark = vm_memory_at(f->memory, MARK, 1);
        guests[i](f);
        for (int round = 0; round < 3; round++) {
            struct runner runner = {.f = f};
            pthread_t thread;
            assert_int_equal(pthread_create(&thread, NULL, run_on_thread, &runner), 0);
            while (round == 0 && !*mark) sched_yield();
            ops->kick(f->vcpus[0]);
            pthread_join(thread, NULL);
            if (runner.exit.kind != VM_EXIT_NONE) break; /* a triple fault, an engine that gave up */
        }
        tear_down(state);
        set_up(state);
    }
}

/* ---- interrupts and doorbells ---- */

/* Real mode, vector 0x21 -> 0x1000:0x40 (out 0x81, al; iret); the rest waits with interrupts on. */
static void put_interrupt_guest(struct fixture *f) {
    static const uint8_t code[] = {0xFB, 0xE6, 0x80,
                                   0xF4, 0xEB, 0xFD}; /* sti; out 0x80, al; 1: hlt; jmp 1b */
    static const uint8_t handler[] = {0xE6, 0x81, 0xCF};
    start_real(f, code, sizeof code);
    put(f, 0x10040, handler, sizeof handler);
    put(f, 0x21 * 4, "\x40\x00\x00\x10", 4);
}

/* Comes to port 0x80 with interrupts off; 0x81 is what vector 0x21 leads to, once. */
static void start_message_guest(struct fixture *f) {
    static const uint8_t enable[] = {/* spurious vector register of the local APIC: on */
                                     0xB8, 0xF0, 0x00, 0xE0, 0xFE,       /* mov eax, 0xfee000f0 */
                                     0xC7, 0x00, 0xFF, 0x01, 0x00, 0x00, /* mov dword [rax], 0x1ff */
                                     0xE6, 0x80, 0xFB, 0xF4};            /* out 0x80, al; sti; hlt */
    start_long(f, enable, sizeof enable);
    /* IDT at 0x2000, vector 0x21 -> 0x100100: mov dword [rax - 0x40], 0 (end of interrupt); out 0x81, al */
    uint64_t gate[2] = {0x100100 & 0xFFFF, 0};
    gate[0] |= UINT64_C(0x10) << 16 | UINT64_C(0x8E00) << 32 | UINT64_C(0x10) << 48;
    put(f, 0x2000 + 0x21 * 16, gate, sizeof gate);
    put(f, 0x100100, "\xC7\x40\xC0\0\0\0\0\xE6\x81", 9);
    struct vm_cpu_state start;
    assert_int_equal(ops->get_state(f->vcpus[0], &start), 0);
    start.idt.base = 0x2000;
    start.idt.limit = 0xFFF;
    start.gpr[VM_RSP] = 0x300000;
    assert_int_equal(ops->set_state(f->vcpus[0], &start), 0);
    assert_int_equal(run(f).address, 0x80);
}

static void assert_handled(struct fixture *f) {
    struct vm_exit exit = run(f);
    assert_int_equal(exit.kind, VM_EXIT_PORT);
    assert_int_equal(exit.address, 0x81);
}

static void a_message_interrupts(void **state) {
    struct fixture *f = *state;
    start_message_guest(f);
    ops->irq.msi(f->engine, 0xFEE00000, 0x21);
    assert_handled(f);
}

static void write_wire(int wire) {
    uint64_t one = 1;
    assert_int_equal(write(wire, &one, sizeof one), sizeof one);
}

/* What was written to a wire arrives, though it ends before the processor runs; one made later is another one. */
static void a_wire_sends_its_message(void **state) {
    struct fixture *f = *state;
    if (!ops->irq.wire) return; /* then devices do without */
    int other = ops->irq.wire(f->engine, 0xFEE01000, 0x30), wire = ops->irq.wire(f->engine, 0xFEE00000, 0x21);
    assert_true(other >= 0 && wire >= 0);
    ops->irq.unwire(f->engine, other);
    start_message_guest(f);
    write_wire(wire);
    ops->irq.unwire(f->engine, wire);
    assert_handled(f);
    wire = ops->irq.wire(f->engine, 0xFEE00000, 0x21);
    start_message_guest(f);
    write_wire(wire);
    assert_handled(f);
    ops->irq.unwire(f->engine, wire);
}

static void wires_run_out_and_come_back(void **state) {
    enum { MANY = 1000 };
    struct fixture *f = *state;
    int wires[MANY], n = 0;
    if (!ops->irq.wire) return;
    for (int round = 0; round < 2; round++) {
        int before = n;
        for (n = 0; n < MANY && (wires[n] = ops->irq.wire(f->engine, 0xFEE00000, 0x21)) >= 0;) n++;
        assert_int_equal(n < MANY ? wires[n] : 0, -ENOSPC);
        assert_true(n > 0 && (!round || n == before));
        if (!round)
            for (int i = 0; i < n; i++) ops->irq.unwire(f->engine, wires[i]);
    }
    start_message_guest(f);
    write_wire(wires[n - 1]);
    assert_handled(f);
    for (int i = 0; i < n; i++) ops->irq.unwire(f->engine, wires[i]);
}

static void a_line_interrupts_through_the_controllers(void **state) {
    struct fixture *f = *state;
    /* 8259: vectors from 0x20, only line 1 unmasked */
    static const uint8_t init[] = {0xB0, 0x11, 0xE6, 0x20, 0xB0, 0x20, 0xE6, 0x21, 0xB0, 0x04, 0xE6, 0x21,
                                   0xB0, 0x01, 0xE6, 0x21, 0xB0, 0xFD, 0xE6, 0x21, 0xFB, 0xE6, 0x80, 0xF4};
    /* and go on doing so when messages have wires */
    int wire = ops->irq.wire ? ops->irq.wire(f->engine, 0xFEE00000, 0x21) : -1;
    put_interrupt_guest(f);
    start_real(f, init, sizeof init);
    assert_int_equal(run(f).address, 0x80);
    ops->irq.line(f->engine, 1, true);
    struct vm_exit exit = run(f);
    ops->irq.line(f->engine, 1, false);
    if (wire >= 0) ops->irq.unwire(f->engine, wire);
    assert_int_equal(exit.kind, VM_EXIT_PORT);
    assert_int_equal(exit.address, 0x81);
}

static void a_doorbell_rings_without_coming_back(void **state) {
    static const uint8_t code[] = {0xBB, 0x00, 0x10, 0x00, 0xC0, /* mov ebx, 0xc0001000 */
                                   0x66, 0x89, 0x03,             /* mov [rbx], ax */
                                   0x66, 0x89, 0x03, 0xE6, 0x80};
    struct fixture *f = *state;
    int bell = eventfd(0, EFD_NONBLOCK);
    uint64_t rings = 0;
    assert_int_equal(ops->irq.doorbell(f->engine, 0xC0001000, 2, bell, true), 0);
    start_long(f, code, sizeof code);
    struct vm_exit exit = run(f);
    assert_int_equal(exit.kind, VM_EXIT_PORT);
    assert_int_equal(read(bell, &rings, sizeof rings), sizeof rings);
    assert_int_equal(rings, 2);
    assert_int_equal(ops->irq.doorbell(f->engine, 0xC0001000, 2, bell, false), 0);
    start_long(f, code, sizeof code);
    assert_int_equal(run(f).kind, VM_EXIT_MEMORY);
    close(bell);
}

/* ---- several processors ---- */

struct started {
    void *vcpu;
    int *n_outs;
    atomic_bool *done;
};

static void *run_until_done(void *context) {
    const struct started *s = context;
    struct vm_exit exit;
    while (!*s->done) {
        ops->run(s->vcpu, &exit);
        if (exit.kind == VM_EXIT_PORT && exit.address == 0x90)
            __atomic_add_fetch(s->n_outs, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

/* Number 0 sends INIT and start-up messages to all others, who count themselves at 0x8000 and tell a port. */
static void eight_processors_start(void **state) {
    static const uint8_t code[] = {
        0xBB, 0x00, 0x00, 0xE0, 0xFE,                                     /* mov ebx, 0xfee00000 */
        0xC7, 0x83, 0xF0, 0,    0,    0,    0xFF, 0x01, 0,    0,          /* [rbx+f0] = 1ff */
        0xC7, 0x83, 0x00, 0x03, 0,    0,    0x00, 0x45, 0x0C, 0x00,       /* INIT, all but self */
        0xC7, 0x83, 0x00, 0x03, 0,    0,    0x11, 0x46, 0x0C, 0x00,       /* start at 0x11000 */
        0x83, 0x3C, 0x25, 0x00, 0x80, 0x00, 0x00, 0x07,                   /* 1: cmp [0x8000], 7 */
        0xF3, 0x90, 0x75, 0xF4, 0xE6, 0x80};                              /* pause; jne 1b; out */
    static const uint8_t started[] = {0xF0, 0x66, 0xFF, 0x06, 0x00, 0x80, /* lock inc dword [0x8000] */
                                      0xE6, 0x90, 0xF4, 0xEB, 0xFD};      /* out 0x90, al; hlt */
    struct fixture *f = *state;
    pthread_t threads[8];
    struct started arguments[8];
    atomic_bool done = false;
    int n_outs = 0;
    start_long(f, code, sizeof code);
    put(f, 0x11000, started, sizeof started);
    for (int i = 1; i < 8; i++) {
        arguments[i] = (struct started){f->vcpus[i], &n_outs, &done};
        assert_int_equal(pthread_create(&threads[i], NULL, run_until_done, &arguments[i]), 0);
    }
    struct vm_exit exit = run(f);
    assert_int_equal(exit.kind, VM_EXIT_PORT);
    assert_int_equal(exit.address, 0x80);
    while (__atomic_load_n(&n_outs, __ATOMIC_SEQ_CST) < 7) usleep(1000);
    done = true;
    for (int i = 1; i < 8; i++) {
        ops->kick(f->vcpus[i]);
        pthread_join(threads[i], NULL);
    }
}

/* ---- the choice ---- */

static void a_rate_is_measured(void **state) {
    (void)state;
    uint64_t rate = 0;
    struct vm_probe *probe;
    assert_int_equal(vm_engine_measure(&atoll_default_alloc, ops, &rate, &probe, NULL), ATOLL_OK);
    vm_probe_free(probe);
    print_message("%llu instructions a second\n", (unsigned long long)rate);
    assert_true(rate > 1000);
}

static void auto_takes_kvm_only_where_it_is_fast(void **state) {
    (void)state;
    uint64_t rate = 0;
    const struct vm_engine_ops *chosen = NULL;
    struct vm_probe *probe, *again;
    char why[VM_ENGINE_WHY];
    assert_int_equal(vm_engine_choose(&atoll_default_alloc, VM_ENGINE_AUTO, &chosen, why, &probe, NULL),
                     ATOLL_OK);
    if (vm_engine_measure(&atoll_default_alloc, &vm_engine_kvm, &rate, &again, NULL) != ATOLL_OK)
        assert_ptr_equal(chosen, &vm_engine_soft);
    vm_probe_free(again);
    vm_probe_free(probe);
    if (rate >= 10 * VM_ENGINE_FAST) assert_ptr_equal(chosen, &vm_engine_kvm);
    if (rate < VM_ENGINE_FAST / 4) assert_ptr_equal(chosen, &vm_engine_soft);
    if (rate && rate < VM_ENGINE_FAST / 4) assert_non_null(strstr(why, "only emulates"));
    assert_int_equal(vm_engine_choose(&atoll_default_alloc, VM_ENGINE_SOFT, &chosen, why, &probe, NULL),
                     ATOLL_OK);
    assert_ptr_equal(chosen, &vm_engine_soft);
    assert_null(probe);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    ops = strcmp(argv[1], "soft") == 0 ? &vm_engine_soft : &vm_engine_kvm;
    if (ops == &vm_engine_kvm && access("/dev/kvm", R_OK | W_OK)) {
        puts("skipped: no /dev/kvm here");
        return 77;
    }
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(real_mode_reads_and_writes_ports),
        TEST(string_output_arrives_in_order),
        TEST(string_io_goes_over_the_edge_of_a_page),
        TEST(long_mode_reaches_memory_that_is_not_ram),
        TEST(guest_memory_is_the_hosts),
        TEST(state_comes_back_as_it_was_set),
        TEST(flat_protected_mode_starts),
        TEST(a_triple_fault_is_a_reset),
        TEST(a_kick_before_the_run_ends_it),
        TEST(a_kick_ends_a_loop_and_a_halt),
        TEST(faults_without_end_can_be_stopped),
        TEST(a_message_interrupts),
        TEST(a_wire_sends_its_message),
        TEST(wires_run_out_and_come_back),
        TEST(a_line_interrupts_through_the_controllers),
        TEST(a_doorbell_rings_without_coming_back),
        cmocka_unit_test_setup_teardown(eight_processors_start, set_up_8, tear_down),
        cmocka_unit_test(a_rate_is_measured),
        cmocka_unit_test(auto_takes_kvm_only_where_it_is_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
