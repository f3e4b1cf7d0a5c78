// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.h"

#include <assert.h>
#include <string.h>

#define FILES_OF_EVIDENCE                                                                      \
    "  --report FILE       snp: the report; azure: the HCL report\n"                           \
    "  --vek FILE          snp, azure: certificate of the signing key, VCEK or VLEK\n"         \
    "  --quote FILE        tdx, sgx: the quote; tpm, azure: TPMS_ATTEST\n"                     \
    "  --sig FILE          tpm, azure: the signature of the quote\n"                           \
    "  --doc FILE          nitro: the document\n"                                              \
    "  --chain FILE        certificates above: ASK; TCB signing; AK and up (tpm)\n"            \
    "  --crl FILE          snp, azure: AMD's revocation list, if there is one\n"               \
    "  --tcb-info FILE, --qe-identity FILE    tdx, sgx: answers of Intel's service\n"          \
    "  --pck-crl FILE, --root-crl FILE        tdx, sgx: revocation lists\n"                    \
    "  --ak FILE           tpm: the public area of the key, TPMT_PUBLIC\n"                     \
    "  --pcrs FILE         tpm, azure: lines of 'index hexadecimal'\n"                         \
    "  --event-log FILE    tpm: the log that explains them, if there is one\n"                 \
    "  --root FILE         believe this root: needed for tpm, for tests elsewhere\n"           \
    "  --as-of TIME        Unix seconds, 2026-01-31 or 2026-01-31T12:00:00Z (now)\n"           \
    "  --nonce HEX         what it must have been made for\n"

