// SPDX-License-Identifier: Apache-2.0
#pragma once
/* tundev: a TUN interface of the kernel: IPv6 packets of up to 64 KiB, each behind the ten
 * bytes of struct virtio_net_hdr (little endian), checksums and segmentation left to whoever
 * needs them.  It lives as long as a process has its descriptor.
 *
 * Making one needs CAP_NET_ADMIN and /dev/net/tun; using one that was passed on needs nothing.
 *
 * Errors:  see each function.
 * Source:  Linux, Documentation/networking/tuntap.rst; rtnetlink(7).
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SM_TUNDEV_NAME 16 /* with the final NUL, as the kernel has it */

struct sm_tundev {
    char name[SM_TUNDEV_NAME]; /* "seemesh%d": the kernel counts; it fills in what it is */
    uint8_t ip[16];
    uint8_t prefix;
    uint32_t mtu;
};

/* Make it, give it its address and the route to the whole prefix, and switch it on.  REFUSED:
 * no right to.  NOTFOUND: this kernel has no TUN.  BUSY: the name is taken.  UNSUPPORTED: no
 * offloads or no IPv6.  *out_what then says at which step. */
enum sm_err sm_tundev_make(struct sm_tundev *t, int *out_fd, const char **out_what) SM_MUST;

bool sm_tundev_is(int fd); /* is it a TUN's descriptor? */
/* One packet; its length, 0 when there is none now, negative when the interface is gone. */
ptrdiff_t sm_tundev_read(int fd, uint8_t *p, size_t n);
/* False when the kernel did not take it. */
bool sm_tundev_write(int fd, const uint8_t *p, size_t n);
