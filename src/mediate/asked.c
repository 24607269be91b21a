/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The life of a request:
 *
 *   received ─who, and what of /proc─► QUEUED ─its turn─► NAME ─► PARAMS ─► DECIDED ─► LOADED ─► answered
 *
 * init_module only: NAME. Any of these may end in a refusal. It is never left to the kernel.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fdpass.h"
#include "journal.h"
#include "mediate/private.h"
#include "modgate/job.h"
#include "module/identity.h"
#include "module/sysfs.h"
#include "util/fd.h"
#include "util/log.h"

/* include/uapi/linux/module.h: ignore modversions, ignore vermagic, compressed file. */
#define KNOWN_FLAGS 7U

/* The kernel's MAX_ERRNO. */
#define ERRNO_MAX 4095

/* How often it is looked whether a container will have no place any more. */
#define STUCK_LOOK_NS (200 * 1000000ULL)

static void handle_worker(struct event_source *source, uint32_t events);

/* False: nobody waits for it any more. */
static bool give_answer(struct asked *asked, int error) {
        return asked->container->is_monitor ? proxy_answer(asked, error)
                                            : notify_answer(&asked->container->notify, asked->slot, error);
}

static void forget(struct asked *asked) {
        struct container *container = asked->container;

        work_end(asked);
        if (asked->state > ASKED_QUEUED) {
                container->customer->working--;
                container->mediator->working_count--;
        }
        list_remove(&asked->link);
        asked->memory_fd = fd_close(asked->memory_fd);
        free(asked->params);
        free(asked->decision);
        asked->params = NULL;
        asked->decision = NULL;
        asked->state = ASKED_NONE;
        asked->slot = NULL;
}

void asked_answer(struct asked *asked, int error, const char *why) {
        struct container *container = asked->container;

        /* a module that is there because this very call has loaded it does not "exist" for its caller */
        if (error == EEXIST && asked->was_sent)
                error = 0;
        audit(asked, error, why);
        (void)give_answer(asked, error);
        forget(asked);
        container_listen(container);
}

/* Before any work was done for it. */
static void refuse(struct asked *asked, const struct policy_verdict *verdict) {
        struct container *container = asked->container;

        audit_refusal(asked, verdict);
        (void)give_answer(asked, verdict->error);
        forget(asked);
        container_listen(container);
}

void asked_give_up(struct asked *asked) {
        /* a monitor waits all the same */
        if (asked->container->is_monitor)
                (void)proxy_answer(asked, EAGAIN);
        else
                notify_release(&asked->container->notify, asked->slot);
        forget(asked);
}

/* What the kernel would say to such a descriptor, without a look at what is in the file. */
static int error_of(enum continue_reason reason) {
        switch (reason) {
        case CONTINUE_FD:
                return EBADF;
        case CONTINUE_NOT_REGULAR:
                return EINVAL;
        case CONTINUE_INTERNAL:
                return EAGAIN;
        default:
                return EPERM;
        }
}

/* Of the file only its name counts. Returns 0 or a positive errno, with the reason. */
static int look_at_file(struct asked *asked, const char **why) {
        const struct caller_self *self = &asked->container->mediator->self;
        const struct seccomp_data *data = &asked->slot->notif.data;
        pid_t tid = (pid_t)asked->slot->notif.pid;
        int number = (int)call_argument(data, 0);
        static char path[CALLER_PATH_MAX];
        struct caller_file file;
        enum continue_reason reason;

        *why = "unknown flags";
        if ((uint32_t)call_argument(data, 2) & ~KNOWN_FLAGS)
                return EINVAL;
        *why = "no file that is open for reading";
        reason = caller_look_at_file(self, tid, number, &file);
        if (reason != CONTINUE_NOT)
                return error_of(reason);
        *why = "the file's name is none of a module";
        if (!caller_file_path(self, tid, number, path) || !module_name_from_path(path, asked->name) ||
            !asker_is_name(asked->name, strlen(asked->name))) {
                asked->name[0] = '\0';
                return ENOEXEC;
        }
        return 0;
}

static int look_at_image(struct asked *asked, const char **why) {
        asked->image_length = call_argument(&asked->slot->notif.data, 1);
        *why = "the image is empty";
        return asked->image_length > 0 ? 0 : ENOEXEC;
}

