// SPDX-License-Identifier: Apache-2.0
/* What people ask a node: status, nodes, routes, trust, SEEs.  The answers are JSON made with
 * jansson; nothing is parsed here but the words of the question. */
#include "crypto/kem.h"
#include "os/clock.h"
#include "proc/claims_json.h"
#include "proc/net_int.h"
#include "seemesh/version.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { ID_TEXT = SM_B32_LEN(32) + 1, WORD_MAX = 96 };

static json_t *json_id(const struct sm_node_id *id)
{
    char text[ID_TEXT];
    sm_b32(id->b, sizeof id->b, text);
    return json_string(text);
}

static json_t *json_q16(uint32_t v)
{
    return json_real((double)v / 65536.0);
}

static json_t *json_ms(struct sm_dur d)
{
    return json_real((double)d.ns / 1e6);
}

static json_t *json_cost(uint64_t sixteenths)
{
    return json_real((double)sixteenths / 16.0);
}

static json_t *json_hop(struct net *n, struct sm_hop hop)
{
    const struct sm_node_record *rec = sm_route_node(sm_node_route(n->node), hop);
    char text[SM_B32_LEN(8) + 1];
    uint8_t raw[8];
    sm_put_le64(raw, hop.v);
    sm_b32(raw, sizeof raw, text);
    return json_pack("{s:s, s:s}", "hop", text, "owner", rec != NULL ? rec->owner : "");
}

static json_t *json_flags(uint32_t flags)
{
    json_t *list = json_array();
    if ((flags & SM_NODE_GATEWAY) != 0) {
        json_array_append_new(list, json_string("gateway"));
    }
    if ((flags & SM_NODE_STORE) != 0) {
        json_array_append_new(list, json_string("store"));
    }
    if ((flags & SM_NODE_SEE) != 0) {
        json_array_append_new(list, json_string("see"));
    }
    return list;
}

/* The node whose id, owner or beginning of an id is `word`; ambiguous or unknown: NOTFOUND. */
static enum sm_err find_node(struct net *n, const char *word, struct sm_route_info *out)
{
    struct sm_route *route = sm_node_route(n->node);
    size_t count = sm_route_count(route), found = 0;
    for (size_t i = 0; i < count; i++) {
        struct sm_route_info info;
        char id[ID_TEXT];
        sm_route_info(route, sm_clock_mono(), i, &info);
        sm_b32(info.id.b, sizeof info.id.b, id);
        const struct sm_node_record *rec = sm_route_node(route, sm_hop_of(&info.id));
        bool is_owner = rec != NULL && strcmp(rec->owner, word) == 0;
        if (is_owner || (strlen(word) >= 4 && strncmp(id, word, strlen(word)) == 0)) {
            *out = info;
            found++;
        }
    }
    return found == 1 ? SM_OK : SM_E_NOTFOUND;
}

/* -- answers ----------------------------------------------------------------------------- */

/* The tunnels to one neighbour, by carrier. */
static json_t *carriers(struct net *n, const struct sm_node_id *node)
{
    json_t *list = json_array();
    struct sm_node_tunnel t;
    for (int is_udp = 0; is_udp < 2; is_udp++) {
        if (!sm_node_carrier(n->node, node, is_udp, &t)) {
            continue;
        }
        json_t *c = json_pack("{s:s, s:b, s:o}", "carrier", is_udp ? "udp" : "tcp", "used",
                              (int)t.is_chosen, "rtt_ms", json_ms(t.rtt));
        if (is_udp) {
            json_object_set_new(c, "mtu", json_integer((json_int_t)t.udp.mtu));
            json_object_set_new(c, "loss", json_real((double)t.udp.loss / 65536.0));
            json_object_set_new(c, "lost", json_integer((json_int_t)t.udp.n_lost));
            json_object_set_new(c, "moves", json_integer((json_int_t)t.udp.moves));
        }
        json_array_append_new(list, c);
    }
    return list;
}

