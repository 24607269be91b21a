/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Images, and callers of init_module whose memory the test shares. */

#include "scripted_images.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "module/elf.h"
#include "scripted_private.h"

/* A module as small as they get: header, three sections with contents, section table; then what makes them differ. */
struct image {
        ElfW(Ehdr) header;
        char names[64];
        char this_module[128];
        char modinfo[64];
        ElfW(Shdr) sections[4];
        char label[32];
        char padding[8192]; /* so that there is something to copy */
};

static ElfW(Shdr) section(unsigned int name, unsigned int type, size_t offset, size_t size) {
        return (ElfW(Shdr)){ .sh_name = name, .sh_type = type, .sh_offset = offset, .sh_size = size };
}

const char *scripted_image(struct scripted *kit, const struct scripted_module *module, const char *label) {
        static const char names[] = "\0.shstrtab\0.gnu.linkonce.this_module\0.modinfo";
        static char path[SCRIPTED_PATH_MAX];
        struct image image = { 0 };
        int fd;

        memcpy(image.header.e_ident, ELFMAG, SELFMAG);
        image.header.e_ident[EI_CLASS] = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
        image.header.e_ident[EI_DATA] = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
        image.header.e_type = ET_REL;
        image.header.e_shoff = offsetof(struct image, sections);
        image.header.e_shentsize = sizeof(ElfW(Shdr));
        image.header.e_shnum = 4;
        image.header.e_shstrndx = 1;
        memcpy(image.names, names, sizeof(names));
        (void)snprintf(image.this_module + 3 * sizeof(void *), 32, "%s", module->name);
        (void)snprintf(image.modinfo, sizeof(image.modinfo), "name=%s", module->name);
        image.sections[1] = section(1, SHT_STRTAB, offsetof(struct image, names), sizeof(names));
        image.sections[2] = section(11, SHT_PROGBITS, offsetof(struct image, this_module), sizeof(image.this_module));
        image.sections[3] = section(37, SHT_PROGBITS, offsetof(struct image, modinfo), strlen(image.modinfo) + 1);
        (void)snprintf(image.label, sizeof(image.label), "%s", label);
        CHECK((size_t)snprintf(path, sizeof(path), "%s/%s-%s.image", kit->directory, module->name, label) <
              sizeof(path));
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        CHECK(fd >= 0);
        CHECK_EQUAL(write(fd, &image, sizeof(image)), sizeof(image));
        (void)close(fd);
        return path;
}

struct memory {
        const void *start;
        size_t length;
};

static int read_memory(void *context, uint64_t offset, void *buffer, size_t size) {
        const struct memory *memory = context;

        CHECK(offset <= memory->length && size <= memory->length - offset);
        memcpy(buffer, (const char *)memory->start + offset, size);
        return 0;
}

int scripted_init_module(const void *start, unsigned long length, const char *params) {
        struct memory memory = { .start = start, .length = length };
        const struct module_image foreign = { .length = length, .read = read_memory, .context = &memory };
        char name[MODULE_NAME_SIZE];

        if (length != sizeof(struct image) || module_elf_name(&foreign, name) < 0)
                return -ENOEXEC;
        return scripted_load(name, ((const struct image *)start)->label, params, 0);
}

struct scripted_call scripted_image_call_with(struct scripted *kit, const struct scripted_module *module,
                                              const char *label, const char *params) {
        char *path = strdup(scripted_image(kit, module, label));

        CHECK(path != NULL);
        return (struct scripted_call){ .path = path, .params = params, .image = true };
}

struct scripted_call scripted_image_call(struct scripted *kit, const struct scripted_module *module,
                                         const char *label) {
        return scripted_image_call_with(kit, module, label, "");
}

size_t scripted_image_size(struct scripted *kit) {
        struct stat status;

        CHECK_EQUAL(stat(scripted_image(kit, scripted_module(kit, "alpha"), "size"), &status), 0);
        return (size_t)status.st_size;
}

/* Callers whose memory is shared */