/* What can be said at once. Returns 0 or a positive errno, with the reason. */
static int look(struct asked *asked, const char **why) {
        const struct caller_self *self = &asked->container->mediator->self;
        pid_t tid = (pid_t)asked->slot->notif.pid;
        int r;

        asked->call = call_of(&asked->slot->notif.data);
        *why = "the caller is not visible in our pid namespace";
        if (tid == 0)
                return EPERM;
        r = asker_look(self->proc, tid, asked->container->store->user_namespace, &asked->asker);
        *why = r == -ESRCH ? "the caller has gone" : "the caller cannot be looked at";
        if (r < 0)
                return EAGAIN;
        *why = "a system call that is not ours";
        if (asked->call == CALL_UNKNOWN)
                return ENOSYS;
        r = asked->call == CALL_INIT_MODULE ? look_at_image(asked, why) : look_at_file(asked, why);
        return r;
}

/* Counts the request, whatever becomes of it. Returns whether it is one too many. */
static bool is_over_rate(struct container *container, const struct policy_profile *profile) {
        return !policy_limiter_take(&container->customer->limiter, profile, journal_now_ns());
}

/* Nothing is done for a caller that may not ask at all, and for one too many. Returns whether to go on. */
static bool may_ask(struct asked *asked) {
        const struct policy_profile *profile = container_profile(asked->container);
        struct policy_verdict verdict =
                policy_decide_caller(profile, &asked->asker.caller, is_over_rate(asked->container, profile));

        if (verdict.error != 0)
                refuse(asked, &verdict);
        return verdict.error == 0;
}

void asked_begin(struct container *container, struct journal_request *slot) {
        struct asked *asked = &container->asked[slot - container->store->requests];
        const char *why;
        int r;

        memset(asked, 0, sizeof(*asked));
        asked->container = container;
        asked->slot = slot;
        asked->state = ASKED_QUEUED;
        asked->memory_fd = -1;
        asked->deadline_ns = UINT64_MAX;
        asked->was_sent = slot->sent != 0;
        asked->asker.uid = (uid_t)-1;
        asked->worker = (struct event_source){ .handle = handle_worker, .fd = -1, .priority = EVENT_PRIORITY_ANSWERS };
        list_init(&asked->link);
        if (slot->looks++ >= BEGUN_MAX) {
                asked_answer(asked, EAGAIN, "too many mediators have ended while it waited");
                return;
        }
        r = look(asked, &why);
        /* our own trouble says nothing about the caller, and of one that is not visible nothing is known */
        if (r != EAGAIN && slot->notif.pid != 0 && !may_ask(asked))
                return;
        if (r != 0)
                asked_answer(asked, r, why);
        else
                list_insert_before(&container->customer->queued, &asked->link);
}

/* Work */

static void nobody_waits(struct asked *asked) {
        struct container *container = asked->container;

        asked_give_up(asked);
        container_listen(container);
}

static void go_on(struct asked *asked, enum asked_state state, int r) {
        asked->state = state;
        if (r < 0) {
                log_error("cannot work on a request of container %s: %s", asked->container->store->id, strerror(-r));
                asked_answer(asked, EAGAIN, "modgate's own trouble");
        }
}

static void begin_work(struct asked *asked) {
        struct mediator *mediator = asked->container->mediator;
        bool image = asked->call == CALL_INIT_MODULE;

        list_remove(&asked->link);
        list_insert_before(&mediator->working, &asked->link);
        asked->container->customer->working++;
        mediator->working_count++;
        asked->state = image ? ASKED_NAME : ASKED_PARAMS;
        asked->memory_fd = caller_open_memory(&mediator->self, (pid_t)asked->slot->notif.pid);
        /* what was seen in /proc is only true of the caller if it still waits */
        if (!notify_is_waiting(&asked->container->notify, asked->slot))
                nobody_waits(asked);
        else if (asked->memory_fd < 0)
                asked_answer(asked, EAGAIN, "the caller's memory cannot be opened");
        else
                go_on(asked, asked->state, work_inspect(asked, image));
}

/* Its memory hangs those who look at it, beyond being killed: there is no place for more of them. */
static void refuse_hanging(struct customer *customer) {
        while (!list_is_empty(&customer->queued))
                asked_answer(container_of(customer->queued.next, struct asked, link), EAGAIN,
                             "the memory of this container's callers does not answer");
}

