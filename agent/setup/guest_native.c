/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup/guest.h"

static int binding(void *ctx, struct view digest, enum provision_register *out, struct err *e)
{
	static const enum provision_register of[] = {
		[BINDING_MATCHES] = REGISTER_MATCHES,
		[BINDING_EMPTY] = REGISTER_EMPTY,
		[BINDING_OTHER] = REGISTER_OTHER,
	};
	const struct guest *g = ctx;
	enum binding b = BINDING_OTHER;
	int r = g->attester->binding(&g->env, digest, &b, e);

	if (r == 0)
		*out = of[b];
	return r;
}

static int bind_digest(void *ctx, struct view digest, struct err *e)
{
	const struct guest *g = ctx;

	return g->attester->bind(&g->env, digest, e);
}

void guest_provision_platform(struct provision_platform *p, struct guest *g)
{
	p->ctx = g;
	p->binding = g->attester->binding ? binding : NULL;
	p->bind = g->attester->bind ? bind_digest : NULL;
	p->permit_unbound = g->image.unbound;
}

int guest_bind_native(struct guest *g, bool absent, struct err *e)
{
	struct provision_platform p = { 0 };
	struct provision_result done = { 0 };
	int r;

	guest_provision_platform(&p, g);
	if (!g->native_binds)
		p.bind = NULL;
	r = provision_bind(&done, &p, absent, &g->initdata.digest, e);
	if (r == 0)
		g->bound = done.how != PROVISION_UNBOUND;
	return r;
}