struct scripted_raw scripted_raw_image(struct scripted *kit, const struct scripted_module *module, const char *label,
                                       size_t room) {
        int fd = open(scripted_image(kit, module, label), O_RDONLY | O_CLOEXEC);
        char *memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        size_t size = scripted_image_size(kit);

        CHECK(memory != MAP_FAILED);
        CHECK(fd >= 0);
        CHECK_EQUAL(read(fd, memory, size), size);
        (void)close(fd);
        return (struct scripted_raw){ .image = memory, .length = room, .params = "" };
}

struct scripted_raw scripted_raw_large(struct scripted *kit) {
        return scripted_raw_image(kit, scripted_module(kit, "alpha"), "large", SCRIPTED_LARGE);
}

struct scripted_raw scripted_raw_small(struct scripted *kit, const struct scripted_module *module, const char *label) {
        return scripted_raw_image(kit, module, label, scripted_image_size(kit));
}

struct scripted_raw scripted_raw_headers(struct scripted *kit, const struct scripted_module *module) {
        struct scripted_raw raw = scripted_raw_small(kit, module, "one");
        size_t page = (size_t)sysconf(_SC_PAGESIZE);

        CHECK(raw.length > page);
        CHECK_EQUAL(munmap(raw.image + page, raw.length - page), 0);
        return raw;
}

static int call_raw(void *context) {
        const struct scripted_raw *raw = context;

        return syscall(SYS_init_module, raw->image, raw->length, raw->params) < 0 ? errno : 0;
}

struct scripted_call *scripted_raw_start(struct scripted *kit, unsigned int count, struct scripted_raw raw) {
        return scripted_start_own(kit, count, call_raw, &raw);
}

int scripted_raw_one(struct scripted *kit, struct scripted_raw raw) {
        struct scripted_call *call = scripted_raw_start(kit, 1, raw);

        scripted_finish(kit, call, 1);
        return call->error;
}

void scripted_prepare_bare_image(struct scripted *kit) {
        kit->bare[0] = scripted_raw_one(kit, scripted_raw_small(kit, scripted_module(kit, "alpha"), "one"));
}

/* Copying */

unsigned int scripted_count_fds(pid_t pid, const char *name) {
        char directory_path[32], path[300], target[256];
        unsigned int found = 0;
        struct dirent *entry;
        DIR *directory;

        (void)snprintf(directory_path, sizeof(directory_path), "/proc/%d/fd", (int)pid);
        directory = opendir(directory_path);
        while (directory && (entry = readdir(directory))) {
                ssize_t length;

                (void)snprintf(path, sizeof(path), "%s/%s", directory_path, entry->d_name);
                length = readlink(path, target, sizeof(target) - 1);
                target[length > 0 ? length : 0] = '\0';
                found += strstr(target, name) != NULL;
        }
        if (directory)
                (void)closedir(directory);
        return found;
}

pid_t scripted_stop_copying(struct scripted *kit) {
        for (;;) {
                pid_t inspectors[4];

                for (unsigned int i = 0; i < SCRIPTED_COUNT(inspectors); i++)
                        inspectors[i] = scripted_process(kit, "modgate-inspect", i);
                for (unsigned int i = 0; i < 100 * SCRIPTED_COUNT(inspectors); i++) {
                        pid_t inspector = inspectors[i % SCRIPTED_COUNT(inspectors)];

                        if (inspector == 0 || scripted_count_fds(inspector, "modgate-image") == 0)
                                continue;
                        CHECK_EQUAL(kill(inspector, SIGSTOP), 0);
                        return inspector;
                }
        }
}

struct scripted_crowd scripted_start_crowd(struct scripted *kit, struct scripted_raw first, unsigned int first_count,
                                           struct scripted_raw others, unsigned int others_count) {
        pid_t supervisor = scripted_stop(kit, "modgate-superv");
        struct scripted_crowd crowd = { .first = scripted_raw_start(kit, first_count, first) };

        scripted_settle(kit, crowd.first, first_count);
        crowd.others = scripted_raw_start(kit, others_count, others);
        scripted_settle(kit, crowd.others, others_count);
        CHECK_EQUAL(kill(supervisor, SIGCONT), 0);
        return crowd;
}
