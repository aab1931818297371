/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INITDATA_SOURCE_H
#define INITDATA_SOURCE_H

#include "agent/base/http.h"

/*
 * Where this guest's user-data or initdata comes from. The choice, first match:
 *
 *   1  cidata   /media/cidata/user-data is there, or a volume labelled cidata that should be
 *               mounted there
 *   2  block    a disk vd* or sd* with native kata's magic (blockdev.h)
 *   3  azure    hypervisor "Microsoft Hv"
 *   4  aws      manufacturer "Amazon EC2"
 *   5  gcp      hypervisor KVM, and manufacturer "Google" or its metadata service answers
 *   6  alibaba  manufacturer "Alibaba Cloud"
 *   7  none     /run/peerpod/initdata, which cloud-init may have written; else there is none
 *
 * Source: spec/local-api.md 5.6; 2 is native kata's, which has no network yet. Hypervisor and
 * manufacturer are the host's words: what they lead to is checked all the same.
 */
enum source_kind {
	SOURCE_AUTO,
	SOURCE_CIDATA,
	SOURCE_BLOCK,
	SOURCE_AZURE,
	SOURCE_AWS,
	SOURCE_GCP,
	SOURCE_ALIBABA,
	SOURCE_NONE,
};

#define SOURCE_TRY_MS    20000 /* one fetch */
#define SOURCE_TOKEN_MS  5000  /* AWS's token */
#define SOURCE_DETECT_MS 10000 /* is this GCP? */
#define SOURCE_TOKEN_MAX 1024  /* bytes */

#define SOURCE_CIDATA_PATH "/media/cidata/user-data"

/* What tells the clouds apart; "" where unknown. */
struct source_probe {
	char hypervisor[13];   /* CPUID leaf 0x40000000, x86 only: "Microsoft Hv", "KVMKVMKVM" */
	char manufacturer[64]; /* SMBIOS: /sys/class/dmi/id/sys_vendor, without its line end */
};

struct source_env {
	const char *root; /* "" or a prefix of all paths */
	struct source_probe probe;
	http_round_trip *round_trip; /* must not go through a proxy */
	void *round_trip_ctx;
	struct deadline deadline; /* for everything */
	bool plain_files;         /* regular files may stand in for disks */
};

/* What was fetched, still in the host's words. */
struct source_data {
	enum { SOURCE_PLAIN, SOURCE_BASE64, SOURCE_GZIP, SOURCE_NOTHING } form;
	struct buf bytes; /* owned: user-data, or for SOURCE_GZIP the initdata */
};

#define cleanup_source_data __attribute__((cleanup(source_data_done)))

/* "auto", "cidata", … Static. And the kind of such a word, or -1. */
const char *source_name(enum source_kind k);
int source_by_name(const char *name);

/* Look at this machine. */
void source_probe(struct source_probe *out, const char *root);

/*
 * The table above; never SOURCE_AUTO. Asks the network in row 5 only.
 * Errors: initdata.source, initdata.block, initdata.too-large, ERR_NOMEM.
 */
int source_choose(enum source_kind *out, const struct source_env *env, struct err *e) MUST_CHECK;

/*
 * Fetch once, in at most SOURCE_TRY_MS; only status 200 counts. SOURCE_NONE and a missing disk
 * give SOURCE_NOTHING.
 *
 * out  zeroed by the caller; set on success only
 *
 * Errors: userdata.unavailable, userdata.too-large; initdata.source (the file); as
 * blockdev_find(); ERR_NOMEM.
 */
int source_fetch(struct source_data *out, enum source_kind kind, const struct source_env *env,
		 struct err *e) MUST_CHECK;

void source_data_done(struct source_data *d);

#endif
