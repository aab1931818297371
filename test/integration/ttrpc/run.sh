#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Our ttrpc server against a client written from the specification, with protoc as an oracle for
# the messages: no byte of a message is judged by our own encoder or decoder.
#   run.sh BUILD_DIR
set -u
cd "$(dirname "$0")/../../.." || exit 1
echo_bin=$1/tools/ttrpc_echo
tool=test/tools/ttrpc.py
passed=0 failed=0 skipped=0
ok() { echo "ok $1"; passed=$((passed + 1)); }
bad() { echo "FAIL $1"; failed=$((failed + 1)); }
finish() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ]
	exit
}
skip() { echo "skip $1"; skipped=$((skipped + 1)); finish; }
# is NAME GOT WANT
is() {
	if [ "$2" = "$3" ]; then ok "$1"; else bad "$1: got <$2> want <$3>"; fi
}

[ -x "$echo_bin" ] || skip "no $echo_bin: make it first"
command -v protoc >/dev/null || skip "protoc is not installed"
[ -x /usr/bin/python3 ] || skip "/usr/bin/python3 is not installed"

tmp=$(mktemp -d) || exit 1
sock=$tmp/cdh.sock
"$echo_bin" "$sock" >"$tmp/out" 2>"$tmp/err" &
pid=$!
trap 'kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; rm -rf "$tmp"' EXIT
n=0
until [ -S "$sock" ] || [ $n -ge 100 ]; do sleep 0.05; n=$((n + 1)); done

