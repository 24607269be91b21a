/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A module that does what a test asks for. Kbuild builds it under several names, whose init functions know nothing of
 * each other but what mg_state keeps.
 *
 * In this order, each only if it is asked for: a module is requested, init waits, then sleeps, then crashes, fails or
 * succeeds.
 */

#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/kmod.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/string.h>

#include "mg_state.h"

static int error;
module_param(error, int, 0444);
MODULE_PARM_DESC(error, "init returns this errno");

static uint fail_first = UINT_MAX;
module_param(fail_first, uint, 0444);
MODULE_PARM_DESC(fail_first, "only the first so many attempts return `error`; default: all");

static uint sleep_ms;
module_param(sleep_ms, uint, 0444);
MODULE_PARM_DESC(sleep_ms, "init takes so long");

static char *request = "";
module_param(request, charp, 0444);
MODULE_PARM_DESC(request, "init calls request_module for this name, and waits for it unless it is its own");

static char *needs = "";
module_param(needs, charp, 0444);
MODULE_PARM_DESC(needs, "init returns `error`, or ENODEV, unless this test module is live");

static bool oops;
module_param(oops, bool, 0444);
MODULE_PARM_DESC(oops, "init writes to address 0: the kernel kills the caller, and the module stays as it is for ever");

static int *nowhere;

#ifdef MG_PAYLOAD
/* In the file, and in memory once it is loaded; not all zero, which would put it into .bss. */
static char payload[MG_PAYLOAD] = { 1 };

static bool payload_is_there(void) {
        return READ_ONCE(payload[0]) == 1 && READ_ONCE(payload[sizeof(payload) - 1]) == 0;
}
#else
static bool payload_is_there(void) {
        return true;
}
#endif

#ifdef MG_PCI
/* QEMU's device for teaching, which no other driver knows. */
static const struct pci_device_id ids[] = { { PCI_DEVICE(0x1234, 0x11e8) }, {} };
MODULE_DEVICE_TABLE(pci, ids);
#endif

/* Whoever waits in its own init for its own load waits for ever: then the request goes on beside it. */
static void make_request(void) {
        if (strcmp(request, KBUILD_MODNAME) == 0)
                request_module_nowait("%s", request);
        else if (request[0])
                request_module("%s", request);
}

static int outcome(unsigned int attempt) {
        if (!payload_is_there())
                return -EIO;
        if (needs[0])
                return mg_state_is_live(needs) ? 0 : -(error ? error : ENODEV);
        return attempt <= fail_first ? -error : 0;
}

static int __init mg_init(void) {
        unsigned int attempt = mg_state_enter(KBUILD_MODNAME);
        int result;

        make_request();
        if (mg_state_wait() < 0)
                return -EINTR;
        if (sleep_ms > 0)
                msleep(sleep_ms);
        if (oops)
                WRITE_ONCE(*READ_ONCE(nowhere), 1);
        result = outcome(attempt);
        if (result == 0)
                mg_state_set_live(KBUILD_MODNAME, true);
        return result;
}

static void __exit mg_exit(void) {
        mg_state_set_live(KBUILD_MODNAME, false);
}

module_init(mg_init);
module_exit(mg_exit);

MODULE_DESCRIPTION("Does what a test asks for");
MODULE_LICENSE("GPL");
