// SPDX-License-Identifier: Apache-2.0
#pragma once
/* child_common: what every program under main does alike, so that a role is short.
 *
 * main starts the program with its channel on descriptor 3 and sends CONFIG.  Then:
 *
 *     start()    opens what it needs, calls sm_child_confine(), returns; main gets READY
 *     peer()     a channel to another program is there, or gone (NULL) until main restarts it
 *     message()  from main or a peer: everything that is not handled here
 *     turn()     at the end of each turn of the loop: drain the core
 *     stop()     main asked for an orderly end; the loop ends after this turn
 *
 *     int main(int argc, char **argv)
 *     {
 *         static struct keys k;
 *         return sm_child_main(SM_PROG_KEYS, &keys_ops, &k, argc, argv);
 *     }
 *
 * A peer that breaks the table is reported to main and its channel closed.  When main itself
 * goes, so does the program.
 *
 * Memory:  one struct sm_self per process, owned by sm_child_main().
 */
#include "os/confine.h"
#include "proc/config.h"
#include "proc/ipc.h"

#define SM_CHILD_FD_MAIN     3 /* the channel to main */
#define SM_CHILD_FD_ENDPOINT 4 /* of seemesh-run: its endpoint's way to net */

struct sm_self;

struct sm_child_ops {
    enum sm_err (*start)(void *ctx, struct sm_self *self) SM_MUST;
    void (*peer)(void *ctx, enum sm_prog peer, struct sm_ipc *ch); /* may be NULL */
    void (*message)(void *ctx, struct sm_ipc *ch, const struct sm_ipc_msg *m);
    void (*turn)(void *ctx); /* may be NULL */
    void (*stop)(void *ctx); /* may be NULL */
};

/* Run until main says stop.  Returns the exit code; everything is freed then. */
int sm_child_main(enum sm_prog prog, const struct sm_child_ops *ops, void *ctx, int argc,
                  char **argv);

struct sm_loop *sm_self_loop(struct sm_self *self);
const struct sm_config *sm_self_config(const struct sm_self *self);
struct sm_ipc *sm_self_main(struct sm_self *self);                    /* the channel to main */
struct sm_ipc *sm_self_peer(struct sm_self *self, enum sm_prog peer); /* NULL when not there */

/* Give up rights, in the order of os/confine.h.  Call it in start(), after all is open. */
enum sm_err sm_child_confine(struct sm_self *self, const struct sm_path_rule *rules, size_t n,
                             unsigned path_flags, unsigned call_groups) SM_MUST;

/* Log through main: an event name ("peer-up") and "key=value ..." text.  Text from strangers
 * goes through sm_log_quote() first.  Below the configured level nothing is sent. */
void sm_child_log(struct sm_self *self, enum sm_log_level level, const char *event,
                  const char *fmt, ...) __attribute__((format(printf, 4, 5)));
bool sm_child_may_log(const struct sm_self *self, enum sm_log_level level);

/* End the program: it cannot go on.  main restarts it. */
void sm_child_fail(struct sm_self *self);
