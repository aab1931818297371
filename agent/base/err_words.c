/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/err.h"

static const struct err_words words[CODE_COUNT] = {
#define CODE(id, name, kind, side, cause_, remedy_) [CODE_##id] = { cause_, remedy_ },
#include "agent/base/codes.def"
#undef CODE
};

const struct err_words *err_words(enum err_code code)
{
	return &words[(unsigned)code < CODE_COUNT ? code : CODE_INTERNAL_BUG];
}
