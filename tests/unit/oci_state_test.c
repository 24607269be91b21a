/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* States as crun and runc write them, cut anywhere, and wrong ones of every kind. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oci/profile.h"
#include "oci/state.h"

/* Indented, an end of line behind it, the same pid twice (src/libcrun/container.c, 1.8.1; yajl_gen_beautify). */
#define CRUN(status, bundle)                                                                                           \
        "{\n    \"ociVersion\": \"0.2.0\",\n    \"fds\": [\n        \"seccompFd\"\n    ],\n    \"pid\": 4711,\n"       \
        "    \"metadata\": \"profile=vpn\",\n    \"state\": {\n        \"ociVersion\": \"0.2.0\",\n"                   \
        "        \"id\": \"web-1\",\n        \"status\": \"" status "\",\n        \"pid\": 4711,\n"                    \
        "        \"bundle\": \"" bundle "\",\n        \"annotations\": {\n            \"org.modgate.profile\": "       \
        "\"fire\\\"wall\",\n            \"\xc3\xa4\": \"\xe2\x82\xac\"\n        }\n    }\n}\n"

/* On one line, `<`, `>` and `&` escaped, without what is empty (libcontainer/process_linux.go, 1.1.5; encoding/json).
 */
static const char runc_create[] =
        "{\"ociVersion\":\"1.0.2-dev\",\"fds\":[\"seccompFd\"],\"pid\":815,\"metadata\":\"a \\u003c b;profile=vpn\","
        "\"state\":{\"ociVersion\":\"1.0.2-dev\",\"id\":\"5b0c2d\",\"status\":\"creating\",\"pid\":815,"
        "\"bundle\":\"/run/bundle\",\"annotations\":{\"a\":\"[{\\\"x\\\":1}]\",\"b\":\"\\u2028\\\\\"}}}";
static const char runc_exec[] =
        "{\"ociVersion\":\"1.0.2-dev\",\"fds\":[\"seccompFd\"],\"pid\":900,"
        "\"state\":{\"ociVersion\":\"1.0.2-dev\",\"id\":\"5b0c2d\",\"status\":\"running\",\"pid\":815,"
        "\"bundle\":\"/run/bundle\"}}";

#define FDS "\"fds\":[\"seccompFd\"]"
#define STATE "\"state\":{\"id\":\"i\",\"status\":\"running\"}"
#define TOP(members) "{\"ociVersion\":\"1.0.2\",\"pid\":1," members "}"

static struct oci_reader reader;

static int finish(int r, struct oci_state *state) {
        if (r == 0)
                r = oci_reader_finish(&reader, state);
        return r;
}

static int read_at_once(const char *text, size_t length, unsigned int fd_count, struct oci_state *state) {
        oci_reader_init(&reader);
        return finish(oci_reader_add(&reader, text, length, fd_count), state);
}

static struct oci_state accept_text(const char *text, unsigned int fd_count) {
        struct oci_state state = { 0 };

        if (read_at_once(text, strlen(text), fd_count, &state) != 0)
                fail_msg("%s: %s", text, reader.problem.text);
        oci_reader_deinit(&reader);
        return state;
}

static void refuse_bytes(const char *text, size_t length, unsigned int fd_count, const char *says) {
        struct oci_state state = { 0 };
        int r = read_at_once(text, length, fd_count, &state);

        if (r != -EBADMSG || !strstr(reader.problem.text, says))
                fail_msg("%.80s: %d '%s', and not '%s'", text, r, reader.problem.text, says);
        assert_null(state.tree);
        for (const char *c = reader.problem.text; *c != '\0'; c++)
                assert_in_range(*c, ' ', '~');
        oci_reader_deinit(&reader);
}

static void refuse(const char *text, const char *says) {
        refuse_bytes(text, strlen(text), 1, says);
}

static void check_same(const struct oci_state *a, const struct oci_state *b) {
        assert_string_equal(json_object_to_json_string(a->tree), json_object_to_json_string(b->tree));
        assert_int_equal(a->fd_count, b->fd_count);
        assert_int_equal(a->seccomp_fd, b->seccomp_fd);
        assert_int_equal(a->pid, b->pid);
        assert_int_equal(a->init_pid, b->init_pid);
        assert_string_equal(a->id, b->id);
}

