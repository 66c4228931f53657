/* sysvm/dev/platform/power.h: what platform devices ask of the machine. The calls come in the middle of a guest's
 * access: they take note and stop the vCPUs later, under the machine lock. */
#ifndef ATOLL_SYSVM_POWER_H
#define ATOLL_SYSVM_POWER_H

struct vm_power {
    void (*reset)(void *context); /* the guest wants to start again */
    void (*off)(void *context);   /* the guest wants to be over */
    void *context;
};

#endif
