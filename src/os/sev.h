// SPDX-License-Identifier: Apache-2.0
#pragma once
/* sev: the guest's own device of AMD SEV-SNP, /dev/sev-guest: reports, reports with the host's
 * certificates, and keys that only this chip and guest can derive.
 *
 * Two answers are checked before anything is believed: the call's, where the host may say that
 * it is busy, and the firmware's status in front of what it returned.  A tool that left the
 * second out handed out a key of zeros, so a key of zeros is refused whatever the status.
 *
 * Not run on hardware yet: written after AMD 56860 and linux/sev-guest.h, tried with a stand-in
 * for ioctl(2) (tests/test_sev.c).
 *
 * Memory:  no globals; a derived key passes through memory that is wiped.
 * Errors:  NOTFOUND, REFUSED (the device); BUSY (the host throttles): ask again; LIMIT (a
 *          longer table than the buffer takes); UNSUPPORTED; FAILED (the firmware said no, or
 *          returned what it never should).  `why` is a sentence.
 */
#include "base/bytes.h"

#define SM_SEV_DEVICE "/dev/sev-guest"
#define SM_SEV_REPORT 1184u
#define SM_SEV_CERTS  (64u << 10) /* bytes of the host's table that we take */
#define SM_SEV_WHY    256u
#define SM_SEV_KEY    32u

struct sm_sev {
    int fd;
    int (*call)(int fd, unsigned long request, void *arg); /* ioctl, or a test's */
};

enum sm_err sm_sev_open(const char *device, struct sm_sev *out,
                        char why[static SM_SEV_WHY]) SM_MUST;
void sm_sev_close(struct sm_sev *s);

/* A report for that VMPL.  certs, if not NULL, gets the host's table; it may be empty. */
enum sm_err sm_sev_report(const struct sm_sev *s, const uint8_t report_data[static 64],
                          uint32_t vmpl, uint8_t out[static SM_SEV_REPORT],
                          struct sm_buf *certs, char why[static SM_SEV_WHY]) SM_MUST;

/* What is mixed into a derived key: bits of guest_field_select. */
enum sm_sev_field {
    SM_SEV_MIX_POLICY = 1,
    SM_SEV_MIX_IMAGE_ID = 2,
    SM_SEV_MIX_FAMILY_ID = 4,
    SM_SEV_MIX_MEASUREMENT = 8,
    SM_SEV_MIX_GUEST_SVN = 16,
    SM_SEV_MIX_TCB = 32,
};
struct sm_sev_key_ask {
    bool from_vmrk;       /* else from the VCEK */
    uint64_t fields;      /* enum sm_sev_field */
    uint32_t vmpl;        /* not below the guest's own */
    uint32_t guest_svn;   /* not above the one at launch */
    uint64_t tcb_version; /* not above the committed one */
};
/* Keys of hardware only ever wrap a random key: they change with firmware and machine. */
enum sm_err sm_sev_derive(const struct sm_sev *s, const struct sm_sev_key_ask *ask,
                          uint8_t out[static SM_SEV_KEY], char why[static SM_SEV_WHY]) SM_MUST;

/* The requests that the functions above make, for a list of allowed calls. */
#define SM_SEV_CALLS 3u
extern const unsigned long sm_sev_calls[SM_SEV_CALLS];
