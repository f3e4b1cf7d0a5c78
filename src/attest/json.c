// SPDX-License-Identifier: Apache-2.0
#include "attest/json.h"

#include <string.h>

struct sm_json sm_json_init(struct sm_view bytes)
{
    return (struct sm_json){.left = bytes};
}

void sm_json_fail(struct sm_json *j)
{
    j->failed = true;
    j->left.n = 0;
}

static void advance(struct sm_json *j, size_t n)
{
    j->left = sm_view_sub(j->left, n, j->left.n - n);
}

/* The next character after white space, 0 at the end. */
static uint8_t peek(struct sm_json *j)
{
    while (j->left.n > 0) {
        uint8_t c = j->left.p[0];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
            return c;
        }
        advance(j, 1);
    }
    return 0;
}

static bool take(struct sm_json *j, uint8_t c)
{
    if (j->failed || peek(j) != c) {
        return false;
    }
    advance(j, 1);
    return true;
}

static void expect(struct sm_json *j, uint8_t c)
{
    if (!take(j, c)) {
        sm_json_fail(j);
    }
}

static void enter(struct sm_json *j, uint8_t c, bool is_object)
{
    expect(j, c);
    if (j->depth == SM_JSON_DEPTH) {
        sm_json_fail(j);
    }
    if (!j->failed) {
        j->open[j->depth].is_object = is_object;
        j->open[j->depth].has_items = false;
        j->depth++;
    }
}

void sm_json_object(struct sm_json *j)
{
    enter(j, '{', true);
}

void sm_json_array(struct sm_json *j)
{
    enter(j, '[', false);
}

/* Close the innermost container, or step over the comma to its next item. */
static bool next(struct sm_json *j, bool is_object)
{
    if (j->failed || j->depth == 0 || j->open[j->depth - 1].is_object != is_object) {
        sm_json_fail(j);
        return false;
    }
    if (take(j, is_object ? '}' : ']')) {
        j->depth--;
        return false;
    }
    if (j->open[j->depth - 1].has_items) {
        expect(j, ',');
    }
    j->open[j->depth - 1].has_items = true;
    return !j->failed;
}

bool sm_json_key(struct sm_json *j, struct sm_view *key)
{
    if (!next(j, true)) {
        return false;
    }
    *key = sm_json_text(j);
    expect(j, ':');
    return !j->failed;
}

bool sm_json_item(struct sm_json *j)
{
    return next(j, false);
}

struct sm_view sm_json_text(struct sm_json *j)
{
    expect(j, '"');
    for (size_t i = 0; i < j->left.n; i++) {
        uint8_t c = j->left.p[i];
        if (c == '"') {
            struct sm_view text = sm_view_sub(j->left, 0, i);
            advance(j, i + 1);
            return text;
        }
        if (c < 0x20 || c > 0x7e || c == '\\') {
            break;
        }
    }
    sm_json_fail(j);
    return (struct sm_view){0};
}

uint64_t sm_json_uint(struct sm_json *j, uint64_t max)
{
    uint64_t v = 0;
    size_t n = 0;
    (void)peek(j);
    for (; n < j->left.n && j->left.p[n] >= '0' && j->left.p[n] <= '9'; n++) {
        uint64_t digit = (uint64_t)j->left.p[n] - '0';
        if (v > (max - digit) / 10 || digit > max) {
            sm_json_fail(j);
            return 0;
        }
        v = 10 * v + digit;
    }
    bool is_long = n > 1 && j->left.p[0] == '0';
    bool is_other = n < j->left.n && strchr(".eE+-", j->left.p[n]) != NULL;
    if (n == 0 || is_long || is_other) {
        sm_json_fail(j);
        return 0;
    }
    advance(j, n);
    return v;
}

static void skip_word(struct sm_json *j, const char *word)
{
    size_t n = strlen(word);
    if (j->left.n < n || memcmp(j->left.p, word, n) != 0) {
        sm_json_fail(j);
        return;
    }
    advance(j, n);
}

static void skip_scalar(struct sm_json *j)
{
    switch (peek(j)) {
    case '"':
        (void)sm_json_text(j);
        break;
    case 't':
        skip_word(j, "true");
        break;
    case 'f':
        skip_word(j, "false");
        break;
    case 'n':
        skip_word(j, "null");
        break;
    default:
        (void)sm_json_uint(j, UINT64_MAX);
    }
}

/* Start one value: a container is entered, everything else is stepped over. */
static void skip_start(struct sm_json *j)
{
    switch (peek(j)) {
    case '{':
        sm_json_object(j);
        break;
    case '[':
        sm_json_array(j);
        break;
    default:
        skip_scalar(j);
    }
}

void sm_json_skip(struct sm_json *j)
{
    unsigned floor = j->depth;
    struct sm_view key;
    skip_start(j);
    while (!j->failed && j->depth > floor) {
        bool is_object = j->open[j->depth - 1].is_object;
        if (is_object ? sm_json_key(j, &key) : sm_json_item(j)) {
            skip_start(j);
        }
    }
}

struct sm_view sm_json_value(struct sm_json *j)
{
    (void)peek(j);
    struct sm_view from = j->left;
    sm_json_skip(j);
    return j->failed ? (struct sm_view){0} : sm_view_sub(from, 0, from.n - j->left.n);
}

enum sm_err sm_json_done(struct sm_json *j)
{
    bool is_done = !j->failed && j->depth == 0 && peek(j) == 0 && j->left.n == 0;
    return is_done ? SM_OK : SM_E_MALFORMED;
}
