/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/wire.h"

#include "agent/api/proto/cdh.pb-c.h"
#include "agent/api/proto/ttrpc.pb-c.h"
#include "agent/base/enc.h"

/* --- unpacking -------------------------------------------------------------- */

/*
 * An empty element of a repeated message costs two bytes on the wire and about a hundred in
 * memory, an unknown field nearly as much: 4 MiB could become 200. So one unpacking may take
 * twice its input and a little, which no honest message reaches.
 */
struct budget {
	size_t left;
};

/* Before each allocation, so that free can erase it; keeps malloc's alignment. */
union alloc_head {
	size_t size;
	max_align_t align;
};

static void *budget_alloc(void *ctx, size_t size)
{
	struct budget *b = ctx;
	union alloc_head *h;

	if (size > SIZE_MAX - sizeof *h || b->left < size + sizeof *h)
		return NULL;
	h = malloc(sizeof *h + size);
	if (!h)
		return NULL;
	b->left -= size + sizeof *h;
	h->size = size;
	return h + 1;
}

static void erase_free(void *ctx, void *p)
{
	union alloc_head *h = p;

	(void)ctx;
	if (!p)
		return;
	h--;
	explicit_bzero(h, sizeof *h + h->size);
	free(h);
}

static void *unpack(const ProtobufCMessageDescriptor *what, struct view in)
{
	struct budget b = { .left = 2 * in.len + 16384 };
	ProtobufCAllocator a = { .alloc = budget_alloc, .free = erase_free, .allocator_data = &b };

	return protobuf_c_message_unpack(what, &a, in.len, in.p);
}

static void release(void *message)
{
	ProtobufCAllocator a = { .alloc = budget_alloc, .free = erase_free };

	if (message)
		protobuf_c_message_free_unpacked(message, &a);
}

static struct view view_of(ProtobufCBinaryData d)
{
	return (struct view){ d.data, d.len };
}

static int check_text(struct view v, size_t max, const char *what, struct err *e)
{
	if (v.len > max)
		return err_code(e, CODE_API_MALFORMED, "%s of %zu bytes, allowed %zu", what, v.len,
				max);
	if (!enc_is_utf8(v))
		return err_code(e, CODE_API_MALFORMED, "%s is not UTF-8", what);
	if (v.len > 0 && memchr(v.p, '\0', v.len))
		return err_code(e, CODE_API_MALFORMED, "%s contains a NUL byte", what);
	return 0;
}

/* What a secret is for decides which rules bind it: a name that is unclear is no missing name. */
static int take_name(struct wire_request *out, const Vouchsafe__Ttrpc__Request *m, struct err *e)
{
	for (size_t i = 0; i < m->n_metadata; i++) {
		struct view key = view_of(m->metadata[i]->key);
		struct view value = view_of(m->metadata[i]->value);
		int r;

		if (!view_is(key, WIRE_META_NAME))
			continue;
		r = check_text(value, API_NAME_MAX, "metadata " WIRE_META_NAME, e);
		if (r < 0)
			return r;
		if (value.len == 0 || out->name[0] != '\0')
			return err_code(e, CODE_API_MALFORMED, "metadata %s is %s", WIRE_META_NAME,
					value.len == 0 ? "empty" : "given twice");
		memcpy(out->name, value.p, value.len);
		out->name[value.len] = '\0';
	}
	return 0;
}

static int request_fill(struct wire_request *out, const Vouchsafe__Ttrpc__Request *m, struct err *e)
{
	int r;

	if (m->n_metadata > WIRE_METADATA_MAX)
		return err_code(e, CODE_API_MALFORMED, "request with %zu metadata, allowed %d",
				m->n_metadata, WIRE_METADATA_MAX);
	out->service = view_of(m->service);
	out->method = view_of(m->method);
	out->payload = view_of(m->payload);
	out->timeout_nano = m->timeout_nano;
	r = check_text(out->service, WIRE_NAME_MAX, "service name", e);
	if (r == 0)
		r = check_text(out->method, WIRE_NAME_MAX, "method name", e);
	return r < 0 ? r : take_name(out, m, e);
}

int wire_request_decode(struct wire_request *out, struct view frame, struct err *e)
{
	Vouchsafe__Ttrpc__Request *m = unpack(&vouchsafe__ttrpc__request__descriptor, frame);
	struct wire_request q = { .owned = m };
	int r;

	if (!m)
		return err_code(e, CODE_API_MALFORMED, "the request is not a ttrpc Request message");
	r = request_fill(&q, m, e);
	if (r < 0) {
		release(m);
		return r;
	}
	*out = q;
	return 0;
}

void wire_request_done(struct wire_request *r)
{
	release(r->owned);
	*r = (struct wire_request){ 0 };
}

int wire_unseal_decode(struct wire_input *out, struct view payload, struct err *e)
{
	Vouchsafe__Cdh__UnsealSecretInput *m =
		unpack(&vouchsafe__cdh__unseal_secret_input__descriptor, payload);

	if (!m)
		return err_code(e, CODE_API_MALFORMED, "the payload is not an UnsealSecretInput");
	*out = (struct wire_input){ .text = view_of(m->secret), .owned = m };
	return 0;
}