static void test_crun(void **data) {
        struct oci_state state = accept_text(CRUN("creating", "/run/bundle"), 1);
        struct oci_state executed = accept_text(CRUN("running", "."), 1);

        (void)data;
        assert_string_equal(state.version, "0.2.0");
        assert_int_equal(state.fd_count, 1);
        assert_int_equal(state.seccomp_fd, 0);
        assert_string_equal(state.fds[0], "seccompFd");
        assert_int_equal(state.pid, 4711);
        assert_int_equal(state.init_pid, 4711);
        assert_string_equal(state.metadata, "profile=vpn");
        assert_string_equal(state.id, "web-1");
        assert_string_equal(state.status, "creating");
        assert_string_equal(state.bundle, "/run/bundle");
        assert_string_equal(oci_state_annotation(&state, "org.modgate.profile"), "fire\"wall");
        assert_string_equal(oci_state_annotation(&state, "\xc3\xa4"), "\xe2\x82\xac");
        assert_null(oci_state_annotation(&state, "org"));
        assert_string_equal(executed.bundle, ".");
        oci_state_deinit(&state);
        oci_state_deinit(&executed);
}

static void test_runc(void **data) {
        struct oci_state state = accept_text(runc_create, 1), executed = accept_text(runc_exec, 1);

        (void)data;
        assert_string_equal(state.version, "1.0.2-dev");
        assert_string_equal(state.metadata, "a < b;profile=vpn");
        assert_string_equal(oci_state_annotation(&state, "b"), "\xe2\x80\xa8\\");
        assert_string_equal(oci_state_annotation(&state, "a"), "[{\"x\":1}]");
        assert_int_equal(executed.pid, 900);
        assert_int_equal(executed.init_pid, 815);
        assert_null(executed.metadata);
        assert_null(oci_state_annotation(&executed, "a"));
        oci_state_deinit(&state);
        oci_state_deinit(&executed);
}

/* Of executed processes: as crun says it from within their pid namespace, before it knows better. */
static void test_no_pid(void **data) {
        static const char *const texts[] = {
                "{\"ociVersion\":\"1\",\"pid\":0," FDS "," STATE "}",
                "{\"ociVersion\":\"1\",\"pid\":null," FDS "," STATE "}",
                "{\"ociVersion\":\"1\"," FDS "," STATE "}",
        };

        (void)data;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                struct oci_state state = accept_text(texts[i], 1);

                assert_int_equal(state.pid, 0);
                oci_state_deinit(&state);
        }
}

/* What the specification leaves out, or lets stand. */
static void test_less_and_more(void **data) {
        struct oci_state state = accept_text(
                " \t\r\n{\"x\":[1,-2.5e+3,true,false,null,{\"x\":{}}],\"ociVersion\":\"1\",\"pid\":2147483647,\"fds\":"
                "[\"a\",\"seccompFd\",\"b\"],\"metadata\":null,\"state\":{\"id\":\"i\",\"status\":\"paused\",\"pid\":"
                "null,"
                "\"bundle\":null,\"annotations\":null,\"y\":{\"x\":1}}} \n",
                3);

        (void)data;
        assert_int_equal(state.fd_count, 3);
        assert_int_equal(state.seccomp_fd, 1);
        assert_string_equal(state.fds[0], "a");
        assert_string_equal(state.fds[2], "b");
        assert_int_equal(state.pid, INT32_MAX);
        assert_int_equal(state.init_pid, 0);
        assert_null(state.metadata);
        assert_null(state.bundle);
        assert_null(oci_state_annotation(&state, "x"));
        oci_state_deinit(&state);
}

/* Cut once, at every byte, and into pieces of every length. The descriptors come with the first piece. */
static void cut(const char *text) {
        size_t length = strlen(text), end = (size_t)(strrchr(text, '}') - text) + 1;
        struct oci_state whole = accept_text(text, 1), state;
        int r;

        for (size_t at = 1; at <= length; at++) {
                oci_reader_init(&reader);
                assert_int_equal(oci_reader_add(&reader, text, at, 1), at < end ? OCI_E_MORE : 0);
                assert_int_equal(finish(oci_reader_add(&reader, text + at, length - at, 0), &state), 0);
                check_same(&whole, &state);
                oci_state_deinit(&state);
                oci_reader_deinit(&reader);

                oci_reader_init(&reader);
                for (size_t begin = 0; begin < length; begin += at) {
                        size_t piece = at < length - begin ? at : length - begin;

                        r = oci_reader_add(&reader, text + begin, piece, begin == 0 ? 1 : 0);
                        assert_int_equal(r, begin + piece < end ? OCI_E_MORE : 0);
                }
                assert_int_equal(oci_reader_finish(&reader, &state), 0);
                check_same(&whole, &state);
                oci_state_deinit(&state);
                oci_reader_deinit(&reader);
        }
        oci_state_deinit(&whole);
}

