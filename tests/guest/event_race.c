/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * event_race ROUNDS FILE FLAGS PARAMS ADDRESS ALIAS COUNT: makes a PCI device go and come back, and calls finit_module
 * as soon as its event is there, whoever else may not have got it yet. The call has to be a load: what was known of the
 * module before the event is stale.
 *
 *   ADDRESS  of the device, such as 0000:01:00.0
 *   ALIAS    what the event's MODALIAS begins with
 *   COUNT    file whose content changes with every load
 *
 * Prints "ROUNDS STALE". Has to be started after what it races with: the newest listener gets an event first. With many
 * others in between the older one gets it much later.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 60000

/* Delivery to one takes some microseconds. */
#define OTHER_LISTENERS 4000

struct race {
        const char *file, *flags, *params, *address, *alias, *count;
        int events;
};

static void die(const char *what) {
        perror(what);
        exit(1);
}

static void write_one(const char *path) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, "1", 1) != 1)
                die(path);
        (void)close(fd);
}

static void read_count(const struct race *race, char *text, size_t size) {
        int fd = open(race->count, O_RDONLY | O_CLOEXEC);
        ssize_t length = fd >= 0 ? read(fd, text, size - 1) : -1;

        if (length < 0)
                die(race->count);
        text[length] = '\0';
        (void)close(fd);
}

static void load(const struct race *race) {
        int fd = open(race->file, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                die(race->file);
        if (syscall(SYS_finit_module, fd, race->params, atoi(race->flags)) == 0) {
                fprintf(stderr, "%s was loaded\n", race->file);
                exit(1);
        }
        (void)close(fd);
}

static int open_events(int buffer) {
        struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) < 0 ||
            bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                die("netlink");
        return fd;
}

/* They stay open, and nobody reads them. */
static void open_others(void) {
        struct rlimit limit = { OTHER_LISTENERS + 64, OTHER_LISTENERS + 64 };

        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                die("setrlimit");
        for (int i = 0; i < OTHER_LISTENERS; i++)
                (void)open_events(1);
}

static bool is_awaited(const struct race *race, const char *message, const char *end) {
        bool added = false, leads = false;

        for (; message < end; message += strlen(message) + 1) {
                added = added || strcmp(message, "ACTION=add") == 0;
                leads = leads || (strncmp(message, "MODALIAS=", 9) == 0 &&
                                  strncmp(message + 9, race->alias, strlen(race->alias)) == 0);
        }
        return added && leads;
}

static void await_event(const struct race *race) {
        char message[8192];

        for (;;) {
                struct pollfd look = { .fd = race->events, .events = POLLIN };
                ssize_t length;

                if (poll(&look, 1, PATIENCE_MS) != 1) {
                        fprintf(stderr, "no event came\n");
                        exit(1);
                }
                length = recv(race->events, message, sizeof(message) - 1, 0);
                if (length <= 0)
                        continue;
                message[length] = '\0';
                if (is_awaited(race, message, message + length))
                        return;
        }
}

/* In a child, so that the event finds its listener waiting. */
static pid_t replug(const struct race *race) {
        char path[128];
        pid_t child = fork();

        if (child < 0)
                die("fork");
        if (child > 0)
                return child;
        (void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/remove", race->address);
        write_one(path);
        write_one("/sys/bus/pci/rescan");
        _exit(0);
}

/* True: its call was no load. */
static bool lose_one(const struct race *race) {
        char before[4096], after[4096];
        int status;
        pid_t child;

        /* the second one is answered from memory */
        load(race);
        load(race);
        read_count(race, before, sizeof(before));
        child = replug(race);
        await_event(race);
        load(race);
        read_count(race, after, sizeof(after));
        if (waitpid(child, &status, 0) != child || status != 0)
                die("child");
        return strcmp(before, after) == 0;
}

int main(int argc, char **argv) {
        struct race race;
        int rounds, stale = 0;

        if (argc != 8) {
                fprintf(stderr, "usage: event_race ROUNDS FILE FLAGS PARAMS ADDRESS ALIAS COUNT\n");
                return 2;
        }
        rounds = atoi(argv[1]);
        race = (struct race){ .file = argv[2],
                              .flags = argv[3],
                              .params = argv[4],
                              .address = argv[5],
                              .alias = argv[6],
                              .count = argv[7] };
        open_others();
        race.events = open_events(1 << 20);
        for (int i = 0; i < rounds; i++)
                stale += lose_one(&race);
        printf("%d %d\n", rounds, stale);
        return 0;
}