int wire_get_resource_decode(struct wire_input *out, struct view payload, struct err *e)
{
	Vouchsafe__Cdh__GetResourceRequest *m =
		unpack(&vouchsafe__cdh__get_resource_request__descriptor, payload);
	int r;

	if (!m)
		return err_code(e, CODE_API_MALFORMED, "the payload is not a GetResourceRequest");
	r = check_text(view_of(m->resource_path), WIRE_STRING_MAX, "ResourcePath", e);
	if (r < 0) {
		release(m);
		return r;
	}
	*out = (struct wire_input){ .text = view_of(m->resource_path), .owned = m };
	return 0;
}

void wire_input_done(struct wire_input *in)
{
	release(in->owned);
	*in = (struct wire_input){ 0 };
}

static bool has_option(const struct wire_mount *m, struct view key)
{
	for (size_t i = 0; i < m->n_options; i++)
		if (view_eq(m->options[i].key, key))
			return true;
	return false;
}

static int mount_fill(struct wire_mount *out, const Vouchsafe__Cdh__SecureMountRequest *m,
		      struct err *e)
{
	int r;

	if (m->n_options > WIRE_OPTIONS_MAX || m->n_flags > WIRE_OPTIONS_MAX)
		return err_code(e, CODE_API_MALFORMED, "%zu options and %zu flags, allowed %d",
				m->n_options, m->n_flags, WIRE_OPTIONS_MAX);
	out->volume_type = view_of(m->volume_type);
	out->mount_point = view_of(m->mount_point);
	r = check_text(out->volume_type, WIRE_STRING_MAX, "volume_type", e);
	if (r == 0)
		r = check_text(out->mount_point, WIRE_STRING_MAX, "mount_point", e);
	for (size_t i = 0; r == 0 && i < m->n_options; i++) {
		struct wire_option o = { view_of(m->options[i]->key), view_of(m->options[i]->value) };

		r = check_text(o.key, WIRE_NAME_MAX, "the name of an option", e);
		if (r == 0)
			r = check_text(o.value, WIRE_VALUE_MAX, "the value of an option", e);
		if (r == 0 && has_option(out, o.key))
			return err_code(e, CODE_API_MALFORMED, "the option %.*s is given twice",
					VIEW_ARG(o.key));
		out->options[out->n_options++] = o;
	}
	return r;
}

int wire_mount_decode(struct wire_mount *out, struct view payload, struct err *e)
{
	Vouchsafe__Cdh__SecureMountRequest *m =
		unpack(&vouchsafe__cdh__secure_mount_request__descriptor, payload);
	struct wire_mount w = { .owned = m };
	int r;

	if (!m)
		return err_code(e, CODE_API_MALFORMED, "the payload is not a SecureMountRequest");
	r = mount_fill(&w, m, e);
	if (r < 0) {
		release(m);
		return r;
	}
	*out = w;
	return 0;
}

void wire_mount_done(struct wire_mount *m)
{
	release(m->owned);
	*m = (struct wire_mount){ 0 };
}

/* --- packing ------------------------------------------------------------------ */

/* protobuf-c's messages take pointers to non-const; packing only reads. */
static ProtobufCBinaryData data_of(struct view v)
{
	return (ProtobufCBinaryData){ .len = v.len, .data = (uint8_t *)(uintptr_t)v.p };
}

struct sink {
	ProtobufCBuffer base; /* first: protobuf-c hands its address back */
	struct buf *out;
};

static void sink_append(ProtobufCBuffer *base, size_t len, const uint8_t *data)
{
	buf_put(((struct sink *)(void *)base)->out, data, len);
}

static void pack(struct buf *out, const ProtobufCMessage *m)
{
	struct sink s = { .base.append = sink_append, .out = out };

	(void)protobuf_c_message_pack_to_buffer(m, &s.base);
}

void wire_request_encode(struct buf *out, const char *service, const char *method,
			 struct view payload, int64_t timeout_nano, const char *name)
{
	Vouchsafe__Ttrpc__Request m = VOUCHSAFE__TTRPC__REQUEST__INIT;
	Vouchsafe__Ttrpc__KeyValue kv = VOUCHSAFE__TTRPC__KEY_VALUE__INIT;
	Vouchsafe__Ttrpc__KeyValue *metadata[] = { &kv };

	m.service = data_of(view_str(service));
	m.method = data_of(view_str(method));
	m.payload = data_of(payload);
	m.timeout_nano = timeout_nano;
	if (name) {
		kv.key = data_of(view_str(WIRE_META_NAME));
		kv.value = data_of(view_str(name));
		m.metadata = metadata;
		m.n_metadata = 1;
	}
	pack(out, &m.base);
}

void wire_status_encode(struct buf *out, enum api_status status, const char *text)
{
	Vouchsafe__Ttrpc__Status s = VOUCHSAFE__TTRPC__STATUS__INIT;
	Vouchsafe__Ttrpc__Response m = VOUCHSAFE__TTRPC__RESPONSE__INIT;

	s.code = (int)status;
	s.message = data_of(view_str(text));
	m.status = &s;
	pack(out, &m.base);
}

