/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_REST_ROUTE_H
#define API_REST_ROUTE_H

#include "agent/base/buf.h"

#include <sys/socket.h>

/*
 * What a request on the REST API asks for, and the texts it is answered with. Pure: no socket,
 * no library, no clock. Source: spec/local-api.md 3.2; vectors/local/asr/cases.json.
 *
 *   /info                                                GET
 *   /aa/token?token_type=T                               GET
 *   /aa/evidence?runtime_data=D[&encoding=base64]        GET
 *   /aa/additional-evidence?runtime_data=D[&encoding=…]  GET
 *   /aa/aael                                             POST, JSON body
 *   /cdh/resource/REST                                   any method
 *
 * Paths are compared as they came: percent-encoding is not decoded, "." and ".." mean nothing.
 */
#define REST_BODY_MAX (64u << 10) /* bytes of a body that means something */
#define REST_TEES_MAX 16          /* additional TEEs in /info */

enum rest_features {
	REST_RESOURCE = 1,
	REST_ATTESTATION = 2,
	REST_ALL = REST_RESOURCE | REST_ATTESTATION,
};

enum rest_action {
	REST_ANSWER, /* with status and text, nobody is asked */
	REST_INFO,
	REST_TOKEN,      /* arg: the token type, UTF-8 */
	REST_EVIDENCE,   /* arg: the runtime data */
	REST_ADDITIONAL, /* arg: the runtime data */
	REST_AAEL,       /* the body is an entry for the event log */
	REST_GET,        /* arg: the resource URI */
};

struct rest_route {
	enum rest_action action;
	int status;       /* of REST_ANSWER */
	const char *text; /* static; of REST_ANSWER */
	struct buf arg;   /* owned; see above */
};

/* An entry for the event log. The strings belong to `doc`. */
struct rest_entry {
	const char *domain, *operation, *content;
	void *doc;
};

/* "resource", "attestation", "all". Errors: ERR_USAGE (another word). */
int rest_features_parse(unsigned *out, const char *word, struct err *e) MUST_CHECK;

/* The word again. */
const char *rest_features_name(unsigned features);

/* 127.0.0.0/8 or ::1. An IPv4 address inside an IPv6 one is not local, as upstream. */
bool rest_peer_is_local(const struct sockaddr *peer);

/*
 * Decide what a request is. Never fails: what is wrong with it is its REST_ANSWER (so is a
 * lack of memory, 500).
 *
 * out       overwritten; release with rest_route_done()
 * features  of enum rest_features
 * target    the request target as it came, borrowed for the call
 */
void rest_route(struct rest_route *out, unsigned features, const char *method, struct view target);
void rest_route_done(struct rest_route *r);

/* What everybody gets who is not local, and what a request gets that there is no room for. */
extern const struct rest_route rest_forbidden, rest_too_large, rest_busy;

/*
 * Read the body of POST /aa/aael: a JSON object with the strings domain, operation and content;
 * other members are ignored.
 *
 * out   set on success only; release with rest_entry_done()
 * body  borrowed for the call
 *
 * Errors: ERR_FORMAT, ERR_LIMIT (over REST_BODY_MAX), ERR_NOMEM.
 */
int rest_entry_parse(struct rest_entry *out, struct view body, struct err *e) MUST_CHECK;
void rest_entry_done(struct rest_entry *entry);

/* Append "Illegal AAEL eventry format: …", the answer (500) to a body that does not parse. */
void rest_entry_refused(struct buf *out, const struct err *e);

/* The answer (200) to an extend with that result; static. */
const char *rest_entry_result(int64_t result);

/* What /info says. */
struct rest_info {
	const char *version;
	unsigned features;
	const char *tee; /* NULL: is not asked for */
	size_t n_more;
	const char *more[REST_TEES_MAX];
};

/* Append the JSON of /info. */
void rest_info_put(struct buf *out, const struct rest_info *info);

/* The answer (500) to a failed call: static, or appended to out when the service is not there. */
extern const char rest_call_failed[];
void rest_connect_failed(struct buf *out, const char *service, const char *addr);

#endif
