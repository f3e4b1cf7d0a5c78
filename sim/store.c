// SPDX-License-Identifier: Apache-2.0
/* A store as src/store/ behaves, in memory: uploads, commits, reads, removals.  It survives
 * the machine's crashes, for every answer was on the disk before it was given. */
#include "core/object.h"
#include "crypto/hash.h"
#include "world.h"

#include <stdlib.h>
#include <string.h>

static void kept_done(struct sim_kept *k)
{
    for (unsigned i = 0; i < k->n_shards; i++) {
        free(k->shards[i].bytes);
    }
    free(k->shards);
    free(k->manifest);
}

void sim_store_done(struct sim_store *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        kept_done(&s->kept[i]);
    }
    free(s->kept);
    *s = (struct sim_store){0};
}

struct sim_kept *sim_store_find(struct sim_store *s, const struct sm_data_id *id)
{
    for (unsigned i = 0; i < s->n; i++) {
        if (s->kept[i].is_committed && sm_data_id_eq(&s->kept[i].id, id)) {
            return &s->kept[i];
        }
    }
    return NULL;
}

static struct sim_kept *find_upload(struct sim_store *s, const struct sm_node_id *client,
                                    const struct sm_upload_id *upload)
{
    for (unsigned i = 0; i < s->n; i++) {
        struct sim_kept *k = &s->kept[i];
        if (!k->is_committed && memcmp(k->owner, client->b, sizeof k->owner) == 0 &&
            memcmp(k->upload.b, upload->b, sizeof upload->b) == 0) {
            return k;
        }
    }
    return NULL;
}

static void forget(struct sim_store *s, struct sim_kept *k)
{
    kept_done(k);
    *k = s->kept[--s->n];
}

static struct sim_kept *add(struct sim_store *s)
{
    if (s->n == s->cap) {
        s->cap = s->cap > 0 ? s->cap * 2 : 16;
        struct sim_kept *kept = sim_alloc(s->cap * sizeof *kept);
        if (s->n > 0) {
            memcpy(kept, s->kept, s->n * sizeof *kept);
        }
        free(s->kept);
        s->kept = kept;
    }
    struct sim_kept *k = &s->kept[s->n++];
    *k = (struct sim_kept){0};
    return k;
}

static struct sim_shard *find_shard(struct sim_kept *k, uint32_t segment, uint8_t index)
{
    for (unsigned i = 0; i < k->n_shards; i++) {
        if (k->shards[i].segment == segment && k->shards[i].index == index) {
            return &k->shards[i];
        }
    }
    return NULL;
}

static enum sm_err shard_put(struct sim_store *s, const struct sm_node_id *client,
                             const struct sm_store_req *req, struct sm_buf *reply)
{
    struct sim_kept *k = find_upload(s, client, &req->upload);
    if (k == NULL) {
        k = add(s);
        memcpy(k->owner, client->b, sizeof k->owner);
        k->upload = req->upload;
    }
    struct sim_shard *d = find_shard(k, req->segment, req->index);
    if (d == NULL) {
        if (k->n_shards == k->cap_shards) {
            k->cap_shards = k->cap_shards > 0 ? k->cap_shards * 2 : 4;
            struct sim_shard *shards = sim_alloc(k->cap_shards * sizeof *shards);
            if (k->n_shards > 0) {
                memcpy(shards, k->shards, k->n_shards * sizeof *shards);
            }
            free(k->shards);
            k->shards = shards;
        }
        d = &k->shards[k->n_shards++];
    }
    free(d->bytes);
    d->segment = req->segment;
    d->index = req->index;
    d->bytes = sim_bytes_of(req->bytes);
    sm_sha256(req->bytes, d->id);
    return sm_buf_add(reply, d->id, sizeof d->id);
}

static enum sm_err check_upload(struct sim_kept *k, const struct sm_store_req *req)
{
    struct sm_manifest m;
    SM_TRY(sm_manifest_read(req->bytes, &m));
    for (uint32_t segment = 0; segment < sm_manifest_segments(&m); segment++) {
        struct sm_shard_id want;
        const struct sim_shard *d = k != NULL ? find_shard(k, segment, req->index) : NULL;
        sm_manifest_shard_id(&m, segment, req->index, &want);
        if (d == NULL) {
            return SM_E_NOTFOUND;
        }
        if (memcmp(d->id, want.b, sizeof want.b) != 0) {
            return SM_E_HASH;
        }
    }
    return SM_OK;
}