/* --- by hand: what carries plaintext ------------------------------------------ */

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static size_t varint_put(uint8_t *p, uint64_t v)
{
	size_t n = 0;

	while (v >= 0x80) {
		p[n++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	p[n++] = (uint8_t)v;
	return n;
}

void wire_bytes_put(struct buf *out, unsigned field, struct view bytes)
{
	uint8_t head[20];
	size_t n = varint_put(head, (uint64_t)field << 3 | WIRE_BYTES);

	n += varint_put(head + n, bytes.len);
	buf_put(out, head, n);
	buf_putv(out, bytes);
}

size_t wire_ok_head(uint8_t head[WIRE_HEAD_MAX], size_t len, unsigned field)
{
	uint8_t inner[12];
	size_t n_inner = 0, n = 0;

	head[n++] = 1 << 3 | WIRE_BYTES; /* Response.status: empty, success */
	head[n++] = 0;
	if (len == 0)
		return n;
	if (field > 0) {
		inner[n_inner++] = (uint8_t)(field << 3 | WIRE_BYTES);
		n_inner += varint_put(inner + n_inner, len);
	}
	head[n++] = 2 << 3 | WIRE_BYTES; /* Response.payload */
	n += varint_put(head + n, n_inner + len);
	memcpy(head + n, inner, n_inner);
	return n + n_inner;
}

static int varint_get(uint64_t *v, struct view *in, struct err *e)
{
	*v = 0;
	for (unsigned shift = 0; shift < 64 && in->len > 0; shift += 7) {
		uint8_t b = *in->p++;

		in->len--;
		*v |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80)
			return 0;
	}
	return err_set(e, ERR_FORMAT, "protobuf: a varint does not end");
}

struct field {
	uint64_t number;
	unsigned type;
	uint64_t value;    /* WIRE_VARINT */
	struct view bytes; /* the others */
};

/* The next field off the front of *in. */
static int field_get(struct field *f, struct view *in, struct err *e)
{
	uint64_t tag, n;
	int r = varint_get(&tag, in, e);

	if (r < 0)
		return r;
	*f = (struct field){ .number = tag >> 3, .type = (unsigned)(tag & 7) };
	if (f->number == 0 || f->number > 536870911)
		return err_set(e, ERR_FORMAT, "protobuf: field number out of range");
	if (f->type == WIRE_VARINT)
		return varint_get(&f->value, in, e);
	if (f->type != WIRE_BYTES && f->type != WIRE_FIXED64 && f->type != WIRE_FIXED32)
		return err_set(e, ERR_FORMAT, "protobuf: unknown wire type %u", f->type);
	n = f->type == WIRE_FIXED64 ? 8 : 4;
	if (f->type == WIRE_BYTES)
		r = varint_get(&n, in, e);
	if (r < 0)
		return r;
	if (n > in->len)
		return err_set(e, ERR_FORMAT, "protobuf: a field goes past the end of its message");
	f->bytes = (struct view){ in->p, (size_t)n };
	in->p += n;
	in->len -= (size_t)n;
	return 0;
}

static int want_type(const struct field *f, unsigned type, struct err *e)
{
	if (f->type == type)
		return 0;
	return err_set(e, ERR_FORMAT, "protobuf: field %u has wire type %u, want %u",
		       (unsigned)f->number, f->type, type);
}

static int status_scan(struct wire_reply *out, struct view in, struct err *e)
{
	struct field f;
	int r;

	while (in.len > 0) {
		r = field_get(&f, &in, e);
		if (r == 0 && f.number <= 2)
			r = want_type(&f, f.number == 1 ? WIRE_VARINT : WIRE_BYTES, e);
		if (r < 0)
			return r;
		if (f.number == 1)
			out->status = (int)f.value;
		if (f.number == 2)
			out->message = f.bytes;
	}
	return 0;
}

int wire_reply_scan(struct wire_reply *out, struct view frame, struct err *e)
{
	struct wire_reply reply = { 0 };
	struct field f;
	int r;

	while (frame.len > 0) {
		r = field_get(&f, &frame, e);
		if (r == 0 && f.number <= 2)
			r = want_type(&f, WIRE_BYTES, e);
		if (r == 0 && f.number == 1)
			r = status_scan(&reply, f.bytes, e);
		if (r < 0)
			return r;
		if (f.number == 2)
			reply.payload = f.bytes;
	}
	*out = reply;
	return 0;
}

int wire_bytes_scan(struct view *out, struct view message, unsigned field, struct err *e)
{
	struct view found = { 0 };
	struct field f;
	int r;

	while (message.len > 0) {
		r = field_get(&f, &message, e);
		if (r == 0 && f.number == field)
			r = want_type(&f, WIRE_BYTES, e);
		if (r < 0)
			return r;
		if (f.number == field)
			found = f.bytes;
	}
	*out = found;
	return 0;
}
