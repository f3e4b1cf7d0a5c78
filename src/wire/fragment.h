// SPDX-License-Identifier: Apache-2.0
#pragma once
/* fragment: what a packet of kind "session" carries.
 *
 * A session packet is a 16-byte head and a body.  Bodies of INIT and REPLY are Noise
 * handshake messages; the body of DATA is one sealed frame, its number is its nonce and the
 * head is its associated data; RESET has no body and proves nothing.  DATAGRAM is sealed as
 * DATA is, but under a number of its own row, whose highest bit is set, so that the two never
 * share a nonce; nothing acknowledges it.
 *
 *     head   u8 type, u8 flags, u8 slot, u8 cipher, u32 session, u64 number
 *
 * `session` is the receiver's own number for the session (in INIT: the sender's).  A frame is
 * padded by nothing; its first byte is its kind:
 *
 *     MESSAGE  u8 kind, u8 service, u16 0, u32 total, u64 id, u32 offset, u32 word,
 *              u32 cookie, u32 0, then the bytes       kind 1 request, 2 response
 *     ACK      u8 3, u8 n, u16 0, u32 delay_us, u64 largest, n * { u32 gap, u32 len }
 *     PING     u8 4
 *     CLOSE    u8 5
 *
 * A datagram is u8 service and five zeros, then its bytes.
 *
 * A message is cut at multiples of SM_FRAG_DATA, so that one bit tells what has come; any
 * other cut is malformed.  `word` is the deadline in ms in a request and the error in a
 * response; `cookie` is the asker's, given back in the response.
 *
 * Memory:  views borrow the packet.
 * Errors:  TRUNCATED, MALFORMED.
 * Source:  doc/wire.md, section 9.
 */
#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SM_FRAG_HEAD = 16,
    SM_FRAG_TAG = 16,
    SM_FRAG_DATA = 16384,  /* bytes of a message in one fragment */
    SM_FRAG_MSG_HEAD = 32, /* keeps the bytes behind it 16-byte aligned */
    SM_FRAG_PLAIN_MAX = SM_FRAG_MSG_HEAD + SM_FRAG_DATA,
    SM_FRAG_PACKET_MAX = SM_FRAG_HEAD + SM_FRAG_PLAIN_MAX + SM_FRAG_TAG,
    SM_FRAG_MESSAGE_MAX = (1 << 20) + (64 << 10), /* a shard or a MiB of data, and its words */
    SM_FRAG_COUNT_MAX = SM_FRAG_MESSAGE_MAX / SM_FRAG_DATA,
    SM_FRAG_RANGES = 32, /* in one ACK; older ones were said before */
    SM_FRAG_DATAGRAM_HEAD = 6,
    /* The longest IPv6 packet, 40 + 65,535 bytes, and the 10 the kernel puts before it; with
     * the head a multiple of 16. */
    SM_FRAG_DATAGRAM_MAX = 65600 - SM_FRAG_DATAGRAM_HEAD,
    SM_FRAG_DATAGRAM_PACKET_MAX =
        SM_FRAG_HEAD + SM_FRAG_DATAGRAM_HEAD + SM_FRAG_DATAGRAM_MAX + SM_FRAG_TAG,
};
#define SM_FRAG_DATAGRAM_BIT ((uint64_t)1 << 63) /* of the number */

enum sm_frag_type {
    SM_FRAG_INIT = 1,
    SM_FRAG_REPLY = 2,
    SM_FRAG_DATA_SEALED = 3,
    SM_FRAG_RESET = 4,
    SM_FRAG_DATAGRAM = 5,
};

#define SM_FRAG_ACK_NOW 1u /* flag: the sender waits for the acknowledgement */

struct sm_frag_head {
    enum sm_frag_type type;
    uint8_t flags;
    uint8_t slot;   /* path slot the sender chose */
    uint8_t cipher; /* in INIT: enum sm_cipher the initiator chose; else 0 */
    uint32_t session;
    uint64_t number;
};

void sm_frag_head_write(const struct sm_frag_head *head, uint8_t out[static SM_FRAG_HEAD]);
/* Read the head; *body is what follows it. */
enum sm_err sm_frag_head_read(struct sm_view packet, struct sm_frag_head *out,
                              struct sm_view *body) SM_MUST;

enum sm_frame_kind {
    SM_FRAME_REQUEST = 1,
    SM_FRAME_RESPONSE = 2,
    SM_FRAME_ACK = 3,
    SM_FRAME_PING = 4,
    SM_FRAME_CLOSE = 5,
};

struct sm_frame_message {
    enum sm_frame_kind kind; /* REQUEST or RESPONSE */
    uint8_t service;
    uint32_t total, offset, word, cookie;
    uint64_t id;
    struct sm_view data;
};

struct sm_frame_range {
    uint64_t low, high; /* both received, and all between */
};

struct sm_frame_ack {
    uint32_t delay_us; /* how long the receiver held the largest back */
    uint32_t n;
    struct sm_frame_range range[SM_FRAG_RANGES]; /* highest first */
};

struct sm_frame {
    enum sm_frame_kind kind;
    union {
        struct sm_frame_message message;
        struct sm_frame_ack ack;
    };
};

/* Read one opened frame. */
enum sm_err sm_frame_read(struct sm_view plain, struct sm_frame *out) SM_MUST;

/* How many fragments a message of `total` bytes has: at least one. */
static inline uint32_t sm_frag_count(uint32_t total)
{
    return total == 0 ? 1 : (total + SM_FRAG_DATA - 1) / SM_FRAG_DATA;
}

/* Write the 32 bytes before a message fragment's data; `data` itself is not looked at. */
void sm_frame_message_head(const struct sm_frame_message *message,
                           uint8_t out[static SM_FRAG_MSG_HEAD]);
/* Write a whole ACK frame. */
enum sm_err sm_frame_ack_write(const struct sm_frame_ack *ack, struct sm_wr *w) SM_MUST;