/* The next one whose turn it is, which goes to the end of the row; NULL: none has anything to do, or may. */
static struct customer *next_customer(struct mediator *mediator) {
        uint64_t now_ns = journal_now_ns();

        list_for_each_safe(node, after, &mediator->customers) {
                struct customer *customer = container_of(node, struct customer, link);

                if (customer_is_stuck(customer, now_ns))
                        refuse_hanging(customer);
                if (list_is_empty(&customer->queued) || customer->working + customer->hanging >= WORKING_OF_ONE_MAX)
                        continue;
                list_remove(&customer->link);
                list_insert_before(&mediator->customers, &customer->link);
                return customer;
        }
        return NULL;
}

void asked_work(struct mediator *mediator) {
        struct customer *customer;

        while (mediator->working_count < WORKING_MAX && (customer = next_customer(mediator)))
                begin_work(container_of(customer->queued.next, struct asked, link));
}

static void take_name(struct asked *asked, const char *bytes, size_t length) {
        if (!asker_is_name(bytes, length)) {
                asked_answer(asked, ENOEXEC, "the image's name is none of a module");
                return;
        }
        memcpy(asked->name, bytes, length);
        for (size_t i = 0; i < length; i++)
                if (asked->name[i] == '-')
                        asked->name[i] = '_';
        go_on(asked, ASKED_PARAMS, work_inspect(asked, false));
}

static void take_params(struct asked *asked, const char *bytes, uint32_t length) {
        asked->params = malloc(length + 1);
        work_end(asked);
        if (!asked->params) {
                go_on(asked, asked->state, -ENOMEM);
                return;
        }
        memcpy(asked->params, bytes, length);
        asked->params[length] = '\0';
        asked->params_length = length;
        asked->memory_fd = fd_close(asked->memory_fd);
        go_on(asked, ASKED_DECIDED, work_decide(asked));
}

/* What an inspector could not read: the caller's fault, as the kernel would say it, or ours. */
static void fail_inspection(struct asked *asked, const struct job_answer *answer) {
        if (answer->status == JOB_TOO_LONG)
                asked_answer(asked, EINVAL, "the parameters are too long");
        else if (answer->error == ENOEXEC)
                asked_answer(asked, ENOEXEC, "the image is no module");
        else if (answer->error == EFAULT || answer->error == EIO ||
                 answer->error == EINVAL) /* the kernel's half, to pread() */
                asked_answer(asked, EFAULT, "the caller's memory cannot be read");
        else
                asked_answer(asked, EAGAIN, "the caller's memory could not be looked at");
}

static void hear_inspector(struct asked *asked) {
        static struct {
                struct job_answer answer;
                char bytes[MODULE_PARAMS_MAX];
        } message;
        ssize_t length = fdpass_receive(asked->worker.fd, &message, sizeof(message), NULL, MSG_DONTWAIT);

        if (length == -EAGAIN || length == -EINTR)
                return;
        if (length < (ssize_t)sizeof(message.answer) ||
            message.answer.length != (size_t)length - sizeof(message.answer) ||
            !job_result_makes_sense(message.answer.status, message.answer.error))
                asked_answer(asked, EAGAIN, "whoever read the caller's memory has ended");
        else if (message.answer.status != JOB_DONE)
                fail_inspection(asked, &message.answer);
        else if (asked->state == ASKED_NAME)
                take_name(asked, message.bytes, message.answer.length);
        else
                take_params(asked, message.bytes, message.answer.length);
}

/* Into quotes of the log. */
static void make_printable(char *text, size_t size) {
        text[size - 1] = '\0';
        for (; *text; text++)
                if (*text < ' ' || *text > '~' || *text == '"')
                        *text = '\'';
}

static bool is_good_step(const struct policy_profile *profile, const struct step_module *step) {
        const char *end = memchr(step->name, '\0', sizeof(step->name));

        return end && asker_is_name(step->name, (size_t)(end - step->name)) &&
               !policy_denies(profile, &(struct policy_module){ .name = step->name });
}

/*
 * It has taken a container's parameters apart: whatever that has made of it, what is loaded is what was asked for, and
 * nothing that is denied by name.
 */