const struct cli_command cli_commands[] = {
    {"dev up", "[--nodes N]", "start a local mesh to try things on",
     "examples:\n"
     "  seemesh dev up                       7 nodes in ~/.seemesh-dev\n"
     "  seemesh dev up --nodes 12 --dir /tmp/mesh\n\n"
     "Each node is a real seemeshd with a home, an identity and a loopback address of its\n"
     "own; they are joined as a ring with chords, so packets cross relays.  The root that\n"
     "endorses them is a file: this proves nothing to a stranger.  A manifest takes the\n"
     "installed programs and nothing else: DIR/dev.manifest.\n\n"
     "  --nodes N      1 to 64 (7)\n"
     "  --no-manifest  judge by the root alone\n"
     "  --see-slots N  SEE instances a node runs at a time (2)\n"
     "  --tpm N        N of the nodes have a TPM each: a software one, swtpm, which proves no\n"
     "                 more, but all that a node with a real TPM does is done (0)\n"
     "  --dir DIR      where to keep it (~/.seemesh-dev)\n",
     cmd_dev_up},
    {"dev down", "", "stop that mesh",
     "The nodes' homes stay; 'dev up' starts them again.\n\n"
     "  --dir DIR      as given to dev up\n",
     cmd_dev_down},
    {"init", "--dev-root DIR", "make a node's home",
     "example:\n"
     "  seemesh --home ~/node1 init --dev-root ~/root --listen 10.0.0.5:7411 \\\n"
     "          --peers 10.0.0.6:7411\n\n"
     "  seemesh --home ~/node2 init --dev-root ~/root --tpm auto --tpm-ca makers.pem\n\n"
     "  --dev-root DIR   the development root; made when it is not there\n"
     "  --tpm TCTI       the node's platform is this TPM: device:/dev/tpmrm0 (auto), or\n"
     "                   swtpm:path=SOCKET.  Its key is sealed to the TPM's registers.\n"
     "  --tpm-ca FILE    PEM: certificates of TPM makers, to check the TPM by\n"
     "  --pcrs LIST      which registers (0,2,4,7)\n"
     "  --platform snp|tdx    a confidential machine; with --root, see 'seemesh help platform\n"
     "                   request' and doc/hardware.md\n"
     "  --root KEY       with --tpm or --platform, in place of --dev-root: who will\n"
     "                   endorse the node, as in root.pub; see 'seemesh help tpm request'\n"
     "  --environment dev|prod    with --root (dev)\n"
     "  --name, --mesh, --owner NAME\n"
     "  --listen ADDR:PORT, --peers ADDR:PORT,...\n",
     cmd_init},
    {"node", "", "run the node of --home in the foreground", "Ends on Ctrl-C or SIGTERM.\n",
     cmd_node},
    {"put", "FILE", "store a file in the mesh",
     "examples:\n"
     "  seemesh put report.pdf\n"
     "  tar c folder | seemesh put - --name folder.tar\n\n"
     "Prints the reference: whoever has that line can read the file.  It is also kept, by\n"
     "name, in HOME/client/objects.  The file is encrypted here; holders see ciphertext.\n\n"
     "  --name NAME      what 'ls' calls it (the file's name)\n",
     cmd_put},
    {"get", "REF", "read a file from the mesh",
     "examples:\n"
     "  seemesh get report.pdf -o copy.pdf\n"
     "  seemesh get sm1:... | tar x\n\n"
     "REF is a reference, a name of 'seemesh ls', or - to read the reference from standard\n"
     "input, so that it is not seen in the list of processes.\n\n"
     "  -o, --output FILE    written whole or not at all\n",
     cmd_get},
    {"ls", "", "list what was put from here, and whether it can be read now", NULL, cmd_ls},
    {"rm", "REF", "remove an object from every holder", "  -y, --yes        do not ask\n",
     cmd_rm},
    {"run", "MODULE", "run a WebAssembly module over an object",
     "examples:\n"
     "  seemesh run wordstat.wasm --on book.txt --reduce wordstat-reduce.wasm\n"
     "  seemesh run csvstat.wasm --on data.csv --split csv -o result.csv\n\n"
     "The object is cut into units; each runs in a SEE instance on some node, which reads its\n"
     "part by sessions of its own.  A unit on a lost or slow node runs again elsewhere.\n"
     "Results come in the order of the input, or through the reduce module.\n\n"
     "  --on REF         the object: reference, name or -\n"
     "  --split HOW      lines (default), csv, or bytes:N\n"
     "  --units N        how many pieces (three for each SEE)\n"
     "  --reduce MODULE  run over the results, in a tree, until one is left\n"
     "  --arg TEXT, --reduce-arg TEXT    argument of the module (may be repeated)\n"
     "  --sees N         SEE instances to use (all that are free, at most 64)\n"
     "  --time TIME      longest time of one unit (60s)\n"
     "  --receipts FILE  keep the signed receipts\n"
     "  -o FILE          the result; else standard output\n",
     cmd_run},
    {"verify", "FILE", "check the receipts of a run, offline",
     "FILE is what 'run --receipts' wrote.  Needs only the configuration of --home.\n",
     cmd_verify},
    {"attest verify", "KIND --FILE...", "verify evidence of hardware and judge it, offline",
     "KIND is snp, azure, tdx, sgx, tpm or nitro.\n"
     "example:\n"
     "  seemesh attest verify snp --report report.bin --vek vcek.der --chain ask.pem\n\n"
     "Checks evidence and what was stapled to it against the makers' pinned roots, prints the\n"
     "claims and judges them by the default policy.  A refusal gives every reason.  Nothing "
     "is\n"
     "fetched.  A file has at most 1 MiB.  Ends with 7 when it is not verified, 4 when only\n"
     "the policy refuses it.\n\n" FILES_OF_EVIDENCE
     "  --measurement HEX   what it must have launched (any, and the answer says so)\n"
     "  --allow-debug       take debugging\n",
     cmd_attest_verify},
    {"attest show", "NODE | FILE | KIND --FILE...",
     "verify evidence and print its claims, without judging",
     "As 'attest verify', without policy.  What is not verified has no claims.  Of a NODE:\n"
     "claims, verdict, lease, as this node sees it; self is this node.\n\n"
     "  --report FILE       snp: the report; azure: the HCL report\n"
     "  --vek FILE          snp, azure: certificate of the signing key, VCEK or VLEK\n"
     "  --quote FILE        tdx, sgx: the quote; tpm, azure: TPMS_ATTEST\n"
     "  --sig FILE          tpm, azure: the signature of the quote\n"
     "  --doc FILE          nitro: the document\n"
     "  --chain FILE        certificates above: ASK; TCB signing; AK and up (tpm)\n"
     "  --crl FILE          snp, azure: AMD's revocation list, if there is one\n"
     "  --tcb-info FILE, --qe-identity FILE    tdx, sgx: answers of Intel's service\n"
     "  --pck-crl FILE, --root-crl FILE        tdx, sgx: revocation lists\n"
     "  --ak FILE           tpm: the public area of the key, TPMT_PUBLIC\n"
     "  --pcrs FILE         tpm, azure: lines of 'index hexadecimal'\n"
     "  --event-log FILE    tpm: the log that explains them, if there is one\n"
     "  --root FILE         believe this root: needed for tpm, for tests elsewhere\n"
     "  --as-of TIME        Unix seconds, 2026-01-31 or 2026-01-31T12:00:00Z (now)\n"
     "  --nonce HEX         what it must have been made for\n",
     cmd_attest_show},
    {"attest explain", "NODE | FILE | KIND --FILE...",
     "say what was checked in evidence, what passed, and what would mend the rest",
     "examples:\n"
     "  seemesh attest explain collected.cmw\n"
     "  seemesh attest explain snp --report report.bin --vek vcek.der --chain ask.pem \\\n"
     "          --policy manifest.ini --as-of 2026-04-01\n\n"
     "NODE is a neighbour: its owner or the beginning of its id; or self.  It is judged as it "
     "was\n"
     "proven last, by the rules as they are now.\n"
     "FILE is an envelope, as nodes show it to each other and as 'attest collect' writes it; "
     "or\n"
     "the parts are given as to 'attest verify'.  Judged by the default policy, or by a\n"
     "manifest.  --json adds the verdict in the numbers of AR4SI.  Ends as 'attest "
     "verify'.\n\n" FILES_OF_EVIDENCE
     "  --measurement HEX   what it must have launched (any, and the answer says so)\n"
     "  --allow-debug       take debugging\n"
     "  --manifest FILE     judge by this signed manifest\n"
     "  --policy FILE       judge by this manifest as text\n",
     cmd_attest_explain},
    {"attest diff", "A B", "say what differs between two pieces of evidence",
     "examples:\n"
     "  seemesh attest diff good.cmw bad.cmw\n"
     "  seemesh attest diff yesterday.json n4\n\n"
     "Each is an envelope in a file, the JSON of 'attest show', or a node.  Only what is\n"
     "verified is compared: field by field, with what a policy would say of it.  Of TPMs with\n"
     "event logs the first event that differs is named for each register.\n\n"
     "  --as-of TIME    verify files as of then (now)\n",
     cmd_attest_diff},
    {"attest collect", "-o FILE", "ask this node's platform for evidence",
     "examples:\n"
     "  seemesh attest collect -o good.cmw\n"
     "  seemesh attest collect --data 00112233 --raw parts\n\n"
     "Writes an envelope for 'attest explain' and 'attest diff'.  It is made for bytes of "
     "your\n"
     "own choice under a prefix that no tunnel uses: it proves the machine to who chose them,\n"
     "and nothing to a peer.  At most one in two seconds.\n\n"
     "  --data HEX           1 to 64 bytes it is to be made for (32 by chance)\n"
     "  -o, --output FILE    the envelope\n"
     "  --raw DIR            each part in a file of its own, as it came\n",
     cmd_attest_collect},
    {"attest refusals", "", "list whom this node refused lately, who refused it, and why", NULL,
     cmd_attest_refusals},
    {"attest reasons", "", "list why evidence is refused, and what would mend it",
     "  --platform NAME    what mends it there: snp, tdx, tpm, sgx, nitro, snp-vtpm,\n"
     "                     tdx-vtpm or software\n",
     cmd_attest_reasons},
    {"tpm show", "", "say what this machine's TPM is, and its registers",
     "  --tpm TCTI       device:/dev/tpmrm0 (auto), or swtpm:path=SOCKET\n", cmd_tpm_show},
    {"tpm request", "-o FILE", "ask for the endorsement of this node by its TPM",
     "Writes a question for who holds the mesh's root.  The answer can be read by this TPM\n"
     "only.  Stop the node before: a TPM without resource manager has one client.\n\n"
     "  -o FILE          where to write it\n"
     "  --renew          make the node's key anew, sealed to the registers of this boot: "
     "after\n"
     "                   a change of firmware or boot loader.  The node's id stays.\n"
     "  --pcrs LIST      with --renew: to other registers\n",
     cmd_tpm_request},
    {"tpm endorse", "REQUEST", "answer such a request, with the root",
     "example:\n"
     "  seemesh tpm endorse node7.request --root-dir ~/root --tpm-ca makers.pem -o "
     "node7.answer\n\n"
     "Checks the TPM's endorsement key up to its maker's certificate, the quote and the key;\n"
     "prints platform and measurement, which a manifest may list.  The mesh is that of\n"
     "--home's configuration.\n\n"
     "  --root-dir DIR   where root.key is\n"
     "  --tpm-ca FILE    PEM: certificates of the makers that are believed, and those between\n"
     "  -o FILE          the answer\n",
     cmd_tpm_endorse},
    {"tpm accept", "ANSWER", "open the answer in the TPM and keep the endorsement", NULL,
     cmd_tpm_accept},
    {"root init", "DIR", "make the root key of a mesh, or show the one that is there",
     "Prints the public key, which nodes pin.  DIR/root.key endorses nodes and signs "
     "manifests:\n"
     "keep it off the nodes, and a copy of it.\n",
     cmd_root_init},
    {"platform request", "-o FILE", "ask for the endorsement of this confidential machine",
     "example:\n"
     "  seemesh platform request --nonce 5f1c... -o node7.request\n\n"
     "The platform that the configuration names (snp, tdx) signs this node's key for its "
     "mesh.\n"
     "What the maker says of the machine is read from HOME/keys/staples; see\n"
     "doc/hardware.md.  Shows what a peer would see.\n\n"
     "  -o FILE          where to write it\n"
     "  --nonce HEX      what the holder of the root gave\n",
     cmd_platform_request},
    {"platform endorse", "REQUEST", "answer such a request, with the root",
     "example:\n"
     "  seemesh --home ~/any-node platform endorse node7.request --root-dir ~/root \\\n"
     "          --nonce 5f1c... -o node7.answer\n\n"
     "Verifies the evidence up to the maker's root, offline, and prints platform id,\n"
     "measurement and firmware.  Mesh and roots are those of --home's configuration.\n\n"
     "  --root-dir DIR   where root.key is\n"
     "  -o FILE          the answer\n"
     "  --nonce HEX      what the request must have\n"
     "  --measurement HEX  what must have been launched there\n"
     "  --index N        which of the four ids that one machine may have (0)\n"
     "  --days N         for how long (365)\n",
     cmd_platform_endorse},
    {"platform accept", "ANSWER", "keep the endorsement", NULL, cmd_platform_accept},
    {"manifest new", "[FILE]", "write a manifest to edit: what this mesh takes",
     "example:\n"
     "  seemesh --home ~/node1 manifest new mesh.ini\n\n"
     "Writes a text with every key and what it is about, for the mesh of --home.  In a\n"
     "development mesh it names the installed programs; elsewhere reference values are to be\n"
     "added, best from the build of what runs there.  Without FILE to standard output.\n\n"
     "  --from-node      also name what the nodes that are known here run now\n",
     cmd_manifest_new},
    {"manifest show", "[FILE]", "print a manifest, or the one in force and which nodes have it",
     "FILE is a text or signed.  Without it, the node's: what its neighbours are judged by, "
     "and\n"
     "a table of the versions that the nodes have.  What is printed can be edited and signed\n"
     "again.\n",
     cmd_manifest_show},
    {"manifest diff", "[OLD] NEW", "say what two manifests say differently",
     "Each is a text or signed; without OLD, NEW is compared with what is in force on the "
     "node.\n",
     cmd_manifest_diff},
    {"manifest sign", "FILE --root-dir DIR", "sign a manifest with a root of the mesh",
     "example:\n"
     "  seemesh --home ~/node1 manifest sign mesh.ini --root-dir ~/root\n\n"
     "Writes FILE.manifest (mesh.ini makes mesh.manifest).  When the text gives no version, "
     "it\n"
     "is one above the signed file that is there, or above --previous; one that is not above\n"
     "is refused, because nodes would refuse it.  Issued is now.\n\n"
     "  --root-dir DIR   has the root's key, root.key\n"
     "  --previous FILE  the signed manifest that this one replaces\n"
     "  --days N         how long it is good for, when the text does not say (365)\n"
     "  -o, --output FILE\n",
     cmd_manifest_sign},
    {"manifest apply", "FILE", "put a signed manifest in force on the node, and so in the mesh",
     "The node checks it and tells the others, which check it too: within seconds all that "
     "can\n"
     "be reached judge their neighbours anew.  An older version is refused.\n",
     cmd_manifest_apply},
    {"revoke", "KIND ID --reason TEXT --root-dir DIR",
     "believe a node, platform or program no more",
     "examples:\n"
     "  seemesh revoke node hospital-3 --reason stolen --root-dir ~/root\n"
     "  seemesh revoke measurement 8d2f... --reason CVE-2026-1234 --root-dir ~/root\n\n"
     "KIND is node, platform, measurement or root.  ID is an id as it is printed, or the "
     "owner\n"
     "of a node that is known: then its id, platform or program.  The list in force gets an\n"
     "entry, is signed, and goes to every node; whoever is hit loses all tunnels within\n"
     "seconds.  Asks first, unless --yes.\n\n"
     "  --reason TEXT    at most 64 letters; who is refused reads it\n"
     "  --root-dir DIR   has the root's key, root.key\n"
     "  --since DATE     from when on it was not to be trusted (now)\n"
     "  -o, --output FILE  write the list there and give it to no node\n"
     "  --list FILE      add to this list instead of the node's\n"
     "  -y, --yes        do not ask\n",
     cmd_revoke},
    {"revoke undo", "KIND ID --root-dir DIR", "take an entry off the revocation list",
     "  --root-dir DIR   has the root's key, root.key\n"
     "  -o, --output FILE  write the list there and give it to no node\n"
     "  --list FILE      take from this list instead of the node's\n",
     cmd_revoke_undo},
    {"revoke ls", "[FILE]", "list what is revoked, as the node or a signed list says", NULL,
     cmd_revoke_ls},
    {"collateral add", "KIND FILE [--chain FILE]",
     "give the node a document of a maker of hardware, and so all nodes",
     "examples:\n"
     "  seemesh collateral add tcb-info tcb.json --chain tcb-signing.pem\n"
     "  seemesh collateral add crl rootca.crl\n\n"
     "KIND is tcb-info, qe-identity (Intel's service's answers) or crl (Intel's, AMD's).  It "
     "is\n"
     "checked against the makers' pinned roots, replaces an older one, and is passed on; "
     "quotes\n"
     "are then verified with it.\n\n"
     "  --chain FILE     certificates of who signed it, DER or PEM, without which only a "
     "root's\n"
     "                   own list can be checked\n",
     cmd_collateral_add},
    {"collateral ls", "", "list the makers' documents that the node has", NULL,
     cmd_collateral_ls},
    {"nodes", "", "list the nodes of the mesh as this node sees them", NULL, cmd_nodes},
    {"route", "NODE", "show the paths to a node and what each hop costs",
     "NODE is an owner, or the beginning of a node id.\n", cmd_route},
    {"trust", "[NODE]", "show the trust in all nodes, or explain the trust in one", NULL,
     cmd_trust},
    {"see list", "", "list the SEE instances on this node", NULL, cmd_see_list},
    {"status", "", "show how this node is", NULL, cmd_status},
    {"tun up", "", "give this host an IPv6 interface into the mesh",
     "examples:\n"
     "  sudo seemesh --home ~/.seemesh tun up\n"
     "  sudo ip netns exec lab seemesh --home /var/lib/node tun up --name mesh0\n\n"
     "Makes a TUN interface with this node's address and the route to the whole mesh, and\n"
     "passes it to the running node; ssh, databases and whatever speaks IPv6 then reach the\n"
     "other nodes that did the same.  Needs CAP_NET_ADMIN; the node needs no rights.  The\n"
     "interface goes with the node or with 'tun down'.  Every node of the mesh can then\n"
     "connect to what listens on this host: use a firewall.\n\n"
     "  --name NAME    what the interface is called (seemesh0, 1, ...)\n"
     "  --mtu BYTES    longest packet that is not a segment, 1280 to 65535 (1400)\n",
     cmd_tun_up},
    {"tun down", "", "remove that interface", NULL, cmd_tun_down},
    {"tun status", "", "show its address, and what it carried and lost", NULL, cmd_tun_status},
    {"bench", "NAME", "measure beside the bare primitive",
     "NAME is tunnel, handshake, relay, rpc, put, get, see, spf, session, tun, tpm or all.\n"
     "Prints value, reference and ratio, medians of at least five runs.  tun needs root,\n"
     "python3 and iproute2: it makes network namespaces.\n",
     cmd_bench},
};
const size_t cli_commands_n = SM_COUNT(cli_commands);

const struct cli_command *cli_command_named(const char *name)
{
    for (size_t i = 0; i < cli_commands_n; i++) {
        if (strcmp(cli_commands[i].name, name) == 0) {
            return &cli_commands[i];
        }
    }
    assert(false); /* callers name commands of the table */
    return NULL;
}
