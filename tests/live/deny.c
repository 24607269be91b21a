/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * deny RULE… -- COMMAND [ARG…]: executes COMMAND where something is missing. A RULE is
 *
 *   CALL=ERRNO           the system call fails, as if a unit's filter forbade it or the kernel lacked it
 *   CALL:N&MASK=ERRNO    only if argument N (from 0) has all bits of MASK
 *   listener             a seccomp listener is there already
 */

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launch/filter.h"

static int die(const char *what, int error) {
        (void)fprintf(stderr, "deny: %s: %s\n", what, strerror(error < 0 ? -error : error));
        return 99;
}

static int errno_of(const char *name) {
        static const struct {
                const char *name;
                int value;
        } errnos[] = { { "EPERM", EPERM },   { "ENOSYS", ENOSYS }, { "EINVAL", EINVAL },        { "EAGAIN", EAGAIN },
                       { "ENOMEM", ENOMEM }, { "EMFILE", EMFILE }, { "EOPNOTSUPP", EOPNOTSUPP } };

        for (size_t i = 0; i < sizeof(errnos) / sizeof(errnos[0]); i++)
                if (strcmp(errnos[i].name, name) == 0)
                        return errnos[i].value;

        return 0;
}

static int add_rule(scmp_filter_ctx context, const char *rule) {
        char name[64], error[32];
        unsigned int argument, mask;
        uint32_t action;
        int call;

        if (sscanf(rule, "%63[a-z0-9_]:%u&%u=%31s", name, &argument, &mask, error) == 4) {
                action = SCMP_ACT_ERRNO((uint32_t)errno_of(error));
                call = seccomp_syscall_resolve_name(name);
                return seccomp_rule_add(context, action, call, 1, SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, mask, mask));
        }

        if (sscanf(rule, "%63[a-z0-9_]=%31s", name, error) != 2 || errno_of(error) == 0)
                return -EINVAL;

        action = SCMP_ACT_ERRNO((uint32_t)errno_of(error));
        call = seccomp_syscall_resolve_name(name);
        if (call == __NR_SCMP_UNDEF) /* this machine has no such call (arm64: fork), so nobody makes it */
                return 0;

        return seccomp_rule_add(context, action, call, 0);
}

/* A filter that traps nothing. COMMAND inherits its listener: once that is closed, there may be another one. */
static int install_listener(void) {
        struct sock_filter program[] = {
                BPF_STMT(BPF_RET | BPF_K, 0x7fff0000U), /* SECCOMP_RET_ALLOW */
        };
        int listener, r;

        r = filter_install(program, 1, &listener);
        if (r < 0)
                return r;

        return fcntl(listener, F_SETFD, 0) < 0 ? -errno : 0;
}

int main(int argc, char **argv) {
        scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);
        int i, r = 0;

        if (!context || seccomp_attr_set(context, SCMP_FLTATR_CTL_NNP, 0) < 0)
                return die("seccomp_init", ENOMEM);

        for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
                r = strcmp(argv[i], "listener") == 0 ? install_listener() : add_rule(context, argv[i]);
                if (r < 0)
                        return die(argv[i], r);
        }
        if (i + 1 >= argc)
                return die("COMMAND is missing", EINVAL);

        r = seccomp_load(context);
        if (r < 0)
                return die("seccomp_load", r);

        (void)execvp(argv[i + 1], argv + i + 1);
        return die(argv[i + 1], errno);
}
