/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/crypto/ossl.h"

#include <malloc.h>
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
static bool erases;

/* --- what libcrypto frees ------------------------------------------------------------------ */

static void *plain_malloc(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return malloc(n);
}

static void erasing_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	if (p)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

static void *erasing_realloc(void *p, size_t n, const char *file, int line)
{
	size_t had = p ? malloc_usable_size(p) : 0;
	void *more = n > 0 ? malloc(n) : NULL;

	if (n > 0 && !more)
		return NULL;
	if (had > 0 && n > 0)
		memcpy(more, p, had < n ? had : n);
	erasing_free(p, file, line);
	return more;
}

/*
 * Reading a private key's PEM leaves copies of it in memory that is freed as it is (seen with 3.0, in
 * ordinary heap). It can be told so only before it allocates anything: before main().
 */
__attribute__((constructor)) static void erase_what_is_freed(void)
{
	erases = CRYPTO_set_mem_functions(plain_malloc, erasing_realloc, erasing_free) == 1;
}

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

	if (!erases)
		return err_set(e, ERR_INTERNAL, "libcrypto was in use before it could be told to erase");
	(void)pthread_once(&once, make_heap);
	/* 2 means that the memory is there but could be swapped out. */
	if (heap_state != 1)
		return err_set(e, ERR_NOMEM, "cannot lock %u bytes for private keys", HEAP_BYTES);
	return 0;
}
