/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy_load.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/fd.h"

#define FILE_MAX (1U << 20)

static int read_all(int fd, char *text, size_t size, size_t *ret_length) {
        size_t length = 0;

        while (length < size) {
                ssize_t n = read(fd, text + length, size - length);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                length += (size_t)n;
        }
        *ret_length = length;
        return 0;
}

/* Returns 0 and the text (owned by the caller), or negative errno. */
static int read_file(const char *path, struct policy_file *ret) {
        _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct stat status;
        size_t length = 0;
        char *text;
        int r;

        if (fd < 0 || fstat(fd, &status) < 0)
                return -errno;
        if (S_ISDIR(status.st_mode))
                return -EISDIR;
        if (!S_ISREG(status.st_mode))
                return -EINVAL;
        if (status.st_size > FILE_MAX)
                return -EFBIG;
        /* a byte more, to see that it has grown */
        text = malloc(FILE_MAX + 1);
        if (!text)
                return -ENOMEM;
        r = read_all(fd, text, FILE_MAX + 1, &length);
        if (r == 0 && length > FILE_MAX)
                r = -EFBIG;
        if (r < 0) {
                free(text);
                return r;
        }
        *ret = (struct policy_file){ .name = path, .text = text, .length = length };
        return 0;
}

static void report_unread(const char *path, int error, policy_report report, void *context) {
        char reason[POLICY_REASON_SIZE];

        if (!report)
                return;
        if (error == -EFBIG)
                (void)snprintf(reason, sizeof(reason), "cannot be read: more than %u bytes", FILE_MAX);
        else if (error == -EINVAL)
                (void)snprintf(reason, sizeof(reason), "cannot be read: not an ordinary file");
        else
                (void)snprintf(reason, sizeof(reason), "cannot be read: %s", strerror(-error));
        report(&(struct policy_place){ .file = path }, reason, context);
}

int policy_load(const char *const *paths, size_t count, policy_report report, void *context, struct policy **ret) {
        struct policy_file *files = calloc(count + 1, sizeof(*files));
        struct policy *policy = NULL;
        size_t read = 0;
        int r;

        if (!files)
                return -ENOMEM;
        for (size_t i = 0; i < count; i++) {
                r = read_file(paths[i], &files[read]);
                if (r == 0)
                        read++;
                else
                        report_unread(paths[i], r, report, context);
        }
        /* the others may have errors too */
        r = policy_parse(files, read, report, context, &policy);
        if (r == 0 && read == count)
                *ret = policy;
        else if (r == 0)
                policy = policy_free(policy);
        while (read > 0)
                free((char *)files[--read].text);
        free(files);
        return r < 0 ? r : policy ? 0 : -EINVAL;
}

static int is_policy_file(const struct dirent *entry) {
        size_t length = strlen(entry->d_name);

        return entry->d_name[0] != '.' && length > 4 && strcmp(entry->d_name + length - 4, ".ini") == 0;
}

static int compare_names(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

int policy_load_directory(const char *directory, policy_report report, void *context, struct policy **ret) {
        struct dirent **entries = NULL;
        int r, count = scandir(directory, &entries, is_policy_file, compare_names);
        char **paths;

        if (count < 0 && errno == ENOENT)
                return policy_parse(NULL, 0, report, context, ret);
        if (count < 0) {
                r = -errno;
                report_unread(directory, r, report, context);
                return r == -ENOMEM ? r : -EINVAL;
        }
        paths = calloc((size_t)count + 1, sizeof(*paths));
        r = paths ? 0 : -ENOMEM;
        for (int i = 0; i < count; i++) {
                if (r == 0 && asprintf(&paths[i], "%s/%s", directory, entries[i]->d_name) < 0) {
                        paths[i] = NULL;
                        r = -ENOMEM;
                }
                free(entries[i]);
        }
        free(entries);
        if (r == 0)
                r = policy_load((const char *const *)paths, (size_t)count, report, context, ret);
        for (int i = 0; paths && i < count; i++)
                free(paths[i]);
        free(paths);
        return r;
}