static void test_cut(void **data) {
        (void)data;
        cut(CRUN("creating", "/run/bundle"));
        cut(runc_create);
        cut(runc_exec);
}

/* What is wrong is wrong in the same way, wherever it is cut. */
static void test_cut_wrong(void **data) {
        static const char *const texts[] = {
                TOP(FDS "," STATE) " x",
                TOP(FDS "," STATE ",\"\\u0000\":1"),
                TOP(FDS "," STATE ",\"\\ud8\":1"),
                TOP(FDS "," STATE ",\"pid\":1"),
                TOP(FDS "," STATE ",\"a\":\xff"),
                TOP(FDS "," STATE ",\"a\":\"\xc3\""),
                TOP(FDS "," STATE ",\"a\":[[[[[[[[1]]]]]]]]"),
                TOP(FDS "," STATE ",\"a\":'"),
                TOP(FDS),
        };

        (void)data;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                size_t length = strlen(texts[i]);
                struct oci_problem problem;
                struct oci_state state;
                int error = read_at_once(texts[i], length, 1, &state);

                assert_int_equal(error, -EBADMSG);
                problem = reader.problem;
                oci_reader_deinit(&reader);
                for (size_t at = 1; at < length; at++) {
                        int r;

                        oci_reader_init(&reader);
                        (void)oci_reader_add(&reader, texts[i], at, 1);
                        r = finish(oci_reader_add(&reader, texts[i] + at, length - at, 0), &state);
                        assert_int_equal(r, error);
                        assert_string_equal(reader.problem.text, problem.text);
                        oci_reader_deinit(&reader);
                }
        }
}

static void test_unfinished(void **data) {
        struct oci_state state;

        (void)data;
        for (size_t length = 1; length < strlen(runc_exec); length++) {
                oci_reader_init(&reader);
                assert_int_equal(oci_reader_add(&reader, runc_exec, length, 1), OCI_E_MORE);
                assert_int_equal(oci_reader_finish(&reader, &state), -EBADMSG);
                assert_string_equal(reader.problem.text, "the connection ended in the middle of it");
                /* and that was it */
                assert_int_equal(oci_reader_add(&reader, runc_exec + length, strlen(runc_exec) - length, 0), -EBADMSG);
                oci_reader_deinit(&reader);
        }
        oci_reader_init(&reader);
        assert_int_equal(oci_reader_add(&reader, NULL, 0, 0), OCI_E_MORE);
        assert_int_equal(oci_reader_finish(&reader, &state), -EBADMSG);
        assert_string_equal(reader.problem.text, "nothing was sent");
        oci_reader_deinit(&reader);
}

static void test_descriptors(void **data) {
        static const char two[] = TOP("\"fds\":[\"x\",\"seccompFd\"]," STATE);
        struct oci_state state;

        (void)data;
        for (unsigned int count = 0; count <= OCI_FDS_MAX; count++)
                if (count != 2)
                        refuse_bytes(two, strlen(two), count, "descriptors came, and fds names 2");
        refuse_bytes(two, strlen(two), OCI_FDS_MAX + 1, "more than 16 descriptors came");
        refuse_bytes(two, strlen(two), UINT32_MAX, "more than 16 descriptors came");
        refuse_bytes(TOP(STATE), strlen(TOP(STATE)), 0, "fds has 0 seccompFd");
        refuse(TOP(STATE), "1 descriptors came, and fds names 0");
        refuse(TOP("\"fds\":[\"seccompfd\"]," STATE), "fds has 0 seccompFd");
        refuse_bytes(TOP("\"fds\":[\"seccompFd\",\"seccompFd\"]," STATE),
                     strlen(TOP("\"fds\":[\"seccompFd\",\"seccompFd\"]," STATE)), 2, "fds has 2 seccompFd");
        refuse(TOP("\"fds\":\"seccompFd\"," STATE), "fds is not an array");
        refuse(TOP("\"fds\":[1]," STATE), "a name in fds is not a string");
        refuse(TOP("\"fds\":[null]," STATE), "a name in fds is missing");
        refuse(TOP("\"fds\":[\"\\n\"]," STATE), "a name in fds is not a printable word");

        /* with the first piece only */
        oci_reader_init(&reader);
        assert_int_equal(oci_reader_add(&reader, two, 1, 1), OCI_E_MORE);
        assert_int_equal(oci_reader_add(&reader, two + 1, 1, 1), -EBADMSG);
        assert_string_equal(reader.problem.text, "descriptors came behind its beginning");
        assert_int_equal(oci_reader_finish(&reader, &state), -EBADMSG);
        oci_reader_deinit(&reader);

        /* it may be an empty piece, if that is the first one */
        oci_reader_init(&reader);
        assert_int_equal(oci_reader_add(&reader, NULL, 0, 0), OCI_E_MORE);
        assert_int_equal(oci_reader_add(&reader, NULL, 0, 2), OCI_E_MORE);
        assert_int_equal(oci_reader_add(&reader, two, strlen(two), 0), 0);
        assert_int_equal(oci_reader_finish(&reader, &state), 0);
        assert_int_equal(state.seccomp_fd, 1);
        oci_state_deinit(&state);
        oci_reader_deinit(&reader);
}

