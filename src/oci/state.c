/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "oci/state.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * json-c reads the text, once it is there as a whole, so that no cut can make a difference. What it does not tell is
 * found before, byte by byte: where the text ends, how deep it is, a NUL in a string (json-c's keys end there), control
 * characters, comments, quotes of other kinds. And members are counted, since of two with the same name it keeps the
 * last one, silently: then there are fewer in the tree than there were colons.
 *
 * It is not asked to be strict: 0.18 then refuses every string that is not ASCII (its `c <= 0x1f` is of a signed char).
 * What it takes besides JSON (a comma before a closing bracket, leading zeros) cannot be taken for anything else.
 */

#define SECCOMP_FD "seccompFd"

#define WHITE " \t\r\n"

/* Of what may stand outside of strings: the letters are those of true, false, null and exponents. */
#define OUTSIDE_STRINGS WHITE "+-.0123456789Eaeflnrstu"

static bool is_one_of(unsigned char byte, const char *bytes) {
        return byte != '\0' && strchr(bytes, byte) != NULL;
}

/* Each of the following returns NULL, or what is wrong. */

static const char *scan_string(struct oci_reader *reader, unsigned char byte) {
        if (byte < ' ')
                return "a control character stands in a string";
        if (reader->hex_left > 0) {
                if (!is_one_of(byte, "0123456789abcdefABCDEF"))
                        return "an escape in a string is none of JSON's";
                reader->hex_is_zero = reader->hex_is_zero && byte == '0';
                return --reader->hex_left == 0 && reader->hex_is_zero ? "a NUL stands in a string" : NULL;
        }
        if (reader->escaped) {
                reader->escaped = false;
                reader->hex_left = byte == 'u' ? 4 : 0;
                reader->hex_is_zero = true;
        } else if (byte == '\\') {
                reader->escaped = true;
        } else if (byte == '"') {
                reader->in_string = false;
        }
        return NULL;
}

static const char *scan_structure(struct oci_reader *reader, unsigned char byte) {
        switch (byte) {
        case '"':
                reader->in_string = true;
                return NULL;
        case '{':
        case '[':
                reader->depth++;
                return reader->depth > OCI_DEPTH_MAX ? "it is nested too deeply" : NULL;
        case '}':
        case ']':
                reader->depth--;
                reader->ended = reader->depth == 0;
                return NULL;
        case ':':
                reader->members++;
                break;
        case ',':
                reader->commas++;
                break;
        default:
                return is_one_of(byte, OUTSIDE_STRINGS) ? NULL : "a character stands where JSON has none";
        }
        return reader->members + reader->commas > OCI_VALUES_MAX ? "it has too many values" : NULL;
}

static const char *scan_byte(struct oci_reader *reader, unsigned char byte) {
        if (reader->ended)
                return is_one_of(byte, WHITE) ? NULL : "there is something behind its end";
        if (reader->in_string)
                return scan_string(reader, byte);
        if (reader->depth == 0 && byte != '{')
                return is_one_of(byte, WHITE) ? NULL : "it is no JSON object";
        return scan_structure(reader, byte);
}

void oci_reader_init(struct oci_reader *reader) {
        *reader = (struct oci_reader){ 0 };
}

void oci_reader_deinit(struct oci_reader *reader) {
        free(reader->text);
        reader->text = NULL;
        reader->length = reader->room = 0;
}

static int make_room(struct oci_reader *reader, size_t more) {
        size_t room = reader->room > 0 ? reader->room : 4096;
        char *text;

        while (room < reader->length + more)
                room *= 2;
        if (room == reader->room)
                return 0;
        text = realloc(reader->text, room);
        if (!text)
                return oci_problem_set(&reader->problem, -ENOMEM, "there is no memory for it");
        reader->text = text;
        reader->room = room;
        return 0;
}

/* Up to the limit, whatever comes behind it: what is found there must not depend on cuts. */
static int add_bytes(struct oci_reader *reader, const char *bytes, size_t length) {
        size_t room = OCI_TEXT_MAX - reader->length, taken = length < room ? length : room;
        int r = make_room(reader, taken);

        if (r < 0)
                return r;
        for (size_t i = 0; i < taken; i++) {
                const char *wrong = scan_byte(reader, (unsigned char)bytes[i]);

                if (wrong)
                        return oci_problem_set(&reader->problem, -EBADMSG, "%s", wrong);
                reader->text[reader->length++] = bytes[i];
        }
        if (taken < length)
                return oci_problem_set(&reader->problem, -EBADMSG, "it is longer than %u bytes", OCI_TEXT_MAX);
        return 0;
}

static int add_fds(struct oci_reader *reader, unsigned int fd_count) {
        if (fd_count > 0 && reader->begun)
                return oci_problem_set(&reader->problem, -EBADMSG, "descriptors came behind its beginning");
        if (fd_count > OCI_FDS_MAX)
                return oci_problem_set(&reader->problem, -EBADMSG, "more than %u descriptors came", OCI_FDS_MAX);
        reader->fd_count += fd_count;
        reader->begun = true;
        return 0;
}

int oci_reader_add(struct oci_reader *reader, const void *bytes, size_t length, unsigned int fd_count) {
        if (reader->error == 0 && (length > 0 || fd_count > 0)) {
                reader->error = add_fds(reader, fd_count);
                if (reader->error == 0 && length > 0)
                        reader->error = add_bytes(reader, bytes, length);
        }
        if (reader->error < 0)
                return reader->error;
        return reader->ended ? 0 : OCI_E_MORE;
}

/* Of it and all that is in it; the depth is limited. */
static size_t count_members(struct json_object *value) {
        size_t count = 0;

        if (json_object_is_type(value, json_type_object)) {
                json_object_object_foreach(value, name, member) {
                        (void)name;
                        count += 1 + count_members(member);
                }
        } else if (json_object_is_type(value, json_type_array)) {
                for (size_t i = 0; i < json_object_array_length(value); i++)
                        count += count_members(json_object_array_get_idx(value, i));
        }
        return count;
}

static int parse(struct oci_reader *reader, struct json_object **ret) {
        struct json_tokener *tokener = json_tokener_new();
        struct json_object *tree;
        enum json_tokener_error error;

        if (!tokener)
                return oci_problem_set(&reader->problem, -ENOMEM, "there is no memory for it");
        json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8);
        tree = json_tokener_parse_ex(tokener, reader->text, (int)reader->length);
        error = json_tokener_get_error(tokener);
        json_tokener_free(tokener);
        if (!tree && error == json_tokener_success)
                return oci_problem_set(&reader->problem, -ENOMEM, "there is no memory for it");
        if (!tree)
                return oci_problem_set(&reader->problem, -EBADMSG, "it is no JSON: %s", json_tokener_error_desc(error));
        if (count_members(tree) != reader->members) {
                (void)json_object_put(tree);
                return oci_problem_set(&reader->problem, -EBADMSG, "an object in it has two members of the same name");
        }
        *ret = tree;
        return 0;
}

