/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/enc.h"

static const char alphabet[2][65] = {
	[ENC_B64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
	[ENC_B64U] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

void enc_base64(struct buf *out, enum enc_alphabet a, struct view in)
{
	const char *t = alphabet[a];
	const size_t whole = in.len / 3 * 3, rest = in.len - whole;
	const size_t last = rest == 0 ? 0 : a == ENC_B64U ? rest + 1 : 4;
	uint8_t *p = buf_extend(out, whole / 3 * 4 + last);
	uint32_t x;

	if (!p)
		return;
	for (size_t i = 0; i < whole; i += 3) {
		x = (uint32_t)in.p[i] << 16 | (uint32_t)in.p[i + 1] << 8 | in.p[i + 2];
		*p++ = (uint8_t)t[x >> 18];
		*p++ = (uint8_t)t[x >> 12 & 63];
		*p++ = (uint8_t)t[x >> 6 & 63];
		*p++ = (uint8_t)t[x & 63];
	}
	if (rest == 0)
		return;
	x = (uint32_t)in.p[whole] << 16 | (rest > 1 ? (uint32_t)in.p[whole + 1] << 8 : 0);

	const char q[4] = { t[x >> 18], t[x >> 12 & 63], rest > 1 ? t[x >> 6 & 63] : '=', '=' };

	memcpy(p, q, last);
}

static int value_of(enum enc_alphabet a, uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (a == ENC_B64 ? '+' : '-'))
		return 62;
	if (c == (a == ENC_B64 ? '/' : '_'))
		return 63;
	return -1;
}

/* Length of the text without padding; the padding is what the alphabet wants. */
static int strip(size_t *n, enum enc_alphabet a, struct view in, struct err *e)
{
	size_t len = in.len;

	if (a == ENC_B64) {
		if (len % 4 != 0)
			return err_set(e, ERR_FORMAT, "base64 of %zu characters, want a multiple of 4",
				       len);
		if (len > 0 && in.p[len - 1] == '=')
			len--;
		if (len > 0 && in.p[len - 1] == '=')
			len--;
	}
	if (len % 4 == 1)
		return err_set(e, ERR_FORMAT, "base64 ends in the middle of a byte");
	*n = len;
	return 0;
}

/* Write the bytes of text[0..n) to p, which has n * 3 / 4 bytes of room. */
static int decode(uint8_t *p, enum enc_alphabet a, const uint8_t *text, size_t n, struct err *e)
{
	uint32_t acc = 0;
	unsigned bits = 0;

	for (size_t i = 0; i < n; i++) {
		int v = value_of(a, text[i]);

		if (v < 0)
			return err_set(e, ERR_FORMAT, "base64 has a bad character at offset %zu", i);
		acc = acc << 6 | (uint32_t)v;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			*p++ = (uint8_t)(acc >> bits);
			acc &= (1u << bits) - 1;
		}
	}
	if (acc != 0)
		return err_set(e, ERR_FORMAT, "base64 has bits set behind its last byte");
	return 0;
}

int enc_base64_decode(struct buf *out, enum enc_alphabet a, struct view in, struct err *e)
{
	cleanup_free uint8_t *tmp = NULL;
	size_t n = 0;
	int r;

	r = strip(&n, a, in, e);
	if (r < 0)
		return r;
	if (n / 4 * 3 > out->max)
		return err_set(e, ERR_LIMIT, "base64 of over %zu bytes", out->max);
	tmp = malloc(n / 4 * 3 + 3);
	if (!tmp)
		return err_set(e, ERR_NOMEM, "no memory for base64");
	r = decode(tmp, a, in.p, n, e);
	if (r < 0)
		return r;
	buf_put(out, tmp, n * 3 / 4);
	return buf_check(out, "decoded base64", e);
}

int enc_base64_decode_into(uint8_t *p, size_t *len, enum enc_alphabet a, struct view in,
			   struct err *e)
{
	size_t n = 0;
	int r;

	r = strip(&n, a, in, e);
	if (r < 0)
		return r;
	if (n / 4 * 3 + n % 4 * 3 / 4 > *len)
		return err_set(e, ERR_LIMIT, "base64 of %zu bytes, allowed %zu", n * 3 / 4, *len);
	r = decode(p, a, in.p, n, e);
	if (r < 0)
		return r;
	*len = n * 3 / 4;
	return 0;
}

static void put_hex(uint8_t *out, struct view in)
{
	static const char digit[] = "0123456789abcdef";

	for (size_t i = 0; i < in.len; i++) {
		*out++ = (uint8_t)digit[in.p[i] >> 4];
		*out++ = (uint8_t)digit[in.p[i] & 15];
	}
}

void enc_hex(struct buf *out, struct view in)
{
	uint8_t *p = buf_extend(out, 2 * in.len);

	if (p)
		put_hex(p, in);
}

void enc_hex_str(char *out, struct view in)
{
	put_hex((uint8_t *)out, in);
	out[2 * in.len] = '\0';
}

static int nibble(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int enc_hex_decode(uint8_t *p, size_t n, struct view in, struct err *e)
{
	if (in.len / 2 != n || in.len % 2 != 0)
		return err_set(e, ERR_FORMAT, "hex of %zu digits, want %zu", in.len, 2 * n);
	for (size_t i = 0; i < n; i++) {
		int hi = nibble(in.p[2 * i]), lo = nibble(in.p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return err_set(e, ERR_FORMAT, "hex has a bad digit at offset %zu", 2 * i);
		p[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

bool enc_is_utf8(struct view in)
{
	size_t i = 0;

	while (i < in.len) {
		uint8_t c = in.p[i];
		size_t n = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2
			   : c >= 0xf0 && c < 0xf5 ? 3 : 4;

		if (n == 4 || n > in.len - i - 1)
			return false;
		for (size_t k = 1; k <= n; k++)
			if ((in.p[i + k] & 0xc0) != 0x80)
				return false;
		/* Overlong forms, surrogates and what lies above U+10FFFF show in the second byte. */
		if ((c == 0xe0 && in.p[i + 1] < 0xa0) || (c == 0xed && in.p[i + 1] > 0x9f) ||
		    (c == 0xf0 && in.p[i + 1] < 0x90) || (c == 0xf4 && in.p[i + 1] > 0x8f))
			return false;
		i += n + 1;
	}
	return true;
}