static void test_members(void **data) {
        static const char *const wrong[][2] = {
                { "{}", "ociVersion is missing" },
                { "{\"ociVersion\":1}", "ociVersion is not a string" },
                { "{\"ociVersion\":\"\"," FDS "}", "ociVersion is not a printable word" },
                { "{\"ociVersion\":\"1\",\"pid\":-1," FDS "," STATE "}", "pid is no process id" },
                { "{\"ociVersion\":\"1\",\"pid\":2147483648," FDS "," STATE "}", "pid is no process id" },
                { "{\"ociVersion\":\"1\",\"pid\":4294967297," FDS "," STATE "}", "pid is no process id" },
                { "{\"ociVersion\":\"1\",\"pid\":18446744073709551617," FDS "," STATE "}", "pid is no process id" },
                { "{\"ociVersion\":\"1\",\"pid\":-9223372036854775809," FDS "," STATE "}", "pid is no process id" },
                { "{\"ociVersion\":\"1\",\"pid\":1.0," FDS "," STATE "}", "pid is not an integer" },
                { "{\"ociVersion\":\"1\",\"pid\":1e3," FDS "," STATE "}", "pid is not an integer" },
                { "{\"ociVersion\":\"1\",\"pid\":\"1\"," FDS "," STATE "}", "pid is not an integer" },
                { "{\"ociVersion\":\"1\",\"pid\":true," FDS "," STATE "}", "pid is not an integer" },
                { TOP(FDS ",\"metadata\":[]," STATE), "metadata is not a string" },
                { TOP(FDS), "state is missing" },
                { TOP(FDS ",\"state\":[]"), "state is missing, or is not an object" },
                { TOP(FDS ",\"state\":{}"), "state.id is missing" },
                { TOP(FDS ",\"state\":{\"id\":\"\"}"), "state.id is not a printable word" },
                { TOP(FDS ",\"state\":{\"id\":\"a b\"}"), "state.id is not a printable word" },
                { TOP(FDS ",\"state\":{\"id\":\"a\\nb\"}"), "state.id is not a printable word" },
                { TOP(FDS ",\"state\":{\"id\":\"a\\u001b[2Jb\"}"), "state.id is not a printable word" },
                { TOP(FDS ",\"state\":{\"id\":\"\xc3\xa4\"}"), "state.id is not a printable word" },
                { TOP(FDS ",\"state\":{\"id\":\"a\x7f\"}"), "state.id is not a printable word" },
                { TOP(FDS ",\"state\":{\"id\":\"a\\\"\"}"), "state.id is not a printable word" },
                { TOP(FDS ",\"state\":{\"id\":\"../x\",\"status\":\"s\"}"), "state.id has a slash in it" },
                { TOP(FDS ",\"state\":{\"id\":\"i\"}"), "state.status is missing" },
                { TOP(FDS ",\"state\":{\"id\":\"i\",\"status\":7}"), "state.status is not a string" },
                { TOP(FDS ",\"state\":{\"id\":\"i\",\"status\":\"s\",\"pid\":{}}"), "state.pid is not an integer" },
                { TOP(FDS ",\"state\":{\"id\":\"i\",\"status\":\"s\",\"pid\":-3}"), "state.pid is no process id" },
                { TOP(FDS ",\"state\":{\"id\":\"i\",\"status\":\"s\",\"bundle\":1}"), "state.bundle is not a string" },
                { TOP(FDS ",\"state\":{\"id\":\"i\",\"status\":\"s\",\"annotations\":[]}"),
                  "state.annotations is not an object" },
                { TOP(FDS ",\"state\":{\"id\":\"i\",\"status\":\"s\",\"annotations\":{\"a\":1}}"),
                  "an annotation is not a string" },
        };

        (void)data;
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
                refuse(wrong[i][0], wrong[i][1]);
}