static json_t *tunnels(struct net *n)
{
    json_t *list = json_array();
    struct sm_node_tunnel t;
    for (unsigned i = 0; sm_node_tunnel(n->node, i, &t); i++) {
        json_t *peer = json_hop(n, sm_hop_of(&t.node));
        json_object_set_new(peer, "rtt_ms", json_ms(t.rtt));
        json_object_set_new(peer, "carrier", json_string(t.is_udp ? "udp" : "tcp"));
        json_object_set_new(peer, "carriers", carriers(n, &t.node));
        json_object_set_new(peer, "dialled_by",
                            json_string(t.is_outbound ? "this node" : "the peer"));
        json_object_set_new(
            peer, "cipher",
            json_string(t.cipher == SM_AESGCM ? "AES-256-GCM" : "ChaCha20-Poly1305"));
        json_object_set_new(peer, "key_agreement",
                            json_string(t.is_pq ? "X25519 and ML-KEM-768" : "X25519"));
        json_object_set_new(peer, "sent_bytes", json_integer((json_int_t)t.sent_bytes));
        json_object_set_new(peer, "received_bytes", json_integer((json_int_t)t.received_bytes));
        json_object_set_new(peer, "lease",
                            json_pack("{s:I, s:I, s:I}", "number", (json_int_t)t.lease_seq,
                                      "age_s", (json_int_t)(t.lease_age.ns / 1000000000u),
                                      "left_s", (json_int_t)(t.lease_left.ns / 1000000000u)));
        json_array_append_new(list, peer);
    }
    return list;
}

static json_t *packets(const struct sm_node_stats *s)
{
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "sent", (json_int_t)s->packets_sent, "delivered",
        (json_int_t)s->packets_delivered, "forwarded", (json_int_t)s->packets_forwarded,
        "dropped_queue", (json_int_t)s->dropped_queue, "dropped_no_route",
        (json_int_t)s->dropped_no_route, "dropped_loop", (json_int_t)s->dropped_loop,
        "dropped_malformed", (json_int_t)s->dropped_malformed);
}

static json_t *post_quantum(struct net *n)
{
    bool is_there = sm_suite_has_kem(sm_suite_real());
    enum sm_pq pq = (enum sm_pq)n->config->tunnel.pq;
    const char *mode = pq == SM_PQ_OFF ? "off" : pq == SM_PQ_AUTO ? "auto" : "require";
    return json_pack("{s:b, s:s, s:s}", "available", is_there, "mode", mode, "library",
                     sm_kem_library());
}

static json_t *status(struct net *n)
{
    const struct sm_node_record *self = sm_node_self(n->node);
    struct sm_node_stats s = sm_node_stats(n->node);
    struct sm_dht_stats dht;
    struct sm_host_stats host;
    sm_dht_stats(sm_node_dht(n->node), &dht);
    sm_host_stats(sm_node_host(n->node), &host);
    json_t *o = json_object();
    json_object_set_new(o, "version", json_string(SEEMESH_VERSION));
    json_object_set_new(o, "name", json_string(n->config->node.name));
    json_object_set_new(o, "owner", json_string(self->owner));
    json_object_set_new(o, "node", json_id(&self->node_id));
    json_object_set_new(o, "mesh", json_string(n->config->node.mesh));
    json_object_set_new(o, "environment", json_string(sm_env_name(n->anchor.env)));
    json_object_set_new(o, "root",
                        json_string(self->platform == SM_PLATFORM_SOFTWARE
                                        ? "software: proves nothing to a stranger"
                                        : "hardware"));
    json_object_set_new(o, "post_quantum", post_quantum(n));
    json_object_set_new(o, "roles", json_flags(self->flags));
    json_object_set_new(
        o, "uptime_s",
        json_integer((json_int_t)(sm_between(n->started, sm_clock_mono()).ns / 1000000000u)));
    json_object_set_new(o, "nodes",
                        json_integer((json_int_t)sm_route_count(sm_node_route(n->node))));
    json_object_set_new(o, "tunnels", tunnels(n));
    json_object_set_new(o, "packets", packets(&s));
    json_object_set_new(
        o, "strangers",
        json_pack("{s:I, s:I, s:I, s:I}", "let_in", (json_int_t)s.strangers_let_in, "asked",
                  (json_int_t)s.strangers_asked, "shut_out", (json_int_t)s.strangers_shut,
                  "pushed_out", (json_int_t)s.strangers_pushed_out));
    json_object_set_new(o, "dht",
                        json_pack("{s:i, s:i, s:i, s:I, s:I, s:I}", "contacts",
                                  (int)dht.contacts, "records", (int)dht.records, "published",
                                  (int)dht.published, "lookups", (json_int_t)dht.lookups,
                                  "timeouts", (json_int_t)dht.timeouts, "forged",
                                  (json_int_t)dht.forged));
    json_object_set_new(o, "sessions",
                        json_pack("{s:i, s:I, s:I, s:I}", "open", (int)host.sessions, "sent",
                                  (json_int_t)host.sent, "resent", (json_int_t)host.resent,
                                  "received", (json_int_t)host.received));
    json_object_set_new(o, "clients", json_integer((json_int_t)ep_count(n, SM_CTL_CLIENT)));
    json_object_set_new(o, "sees", json_integer((json_int_t)ep_count(n, SM_CTL_SEE)));
    json_object_set_new(o, "see_slots", json_integer((json_int_t)n->config->see.slots));
    return o;
}

