// SPDX-License-Identifier: Apache-2.0
#include "proc/ipc.h"
#include "proc/log.h"
#include "t.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* -- the table --------------------------------------------------------------------------- */

/* The policy once more, written as a reader would say it: from, to, what. */
static bool expected(enum sm_prog from, enum sm_prog to, uint16_t type)
{
    bool from_main = from == SM_PROG_MAIN && to != SM_PROG_MAIN;
    bool to_main = to == SM_PROG_MAIN && from != SM_PROG_MAIN;
    switch (type) {
    case SM_IPC_CONFIG:
    case SM_IPC_SHUTDOWN:
    case SM_IPC_LOG_LEVEL:
        return from_main;
    case SM_IPC_READY:
    case SM_IPC_LOG:
    case SM_IPC_HEALTH:
    case SM_IPC_VIOLATION:
        return to_main;
    case SM_IPC_PEER:
        return from_main && to != SM_PROG_RUN;
    case SM_IPC_LISTENER:
    case SM_IPC_ENDPOINT:
    case SM_IPC_SEE_SPAWNED:
    case SM_IPC_SEE_EXIT:
        return from_main && to == SM_PROG_NET;
    case SM_IPC_SEE_SPAWN:
    case SM_IPC_SEE_STOP:
        return to_main && from == SM_PROG_NET;
    case SM_IPC_LAUNCH:
        return from_main && to == SM_PROG_RUN;
    case SM_IPC_SIGN:
        return from == SM_PROG_NET && to == SM_PROG_KEYS;
    case SM_IPC_SIGNED:
    case SM_IPC_IDENTITY:
        return from == SM_PROG_KEYS && to == SM_PROG_NET;
    case SM_IPC_CERTIFY:
        return (from == SM_PROG_NET && to == SM_PROG_KEYS) ||
               (from == SM_PROG_RUN && to == SM_PROG_MAIN) ||
               (from == SM_PROG_MAIN && to == SM_PROG_KEYS);
    case SM_IPC_CERTIFIED:
        return expected(to, from, SM_IPC_CERTIFY);
    case SM_IPC_DOCUMENT: /* store has none of it, nor has a SEE */
        return (from == SM_PROG_MAIN && (to == SM_PROG_NET || to == SM_PROG_KEYS)) ||
               (from == SM_PROG_NET && to == SM_PROG_KEYS);
    case SM_IPC_KEEP: /* net cannot have main write anything */
        return from == SM_PROG_KEYS && to == SM_PROG_MAIN;
    case SM_IPC_STORE_RPC:
        return from == SM_PROG_NET && to == SM_PROG_STORE;
    case SM_IPC_STORE_REPLY:
    case SM_IPC_PUBLISH:
    case SM_IPC_UNPUBLISH:
        return from == SM_PROG_STORE && to == SM_PROG_NET;
    default:
        return false;
    }
}

static void the_table_allows_exactly_the_policy(void)
{
    for (unsigned from = 0; from < SM_PROGS; from++) {
        for (unsigned to = 0; to < SM_PROGS; to++) {
            for (uint16_t type = 0; type < SM_IPC_TYPE_END + 10; type++) {
                bool may = sm_ipc_may((enum sm_prog)from, (enum sm_prog)to, type);
                if (may != expected((enum sm_prog)from, (enum sm_prog)to, type)) {
                    t_fail(__FILE__, __LINE__, "%s to %s, %s: the table says %d",
                           sm_prog_name((enum sm_prog)from), sm_prog_name((enum sm_prog)to),
                           sm_ipc_name(type), may);
                }
            }
        }
    }
}