static enum sm_err commit(struct sim_store *s, const struct sm_node_id *client,
                          const struct sm_store_req *req, struct sm_buf *reply,
                          struct sm_data_id *out_id)
{
    struct sm_manifest m;
    struct sm_data_id id;
    sm_manifest_id(req->bytes, &id);
    struct sim_kept *k = find_upload(s, client, &req->upload), *old = sim_store_find(s, &id);
    if (old != NULL && (old->held >> req->index & 1) != 0) {
        *out_id = id; /* asked again after a lost answer */
        return sm_buf_add(reply, id.b, sizeof id.b);
    }
    SM_TRY(check_upload(k, req));
    SM_TRY(sm_manifest_read(req->bytes, &m));
    if (k == NULL) {
        k = add(s); /* an object of 0 bytes has no shards */
    }
    k->is_committed = true;
    k->id = id;
    k->held |= UINT64_C(1) << req->index;
    memcpy(k->remove_hash, m.remove_hash, sizeof k->remove_hash);
    free(k->manifest);
    k->manifest = sim_bytes_of(req->bytes);
    *out_id = id;
    return sm_buf_add(reply, id.b, sizeof id.b);
}

static enum sm_err manifest_get(struct sim_store *s, const struct sm_store_req *req,
                                struct sm_buf *reply)
{
    const struct sim_kept *k = sim_store_find(s, &req->object);
    uint8_t *room;
    if (k == NULL) {
        return SM_E_NOTFOUND;
    }
    SM_TRY(sm_buf_room(reply, k->manifest->n + 64, &room));
    struct sm_wr wr = sm_wr_init(room, k->manifest->n + 64);
    SM_TRY(sm_store_manifest_reply_write(
        &wr, &(struct sm_store_manifest_reply){k->held,
                                               sm_view_of(k->manifest->p, k->manifest->n)}));
    reply->n += wr.n;
    return SM_OK;
}

static enum sm_err shard_get(struct sim_store *s, const struct sm_store_req *req,
                             struct sm_buf *reply)
{
    struct sim_kept *k = sim_store_find(s, &req->object);
    const struct sim_shard *d = k != NULL ? find_shard(k, req->segment, req->index) : NULL;
    return d != NULL ? sm_buf_add(reply, d->bytes->p, d->bytes->n) : SM_E_NOTFOUND;
}

static enum sm_err removal(struct sim_store *s, const struct sm_store_req *req)
{
    struct sim_kept *k = sim_store_find(s, &req->object);
    uint8_t hash[32];
    if (k == NULL) {
        return SM_E_NOTFOUND;
    }
    sm_remove_token_hash(&req->token, hash);
    if (memcmp(hash, k->remove_hash, sizeof hash) != 0) {
        return SM_E_REFUSED;
    }
    forget(s, k);
    return SM_OK;
}

enum sm_err sim_store_serve(struct sim_store *s, const struct sm_node_id *client,
                            struct sm_view request, struct sm_buf *reply,
                            struct sm_data_id *out_changed, bool *out_has_changed)
{
    struct sm_store_req req;
    SM_TRY(sm_store_req_read(request, &req));
    switch (req.op) {
    case SM_STORE_SHARD_PUT:
        return shard_put(s, client, &req, reply);
    case SM_STORE_COMMIT:
        SM_TRY(commit(s, client, &req, reply, out_changed));
        *out_has_changed = true;
        return SM_OK;
    case SM_STORE_ABORT: {
        struct sim_kept *k = find_upload(s, client, &req.upload);
        if (k != NULL) {
            forget(s, k);
        }
        return SM_OK;
    }
    case SM_STORE_MANIFEST_GET:
        return manifest_get(s, &req, reply);
    case SM_STORE_SHARD_GET:
        return shard_get(s, &req, reply);
    case SM_STORE_REMOVE:
        SM_TRY(removal(s, &req));
        *out_changed = req.object;
        *out_has_changed = true;
        return SM_OK;
    case SM_STORE_STAT: {
        uint8_t room[SM_STORE_STAT_BYTES];
        struct sm_wr wr = sm_wr_init(room, sizeof room);
        SM_TRY(sm_store_stat_write(&wr, &(struct sm_store_stat){.objects = s->n}));
        return sm_buf_add(reply, room, wr.n);
    }
    }
    return SM_E_UNSUPPORTED;
}