static json_t *nodes(struct net *n)
{
    struct sm_route *route = sm_node_route(n->node);
    json_t *list = json_array();
    size_t count = sm_route_count(route);
    for (size_t i = 0; i < count; i++) {
        struct sm_route_info info;
        sm_route_info(route, sm_clock_mono(), i, &info);
        const struct sm_node_record *rec =
            info.is_self ? sm_node_self(n->node) : sm_route_node(route, sm_hop_of(&info.id));
        json_t *o = json_object();
        json_object_set_new(o, "node", json_id(&info.id));
        json_object_set_new(o, "owner", json_string(rec != NULL ? rec->owner : ""));
        json_object_set_new(o, "roles", json_flags(rec != NULL ? rec->flags : 0));
        json_object_set_new(o, "self", json_boolean(info.is_self));
        json_object_set_new(o, "neighbour", json_boolean(info.is_neighbour));
        json_object_set_new(o, "reachable", json_boolean(info.is_reachable || info.is_self));
        json_object_set_new(o, "trust", json_q16(info.is_self ? 65536 : info.trust_q16));
        json_object_set_new(o, "path_cost_ms", json_cost(info.cost));
        json_object_set_new(o, "links", json_integer(info.n_links));
        json_array_append_new(list, o);
    }
    return json_pack("{s:o}", "nodes", list);
}

static json_t *one_path(struct net *n, const struct sm_route_explain *x, unsigned i)
{
    json_t *hops = json_array();
    for (unsigned h = 0; h < x->paths[i].n; h++) {
        const struct sm_route_hop_cost *c = &x->hops[i][h];
        json_t *o = json_hop(n, c->hop);
        json_object_set_new(o, "latency_ms", json_cost(c->latency));
        json_object_set_new(o, "queue_ms", json_cost(c->queue));
        json_object_set_new(o, "trust_ms", json_cost(c->trust));
        json_object_set_new(o, "penalty_ms", json_cost(c->penalty));
        json_object_set_new(o, "trust", json_q16(c->trust_q16));
        json_array_append_new(hops, o);
    }
    return json_pack("{s:o, s:o}", "cost_ms", json_cost(x->paths[i].cost), "hops", hops);
}

static json_t *route(struct net *n, const struct sm_route_info *to)
{
    static const char *const why[] = {[SM_ROUTE_LOW_TRUST] = "trust is too low",
                                      [SM_ROUTE_SILENT] = "packets through it were lost",
                                      [SM_ROUTE_NO_LINK] = "no link that both ends announce"};
    struct sm_route_explain x;
    sm_route_explain(sm_node_route(n->node), sm_clock_mono(), sm_hop_of(&to->id), &x);
    json_t *list = json_array(), *avoided = json_array();
    for (unsigned i = 0; i < x.n_paths; i++) {
        json_array_append_new(list, one_path(n, &x, i));
    }
    for (unsigned i = 0; i < x.n_losses; i++) {
        json_t *o = json_hop(n, x.losses[i].hop);
        json_object_set_new(o, "why", json_string(why[x.losses[i].why]));
        json_object_set_new(o, "trust", json_q16(x.losses[i].trust_q16));
        json_array_append_new(avoided, o);
    }
    return json_pack("{s:o, s:o, s:o}", "to", json_id(&to->id), "paths", list, "avoided",
                     avoided);
}