py() { /usr/bin/python3 "$tool" "$@"; }
peer() { protoc -Itest/integration/ttrpc "--$1=peer.$2" strings.proto; }
ours() { protoc -Iagent/api/proto "--$1=vouchsafe.$2" "$3"; }
hex() { od -An -v -tx1 | tr -d ' \n'; }
# A frame around stdin, in hex: frame STREAM TYPE
frame() { body=$(hex); printf '%08x%08x%02x00%s' $((${#body} / 2)) "$1" "$2" "$body"; }
unhex() { /usr/bin/python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.stdin.read().strip()[20:]))'; }

# --- calls by the independent client ---
is "unseal" "$(py "$sock" unseal sealed.a.b.c)" "-:sealed.a.b.c"
is "unseal with a name" "$(py "$sock" unseal sealed.a.b.c --name DB_PASSWORD)" "DB_PASSWORD:sealed.a.b.c"
is "unseal from the cache" "$(py "$sock" unseal cached --name X)" "X:cached"
is "get-resource" "$(py "$sock" get-resource kbs:///a/b/c)" "-:kbs:///a/b/c"
is "a secret of 4 MB" "$(py "$sock" unseal big:4190000 | wc -c)" 4190000
is "refusal" "$(py "$sock" unseal deny-it 2>&1)" \
	"status 13: [CDH] [ERROR]: Unseal Secret failed: kbs.policy-denied: deny-it"
is "refusal of a resource" "$(py "$sock" get-resource deny-it 2>&1)" \
	"status 13: [CDH] [ERROR]: Get Resource failed: kbs.policy-denied: deny-it"
is "unknown service" "$(py "$sock" raw no.Such Foo 2>&1)" "status 3: no.Such service does not exist"
is "unknown method" "$(py "$sock" raw api.GetResourceService Foo 2>&1)" "status 12: Foo method"
is "WrapKey" "$(py "$sock" raw keyprovider.KeyProviderService WrapKey 2>&1)" \
	"status 5: /keyprovider.KeyProviderService/WrapKey is not supported"
is "SecureMount" "$(py "$sock" raw api.SecureMountService SecureMount 2>&1 | cut -c1-70)" \
	"status 13: [CDH] [ERROR]: Secure Mount failed: volume.type-unsupported"
is "PullImage" "$(py "$sock" raw api.ImagePullService PullImage 2>&1 | cut -c1-59)" \
	"status 13: [CDH] [ERROR]: Image Pull error: image.not-built"
is "UnWrapKey" "$(py "$sock" raw keyprovider.KeyProviderService UnWrapKey 0a0378797a | hex)" 0a052d3a78797a
is "timeout" "$(py "$sock" unseal sleep:700 --timeout 0.2 2>&1)" "status 4: timeout"
is "payload that does not decode" "$(py "$sock" raw api.GetResourceService GetResource 0a05 2>&1)" \
	"status 2: api.malformed: the payload is not a GetResourceRequest"

# --- what the client encodes is what protoc reads ---
py - request api.SealedSecretService UnsealSecret 0a0178 --name N --timeout 50 >"$tmp/req"
want='service: "api.SealedSecretService"
method: "UnsealSecret"
payload: "\n\001x"
timeout_nano: 50000000000
metadata {
  key: "io.vouchsafe.name"
  value: "N"
}'
is "client's Request by protoc, string fields" "$(peer decode Request <"$tmp/req")" "$want"
is "client's Request by protoc, our bytes fields" "$(ours decode ttrpc.Request ttrpc.proto <"$tmp/req")" "$want"

# --- what protoc encodes is what the server reads, and back ---
# sent STREAM: Request in text format on stdin, payload message encoded before
sent() { peer encode Request | frame "$1" 1; }
reply() { py "$sock" frame "$1" --wait 0.7 | unhex; }
payload=$(echo 'secret: "sealed.from.protoc"' | peer encode UnsealSecretInput | od -An -v -to1 | tr -d '\n' | tr ' ' '\\')
req=$(printf 'service: "api.SealedSecretService" method: "UnsealSecret" payload: "%s" timeout_nano: 50000000000 metadata { key: "other" value: "x" }' "$payload" | sent 1)
reply "$req" >"$tmp/resp"
is "Response starts with an empty status" "$(head -c 2 "$tmp/resp" | hex)" 0a00
is "UnsealSecret by protoc" "$(peer decode Response <"$tmp/resp" | tr -d '\n')" \
	'status {}payload: "\n\024-:sealed.from.protoc"'
py "$sock" raw api.SealedSecretService UnsealSecret "$(echo 'secret: "sealed.x"' | peer encode UnsealSecretInput | hex)" >"$tmp/msg"
is "UnsealSecretOutput by protoc" "$(peer decode UnsealSecretOutput <"$tmp/msg")" 'plaintext: "-:sealed.x"'
is "UnsealSecretOutput by our proto" "$(ours decode cdh.UnsealSecretOutput cdh.proto <"$tmp/msg")" 'plaintext: "-:sealed.x"'
py "$sock" raw api.GetResourceService GetResource "$(echo 'ResourcePath: "kbs:///x/y/z"' | peer encode GetResourceRequest | hex)" >"$tmp/msg"
is "GetResourceResponse by protoc" "$(peer decode GetResourceResponse <"$tmp/msg")" 'Resource: "-:kbs:///x/y/z"'
req=$(printf 'service: "api.Nothing" method: "M"' | sent 7)
is "error Response by protoc" "$(reply "$req" | peer decode Response)" 'status {
  code: INVALID_ARGUMENT
  message: "api.Nothing service does not exist"
}'

# --- frames ---
is "even stream id" "$(reply "$(printf 'service: "s"' | sent 2)" | peer decode Response | sed -n 's/.*message: //p')" '"stream id must be odd"'
is "data frame" "$(reply "$(printf x | frame 9 3)" | peer decode Response | sed -n 's/.*message: //p')" '"Stream is no longer active"'
is "malformed Request" "$(reply "$(printf '\012\005s' | frame 9 1)" | peer decode Response | sed -n 's/.*code: //p')" INVALID_ARGUMENT
is "unknown frame type" "$(py "$sock" frame "$(printf x | frame 9 7)" --wait 0.3)" ""
shared=${TEST_SHARED:-../shared}/vectors/local/ttrpc
if [ -r "$shared/cdh-unseal.req.bin" ]; then
	got=$(py "$sock" frame "@$shared/cdh-unseal.req.bin" --wait 0.7 | unhex | peer decode Response | grep -c 'sealed.eyJ')
	is "shared vector cdh-unseal.req" "$got" 1
	got=$(py "$sock" frame "@$shared/cdh-getresource.req.bin" --wait 0.7 | unhex | peer decode Response | grep -c 'kbs:///default/key/1')
	is "shared vector cdh-getresource.req" "$got" 1
else
	echo "skip the shared vectors are not on this machine"
	skipped=$((skipped + 1))
fi

# --- many at once ---
many=$(cd test/tools && /usr/bin/python3 - "$sock" <<'PY'
import sys, time
import ttrpc
c = ttrpc.Client(sys.argv[1])
S, M = "api.SealedSecretService", "UnsealSecret"
slow = c.start(S, M, ttrpc.field(1, "sleep:1500"))
ids = [c.start(S, M, ttrpc.field(1, "n%d" % i)) for i in range(200)]
began = time.monotonic()
for i, stream in reversed(list(enumerate(ids))):
    assert ttrpc.last(ttrpc.fields(c.finish(stream)), 1, b"") == b"-:n%d" % i
fast = time.monotonic() - began
assert ttrpc.last(ttrpc.fields(c.finish(slow)), 1, b"") == b"-:sleep:1500"
print("out of order" if fast < 1.2 else "waited %.1f s" % fast)
PY
)
is "200 calls while one sleeps" "$many" "out of order"

# --- end ---
kill -TERM "$pid"
wait "$pid"
is "drained" "$?" 0
is "socket removed" "$([ -e "$sock" ] && echo there)" ""
finish
