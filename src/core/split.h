// SPDX-License-Identifier: Apache-2.0
#pragma once
/* split: which bytes of an object belong to one unit of a job.
 *
 * A job cuts its input into byte ranges [from, to) without looking at it.  A record (a line,
 * or a CSV record, which may hold newlines inside quotes) belongs to the unit in whose range
 * its first byte lies, so a unit reads from one byte before `from` and on past `to` until the
 * record there ends.  Every record is in exactly one unit, whatever the ranges.
 *
 * CSV needs to know whether byte from - 1 lies inside quotes; sm_split_quotes() counts the
 * quotes of a piece, and the parity of the sum over all bytes before it is the answer
 * (RFC 4180: a quote inside a quoted field is doubled, so parity holds).
 *
 * Memory:  none; the machine looks at the bytes as they pass.
 */
#include "base/bytes.h"
#include "wire/see_rpc.h"

struct sm_split {
    enum sm_split_kind kind;
    uint64_t from, to, pos;
    bool in_quotes, is_inside, is_ended;
};

/* Where reading has to begin: from, or one byte before it. */
uint64_t sm_split_read_from(enum sm_split_kind kind, uint64_t from);

/* Begin a unit.  in_quotes: whether the byte at sm_split_read_from() lies inside quotes. */
void sm_split_init(struct sm_split *s, enum sm_split_kind kind, uint64_t from, uint64_t to,
                   bool in_quotes);

/* Show the next bytes of the object; returns the part of them that belongs to the unit.
 * After s->is_ended nothing more is needed. */
struct sm_view sm_split_feed(struct sm_split *s, struct sm_view in);

/* The number of double quotes in a piece. */
uint64_t sm_split_quotes(struct sm_view in);