static json_t *trust(struct net *n, const struct sm_route_info *of)
{
    struct sm_trust_explain x;
    if (sm_trust_explain(sm_node_trust(n->node), sm_clock_mono(), &of->id, &x) != SM_OK) {
        return NULL;
    }
    json_t *rows = json_array(), *seen = json_object();
    for (unsigned i = 0; i < SM_TRUST_ROWS; i++) {
        json_array_append_new(rows, json_pack("{s:s, s:o, s:o, s:s}", "what", x.rows[i].what,
                                              "value", json_q16(x.rows[i].value_q16), "without",
                                              json_q16(x.rows[i].without_q16), "raise",
                                              x.rows[i].raise));
    }
    for (unsigned k = 0; k < SM_TRUST_KINDS; k++) {
        json_object_set_new(seen, sm_trust_kind_words((enum sm_trust_kind)k),
                            json_integer((json_int_t)x.seen[k]));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:i, s:o}", "node", json_id(&of->id), "trust",
                     json_q16(x.t_q16), "inputs", rows, "seen", seen, "strikes", (int)x.strikes,
                     "quarantine_left_ms", json_ms(x.quarantine_left));
}

static json_t *sees(struct net *n)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < NET_ENDPOINTS; i++) {
        const struct ep *ep = &n->eps[i];
        if (ep->is_used && ep->kind == SM_CTL_SEE) {
            uint64_t age = ep->is_ready ? sm_clock_wall().s - ep->since.s : 0;
            json_array_append_new(list, json_pack("{s:I, s:I, s:b, s:I}", "instance",
                                                  (json_int_t)ep->instance, "endpoint",
                                                  (json_int_t)ep->id, "ready", ep->is_ready,
                                                  "age_s", (json_int_t)age));
        }
    }
    return json_pack("{s:o, s:i}", "sees", list, "slots", (int)n->config->see.slots);
}

/* -- what is believed --------------------------------------------------------------------- */

static json_t *documents_held(struct net *n)
{
    json_t *list = json_array();
    struct sm_doc d;
    for (size_t i = 0; sm_rules_doc(sm_node_rules(n->node), sm_clock_wall(), i, &d); i++) {
        char name[2 * SM_DOC_NAME + 1], hash[2 * sizeof d.hash + 1];
        sm_hex(d.name, sizeof d.name, name);
        sm_hex(d.hash, sizeof d.hash, hash);
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:s, s:I}", "kind",
                                              sm_doc_kind_name(d.kind), "name", name, "version",
                                              (json_int_t)d.version, "sha256", hash, "bytes",
                                              (json_int_t)d.bytes.n));
    }
    return list;
}

static json_t *verdict(struct net *n, const struct sm_node_tunnel *t)
{
    json_t *o = json_hop(n, sm_hop_of(&t->node));
    json_object_set_new(o, "verdict", json_string(sm_verdict_name(t->verdict)));
    json_object_set_new(o, "why", json_string(t->said));
    json_object_set_new(o, "judged_again_s",
                        t->verdict_left.ns > 0
                            ? json_integer((json_int_t)(t->verdict_left.ns / 1000000000u))
                            : json_null());
    return o;
}

static json_t *documents(struct net *n)
{
    const struct sm_rules *rules = sm_node_rules(n->node);
    struct sm_bulletin_stats s = sm_node_bulletin_stats(n->node);
    unsigned count[SM_VERDICT_OBSERVED + 1] = {0};
    json_t *tunnels_of = json_array();
    struct sm_node_tunnel t;
    for (unsigned i = 0; sm_node_tunnel(n->node, i, &t); i++) {
        json_array_append_new(tunnels_of, verdict(n, &t));
        count[t.verdict]++;
    }
    json_t *verdicts = json_object();
    for (unsigned i = 0; i < SM_COUNT(count); i++) {
        json_object_set_new(verdicts, sm_verdict_name((enum sm_verdict_kind)i),
                            json_integer((json_int_t)count[i]));
    }
    return json_pack("{s:s, s:o, s:o, s:o, s:{s:I, s:I, s:I, s:I, s:I, s:I}}", "mode",
                     sm_rules_manifest(rules) == NULL ? "no manifest"
                     : sm_rules_is_observing(rules)   ? "observe"
                                                      : "enforce",
                     "documents", documents_held(n), "verdicts", verdicts, "tunnels",
                     tunnels_of, "neighbours", "taken", (json_int_t)s.taken, "refused",
                     (json_int_t)s.refused, "late", (json_int_t)s.late, "garbled",
                     (json_int_t)(s.garbled + s.lied), "dropped", (json_int_t)s.dropped,
                     "conflicts", (json_int_t)s.conflicts);
}

