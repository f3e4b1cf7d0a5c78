// SPDX-License-Identifier: Apache-2.0
#pragma once
/* config: seemesh.conf, parsed strictly, and its canonical form.
 *
 *     [node]       name, environment = dev|prod, mesh, owner   -- these four are required
 *                  home, area, roles = gateway, store, see
 *     [platform]   kind = software|snp|tdx|tpm, binding = session|epoch,
 *                  device = auto | what the kind reads
 *     [listen]     tcp = ADDR:PORT (up to 4), udp = same|none, control = PATH
 *     [peer NAME]  address = ADDR:PORT, carrier = auto|tcp|udp -- whom to dial
 *     [root NAME]  key = base32                                -- who may endorse nodes; >= 1
 *     [store]      dir, quota
 *     [see]        slots, memory, cpu, cache                   -- each SEE's limits
 *     [limits]     tunnels, clients, sessions, queue
 *     [log]        level = error|warn|notice|info|debug
 *
 * Units are required (30s, 64MiB); unknown keys are refused with line, column and the nearest
 * name.  What sm_config_print() writes parses to the same struct and prints the same again.
 * main sends that form to every program, so that all have read the same bytes.
 *
 * Memory:  struct sm_config is plain data, about 8 KiB, no pointers.
 * Errors:  CONFIG with a problem filled in; sm_config_load also those of sm_file_read.
 */
#include "attest/anchor.h"
#include "base/bytes.h"
#include "base/ini.h"
#include "crypto/suite.h"
#include "os/file.h"
#include "os/net.h"

#define SM_CONFIG_BYTES     (64u << 10) /* of a file: it must fit a CONFIG message */
#define SM_CONFIG_NAME      (SM_INI_NAME_MAX + 1)
#define SM_CONFIG_TCP_MAX   SM_NODE_ADDRS_MAX /* all of them go into the NODE record */
#define SM_CONFIG_DEVICE    128u
#define SM_CONFIG_PEERS_MAX 64u /* to dial; more neighbours come by themselves */

enum sm_log_level { SM_LOG_ERROR, SM_LOG_WARN, SM_LOG_NOTICE, SM_LOG_INFO, SM_LOG_DEBUG };

/* What the hardware signs: each session, or a key every few minutes (attest/epoch.h), which
 * peers take only when their manifest says so. */
enum sm_config_binding { SM_BIND_SESSION, SM_BIND_EPOCH };
enum sm_config_udp { SM_UDP_SAME, SM_UDP_NONE };

struct sm_config_peer {
    char name[SM_CONFIG_NAME];
    struct sm_inet address;
    uint32_t carrier; /* enum sm_carrier */
};
struct sm_config_root {
    char name[SM_CONFIG_NAME];
    uint8_t key[32];
};

struct sm_config {
    struct {
        char name[SM_CONFIG_NAME];
        uint32_t environment; /* enum sm_env */
        char mesh[SM_CONFIG_NAME];
        char owner[SM_NODE_OWNER_MAX + 1];
        char home[SM_PATH];
        uint32_t area;
        uint32_t roles; /* enum sm_node_flag */
    } node;
    struct {
        uint32_t kind; /* enum sm_platform: what makes the evidence; nothing stands in for it */
        uint32_t binding;              /* enum sm_config_binding */
        char device[SM_CONFIG_DEVICE]; /* "auto"; else a path, or a TPM's TCTI */
    } platform;
    struct {
        size_t n_tcp;
        struct sm_inet tcp[SM_CONFIG_TCP_MAX];
        uint32_t udp; /* enum sm_config_udp: at the addresses and ports of tcp, or not */
        char control[SM_UNIX_PATH];
    } listen;
    struct {
        uint32_t pq; /* enum sm_pq */
    } tunnel;
    struct {
        char dir[SM_PATH];
        uint64_t quota; /* bytes */
    } store;
    struct {
        uint32_t slots;  /* SEEs at the same time */
        uint64_t memory; /* bytes of one SEE's guest */
        uint64_t cpu;    /* ns of processor time of one unit */
        uint64_t cache;  /* bytes of compiled modules */
    } see;
    struct {
        uint32_t tunnels, clients, sessions;
        uint64_t queue; /* bytes waiting for one neighbour */
    } limits;
    struct {
        uint32_t level; /* enum sm_log_level */
    } log;
    size_t n_peers;
    struct sm_config_peer peers[SM_CONFIG_PEERS_MAX];
    size_t n_roots;
    struct sm_config_root roots[SM_ANCHOR_ROOTS_MAX];
};

struct sm_config_problem {
    unsigned line, column; /* 0 when it is about the whole file */
    char text[192];
};

/* Parse.  `home` is the node's folder when the file does not say, or NULL; it must be
 * absolute.  *why is filled when the result is CONFIG. */
enum sm_err sm_config_parse(struct sm_view text, const char *home, struct sm_config *out,
                            struct sm_config_problem *why) SM_MUST;
enum sm_err sm_config_load(const char *path, const char *home, struct sm_config *out,
                           struct sm_config_problem *why) SM_MUST;
/* Append the canonical form. */
enum sm_err sm_config_print(const struct sm_config *c, struct sm_buf *out) SM_MUST;
/* Write it to a new file, for its owner alone. */
enum sm_err sm_config_create(const struct sm_config *c, const char *path) SM_MUST;

/* Defaults everywhere, and the paths that follow from home: a start for sm_node_init(). */
enum sm_err sm_config_defaults(const char *home, struct sm_config *out) SM_MUST;

const char *sm_log_level_name(enum sm_log_level level);
/* The anchor that this configuration describes. */
enum sm_err sm_config_anchor(const struct sm_config *c, struct sm_anchor *out) SM_MUST;
