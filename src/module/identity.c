/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "module/identity.h"

#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

static int64_t nanoseconds(struct statx_timestamp time) {
        return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

struct module_file module_file_from_statx(const struct statx *status) {
        return (struct module_file){
                .device = (uint64_t)status->stx_dev_major << 32 | status->stx_dev_minor,
                .inode = status->stx_ino,
                .size = status->stx_size,
                .ctime_ns = nanoseconds(status->stx_ctime),
                .mtime_ns = nanoseconds(status->stx_mtime),
        };
}

static bool is_module_ending(const char *ending) {
        static const char *const endings[] = { ".ko", ".ko.gz", ".ko.xz", ".ko.zst" };

        for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
                if (strcmp(ending, endings[i]) == 0)
                        return true;
        return false;
}

bool module_name_from_path(const char *path, char name[static MODULE_NAME_SIZE]) {
        const char *slash = strrchr(path, '/');
        const char *base = slash ? slash + 1 : path;
        const char *ending = strchr(base, '.');
        char result[MODULE_NAME_SIZE] = "";
        size_t length;

        if (!ending || !is_module_ending(ending))
                return false;
        length = (size_t)(ending - base);
        if (length == 0 || length >= MODULE_NAME_SIZE)
                return false;
        for (size_t i = 0; i < length; i++)
                result[i] = base[i] == '-' ? '_' : base[i];
        memcpy(name, result, sizeof(result));
        return true;
}

bool module_path_is_compressed(const char *path) {
        size_t length = strlen(path);

        return length < 3 || strcmp(path + length - 3, ".ko") != 0;
}

bool module_name_is_plain(const char *name, size_t length) {
        return length > 0 && length < MODULE_NAME_SIZE && name[0] != '.' && !memchr(name, '/', length) &&
               !memchr(name, '\0', length);
}

struct module_key module_key_make(const struct module_file *file, const char *name, const char *params, size_t length,
                                  unsigned int flags) {
        XXH128_hash_t hash = XXH3_128bits(params, length);
        struct module_key key;

        memset(&key, 0, sizeof(key));
        key.file = *file;
        key.params_hash[0] = hash.low64;
        key.params_hash[1] = hash.high64;
        key.params_length = (uint32_t)length;
        key.flags = flags;
        if (name)
                memcpy(key.name, name, strnlen(name, MODULE_NAME_SIZE - 1));
        return key;
}

bool module_key_equal(const struct module_key *a, const struct module_key *b) {
        return memcmp(a, b, sizeof(*a)) == 0;
}

bool module_key_same_name(const struct module_key *a, const struct module_key *b) {
        return a->name[0] != '\0' && strncmp(a->name, b->name, MODULE_NAME_SIZE) == 0;
}
