/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/fs.h"
#include "agent/crypto/jwe.h"

#include <stdio.h>

/*
 * A guest in three lines, for tests against other implementations: make a TEE key of the algorithm
 * argv[1], print its public JWK on a line, read an encrypted reply to its end, write the plaintext.
 */
static int run(const char *alg, struct err *e)
{
	cleanup_teekey struct teekey *k = NULL;
	cleanup_buf struct buf jwk = BUF_MAX(4096), reply = BUF_MAX(JWE_TEXT_MAX);
	cleanup_secret struct secret out = { 0 };
	enum teekey_alg a;
	int r = teekey_alg_by_name(&a, view_str(alg), e);

	if (r == 0)
		r = teekey_new(&k, a, e);
	if (r == 0)
		r = teekey_jwk(&jwk, k, e);
	if (r < 0)
		return r;
	buf_putc(&jwk, '\n');
	r = fs_write_fd(STDOUT_FILENO, buf_view(&jwk), "stdout", e);
	if (r == 0)
		r = fs_read_fd(&reply, STDIN_FILENO, JWE_TEXT_MAX, "stdin", e);
	if (r == 0)
		r = jwe_decrypt(&out, k, buf_view(&reply), e);
	if (r == 0)
		r = fs_write_fd(STDOUT_FILENO, (struct view){ secret_bytes(&out), out.len },
				"stdout", e);
	return r;
}

int main(int argc, char **argv)
{
	struct err e;

	if (argc != 2)
		return 64;
	if (run(argv[1], &e) < 0) {
		fprintf(stderr, "%s: %s\n", err_name(&e), e.msg);
		return 1;
	}
	return 0;
}
