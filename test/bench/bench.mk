# SPDX-License-Identifier: Apache-2.0
# What `make bench` runs: a peer that answers from memory, the bare floor, and who measures.
bench_tools := $(B)/bench/replay $(B)/bench/floor $(B)/bench/load $(B)/bench/evidence

$(B)/bench/replay: $(B)/test/replay/replay.o $(B)/test/replay/replies.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ -lssl -lcrypto -o $@
$(B)/bench/floor: $(patsubst %,$(B)/test/bench/%.o,floor floor_crypto floor_http floor_tpm relay)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ -lcurl -lcrypto -ltss2-sys -ltss2-mu -o $@
$(B)/bench/load: $(B)/test/bench/load.o $(B)/test/bench/ttrpc.o
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ -o $@
$(B)/bench/evidence: $(B)/test/bench/evidence.o $(B)/test/bench/relay.o $(call archives_of,$(needs_attester))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(link) $(LDFLAGS) $^ $(call libs_of,$(needs_attester)) -o $@

bench: all dev $(bench_tools) $(B)/tools/volume_tool
	test/bench/run.sh $(B)