static void every_answer_has_its_question_and_no_message_exceeds_the_frame(void)
{
    for (unsigned from = 0; from < SM_PROGS; from++) {
        for (unsigned to = 0; to < SM_PROGS; to++) {
            for (uint16_t type = 0; type < SM_IPC_TYPE_END; type++) {
                const struct sm_ipc_rule *r =
                    sm_ipc_rule((enum sm_prog)from, (enum sm_prog)to, type);
                if (r == NULL) {
                    continue;
                }
                T_TRUE(r->body_max <= SM_IPC_BODY_MAX);
                T_TRUE(strcmp(sm_ipc_name(type), "?") != 0);
                if (r->when == SM_IPC_ANSWER) {
                    T_TRUE(sm_ipc_may(r->to, r->from, (uint16_t)r->answers));
                }
            }
        }
    }
}

/* -- channels ---------------------------------------------------------------------------- */

struct seen {
    struct sm_loop *loop;
    struct sm_ipc *ch;
    unsigned n, want;
    uint16_t type;
    uint64_t id, sum;
    size_t body_n;
    int fd;
    enum sm_err why;
    bool is_closed, free_on_message;
};

static void on_message(void *ctx, struct sm_ipc *ch, const struct sm_ipc_msg *m)
{
    struct seen *s = ctx;
    s->n++;
    s->type = (uint16_t)m->type;
    s->id = m->id;
    s->body_n = m->body.n;
    s->fd = m->fd;
    for (size_t i = 0; i < m->body.n; i++) {
        s->sum = s->sum * 31 + m->body.p[i];
    }
    if (s->n == s->want) {
        sm_loop_stop(s->loop);
    }
    if (s->free_on_message) {
        sm_ipc_free(ch);
        s->ch = NULL;
        sm_loop_stop(s->loop);
    }
}

static void on_closed(void *ctx, struct sm_ipc *ch, enum sm_err why)
{
    struct seen *s = ctx;
    (void)ch;
    T_TRUE(!s->is_closed);
    s->is_closed = true;
    s->why = why;
    sm_loop_stop(s->loop);
}

static const struct sm_ipc_ops ops = {.message = on_message, .closed = on_closed};

/* A channel of `self` whose other end, said to be `peer`, is a bare socket in our hands. */
static int raw_channel(struct seen *s, enum sm_prog self, enum sm_prog peer)
{
    int fds[2];
    *s = (struct seen){.fd = -1};
    T_OK(sm_loop_new(&s->loop));
    T_OK(sm_unix_pair(fds));
    T_OK(sm_ipc_new(s->loop, fds[0], self, peer, &ops, s, &s->ch));
    return fds[1];
}

static void finish(struct seen *s, int raw)
{
    sm_ipc_free(s->ch);
    sm_loop_free(s->loop);
    (void)close(raw);
}

static size_t frame(uint8_t *out, uint32_t n, uint16_t type, uint16_t flags, uint64_t id)
{
    struct sm_wr w = sm_wr_init(out, SM_IPC_HEADER);
    sm_wr_u32(&w, n);
    sm_wr_u16(&w, type);
    sm_wr_u16(&w, flags);
    sm_wr_u64(&w, id);
    memset(out + SM_IPC_HEADER, 0x5a, n <= 64 ? n : 0);
    return SM_IPC_HEADER + (n <= 64 ? n : 0);
}

static void messages_cut_anywhere_arrive_whole(void)
{
    struct seen s;
    uint8_t bytes[3 * (SM_IPC_HEADER + 8)];
    int raw = raw_channel(&s, SM_PROG_KEYS, SM_PROG_NET);
    size_t n = 0;
    for (uint64_t i = 0; i < 3; i++) {
        n += frame(bytes + n, (uint32_t)i * 4, SM_IPC_SIGN, 0, 7 + i);
    }
    for (size_t i = 0; i < n; i++) {
        T_EQ(write(raw, bytes + i, 1), 1);
        sm_loop_turn(s.loop, true);
    }
    T_EQ(s.n, 3);
    T_EQ(s.id, 9);
    T_EQ(s.body_n, 8);
    s.want = 6;
    T_EQ(write(raw, bytes, n), n); /* and all at once */
    sm_loop_run(s.loop);
    T_EQ(s.n, 6);
    T_TRUE(!s.is_closed);
    finish(&s, raw);
}

