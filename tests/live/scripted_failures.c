/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scripted_failures.h"

void scripted_check_call(struct scripted *kit, struct scripted_module *module, struct scripted_call like, int error,
                         unsigned int loads) {
        CHECK_EQUAL(scripted_one(kit, like), error);
        CHECK_EQUAL(module->loads, loads);
}

void scripted_check(struct scripted *kit, struct scripted_module *module, int error, unsigned int loads) {
        scripted_check_call(kit, module, scripted_call_of(module), error, loads);
}

struct scripted_module *scripted_remembered(struct scripted *kit, const char *name, int error) {
        struct scripted_module *module = scripted_module(kit, name);

        scripted_set_result(module, error);
        scripted_check(kit, module, error, 1);
        scripted_check(kit, module, error, 1);
        return module;
}

void scripted_await_load(struct scripted *kit, const struct scripted_module *module, unsigned int loads) {
        scripted_await_ended(module, loads);
        scripted_settle(kit, NULL, 0);
        CHECK_EQUAL(module->loads, loads);
}
