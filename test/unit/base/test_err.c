/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/err.h"
#include "test/test.h"

#include <ctype.h>

TEST(err_catalogue__every_code__has_name_cause_remedy_and_is_unique)
{
	for (int i = 0; i < (int)CODE_COUNT; i++) {
		const struct err_entry *c = err_entry((enum err_code)i);
		const struct err_words *w = err_words((enum err_code)i);

		CHECK(c->name && w->cause && w->remedy);
		CHECK(strlen(w->cause) > 10 && strlen(w->remedy) > 10);
		CHECK(c->kind < ERR_KIND_COUNT);
		CHECK_INT(err_code_by_name(c->name), i);
		for (const char *p = c->name; *p; p++)
			CHECK(islower((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '.' ||
			      *p == '-');
		CHECK(i == CODE_OK || strchr(c->name, '.'));
	}
}

TEST(err_code__known__takes_kind_from_the_catalogue)
{
	struct err e;

	CHECK_ERR(err_code(&e, CODE_KBS_POLICY_DENIED, "kbs:///a/b/c"), ERR_DENIED, e, "kbs:///a/b/c");
	CHECK(strcmp(err_name(&e), "kbs.policy-denied") == 0);
}

TEST(err_set__plain_kind__gets_the_general_code)
{
	struct err e;

	CHECK_ERR(err_set(&e, ERR_LIMIT, "x"), ERR_LIMIT, e, "x");
	CHECK(strcmp(err_name(&e), "general.limit") == 0);
}

TEST(err_wrap_code__general_error__gets_code_kind_and_both_texts)
{
	struct err e;

	(void)err_set(&e, ERR_FORMAT, "JSON at offset 3");
	CHECK_ERR(err_wrap_code(&e, CODE_KBS_JWE_ALG, "reply"), ERR_UNSUPPORTED, e,
		  "reply: JSON at offset 3");
	CHECK(strcmp(err_name(&e), "kbs.jwe-algorithm") == 0);
}

TEST(err_code_by_name__unknown__is_minus_one)
{
	CHECK_INT(err_code_by_name("no.such"), -1);
}
