// SPDX-License-Identifier: Apache-2.0
#pragma once
/* bulletin: signed documents on their way from neighbour to neighbour: manifest, revocation
 * lists, collateral.
 *
 * Whoever has a newer version tells its neighbours so, in a digest when a tunnel comes up and
 * again when something changes; they ask for what they lack, piece by piece, and tell theirs.
 * What a document means and whether it is good is not known here: `offer` decides, and only
 * what it took is passed on.
 *
 * A neighbour is proven, and may still lie.  So each has places and budgets of its own, and
 * takes none of anybody else's: what it claims to have, one document being fetched from it,
 * how many messages and bytes it may ask for.  A document that nobody delivers within HEDGE is
 * asked for from the next neighbour who claims it.  Who announces what it does not have, sends
 * what does not match its hash or is no good, or asks without end is told to the owner
 * (OBSERVE), and asked again only after a pause that doubles.  A document that was refused is
 * remembered and not fetched again.
 *
 *     sm_bulletin_link_up(b, now, hop);
 *     sm_bulletin_message(b, now, wall, hop, bytes);      a CONTROL message of it
 *     sm_bulletin_changed(b, now);                        a document came another way
 *     while (sm_bulletin_next(b, &out)) { ... }           after each of these, and a tick
 *
 * Memory:  one object, and for each neighbour that claims more than we have 5 KiB, and one
 *          document while it is fetched.
 * Errors:  what a neighbour does wrong is counted and OBSERVEd.
 * Threads: one caller.
 * Source:  doc/wire.md, section 4; doc/attestation.md.
 */
#include "base/ids.h"
#include "base/time.h"
#include "core/trust.h"
#include "wire/bulletin.h"

enum { SM_BULLETIN_LINKS = 64 }; /* as many neighbours as a node announces */

struct sm_bulletin_ops {
    /* The i-th document there is, in any order; false behind the last. */
    bool (*list)(void *ctx, unsigned i, struct sm_bulletin_doc *out);
    /* Its bytes, until the next call of anything; empty when it is gone. */
    struct sm_view (*get)(void *ctx, const struct sm_bulletin_doc *doc);
    /* Check and take it.  EXISTS, STALE: we have it, or better.  CRYPTO, AUTH and errors of
     * grammar blame the neighbour; the others are between us and the document. */
    enum sm_err (*offer)(void *ctx, struct sm_mono now, struct sm_wall wall, uint8_t kind,
                         struct sm_view bytes);
};

struct sm_bulletin;
struct sm_bulletin *sm_bulletin_new(const struct sm_bulletin_ops *ops, void *ctx); /* or NULL */
void sm_bulletin_free(struct sm_bulletin *b); /* NULL is fine */

/* A tunnel to this neighbour is up; also again, when it was replaced.  LIMIT beyond
 * SM_BULLETIN_LINKS: it hears nothing. */
enum sm_err sm_bulletin_link_up(struct sm_bulletin *b, struct sm_mono now,
                                struct sm_hop hop) SM_MUST;
void sm_bulletin_link_down(struct sm_bulletin *b, struct sm_mono now, struct sm_hop hop);

/* Nothing when the neighbour is not known. */
void sm_bulletin_message(struct sm_bulletin *b, struct sm_mono now, struct sm_wall wall,
                         struct sm_hop from, struct sm_view message);

/* What `list` says is no longer what it said: tell everybody. */
void sm_bulletin_changed(struct sm_bulletin *b, struct sm_mono now);

void sm_bulletin_tick(struct sm_bulletin *b, struct sm_mono now);
struct sm_mono sm_bulletin_deadline(const struct sm_bulletin *b);

enum sm_bulletin_out_kind { SM_BULLETIN_SEND, SM_BULLETIN_OBSERVE };
struct sm_bulletin_out {
    enum sm_bulletin_out_kind kind;
    struct sm_hop who;
    struct sm_view bytes;    /* SEND: a CONTROL message; until the next call */
    enum sm_trust_kind seen; /* OBSERVE */
};
bool sm_bulletin_next(struct sm_bulletin *b, struct sm_bulletin_out *out);

struct sm_bulletin_stats {
    uint64_t taken, refused, same; /* documents fetched */
    uint64_t late, garbled, lied; /* fetches: no piece in time; another hash; another version */
    uint64_t dropped;             /* messages beyond a neighbour's budget, or malformed */
    uint64_t conflicts;           /* our version, other bytes */
    uint64_t served_bytes;
};
struct sm_bulletin_stats sm_bulletin_stats(const struct sm_bulletin *b);