static enum sm_err after(enum sm_prog self, enum sm_prog peer, uint32_t n, uint16_t type,
                         uint16_t flags, int times)
{
    struct seen s;
    uint8_t bytes[SM_IPC_HEADER + 64];
    int raw = raw_channel(&s, self, peer);
    size_t bytes_n = frame(bytes, n, type, flags, 1);
    for (int i = 0; i < times; i++) {
        T_EQ(write(raw, bytes, bytes_n), bytes_n);
    }
    sm_loop_run(s.loop);
    T_TRUE(s.is_closed);
    T_TRUE(sm_ipc_violation(s.ch)[0] != '\0');
    T_EQ(s.n, times - 1);
    enum sm_err why = s.why;
    finish(&s, raw);
    return why;
}

static void what_the_table_does_not_have_ends_the_channel(void)
{
    T_ERR(after(SM_PROG_KEYS, SM_PROG_STORE, 0, SM_IPC_SIGN, 0, 1), SM_E_REFUSED);
    T_ERR(after(SM_PROG_KEYS, SM_PROG_NET, 0, SM_IPC_CONFIG, 0, 1), SM_E_REFUSED);
    T_ERR(after(SM_PROG_KEYS, SM_PROG_NET, 0, 999, 0, 1), SM_E_REFUSED);
    T_ERR(after(SM_PROG_KEYS, SM_PROG_NET, 0, 0, 0, 1), SM_E_REFUSED);
}

static void a_length_above_the_row_is_refused_before_the_body_comes(void)
{
    T_ERR(after(SM_PROG_KEYS, SM_PROG_NET, UINT32_MAX, SM_IPC_SIGN, 0, 1), SM_E_LIMIT);
    T_ERR(after(SM_PROG_KEYS, SM_PROG_NET, 8 * 1024 + 1, SM_IPC_SIGN, 0, 1), SM_E_LIMIT);
}

static void once_means_once(void)
{
    T_ERR(after(SM_PROG_MAIN, SM_PROG_NET, 0, SM_IPC_READY, 0, 2), SM_E_REFUSED);
}

static void answers_without_a_question_end_the_channel(void)
{
    struct seen s;
    uint8_t bytes[SM_IPC_HEADER + 64];
    T_ERR(after(SM_PROG_NET, SM_PROG_KEYS, 4, SM_IPC_SIGNED, 0, 1), SM_E_REFUSED);
    int raw = raw_channel(&s, SM_PROG_NET, SM_PROG_KEYS);
    T_OK(sm_ipc_send(s.ch, SM_IPC_SIGN, 5, sm_view_str("x"), -1));
    size_t n = frame(bytes, 4, SM_IPC_SIGNED, 0, 5);
    T_EQ(write(raw, bytes, n), n);
    T_EQ(write(raw, bytes, n), n);
    sm_loop_run(s.loop);
    T_EQ(s.n, 1);
    T_EQ(s.why, SM_E_REFUSED);
    finish(&s, raw);
}

static void a_missing_descriptor_or_a_stray_flag_ends_the_channel(void)
{
    T_ERR(after(SM_PROG_KEYS, SM_PROG_MAIN, 1, SM_IPC_PEER, 1, 1), SM_E_MALFORMED);
    T_ERR(after(SM_PROG_KEYS, SM_PROG_MAIN, 1, SM_IPC_PEER, 0, 1), SM_E_MALFORMED);
    T_ERR(after(SM_PROG_KEYS, SM_PROG_NET, 1, SM_IPC_SIGN, 1, 1), SM_E_MALFORMED);
    T_ERR(after(SM_PROG_KEYS, SM_PROG_NET, 1, SM_IPC_SIGN, 2, 1), SM_E_MALFORMED);
}

