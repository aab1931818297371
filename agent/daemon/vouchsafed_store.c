/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/daemon/vouchsafed_store.h"
#include "agent/base/log.h"
#include "agent/base/mem.h"
#include "agent/base/notify.h"

#include <stdio.h>

static const char *const prefix[STORE_SOCKETS] = { [STORE_AA] = "aa-", [STORE_CDH] = "cdh-" };

static int store(void *ctx, size_t listener, unsigned number, int fd)
{
	char text[64];
	struct err e;
	int r;

	(void)ctx;
	(void)snprintf(text, sizeof text, "FDSTORE=1\nFDNAME=%s%u", prefix[listener], number);
	r = notify_send_fd(text, fd, 0, &e);
	if (r < 0)
		log_debug("connection not stored", "name=%s%u why=\"%s\"", prefix[listener], number,
			  e.msg);
	return r;
}

static int unstore(void *ctx, size_t listener, unsigned number)
{
	char text[64];
	struct err e;
	int r;

	(void)ctx;
	(void)snprintf(text, sizeof text, "FDSTOREREMOVE=1\nFDNAME=%s%u", prefix[listener], number);
	r = notify_send_fd(text, -1, TTRPC_UNSTORE_MS, &e);
	if (r < 0)
		log_warn("connection ended: the service manager does not let go of it",
			 "name=%s%u why=\"%s\"", prefix[listener], number, e.msg);
	return r;
}

struct ttrpc_store store_callbacks(void)
{
	const char *to = getenv("NOTIFY_SOCKET");

	if (!to || to[0] == '\0')
		return (struct ttrpc_store){ 0 };
	return (struct ttrpc_store){ .store = store, .unstore = unstore };
}

/* What no process of ours will ever take must not stay there and keep its client waiting. */
static void drop(const char *name)
{
	char text[LISTEN_NAME_MAX + 64];

	(void)snprintf(text, sizeof text, "FDSTOREREMOVE=1\nFDNAME=%s", name);
	if (notify_send_fd(text, -1, TTRPC_UNSTORE_MS, NULL) < 0)
		log_debug("not removed from the store", "name=\"%s\"", name);
}

/* Nine digits at most: TTRPC_NUMBER_MAX. No leading zeros, so that a connection has one name. */
static int parse_name(size_t *listener, unsigned *number, const char *name, struct err *e)
{
	for (size_t i = 0; i < STORE_SOCKETS; i++) {
		size_t skip = strlen(prefix[i]), k;
		unsigned n = 0;

		if (strncmp(name, prefix[i], skip) != 0)
			continue;
		for (k = 0; k < 9 && name[skip + k] >= '0' && name[skip + k] <= '9'; k++)
			n = 10 * n + (unsigned)(name[skip + k] - '0');
		if (name[skip + k] != '\0' || name[skip] == '0' || k == 0)
			break;
		*listener = i;
		*number = n;
		return 0;
	}
	return err_set(e, ERR_FORMAT, "\"%s\" is no name of a connection", name);
}

void store_adopt(struct ttrpc_server *server, struct listen_fds *handed)
{
	unsigned taken = 0;

	for (size_t i = 0; i < handed->n; i++) {
		unsigned number;
		size_t listener;
		struct err e;
		int r = parse_name(&listener, &number, handed->at[i].name, &e);

		if (r < 0)
			drop(handed->at[i].name);
		else
			r = ttrpc_server_adopt(server, listener, number,
					       take_fd(handed->at[i].fd), &e);
		if (r == 0)
			taken++;
		else
			log_warn("connection not taken over", "name=\"%s\" why=\"%s\"",
				 handed->at[i].name, e.msg);
	}
	if (handed->n > 0)
		log_info("connections taken over", "n=%u of=%zu", taken, handed->n);
	listen_fds_close(handed);
}
