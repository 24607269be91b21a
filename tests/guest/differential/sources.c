/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What can be handed over. The files are made by the test, see 70-differential.test; paths are relative to their
 * directory. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "differential.h"

static int open_path(const struct source *source) {
        return open(source->path, source->flags | O_CLOEXEC | O_NONBLOCK);
}

/* A number that no descriptor has. */
static int open_nothing(const struct source *source) {
        return source->flags;
}

static int open_later(const struct source *source) {
        int fd = open_path(source);

        if (fd >= 0)
                (void)lseek(fd, 100, SEEK_SET);
        return fd;
}

/* Someone else has it open for writing, until we end. */
static int open_beside_writer(const struct source *source) {
        static int writer = -1;

        if (writer < 0)
                writer = open(source->path, O_WRONLY | O_CLOEXEC);
        return writer < 0 ? -1 : open_path(source);
}

static int copy_to(int fd, const struct source *source) {
        int from = open_path(source);

        while (from >= 0 && sendfile(fd, from, NULL, 1U << 20) > 0)
                ;
        if (from >= 0)
                close(from);
        return fd;
}

static int open_unlinked(const struct source *source) {
        char path[] = "unlinked.ko.XXXXXX", link[32];
        int fd = copy_to(mkostemp(path, O_CLOEXEC), source), again;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        again = open(link, O_RDONLY | O_CLOEXEC);
        close(fd);
        unlink(path);
        return again;
}

/* Open for writing, as it has to be to be filled. */
static int open_memfd(const struct source *source) {
        return copy_to((int)memfd_create("memfd", MFD_CLOEXEC), source);
}

static int open_memfd_for_reading(const struct source *source) {
        char link[32];
        int fd = open_memfd(source), again;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        again = open(link, O_RDONLY | O_CLOEXEC);
        close(fd);
        return again;
}

static int open_pipe(const struct source *source) {
        int fds[2];

        (void)source;
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -1;
        close(fds[1]);
        return fds[0];
}

static int open_socket(const struct source *source) {
        (void)source;
        return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

#define PATH(label, path)                                                                                              \
        { label, open_path, path, O_RDONLY, NULL, NULL }
#define ONE(label, path)                                                                                               \
        { label, open_path, path, O_RDONLY, NULL, "mg_one" }

const struct source sources[] = {
        { "indexed one", open_path, "indexed/mg_one", O_RDONLY, "mg_one", NULL },
        { "indexed two", open_path, "indexed/mg_two", O_RDONLY, "mg_two", NULL },
        { "indexed three", open_path, "indexed/mg_three", O_RDONLY, "mg_three", NULL },
        { "indexed four", open_path, "indexed/mg_four", O_RDONLY, "mg_four", NULL },
        { "indexed big", open_path, "indexed/mg_big", O_RDONLY, "mg_big", NULL },
        { "indexed state", open_path, "indexed/mg_state", O_RDONLY, "mg_state", NULL },
        { "plain one", open_path, "plain/mg_one.ko", O_RDONLY, NULL, "mg_one" },
        { "plain two", open_path, "plain/mg_two.ko", O_RDONLY, NULL, "mg_two" },
        { "plain three", open_path, "plain/mg_three.ko", O_RDONLY, NULL, "mg_three" },
        { "plain four", open_path, "plain/mg_four.ko", O_RDONLY, NULL, "mg_four" },
        { "plain big", open_path, "plain/mg_big.ko", O_RDONLY, NULL, "mg_big" },
        { "plain state", open_path, "plain/mg_state.ko", O_RDONLY, NULL, "mg_state" },
        /* ways to the same */
        ONE("copy", "files/copy.ko"),
        PATH("hard link to indexed", "files/hard-link.ko"),
        PATH("hard link in its directory", "indexed-directory/mg_two_too.ko"),
        ONE("one named two", "files/mg_two.ko"),
        ONE("without ending", "files/without-ending"),
        ONE("mode 000", "files/mode-000.ko"),
        ONE("somebody's", "files/somebody.ko"),
        { "indexed from byte 100", open_later, "indexed/mg_one", O_RDONLY, "mg_one", NULL },
        { "unlinked", open_unlinked, "plain/mg_one.ko", O_RDONLY, NULL, "mg_one" },
        { "memfd", open_memfd, "plain/mg_one.ko", O_RDONLY, NULL, "mg_one" },
        { "memfd for reading", open_memfd_for_reading, "plain/mg_one.ko", O_RDONLY, NULL, "mg_one" },
        /* descriptors that will not do */
        { "no descriptor", open_nothing, NULL, 999, NULL, NULL },
        { "descriptor -1", open_nothing, NULL, -1, NULL, NULL },
        { "O_PATH", open_path, "indexed/mg_one", O_PATH, NULL, NULL },
        { "write-only", open_path, "files/copy.ko", O_WRONLY, NULL, NULL },
        { "directory", open_path, "files", O_RDONLY | O_DIRECTORY, NULL, NULL },
        { "FIFO", open_path, "files/fifo.ko", O_RDONLY, NULL, NULL },
        { "pipe", open_pipe, NULL, 0, NULL, NULL },
        { "socket", open_socket, NULL, 0, NULL, NULL },
        PATH("/dev/null", "/dev/null"),
        PATH("/dev/zero", "/dev/zero"),
        /* files that will not do */
        { "open for writing", open_path, "files/copy.ko", O_RDWR, NULL, "mg_one" },
        { "indexed, open for writing", open_path, "indexed/mg_one", O_RDWR, "mg_one", NULL },
        { "open for writing elsewhere", open_beside_writer, "files/written.ko", O_RDONLY, NULL, "mg_one" },
        PATH("empty", "files/empty.ko"),
        PATH("one byte", "files/one-byte.ko"),
        PATH("procfs", "/proc/self/status"),
        PATH("sysfs", "/sys/kernel/uevent_seqnum"),
        PATH("3 GiB", "files/3-GiB.ko"),
        PATH("zeros", "files/zeros.ko"),
        PATH("text", "files/text.ko"),
        PATH("executable", "/bin/true"),
        PATH("first 63 bytes", "files/first-63.ko"),
        PATH("first 64 bytes", "files/first-64.ko"),
        PATH("first half", "files/first-half.ko"),
        PATH("without its last byte", "files/without-last.ko"),
        ONE("longer", "files/longer.ko"),
        PATH("class 32", "files/class-32.ko"),
        PATH("big endian", "files/big-endian.ko"),
        ONE("other machine", "files/other-machine.ko"),
        PATH("executable type", "files/executable-type.ko"),
        PATH("many sections", "files/many-sections.ko"),
        ONE("vermagic", "files/vermagic.ko"),
        ONE("without vermagic", "files/without-vermagic.ko"),
        PATH("modinfo of two", "files/modinfo-of-two.ko"),
        PATH("gz", "files/one.ko.gz"),
        PATH("xz", "files/one.ko.xz"),
        PATH("first half of xz", "files/first-half.ko.xz"),
        PATH("xz and more", "files/longer.ko.xz"),
        PATH("xz of text", "files/text.ko.xz"),
};
const size_t sources_count = sizeof(sources) / sizeof(sources[0]);

const struct source *source_find(const char *label) {
        for (size_t i = 0; i < sources_count; i++)
                if (strcmp(sources[i].label, label) == 0)
                        return &sources[i];
        fprintf(stderr, "no source is called %s\n", label);
        exit(2);
}
