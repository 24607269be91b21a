/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launch/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "launch/text.h"
#include "util/fd.h"

#define UDEV_SUFFIX "/udev"
#define NAMED_SYSTEMD "name=systemd"

static void freep(char **text) {
        free(*text);
}

#define _cleanup_free_ __attribute__((cleanup(freep)))

/* Whether `word` is one of the items that commas separate in the first `length` bytes of `list`. */
static bool list_has(const char *list, size_t length, const char *word) {
        const char *end = list + length;

        while (list <= end) {
                size_t item = 0;

                while (list + item < end && list[item] != ',')
                        item++;
                if (item == strlen(word) && memcmp(list, word, item) == 0)
                        return true;
                list += item + 1;
        }

        return false;
}

/* One line of /proc/self/cgroup: ID:CONTROLLERS:PATH, with an empty list for version 2. */
static bool line_is_of(const char *line, enum cgroup_hierarchy hierarchy, const char **ret_path) {
        const char *list = strchr(line, ':');
        const char *path = list ? strchr(list + 1, ':') : NULL;
        bool fits;

        if (!path)
                return false;

        list++;
        if (hierarchy == CGROUP_UNIFIED)
                fits = list == path && strncmp(line, "0:", 2) == 0;
        else
                fits = list_has(list, (size_t)(path - list), NAMED_SYSTEMD);

        *ret_path = path + 1;
        return fits;
}

int cgroup_parse_path(const char *text, enum cgroup_hierarchy hierarchy, char **ret) {
        _cleanup_free_ char *lines = strdup(text);
        char *rest = lines, *line;

        if (!lines)
                return -ENOMEM;

        while ((line = strsep(&rest, "\n"))) {
                const char *path;

                if (!line_is_of(line, hierarchy, &path) || path[0] != '/')
                        continue;

                *ret = strdup(path);
                return *ret ? 0 : -ENOMEM;
        }

        return -ENOENT;
}

/* Blanks and backslashes in mountinfo are written as a backslash and three octal digits. */
static void unescape(char *text) {
        char *to = text;

        for (const char *from = text; *from; to++) {
                if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
                    from[3] >= '0' && from[3] <= '7') {
                        *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
                        from += 4;
                } else {
                        *to = *from++;
                }
        }

        *to = '\0';
}

struct mount {
        char *root;  /* what of the file system is mounted */
        char *point; /* and where */
        char *type;
        char *super_options;
};

/* One line of mountinfo: id parent major:minor root point options [optional…] - type source super-options. */
static bool parse_mount(char *line, struct mount *ret) {
        char *separator = strstr(line, " - "), *rest = line;
        struct mount mount = { 0 };

        if (!separator)
                return false;

        *separator = '\0';
        for (int i = 0; i < 3; i++)
                (void)strsep(&rest, " ");
        mount.root = strsep(&rest, " ");
        mount.point = strsep(&rest, " ");

        rest = separator + strlen(" - ");
        mount.type = strsep(&rest, " ");
        (void)strsep(&rest, " ");
        mount.super_options = rest;
        if (!mount.root || !mount.point || !mount.super_options)
                return false;

        unescape(mount.root);
        unescape(mount.point);
        *ret = mount;
        return true;
}

static bool mount_is_of(const struct mount *mount, enum cgroup_hierarchy hierarchy) {
        if (hierarchy == CGROUP_UNIFIED)
                return strcmp(mount->type, "cgroup2") == 0;

        return strcmp(mount->type, "cgroup") == 0 &&
               list_has(mount->super_options, strlen(mount->super_options), NAMED_SYSTEMD);
}

/* What of `path` lies below the root of the mount, or NULL: in a container often only a part is mounted. */
static const char *path_below(const char *path, const char *root) {
        size_t length = strlen(root);

        if (strcmp(root, "/") == 0)
                return path;
        if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != '\0'))
                return NULL;

        return path + length;
}

int cgroup_parse_directory(const char *text, enum cgroup_hierarchy hierarchy, const char *path, char **ret) {
        _cleanup_free_ char *lines = strdup(text);
        char *rest = lines, *line;

        if (!lines)
                return -ENOMEM;

        while ((line = strsep(&rest, "\n"))) {
                const char *below;
                struct mount mount;
                char *directory;

                if (!parse_mount(line, &mount) || !mount_is_of(&mount, hierarchy))
                        continue;
                below = path_below(path, mount.root);
                if (!below)
                        continue;

                if (asprintf(&directory, "%s%s", mount.point, below) < 0)
                        return -ENOMEM;
                *ret = directory;
                return 0;
        }

        return -ENOENT;
}

bool cgroup_path_is_udev(const char *path) {
        size_t length = strlen(path), suffix = strlen(UDEV_SUFFIX);

        return length >= suffix && strcmp(path + length - suffix, UDEV_SUFFIX) == 0;
}

/* `directory` ends in `/udev`. The group stays: systemd removes it with its unit's. */
static int move_to_sibling(const char *directory) {
        size_t parent = strlen(directory) - strlen(UDEV_SUFFIX);
        _cleanup_free_ char *sibling = NULL, *procs = NULL;
        _cleanup_fd_ int fd = -1;

        if (asprintf(&sibling, "%.*s/modgate", (int)parent, directory) < 0) {
                sibling = NULL;
                return -ENOMEM;
        }
        if (asprintf(&procs, "%s/cgroup.procs", sibling) < 0) {
                procs = NULL;
                return -ENOMEM;
        }

        if (mkdir(sibling, 0755) < 0 && errno != EEXIST)
                return -errno;

        fd = open(procs, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;

        return write(fd, "0\n", 2) < 0 ? -errno : 0; /* 0: whoever writes */
}

static int leave_udev_in(enum cgroup_hierarchy hierarchy, const char *groups, const char *mounts) {
        _cleanup_free_ char *path = NULL, *directory = NULL;
        int r;

        r = cgroup_parse_path(groups, hierarchy, &path);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;

        if (!cgroup_path_is_udev(path))
                return 0;

        r = cgroup_parse_directory(mounts, hierarchy, path, &directory);
        return r < 0 ? r : move_to_sibling(directory);
}

int cgroup_leave_udev(void) {
        _cleanup_free_ char *groups = NULL, *mounts = NULL;
        int r;

        r = text_read("/proc/self/cgroup", &groups);
        if (r == -ENOENT) /* a kernel without control groups */
                return 0;
        if (r < 0)
                return r;

        r = text_read("/proc/self/mountinfo", &mounts);
        if (r < 0)
                return r;

        for (enum cgroup_hierarchy hierarchy = 0; hierarchy < CGROUP_HIERARCHIES && r == 0; hierarchy++)
                r = leave_udev_in(hierarchy, groups, mounts);

        return r;
}
