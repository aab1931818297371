/* SPDX-License-Identifier: Apache-2.0 */
#include "test/bench/floor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tss2/tss2_mu.h>
#include <tss2/tss2_sys.h>

enum { AK = 0x81010002 };

static TSS2_SYS_CONTEXT *sys;

static struct {
	TSS2_TCTI_CONTEXT_COMMON_V1 v1;
	int fd;
} tcti = { .fd = -1 };

static TSS2_RC tcti_transmit(TSS2_TCTI_CONTEXT *c, size_t n, const uint8_t *p)
{
	(void)c;
	return write(tcti.fd, p, n) == (ssize_t)n ? TSS2_RC_SUCCESS : TSS2_TCTI_RC_IO_ERROR;
}

/* A device gives a whole reply or nothing; a socket may give pieces. */
static TSS2_RC tcti_receive(TSS2_TCTI_CONTEXT *c, size_t *n, uint8_t *p, int32_t timeout)
{
	size_t room = *n, have = 0;
	uint32_t want = 10;

	(void)c;
	(void)timeout;
	*n = 4096;
	if (!p)
		return TSS2_RC_SUCCESS;
	while (have < want) {
		ssize_t k = read(tcti.fd, p + have, room - have);

		if (k <= 0)
			return TSS2_TCTI_RC_IO_ERROR;
		have += (size_t)k;
		if (have >= 10) {
			memcpy(&want, p + 2, sizeof want);
			want = ntohl(want);
		}
	}
	*n = have;
	return TSS2_RC_SUCCESS;
}

static void tcti_finalize(TSS2_TCTI_CONTEXT *c)
{
	(void)c;
	(void)close(tcti.fd);
}

void tpm_open(void)
{
	const char *colon = strrchr(given.tpm, ':');

	if (colon) {
		struct sockaddr_in a = { .sin_family = AF_INET };
		char host[64];

		(void)snprintf(host, sizeof host, "%.*s", (int)(colon - given.tpm), given.tpm);
		a.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
		need(inet_pton(AF_INET, host, &a.sin_addr) == 1, "--tpm");
		tcti.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		need(connect(tcti.fd, (struct sockaddr *)&a, sizeof a) == 0,
		     "cannot connect to the TPM");
	} else {
		tcti.fd = open(given.tpm, O_RDWR | O_CLOEXEC | O_NOCTTY);
		need(tcti.fd >= 0, "cannot open the TPM");
	}
	tcti.v1 = (TSS2_TCTI_CONTEXT_COMMON_V1){
		.magic = 1,
		.version = 1,
		.transmit = tcti_transmit,
		.receive = tcti_receive,
		.finalize = tcti_finalize,
	};
	sys = calloc(1, Tss2_Sys_GetContextSize(0));
	need(sys && Tss2_Sys_Initialize(sys, Tss2_Sys_GetContextSize(0),
					(TSS2_TCTI_CONTEXT *)(void *)&tcti, NULL) == 0,
	     "SAPI");
}

static TPML_PCR_SELECTION pcrs(uint32_t mask)
{
	return (TPML_PCR_SELECTION){
		.count = 1,
		.pcrSelections[0] = { .hash = TPM2_ALG_SHA256,
				      .sizeofSelect = 3,
				      .pcrSelect = { mask & 0xff, mask >> 8 & 0xff,
						     mask >> 16 & 0xff } },
	};
}

static void pcr_read(uint32_t mask, uint8_t out[24][32])
{
	while (mask) {
		TPML_PCR_SELECTION want = pcrs(mask), got = { 0 };
		TPML_DIGEST values = { 0 };
		uint32_t counter;

		need(Tss2_Sys_PCR_Read(sys, NULL, &want, &counter, &got, &values, NULL) == 0 &&
			     values.count > 0,
		     "TPM2_PCR_Read");
		for (uint32_t i = 0, n = 0; i < 24; i++) {
			if (got.pcrSelections[0].pcrSelect[i / 8] >> i % 8 & 1) {
				memcpy(out[i], values.digests[n++].buffer, 32);
				mask &= ~(UINT32_C(1) << i);
			}
		}
	}
}

void read_pcr8(void)
{
	uint8_t values[24][32];

	pcr_read(1 << 8, values);
}

static size_t spki(uint8_t *out, const TPM2B_PUBLIC *ak)
{
	static const uint8_t head[] = { 0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a,
					0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05,
					0x00, 0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01,
					0x0a, 0x02, 0x82, 0x01, 0x01, 0x00 };
	static const uint8_t tail[] = { 0x02, 0x03, 0x01, 0x00, 0x01 };

	need(ak->publicArea.unique.rsa.size == 256, "the AK is no RSA-2048 key");
	memcpy(out, head, sizeof head);
	memcpy(out + sizeof head, ak->publicArea.unique.rsa.buffer, 256);
	memcpy(out + sizeof head + 256, tail, sizeof tail);
	return sizeof head + 256 + sizeof tail;
}

size_t evidence(char *out, const uint8_t nonce[32])
{
	const TPMT_SIG_SCHEME scheme = { .scheme = TPM2_ALG_RSASSA,
					 .details.rsassa.hashAlg = TPM2_ALG_SHA256 };
	const TPML_PCR_SELECTION all = pcrs(0xffffff);
	TPM2B_DATA qualifying = { .size = 32 };
	const TSS2L_SYS_AUTH_COMMAND password = { .count = 1,
						  .auths = { { .sessionHandle = TPM2_RH_PW } } };
	TSS2L_SYS_AUTH_RESPONSE answer;
	TPM2B_NAME name = { 0 }, qualified = { 0 };
	TPM2B_ATTEST quoted = { 0 };
	TPMT_SIGNATURE signature = { 0 };
	TPM2B_PUBLIC public = { 0 };
	uint8_t values[24][32], bytes[1024];
	size_t n = 0, len = 0;
	char *p = out;

	need(Tss2_Sys_ReadPublic(sys, AK, NULL, &public, &name, &qualified, NULL) == 0,
	     "TPM2_ReadPublic");
	memcpy(qualifying.buffer, nonce, 32);
	need(Tss2_Sys_Quote(sys, AK, &password, &qualifying, &scheme, &all, &quoted, &signature,
			    &answer) == 0,
	     "TPM2_Quote");
	pcr_read(0xffffff, values);
	need(Tss2_MU_TPMT_SIGNATURE_Marshal(&signature, bytes, sizeof bytes, &n) == 0, "signature");
	p = stpcpy(p, "{\"tpm_quote\":{\"signature\":\"");
	p += b64(p, bytes, n);
	p = stpcpy(p, "\",\"message\":\"");
	p += b64(p, quoted.attestationData, quoted.size);
	p = stpcpy(p, "\",\"pcrs\":[");
	for (int i = 0; i < 24; i++) {
		p = stpcpy(p, i ? "\",\"" : "\"");
		for (int j = 0; j < 32; j++)
			p += sprintf(p, "%02x", values[i][j]);
	}
	len = spki(bytes, &public);
	p = stpcpy(p, "\"]},\"ak_public\":\"");
	p += b64(p, bytes, len);
	p = stpcpy(p, "\"}");
	return (size_t)(p - out);
}
