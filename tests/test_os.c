// SPDX-License-Identifier: Apache-2.0
#include "os/child.h"
#include "os/clock.h"
#include "os/confine.h"
#include "os/file.h"
#include "os/loop.h"
#include "os/net.h"
#include "os/random.h"
#include "os/secretmem.h"
#include "t.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* -- helpers ----------------------------------------------------------------------------- */

/* One end of a conversation; counts what it sees. */
struct end {
    struct sm_loop *loop;
    struct sm_stream *s;
    size_t read_n, want_n;
    uint32_t sum; /* of all bytes, position included: order matters */
    int drained, connected;
    int fd;
    bool is_closed;
    enum sm_err why;
    bool echo;
};

static uint32_t sum_bytes(uint32_t sum, struct sm_view v)
{
    for (size_t i = 0; i < v.n; i++) {
        sum = (sum ^ v.p[i]) * 16777619u;
    }
    return sum;
}

static void end_read(void *ctx, struct sm_view v)
{
    struct end *e = ctx;
    e->read_n += v.n;
    e->sum = sum_bytes(e->sum, v);
    if (e->echo) {
        T_OK(sm_stream_write(e->s, v));
    }
    if (e->want_n != 0 && e->read_n >= e->want_n) {
        sm_loop_stop(e->loop);
    }
}

static void end_closed(void *ctx, enum sm_err why)
{
    struct end *e = ctx;
    T_TRUE(!e->is_closed);
    e->is_closed = true;
    e->why = why;
    sm_loop_stop(e->loop);
}

static void end_drained(void *ctx)
{
    struct end *e = ctx;
    e->drained++;
    T_EQ(sm_stream_queued(e->s), 0);
}

static void end_connected(void *ctx)
{
    struct end *e = ctx;
    e->connected++;
}

static void end_fd(void *ctx, int fd)
{
    struct end *e = ctx;
    T_EQ(e->fd, -1);
    e->fd = fd;
}

static const struct sm_stream_ops end_ops = {
    .read = end_read, .closed = end_closed, .drained = end_drained, .got_fd = end_fd};
static const struct sm_stream_ops dial_ops = {
    .read = end_read, .closed = end_closed, .drained = end_drained, .connected = end_connected};

static struct sm_loop *new_loop(void)
{
    struct sm_loop *l = NULL;
    T_OK(sm_loop_new(&l));
    return l;
}

static void make_pair(struct sm_loop *l, struct end *a, struct end *b, size_t queue_max)
{
    int fds[2];
    *a = (struct end){.loop = l, .fd = -1};
    *b = (struct end){.loop = l, .fd = -1};
    T_OK(sm_unix_pair(fds));
    T_OK(sm_stream_new(l, fds[0], &end_ops, a, queue_max, &a->s));
    T_OK(sm_stream_new(l, fds[1], &end_ops, b, queue_max, &b->s));
}

static void make_dir(char *out)
{
    strcpy(out, "/tmp/sm-test-os.XXXXXX");
    T_TRUE(mkdtemp(out) != NULL);
}

static void remove_dir(const char *dir)
{
    const char *const argv[] = {"rm", "-rf", dir, NULL};
    const struct sm_child_cfg cfg = {.path = "/bin/rm", .argv = argv};
    struct sm_child c;
    int status = -1;
    T_OK(sm_child_spawn(&cfg, &c));
    T_OK(sm_child_wait(&c, &status));
    sm_child_done(&c);
    T_EQ(status, 0);
}

