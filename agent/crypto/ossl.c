/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/ossl.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <pthread.h>

/*
 * Room for the keys of a process, the temporaries of generating an RSA key, and two random
 * generators of about 1 KiB for each thread. Locked on first touch, so what is unused costs
 * nothing.
 */
#define HEAP_BYTES (256u << 10)
#define HEAP_PIECE 32

static int heap_state;

int ossl_err(struct err *e, const char *what)
{
	unsigned long code = ERR_get_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return err_set(e, ERR_CRYPTO, "%s: %s", what,
		       reason ? reason : "libcrypto gives no reason");
}

static void make_heap(void)
{
	heap_state = CRYPTO_secure_malloc_initialized()
			     ? 1
			     : CRYPTO_secure_malloc_init(HEAP_BYTES, HEAP_PIECE);
}

int ossl_locked_heap(struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, make_heap);
	/* 2 means that the memory is there but could be swapped out. */
	if (heap_state != 1)
		return err_set(e, ERR_NOMEM, "cannot lock %u bytes for private keys", HEAP_BYTES);
	return 0;
}
