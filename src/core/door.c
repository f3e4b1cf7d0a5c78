// SPDX-License-Identifier: Apache-2.0
#include "core/door.h"

#include "core/handshake.h"
#include "crypto/hash.h"

#include <assert.h>
#include <string.h>

#define WINDOW     SM_MS(100)
#define WINDOWS    10u /* a second */
#define ROTATE     SM_S(120)
#define BITS_FIRST 12u /* about 1 ms of the dialer's time */

/* -- load -------------------------------------------------------------------------------- */

void sm_door_init(struct sm_door *d, const struct sm_door_cfg *cfg, struct sm_mono now)
{
    *d = (struct sm_door){
        .started = now,
        .rotate_at = sm_after(now, ROTATE),
        .window_end = sm_after(now, WINDOW),
        .rate_per_s = cfg->rate_per_s != 0 ? cfg->rate_per_s : 200,
        .pending_max = cfg->pending_max != 0 ? cfg->pending_max : 32,
    };
    sm_rng_init(&d->rng, cfg->seed, "door");
    sm_rng_bytes(&d->rng, d->secret[0].b, sizeof d->secret[0].b);
    sm_rng_bytes(&d->rng, d->secret[1].b, sizeof d->secret[1].b);
    d->stamp_base = (uint32_t)sm_rng_u64(&d->rng);
}

static uint32_t quota(const struct sm_door *d)
{
    uint32_t q = d->rate_per_s / WINDOWS;
    return q > 0 ? q : 1;
}

/* Harder while too many get in, easier while few do, gone when few come. */
static void end_window(struct sm_door *d)
{
    uint32_t q = quota(d);
    if (d->let_in >= q) {
        d->bits = d->bits == 0                   ? BITS_FIRST
                  : d->bits < SM_PUZZLE_BITS_MAX ? (uint8_t)(d->bits + 1)
                                                 : d->bits;
    } else if (d->bits > BITS_FIRST && d->let_in <= q / 2) {
        d->bits--;
    } else if (d->bits == BITS_FIRST && d->knocks <= q / 2) {
        d->bits = 0;
    }
    d->let_in = 0;
    d->knocks = 0;
}

static void advance(struct sm_door *d, struct sm_mono now)
{
    /* After a pause as long as this nothing is left of the load. */
    for (unsigned i = 0; i <= SM_PUZZLE_BITS_MAX && sm_is_due(d->window_end, now); i++) {
        end_window(d);
        d->window_end = sm_after(d->window_end, WINDOW);
    }
    if (sm_is_due(d->window_end, now)) {
        d->window_end = sm_after(now, WINDOW);
    }
    if (sm_is_due(d->rotate_at, now)) {
        d->secret[1] = d->secret[0];
        sm_rng_bytes(&d->rng, d->secret[0].b, sizeof d->secret[0].b);
        d->rotate_at = sm_after(now, ROTATE);
    }
}

bool sm_door_is_busy(const struct sm_door *d)
{
    return d->bits > 0;
}

/* -- cookies ----------------------------------------------------------------------------- */

static uint32_t stamp_of(const struct sm_door *d, struct sm_mono now)
{
    return d->stamp_base + (uint32_t)(sm_between(d->started, now).ns / 1000000000u);
}

static void cookie_mac(const struct sm_secret32 *key, const struct sm_cookie *c,
                       struct sm_view source, struct sm_view hello,
                       uint8_t out[static SM_COOKIE_MAC])
{
    static const char label[] = "seemesh/cookie/1";
    uint8_t head[6], mac[32];
    struct sm_hmac m;
    sm_put_le32(head, c->stamp);
    head[4] = c->bits;
    head[5] = (uint8_t)source.n;
    assert(source.n <= UINT8_MAX);
    sm_hmac_init(&m, SM_SHA256, sm_view_of(key->b, sizeof key->b));
    sm_hmac_add(&m, sm_view_of(label, sizeof label));
    sm_hmac_add(&m, sm_view_of(head, sizeof head));
    sm_hmac_add(&m, source);
    sm_hmac_add(&m, hello);
    sm_hmac_end(&m, mac);
    memcpy(out, mac, SM_COOKIE_MAC);
}

static bool is_cookie_right(const struct sm_door *d, struct sm_mono now,
                            const struct sm_cookie *c, struct sm_view source,
                            struct sm_view hello)
{
    uint8_t mac[SM_COOKIE_MAC];
    if (stamp_of(d, now) - c->stamp > SM_DOOR_LIFE_S) {
        return false;
    }
    for (unsigned i = 0; i < SM_COUNT(d->secret); i++) {
        cookie_mac(&d->secret[i], c, source, hello, mac);
        if (sm_secret_eq(mac, c->mac, sizeof mac)) {
            return true;
        }
    }
    return false;
}

bool sm_puzzle_is_solved(const struct sm_cookie *c, uint64_t nonce)
{
    uint8_t in[16 + SM_COOKIE_MAC + 8] = "seemesh/puzzle/1", hash[32];
    memcpy(in + 16, c->mac, SM_COOKIE_MAC);
    sm_put_le64(in + 16 + SM_COOKIE_MAC, nonce);
    sm_sha256(sm_view_of(in, sizeof in), hash);
    uint32_t first =
        (uint32_t)hash[0] << 24 | (uint32_t)hash[1] << 16 | (uint32_t)hash[2] << 8 | hash[3];
    return c->bits < 32 && first >> (32 - c->bits) == 0;
}

