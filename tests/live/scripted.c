/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Modules, files and the scripted loader. A module file's first line says which module it is, and the file's label: so
 * the loader knows from what it is handed, and from nothing else, what to do and what to record.
 */

#include "scripted.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "file_times.h"
#include "kernel_interface.h"
#include "scripted_private.h"

#define RELEASE "6.1.0-scripted"
#define NUMBERED_MODULES 160U

static struct kernel_interface interface;
static struct scripted *loaders_kit; /* finit_module has no other way to it */

uint64_t scripted_now_ns(void) {
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

void scripted_sleep_ms(unsigned int ms) {
        struct timespec rest = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

        while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
                ;
}

void scripted_futex(atomic_uint *word, int operation, unsigned int value) {
        (void)syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

void scripted_release(struct scripted_module *module) {
        module->hold = 0;
        scripted_futex(&module->hold, FUTEX_WAKE, INT_MAX);
}

/* FNV-1a */
uint64_t scripted_hash(const char *text, size_t length) {
        uint64_t hash = 14695981039346656037U;

        for (size_t i = 0; i < length; i++)
                hash = (hash ^ (unsigned char)text[i]) * 1099511628211U;
        return hash;
}

uint64_t scripted_random(struct scripted *kit, uint64_t below) {
        kit->random ^= kit->random << 13;
        kit->random ^= kit->random >> 7;
        kit->random ^= kit->random << 17;
        return kit->random % below;
}

char *scripted_text(size_t length) {
        char *text = malloc(length + 1);

        CHECK(text != NULL);
        for (size_t i = 0; i < length; i++)
                text[i] = (char)(1 + i % 255);
        text[length] = '\0';
        return text;
}

/* Modules and files */

static struct scripted_module *find_module(struct scripted *kit, const char *name) {
        for (unsigned int i = 0; i < kit->module_count; i++)
                if (strcmp(kit->module[i].name, name) == 0)
                        return &kit->module[i];
        return NULL;
}

struct scripted_module *scripted_module(struct scripted *kit, const char *name) {
        struct scripted_module *module = find_module(kit, name);

        CHECK(module != NULL);
        return module;
}

struct scripted_module *scripted_numbered(struct scripted *kit, unsigned int number) {
        char name[16];

        (void)snprintf(name, sizeof(name), "m%03u", number);
        return scripted_module(kit, name);
}

static void write_file(const char *path, const char *text) {
        FILE *file = fopen(path, "we");

        CHECK(file != NULL);
        CHECK(fputs(text, file) >= 0);
        CHECK_EQUAL(fclose(file), 0);
}

static void add_module(struct scripted *kit, const char *name) {
        struct scripted_module *module = &kit->module[kit->module_count++];
        char text[64];

        CHECK(kit->module_count <= SCRIPTED_MODULES);
        (void)snprintf(module->name, sizeof(module->name), "%s", name);
        CHECK(snprintf(module->path, sizeof(module->path), "%s/kernel/%s.ko", kit->modules, name) < SCRIPTED_PATH_MAX);
        (void)snprintf(text, sizeof(text), "%s indexed\n", name);
        write_file(module->path, text);
}

const char *scripted_file(struct scripted *kit, const struct scripted_module *module, const char *label) {
        static char path[SCRIPTED_PATH_MAX];
        char text[64];

        (void)snprintf(path, sizeof(path), "%s/%s.ko", kit->directory, label);
        (void)snprintf(text, sizeof(text), "%s %s\n", module->name, label);
        write_file(path, text);
        file_times_settle();
        return path;
}

static void initstate_path(const struct scripted *kit, const struct scripted_module *module, const char *file,
                           char path[SCRIPTED_PATH_MAX]) {
        char name[32];
        int length;

        /* as the kernel has it */
        (void)snprintf(name, sizeof(name), "%s", module->name);
        for (char *dash = name; (dash = strchr(dash, '-'));)
                *dash = '_';
        length = snprintf(path, SCRIPTED_PATH_MAX, "%s/%s%s", kit->sysfs, name, file);
        CHECK(length > 0 && length < SCRIPTED_PATH_MAX);
}

/*
 * Written in place, and always as many bytes: whoever has the file open reads the old state or the new one. Cut to
 * nothing before it is removed, since here an open file does not tell ENODEV as sysfs does.
 */
void scripted_set_state(struct scripted *kit, const struct scripted_module *module, const char *state) {
        char directory[SCRIPTED_PATH_MAX], path[SCRIPTED_PATH_MAX], text[] = "\n\n\n\n\n\n\n";
        int fd;

        initstate_path(kit, module, "", directory);
        initstate_path(kit, module, "/initstate", path);
        if (!state) {
                (void)truncate(path, 0);
                (void)unlink(path);
                (void)rmdir(directory);
                return;
        }
        memcpy(text, state, strlen(state));
        (void)mkdir(directory, 0755);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        CHECK(fd >= 0);
        CHECK_EQUAL(pwrite(fd, text, sizeof(text) - 1, 0), sizeof(text) - 1);
        (void)close(fd);
}

void scripted_remove(struct scripted *kit, const struct scripted_module *module) {
        scripted_set_state(kit, module, NULL);
}

static bool is_live(const struct scripted *kit, const struct scripted_module *module) {
        char path[SCRIPTED_PATH_MAX], text[5] = "";
        int fd;

        initstate_path(kit, module, "/initstate", path);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return false;
        (void)!read(fd, text, 4);
        (void)close(fd);
        return strcmp(text, "live") == 0;
}

void scripted_set_results(struct scripted_module *module, const int *errors, unsigned int count) {
        CHECK(count <= SCRIPTED_COUNT(module->errors));
        memcpy(module->errors, errors, count * sizeof(*errors));
        module->results = count;
}

void scripted_set_result(struct scripted_module *module, int error) {
        scripted_set_results(module, &error, 1);
}

/* The loader's side */

static struct scripted_load *begin_load(struct scripted_module *module, unsigned int number, const char *label,
                                        const char *params, int flags) {
        struct scripted_load *load = &module->record[number % SCRIPTED_LOADS];

        load->loader = getpid();
        load->flags = flags;
        load->params_length = strlen(params);
        load->params_hash = scripted_hash(params, load->params_length);
        (void)snprintf(load->params, sizeof(load->params), "%s", params);
        (void)snprintf(load->file, sizeof(load->file), "%s", label);
        load->ended_ns = 0;
        load->began_ns = scripted_now_ns();
        if (atomic_fetch_add(&module->running, 1) > 0)
                module->overlapped = true;
        return load;
}

static int perform(struct scripted *kit, struct scripted_module *module, unsigned int number) {
        unsigned int last = module->results ? module->results - 1 : 0;
        int error = module->errors[number < last ? number : last];

        if (is_live(kit, module))
                return EEXIST;
        if (module->shows_coming)
                scripted_set_state(kit, module, "coming");
        scripted_sleep_ms(module->delay_ms);
        while (module->hold)
                scripted_futex(&module->hold, FUTEX_WAIT, 1);
        if (error == 0 && !module->stays_invisible)
                scripted_set_state(kit, module, "live");
        else if (module->shows_coming)
                scripted_set_state(kit, module, NULL);
        return error;
}

int scripted_load(const char *name, const char *label, const char *params, int flags) {
        struct scripted *kit = loaders_kit;
        struct scripted_module *module = find_module(kit, name);
        struct scripted_load *load;
        unsigned int number;
        int error;

        if (!module)
                return -ENOEXEC;
        number = atomic_fetch_add(&module->loads, 1);
        load = begin_load(module, number, label, params, flags);
        error = perform(kit, module, number);
        atomic_fetch_sub(&module->running, 1);
        load->ended_ns = scripted_now_ns();
        return -error;
}

static int scripted_finit_module(int fd, const char *params, int flags) {
        char text[96] = "", name[32], label[32];

        if (pread(fd, text, sizeof(text) - 1, 0) <= 0 || sscanf(text, "%31s %31s", name, label) != 2)
                return -ENOEXEC;
        return scripted_load(name, label, params, flags);
}

/* Events: a datagram is one. Who sends it counts it first, as the kernel does. */

static void uevents_address(const struct scripted *kit, struct sockaddr_un *address) {
        *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        CHECK((size_t)snprintf(address->sun_path, sizeof(address->sun_path), "%s/uevents", kit->directory) <
              sizeof(address->sun_path));
}

static int scripted_open_uevents(void) {
        struct sockaddr_un address;
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        uevents_address(loaders_kit, &address);
        CHECK(fd >= 0);
        (void)unlink(address.sun_path); /* an earlier one's */
        CHECK_EQUAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

static int scripted_receive_uevent(int socket, char *buffer, size_t size, struct uevent *ret) {
        ssize_t length = recv(socket, buffer, size, MSG_DONTWAIT);

        if (length < 0)
                return errno == EAGAIN ? 0 : -errno;
        if (length == 1)
                return -ENOBUFS; /* scripted_lose_uevents() */
        return uevent_parse(buffer, (size_t)length, ret) ? 1 : 0;
}

static void send_datagram(const struct scripted *kit, const char *message, size_t length) {
        struct sockaddr_un address;
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        uevents_address(kit, &address);
        CHECK(fd >= 0);
        CHECK_EQUAL(sendto(fd, message, length, 0, (struct sockaddr *)&address, sizeof(address)), length);
        (void)close(fd);
}

void scripted_count_uevent(struct scripted *kit) {
        int fd = open(kit->uevent_seqnum, O_WRONLY | O_CLOEXEC), length;
        char text[32];

        /* in place: a supervisor that has just been started may read it now */
        length = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)++kit->uevent_sequence);
        CHECK(fd >= 0);
        CHECK_EQUAL(pwrite(fd, text, (size_t)length, 0), length);
        (void)close(fd);
}

void scripted_send_uevent(struct scripted *kit, const char *action, const char *properties) {
        char message[1024];
        int length = snprintf(message, sizeof(message), "%s@/devices/x%cACTION=%s%cSEQNUM=%llu%c%s", action, 0, action,
                              0, (unsigned long long)kit->uevent_sequence, 0, properties);

        CHECK(length > 0 && (size_t)length < sizeof(message) - 1);
        for (int i = 0; i < length; i++)
                if (message[i] == '\n')
                        message[i] = '\0';
        send_datagram(kit, message, (size_t)length + 1);
}

void scripted_uevent(struct scripted *kit, const char *action, const char *properties) {
        scripted_count_uevent(kit);
        scripted_send_uevent(kit, action, properties);
}

void scripted_lose_uevents(struct scripted *kit) {
        send_datagram(kit, "", 1);
}

/* Files that are made and removed, and time that passes. */
static const int load_calls[] = {
        SCMP_SYS(openat),    SCMP_SYS(pwrite64),        SCMP_SYS(mkdir),
        SCMP_SYS(unlink),    SCMP_SYS(rmdir),           SCMP_SYS(truncate),
        SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), -1,
};

