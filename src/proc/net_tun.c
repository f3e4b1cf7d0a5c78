// SPDX-License-Identifier: Apache-2.0
/* The TUN interface: packets between the kernel and the core.  `seemesh tun up` makes it, with
 * rights that this program does not have, and passes its descriptor over the control socket. */
#include "os/tundev.h"
#include "proc/net_int.h"

#include <string.h>
#include <unistd.h>

enum { PACKETS_PER_TURN = 64, BYTES_PER_TURN = 192 << 10 };

/* What the kernel has to say, as much as leaves the turn to others; a queue in the core that is
 * full drops by its own rule, which knows flows, as the kernel's does not. */
static void on_readable(void *ctx, int events)
{
    struct net *n = ctx;
    size_t bytes = 0;
    (void)events;
    for (unsigned i = 0; i < PACKETS_PER_TURN && bytes < BYTES_PER_TURN; i++) {
        uint8_t *room = n->tun.poll != NULL ? sm_node_tun_room(n->node) : NULL;
        if (room == NULL) {
            return;
        }
        ptrdiff_t got = sm_tundev_read(n->tun.fd, room, SM_TUN_PACKET_MAX);
        if (got < 0) {
            sm_child_log(n->self, SM_LOG_WARN, "tun-lost", "name=%s", n->tun.name);
            net_tun_down(n);
            return;
        }
        if (got == 0) {
            return;
        }
        bytes += (size_t)got;
        net_step(n, &(struct sm_event){.kind = SM_EV_TUN_PACKET, .input_n = (size_t)got});
    }
}

enum sm_err net_tun_up(struct net *n, const struct sm_ctl_tun *t, int fd)
{
    if (n->tun.poll != NULL) {
        return SM_E_EXISTS;
    }
    if (!sm_tundev_is(fd)) {
        return SM_E_INVALID;
    }
    struct sm_poll *poll;
    SM_TRY(sm_poll_new(n->loop, fd, on_readable, n, &poll));
    enum sm_err e = net_step(n, &(struct sm_event){.kind = SM_EV_TUN_ON});
    if (e != SM_OK) {
        sm_poll_free(poll);
        return e;
    }
    n->tun.poll = poll;
    n->tun.fd = fd;
    n->tun.mtu = t->mtu;
    memcpy(n->tun.name, t->name, sizeof n->tun.name);
    sm_poll_set(poll, SM_POLL_READ);
    sm_child_log(n->self, SM_LOG_NOTICE, "tun-up", "name=%s mtu=%u", t->name, (unsigned)t->mtu);
    return SM_OK;
}

enum sm_err net_tun_down(struct net *n)
{
    if (n->tun.poll == NULL) {
        return SM_E_NOTFOUND;
    }
    sm_poll_free(n->tun.poll);
    (void)close(n->tun.fd); /* with it the interface */
    n->tun.poll = NULL;
    sm_child_log(n->self, SM_LOG_NOTICE, "tun-down", "name=%s", n->tun.name);
    return net_step(n, &(struct sm_event){.kind = SM_EV_TUN_OFF});
}

void net_tun_packet(struct net *n, const struct sm_action *a)
{
    /* What the kernel does not take is lost, as on any wire. */
    if (n->tun.poll != NULL && !sm_tundev_write(n->tun.fd, a->bytes.p, a->bytes.n)) {
        n->tun.not_taken++;
    }
}