static json_t *tun(struct net *n)
{
    struct sm_node_tun_stats s = sm_node_tun_stats(n->node);
    struct sm_tun_ip ip = sm_node_tun_ip(n->node);
    char text[INET6_ADDRSTRLEN] = "";
    (void)inet_ntop(AF_INET6, ip.b, text, sizeof text);
    json_t *o =
        json_pack("{s:b, s:s, s:i}", "up", s.is_on, "address", text, "prefix", SM_TUN_PREFIX);
    if (s.is_on) {
        json_object_set_new(o, "name", json_string(n->tun.name));
        json_object_set_new(o, "mtu", json_integer((json_int_t)n->tun.mtu));
        json_object_set_new(o, "sent",
                            json_pack("{s:I, s:I}", "packets", (json_int_t)s.sent, "bytes",
                                      (json_int_t)s.sent_bytes));
        json_object_set_new(o, "received",
                            json_pack("{s:I, s:I}", "packets", (json_int_t)s.received, "bytes",
                                      (json_int_t)s.received_bytes));
        json_object_set_new(o, "waiting",
                            json_pack("{s:I, s:I, s:I}", "packets", (json_int_t)s.waiting,
                                      "bytes", (json_int_t)s.waiting_bytes, "flows",
                                      (json_int_t)s.flows));
        json_object_set_new(
            o, "lost",
            json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "queue", (json_int_t)s.dropped,
                      "unreachable", (json_int_t)s.unreachable, "refused_from_here",
                      (json_int_t)s.refused_out, "refused_from_peers", (json_int_t)s.refused_in,
                      "refused_sources", (json_int_t)s.refused_sources, "not_taken",
                      (json_int_t)n->tun.not_taken));
    }
    return o;
}

/* -- attestation ------------------------------------------------------------------------- */

static void put_time(json_t *o, const char *key, struct sm_wall at)
{
    char text[SM_TIME_TEXT];
    sm_wall_text(at, text);
    json_object_set_new(o, key, json_string(text));
}

/* What is known of a node without having seen its evidence: its record. */
static json_t *recorded(const struct sm_node_record *rec)
{
    char measurement[2 * sizeof rec->measurement + 1];
    sm_hex(rec->measurement, sizeof rec->measurement, measurement);
    json_t *o = json_pack("{s:o, s:s, s:s, s:s}", "node", json_id(&rec->node_id), "owner",
                          rec->owner, "platform", sm_platform_name(rec->platform),
                          "recorded_measurement", measurement);
    put_time(o, "record_expires", rec->head.expires);
    return o;
}

/* Judge the claims that the tunnel was proven with, as the rules are now. */
static void put_checks(struct net *n, json_t *o, const struct sm_node_record *rec,
                       const struct sm_claims *claims)
{
    struct sm_checks *checks = calloc(1, sizeof *checks);
    struct sm_verdict *v = calloc(1, sizeof *v);
    struct sm_standing standing = {.was_ok = true};
    const struct sm_subject who = sm_subject_of(rec);
    const struct sm_rules *rules = sm_node_rules(n->node);
    if (checks != NULL && v != NULL) {
        sm_rules_explain(rules, sm_clock_wall(), &who, claims, NULL, &standing, v, checks);
        const struct sm_mesh_manifest *m = sm_rules_manifest(rules);
        bool is_any = m != NULL && (m->any_measurement >> claims->platform & 1u) != 0;
        struct sm_tvec vec = sm_tvec_of(true, !is_any, m != NULL && m->n_allowed > 0, &v->why);
        json_object_set_new(o, "checks", sm_json_checks(checks, claims->platform));
        json_object_set_new(o, "reasons", sm_json_reasons(&v->why, claims->platform));
        json_object_set_new(o, "trust_vector", sm_json_tvec(&vec));
        json_object_set_new(o, "grade", json_real(v->grade / 1000.0));
        if (v->label[0] != '\0') {
            json_object_set_new(o, "reference", json_string(v->label));
        }
    }
    free(checks);
    free(v);
}

static void put_lease(json_t *o, const struct sm_node_tunnel *t)
{
    json_object_set_new(o, "verdict", json_string(sm_verdict_name(t->verdict)));
    json_object_set_new(o, "lease",
                        json_pack("{s:I, s:I, s:I}", "number", (json_int_t)t->lease_seq,
                                  "age_s", (json_int_t)(t->lease_age.ns / 1000000000u),
                                  "left_s", (json_int_t)(t->lease_left.ns / 1000000000u)));
    if (t->verdict_left.ns != 0) {
        json_object_set_new(o, "judged_again_in_s",
                            json_integer((json_int_t)(t->verdict_left.ns / 1000000000u)));
    }
    json_object_set_new(o, "key_agreement",
                        json_string(t->is_pq ? "X25519 and ML-KEM-768" : "X25519"));
}

