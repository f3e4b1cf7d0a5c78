// SPDX-License-Identifier: Apache-2.0
#pragma once
/* door: what a stranger meets before there is a tunnel for it.
 *
 * A responder's first key agreement costs a hundred times what it costs to ask for one.  So the
 * first HELLO of a connection comes here: while few come it is let in at once; under load it is
 * answered with a COOKIE, and only who sends that back with the solution of a small puzzle, and
 * the same HELLO again, is let in.  Making and checking a cookie is one HMAC, checking a
 * solution is one hash; nothing is kept for it but the bytes of the message that is coming in.
 *
 * A cookie is for one connection, one HELLO and SM_DOOR_LIFE_S: the MAC covers them, so it can
 * neither be used twice nor by another.  Puzzles are as hard as it takes to keep those who are
 * let in below a rate, and never harder than SM_PUZZLE_BITS_MAX.
 *
 * COOKIE and ADMIT are not part of the Noise prologue and say nothing about keys, patterns or
 * ciphers: who invents or drops them can make a dialer work for a moment or keep it out, as
 * anybody on the path can, and change nothing of what a tunnel is.
 *
 * Memory:  all in the structs, and SM_KNOCK_MAX bytes for each stranger, of the caller's.
 * Errors:  none: a stranger is let in, asked, waited for, or shut out.
 * Source:  doc/wire.md, section 4.
 */
#include "base/bytes.h"
#include "base/time.h"
#include "crypto/rng.h"
#include "crypto/secret.h"
#include "wire/frame.h"

#define SM_DOOR_LIFE_S 10u /* of a cookie: as long as a handshake may take */

struct sm_door_cfg {
    uint8_t seed[32];
    uint32_t rate_per_s;  /* let in without a question; 0: 200, a twentieth of a core */
    unsigned pending_max; /* handshakes under way without a question; 0: 32 */
};

struct sm_door {
    struct sm_rng rng;
    struct sm_secret32 secret[2]; /* of now and before */
    uint32_t stamp_base;
    struct sm_mono started, rotate_at, window_end;
    uint32_t rate_per_s, pending_max;
    uint32_t let_in, knocks; /* in this window */
    uint8_t bits;            /* of puzzles now; 0: nobody is asked */
    uint64_t n_let_in, n_asked, n_shut;
    /* The latest cookies that let somebody in.  To push one out takes the work for another, so
     * that of datagrams one cookie cannot be shown again and again. */
    uint64_t used[256];
};

/* The bytes of one stranger so far, in SM_KNOCK_MAX bytes of the caller's. */
#define SM_KNOCK_MAX (2 * SM_HAND_HEAD + SM_ADMIT_BYTES + SM_HAND_HELLO_MAX)
struct sm_knock {
    uint8_t *in;
    size_t n, hello_at;
    bool is_asked;
};

enum sm_door_verdict {
    SM_DOOR_WAIT, /* for more bytes */
    SM_DOOR_ASK,  /* out has a COOKIE; then for more bytes */
    SM_DOOR_OPEN, /* its HELLO is in[hello_at, n) */
    SM_DOOR_SHUT, /* out may have a REFUSE */
};

void sm_door_init(struct sm_door *d, const struct sm_door_cfg *cfg, struct sm_mono now);

/* Bytes of the stranger.  source names its connection: the same later, and no other's.
 * pending: handshakes under way now. */
enum sm_door_verdict sm_door_hear(struct sm_door *d, struct sm_mono now, unsigned pending,
                                  struct sm_view source, struct sm_view bytes,
                                  struct sm_knock *k, struct sm_wr *out);

/* Strangers are being asked, or were a moment ago. */
bool sm_door_is_busy(const struct sm_door *d);

/* -- the dialer's side --------------------------------------------------------------------- */

bool sm_puzzle_is_solved(const struct sm_cookie *c, uint64_t nonce);