const struct kernel_interface *scripted_interface(void) {
        return &interface;
}

const char *scripted_mount_tiny(struct scripted *kit, const char *size) {
        static char directory[SCRIPTED_PATH_MAX - 16];

        CHECK((size_t)snprintf(directory, sizeof(directory), "%s/tiny", kit->directory) < sizeof(directory));
        CHECK_EQUAL(mkdir(directory, 0755), 0);
        CHECK_EQUAL(unshare(CLONE_NEWNS), 0);
        CHECK_EQUAL(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        CHECK_EQUAL(mount("tiny", directory, "tmpfs", 0, size), 0);
        return directory;
}

/* The kit itself */

static void run_depmod(const struct scripted *kit) {
        char command[SCRIPTED_PATH_MAX];

        /* it complains about modules that are no ELF files, and indexes them */
        (void)snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin:/sbin depmod -b %s %s 2>/dev/null",
                       kit->directory, RELEASE);
        CHECK_EQUAL(system(command), 0);
}

static void make_directories(struct scripted *kit) {
        static const char *const directories[] = {
                "/lib", "/lib/modules", "/lib/modules/" RELEASE, "/lib/modules/" RELEASE "/kernel", "/sys",
        };
        char path[SCRIPTED_PATH_MAX];

        (void)snprintf(kit->directory, sizeof(kit->directory), "/tmp/modgate-live-XXXXXX");
        CHECK(mkdtemp(kit->directory) != NULL);
        for (size_t i = 0; i < SCRIPTED_COUNT(directories); i++) {
                (void)snprintf(path, sizeof(path), "%s%s", kit->directory, directories[i]);
                CHECK_EQUAL(mkdir(path, 0755), 0);
        }
        (void)snprintf(kit->modules, sizeof(kit->modules), "%s/lib/modules/" RELEASE, kit->directory);
        (void)snprintf(kit->sysfs, sizeof(kit->sysfs), "%s/sys", kit->directory);
        (void)snprintf(kit->report, sizeof(kit->report), "%s/report.json", kit->directory);
        (void)snprintf(kit->trace, sizeof(kit->trace), "%s/trace.json", kit->directory);
        (void)snprintf(kit->second_report, sizeof(kit->second_report), "%s/second.json", kit->directory);
        (void)snprintf(kit->socket, sizeof(kit->socket), "%s/attach.sock", kit->directory);
        (void)snprintf(kit->log, sizeof(kit->log), "%s/log", kit->directory);
        (void)snprintf(kit->modules_disabled, sizeof(kit->modules_disabled), "%s/modules_disabled", kit->directory);
        write_file(kit->modules_disabled, "0\n");
        (void)snprintf(kit->uevent_seqnum, sizeof(kit->uevent_seqnum), "%s/uevent_seqnum", kit->directory);
        kit->uevent_sequence = 1000;
        write_file(kit->uevent_seqnum, "1000\n");
        write_file(kit->log, "");
}

