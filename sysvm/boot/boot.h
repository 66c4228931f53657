/* sysvm/boot/boot.h: a kernel file becomes guest memory and the first processor's state.
 *
 *   bzImage ----- its compressed ELF, unpacked here -----> 64-bit entry, boot parameters ("zero page")
 *           \---- else the whole, unpacking itself ------> the same
 *   vmlinux (also compressed as a whole) -- PVH note ----> 32-bit entry, PVH start info
 *                                        \- none --------> 64-bit entry, boot parameters
 *
 * The files may be anybody's: every offset and length in them is checked, and what they make the host unpack
 * is bounded by the guest's memory.
 *
 * source  Linux documentation, arch/x86/boot.rst and zero-page.rst; Xen, "x86/HVM direct boot ABI" (PVH); System
 *         V ABI, "Object Files"; ACPI specification */
#ifndef ATOLL_SYSVM_BOOT_H
#define ATOLL_SYSVM_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "atoll/alloc.h"
#include "atoll/error.h"
#include "sysvm/cpu/engine.h"
#include "sysvm/memory.h"

struct vm_bytes {
    const uint8_t *data;
    size_t size;
};

struct vm_boot_config {
    const struct atoll_alloc *alloc;
    struct vm_memory *memory; /* fresh: all zero */
    unsigned n_cpus;
    struct vm_bytes kernel, initrd; /* initrd.size 0: none. Not kept */
    const char *cmdline;
    bool self_unpacking; /* a bzImage unpacks itself, though it could be done here */
};

/* Writes kernel, initrd, command line, memory map and ACPI tables into guest memory.
 * out    *out: where processor 0 begins
 * fails  E_MALFORMED (err->offset in the kernel file), E_UNSUPPORTED (a kernel for something else), E_LIMIT
 *        (guest memory or command line too small for it), E_NOMEM */
enum atoll_status vm_boot_load(const struct vm_boot_config *config, struct vm_cpu_state *out,
                               struct atoll_error *err);

#endif