static void descriptors_and_large_bodies_pass_between_two_channels(void)
{
    static uint8_t big[SM_IPC_BODY_MAX];
    struct seen net = {.fd = -1}, other = {.fd = -1};
    const uint8_t role = SM_PROG_KEYS;
    int fds[2], pipes[2];
    uint64_t want = 0;
    T_OK(sm_loop_new(&net.loop));
    other.loop = net.loop;
    T_OK(sm_unix_pair(fds));
    T_OK(sm_ipc_new(net.loop, fds[0], SM_PROG_MAIN, SM_PROG_NET, &ops, &other, &other.ch));
    T_OK(sm_ipc_new(net.loop, fds[1], SM_PROG_NET, SM_PROG_MAIN, &ops, &net, &net.ch));
    T_EQ(pipe2(pipes, O_CLOEXEC), 0);
    net.want = 1;
    T_OK(sm_ipc_send(other.ch, SM_IPC_PEER, 3, sm_view_of(&role, 1), pipes[1]));
    sm_loop_run(net.loop);
    T_EQ(net.type, SM_IPC_PEER);
    T_TRUE(net.fd >= 0);
    T_EQ(write(net.fd, "x", 1), 1);
    (void)close(net.fd);
    (void)close(pipes[0]);
    sm_ipc_free(net.ch);
    sm_ipc_free(other.ch);

    struct seen store = {.loop = net.loop, .fd = -1, .want = 3};
    T_OK(sm_unix_pair(fds));
    T_OK(sm_ipc_new(net.loop, fds[0], SM_PROG_NET, SM_PROG_STORE, &ops, &net, &net.ch));
    T_OK(sm_ipc_new(net.loop, fds[1], SM_PROG_STORE, SM_PROG_NET, &ops, &store, &store.ch));
    for (size_t i = 0; i < sizeof big; i++) {
        big[i] = (uint8_t)(i * i >> 3);
    }
    for (int k = 0; k < 3; k++) {
        T_OK(sm_ipc_send(net.ch, SM_IPC_STORE_RPC, 1, sm_view_of(big, sizeof big), -1));
        for (size_t i = 0; i < sizeof big; i++) {
            want = want * 31 + big[i];
        }
    }
    sm_loop_run(net.loop);
    T_EQ(store.n, 3);
    T_EQ(store.body_n, sizeof big);
    T_EQ(store.sum, want);
    sm_ipc_free(net.ch);
    sm_ipc_free(store.ch);
    sm_loop_free(net.loop);
}

static void a_channel_may_be_freed_by_its_own_message(void)
{
    struct seen s;
    uint8_t bytes[2 * (SM_IPC_HEADER + 64)];
    int raw = raw_channel(&s, SM_PROG_KEYS, SM_PROG_NET);
    size_t n = frame(bytes, 4, SM_IPC_SIGN, 0, 1);
    n += frame(bytes + n, 4, SM_IPC_SIGN, 0, 2);
    s.free_on_message = true;
    T_EQ(write(raw, bytes, n), n);
    sm_loop_run(s.loop);
    T_EQ(s.n, 1);
    finish(&s, raw);
}

/* -- bodies ------------------------------------------------------------------------------ */

