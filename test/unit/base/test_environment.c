/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/environment.h"
#include "agent/base/mem.h"
#include "test/test.h"

#include <stdlib.h>

extern char **environ;

TEST(environment_forget__all_kinds_of_variables__only_the_service_managers_stay)
{
	static const char *const kept[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
					    "LISTEN_FDS",    "LISTEN_PID",    "LISTEN_FDNAMES",
					    "JOURNAL_STREAM" };
	static const char *const gone[] = { "OPENSSL_CONF", "OPENSSL_MODULES", "SSLKEYLOGFILE",
					    "SSL_CERT_FILE", "LD_PRELOAD",	"http_proxy",
					    "NOTIFY_SOCKET2", "PATH" };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		CHECK_INT(setenv(kept[i], kept[i], 1), 0);
	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		CHECK_INT(setenv(gone[i], "/hostile", 1), 0);
	/* Also what its users said about tpm2-tss: it says nothing. */
	CHECK_INT(setenv("TSS2_LOG", "all+TRACE", 1), 0);
	CHECK_INT(environment_forget(NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		CHECK(getenv(kept[i]) && strcmp(getenv(kept[i]), kept[i]) == 0);
	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		CHECK(!getenv(gone[i]));
	CHECK(getenv("TSS2_LOG") && strcmp(getenv("TSS2_LOG"), "all+NONE") == 0);
	for (char **p = environ; *p; p++)
		n++;
	CHECK_INT(n, ARRAY_LEN(kept) + 1);
}

TEST(environment_forget__nothing_of_the_managers__is_no_error)
{
	CHECK_INT(clearenv(), 0);
	CHECK_INT(environment_forget(NULL), 0);
	CHECK(!getenv("NOTIFY_SOCKET"));
}
