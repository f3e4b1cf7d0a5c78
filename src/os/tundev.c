// SPDX-License-Identifier: Apache-2.0
#include "os/tundev.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Of newer kernels than some headers. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum { TUN_MAJOR = 10, TUN_MINOR = 200, VNET_BYTES = 10 };

static enum sm_err error_of(int err)
{
    switch (err) {
    case EPERM:
    case EACCES:
        return SM_E_REFUSED;
    case ENOENT:
    case ENXIO:
    case ENODEV:
        return SM_E_NOTFOUND;
    case EBUSY:
    case EEXIST:
        return SM_E_BUSY;
    case EINVAL:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
        return SM_E_UNSUPPORTED;
    default:
        return SM_E_IO;
    }
}

/* -- rtnetlink ----------------------------------------------------------------------------- */

struct request {
    struct nlmsghdr head;
    uint8_t body[256];
};

static void *room(struct request *r, size_t n)
{
    void *at = (uint8_t *)r + r->head.nlmsg_len;
    r->head.nlmsg_len += (uint32_t)NLMSG_ALIGN(n);
    return at;
}

static struct rtattr *attribute(struct request *r, uint16_t type, const void *p, size_t n)
{
    struct rtattr *a = room(r, RTA_LENGTH(n));
    a->rta_type = type;
    a->rta_len = (uint16_t)RTA_LENGTH(n);
    if (n > 0) {
        memcpy(RTA_DATA(a), p, n);
    }
    return a;
}

static void close_nest(struct request *r, struct rtattr *a)
{
    a->rta_len = (uint16_t)((uint8_t *)r + r->head.nlmsg_len - (uint8_t *)a);
}

/* Send it and wait for the kernel's word. */
static enum sm_err ask(int fd, struct request *r)
{
    struct {
        struct nlmsghdr head;
        struct nlmsgerr err;
        uint8_t rest[512];
    } answer;
    if (send(fd, r, r->head.nlmsg_len, 0) < 0) {
        return error_of(errno);
    }
    ssize_t n = recv(fd, &answer, sizeof answer, 0);
    if (n < (ssize_t)NLMSG_LENGTH(sizeof answer.err) || answer.head.nlmsg_type != NLMSG_ERROR) {
        return SM_E_IO;
    }
    return answer.err.error == 0 ? SM_OK : error_of(-answer.err.error);
}

static struct request *begin(struct request *r, uint16_t type, uint16_t flags)
{
    memset(r, 0, sizeof *r);
    r->head.nlmsg_len = NLMSG_LENGTH(0);
    r->head.nlmsg_type = type;
    r->head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    return r;
}

/* No addresses but ours: the kernel makes none of its own and asks for none. */
static enum sm_err set_link(int fd, int index, uint32_t mtu)
{
    struct request r;
    const uint8_t none = IN6_ADDR_GEN_MODE_NONE;
    struct ifinfomsg *m = room(begin(&r, RTM_NEWLINK, 0), sizeof *m);
    m->ifi_index = index;
    (void)attribute(&r, IFLA_MTU, &mtu, sizeof mtu);
    struct rtattr *spec = attribute(&r, IFLA_AF_SPEC, NULL, 0);
    struct rtattr *v6 = attribute(&r, AF_INET6, NULL, 0);
    (void)attribute(&r, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof none);
    close_nest(&r, v6);
    close_nest(&r, spec);
    return ask(fd, &r);
}

static enum sm_err set_up(int fd, int index)
{
    struct request r;
    struct ifinfomsg *m = room(begin(&r, RTM_NEWLINK, 0), sizeof *m);
    m->ifi_index = index;
    m->ifi_flags = m->ifi_change = IFF_UP;
    return ask(fd, &r);
}

/* The kernel makes the route to the prefix with it. */
static enum sm_err set_address(int fd, int index, const struct sm_tundev *t)
{
    struct request r;
    struct ifaddrmsg *m = room(begin(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL), sizeof *m);
    m->ifa_family = AF_INET6;
    m->ifa_prefixlen = t->prefix;
    m->ifa_flags = IFA_F_NODAD; /* nobody else can have it */
    m->ifa_index = (uint32_t)index;
    (void)attribute(&r, IFA_LOCAL, t->ip, sizeof t->ip);
    (void)attribute(&r, IFA_ADDRESS, t->ip, sizeof t->ip);
    return ask(fd, &r);
}

static enum sm_err configure(const struct sm_tundev *t, const char **what)
{
    int index = (int)if_nametoindex(t->name);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    *what = "opening rtnetlink";
    if (fd < 0 || index == 0) {
        enum sm_err e = error_of(errno);
        if (fd >= 0) {
            (void)close(fd);
        }
        return e;
    }
    *what = "setting its MTU";
    enum sm_err e = set_link(fd, index, t->mtu);
    if (e == SM_OK) {
        *what = "setting its IPv6 address; is IPv6 switched off here?";
        e = set_address(fd, index, t);
    }
    if (e == SM_OK) {
        *what = "switching it on";
        e = set_up(fd, index);
    }
    (void)close(fd);
    return e;
}

/* -- the device ---------------------------------------------------------------------------- */

/* Ask for as much as this kernel can: UDP segments came with 6.2. */
static int set_offloads(int fd)
{
    const unsigned basic = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    const unsigned sets[] = {basic | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6,
                             basic | TUN_F_TSO_ECN, basic};
    int r = -1;
    for (size_t i = 0; i < sizeof sets / sizeof sets[0] && r != 0; i++) {
        r = ioctl(fd, TUNSETOFFLOAD, (unsigned long)sets[i]);
    }
    return r;
}

static enum sm_err attach(int fd, struct sm_tundev *t, const char **what)
{
    struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    const int vnet = VNET_BYTES, little = 1;
    memcpy(ifr.ifr_name, t->name, sizeof t->name);
    *what = "making the interface";
    if (ioctl(fd, TUNSETIFF, &ifr) != 0) {
        /* Invalid: the name is that of an interface of another kind. */
        return errno == EINVAL ? SM_E_BUSY : error_of(errno);
    }
    *what = "switching its offloads on";
    if (ioctl(fd, TUNSETVNETHDRSZ, &vnet) != 0 || ioctl(fd, TUNSETVNETLE, &little) != 0 ||
        set_offloads(fd) != 0) {
        return error_of(errno);
    }
    memcpy(t->name, ifr.ifr_name, sizeof t->name);
    return SM_OK;
}

enum sm_err sm_tundev_make(struct sm_tundev *t, int *out_fd, const char **out_what)
{
    *out_what = "opening /dev/net/tun";
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return error_of(errno);
    }
    enum sm_err e = attach(fd, t, out_what);
    if (e == SM_OK) {
        e = configure(t, out_what);
    }
    if (e != SM_OK) {
        (void)close(fd);
        return e;
    }
    *out_fd = fd;
    return SM_OK;
}

bool sm_tundev_is(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && major(st.st_rdev) == TUN_MAJOR &&
           minor(st.st_rdev) == TUN_MINOR;
}

ptrdiff_t sm_tundev_read(int fd, uint8_t *p, size_t n)
{
    ssize_t r;
    do {
        r = read(fd, p, n);
    } while (r < 0 && errno == EINTR);
    return r < 0 && errno == EAGAIN ? 0 : r == 0 ? -1 : r;
}

bool sm_tundev_write(int fd, const uint8_t *p, size_t n)
{
    ssize_t r;
    do {
        r = write(fd, p, n);
    } while (r < 0 && errno == EINTR);
    return r == (ssize_t)n;
}
