/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scripted_fuse.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILE_NODE 2U
#define FILE_NAME "file.ko"
#define CACHED_S 100000U
#define MESSAGE_SIZE (64U * 1024)

struct server {
        int device;
        int backing;
        uint64_t size;
        const atomic_int *state;
};

static void reply(const struct server *server, const struct fuse_in_header *request, int error, const void *data,
                  size_t size) {
        struct fuse_out_header header = {
                .len = (uint32_t)(sizeof(header) + size),
                .error = -error,
                .unique = request->unique,
        };
        const struct iovec parts[] = {
                { .iov_base = &header, .iov_len = sizeof(header) },
                { .iov_base = (void *)data, .iov_len = size },
        };

        /* whoever asked may have gone */
        (void)!writev(server->device, parts, size > 0 ? 2 : 1);
}

static struct fuse_attr attributes(const struct server *server, uint64_t node) {
        bool directory = node == FUSE_ROOT_ID;

        return (struct fuse_attr){
                .ino = node,
                .size = directory ? 0 : server->size,
                .mtime = 1000000000,
                .ctime = 1000000000,
                .mode = directory ? S_IFDIR | 0755 : S_IFREG | 0644,
                .nlink = 1,
                .blksize = 4096,
        };
}

static void serve_init(const struct server *server, const struct fuse_in_header *request) {
        const struct fuse_init_out out = {
                .major = FUSE_KERNEL_VERSION,
                .minor = 31,
                .max_background = 16,
                .congestion_threshold = 12,
                .max_write = 4096,
        };

        reply(server, request, 0, &out, sizeof(out));
}

static void serve_lookup(const struct server *server, const struct fuse_in_header *request, const char *name) {
        const struct fuse_entry_out out = {
                .nodeid = FILE_NODE,
                .entry_valid = CACHED_S,
                .attr_valid = CACHED_S,
                .attr = attributes(server, FILE_NODE),
        };

        if (strcmp(name, FILE_NAME) == 0)
                reply(server, request, 0, &out, sizeof(out));
        else
                reply(server, request, ENOENT, NULL, 0);
}

static void serve_attributes(const struct server *server, const struct fuse_in_header *request) {
        const struct fuse_attr_out out = { .attr_valid = CACHED_S, .attr = attributes(server, request->nodeid) };

        reply(server, request, 0, &out, sizeof(out));
}

static void serve_open(const struct server *server, const struct fuse_in_header *request) {
        /* every process that has it open would wait at its end */
        const struct fuse_open_out out = { .open_flags = FOPEN_NOFLUSH };

        reply(server, request, 0, &out, sizeof(out));
}

static void serve_read(const struct server *server, const struct fuse_in_header *request,
                       const struct fuse_read_in *in) {
        static char bytes[MESSAGE_SIZE];
        ssize_t length =
                pread(server->backing, bytes, in->size < sizeof(bytes) ? in->size : sizeof(bytes), (off_t)in->offset);

        reply(server, request, length < 0 ? EIO : 0, bytes, length > 0 ? (size_t)length : 0);
}

static void serve(const struct server *server, const struct fuse_in_header *request, const void *body) {
        enum scripted_fuse_state state = (enum scripted_fuse_state) * server->state;

        if (state == SCRIPTED_FUSE_HANGS || (state == SCRIPTED_FUSE_READS_HANG && request->opcode == FUSE_READ))
                return;
        switch (request->opcode) {
        case FUSE_INIT:
                serve_init(server, request);
                break;
        case FUSE_LOOKUP:
                serve_lookup(server, request, body);
                break;
        case FUSE_GETATTR:
                serve_attributes(server, request);
                break;
        case FUSE_OPEN:
                serve_open(server, request);
                break;
        case FUSE_READ:
                serve_read(server, request, body);
                break;
        case FUSE_FLUSH:
        case FUSE_RELEASE:
                reply(server, request, 0, NULL, 0);
                break;
        case FUSE_FORGET: /* these want no answer */
        case FUSE_BATCH_FORGET:
        case FUSE_INTERRUPT:
                break;
        default:
                reply(server, request, ENOSYS, NULL, 0);
        }
}

static _Noreturn void run_server(const struct server *server) {
        static union {
                struct fuse_in_header header;
                char bytes[MESSAGE_SIZE];
        } message;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
                ssize_t length = read(server->device, &message, sizeof(message));

                if (length >= (ssize_t)sizeof(message.header))
                        serve(server, &message.header, message.bytes + sizeof(message.header));
                else if (length < 0 && errno != EINTR && errno != ENOENT)
                        _exit(EXIT_SUCCESS); /* unmounted */
        }
}

static void mount_it(struct scripted *kit, int device, struct scripted_fuse *fuse) {
        char directory[SCRIPTED_PATH_MAX], options[96];

        CHECK(snprintf(directory, sizeof(directory), "%s/fuse", kit->directory) > 0);
        CHECK((size_t)snprintf(fuse->path, sizeof(fuse->path), "%s/fuse/" FILE_NAME, kit->directory) <
              sizeof(fuse->path));
        CHECK_EQUAL(mkdir(directory, 0755), 0);
        CHECK_EQUAL(unshare(CLONE_NEWNS), 0);
        CHECK_EQUAL(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        (void)snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", device);
        CHECK_EQUAL(mount("scripted", directory, "fuse", 0, options), 0);
}

bool scripted_fuse_mount(struct scripted *kit, const char *backing, struct scripted_fuse *ret) {
        struct server server = { .device = open("/dev/fuse", O_RDWR | O_CLOEXEC) };
        struct scripted_fuse fuse = { .server = -1 };
        struct stat status;
        void *shared;

        if (server.device < 0)
                return false;
        shared = mmap(NULL, sizeof(*fuse.state), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(shared != MAP_FAILED);
        fuse.state = shared;
        server.state = fuse.state;
        server.backing = open(backing, O_RDONLY | O_CLOEXEC);
        CHECK(server.backing >= 0);
        CHECK_EQUAL(fstat(server.backing, &status), 0);
        server.size = (uint64_t)status.st_size;
        mount_it(kit, server.device, &fuse);
        fuse.server = fork();
        CHECK(fuse.server >= 0);
        if (fuse.server == 0)
                run_server(&server);
        (void)close(server.device);
        (void)close(server.backing);
        *ret = fuse;
        return true;
}

void scripted_fuse_abort(const struct scripted_fuse *fuse) {
        CHECK_EQUAL(kill(fuse->server, SIGKILL), 0);
}
