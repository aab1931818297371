/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INITDATA_INTAKE_H
#define INITDATA_INTAKE_H

#include "initdata/isolated.h"
#include "initdata/source.h"

/*
 * From a source to a checked delivery: fetch, and read in the children. User-data that cannot be
 * fetched or does not parse is tried again, both together, with a fixed pause, because metadata
 * services come up late; what is wrong with the initdata in it is final. Source: spec/local-api.md
 * 5.6.
 */
#define INTAKE_TRIES      10
#define INTAKE_PAUSE_MS   5000
#define INTAKE_TIMEOUT_MS 180000 /* default of --timeout */
#define INTAKE_EXISTING   "/run/peerpod/initdata"

struct intake {
	enum source_kind source; /* the one used; never SOURCE_AUTO */
	struct isolated in;
	struct buf dummy; /* owned: what in.d.extra may point into */
};

#define cleanup_intake __attribute__((cleanup(intake_done)))

/*
 * Carry it out.
 *
 * out       zeroed by the caller; out->source is set as soon as it is known, the rest on success
 * kind      SOURCE_AUTO chooses
 * pause_ms  INTAKE_PAUSE_MS, less in tests
 *
 * Where peer pods get no initdata, the dummy is also delivered as /run/peerpod/initdata, as
 * upstream does it.
 *
 * Errors: source_choose(), source_fetch(), isolated_load(); userdata.* and initdata.source after
 * the last try; initdata.source, initdata.too-large (the existing file); ERR_NOMEM.
 */
int intake_run(struct intake *out, enum source_kind kind, const struct source_env *env,
	       int64_t pause_ms, struct err *e) MUST_CHECK;

void intake_done(struct intake *i);

#endif