static bool makes_sense(const struct asked *asked, struct decision *decision) {
        const struct policy_profile *profile = container_profile(asked->container);

        make_printable(decision->file, sizeof(decision->file));
        make_printable(decision->reason, sizeof(decision->reason));
        if (decision->error < 0 || decision->error > ERRNO_MAX || decision->rule > POLICY_RULE_PARAMETERS ||
            decision->step_count > STEPS_MAX)
                return false;
        for (uint32_t i = 0; i < decision->step_count; i++)
                if (!is_good_step(profile, &decision->steps[i]))
                        return false;
        return decision->error != 0 || (decision->wanted < decision->step_count &&
                                        strcmp(decision->steps[decision->wanted].name, asked->name) == 0);
}

static void hear_decider(struct asked *asked) {
        struct decision *decision = malloc(sizeof(*decision));
        ssize_t length;

        if (!decision) {
                go_on(asked, asked->state, -ENOMEM);
                return;
        }
        length = fdpass_receive(asked->worker.fd, decision, sizeof(*decision), NULL, MSG_DONTWAIT);
        if (length == -EAGAIN || length == -EINTR) {
                free(decision);
                return;
        }
        work_end(asked);
        if (length != (ssize_t)sizeof(*decision) || !makes_sense(asked, decision)) {
                free(decision);
                asked_answer(asked, EAGAIN, "whoever decided has ended");
                return;
        }
        asked->decision = decision;
        if (decision->error != 0) {
                asked_answer(asked, decision->error, NULL);
        } else if (!notify_is_waiting(&asked->container->notify, asked->slot)) {
                nobody_waits(asked);
        } else {
                asked->slot->sent = 1;
                go_on(asked, ASKED_LOADED, work_load(asked));
        }
}

/* Whoever loaded it has died; an earlier mediator, or another performer, may have been at work before. */
static bool is_live(const struct asked *asked) {
        struct module_sysfs sysfs;
        bool live;

        module_sysfs_init(&sysfs, asked->container->mediator->kernel->module_sysfs);
        live = module_sysfs_state(&sysfs, asked->name) == MODULE_LIVE;
        module_sysfs_deinit(&sysfs);
        return live;
}

static void hear_performer(struct asked *asked) {
        struct performed performed;
        ssize_t length = fdpass_receive(asked->worker.fd, &performed, sizeof(performed), NULL, MSG_DONTWAIT);

        if (length == -EAGAIN || length == -EINTR)
                return;
        if (length == (ssize_t)sizeof(performed) && performed.error >= 0)
                asked_answer(asked, performed.error, NULL);
        else if (is_live(asked))
                asked_answer(asked, 0, NULL);
        else
                asked_answer(asked, EAGAIN, "whoever loaded it has ended");
}

static void handle_worker(struct event_source *source, uint32_t events) {
        struct asked *asked = container_of(source, struct asked, worker);

        (void)events;
        switch (asked->state) {
        case ASKED_NAME:
        case ASKED_PARAMS:
                hear_inspector(asked);
                break;
        case ASKED_DECIDED:
                hear_decider(asked);
                break;
        case ASKED_LOADED:
                hear_performer(asked);
                break;
        default:
                break;
        }
}

void asked_expire(struct mediator *mediator, uint64_t now_ns) {
        list_for_each_safe(node, after, &mediator->working) {
                struct asked *asked = container_of(node, struct asked, link);

                if (asked->deadline_ns <= now_ns)
                        asked_answer(asked, EAGAIN,
                                     asked->state == ASKED_DECIDED ? "the host's modules do not answer"
                                                                   : "the caller's memory does not answer");
        }
}

uint64_t asked_wait_ns(const struct mediator *mediator, uint64_t now_ns) {
        uint64_t wait_ns = UINT64_MAX;

        for (const struct list_node *node = mediator->working.next; node != &mediator->working; node = node->next) {
                const struct asked *asked = container_of(node, struct asked, link);
                uint64_t left_ns = asked->deadline_ns > now_ns ? asked->deadline_ns - now_ns : 0;

                if (asked->deadline_ns != UINT64_MAX && left_ns < wait_ns)
                        wait_ns = left_ns;
        }
        for (const struct list_node *node = mediator->customers.next; node != &mediator->customers; node = node->next) {
                const struct customer *customer = container_of(node, struct customer, link);

                if (customer->stuck_ns != 0 && !list_is_empty(&customer->queued) && wait_ns > STUCK_LOOK_NS)
                        wait_ns = STUCK_LOOK_NS;
        }
        return wait_ns;
}
