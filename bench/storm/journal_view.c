/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "journal_view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/fd.h"

#define MAPPING "memfd:modgate-journal"

static bool is_keeper(pid_t pid) {
        char path[32], name[17] = "";
        _cleanup_fd_ int fd = -1;

        (void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd >= 0 && read(fd, name, sizeof(name) - 1) > 0 && strncmp(name, "modgate-keeper", 14) == 0;
}

/* 0: there is none. */
static pid_t find_keeper(pid_t run) {
        char path[64];
        FILE *children;
        pid_t found = 0;
        int pid;

        (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)run, (int)run);
        children = fopen(path, "re");
        while (children && found == 0 && fscanf(children, "%d", &pid) == 1)
                if (is_keeper(pid))
                        found = pid;
        if (children)
                (void)fclose(children);
        return found;
}

/* 0: it is not there. */
static off_t find_mapping(pid_t keeper) {
        char path[32], *line = NULL;
        unsigned long long start;
        size_t size = 0;
        off_t found = 0;
        FILE *maps;

        (void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)keeper);
        maps = fopen(path, "re");
        while (maps && found == 0 && getline(&line, &size, maps) > 0)
                if (strstr(line, MAPPING) && sscanf(line, "%llx-", &start) == 1)
                        found = (off_t)start;
        free(line);
        if (maps)
                (void)fclose(maps);
        return found;
}

int journal_view_open(struct journal_view *view, pid_t run) {
        pid_t keeper = find_keeper(run);
        off_t address = keeper > 0 ? find_mapping(keeper) : 0;
        char path[32];

        view->memory = -1;
        if (address == 0)
                return -ESRCH;
        (void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)keeper);
        view->memory = open(path, O_RDONLY | O_CLOEXEC);
        view->address = address;
        return view->memory < 0 ? -errno : 0;
}

void journal_view_close(struct journal_view *view) {
        view->memory = fd_close(view->memory);
}

static int read_at(const struct journal_view *view, size_t offset, void *buffer, size_t size) {
        ssize_t length = pread(view->memory, buffer, size, view->address + (off_t)offset);

        if (length < 0)
                return -errno;
        return (size_t)length == size ? 0 : -EIO;
}

int journal_view_read(const struct journal_view *view, struct journal *ret) {
        return read_at(view, 0, ret, sizeof(*ret));
}

static bool slots_wait(const struct journal *journal) {
        uint32_t in_use = 0;

        for (unsigned int i = 0; i < JOURNAL_REQUESTS; i++) {
                if (!journal->requests[i].committed)
                        continue;
                if (journal->requests[i].load == JOURNAL_NO_LOAD)
                        return false;
                in_use++;
        }
        return in_use == journal->header.in_use;
}

bool journal_view_all_wait(const struct journal_view *view, uint64_t calls) {
        struct journal_header header;
        struct journal *journal;
        bool wait;

        if (read_at(view, 0, &header, sizeof(header)) < 0 || header.requests < calls)
                return false;
        journal = aligned_alloc(_Alignof(struct journal), sizeof(*journal));
        wait = journal && journal_view_read(view, journal) == 0 && slots_wait(journal);
        free(journal);
        return wait;
}
