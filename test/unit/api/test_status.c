/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/status.h"
#include "test/test.h"

TEST(api_status__said_and_read_back__keeps_code_and_reason)
{
	char text[API_STATUS_TEXT];
	struct err e, back;

	(void)err_code(&e, CODE_KBS_POLICY_DENIED, "resource kbs:///a/b/c: no");
	api_status_say(text, "[CDH] [ERROR]: Unseal Secret failed", &e);
	CHECK(strcmp(text, "[CDH] [ERROR]: Unseal Secret failed: kbs.policy-denied: "
			   "resource kbs:///a/b/c: no") == 0);
	CHECK_ERR(api_status_err(13, view_str(text), &back), ERR_DENIED, back,
		  "resource kbs:///a/b/c: no");
	CHECK_INT(back.code, CODE_KBS_POLICY_DENIED);
	CHECK(strncmp(back.msg, "resource", 8) == 0);
}

TEST(api_status_err__no_code_in_the_text__status_decides)
{
	static const struct {
		int status;
		const char *text;
		enum err_code code;
		enum err_kind kind;
	} rows[] = {
		{ 13, "[CDH] [ERROR]: Unseal Secret failed", CODE_GENERAL_DENIED, ERR_DENIED },
		{ 4, "timeout", CODE_API_DEADLINE, ERR_TIMEOUT },
		{ 3, "x service does not exist", CODE_API_MALFORMED, ERR_FORMAT },
		{ 2, "", CODE_API_MALFORMED, ERR_FORMAT },
		{ 7, "no", CODE_API_PEER_DENIED, ERR_DENIED },
		{ 8, "no", CODE_API_PEER_BUSY, ERR_LIMIT },
		{ 12, "Foo method", CODE_GENERAL_UNSUPPORTED, ERR_UNSUPPORTED },
		{ -7, "ok: fine", CODE_GENERAL_DENIED, ERR_DENIED },
	};
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CHECK_ERR(api_status_err(rows[i].status, view_str(rows[i].text), &e), rows[i].kind,
			  e, rows[i].text);
		CHECK_INT(e.code, rows[i].code);
	}
}

TEST(api_status_err__long_or_binary_message__is_cut_and_cleaned)
{
	uint8_t junk[4000];
	struct err e;

	for (size_t i = 0; i < sizeof junk; i++)
		junk[i] = (uint8_t)i;
	CHECK_INT(api_status_err(13, (struct view){ junk, sizeof junk }, &e), -ERR_DENIED);
	for (const char *p = e.msg; *p; p++)
		CHECK((unsigned char)*p >= ' ');
	CHECK(strlen(e.msg) < ERR_MSG_MAX);
}

TEST(api_text_clean__keeps_utf8_and_replaces_the_rest)
{
	char text[] = "a\tb\x7f \xc3\xa9 \xf0\x9f\x98\x80 \xff\xc3 \xed\xa0\x80 \xe2\x82";

	api_text_clean(text, strlen(text));
	CHECK(strcmp(text, "a?b? \xc3\xa9 \xf0\x9f\x98\x80 ?? ??? ??") == 0);
}

TEST(api_status_say__longest_message__fits_and_ends)
{
	char text[API_STATUS_TEXT];
	struct err e = { .kind = ERR_VERIFY, .code = CODE_SEALED_PROVIDER_UNSUPPORTED };

	for (size_t i = 0; i < sizeof e.msg - 1; i++)
		e.msg[i] = 'x';
	api_status_say(text, "[CDH] [ERROR]: Decrypt Image (UnwrapKey) failed", &e);
	CHECK(strlen(text) == strlen("[CDH] [ERROR]: Decrypt Image (UnwrapKey) failed: "
				     "sealed.provider-unsupported: ") +
				      sizeof e.msg - 1);
}

TEST(api_status_of__dispatch_errors__have_their_grpc_codes)
{
	CHECK_INT(api_status_of(ERR_FORMAT), 3);
	CHECK_INT(api_status_of(ERR_LIMIT), 8);
	CHECK_INT(api_status_of(ERR_DENIED), 7);
	CHECK_INT(api_status_of(ERR_NOMEM), 8);
	CHECK_INT(api_status_of(ERR_TIMEOUT), 4);
	CHECK_INT(api_status_of(ERR_KIND_COUNT), 13);
}
