/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_VOLUME_HEADER_H
#define TEST_VOLUME_HEADER_H

#include "mounts/volume/luks_header.h"
#include "test/test.h"

/* Headers to break: the metadata as cryptsetup 2.6 writes them, and the same with one place changed. */
#define HEADER_SALT "bqpETaI4vs3AZCgPrJJIDVEsp/RZQND4PGcq5KSE/Bo="

static const char header_plain[] =
	"{\"keyslots\":{\"0\":{\"type\":\"luks2\",\"key_size\":64,\"af\":{\"type\":\"luks1\",\"stripes\":4000,"
	"\"hash\":\"sha256\"},\"area\":{\"type\":\"raw\",\"offset\":\"32768\",\"size\":\"258048\","
	"\"encryption\":\"aes-xts-plain64\",\"key_size\":64},\"kdf\":{\"type\":\"pbkdf2\",\"hash\":\"sha256\","
	"\"iterations\":1000,\"salt\":\"" HEADER_SALT "\"}}},\"tokens\":{},\"segments\":{\"0\":{\"type\":\"crypt\","
	"\"offset\":\"16777216\",\"size\":\"dynamic\",\"iv_tweak\":\"0\",\"encryption\":\"aes-xts-plain64\","
	"\"sector_size\":4096}},\"digests\":{\"0\":{\"type\":\"pbkdf2\",\"keyslots\":[\"0\"],\"segments\":[\"0\"],"
	"\"hash\":\"sha256\",\"iterations\":1000,\"salt\":\"" HEADER_SALT "\",\"digest\":\"" HEADER_SALT
	"\"}},\"config\":{\"json_size\":\"12288\",\"keyslots_size\":\"16744448\"}}";

#define HEADER_TOKEN                                                                               \
	"\"tokens\":{\"0\":{\"type\":\"vouchsafe\",\"keyslots\":[\"0\"],\"version\":1,\"fs\":\"ext4\",\"salt\":\""       \
	HEADER_SALT "\",\"check\":\"" HEADER_SALT "\",\"tag\":\"" HEADER_SALT "\"}}"

/* text with the nth (1…) occurrence of from replaced by to, malloc'd. */
__attribute__((unused)) static char *header_replace(const char *text, const char *from, const char *to,
						     int nth)
{
	const char *at = strstr(text, from);
	char *out;

	while (at && --nth > 0)
		at = strstr(at + 1, from);
	if (!at)
		test_fail(__FILE__, __LINE__, "no %s in the header", from);
	CHECK(asprintf(&out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) >= 0);
	return out;
}

/* Both copies with this metadata, whole, checksums right. raw has LUKS_COPIES bytes. */
__attribute__((unused)) static void header_write(uint8_t *raw, const char *text, uint64_t seqid)
{
	struct luks_header h = { .seqid = seqid,
				 .uuid = "89998562-85f8-4968-bd0a-164714232ce7",
				 .text = BUF_MAX(20000) };
	struct err e = { 0 };

	buf_puts(&h.text, text);
	if (luks_header_put(raw, &h, &e) < 0)
		test_fail(__FILE__, __LINE__, "%s", e.msg);
	luks_header_done(&h);
}

#endif