/* A neighbour shows evidence; of others there are only their records. */
static json_t *attest(struct net *n, const struct sm_node_id *id)
{
    const struct sm_node_record *self = sm_node_self(n->node);
    bool is_self = sm_node_id_eq(&self->node_id, id);
    const struct sm_node_record *rec =
        is_self ? self : sm_route_node(sm_node_route(n->node), sm_hop_of(id));
    struct sm_node_tunnel t;
    if (rec == NULL) {
        return NULL;
    }
    json_t *o = recorded(rec);
    for (unsigned i = 0; sm_node_tunnel(n->node, i, &t); i++) {
        if (sm_node_id_eq(&t.node, id) && t.claims != NULL) {
            put_lease(o, &t);
            json_object_set_new(o, "claims", sm_json_claims(t.claims));
            put_checks(n, o, rec, t.claims);
            return o;
        }
    }
    json_object_set_new(o, "verdict",
                        json_string(is_self ? "this node: its neighbours judge it"
                                            : "no neighbour: believed by its record"));
    return o;
}

static json_t *refusals(struct net *n)
{
    json_t *list = json_array();
    const struct sm_refusal *r;
    for (unsigned i = 0; (r = sm_node_refusal(n->node, i)) != NULL; i++) {
        struct sm_inet at = {.family = r->peer.family, .port = r->peer.port};
        char address[SM_INET_TEXT] = "";
        memcpy(at.ip, r->peer.ip, sizeof at.ip);
        if (at.family != 0) {
            sm_inet_print(&at, address);
        }
        json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:s, s:I}", "refused",
                              r->is_by_peer ? "by the peer" : "the peer", "peer", address,
                              "when", r->was_up ? "tunnel" : "handshake", "count",
                              (json_int_t)r->count, "platform", sm_platform_name(r->platform),
                              "lease", (json_int_t)r->lease_seq);
        if (r->has_node) {
            json_object_set_new(o, "node", json_id(&r->node));
        }
        put_time(o, "first", r->first);
        put_time(o, "last", r->last);
        json_object_set_new(o, "reasons", sm_json_reasons(&r->why, r->platform));
        json_array_append_new(list, o);
    }
    return json_pack("{s:o}", "refusals", list);
}

enum sm_err net_query(struct net *n, struct sm_view text, struct sm_buf *out)
{
    char words[WORD_MAX + 1] = "", *arg;
    if (text.n > WORD_MAX || (text.n > 0 && memchr(text.p, '\0', text.n) != NULL)) {
        return SM_E_INVALID;
    }
    memcpy(words, text.p, text.n);
    words[text.n] = '\0';
    arg = strchr(words, ' ');
    if (arg != NULL) {
        *arg++ = '\0';
    }
    struct sm_route_info info;
    json_t *o = NULL;
    if (strcmp(words, "status") == 0) {
        o = status(n);
    } else if (strcmp(words, "nodes") == 0) {
        o = nodes(n);
    } else if (strcmp(words, "sees") == 0) {
        o = sees(n);
    } else if (strcmp(words, "refusals") == 0) {
        o = refusals(n);
    } else if (arg != NULL && strcmp(words, "attest") == 0) {
        bool is_self = strcmp(arg, "self") == 0;
        info.id = sm_node_self(n->node)->node_id;
        SM_TRY(is_self ? SM_OK : find_node(n, arg, &info));
        o = attest(n, &info.id);
    } else if (strcmp(words, "documents") == 0) {
        o = documents(n);
    } else if (strcmp(words, "tun") == 0) {
        o = tun(n);
    } else if (arg != NULL && (strcmp(words, "route") == 0 || strcmp(words, "trust") == 0)) {
        SM_TRY(find_node(n, arg, &info));
        o = words[0] == 'r' ? route(n, &info) : trust(n, &info);
    }
    if (o == NULL) {
        return SM_E_NOTFOUND;
    }
    char *json = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    enum sm_err e = json == NULL ? SM_E_NOMEM : sm_buf_add(out, json, strlen(json));
    free(json);
    return e;
}
