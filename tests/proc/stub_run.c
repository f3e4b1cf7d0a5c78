// SPDX-License-Identifier: Apache-2.0
/* An SEE supervisor that asks for a certificate, tells net how that went over its endpoint, and
 * then does what its launch settings say: "exit", or "stay" until it is stopped. */
#include "proc/child_common.h"
#include "wire/record.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct stub {
    struct sm_self *self;
    uint64_t instance;
    uint32_t ep;
    bool stays;
};

static void on_launch(struct stub *s, struct sm_view launch)
{
    uint8_t bytes[SM_IPC_SMALL];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_rd r = sm_rd_init(launch);
    s->instance = sm_rd_u64(&r);
    s->ep = sm_rd_u32(&r);
    s->stays = sm_view_eq(sm_rd_rest(&r), sm_view_str("stay"));
    /* It claims to be a client of another number, with a measurement of its own choice: main
     * knows better. */
    const struct sm_ipc_certify ask = {.ep = 77,
                                       .kind = SM_ENDPOINT_CLIENT,
                                       .sign_key = {1},
                                       .dh_key = {2},
                                       .measurement = {0xff}};
    sm_ipc_certify_write(&ask, &w);
    if (sm_ipc_send(sm_self_main(s->self), SM_IPC_CERTIFY, 41, sm_view_of(bytes, w.n), -1) !=
        SM_OK) {
        abort();
    }
}

static const char *look_at(const struct stub *s, const struct sm_ipc_msg *m)
{
    struct sm_endpoint_record r;
    enum sm_err e;
    struct sm_view record;
    if (m->id != 41 || sm_ipc_answer_read(m->body, &e, &record) != SM_OK || e != SM_OK ||
        sm_endpoint_record_read(record, &r) != SM_OK) {
        return "broken";
    }
    bool is_right = r.ep == s->ep && r.ep == (uint32_t)s->instance && r.ep >= 65536 &&
                    r.kind == SM_ENDPOINT_SEE && r.measurement[0] != 0xff;
    return is_right ? "right" : "wrong";
}

static void on_message(void *ctx, struct sm_ipc *ch, const struct sm_ipc_msg *m)
{
    struct stub *s = ctx;
    (void)ch;
    if (m->type == SM_IPC_LAUNCH) {
        on_launch(s, m->body);
    } else if (m->type == SM_IPC_CERTIFIED) {
        const char *how = look_at(s, m);
        ssize_t put = write(SM_CHILD_FD_ENDPOINT, how, strlen(how));
        if (put < 0 || !s->stays) {
            sm_child_fail(s->self);
        }
    }
}

static enum sm_err on_start(void *ctx, struct sm_self *self)
{
    struct stub *s = ctx;
    s->self = self;
    return SM_OK;
}

int main(int argc, char **argv)
{
    static const struct sm_child_ops ops = {.start = on_start, .message = on_message};
    static struct stub s;
    return sm_child_main(SM_PROG_RUN, &ops, &s, argc, argv);
}
