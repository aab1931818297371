/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_names[ERR_KIND_COUNT] = {
	[ERR_OK] = "ok",
	[ERR_USAGE] = "usage",
	[ERR_SYSTEM] = "system",
	[ERR_NOMEM] = "nomem",
	[ERR_FORMAT] = "format",
	[ERR_LIMIT] = "limit",
	[ERR_VERIFY] = "verify",
	[ERR_CRYPTO] = "crypto",
	[ERR_DENIED] = "denied",
	[ERR_NOTFOUND] = "notfound",
	[ERR_NETWORK] = "network",
	[ERR_TIMEOUT] = "timeout",
	[ERR_DEVICE] = "device",
	[ERR_UNSUPPORTED] = "unsupported",
	[ERR_INTERNAL] = "internal",
};

static const enum err_code general[ERR_KIND_COUNT] = {
	[ERR_OK] = CODE_OK,
	[ERR_USAGE] = CODE_GENERAL_USAGE,
	[ERR_SYSTEM] = CODE_GENERAL_SYSTEM,
	[ERR_NOMEM] = CODE_GENERAL_NOMEM,
	[ERR_FORMAT] = CODE_GENERAL_FORMAT,
	[ERR_LIMIT] = CODE_GENERAL_LIMIT,
	[ERR_VERIFY] = CODE_GENERAL_VERIFY,
	[ERR_CRYPTO] = CODE_GENERAL_CRYPTO,
	[ERR_DENIED] = CODE_GENERAL_DENIED,
	[ERR_NOTFOUND] = CODE_GENERAL_NOTFOUND,
	[ERR_NETWORK] = CODE_GENERAL_NETWORK,
	[ERR_TIMEOUT] = CODE_GENERAL_TIMEOUT,
	[ERR_DEVICE] = CODE_GENERAL_DEVICE,
	[ERR_UNSUPPORTED] = CODE_GENERAL_UNSUPPORTED,
	[ERR_INTERNAL] = CODE_INTERNAL_BUG,
};

static const struct err_entry catalogue[CODE_COUNT] = {
#define CODE(id, name_, kind_, side_, cause_, remedy_)                                             \
	[CODE_##id] = { name_, ERR_##kind_, SIDE_##side_ },
#include "agent/base/codes.def"
#undef CODE
};

static void PRINTF(5, 0) fill(struct err *e, enum err_kind kind, enum err_code code, int sys,
			      const char *fmt, va_list ap)
{
	e->kind = kind;
	e->code = code;
	e->sys = sys;
	if (vsnprintf(e->msg, sizeof e->msg, fmt, ap) < 0)
		e->msg[0] = '\0';
}

int err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;

	if (e) {
		va_start(ap, fmt);
		fill(e, kind, general[kind], 0, fmt, ap);
		va_end(ap);
	}
	return -(int)kind;
}

int err_code(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	if (e) {
		va_start(ap, fmt);
		fill(e, err_entry(code)->kind, code, 0, fmt, ap);
		va_end(ap);
	}
	return -(int)err_entry(code)->kind;
}

int err_sys(struct err *e, int errnum, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	if (e) {
		va_start(ap, fmt);
		fill(e, ERR_SYSTEM, CODE_GENERAL_SYSTEM, errnum, fmt, ap);
		va_end(ap);
		n = strlen(e->msg);
		(void)snprintf(e->msg + n, sizeof e->msg - n, ": %s",
			       strerrorname_np(errnum) ?: "?");
	}
	return -ERR_SYSTEM;
}

static void PRINTF(2, 0) prefix(struct err *e, const char *fmt, va_list ap)
{
	char head[ERR_MSG_MAX], tail[ERR_MSG_MAX];

	if (vsnprintf(head, sizeof head, fmt, ap) < 0)
		head[0] = '\0';
	memcpy(tail, e->msg, sizeof tail);
	/* Truncation keeps the outermost context and loses the innermost words. */
	if (snprintf(e->msg, sizeof e->msg, "%.192s: %.316s", head, tail) < 0)
		e->msg[0] = '\0';
}

int err_wrap(struct err *e, int r, const char *fmt, ...)
{
	va_list ap;

	if (e) {
		va_start(ap, fmt);
		prefix(e, fmt, ap);
		va_end(ap);
	}
	return r;
}

int err_wrap_code(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	if (e) {
		va_start(ap, fmt);
		prefix(e, fmt, ap);
		va_end(ap);
		e->code = code;
		e->kind = err_entry(code)->kind;
	}
	return -(int)err_entry(code)->kind;
}

const char *err_kind_name(enum err_kind kind)
{
	return kind < ERR_KIND_COUNT ? kind_names[kind] : "?";
}

const char *err_side_name(enum err_side side)
{
	static const char *const names[] = {
		[SIDE_GUEST] = "guest",     [SIDE_HOST] = "host",   [SIDE_NETWORK] = "network",
		[SIDE_TRUSTEE] = "trustee", [SIDE_OWNER] = "owner", [SIDE_CALLER] = "caller",
	};

	return side <= SIDE_CALLER ? names[side] : "?";
}

const struct err_entry *err_entry(enum err_code code)
{
	return &catalogue[code < CODE_COUNT ? code : CODE_INTERNAL_BUG];
}

int err_code_by_name(const char *name)
{
	for (int i = 0; i < (int)CODE_COUNT; i++)
		if (strcmp(catalogue[i].name, name) == 0)
			return i;
	return -1;
}
