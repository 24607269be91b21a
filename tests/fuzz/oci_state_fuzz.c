/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Whatever a runtime sends: it is the same wherever it is cut, what is taken keeps to its limits and has as many names
 * as descriptors came, and what is written of a state that was taken is taken as the same.
 *
 * An input is the number of descriptors, a byte that the cuts are made of, and the text.
 */

#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "input.h"
#include "oci/profile.h"
#include "oci/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_printable(const char *text, size_t max) {
        size_t length = strlen(text);

        check(length > 0 && length <= max);
        for (size_t i = 0; i < length; i++)
                check(text[i] > ' ' && text[i] <= '~' && text[i] != '"' && text[i] != '\\');
}

static void check_profile(const char *words) {
        char name[OCI_PROFILE_SIZE];
        int r = oci_profile_find(words, name);

        check(r == 0 || r == -ENOENT || r == -EEXIST || r == -EINVAL);
        if (r == 0) {
                check_printable(name, POLICY_NAME_MAX);
                check(policy_is_profile_name(name, strlen(name)));
                check(strstr(words, name) != NULL);
        }
}

static void check_state(const struct oci_state *state, unsigned int fd_count) {
        unsigned int listeners = 0;

        check(state->fd_count == fd_count && fd_count <= OCI_FDS_MAX && state->seccomp_fd < fd_count);
        for (unsigned int i = 0; i < fd_count; i++) {
                check_printable(state->fds[i], OCI_WORD_MAX);
                listeners += strcmp(state->fds[i], "seccompFd") == 0;
        }
        check(listeners == 1 && strcmp(state->fds[state->seccomp_fd], "seccompFd") == 0);
        check(state->pid >= 0 && state->init_pid >= 0);
        check_printable(state->version, OCI_WORD_MAX);
        check_printable(state->status, OCI_WORD_MAX);
        check_printable(state->id, OCI_ID_MAX);
        check(!strchr(state->id, '/'));
        check(!state->metadata || strlen(state->metadata) <= OCI_METADATA_MAX);
        check(!state->bundle || strlen(state->bundle) <= OCI_BUNDLE_MAX);
        check_profile(state->metadata);
}

static void check_problem(const struct oci_problem *problem) {
        check(problem->text[0] != '\0');
        for (const char *c = problem->text; *c != '\0'; c++)
                check(*c >= ' ' && *c <= '~');
}

/*
 * Reads the text in pieces of 1 to `piece_max` bytes, of odd lengths; 0: in one. Each piece is in memory of its own,
 * and not a byte longer.
 */
static int read_text(struct oci_reader *reader, const uint8_t *text, size_t length, unsigned int fd_count,
                     size_t piece_max, struct oci_state *ret) {
        uint32_t seed = (uint32_t)piece_max * 2654435761U;
        size_t begin = 0;
        int r = 0;

        oci_reader_init(reader);
        do {
                size_t piece = length - begin;
                char *copy;

                seed = seed * 1664525U + 1013904223U;
                if (piece_max > 0 && piece > 1 + (seed >> 16) % piece_max)
                        piece = 1 + (seed >> 16) % piece_max;
                copy = malloc(piece > 0 ? piece : 1);
                check(copy != NULL);
                if (piece > 0)
                        memcpy(copy, text + begin, piece);
                r = oci_reader_add(reader, copy, piece, begin == 0 ? fd_count : 0);
                free(copy);
                check(r == 0 || r == OCI_E_MORE || r == -EBADMSG);
                begin += piece;
        } while (begin < length);
        return r >= 0 ? oci_reader_finish(reader, ret) : r;
}

static void add_text(struct json_object *object, const char *name, const char *text) {
        if (text)
                check(json_object_object_add(object, name, json_object_new_string(text)) == 0);
}

/* All that a state says, in another order and on one line. */
static struct json_object *write_state(const struct oci_state *state) {
        struct json_object *top = json_object_new_object(), *container = json_object_new_object();
        struct json_object *fds = json_object_new_array(), *annotations, *copy = NULL;

        add_text(container, "status", state->status);
        add_text(container, "bundle", state->bundle);
        add_text(container, "id", state->id);
        (void)json_object_object_add(container, "pid", json_object_new_int(state->init_pid));
        annotations = json_object_object_get(json_object_object_get(state->tree, "state"), "annotations");
        if (annotations) {
                check(json_object_deep_copy(annotations, &copy, NULL) == 0);
                (void)json_object_object_add(container, "annotations", copy);
        }
        for (unsigned int i = 0; i < state->fd_count; i++)
                (void)json_object_array_add(fds, json_object_new_string(state->fds[i]));
        (void)json_object_object_add(top, "state", container);
        add_text(top, "metadata", state->metadata);
        (void)json_object_object_add(top, "pid", json_object_new_int(state->pid));
        (void)json_object_object_add(top, "fds", fds);
        add_text(top, "ociVersion", state->version);
        return top;
}

static void check_same_text(const char *a, const char *b) {
        check(!a == !b);
        check(!a || strcmp(a, b) == 0);
}

static void check_same(const struct oci_state *a, const struct oci_state *b) {
        struct json_object *annotations =
                json_object_object_get(json_object_object_get(a->tree, "state"), "annotations");

        check(a->fd_count == b->fd_count && a->seccomp_fd == b->seccomp_fd);
        for (unsigned int i = 0; i < a->fd_count; i++)
                check_same_text(a->fds[i], b->fds[i]);
        check(a->pid == b->pid && a->init_pid == b->init_pid);
        check_same_text(a->version, b->version);
        check_same_text(a->metadata, b->metadata);
        check_same_text(a->id, b->id);
        check_same_text(a->status, b->status);
        check_same_text(a->bundle, b->bundle);
        if (!annotations)
                return;
        json_object_object_foreach(annotations, key, value) {
                (void)value;
                check_same_text(oci_state_annotation(a, key), oci_state_annotation(b, key));
        }
}

static void check_written(const struct oci_state *state) {
        struct json_object *tree = write_state(state);
        const char *text = json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN);
        struct oci_reader reader;
        struct oci_state again;
        int r = read_text(&reader, (const uint8_t *)text, strlen(text), state->fd_count, 0, &again);

        /* \u001f for one byte and so on: only that can make it too long */
        check(r == 0 || strlen(text) > OCI_TEXT_MAX);
        if (r == 0) {
                check_same(state, &again);
                oci_state_deinit(&again);
        }
        oci_reader_deinit(&reader);
        (void)json_object_put(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct input input = { .data = data, .size = size };
        /* 1, which is what a zero says, is what comes mostly */
        unsigned int fd_count = (unsigned int)input_byte(&input) ^ 1U;
        uint8_t piece_max = input_byte(&input);
        struct oci_reader whole_reader, cut_reader;
        struct oci_state whole, cut;
        int r, cut_r;

        r = read_text(&whole_reader, input.data, input.size, fd_count, 0, &whole);
        cut_r = read_text(&cut_reader, input.data, input.size, fd_count, piece_max, &cut);
        check(cut_r == r);
        check(strcmp(whole_reader.problem.text, cut_reader.problem.text) == 0);
        oci_reader_deinit(&whole_reader);
        oci_reader_deinit(&cut_reader);
        if (r < 0) {
                check(r == -EBADMSG);
                check_problem(&whole_reader.problem);
                return 0;
        }
        check_state(&whole, fd_count);
        check_same(&whole, &cut);
        check_written(&whole);
        oci_state_deinit(&whole);
        oci_state_deinit(&cut);
        return 0;
}
