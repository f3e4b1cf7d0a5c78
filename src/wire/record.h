// SPDX-License-Identifier: Apache-2.0
#pragma once
/* record: the grammar of signed records, and of NODE, ENDPOINT and passports.
 *
 * Every record of the mesh is one run of bytes: a head of 32, a body, and a signature of 64
 * over the prefix "seemesh/rec/1" and everything before the signature:
 *
 *     head     magic u16 = 0x4d53, type u8, version u8 = 1, network u32, seq u64,
 *              not_before u64, expires u64 (seconds of Unix time)
 *     NODE     head, node_id 32, index u8 < 4, platform u8, sign_key 32, dh_key 32,
 *              measurement 48, flags u32, area u32, owner (u8 n <= 32, printable ASCII),
 *              addresses (u8 n <= 4; each family u8 4|6, ip 16, port u16),
 *              endorsement (u16 n <= 512), signature 64
 *     ENDPOINT head, node_id 32, ep u32, kind u8, sign_key 32, dh_key 32, measurement 48,
 *              signature 64 (by the node's sign_key)
 *     passport u16 n, NODE record, u16 n (0: the node itself), ENDPOINT record
 *
 * There is one encoding: what reads here writes to the same bytes.  Nothing here decides
 * whether to believe a record; attest/anchor.h does that.
 *
 * To make a record: fill the struct, x_record_write() the unsigned bytes, have them signed,
 * append the 64 bytes.
 *
 * Memory:  never allocates; parsed forms hold no pointers.
 * Errors:  readers: TRUNCATED, MALFORMED, VERSION.
 * Source:  doc/wire.md, section 2.
 */
#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"

#define SM_RECORD_MAGIC       0x4d53u
#define SM_RECORD_PREFIX      "seemesh/rec/1"
#define SM_RECORD_HEAD        32u
#define SM_RECORD_SIG         64u
#define SM_RECORD_MAX         4096u /* any record of any type; the largest is a LINKSTATE */
#define SM_RECORD_TO_SIGN_MAX (SM_RECORD_MAX + sizeof SM_RECORD_PREFIX - 1)
#define SM_RECORD_SKEW_S      60u /* how far two honest clocks may differ */

enum sm_record_type {
    SM_RECORD_NODE = 1,
    SM_RECORD_ENDPOINT = 2,
    SM_RECORD_LINKSTATE = 3,
    SM_RECORD_PROVIDER = 4,
    SM_RECORD_TASK = 5,
    SM_RECORD_RECEIPT = 6,
};

struct sm_record_head {
    uint8_t type; /* enum sm_record_type, or one this version does not know */
    uint32_t network;
    uint64_t seq;
    struct sm_wall not_before, expires;
};

/* Read the head at the front of r and leave the body.  A broken head makes r fail. */
void sm_record_head_read(struct sm_rd *r, struct sm_record_head *out);
void sm_record_head_write(const struct sm_record_head *h, struct sm_wr *w);

/* The head of a whole record, without reading further: to find its reader. */
enum sm_err sm_record_peek(struct sm_view record, struct sm_record_head *out) SM_MUST;

/* Write prefix and the unsigned bytes of a record: what the signature is over. */
void sm_record_to_sign(struct sm_view unsigned_bytes, struct sm_wr *w);

/* Cut a whole record into unsigned bytes and signature.  TRUNCATED when too short for both,
 * LIMIT above SM_RECORD_MAX. */
enum sm_err sm_record_split(struct sm_view record, struct sm_view *out_unsigned,
                            struct sm_view *out_sig) SM_MUST;

/* EXPIRED unless not_before - skew <= now < expires + skew. */
enum sm_err sm_record_times(const struct sm_record_head *h, struct sm_wall now) SM_MUST;

/* -- NODE -------------------------------------------------------------------------------- */

enum sm_platform {
    SM_PLATFORM_SOFTWARE = 0, /* the development root; never hardware */
    SM_PLATFORM_SNP = 1,
    SM_PLATFORM_TDX = 2,
    SM_PLATFORM_TPM = 3,
    SM_PLATFORM_SGX = 4,
    SM_PLATFORM_NITRO = 5,
    SM_PLATFORM_SNP_VTPM = 6, /* a TPM whose key an SNP report names: Azure */
    SM_PLATFORM_TDX_VTPM = 7,
    SM_PLATFORMS
};

