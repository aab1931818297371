/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/status.h"

#include "agent/base/enc.h"

#include <stdio.h>

enum api_status api_status_of(enum err_kind kind)
{
	static const enum api_status table[ERR_KIND_COUNT] = {
		[ERR_OK] = API_OK,
		[ERR_USAGE] = API_INVALID_ARGUMENT,
		[ERR_SYSTEM] = API_INTERNAL,
		[ERR_NOMEM] = API_RESOURCE_EXHAUSTED,
		[ERR_FORMAT] = API_INVALID_ARGUMENT,
		[ERR_LIMIT] = API_RESOURCE_EXHAUSTED,
		[ERR_VERIFY] = API_INTERNAL,
		[ERR_CRYPTO] = API_INTERNAL,
		[ERR_DENIED] = API_PERMISSION_DENIED,
		[ERR_NOTFOUND] = API_NOT_FOUND,
		[ERR_NETWORK] = API_INTERNAL,
		[ERR_TIMEOUT] = API_DEADLINE_EXCEEDED,
		[ERR_DEVICE] = API_INTERNAL,
		[ERR_UNSUPPORTED] = API_UNIMPLEMENTED,
		[ERR_INTERNAL] = API_INTERNAL,
	};

	return kind < ERR_KIND_COUNT ? table[kind] : API_INTERNAL;
}

/* Bytes of the valid, printable UTF-8 character at p, 0 when there is none. */
static size_t printable(const uint8_t *p, size_t len)
{
	if (p[0] < 0x20 || p[0] == 0x7f)
		return 0;
	for (size_t n = 1; n <= 4 && n <= len; n++)
		if (enc_is_utf8((struct view){ p, n }))
			return n;
	return 0;
}

void api_text_clean(char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = printable((const uint8_t *)text + i, len - i);

		if (n == 0)
			text[i] = '?';
		i += n > 0 ? n : 1;
	}
}

void api_status_say(char text[API_STATUS_TEXT], const char *prefix, const struct err *e)
{
	(void)snprintf(text, API_STATUS_TEXT, "%s%s%s: %s", prefix ? prefix : "",
		       prefix ? ": " : "", err_name(e), e->msg);
	api_text_clean(text, strlen(text));
}

/* For servers that do not know our codes. */
static enum err_code code_of(int status)
{
	switch (status) {
	case API_UNKNOWN:
	case API_INVALID_ARGUMENT:
		return CODE_API_MALFORMED;
	case API_DEADLINE_EXCEEDED:
		return CODE_API_DEADLINE;
	case API_PERMISSION_DENIED:
		return CODE_API_PEER_DENIED;
	case API_RESOURCE_EXHAUSTED:
		return CODE_API_PEER_BUSY;
	case API_NOT_FOUND:
	case API_UNIMPLEMENTED:
		return CODE_GENERAL_UNSUPPORTED;
	default:
		return CODE_GENERAL_DENIED;
	}
}

int api_status_err(int status, struct view message, struct err *e)
{
	char text[API_STATUS_TEXT] = { 0 };
	size_t n = message.len < sizeof text - 1 ? message.len : sizeof text - 1;
	char *word = text, *end;
	int code;

	if (n > 0)
		memcpy(text, message.p, n);
	api_text_clean(text, n);
	while ((end = strstr(word, ": ")) != NULL) {
		*end = '\0';
		code = err_code_by_name(word);
		*end = ':';
		if (code > (int)CODE_OK)
			return err_code(e, (enum err_code)code, "%s", end + 2);
		word = end + 2;
	}
	return err_code(e, code_of(status), "the server answered status %d: %s", status, text);
}
