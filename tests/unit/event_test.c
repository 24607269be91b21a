/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* With pipes: their read ends are the sources, and a byte in one is an event. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "util/event.h"
#include "util/fd.h"
#include "util/list.h"

#define SOURCES 12U

/* More rounds than the direct source ever waits for others. */
#define ROUNDS_ENOUGH 100U

struct fixture;

struct pipe_source {
        struct event_source source;
        struct fixture *fixture;
        int write_end;
        unsigned int handled;
        uint32_t events; /* the last ones */
        bool stays;      /* the handler leaves the byte where it is */
        struct event_source *removes;
};

struct fixture {
        struct event_loop loop;
        struct pipe_source sources[SOURCES];
        unsigned int order[16]; /* which ones were handled */
        unsigned int count;
};

static void handle(struct event_source *source, uint32_t events) {
        struct pipe_source *from = container_of(source, struct pipe_source, source);
        struct fixture *fixture = from->fixture;
        char byte;

        from->handled++;
        from->events = events;
        if (fixture->count < sizeof(fixture->order) / sizeof(fixture->order[0]))
                fixture->order[fixture->count++] = (unsigned int)(from - fixture->sources);
        if (!from->stays && (events & EPOLLIN))
                assert_int_equal(read(source->fd, &byte, 1), 1);
        if (from->removes)
                event_remove(&fixture->loop, from->removes);
}

static int set_up(void **state) {
        struct fixture *fixture = calloc(1, sizeof(*fixture));

        assert_non_null(fixture);
        /* as if it had been on a stack */
        memset(&fixture->loop, 0xff, sizeof(fixture->loop));
        assert_int_equal(event_loop_init(&fixture->loop), 0);
        for (unsigned int i = 0; i < SOURCES; i++) {
                struct pipe_source *source = &fixture->sources[i];
                int ends[2];

                assert_int_equal(pipe(ends), 0);
                source->fixture = fixture;
                source->source = (struct event_source){ .handle = handle, .fd = ends[0] };
                source->write_end = ends[1];
        }
        *state = fixture;
        return 0;
}

static int tear_down(void **state) {
        struct fixture *fixture = *state;

        for (unsigned int i = 0; i < SOURCES; i++) {
                event_remove(&fixture->loop, &fixture->sources[i].source);
                fd_close(fixture->sources[i].source.fd);
                fd_close(fixture->sources[i].write_end);
        }
        event_loop_deinit(&fixture->loop);
        free(fixture);
        return 0;
}

static void add(struct fixture *fixture, unsigned int i, enum event_priority priority) {
        fixture->sources[i].source.priority = priority;
        assert_int_equal(event_add(&fixture->loop, &fixture->sources[i].source), 0);
}

static void make_ready(struct fixture *fixture, unsigned int i) {
        assert_int_equal(write(fixture->sources[i].write_end, "x", 1), 1);
}

static void dispatch(struct fixture *fixture) {
        assert_int_equal(event_dispatch(&fixture->loop, 0), 0);
}

/* Until nothing happens any more. */
static void dispatch_all(struct fixture *fixture) {
        for (unsigned int i = 0; i < ROUNDS_ENOUGH; i++)
                dispatch(fixture);
}

static void test_nothing(void **state) {
        struct fixture *fixture = *state;

        add(fixture, 0, EVENT_PRIORITY_ANSWERS);
        assert_int_equal(event_add_direct(&fixture->loop, &fixture->sources[1].source), 0);
        dispatch_all(fixture);
        assert_int_equal(fixture->count, 0);
}

static void test_each_event_once(void **state) {
        struct fixture *fixture = *state;

        add(fixture, 0, EVENT_PRIORITY_ANSWERS);
        add(fixture, 1, EVENT_PRIORITY_KEEPER);
        assert_int_equal(event_add_direct(&fixture->loop, &fixture->sources[2].source), 0);
        for (unsigned int i = 0; i < 3; i++) {
                make_ready(fixture, i);
                dispatch_all(fixture);
                assert_int_equal(fixture->sources[i].handled, 1);
                assert_int_equal(fixture->sources[i].events, EPOLLIN);
        }
        assert_int_equal(fixture->count, 3);
}

/* In one round, whichever was ready first; the direct source is the last. */
static void test_priorities(void **state) {
        struct fixture *fixture = *state;

        assert_int_equal(event_add_direct(&fixture->loop, &fixture->sources[0].source), 0);
        add(fixture, 1, EVENT_PRIORITY_KEEPER);
        add(fixture, 2, EVENT_PRIORITY_ANSWERS);
        for (unsigned int i = 0; i < 3; i++)
                make_ready(fixture, i);
        dispatch(fixture);
        assert_int_equal(fixture->count, 3);
        for (unsigned int i = 0; i < 3; i++)
                assert_int_equal(fixture->order[i], 2 - i);
}

/* A stream of other events does not starve it. */
static void test_direct_gets_its_turn(void **state) {
        struct fixture *fixture = *state;

        add(fixture, 0, EVENT_PRIORITY_ANSWERS);
        assert_int_equal(event_add_direct(&fixture->loop, &fixture->sources[1].source), 0);
        fixture->sources[0].stays = fixture->sources[1].stays = true;
        make_ready(fixture, 0);
        make_ready(fixture, 1);
        for (unsigned int turn = 1; turn <= 3; turn++) {
                for (unsigned int i = 0; i < ROUNDS_ENOUGH && fixture->sources[1].handled < turn; i++)
                        dispatch(fixture);
                assert_int_equal(fixture->sources[1].handled, turn);
        }
        /* nor the other way round */
        assert_true(fixture->sources[0].handled >= 3);
}

