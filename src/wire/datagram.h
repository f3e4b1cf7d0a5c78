// SPDX-License-Identifier: Apache-2.0
#pragma once
/* datagram: what a tunnel over UDP puts into one datagram.
 *
 * Two kinds, told apart by the first byte.  CLEAR carries handshake messages (wire/frame.h),
 * all that one end has to say before it waits; a dialer pads it to SM_DGRAM_BASE bytes, so that
 * an answer is never longer than what asked for it:
 *
 *     u8 0x51, u8 flight, u16 n, u32 to, u32 from, u32 0, n bytes of messages, zeros
 *
 * SEALED is a head of 16 bytes, which is the associated data, one frame, zeros up to a multiple
 * of 16, and a tag.  The counter is the nonce.
 *
 *     u8 0x52, u8 phase, u8 padding < 16, u8 0, u32 to, u64 counter
 *
 * `to` and `from` are connection ids: what each end wants to find in datagrams to itself.  The
 * frames in a sealed datagram:
 *
 *     PIECE      u8 1, u8 index, u8 n <= 64, u8 0, u32 number, u32 total, u32 0, then the
 *                piece-th part of a packet: each is sm_dgram_piece() bytes, zeros at the end
 *     STREAM     u8 2, u8 0 x 7, u64 offset, bytes
 *     ACK        as in wire/fragment.h: u8 3, ...
 *     PROBE      u8 4, u8 0 x 15, zeros
 *     CHALLENGE  u8 5, u8 0 x 7, u64 token
 *     RESPONSE   u8 6, u8 0 x 7, u64 token
 *
 * Memory:  views borrow the datagram.
 * Errors:  TRUNCATED, MALFORMED.
 * Source:  doc/wire.md, section 4.
 */
#include "base/bytes.h"
#include "wire/fragment.h"

#define SM_DGRAM_HEAD       16u
#define SM_DGRAM_TAG        16u
#define SM_DGRAM_FRAME_HEAD 16u
#define SM_DGRAM_OVERHEAD   (SM_DGRAM_HEAD + SM_DGRAM_FRAME_HEAD + SM_DGRAM_TAG)
#define SM_DGRAM_BASE       1200u  /* every path that carries IPv6 takes this much */
#define SM_DGRAM_MAX        8944u  /* jumbo frames, less the heads of IPv6 and UDP */
#define SM_DGRAM_PACKET_MAX 65792u /* as SM_TFRAME_PAYLOAD_MAX */
#define SM_DGRAM_PIECES_MAX 64u
#define SM_DGRAM_CLEAR_MAX                                                                     \
    1392u /* handshake messages of one flight: ADMIT, HELLO with a KEM's key */

enum sm_dgram_kind {
    SM_DGRAM_CLEAR = 0x51,
    SM_DGRAM_SEALED = 0x52,
};

struct sm_dgram_clear {
    uint8_t flight; /* counts up from the dialer's first; an answer is one more */
    uint32_t to;    /* 0: not known yet */
    uint32_t from;
    struct sm_view messages;
};
enum sm_err sm_dgram_clear_read(struct sm_view datagram, struct sm_dgram_clear *out) SM_MUST;
/* Padded with zeros to `least` bytes. */
void sm_dgram_clear_write(const struct sm_dgram_clear *c, size_t least, struct sm_wr *w);

/* Whom a datagram of either kind is for: false when it is neither. */
bool sm_dgram_to(struct sm_view datagram, enum sm_dgram_kind *kind, uint32_t *to);

struct sm_dgram_head {
    uint8_t phase;
    uint8_t padding;
    uint32_t to;
    uint64_t counter;
};
enum sm_err sm_dgram_head_read(struct sm_view datagram, struct sm_dgram_head *out) SM_MUST;
void sm_dgram_head_write(const struct sm_dgram_head *h, uint8_t out[static SM_DGRAM_HEAD]);

enum sm_dgram_type {
    SM_DGRAM_PIECE = 1,
    SM_DGRAM_STREAM = 2,
    SM_DGRAM_ACK = 3,
    SM_DGRAM_PROBE = 4,
    SM_DGRAM_CHALLENGE = 5,
    SM_DGRAM_RESPONSE = 6,
};

struct sm_dgram_frame {
    enum sm_dgram_type type;
    uint8_t index, n; /* PIECE */
    uint32_t number, total;
    uint64_t word;        /* STREAM: offset; CHALLENGE, RESPONSE: token */
    struct sm_view bytes; /* PIECE: without the zeros; STREAM */
    struct sm_frame_ack ack;
};
enum sm_err sm_dgram_frame_read(struct sm_view plain, struct sm_dgram_frame *out) SM_MUST;

/* The head of a PIECE, or of any other but ACK. */
void sm_dgram_frame_head(const struct sm_dgram_frame *f,
                         uint8_t out[static SM_DGRAM_FRAME_HEAD]);

/* How a packet of total bytes is cut into n pieces: all of one length, so that they go out in
 * one call.  0: that cut leaves a piece empty. */
uint32_t sm_dgram_piece(uint32_t total, uint32_t n);
