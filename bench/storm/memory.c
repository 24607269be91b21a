/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "memory.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SIZE 64U
#define LINE_SIZE 512U

#define PREFIX "modgate-"
#define KEEPER PREFIX "keeper"

struct process {
        char name[MEMORY_NAME_SIZE];
        pid_t parent;
};

/* False: it is gone. */
static bool look_at(pid_t pid, struct process *ret) {
        char path[PATH_SIZE], line[LINE_SIZE];
        const char *end;
        FILE *file;
        bool read;

        (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        file = fopen(path, "re");
        if (!file)
                return false;
        read = fgets(line, sizeof(line), file) != NULL;
        (void)fclose(file);
        end = read ? strrchr(line, ')') : NULL; /* a name may have one too */
        if (!end || sscanf(line, "%*d (%15[^)]", ret->name) != 1)
                return false;
        return sscanf(end, ") %*c %d", &ret->parent) == 1;
}

static bool is_keeper_of(pid_t run, pid_t pid) {
        struct process process;

        return look_at(pid, &process) && process.parent == run && strcmp(process.name, KEEPER) == 0;
}

/* The keeper is a child of the run, all others are the keeper's. */
static bool belongs_to(pid_t run, pid_t pid, struct process *ret) {
        return look_at(pid, ret) && strncmp(ret->name, PREFIX, strlen(PREFIX)) == 0 &&
               (is_keeper_of(run, pid) || is_keeper_of(run, ret->parent));
}

static int add(struct memory *memory, pid_t run, pid_t pid) {
        struct process process;

        if (!belongs_to(run, pid, &process))
                return 0;
        /* what was forked a moment ago still has the keeper's name */
        if (process.parent != run && strcmp(process.name, KEEPER) == 0)
                return -EAGAIN;
        if (memory->n_processes == MEMORY_PROCESSES_MAX)
                return -E2BIG;
        memory->processes[memory->n_processes].pid = pid;
        memcpy(memory->processes[memory->n_processes++].name, process.name, MEMORY_NAME_SIZE);
        return 0;
}

static int find_processes(pid_t run, struct memory *memory) {
        DIR *directory = opendir("/proc");
        struct dirent *entry;
        int r = 0;

        if (!directory)
                return -errno;
        while (r == 0 && (entry = readdir(directory))) {
                pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

                if (pid > 0)
                        r = add(memory, run, pid);
        }
        (void)closedir(directory);
        return r == 0 && memory->n_processes == 0 ? -ESRCH : r;
}

/* PSS, and the part of it that is shared with others. */
static int measure(pid_t pid, unsigned int *ret_pss_kib, unsigned int *ret_shared_kib) {
        unsigned int pss_kib = 0, private_kib = 0, kib;
        char path[PATH_SIZE], line[LINE_SIZE];
        bool found = false;
        FILE *file;

        (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
        file = fopen(path, "re");
        if (!file)
                return errno == ENOENT ? -EOPNOTSUPP : -errno;
        while (fgets(line, sizeof(line), file)) {
                if (sscanf(line, "Pss: %u", &kib) == 1) {
                        pss_kib = kib;
                        found = true;
                } else if (sscanf(line, "Private_Clean: %u", &kib) == 1 || sscanf(line, "Private_Dirty: %u", &kib) == 1)
                        private_kib += kib;
        }
        (void)fclose(file);
        if (!found)
                return -EOPNOTSUPP;
        *ret_pss_kib = pss_kib;
        *ret_shared_kib = pss_kib > private_kib ? pss_kib - private_kib : 0;
        return 0;
}

int memory_of_modgate(pid_t run, const pid_t *ours, size_t n_ours, struct memory *ret) {
        struct memory memory = { 0 };
        unsigned int pss_kib, shared_kib;
        int r = find_processes(run, &memory);

        for (unsigned int i = 0; r == 0 && i < memory.n_processes; i++) {
                r = measure(memory.processes[i].pid, &memory.processes[i].pss_kib, &shared_kib);
                memory.total_kib += memory.processes[i].pss_kib;
        }
        for (size_t i = 0; r == 0 && i < n_ours; i++) {
                r = measure(ours[i], &pss_kib, &shared_kib);
                if (r == 0)
                        memory.shared_kib += shared_kib;
        }
        if (r < 0)
                return r;
        memory.total_kib += memory.shared_kib;
        *ret = memory;
        return 0;
}
