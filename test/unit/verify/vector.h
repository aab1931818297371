/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_VERIFY_VECTOR_H
#define TEST_VERIFY_VECTOR_H

#include "agent/base/enc.h"
#include "agent/base/fs.h"
#include "agent/verify/verify.h"
#include "test/test.h"

/* What the tests of this room share: recorded evidence, and findings by name. */

#define VERIFIER    "evidence/trustee/deps/verifier/"
#define TEST_DATA   VERIFIER "test_data/"
#define E2E_SNP     "evidence/trustee/attestation-service/tests/e2e/evidence.json"
#define JUNE_2025   1748736000 /* every recorded certificate is valid */
#define ROOM        (4u << 20)

static inline struct buf vector_bytes(const char *path)
{
	struct buf b = BUF_MAX(ROOM);
	struct err e;

	if (fs_read(&b, path, ROOM, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", path, e.msg);
	return b;
}

static inline struct buf shared_bytes(const char *path)
{
	return vector_bytes(test_shared(path));
}

/* The one piece of evidence in a shared file. */
static inline struct evidence *shared_evidence(const char *path)
{
	cleanup_buf struct buf text = shared_bytes(path);
	cleanup_evidence_file struct evidence_file f = { 0 };
	struct evidence *ev;
	struct err e;

	if (evidence_file_load(&f, buf_view(&text), NULL, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s: %s", path, e.msg);
	CHECK_INT(f.n, 1);
	ev = f.item[0];
	f.n = 0;
	return ev;
}

/* One finding has that state and those words. */
static inline void check_finding(const struct findings *f, const char *name,
				 enum finding_state state, const char *words)
{
	const struct finding *x = finding_get(f, name);

	if (!x)
		test_fail(__FILE__, __LINE__, "no finding %s", name);
	if (x->state != state || !strstr(x->text, words))
		test_fail(__FILE__, __LINE__, "%s is %s \"%s\", want %s \"%s\"", name,
			  finding_state_name(x->state), x->text, finding_state_name(state), words);
}

/* Nothing is bad, besides what `but` names (NULL: nothing). */
static inline void check_all_hold(const struct findings *f, const char *but)
{
	CHECK(!f->overflow);
	for (size_t i = 0; i < f->n; i++)
		if (f->list[i].state == FINDING_BAD && (!but || strcmp(f->list[i].name, but) != 0))
			test_fail(__FILE__, __LINE__, "%s: %s", f->list[i].name, f->list[i].text);
}

static inline struct verify_want want_at(int64_t at)
{
	return (struct verify_want){ .at = at };
}

static inline void want_bytes(struct verify_want *w, const char *text)
{
	w->has_report_data = true;
	w->report_data = view_str(text);
}

#endif
