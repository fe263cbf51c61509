"""Sends one request, signed by a package of PyPI: `peer.py requests|low-level JSON`."""

import datetime
import json
import secrets
import sys

import http_message_signatures
import requests
import requests_http_signature

how, asked = sys.argv[1], json.loads(sys.argv[2])
components = ["@method", "@target-uri"]
headers = {}
if asked["body"]:
    headers["Content-Type"] = "application/json"
    headers["Idempotency-Key"] = f'"{secrets.token_urlsafe(16)}"'
    components += ["content-type", "idempotency-key"]
request = requests.Request(
    asked["method"], asked["url"], headers=headers, data=asked["body"].encode() or None
)
algorithm = {
    "ed25519": http_message_signatures.algorithms.ED25519,
    "hmac-sha256": http_message_signatures.algorithms.HMAC_SHA256,
}[asked["algorithm"]]
key = asked["key"].encode()


class Keys(http_message_signatures.HTTPSignatureKeyResolver):
    def resolve_private_key(self, key_id):
        return key

    def resolve_public_key(self, key_id):
        raise NotImplementedError


if how == "requests":
    request.auth = requests_http_signature.HTTPSignatureAuth(
        signature_algorithm=algorithm,
        key=key,
        key_id=asked["key_id"],
        covered_component_ids=components,
        tag="tw-v1",
        use_nonce=True,
        expires_in=datetime.timedelta(seconds=30),
    )
    prepared = request.prepare()
else:
    prepared = request.prepare()
    signer = http_message_signatures.HTTPMessageSigner(
        signature_algorithm=algorithm, key_resolver=Keys()
    )
    signer.sign(
        prepared,
        key_id=asked["key_id"],
        created=datetime.datetime.now(),
        nonce=secrets.token_urlsafe(16),
        tag="tw-v1",
        covered_component_ids=components,
        body=prepared.body,
    )

session = requests.Session()
session.trust_env = False
answer = session.send(prepared, verify=asked["ca"], timeout=30)
print(json.dumps({"status": answer.status_code, "body": answer.json()}))
