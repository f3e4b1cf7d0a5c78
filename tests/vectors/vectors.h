// SPDX-License-Identifier: Apache-2.0
#pragma once
/* vectors: run published vectors through our code.
 *
 * A family is a folder of them.  Its runner gets each JSON file in turn and tells of every
 * case: passed, failed or skipped with the reason.  Files are recognised by what they say,
 * never by name, so another folder in the same formats works without a change.
 */
#include "base/bytes.h"
#include "crypto/suite.h"

#include <jansson.h>

struct tally {
    const char *family;
    const char *file; /* being read */
    unsigned passed, failed, skipped;
};

void v_pass(struct tally *t);
void v_fail(struct tally *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Count `cases` as skipped and say which and why. */
void v_skip(struct tally *t, size_t cases, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Bytes of a case, from hexadecimal.  They live until v_forget(). */
struct sm_view v_hex(const json_t *object, const char *key);
struct sm_view v_unhex(const char *text);
struct sm_view v_unbase64url(const char *text);
uint8_t *v_room(size_t n); /* bytes to write into, which live as long */
void v_forget(void);
/* A string of the object, or "" when there is none. */
const char *v_text(const json_t *object, const char *key);
/* 32 bytes, or zeros when the view has another length. */
bool v_32(struct sm_view v, uint8_t out[static 32]);

/* The suite in hand: everything runs with each AES that there is here. */
const struct sm_suite *v_suite(void);

void v_noise(struct tally *t, const json_t *file);
void v_wycheproof(struct tally *t, const json_t *file);
void v_cose(struct tally *t, const json_t *file);
void v_attest(struct tally *t, const json_t *file);