/* The last part of a path like `state.id`, which is what problems call it. */
static struct json_object *member(struct json_object *object, const char *path) {
        const char *dot = strrchr(path, '.');

        return json_object_object_get(object, dot ? dot + 1 : path);
}

/* `*ret` is NULL if there is none, or null. */
static int get_text(struct oci_problem *problem, struct json_object *value, const char *path, size_t max,
                    const char **ret) {
        *ret = NULL;
        if (!value)
                return 0;
        if (!json_object_is_type(value, json_type_string))
                return oci_problem_set(problem, -EBADMSG, "%s is not a string", path);
        if ((size_t)json_object_get_string_len(value) > max)
                return oci_problem_set(problem, -EBADMSG, "%s is longer than %zu bytes", path, max);
        *ret = json_object_get_string(value);
        return 0;
}

static bool is_word(const char *text) {
        for (const char *c = text; *c != '\0'; c++)
                if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\')
                        return false;
        return text[0] != '\0';
}

static int need_word(struct oci_problem *problem, struct json_object *value, const char *path, size_t max,
                     const char **ret) {
        int r = get_text(problem, value, path, max, ret);

        if (r < 0)
                return r;
        if (!*ret)
                return oci_problem_set(problem, -EBADMSG, "%s is missing", path);
        return is_word(*ret) ? 0 : oci_problem_set(problem, -EBADMSG, "%s is not a printable word", path);
}

static int get_pid(struct oci_problem *problem, struct json_object *value, const char *path, pid_t *ret) {
        int64_t pid = 0;

        if (value && !json_object_is_type(value, json_type_int))
                return oci_problem_set(problem, -EBADMSG, "%s is not an integer", path);
        if (value)
                pid = json_object_get_int64(value);
        if (pid < 0 || pid > INT32_MAX)
                return oci_problem_set(problem, -EBADMSG, "%s is no process id", path);
        *ret = (pid_t)pid;
        return 0;
}

