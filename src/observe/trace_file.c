/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "observe/trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/fd.h"

#define END_LENGTH (sizeof(TRACE_TEXT_END) - 1)
#define SEPARATOR ",\n"
#define SEPARATOR_LENGTH (sizeof(SEPARATOR) - 1)

/* All of it, or an error: a short write is a full disk, or a limit on the size of files. */
static int write_at(int fd, const char *bytes, size_t length, uint64_t offset) {
        ssize_t written = pwrite(fd, bytes, length, (off_t)offset);

        if (written < 0)
                return -errno;
        return (size_t)written == length ? 0 : -ENOSPC;
}

/* The directory may be somebody else's: what stands under this name there is not written to, or through. */
static int create(const char *path, const char *text, size_t length, int *ret_fd) {
        _cleanup_fd_ int fd = -1;
        int r;

        (void)unlink(path);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd < 0)
                return -errno;
        r = write_at(fd, text, length, 0);
        if (r < 0) {
                (void)unlink(path);
                return r;
        }
        *ret_fd = fd_steal(&fd);
        return 0;
}

static int exchange(struct trace_file *file) {
        int fd = file->fd;

        if (renameat2(AT_FDCWD, file->twin_path, AT_FDCWD, file->path, RENAME_EXCHANGE) < 0)
                return -errno;
        file->fd = file->twin_fd;
        file->twin_fd = fd;
        return 0;
}

static int create_both(struct trace_file *file, const char *text, size_t length) {
        int r = create(file->twin_path, text, length, &file->fd);

        if (r < 0)
                return r;
        if (rename(file->twin_path, file->path) < 0) {
                r = -errno;
                (void)unlink(file->twin_path);
                return r;
        }
        r = create(file->twin_path, text, length, &file->twin_fd);
        /* now, and not in the middle of a boot */
        return r < 0 ? r : exchange(file);
}

int trace_file_create(struct trace_file *file, const char *path, const char *begin, size_t length) {
        char text[TRACE_TEXT_MAX + END_LENGTH];
        int r = -ENOMEM;

        *file = (struct trace_file){ .fd = -1, .twin_fd = -1, .length = length, .twin_length = length };
        memcpy(text, begin, length);
        memcpy(text + length, TRACE_TEXT_END, END_LENGTH);
        file->path = strdup(path);
        if (asprintf(&file->twin_path, "%s.new", path) < 0)
                file->twin_path = NULL;
        if (file->path && file->twin_path)
                r = create_both(file, text, length + END_LENGTH);
        if (r < 0)
                trace_file_close(file);
        return r;
}

void trace_file_close(struct trace_file *file) {
        if (file->twin_fd >= 0)
                (void)unlink(file->twin_path);
        file->twin_fd = fd_close(file->twin_fd);
        file->fd = fd_close(file->fd);
        free(file->twin_path);
        free(file->path);
        file->twin_path = file->path = NULL;
}

/* What was begun and did not fit is taken back. */
static int write_in_place(struct trace_file *file, const char *text, size_t length) {
        int r = write_at(file->fd, text, length, file->length);

        if (r < 0) {
                (void)write_at(file->fd, TRACE_TEXT_END, END_LENGTH, file->length);
                (void)ftruncate(file->fd, (off_t)(file->length + END_LENGTH));
        }
        return r;
}

/* `text` is the last part of what the twin does not have. */
static int write_to_twin(struct trace_file *file, size_t length) {
        int r = write_at(file->twin_fd, file->missing, length, file->twin_length);

        if (r < 0)
                return r;
        /* an earlier attempt that failed may have written more */
        if (ftruncate(file->twin_fd, (off_t)(file->twin_length + length)) < 0)
                return -errno;
        return exchange(file);
}

int trace_file_append(struct trace_file *file, const char *event, size_t length) {
        size_t before = (size_t)(file->length - file->twin_length);
        char *text = file->missing + before;
        size_t added = SEPARATOR_LENGTH + length;
        int r;

        memcpy(text, SEPARATOR, SEPARATOR_LENGTH);
        memcpy(text + SEPARATOR_LENGTH, event, length);
        memcpy(text + added, TRACE_TEXT_END, END_LENGTH);
        if (file->length % TRACE_FILE_PAGE + added + END_LENGTH <= TRACE_FILE_PAGE) {
                r = write_in_place(file, text, added + END_LENGTH);
        } else {
                r = write_to_twin(file, before + added + END_LENGTH);
                if (r == 0) {
                        file->twin_length = file->length;
                        memmove(file->missing, text, added);
                }
        }
        if (r == 0)
                file->length += added;
        return r;
}