static void test_no_json(void **data) {
        static const char *const wrong[][2] = {
                { "x", "it is no JSON object" },
                { "[]", "it is no JSON object" },
                { "\"\"", "it is no JSON object" },
                { "\xef\xbb\xbf{}", "it is no JSON object" },
                { TOP(FDS " " STATE), "it is no JSON: " },
                { TOP(FDS ",," STATE), "it is no JSON: " },
                { TOP(FDS "," STATE ",\"a\":{]"), "it is no JSON: " },
                { TOP(FDS "," STATE ",\"a\":tru"), "it is no JSON: " },
                { TOP(FDS "," STATE ",\"a\":\"\\x\""), "it is no JSON: " },
                { TOP(FDS "," STATE ",\"a\":-"), "it is no JSON: " },
                { TOP(FDS "," STATE ",\"a\":1.2.3"), "it is no JSON: " },
                { TOP(FDS "," STATE ",\"a\""), "it is no JSON: " },
                { TOP(FDS "," STATE ",\"a\":\"\xc3\x28\""), "it is no JSON: " },
                { TOP(FDS "," STATE ",\"\xff\":1"), "it is no JSON: " },
                { TOP(FDS "," STATE ",\"a\":NaN"), "where JSON has none" },
                { TOP(FDS "," STATE ",\"a\":-Infinity"), "where JSON has none" },
                { TOP(FDS "," STATE ",'a':1"), "where JSON has none" },
                { TOP(FDS "," STATE "/**/"), "where JSON has none" },
                { TOP(FDS "," STATE ",\"a\":\"\t\""), "a control character stands in a string" },
                { TOP(FDS "," STATE ",\"a\":\"\\u00\""), "an escape in a string" },
                { TOP(FDS "," STATE ",\"a\":\"\\u0000\""), "a NUL stands in a string" },
                { TOP(FDS "," STATE ",\"pid\\u0000x\":1"), "a NUL stands in a string" },
                { TOP(FDS "," STATE) "}", "there is something behind its end" },
                { TOP(FDS "," STATE) TOP(FDS "," STATE), "there is something behind its end" },
        };
        static const char nul[] = TOP(FDS "," STATE) "\0";
        static const char nul_in_string[] = TOP(FDS "," STATE ",\"a\":\"\0\"");
        static const char nul_between[] = TOP(FDS ",\0" STATE);

        (void)data;
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
                refuse(wrong[i][0], wrong[i][1]);
        refuse_bytes(nul, sizeof(nul) - 1, 1, "there is something behind its end");
        refuse_bytes(nul_in_string, sizeof(nul_in_string) - 1, 1, "a control character");
        refuse_bytes(nul_between, sizeof(nul_between) - 1, 1, "where JSON has none");
}

/* The last one counts for some who read it, the first one for others. */
static void test_duplicates(void **data) {
        static const char says[] = "two members of the same name";

        (void)data;
        refuse(TOP(FDS "," STATE ",\"pid\":1"), says);
        refuse(TOP(FDS "," FDS "," STATE), says);
        refuse(TOP(FDS "," STATE ",\"\\u0070id\":1"), says);
        refuse(TOP(FDS "," STATE ",\"x\":[{\"a\":{\"b\":1},\"a\":1}]"), says);
        refuse(TOP(FDS ",\"state\":{\"id\":\"i\",\"status\":\"s\",\"annotations\":{\"p\":\"a\",\"p\":\"b\"}}"), says);
        refuse(TOP(FDS "," STATE ",\"metadata\":null,\"metadata\":\"profile=all\""), says);
}

/* A state in which `count` letters stand between what is before and what is behind. */
static char *fill(const char *before, const char *letters, size_t count, const char *behind) {
        size_t begin = strlen(before), width = strlen(letters);
        char *text = malloc(begin + count * width + strlen(behind) + 1);

        assert_non_null(text);
        memcpy(text, before, begin);
        for (size_t i = 0; i < count; i++)
                memcpy(text + begin + i * width, letters, width);
        strcpy(text + begin + count * width, behind);
        return text;
}