/* Right after a round with other events the direct source would be left alone, but not when nobody waits for those. */
static void test_listen(void **state) {
        struct fixture *fixture = *state;

        add(fixture, 0, EVENT_PRIORITY_ANSWERS);
        assert_int_equal(event_add_direct(&fixture->loop, &fixture->sources[1].source), 0);
        fixture->sources[0].stays = fixture->sources[1].stays = true;
        make_ready(fixture, 0);
        dispatch(fixture);
        make_ready(fixture, 1);
        dispatch(fixture);
        assert_int_equal(fixture->sources[1].handled, 0);
        event_listen(&fixture->loop);
        dispatch(fixture);
        assert_int_equal(fixture->sources[0].handled, 3);
        assert_int_equal(fixture->sources[1].handled, 1);
}

/* After a round with other events, the time limit still counts. */
static void test_waits(void **state) {
        struct fixture *fixture = *state;
        struct timespec before, after;

        add(fixture, 0, EVENT_PRIORITY_ANSWERS);
        make_ready(fixture, 0);
        dispatch(fixture);
        (void)clock_gettime(CLOCK_MONOTONIC, &before);
        assert_int_equal(event_dispatch(&fixture->loop, 20), 0);
        (void)clock_gettime(CLOCK_MONOTONIC, &after);
        assert_int_equal(fixture->count, 1);
        assert_true((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec >= 20000000L);
}

static void test_removed(void **state) {
        struct fixture *fixture = *state;

        for (unsigned int i = 0; i < 2; i++)
                add(fixture, i, EVENT_PRIORITY_ANSWERS);
        assert_int_equal(event_add_direct(&fixture->loop, &fixture->sources[2].source), 0);
        for (unsigned int i = 0; i < 3; i++) {
                make_ready(fixture, i);
                event_remove(&fixture->loop, &fixture->sources[i].source);
                event_remove(&fixture->loop, &fixture->sources[i].source);
        }
        dispatch_all(fixture);
        assert_int_equal(fixture->count, 0);
        assert_int_equal(event_add_direct(&fixture->loop, &fixture->sources[2].source), 0);
        dispatch_all(fixture);
        assert_int_equal(fixture->sources[2].handled, 1);
}

/* By a handler of the same round: what was ready is not handled any more. */
static void check_removed_by(struct fixture *fixture, unsigned int victim) {
        fixture->sources[0].removes = &fixture->sources[victim].source;
        make_ready(fixture, 0);
        make_ready(fixture, victim);
        dispatch_all(fixture);
        assert_int_equal(fixture->sources[0].handled, 1);
        assert_int_equal(fixture->sources[victim].handled, 0);
}

static void test_removed_by_handler(void **state) {
        struct fixture *fixture = *state;

        add(fixture, 0, EVENT_PRIORITY_ANSWERS);
        add(fixture, 1, EVENT_PRIORITY_KEEPER);
        check_removed_by(fixture, 1);
}

static void test_direct_removed_by_handler(void **state) {
        struct fixture *fixture = *state;

        add(fixture, 0, EVENT_PRIORITY_ANSWERS);
        assert_int_equal(event_add_direct(&fixture->loop, &fixture->sources[1].source), 0);
        check_removed_by(fixture, 1);
}

/* The end of a tree shows as that of the direct source; without it the loop goes on. */
static void test_direct_hangs_up(void **state) {
        struct fixture *fixture = *state;
        struct pipe_source *direct = &fixture->sources[1];

        add(fixture, 0, EVENT_PRIORITY_ANSWERS);
        assert_int_equal(event_add_direct(&fixture->loop, &direct->source), 0);
        direct->removes = &direct->source;
        direct->write_end = fd_close(direct->write_end);
        dispatch_all(fixture);
        assert_int_equal(direct->handled, 1);
        assert_int_equal(direct->events, EPOLLHUP);
        make_ready(fixture, 0);
        dispatch_all(fixture);
        assert_int_equal(fixture->sources[0].handled, 1);
}

/* Several of them: each is handled once, with the place of one that was removed, and with more than there are places.
 */
static void test_many_direct(void **state) {
        struct fixture *fixture = *state;

        _Static_assert(SOURCES > EVENT_DIRECT_MAX, "some find no place");
        for (unsigned int i = 0; i < SOURCES; i++)
                assert_int_equal(event_add_direct(&fixture->loop, &fixture->sources[i].source), 0);
        event_remove(&fixture->loop, &fixture->sources[2].source);
        for (unsigned int i = 0; i < SOURCES; i++)
                make_ready(fixture, i);
        dispatch_all(fixture);
        for (unsigned int i = 0; i < SOURCES; i++)
                assert_int_equal(fixture->sources[i].handled, i == 2 ? 0 : 1);
        assert_int_equal(event_add_direct(&fixture->loop, &fixture->sources[2].source), 0);
        for (unsigned int i = SOURCES; i-- > 0;)
                event_remove(&fixture->loop, &fixture->sources[i].source);
        assert_int_equal(event_add_direct(&fixture->loop, &fixture->sources[2].source), 0);
        dispatch_all(fixture);
        assert_int_equal(fixture->sources[2].handled, 1);
}

#define WITH_PIPES(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH_PIPES(test_nothing),
                WITH_PIPES(test_each_event_once),
                WITH_PIPES(test_priorities),
                WITH_PIPES(test_direct_gets_its_turn),
                WITH_PIPES(test_listen),
                WITH_PIPES(test_waits),
                WITH_PIPES(test_removed),
                WITH_PIPES(test_removed_by_handler),
                WITH_PIPES(test_direct_removed_by_handler),
                WITH_PIPES(test_direct_hangs_up),
                WITH_PIPES(test_many_direct),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