static int read_fds(const struct oci_reader *reader, struct oci_problem *problem, struct oci_state *state) {
        struct json_object *fds = member(state->tree, "fds");
        size_t count = json_object_is_type(fds, json_type_array) ? json_object_array_length(fds) : 0;
        unsigned int listeners = 0;
        int r;

        if (fds && !json_object_is_type(fds, json_type_array))
                return oci_problem_set(problem, -EBADMSG, "fds is not an array");
        if (count != reader->fd_count)
                return oci_problem_set(problem, -EBADMSG, "%u descriptors came, and fds names %zu", reader->fd_count,
                                       count);
        for (size_t i = 0; i < count; i++) {
                r = need_word(problem, json_object_array_get_idx(fds, i), "a name in fds", OCI_WORD_MAX,
                              &state->fds[i]);
                if (r < 0)
                        return r;
                if (strcmp(state->fds[i], SECCOMP_FD) == 0) {
                        listeners++;
                        state->seccomp_fd = (unsigned int)i;
                }
        }
        state->fd_count = (unsigned int)count;
        if (listeners != 1)
                return oci_problem_set(problem, -EBADMSG, "fds has %u seccompFd, and not one", listeners);
        return 0;
}

static int check_annotations(struct oci_problem *problem, struct json_object *annotations) {
        const char *text;
        int r;

        if (!annotations)
                return 0;
        if (!json_object_is_type(annotations, json_type_object))
                return oci_problem_set(problem, -EBADMSG, "state.annotations is not an object");
        json_object_object_foreach(annotations, key, value) {
                if (strlen(key) > OCI_KEY_MAX)
                        return oci_problem_set(problem, -EBADMSG, "the name of an annotation is longer than %u bytes",
                                               OCI_KEY_MAX);
                r = get_text(problem, value, "an annotation", OCI_VALUE_MAX, &text);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_container(struct oci_problem *problem, struct oci_state *state) {
        struct json_object *container = member(state->tree, "state");
        int r;

        if (!json_object_is_type(container, json_type_object))
                return oci_problem_set(problem, -EBADMSG, "state is missing, or is not an object");
        r = need_word(problem, member(container, "state.id"), "state.id", OCI_ID_MAX, &state->id);
        if (r == 0 && strchr(state->id, '/'))
                r = oci_problem_set(problem, -EBADMSG, "state.id has a slash in it");
        if (r == 0)
                r = need_word(problem, member(container, "state.status"), "state.status", OCI_WORD_MAX, &state->status);
        if (r == 0)
                r = get_pid(problem, member(container, "state.pid"), "state.pid", &state->init_pid);
        if (r == 0)
                r = get_text(problem, member(container, "state.bundle"), "state.bundle", OCI_BUNDLE_MAX,
                             &state->bundle);
        if (r == 0)
                r = check_annotations(problem, member(container, "state.annotations"));
        return r;
}

static int read_state(const struct oci_reader *reader, struct oci_problem *problem, struct oci_state *state) {
        int r = need_word(problem, member(state->tree, "ociVersion"), "ociVersion", OCI_WORD_MAX, &state->version);

        if (r == 0)
                r = read_fds(reader, problem, state);
        if (r == 0)
                r = get_pid(problem, member(state->tree, "pid"), "pid", &state->pid);
        if (r == 0)
                r = get_text(problem, member(state->tree, "metadata"), "metadata", OCI_METADATA_MAX, &state->metadata);
        if (r == 0)
                r = read_container(problem, state);
        return r;
}

int oci_reader_finish(struct oci_reader *reader, struct oci_state *ret) {
        struct oci_state state = { 0 };

        if (reader->error == 0 && !reader->ended)
                reader->error = oci_problem_set(&reader->problem, -EBADMSG,
                                                reader->begun ? "the connection ended in the middle of it"
                                                              : "nothing was sent");
        if (reader->error == 0)
                reader->error = parse(reader, &state.tree);
        if (reader->error == 0)
                reader->error = read_state(reader, &reader->problem, &state);
        if (reader->error < 0) {
                oci_state_deinit(&state);
                return reader->error;
        }
        *ret = state;
        return 0;
}

void oci_state_deinit(struct oci_state *state) {
        (void)json_object_put(state->tree);
        *state = (struct oci_state){ 0 };
}

const char *oci_state_annotation(const struct oci_state *state, const char *key) {
        struct json_object *annotations =
                json_object_object_get(json_object_object_get(state->tree, "state"), "annotations");
        struct json_object *value = json_object_object_get(annotations, key);

        return value ? json_object_get_string(value) : NULL;
}