/* So many are taken, and not one more. */
static void check_limit(const char *before, const char *letters, size_t limit, const char *behind, const char *says) {
        char *text = fill(before, letters, limit, behind);
        struct oci_state state = accept_text(text, 1);

        oci_state_deinit(&state);
        free(text);
        text = fill(before, letters, limit + 1, behind);
        refuse(text, says);
        free(text);
}

static void test_limits(void **data) {
        static const char whole[] = TOP(FDS "," STATE);
        static const char id[] = "{\"ociVersion\":\"1\",\"pid\":1," FDS ",\"state\":{\"status\":\"s\",\"id\":\"";
        static const char rest[] = "{\"ociVersion\":\"1\",\"pid\":1," FDS ",\"state\":{\"id\":\"i\",\"status\":\"";

        (void)data;
        check_limit(whole, " ", OCI_TEXT_MAX - strlen(whole), "", "longer than 1048576 bytes");
        check_limit("", " ", OCI_TEXT_MAX - strlen(whole), whole, "longer than 1048576 bytes");
        check_limit("{\"ociVersion\":\"1\",\"pid\":1," FDS "," STATE ",\"x\":[0", ",0", OCI_VALUES_MAX - 7 - 5, "]}",
                    "too many values");
        check_limit("{\"ociVersion\":\"", "1", OCI_WORD_MAX, "\",\"pid\":1," FDS "," STATE "}",
                    "ociVersion is longer than 64 bytes");
        check_limit(id, "x", OCI_ID_MAX, "\"}}", "state.id is longer than 255 bytes");
        check_limit(rest, "x", OCI_WORD_MAX, "\"}}", "state.status is longer than 64 bytes");
        check_limit("{\"ociVersion\":\"1\",\"pid\":1," FDS "," STATE ",\"metadata\":\"", "\\u0001", OCI_METADATA_MAX,
                    "\"}", "metadata is longer than 4096 bytes");
        check_limit("{\"ociVersion\":\"1\",\"pid\":1," FDS ",\"state\":{\"id\":\"i\",\"status\":\"s\",\"bundle\":\"",
                    "/", OCI_BUNDLE_MAX, "\"}}", "state.bundle is longer than 4095 bytes");
        check_limit("{\"ociVersion\":\"1\",\"pid\":1," FDS
                    ",\"state\":{\"id\":\"i\",\"status\":\"s\",\"annotations\":{\"a\":\"",
                    "v", OCI_VALUE_MAX, "\"}}}", "an annotation is longer than 262144 bytes");
        check_limit("{\"ociVersion\":\"1\",\"pid\":1," FDS
                    ",\"state\":{\"id\":\"i\",\"status\":\"s\",\"annotations\":{\"",
                    "k", OCI_KEY_MAX, "\":\"v\"}}}", "name of an annotation is longer than 1024 bytes");
}

/* What stands behind the limit is not looked at, in whatever pieces it comes. */
static void test_behind_limit(void **data) {
        static const char whole[] = TOP(FDS "," STATE);
        char *text = fill(whole, " ", OCI_TEXT_MAX - strlen(whole), "x");

        (void)data;
        refuse(text, "longer than 1048576 bytes");
        oci_reader_init(&reader);
        assert_int_equal(oci_reader_add(&reader, text, OCI_TEXT_MAX - 1, 1), 0);
        assert_int_equal(oci_reader_add(&reader, text + OCI_TEXT_MAX - 1, 2, 0), -EBADMSG);
        assert_string_equal(reader.problem.text, "it is longer than 1048576 bytes");
        oci_reader_deinit(&reader);
        free(text);
}

static void test_depth(void **data) {
        char text[256];
        struct oci_state state;

        (void)data;
        /* the state's own object is one */
        for (int depth = 1; depth < 20; depth++) {
                (void)snprintf(text, sizeof(text), TOP(FDS "," STATE ",\"x\":%.*s%.*s"), depth, "[[[[[[[[[[[[[[[[[[[[",
                               depth, "]]]]]]]]]]]]]]]]]]]]");
                if (depth < (int)OCI_DEPTH_MAX) {
                        state = accept_text(text, 1);
                        oci_state_deinit(&state);
                } else {
                        refuse(text, "nested too deeply");
                }
        }
}