/* Run fn in a child process and give its exit status: confinement cannot be taken back. */
static int in_child(int (*fn)(const char *dir), const char *dir)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(fn(dir));
    }
    T_TRUE(pid > 0);
    T_EQ(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* -- loop -------------------------------------------------------------------------------- */

static void bytes_written_before_the_loop_arrive_in_order(void)
{
    struct sm_loop *l = new_loop();
    struct end a, b;
    uint32_t want = 0;
    make_pair(l, &a, &b, 1 << 20);
    for (int i = 0; i < 1000; i++) {
        char text[16];
        size_t n = (size_t)snprintf(text, sizeof text, "%d,", i);
        T_OK(sm_stream_write2(a.s, sm_view_of(text, n), sm_view_str(";")));
        want = sum_bytes(sum_bytes(want, sm_view_of(text, n)), sm_view_str(";"));
        b.want_n += n + 1;
    }
    sm_loop_run(l);
    T_EQ(b.read_n, b.want_n);
    T_EQ(b.sum, want);
    T_EQ(sm_stream_queued(a.s), 0);
    sm_stream_free(a.s);
    sm_stream_free(b.s);
    sm_loop_free(l);
}

/* Bulk bypasses the queue when that is empty; what is written before and after stays in
 * order, also when the socket is full in the middle of it. */
static void bulk_and_small_writes_arrive_in_order(void)
{
    enum { BULK = 100003 };
    static uint8_t bulk[BULK];
    struct sm_loop *l = new_loop();
    struct end a, b;
    uint32_t want = 0;
    make_pair(l, &a, &b, 64 << 20);
    for (size_t i = 0; i < BULK; i++) {
        bulk[i] = (uint8_t)(i * 31 >> 3);
    }
    for (unsigned i = 0; i < 60; i++) {
        struct sm_view v = sm_view_of(bulk, i % 3 == 1 ? 10 + i : BULK - i);
        T_OK(sm_stream_write(a.s, v));
        want = sum_bytes(want, v);
        b.want_n += v.n;
        if (i % 7 == 0) {
            sm_loop_turn(l, false);
        }
    }
    if (b.read_n < b.want_n) {
        sm_loop_run(l);
    }
    T_EQ(b.read_n, b.want_n);
    T_EQ(b.sum, want);
    sm_stream_free(a.s);
    sm_stream_free(b.s);
    sm_loop_free(l);
}

static void bulk_to_a_peer_that_has_gone_ends_the_stream(void)
{
    static const uint8_t bulk[100000];
    struct sm_loop *l = new_loop();
    struct end a, b;
    make_pair(l, &a, &b, 1 << 20);
    sm_stream_free(b.s);
    T_ERR(sm_stream_write(a.s, sm_view_of(bulk, sizeof bulk)), SM_E_CLOSED);
    T_TRUE(!a.is_closed); /* callbacks come from the loop only */
    sm_loop_run(l);
    T_TRUE(a.is_closed);
    sm_stream_free(a.s);
    sm_loop_free(l);
}

static void a_full_queue_refuses_whole_writes_and_tells_when_it_is_empty(void)
{
    enum { MAX = 100000, PART = 7000 };
    static const uint8_t zeros[PART];
    struct sm_loop *l = new_loop();
    struct end a, b;
    make_pair(l, &a, &b, MAX);
    sm_stream_pause(b.s, true);
    size_t taken = 0;
    enum sm_err e = SM_OK;
    /* Turns move bytes to the kernel until it is full as well. */
    for (int i = 0; i < 1000 && e == SM_OK; i++) {
        e = sm_stream_write(a.s, sm_view_of(zeros, PART));
        taken += e == SM_OK ? PART : 0;
        sm_loop_turn(l, false);
    }
    T_EQ(e, SM_E_LIMIT);
    T_TRUE(sm_stream_queued(a.s) <= MAX);
    T_TRUE(sm_stream_queued(a.s) > MAX - PART);
    T_EQ(a.drained, 0);
    b.want_n = taken;
    sm_stream_pause(b.s, false);
    sm_loop_run(l);
    T_EQ(b.read_n, taken);
    sm_loop_turn(l, false);
    T_EQ(a.drained, 1);
    sm_stream_free(a.s);
    sm_stream_free(b.s);
    sm_loop_free(l);
}

static void an_empty_queue_takes_a_message_above_its_limit(void)
{
    static const uint8_t big[5000];
    struct sm_loop *l = new_loop();
    struct end a, b;
    make_pair(l, &a, &b, 100);
    b.want_n = sizeof big;
    T_OK(sm_stream_write(a.s, sm_view_of(big, sizeof big)));
    T_ERR(sm_stream_write(a.s, sm_view_str("x")), SM_E_LIMIT);
    sm_loop_run(l);
    T_EQ(b.read_n, sizeof big);
    sm_stream_free(a.s);
    sm_stream_free(b.s);
    sm_loop_free(l);
}

struct server {
    struct sm_loop *loop;
    struct end peer;
};

static void server_accepted(void *ctx, int fd)
{
    struct server *v = ctx;
    struct sm_inet from = {0};
    T_OK(sm_tcp_remote(fd, &from));
    T_EQ(from.family, 4);
    v->peer = (struct end){.loop = v->loop, .fd = -1, .echo = true};
    T_OK(sm_stream_new(v->loop, fd, &end_ops, &v->peer, 64 << 20, &v->peer.s));
}

static void tcp_echoes_ten_mebibytes_over_loopback(void)
{
    enum { TOTAL = 10 << 20, PART = 65552 };
    struct sm_loop *l = new_loop();
    struct server v = {.loop = l};
    struct sm_listener *listener = NULL;
    struct sm_inet at;
    struct end a = {.loop = l, .fd = -1, .want_n = TOTAL};
    static uint8_t part[PART];
    uint32_t want = 0;
    int fd = -1;

    T_OK(sm_inet_parse("127.0.0.1:0", &at));
    T_OK(sm_tcp_listen(&at, &fd));
    T_OK(sm_tcp_local(fd, &at));
    T_OK(sm_listener_new(l, fd, server_accepted, &v, &listener));
    T_OK(sm_tcp_connect(&at, &fd));
    T_OK(sm_stream_new(l, fd, &dial_ops, &a, 16 << 20, &a.s));
    for (size_t sent = 0; sent < TOTAL;) {
        size_t n = TOTAL - sent < PART ? TOTAL - sent : PART;
        for (size_t i = 0; i < n; i++) {
            part[i] = (uint8_t)(i * 7 + sent);
        }
        T_OK(sm_stream_write(a.s, sm_view_of(part, n)));
        want = sum_bytes(want, sm_view_of(part, n));
        sent += n;
    }
    sm_loop_run(l);
    T_EQ(a.connected, 1);
    T_EQ(a.read_n, TOTAL);
    T_EQ(a.sum, want);
    sm_stream_free(a.s);
    sm_loop_run(l); /* until the server sees the end */
    T_EQ(v.peer.why, SM_E_CLOSED);
    T_ERR(sm_stream_write(v.peer.s, sm_view_str("x")), SM_E_CLOSED);
    sm_stream_free(v.peer.s);
    sm_listener_free(listener);
    sm_loop_free(l);
}

static void dialling_where_nobody_listens_ends_as_unreachable(void)
{
    struct sm_loop *l = new_loop();
    struct end a = {.loop = l, .fd = -1};
    struct sm_inet at;
    int listening = -1, fd = -1;
    T_OK(sm_inet_parse("127.0.0.1:0", &at));
    T_OK(sm_tcp_listen(&at, &listening)); /* a port that is surely free once we close it */
    T_OK(sm_tcp_local(listening, &at));
    (void)close(listening);
    T_OK(sm_tcp_connect(&at, &fd));
    T_OK(sm_stream_new(l, fd, &dial_ops, &a, 100, &a.s));
    T_OK(sm_stream_write(a.s, sm_view_str("hello")));
    sm_loop_run(l);
    T_EQ(a.why, SM_E_UNREACHABLE);
    T_EQ(a.connected, 0);
    sm_stream_free(a.s);
    sm_loop_free(l);
}

static bool sends_at_once(int fd)
{
    int on = 0;
    socklen_t n = sizeof on;
    T_EQ(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
    return on != 0;
}

/* Else a small frame waits up to 40 ms for the peer's delayed acknowledgement. */
static void tcp_sockets_do_not_hold_small_writes_back(void)
{
    struct sm_inet at;
    int listening = -1, dialled = -1;
    T_OK(sm_inet_parse("127.0.0.1:0", &at));
    T_OK(sm_tcp_listen(&at, &listening));
    T_OK(sm_tcp_local(listening, &at));
    T_OK(sm_tcp_connect(&at, &dialled));
    struct pollfd come = {.fd = listening, .events = POLLIN};
    T_EQ(poll(&come, 1, 10000), 1);
    int accepted = accept(listening, NULL, NULL);
    T_TRUE(accepted >= 0);
    T_TRUE(sends_at_once(dialled));
    T_TRUE(sends_at_once(accepted));
    (void)close(accepted);
    (void)close(dialled);
    (void)close(listening);
}

static void a_port_in_use_is_busy(void)
{
    struct sm_inet at;
    int fd = -1, second = -1;
    T_OK(sm_inet_parse("127.0.0.1:0", &at));
    T_OK(sm_tcp_listen(&at, &fd));
    T_OK(sm_tcp_local(fd, &at));
    T_ERR(sm_tcp_listen(&at, &second), SM_E_BUSY);
    T_EQ(second, -1);
    (void)close(fd);
}

static void the_last_words_of_a_freed_stream_arrive(void)
{
    struct sm_loop *l = new_loop();
    struct end a, b;
    make_pair(l, &a, &b, 1000);
    T_OK(sm_stream_write(a.s, sm_view_str("goodbye")));
    sm_stream_free(a.s);
    sm_loop_run(l);
    T_EQ(b.read_n, 7);
    T_EQ(b.why, SM_E_CLOSED);
    sm_stream_free(b.s);
    sm_loop_free(l);
}

static void descriptors_travel_with_their_bytes(void)
{
    struct sm_loop *l = new_loop();
    struct end a, b;
    int fds[2];
    char got[4] = {0};
    make_pair(l, &a, &b, 1000);
    T_EQ(pipe2(fds, O_CLOEXEC), 0);
    b.want_n = 6;
    T_OK(sm_stream_write(a.s, sm_view_str("ab")));
    T_OK(sm_stream_write_fd(a.s, sm_view_str("c"), sm_view_str("d"), fds[1]));
    T_OK(sm_stream_write(a.s, sm_view_str("ef")));
    sm_loop_run(l);
    T_TRUE(b.fd >= 0);
    T_TRUE((fcntl(b.fd, F_GETFD) & FD_CLOEXEC) != 0);
    T_EQ(write(b.fd, "hi", 2), 2);
    T_EQ(read(fds[0], got, sizeof got), 2);
    (void)close(b.fd);
    T_EQ(read(fds[0], got, sizeof got), 0); /* the sender's copy was closed as well */
    (void)close(fds[0]);
    sm_stream_free(a.s);
    sm_stream_free(b.s);
    sm_loop_free(l);
}

static void count_call(void *ctx)
{
    int *n = ctx;
    (*n)++;
}

struct timer_test {
    struct sm_loop *loop;
    struct sm_mono want, got;
};

static void timer_fired(void *ctx)
{
    struct timer_test *t = ctx;
    t->got = sm_clock_mono();
    sm_loop_stop(t->loop);
}

static void timers_are_never_early_and_can_be_disarmed(void)
{
    struct sm_loop *l = new_loop();
    struct timer_test t = {.loop = l, .want = sm_after(sm_clock_mono(), SM_US(2500))};
    struct sm_timer *due = NULL, *never = NULL;
    int n = 0;
    T_OK(sm_timer_new(l, timer_fired, &t, &due));
    T_OK(sm_timer_new(l, count_call, &n, &never));
    sm_timer_at(never, sm_clock_mono());
    sm_timer_at(never, SM_NEVER);
    sm_timer_at(due, t.want);
    sm_loop_run(l);
    T_TRUE(sm_is_due(t.want, t.got));
    T_EQ(n, 0);
    sm_timer_free(due);
    sm_timer_free(never);
    sm_loop_free(l);
}

static void the_turn_hook_runs_once_for_a_burst(void)
{
    struct sm_loop *l = new_loop();
    struct end a, b;
    int turns = 0;
    make_pair(l, &a, &b, 100000);
    for (int i = 0; i < 100; i++) {
        T_OK(sm_stream_write(a.s, sm_view_str("0123456789")));
    }
    b.want_n = 1000;
    sm_loop_on_turn(l, count_call, &turns);
    sm_loop_run(l);
    T_TRUE(turns >= 2); /* before the first wait, and after the bytes came */
    T_TRUE(turns <= 4);
    sm_stream_free(a.s);
    sm_stream_free(b.s);
    sm_loop_free(l);
}

static void a_patient_loop_turns_for_events_only(void)
{
    enum { ROUNDS = 200 };
    struct sm_loop *l = new_loop();
    struct end a, b;
    int turns = 0;
    make_pair(l, &a, &b, 100000);
    sm_loop_on_turn(l, count_call, &turns);
    sm_loop_patience(l, SM_MS(20)); /* long enough to be lingering all the time */
    for (unsigned i = 1; i <= ROUNDS; i++) {
        T_OK(sm_stream_write(i % 2 == 0 ? a.s : b.s, sm_view_str("0123456789")));
        struct end *to = i % 2 == 0 ? &b : &a;
        to->want_n = (i + 1) / 2 * 10;
        sm_loop_run(l);
        T_EQ(to->read_n, to->want_n);
    }
    T_TRUE(turns <= 4 * ROUNDS);
    struct timer_test t = {.loop = l, .want = sm_after(sm_clock_mono(), SM_MS(3))};
    struct sm_timer *due = NULL;
    T_OK(sm_timer_new(l, timer_fired, &t, &due));
    sm_timer_at(due, t.want);
    sm_loop_run(l);
    T_TRUE(sm_is_due(t.want, t.got));
    T_TRUE(turns <= 4 * ROUNDS + 8);
    sm_timer_free(due);
    sm_stream_free(a.s);
    sm_stream_free(b.s);
    sm_loop_free(l);
}

static void on_usr1(void *ctx, int signo)
{
    T_EQ(signo, SIGUSR1);
    sm_loop_stop(ctx);
}

static void signals_arrive_as_events(void)
{
    struct sm_loop *l = new_loop();
    struct sm_signal *s = NULL;
    T_OK(sm_signal_new(l, SIGUSR1, on_usr1, l, &s));
    T_EQ(raise(SIGUSR1), 0);
    sm_loop_run(l);
    sm_signal_free(s);
    sm_loop_free(l);
}

/* -- children ---------------------------------------------------------------------------- */

struct exit_seen {
    struct sm_loop *loop;
    struct sm_child_exit how;
};

static void child_gone(void *ctx, struct sm_child_exit how)
{
    struct exit_seen *x = ctx;
    x->how = how;
    sm_loop_stop(x->loop);
}

static struct sm_child_exit watch_shell(const char *script, int kill_with)
{
    struct sm_loop *l = new_loop();
    const char *const argv[] = {"sh", "-c", script, NULL};
    const struct sm_child_cfg cfg = {
        .path = "/bin/sh", .argv = argv, .own_group = true, .die_with_parent = true};
    struct exit_seen x = {.loop = l};
    struct sm_child c;
    struct sm_child_watch *w = NULL;
    T_OK(sm_child_spawn(&cfg, &c));
    T_OK(sm_child_watch_new(l, &c, child_gone, &x, &w));
    if (kill_with != 0) {
        sm_child_kill(&c, kill_with);
    }
    sm_loop_run(l);
    sm_child_watch_free(w);
    sm_child_done(&c);
    sm_loop_free(l);
    return x.how;
}

static void a_childs_exit_and_its_death_are_told_apart(void)
{
    struct sm_child_exit how = watch_shell("exit 7", 0);
    T_TRUE(!how.was_signal);
    T_EQ(how.code, 7);
    how = watch_shell("while :; do read x <&1; done", SIGKILL);
    T_TRUE(how.was_signal);
    T_EQ(how.code, SIGKILL);
}

static void a_missing_program_is_not_found(void)
{
    const char *const argv[] = {"x", NULL};
    const struct sm_child_cfg cfg = {.path = "/nonexistent/program", .argv = argv};
    struct sm_child c = {.pid = -7};
    T_ERR(sm_child_spawn(&cfg, &c), SM_E_NOTFOUND);
    T_EQ(c.pid, -7);
    const struct sm_child_cfg text = {.path = "/etc/passwd", .argv = argv};
    T_ERR(sm_child_spawn(&text, &c), SM_E_REFUSED);
}

static void a_child_has_the_mapped_descriptors_and_no_others(void)
{
    int out[2], cross[2];
    char text[64] = {0};
    T_EQ(pipe2(out, 0), 0); /* deliberately not close-on-exec */
    T_EQ(pipe2(cross, 0), 0);
    /* ls shows its own handle on the folder as one more: count inside a shell instead. */
    const char *const argv[] = {"sh", "-c",
                                "for i in 0 1 2 3 4 5 6 7 8 9; do "
                                "[ -e /proc/$$/fd/$i ] && printf $i; done; true",
                                NULL};
    const struct sm_fd_map map[] = {{out[1], 1}, {cross[0], 4}, {cross[1], 3}};
    const struct sm_child_cfg cfg = {
        .path = "/bin/sh", .argv = argv, .fds = map, .n_fds = SM_COUNT(map)};
    struct sm_child c;
    int status = -1;
    T_OK(sm_child_spawn(&cfg, &c));
    (void)close(out[1]);
    T_OK(sm_child_wait(&c, &status));
    T_EQ(status, 0);
    T_TRUE(read(out[0], text, sizeof text - 1) > 0);
    T_STR(text, "01234");
    sm_child_done(&c);
    (void)close(out[0]);
    (void)close(cross[0]);
    (void)close(cross[1]);
}

/* -- files ------------------------------------------------------------------------------- */

static void files_are_replaced_whole_and_keys_never_overwritten(void)
{
    char dir[64], path[SM_PATH], deep[SM_PATH];
    uint8_t exact[3];
    struct stat st;
    SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(8);
    make_dir(dir);
    T_OK(sm_path_join(dir, "a/b//c", deep));
    T_OK(sm_dir_make(deep, 0700));
    T_OK(sm_dir_make(deep, 0700));
    T_OK(sm_path_join(deep, "f", path));
    T_ERR(sm_file_read(path, &b), SM_E_NOTFOUND);
    T_OK(sm_file_write_atomic(path, 0600, sm_view_str("one")));
    T_OK(sm_file_write_atomic(path, 0600, sm_view_str("two")));
    T_ERR(sm_file_create(path, 0600, sm_view_str("three")), SM_E_EXISTS);
    T_OK(sm_file_read(path, &b));
    T_MEM(b.p, b.n, "two", 3);
    T_EQ(stat(path, &st), 0);
    T_EQ(st.st_mode & 0777, 0600);
    T_OK(sm_file_read_exact(path, exact, 3));
    T_ERR(sm_file_read_exact(path, exact, 2), SM_E_MALFORMED);
    T_OK(sm_file_write_atomic(path, 0600, sm_view_str("nine bytes")));
    T_ERR(sm_file_read(path, &b), SM_E_LIMIT);
    T_ERR(sm_dir_make(path, 0700), SM_E_EXISTS);
    remove_dir(dir);
}

static int lock_again(const char *path)
{
    int fd = -1;
    return sm_file_lock(path, &fd) == SM_E_BUSY ? 0 : 1;
}

static void a_lock_keeps_other_processes_out_until_it_is_closed(void)
{
    char dir[64], path[SM_PATH];
    int fd = -1;
    make_dir(dir);
    T_OK(sm_path_join(dir, "lock", path));
    T_OK(sm_file_lock(path, &fd));
    T_EQ(in_child(lock_again, path), 0);
    (void)close(fd);
    T_EQ(in_child(lock_again, path), 1);
    remove_dir(dir);
}

static void unix_sockets_have_their_mode_and_replace_only_sockets(void)
{
    char dir[64], path[SM_PATH], file[SM_PATH], longer[SM_UNIX_PATH + 8];
    struct stat st;
    int fd = -1, second = -1, client = -1;
    make_dir(dir);
    T_OK(sm_path_join(dir, "s", path));
    T_OK(sm_path_join(dir, "f", file));
    T_ERR(sm_unix_connect(path, &client), SM_E_NOTFOUND);
    T_OK(sm_unix_listen(path, 0600, true, &fd));
    T_EQ(stat(path, &st), 0);
    T_EQ(st.st_mode & 0777, 0600);
    T_OK(sm_unix_connect(path, &client));
    (void)close(client);
    T_ERR(sm_unix_listen(path, 0600, false, &second), SM_E_BUSY);
    (void)close(fd);
    T_ERR(sm_unix_connect(path, &client), SM_E_UNREACHABLE);
    T_OK(sm_unix_listen(path, 0600, true, &fd));
    (void)close(fd);
    T_OK(sm_file_write_atomic(file, 0600, sm_view_str("precious")));
    T_ERR(sm_unix_listen(file, 0600, true, &fd), SM_E_EXISTS);
    T_TRUE(sm_file_exists(file));
    memset(longer, 'x', sizeof longer - 1);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    T_ERR(sm_unix_listen(longer, 0600, true, &fd), SM_E_INVALID);
    remove_dir(dir);
}

static void addresses_print_as_they_parse(void)
{
    static const char *const good[] = {"127.0.0.1:7001", "0.0.0.0:0", "[::1]:65535"};
    static const char *const bad[] = {
        "",           ":1",         "127.0.0.1",       "127.0.0.1:", "1.2.3:4",
        "[::1:4",     "::1:4",      "127.0.0.1:65536", "host:80",    "[]:1",
        "1.2.3.4:-1", "1.2.3.4:1x", "1.2.3.4: 1"};
    char text[SM_INET_TEXT];
    struct sm_inet a;
    for (size_t i = 0; i < SM_COUNT(good); i++) {
        T_OK(sm_inet_parse(good[i], &a));
        sm_inet_print(&a, text);
        T_STR(text, good[i]);
    }
    for (size_t i = 0; i < SM_COUNT(bad); i++) {
        T_ERR(sm_inet_parse(bad[i], &a), SM_E_MALFORMED);
    }
}

/* -- confinement ------------------------------------------------------------------------- */

static int try_paths(const char *dir)
{
    struct sm_confine_has has;
    char in[SM_PATH], readonly[SM_PATH], new[SM_PATH];
    const struct sm_path_rule rules[] = {{dir, SM_PATH_READ}};
    if (sm_path_join(dir, "f", in) != SM_OK || sm_path_join(dir, "f", readonly) != SM_OK ||
        sm_path_join(dir, "new", new) != SM_OK || sm_confine_begin(&has) != SM_OK) {
        return 10;
    }
    if (has.landlock_abi == 0) {
        return 77;
    }
    if (sm_confine_paths(rules, 1, SM_CONFINE_NO_TCP, &has) != SM_OK || !has.paths) {
        return 11;
    }
    struct sm_inet at = {.family = 4, .ip = {127, 0, 0, 1}};
    int fd = -1;
    return open(in, O_RDONLY | O_CLOEXEC) < 0                          ? 12
           : open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0            ? 13
           : open(readonly, O_WRONLY | O_CLOEXEC) >= 0                 ? 14
           : open(new, O_CREAT | O_WRONLY | O_CLOEXEC, 0600) >= 0      ? 15
           : has.tcp_denied && sm_tcp_listen(&at, &fd) != SM_E_REFUSED ? 16
                                                                       : 0;
}

static void landlock_leaves_only_the_named_paths(void)
{
    char dir[64], path[SM_PATH];
    make_dir(dir);
    T_OK(sm_path_join(dir, "f", path));
    T_OK(sm_file_write_atomic(path, 0600, sm_view_str("x")));
    int status = in_child(try_paths, dir);
    remove_dir(dir);
    if (status == 77) {
        t_skip("this kernel has no landlock");
    }
    T_EQ(status, 0);
}

static void stop_loop(void *ctx)
{
    sm_loop_stop(ctx);
}

static int try_calls(const char *dir)
{
    struct sm_confine_has has;
    struct sm_loop *l = NULL;
    struct sm_timer *t = NULL;
    if (sm_loop_new(&l) != SM_OK || sm_confine_begin(&has) != SM_OK ||
        sm_confine_calls(0, &has) != SM_OK) {
        return 10;
    }
    if (!has.calls) {
        return 77;
    }
    /* What a role does all day still works. */
    if (sm_timer_new(l, stop_loop, l, &t) != SM_OK) {
        return 11;
    }
    sm_timer_at(t, sm_clock_mono());
    sm_loop_run(l);
    sm_timer_free(t);
    sm_loop_free(l);
    return open(dir, O_RDONLY | O_CLOEXEC) >= 0 || errno != EPERM ? 12
           : socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0  ? 13
           : fork() >= 0                                          ? 14
           : mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
                   MAP_FAILED
               ? 15
               : 0;
}

static int try_exec(const char *dir)
{
    struct sm_confine_has has;
    if (sm_confine_begin(&has) != SM_OK || sm_confine_calls(SM_CALLS_FILES, &has) != SM_OK) {
        return 10;
    }
    if (!has.calls) {
        return 77;
    }
    (void)execl("/bin/true", dir, (char *)NULL);
    return 11;
}

static void seccomp_leaves_only_the_calls_of_the_groups(void)
{
    int status = in_child(try_calls, "/");
    if (status == 77) {
        t_skip("this kernel has no seccomp");
    }
    T_EQ(status, 0);
    T_EQ(in_child(try_exec, "/"), 128 + SIGSYS);
}

static int try_secrets(const char *dir)
{
    bool is_locked = false;
    (void)dir;
    if (sm_secretmem_init(&is_locked) != SM_OK) {
        return 10;
    }
    uint8_t *p = sm_secret_new(32);
    if (p == NULL || p[0] != 0 || p[31] != 0) {
        return 11;
    }
    p[31] = 1;
    sm_secret_free(p);
    return p != NULL ? 0 : 12;
}

static void secret_memory_starts_zeroed(void)
{
    T_EQ(in_child(try_secrets, "/"), 0);
}

static void random_bytes_differ(void)
{
    uint8_t a[32], b[32];
    T_OK(sm_random_bytes(a, sizeof a));
    T_OK(sm_random_bytes(b, sizeof b));
    T_TRUE(memcmp(a, b, sizeof a) != 0);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(bytes_written_before_the_loop_arrive_in_order),
        T_CASE(bulk_and_small_writes_arrive_in_order),
        T_CASE(bulk_to_a_peer_that_has_gone_ends_the_stream),
        T_CASE(a_full_queue_refuses_whole_writes_and_tells_when_it_is_empty),
        T_CASE(an_empty_queue_takes_a_message_above_its_limit),
        T_CASE(tcp_echoes_ten_mebibytes_over_loopback),
        T_CASE(dialling_where_nobody_listens_ends_as_unreachable),
        T_CASE(tcp_sockets_do_not_hold_small_writes_back),
        T_CASE(a_port_in_use_is_busy),
        T_CASE(the_last_words_of_a_freed_stream_arrive),
        T_CASE(descriptors_travel_with_their_bytes),
        T_CASE(timers_are_never_early_and_can_be_disarmed),
        T_CASE(the_turn_hook_runs_once_for_a_burst),
        T_CASE(a_patient_loop_turns_for_events_only),
        T_CASE(signals_arrive_as_events),
        T_CASE(a_childs_exit_and_its_death_are_told_apart),
        T_CASE(a_missing_program_is_not_found),
        T_CASE(a_child_has_the_mapped_descriptors_and_no_others),
        T_CASE(files_are_replaced_whole_and_keys_never_overwritten),
        T_CASE(a_lock_keeps_other_processes_out_until_it_is_closed),
        T_CASE(unix_sockets_have_their_mode_and_replace_only_sockets),
        T_CASE(addresses_print_as_they_parse),
        T_CASE(landlock_leaves_only_the_named_paths),
        T_CASE(seccomp_leaves_only_the_calls_of_the_groups),
        T_CASE(secret_memory_starts_zeroed),
        T_CASE(random_bytes_differ),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
