// SPDX-License-Identifier: Apache-2.0
#pragma once
/* documents: what the commands about signed documents share: manifests in files, the root that
 * signs, the mesh they are for, and the node that is given them.
 *
 * All functions complain themselves.
 */
#include "attest/manifest_text.h"
#include "attest/rules.h"
#include "cli/conn.h"
#include "crypto/suite.h"

/* A manifest from a file or a node.  Give it back with sm_mesh_manifest_done(&x.m). */
struct cli_manifest {
    struct sm_mesh_manifest m;
    bool is_signed, is_checked; /* checked: by a root that the mesh below pins */
    uint8_t root[32];           /* that one */
    uint8_t hash[32];           /* of the signed document */
};

/* The mesh of --home, when there is a configuration; *has says. */
enum sm_err cli_mesh_of_home(struct cli *c, struct sm_anchor *out, bool *has) SM_MUST;

/* Text or signed; "-" is standard input.  anchor may be NULL: nothing is checked then.  A
 * signature that does not hold is CRYPTO, another mesh AUTH. */
enum sm_err cli_manifest_load(struct cli *c, const char *path, const struct sm_anchor *anchor,
                              struct cli_manifest *out) SM_MUST;
enum sm_err cli_manifest_of_doc(struct cli *c, const char *name, struct sm_view doc,
                                const struct sm_anchor *anchor,
                                struct cli_manifest *out) SM_MUST;
enum sm_err cli_file_load(struct cli *c, const char *path, struct sm_buf *out) SM_MUST;

/* The root whose key is in DIR/root.key; give it back with sm_secret_free(). */
enum sm_err cli_root_load(struct cli *c, const char *dir, struct sm_sign_pair **out) SM_MUST;

/* "2027-01-31", "2027-01-31T12:00:00Z", Unix seconds. */
enum sm_err cli_date(struct cli *c, const char *option, const char *text,
                     struct sm_wall *out) SM_MUST;

#define CLI_SIGNED_FIRST 0xd2u /* the tag of COSE_Sign1; no text begins with it */

/* A manifest with what the mesh of `a` needs at least: its id, its platforms, and in
 * development the measurement of the installed programs. */
enum sm_err cli_manifest_template(struct cli *c, const struct sm_anchor *a,
                                  struct sm_mesh_manifest *out) SM_MUST;

/* -- with a node -------------------------------------------------------------------------- */

/* The node's document of that kind; out is empty when it has none. */
enum sm_err cli_doc_of_node(struct cli_conn *conn, uint8_t kind, struct sm_buf *out) SM_MUST;
/* Offer it to the node, which keeps it and tells the others. */
enum sm_err cli_doc_offer(struct cli_conn *conn, uint8_t kind, struct sm_view doc) SM_MUST;

/* Wait until every node that answers has that version, at most some seconds. */
struct cli_spread {
    size_t known, online, have;
};
enum sm_err cli_doc_spread(struct cli_conn *conn, uint8_t kind, uint64_t version,
                           struct cli_spread *out) SM_MUST;

/* The version of the manifest that is in force on the node, 0 for none.  False, without a
 * word, when the node cannot be reached. */
bool cli_version_of_node(struct cli *c, uint64_t *out);

/* The node's manifest, NOTFOUND when it has none.  nodes (or NULL) is a new list of what the
 * nodes that can be reached have in force. */
enum sm_err cli_manifest_of_node(struct cli *c, struct cli_manifest *out,
                                 json_t **nodes) SM_MUST;
void cli_print_versions(json_t *nodes);
/* Add the measurements of all nodes that the node of --home knows. */
enum sm_err cli_manifest_add_nodes(struct cli *c, struct sm_mesh_manifest *m) SM_MUST;
/* Or of the node at the other end alone. */
enum sm_err cli_manifest_add_self(struct cli_conn *conn, struct sm_mesh_manifest *m) SM_MUST;

/* The one node with this owner, or whose id begins so. */
enum sm_err cli_node_named(struct cli_conn *conn, const char *text,
                           struct sm_node_record *out) SM_MUST;
/* Append the owners of those nodes that the entry is about. */
enum sm_err cli_nodes_hit(struct cli_conn *conn, const struct sm_revoked *e,
                          json_t *out) SM_MUST;
