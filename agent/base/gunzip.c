/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/gunzip.h"

#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16 };

static void end_inflate(z_stream *z)
{
	(void)inflateEnd(z);
}

static void end_deflate(z_stream *z)
{
	(void)deflateEnd(z);
}

/* zlib's interface lacks const. */
static Bytef *input_of(struct view v)
{
	return (Bytef *)(uintptr_t)v.p;
}

int gunzip(struct buf *out, struct view gz, size_t max, struct err *e)
{
	__attribute__((cleanup(end_inflate))) z_stream z = { 0 };
	uint8_t chunk[16384];
	size_t total = 0;
	int r;

	if (gz.len > UINT32_MAX)
		return err_set(e, ERR_LIMIT, "gzip of %zu bytes", gz.len);
	if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
		return err_set(e, ERR_NOMEM, "no memory for gunzip");
	z.next_in = input_of(gz);
	z.avail_in = (uInt)gz.len;
	do {
		size_t n;

		z.next_out = chunk;
		z.avail_out = sizeof chunk;
		r = inflate(&z, Z_NO_FLUSH);
		if (r == Z_MEM_ERROR)
			return err_set(e, ERR_NOMEM, "no memory for gunzip");
		if (r != Z_OK && r != Z_STREAM_END)
			return err_set(e, ERR_FORMAT, "gzip data is %s",
				       r == Z_BUF_ERROR ? "cut short" : "damaged");
		n = sizeof chunk - z.avail_out;
		if (n > max - total)
			return err_set(e, ERR_LIMIT, "gzip content is over %zu bytes", max);
		total += n;
		buf_put(out, chunk, n);
	} while (r != Z_STREAM_END);
	if (z.avail_in > 0)
		return err_set(e, ERR_FORMAT, "%u bytes behind the gzip data", z.avail_in);
	return buf_check(out, "gzip content", e);
}

int gunzip_pack(struct buf *out, struct view bytes, struct err *e)
{
	__attribute__((cleanup(end_deflate))) z_stream z = { 0 };
	uint8_t chunk[16384];
	int r;

	if (bytes.len > UINT32_MAX)
		return err_set(e, ERR_LIMIT, "%zu bytes to compress", bytes.len);
	if (deflateInit2(&z, 9, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return err_set(e, ERR_NOMEM, "no memory for gzip");
	z.next_in = input_of(bytes);
	z.avail_in = (uInt)bytes.len;
	do {
		z.next_out = chunk;
		z.avail_out = sizeof chunk;
		r = deflate(&z, Z_FINISH);
		buf_put(out, chunk, sizeof chunk - z.avail_out);
	} while (r == Z_OK);
	if (r != Z_STREAM_END)
		return err_set(e, ERR_INTERNAL, "deflate gave %d", r);
	return buf_check(out, "gzip", e);
}
