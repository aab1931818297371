/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ATTESTER_EVENTLOG_H
#define ATTESTER_EVENTLOG_H

#include "attester/attester.h"
#include "attester/eventlog_entry.h"

/*
 * The event log: each event extends a register and becomes an entry (eventlog_entry.h) that says
 * what the register was extended with. An entry names the register that was really extended.
 *
 * Which register: the caller's, else [eventlog_config] init_pcr of aa.toml, else the platform's
 * (attester->log_register). On a TPM that is PCR 15. Upstream's default, 17, cannot be extended by
 * a program in the guest (17 to 22 want a locality above 0: TPM_RC_LOCALITY, 907). Of those that
 * can, 16 and 23 can also be reset by every root process, so that they prove nothing; 0 to 7 are
 * the firmware's, 8 has the initdata, 9 the initrd, 10 is IMA's, 11 to 13 systemd-stub's and the
 * kernel command line's, 14 shim's. 15 cannot be reset; systemd measures machine-id and file
 * systems there (systemd-pcrmachine, -pcrfs), which pod VM images mask. Where they run, the PCR is
 * not zero when the log begins: the log is still right, but its replay from zero is not the PCR,
 * and `vouchsafe eventlog --verify` says so.
 * A configured register is taken as it is; one that the TPM refuses, or that holds the initdata,
 * fails at the first event with eventlog.register.
 *
 * An event is never extended twice and never lost once its caller was told of success, wherever
 * the program is killed. The write-ahead file holds the event while it is on its way:
 *
 *   8   offset of the entry in the log, big-endian
 *   n   what the register will hold (hash length)
 *   n   the text; it has no LF
 *   n   LF and the requested register in decimal. Upstream writes no such tail: without it the
 *       event is for the configured register
 *
 *   read register ─► file, synced, renamed ─► extend ─► entry into the log, synced ─► file removed
 *
 * At open, by what is found (R: the register; E: what the file says that it will hold):
 *
 *   file │ log behind the offset   │ R = E           │ H(R, digest) = E       │ R is another
 *   ─────┼─────────────────────────┼─────────────────┼────────────────────────┼─────────────
 *   none │ (the log: whole entries)│ open            │ open                   │ open
 *   none │ (the log: not so)       │ refuse          │ refuse                 │ refuse
 *   yes  │ nothing                 │ write the entry │ extend, write the entry│ refuse
 *   yes  │ a part of the entry     │ write the rest  │ refuse                 │ refuse
 *   yes  │ the entry               │ remove the file │ refuse                 │ refuse
 *   yes  │ anything else           │ refuse          │ refuse                 │ refuse
 *
 * "Refuse" is eventlog.inconsistent and changes nothing. When the register refuses an extend and is
 * seen to be unchanged, the event is dropped: its caller was not told of success.
 */
#define EVENTLOG_DIR  "/run/attestation-agent"
#define EVENTLOG_FILE EVENTLOG_DIR "/eventlog"
#define EVENTLOG_WAL  EVENTLOG_DIR "/.wal_event_entry"

struct eventlog; /* opaque */

#define cleanup_eventlog __attribute__((cleanup(eventlog_closep)))

struct eventlog_config {
	bool enabled; /* [eventlog_config] enable_eventlog */
	bool has_init_pcr;
	unsigned init_pcr; /* [eventlog_config] init_pcr */
};

/* As ExtendRuntimeMeasurement's Result has them on the wire. */
enum eventlog_result {
	EVENTLOG_OK = 0,
	EVENTLOG_NOT_SUPPORTED = 1, /* the platform has no such register */
	EVENTLOG_NOT_ENABLED = 2,   /* the configuration does not ask for a log */
};

/*
 * Open the log below root, making folder and file, and bring to an end what a killed program left.
 * One process at a time may have it open. Where it is not enabled or not supported no file is
 * touched and *out only gives those results.
 *
 * out         set on success only; ends with eventlog_close()
 * root        prefix of EVENTLOG_DIR: "" or that of a development build
 * attester    and env must outlive *out
 *
 * Errors: eventlog.inconsistent, eventlog.file (files; another process has it), eventlog.register
 * (a register out of range), the register's own (tpm.*), ERR_NOMEM, ERR_CRYPTO.
 */
int eventlog_open(struct eventlog **out, const char *root, const struct attester *attester,
		  const struct attester_env *env, const struct eventlog_config *config,
		  struct err *e) MUST_CHECK;
void eventlog_close(struct eventlog *log);
static inline void eventlog_closep(struct eventlog **log)
{
	eventlog_close(*log);
}

/*
 * Measure one event and write it down. Any thread may call.
 *
 * reg     the register, or NULL for the log's own
 * result  set on success only; with another than EVENTLOG_OK nothing was looked at and nothing done
 *
 * Errors: eventlog.bad-event, eventlog.register, eventlog.full, eventlog.file,
 * eventlog.inconsistent, the register's own (tpm.*), ERR_NOMEM, ERR_CRYPTO. After eventlog.file the
 * event may be in the register; its entry is then written before the next event.
 */
int eventlog_extend(struct eventlog *log, struct view domain, struct view operation,
		    struct view content, const uint64_t *reg, enum eventlog_result *result,
		    struct err *e) MUST_CHECK;

#endif
