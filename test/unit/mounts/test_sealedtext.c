/* SPDX-License-Identifier: Apache-2.0 */
#include "mounts/sealedtext.h"
#include "test/test.h"

TEST(sealedtext_within__what_may_be_a_sealed_secret__is_found)
{
	static const char *const yes[] = {
		"sealed.",
		"sealed.abc",
		"sealed.fakejwsheader.eyJ9.fakesignature",
		"--token=sealed.x",
		"export T=sealed.a.b.c; app",
		"echo sealed.eyJh.bc_-.d9",
		"\"sealed.a.b.c\"",
	};
	static const char *const no[] = {
		"", "sealed", "/etc/sealed.txt", "cat ./sealed.conf.bak", "unsealed.a.b", "a sealed. b",
		"xsealed.a..c", "SEALED.a.b.c", "sealed-a.b.c",
	};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		if (!sealedtext_within(view_str(yes[i])))
			test_fail(__FILE__, __LINE__, "not found in %s", yes[i]);
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		if (sealedtext_within(view_str(no[i])))
			test_fail(__FILE__, __LINE__, "found in %s", no[i]);
}

TEST(sealedtext_trim__white_space_at_the_end__is_dropped)
{
	CHECK(view_is(sealedtext_trim(view_str("sealed.a \r\n\t\n")), "sealed.a"));
	CHECK(view_is(sealedtext_trim(view_str(" \n")), ""));
	CHECK(view_is(sealedtext_trim(view_str(" x")), " x"));
}

TEST(sealedtext_is__beginning_only__counts)
{
	CHECK(sealedtext_is(view_str("sealed.x")));
	CHECK(!sealedtext_is(view_str("sealed")));
	CHECK(!sealedtext_is(view_str(" sealed.x")));
}