static void bodies_read_back_as_written(void)
{
    uint8_t bytes[SM_IPC_SMALL];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_view v;
    struct sm_ipc_identity in = {.index = 1, .platform = 0}, out;
    memset(in.node_id.b, 1, 32);
    memset(in.sign_key, 2, 32);
    memset(in.measurement, 3, 48);
    in.endorsement = sm_view_str("endorsed");
    sm_ipc_identity_write(&in, &w);
    T_OK(sm_wr_done(&w, &v));
    T_OK(sm_ipc_identity_read(v, &out));
    T_MEM(out.measurement, 48, in.measurement, 48);
    T_MEM(out.endorsement.p, out.endorsement.n, "endorsed", 8);
    for (size_t i = 0; i < v.n; i++) {
        T_TRUE(sm_ipc_identity_read(sm_view_sub(v, 0, i), &out) != SM_OK);
    }

    struct sm_ipc_exit e = {.instance = 9, .was_signal = true, .code = -3}, e2;
    w = sm_wr_init(bytes, sizeof bytes);
    sm_ipc_exit_write(&e, &w);
    T_OK(sm_wr_done(&w, &v));
    T_OK(sm_ipc_exit_read(v, &e2));
    T_EQ(e2.code, -3);
    T_TRUE(e2.was_signal);
    bytes[8] = 2;
    T_ERR(sm_ipc_exit_read(v, &e2), SM_E_MALFORMED);

    enum sm_err err;
    struct sm_view rest;
    sm_put_le32(bytes, (uint32_t)(int32_t)SM_E_TIMEOUT);
    T_OK(sm_ipc_answer_read(sm_view_of(bytes, 6), &err, &rest));
    T_EQ(err, SM_E_TIMEOUT);
    T_EQ(rest.n, 2);
    T_ERR(sm_ipc_answer_read(sm_view_of(bytes, 3), &err, &rest), SM_E_TRUNCATED);
}

/* -- log lines --------------------------------------------------------------------------- */

static size_t line(struct sm_log *l, uint64_t ms, const char *event, const char *text,
                   char *out)
{
    size_t n = sm_log_line(l, (struct sm_mono){ms * 1000000u}, 1795352400123u, "net",
                           SM_LOG_NOTICE, sm_view_str(event), sm_view_str(text), out);
    out[n] = '\0';
    return n;
}

static void log_lines_carry_no_control_characters(void)
{
    struct sm_log l = {.level = SM_LOG_INFO};
    char out[SM_LOG_LINE + 1], quoted[SM_LOG_QUOTED(8)];
    T_TRUE(line(&l, 0, "peer-up", "a=\x1b[31m\nfake", out) > 0);
    T_STR(out, "2026-11-22T13:00:00.123Z net peer-up a=\\x1b[31m\\x0afake\n");
    T_EQ(sm_log_line(&l, (struct sm_mono){0}, 0, "net", SM_LOG_DEBUG, sm_view_str("x"),
                     sm_view_str(""), out),
         0);
    sm_log_quote(sm_view_of("a\"b\\ \xff", 6), quoted);
    T_STR(quoted, "\"a\\x22b\\x5c \\xff\"");
}

static void a_flood_of_one_event_is_cut_and_counted(void)
{
    struct sm_log l = {.level = SM_LOG_INFO};
    char out[SM_LOG_LINE + 1];
    unsigned written = 0;
    for (int i = 0; i < 1000; i++) {
        written += line(&l, 5, "flood", "", out) > 0 ? 1 : 0;
    }
    T_EQ(written, SM_LOG_BURST);
    T_TRUE(line(&l, 5, "other", "", out) > 0);
    T_TRUE(line(&l, 5 + 1000 / SM_LOG_RATE_S, "flood", "", out) > 0);
    T_TRUE(strstr(out, " suppressed=980\n") != NULL);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(the_table_allows_exactly_the_policy),
        T_CASE(every_answer_has_its_question_and_no_message_exceeds_the_frame),
        T_CASE(messages_cut_anywhere_arrive_whole),
        T_CASE(what_the_table_does_not_have_ends_the_channel),
        T_CASE(a_length_above_the_row_is_refused_before_the_body_comes),
        T_CASE(once_means_once),
        T_CASE(answers_without_a_question_end_the_channel),
        T_CASE(a_missing_descriptor_or_a_stray_flag_ends_the_channel),
        T_CASE(descriptors_and_large_bodies_pass_between_two_channels),
        T_CASE(a_channel_may_be_freed_by_its_own_message),
        T_CASE(bodies_read_back_as_written),
        T_CASE(log_lines_carry_no_control_characters),
        T_CASE(a_flood_of_one_event_is_cut_and_counted),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
