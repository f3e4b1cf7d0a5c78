// SPDX-License-Identifier: Apache-2.0
#pragma once
/* err: the one list of what can go wrong, with the words for it.
 *
 * Every function that can fail returns an enum sm_err and is SM_MUST.  Three kinds,
 * never mixed: the peer is wrong (count, drop), the world is wrong (report once, recover
 * by rule), we are wrong (assert).  Words for people are made at the edges only.
 *
 * The exit codes of seemesh(1) are groups of this enum: see sm_err_exit_code().
 */

#define SM_ERR_LIST(X)                                                                         \
    X(SM_OK, 0, "success")                                                                     \
    X(SM_E_TRUNCATED, -1, "message ends early")                                                \
    X(SM_E_MALFORMED, -2, "message breaks its own grammar")                                    \
    X(SM_E_VERSION, -3, "version is not supported")                                            \
    X(SM_E_LIMIT, -4, "a limit was reached")                                                   \
    X(SM_E_NOMEM, -5, "out of memory")                                                         \
    X(SM_E_AUTH, -6, "peer failed to prove its identity")                                      \
    X(SM_E_CRYPTO, -7, "a cryptographic check failed")                                         \
    X(SM_E_HASH, -8, "content does not match its hash")                                        \
    X(SM_E_EXPIRED, -9, "expired or not yet valid")                                            \
    X(SM_E_REPLAY, -10, "seen before")                                                         \
    X(SM_E_REFUSED, -11, "refused by policy")                                                  \
    X(SM_E_NOTFOUND, -12, "not found")                                                         \
    X(SM_E_EXISTS, -13, "exists already")                                                      \
    X(SM_E_TIMEOUT, -14, "no answer in time")                                                  \
    X(SM_E_UNREACHABLE, -15, "no path to the peer")                                            \
    X(SM_E_CLOSED, -16, "closed by the other side")                                            \
    X(SM_E_BUSY, -17, "busy, try again")                                                       \
    X(SM_E_STATE, -18, "not allowed in this state")                                            \
    X(SM_E_INVALID, -19, "invalid argument")                                                   \
    X(SM_E_IO, -20, "input or output failed")                                                  \
    X(SM_E_NOSPACE, -21, "no space left on the disk")                                          \
    X(SM_E_CORRUPT, -22, "stored data is damaged")                                             \
    X(SM_E_STALE, -23, "an older fencing number or sequence")                                  \
    X(SM_E_TRAP, -24, "the module trapped")                                                    \
    X(SM_E_MODULE, -25, "the module is not acceptable")                                        \
    X(SM_E_COMPILE, -26, "the module could not be compiled")                                   \
    X(SM_E_PEERS, -27, "not enough peers")                                                     \
    X(SM_E_CONFIG, -28, "configuration error")                                                 \
    X(SM_E_USAGE, -29, "wrong usage")                                                          \
    X(SM_E_UNSUPPORTED, -30, "not supported here")                                             \
    X(SM_E_CANCELLED, -31, "cancelled")                                                        \
    X(SM_E_FAILED, -32, "failed")

#define SM_ERR_ENUM(name, value, words) name = (value),
enum sm_err { SM_ERR_LIST(SM_ERR_ENUM) };
#undef SM_ERR_ENUM

#define SM_MUST __attribute__((warn_unused_result))

/* The only macro with control flow: return the error to the caller. */
#define SM_TRY(expr)                                                                           \
    do {                                                                                       \
        enum sm_err sm_try_ = (expr);                                                          \
        if (sm_try_ != SM_OK) {                                                                \
            return sm_try_;                                                                    \
        }                                                                                      \
    } while (0)

/* The words of an error; never NULL, also for numbers that are none of ours. */
const char *sm_err_words(enum sm_err e);

/* The stable name, "SM_E_TIMEOUT"; never NULL. */
const char *sm_err_name(enum sm_err e);

/* Parse a number from a message.  Unknown numbers become SM_E_FAILED, so a newer peer's
 * error stays an error. */
enum sm_err sm_err_from_i32(int value);

/* Exit code for people and scripts: 0 done, 1 failed, 2 usage or configuration, 3 daemon not
 * reachable (only the CLI makes that), 4 refused, 5 not found, 6 too few peers or no answer
 * in time, 7 verification failed, 8 a limit was reached. */
int sm_err_exit_code(enum sm_err e);
