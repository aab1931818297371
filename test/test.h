/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_TEST_H
#define TEST_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * TEST(subject__condition__outcome) { ... } defines and registers a test; linking test.c
 * runs them all, or those whose name contains argv[1]. Each runs in a process of its own.
 */
struct test {
	const char *name;
	void (*run)(void);
	struct test *next;
};

extern struct test *tests;
void test_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 3, 4)));
void test_skip(const char *why) __attribute__((noreturn));

/*
 * Path of a file below the shared vectors ($TEST_SHARED/vectors, or ../shared/vectors): borrowed,
 * good until the next call. Skips the test with a word when it is not there.
 */
const char *test_shared(const char *path);

/* Skip the test where the user may not lock that many bytes (root may). */
void test_need_memlock(size_t bytes);

/* The same for a vector of our own tree, test/vectors/…; a missing one is a failure. */
const char *test_vector(const char *path);

#define TEST(id)                                                                                   \
	static void run_##id(void);                                                                \
	__attribute__((constructor)) static void add_##id(void)                                    \
	{                                                                                          \
		static struct test t = { .name = #id, .run = run_##id };                           \
		t.next = tests;                                                                    \
		tests = &t;                                                                        \
	}                                                                                          \
	static void run_##id(void)

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			test_fail(__FILE__, __LINE__, "%s", #x);                                   \
	} while (0)

#define CHECK_INT(got, want)                                                                       \
	do {                                                                                       \
		long long g_ = (long long)(got), w_ = (long long)(want);                           \
		if (g_ != w_)                                                                      \
			test_fail(__FILE__, __LINE__, "%s is %lld, want %lld", #got, g_, w_);      \
	} while (0)

/* The call fails with that kind, and says so in the words a user will read. */
#define CHECK_ERR(call, want_kind, e, words)                                                       \
	do {                                                                                       \
		CHECK_INT((call), -(int)(want_kind));                                              \
		CHECK_INT((e).kind, (want_kind));                                                  \
		if (!strstr((e).msg, (words)))                                                     \
			test_fail(__FILE__, __LINE__, "message \"%s\" lacks \"%s\"", (e).msg,      \
				  (words));                                                        \
	} while (0)

#endif