static void test_many_names(void **data) {
        char text[1024] = TOP("\"fds\":[\"seccompFd\""), *end = text + strlen(text) - 1;
        struct oci_state state;

        (void)data;
        for (unsigned int i = 1; i < OCI_FDS_MAX; i++)
                end += sprintf(end, ",\"seccompFd%u\"", i);
        strcpy(end, "]," STATE "}");
        state = accept_text(text, OCI_FDS_MAX);
        assert_int_equal(state.fd_count, OCI_FDS_MAX);
        assert_int_equal(state.seccomp_fd, 0);
        assert_string_equal(state.fds[15], "seccompFd15");
        oci_state_deinit(&state);
        strcpy(end, ",\"y\"]," STATE "}");
        refuse_bytes(text, strlen(text), OCI_FDS_MAX, "16 descriptors came, and fds names 17");
}

/* A state that was taken does not need its reader any more. */
static void test_outlives_reader(void **data) {
        struct oci_state state;

        (void)data;
        assert_int_equal(read_at_once(runc_exec, strlen(runc_exec), 1, &state), 0);
        memset(reader.text, 'x', reader.room);
        oci_reader_deinit(&reader);
        assert_string_equal(state.id, "5b0c2d");
        assert_string_equal(state.fds[0], "seccompFd");
        oci_state_deinit(&state);
        assert_null(state.tree);
        oci_state_deinit(&state);
}

static void test_profile(void **data) {
        static const char *const found[][2] = {
                { "profile=vpn", "vpn" },
                { "  profile=vpn\n", "vpn" },
                { "a=b;profile=x-1_Y.z;c", "x-1_Y.z" },
                { "MKNOD=/dev/null,/dev/net/tun;\tprofile=a;;", "a" },
                { "myprofile=b profile=a", "a" },
                { "Profile=b profile=a", "a" },
                { "profile profile=a", "a" },
                { "x,profile=b profile=a", "a" },
        };
        static const char *const none[] = { "", " ; ", "profile", "profile:a", "vpn", "a=profile=b", "PROFILE=a" };
        static const char *const wrong[] = {
                "profile=",         "profile= a",
                "profile=a,b",      "profile=a/b",
                "profile=\xc3\xa4", "profile=\"a\"",
                "profile=a=b",      "profile=*",
                "profile=a\x1b",    "profile=1234567890123456789012345678901234567890123456789",
        };
        static const char *const two[] = { "profile=a profile=a", "profile=a;profile=b", "profile= profile=a",
                                           "profile=a x profile=" };
        char name[OCI_PROFILE_SIZE];

        (void)data;
        for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
                assert_int_equal(oci_profile_find(found[i][0], name), 0);
                assert_string_equal(name, found[i][1]);
        }
        strcpy(name, "kept");
        assert_int_equal(oci_profile_find(NULL, name), -ENOENT);
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
                assert_int_equal(oci_profile_find(none[i], name), -ENOENT);
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
                assert_int_equal(oci_profile_find(wrong[i], name), -EINVAL);
        for (size_t i = 0; i < sizeof(two) / sizeof(two[0]); i++)
                assert_int_equal(oci_profile_find(two[i], name), -EEXIST);
        assert_string_equal(name, "kept");

        assert_true(policy_is_profile_name("123456789012345678901234567890123456789012345678", 48));
        assert_false(policy_is_profile_name("1234567890123456789012345678901234567890123456789", 49));
        assert_false(policy_is_profile_name("", 0));
        assert_false(policy_is_profile_name("a b", 3));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_crun),         cmocka_unit_test(test_runc),
                cmocka_unit_test(test_no_pid),       cmocka_unit_test(test_less_and_more),
                cmocka_unit_test(test_cut),          cmocka_unit_test(test_cut_wrong),
                cmocka_unit_test(test_unfinished),   cmocka_unit_test(test_descriptors),
                cmocka_unit_test(test_members),      cmocka_unit_test(test_no_json),
                cmocka_unit_test(test_duplicates),   cmocka_unit_test(test_limits),
                cmocka_unit_test(test_behind_limit), cmocka_unit_test(test_depth),
                cmocka_unit_test(test_many_names),   cmocka_unit_test(test_outlives_reader),
                cmocka_unit_test(test_profile),
        };

        return cmocka_run_group_tests_name("oci_state", tests, NULL, NULL);
}