static void make_modules(struct scripted *kit) {
        static const char *const names[] = { "alpha", "beta", "gamma", "delta", "with-dash" };
        char name[32];

        for (size_t i = 0; i < SCRIPTED_COUNT(names); i++)
                add_module(kit, names[i]);
        for (unsigned int i = 0; i < NUMBERED_MODULES; i++) {
                (void)snprintf(name, sizeof(name), "m%03u", i);
                add_module(kit, name);
        }
        run_depmod(kit);
        file_times_settle();
}

static uint64_t choose_seed(void) {
        const char *text = getenv("MODGATE_SEED");

        return text ? strtoull(text, NULL, 0) : scripted_now_ns();
}

struct scripted *scripted_new(void) {
        struct scripted *kit = mmap(NULL, sizeof(*kit), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        CHECK(kit != MAP_FAILED);
        kit->seed = choose_seed();
        kit->random = kit->seed * 2654435769U + 88172645463325252U;
        make_directories(kit);
        make_modules(kit);
        loaders_kit = kit;
        interface = (struct kernel_interface){
                .module_sysfs = kit->sysfs,
                .modules_directory = kit->modules,
                .modules_disabled = kit->modules_disabled,
                .uevent_seqnum = kit->uevent_seqnum,
                .open_uevents = scripted_open_uevents,
                .receive_uevent = scripted_receive_uevent,
                .finit_module = scripted_finit_module,
                .init_module = scripted_init_module,
                .load_calls = load_calls,
        };
        return kit;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place) {
        (void)status, (void)type, (void)place;
        return remove(path);
}

void scripted_free(struct scripted *kit) {
        (void)nftw(kit->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
        (void)munmap(kit, sizeof(*kit));
}
