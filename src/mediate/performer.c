/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mediate/performer.h"

#include <errno.h>
#include <libkmod.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fdpass.h"
#include "journal.h"
#include "modgate/mediation.h"
#include "privilege.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/log.h"

/* The host's own parameters of a module come first, as with modprobe: of two equal ones the last counts. */
static char *join(const char *options, const char *params) {
        char *text;

        if (asprintf(&text, "%s%s%s", options ? options : "", options && *options && *params ? " " : "", params) < 0)
                return NULL;
        return text;
}

/* Returns 0 or negative errno, as the kernel says it. */
static int insert(struct kmod_ctx *kmod, const struct kernel_interface *kernel, const char *name, const char *params) {
        struct kmod_module *module;
        int r = kmod_module_new_from_name(kmod, name, &module);
        char *text;

        if (r < 0)
                return r;
        text = join(kmod_module_get_options(module), params);
        r = text ? kernel->insert_module(module, text) : -ENOMEM;
        free(text);
        kmod_module_unref(module);
        return r;
}

static void tell(int socket, int error) {
        struct performed performed = { .error = error };

        (void)fdpass_send_dup_fd(socket, &performed, sizeof(performed), NULL, 0, -1, 0);
}

/*
 * What comes before the wanted one has to be there, if it is needed. As soon as that is loaded the caller hears of it;
 * what comes after it is the host's business.
 */
static void perform(int socket, const struct kernel_interface *kernel, const struct order *order, const char *params) {
        struct kmod_ctx *kmod = kmod_new(kernel->modules_directory, NULL);

        if (!kmod) {
                tell(socket, ENOMEM);
                return;
        }
        for (uint32_t i = 0; i < order->step_count; i++) {
                const struct step_module *step = &order->steps[i];
                int r = insert(kmod, kernel, step->name, i == order->wanted ? params : "");

                if (i == order->wanted) {
                        tell(socket, -r);
                        if (r < 0)
                                break;
                } else if (i < order->wanted && r < 0 && r != -EEXIST && !step->is_soft) {
                        tell(socket, -r);
                        break;
                }
        }
        (void)kmod_unref(kmod);
}

static bool makes_sense(const struct order *order, size_t length) {
        if (length < order_size(1) || order->step_count == 0 || order->step_count > STEPS_MAX ||
            order->wanted >= order->step_count)
                return false;
        if (length < order_size(order->step_count) || order->params_length != length - order_size(order->step_count))
                return false;
        for (uint32_t i = 0; i < order->step_count; i++)
                if (!memchr(order->steps[i].name, '\0', sizeof(order->steps[i].name)))
                        return false;
        return true;
}

/* Returns whether to go on. */
static bool serve(int socket, const struct kernel_interface *kernel) {
        static union {
                struct order order;
                char bytes[PERFORMER_MESSAGE_MAX + 1]; /* the parameters get their NUL */
        } message;
        _cleanup_fd_ int fd = -1;
        ssize_t length = fdpass_receive(socket, &message, PERFORMER_MESSAGE_MAX, &fd, 0);
        pid_t pid;

        if (length == -EINTR)
                return true;
        if (fdpass_is_end(length))
                return false;
        /* without its socket, or a process for it, the mediator sees the end of it */
        if (length < 0 || fd < 0 || !makes_sense(&message.order, (size_t)length))
                return true;
        message.bytes[length] = '\0';
        pid = child_fork("modgate-modprobe", &fd, 1);
        if (pid != 0)
                return true;
        (void)signal(SIGCHLD, SIG_DFL);
        perform(CHILD_FIRST_KEPT, kernel, &message.order, message.bytes + order_size(message.order.step_count));
        _exit(EXIT_SUCCESS);
}

_Noreturn void performers_run(int socket, const struct kernel_interface *kernel) {
        static const cap_value_t keep[] = { CAP_SYS_MODULE };
        int r = privilege_keep(keep, 1, true);

        if (r < 0) {
                errno = -r;
                log_error("the process that loads modules cannot give up its privileges: %m");
                _exit(EXIT_FAILURE);
        }
        /* nobody waits for those that it forks */
        (void)signal(SIGCHLD, SIG_IGN);
        while (serve(socket, kernel))
                ;
        _exit(EXIT_SUCCESS);
}