/* -- who knocks -------------------------------------------------------------------------- */

static enum sm_door_verdict shut(struct sm_door *d)
{
    d->n_shut++;
    return SM_DOOR_SHUT;
}

static enum sm_door_verdict open_door(struct sm_door *d)
{
    d->let_in++;
    d->n_let_in++;
    return SM_DOOR_OPEN;
}

static enum sm_door_verdict ask(struct sm_door *d, struct sm_mono now, struct sm_view source,
                                struct sm_knock *k, struct sm_wr *out)
{
    struct sm_cookie c = {.stamp = stamp_of(d, now),
                          .bits = d->bits > BITS_FIRST ? d->bits : BITS_FIRST};
    uint8_t head[SM_HAND_HEAD];
    cookie_mac(&d->secret[0], &c, source, sm_view_of(k->in, k->n), c.mac);
    sm_hand_write(&(struct sm_hand){.kind = SM_HAND_COOKIE, .n = SM_COOKIE_BYTES}, head);
    sm_wr_bytes(out, head, sizeof head);
    sm_cookie_write(&c, out);
    k->is_asked = true;
    k->n = 0;
    d->n_asked++;
    return SM_DOOR_ASK;
}

static enum sm_door_verdict on_hello(struct sm_door *d, struct sm_mono now, unsigned pending,
                                     struct sm_view source, struct sm_knock *k,
                                     struct sm_wr *out)
{
    d->knocks++;
    k->hello_at = 0;
    if (d->bits == 0 && d->let_in < quota(d) && pending < d->pending_max) {
        return open_door(d);
    }
    return k->is_asked ? shut(d) : ask(d, now, source, k, out);
}

/* k->in is ADMIT and HELLO, whole. */
static enum sm_door_verdict on_admit(struct sm_door *d, struct sm_mono now,
                                     struct sm_view source, struct sm_knock *k)
{
    struct sm_cookie c;
    uint64_t nonce;
    k->hello_at = SM_HAND_HEAD + SM_ADMIT_BYTES;
    struct sm_view hello = sm_view_of(k->in + k->hello_at, k->n - k->hello_at);
    if (sm_admit_read(sm_view_of(k->in + SM_HAND_HEAD, SM_ADMIT_BYTES), &c, &nonce) != SM_OK ||
        !sm_puzzle_is_solved(&c, nonce) || !is_cookie_right(d, now, &c, source, hello)) {
        return shut(d);
    }
    uint64_t mark = sm_le64(c.mac), *used = &d->used[mark % SM_COUNT(d->used)];
    if (*used == mark) {
        return shut(d);
    }
    *used = mark;
    return open_door(d);
}

/* What a whole knock is: HELLO, or after a COOKIE also ADMIT and HELLO.  0 bytes: not known
 * yet. */
static enum sm_err knock_bytes(const struct sm_knock *k, bool *is_admit, size_t *out)
{
    struct sm_hand h;
    *out = 0;
    *is_admit = false;
    size_t at = 0;
    if (k->n < SM_HAND_HEAD) {
        return SM_OK;
    }
    SM_TRY(sm_hand_read(k->in, &h));
    if (h.kind == SM_HAND_ADMIT && k->is_asked) {
        *is_admit = true;
        at = SM_HAND_HEAD + SM_ADMIT_BYTES;
        if (k->n < at + SM_HAND_HEAD) {
            return SM_OK;
        }
        SM_TRY(sm_hand_read(k->in + at, &h));
    }
    if (h.kind != SM_HAND_HELLO || h.n > (h.pq != 0 ? SM_HAND_HELLO_MAX : SM_HAND_PLAIN_MAX)) {
        return SM_E_MALFORMED;
    }
    *out = at + SM_HAND_HEAD + h.n;
    return SM_OK;
}

enum sm_door_verdict sm_door_hear(struct sm_door *d, struct sm_mono now, unsigned pending,
                                  struct sm_view source, struct sm_view bytes,
                                  struct sm_knock *k, struct sm_wr *out)
{
    size_t whole;
    bool is_admit;
    advance(d, now);
    if (bytes.n > SM_KNOCK_MAX - k->n) {
        return shut(d); /* nothing may follow before an answer */
    }
    if (bytes.n > 0) {
        memcpy(k->in + k->n, bytes.p, bytes.n);
    }
    k->n += bytes.n;
    enum sm_err e = knock_bytes(k, &is_admit, &whole);
    if (e == SM_E_VERSION) {
        sm_handshake_refuse(e, out);
    }
    if (e != SM_OK || (whole > 0 && k->n > whole)) {
        return shut(d);
    }
    if (whole == 0 || k->n < whole) {
        return SM_DOOR_WAIT;
    }
    return is_admit ? on_admit(d, now, source, k) : on_hello(d, now, pending, source, k, out);
}