enum sm_node_flag {
    SM_NODE_GATEWAY = 1,
    SM_NODE_STORE = 2,
    SM_NODE_SEE = 4,
    SM_NODE_UDP = 8, /* it speaks UDP too, at the same addresses and ports */
};
#define SM_NODE_FLAGS 15u

#define SM_NODE_OWNER_MAX       32u
#define SM_NODE_ADDRS_MAX       4u
#define SM_NODE_ENDORSEMENT_MAX 512u
#define SM_NODE_INDEXES         4u /* ids one platform may have: enough to split, too few to flood */
#define SM_NODE_RECORD_MAX                                                                     \
    (SM_RECORD_HEAD + 154u + 1u + SM_NODE_OWNER_MAX + 1u + SM_NODE_ADDRS_MAX * 19u + 2u +      \
     SM_NODE_ENDORSEMENT_MAX + SM_RECORD_SIG)

/* Where a node listens.  IPv4 uses the first four bytes; the rest are zero. */
struct sm_net_addr {
    uint8_t family; /* 4 or 6 */
    uint8_t ip[16];
    uint16_t port;
};

struct sm_node_record {
    struct sm_record_head head;
    struct sm_node_id node_id;
    uint8_t index;
    uint8_t platform; /* enum sm_platform */
    uint8_t sign_key[32];
    uint8_t dh_key[32];
    uint8_t measurement[48];
    uint32_t flags; /* enum sm_node_flag */
    uint32_t area;
    char owner[SM_NODE_OWNER_MAX + 1];
    uint8_t n_addrs;
    struct sm_net_addr addrs[SM_NODE_ADDRS_MAX];
    uint16_t endorsement_n;
    uint8_t endorsement[SM_NODE_ENDORSEMENT_MAX];
    /* Not on the wire: sm_node_record_verify takes them from the endorsement.  Live evidence
     * must show shown_id; it is zero for software. */
    uint8_t platform_id[32], shown_id[32];
};

/* Parse a whole record; the signature is present but not checked, platform_id is zero. */
enum sm_err sm_node_record_read(struct sm_view record, struct sm_node_record *out) SM_MUST;

/* Everything before the signature.  Fills head.type itself. */
void sm_node_record_write(const struct sm_node_record *rec, struct sm_wr *w);

/* -- ENDPOINT ---------------------------------------------------------------------------- */

enum sm_endpoint_kind {
    SM_ENDPOINT_NODE = 0, /* never on the wire: a passport without ENDPOINT */
    SM_ENDPOINT_CLIENT = 1,
    SM_ENDPOINT_SEE = 2,
};

#define SM_ENDPOINT_RECORD_BYTES (SM_RECORD_HEAD + 149u + SM_RECORD_SIG)

struct sm_endpoint_record {
    struct sm_record_head head;
    struct sm_node_id node_id;
    uint32_t ep; /* never SM_EP_NODE */
    uint8_t kind;
    uint8_t sign_key[32];
    uint8_t dh_key[32];
    uint8_t measurement[48];
};

enum sm_err sm_endpoint_record_read(struct sm_view record,
                                    struct sm_endpoint_record *out) SM_MUST;
void sm_endpoint_record_write(const struct sm_endpoint_record *rec, struct sm_wr *w);

/* -- passport ---------------------------------------------------------------------------- */

#define SM_PASSPORT_MAX (4u + SM_NODE_RECORD_MAX + SM_ENDPOINT_RECORD_BYTES)

/* Two signed records; endpoint is empty for the node itself.  The writer becomes full when one
 * of them is longer than its kind may be. */
void sm_passport_write(struct sm_view node, struct sm_view endpoint, struct sm_wr *w);

/* Cut a passport; the views point into it. */
enum sm_err sm_passport_read(struct sm_view passport, struct sm_view *out_node,
                             struct sm_view *out_endpoint) SM_MUST;
