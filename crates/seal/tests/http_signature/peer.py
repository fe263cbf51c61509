"""Signs and verifies with the http-message-signatures package: one JSON request a line, one answer."""

import datetime
import json
import sys
import time
import types

from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    MappingKeyResolver,
    algorithms,
)

ALGORITHMS = {"ed25519": algorithms.ED25519, "hmac-sha256": algorithms.HMAC_SHA256}


def message(asked):
    return types.SimpleNamespace(
        method=asked["method"], url=asked["url"], headers=dict(asked["headers"])
    )


def sign(asked):
    resolver = MappingKeyResolver(
        public_keys={}, private_keys={asked["key_id"]: asked["key"].encode()}
    )
    signer = HTTPMessageSigner(
        signature_algorithm=ALGORITHMS[asked["algorithm"]], key_resolver=resolver
    )
    signed = message(asked)
    at = lambda unix_s: datetime.datetime.fromtimestamp(unix_s, tz=datetime.timezone.utc)
    body = asked["body"].encode()
    names = [name for name in signed.headers if name != "content-digest"]
    signer.sign(
        signed,
        key_id=asked["key_id"],
        created=at(asked["created"]),
        expires=at(asked["expires"]),
        nonce=asked["nonce"],
        tag="tw-v1",
        covered_component_ids=["@method", "@target-uri", *names],
        body=body or None,
    )
    return {"headers": {name.lower(): value for name, value in signed.headers.items()}}


def verify(asked):
    resolver = MappingKeyResolver(
        public_keys={asked["key_id"]: asked["key"].encode()}, private_keys={}
    )
    verifier = HTTPMessageVerifier(
        signature_algorithm=ALGORITHMS[asked["algorithm"]], key_resolver=resolver
    )
    try:
        results = verifier.verify(
            message(asked), expect_tag="tw-v1", body=asked["body"].encode() or None
        )
    except Exception as error:
        return {"verified": False, "why": repr(error)}
    return {"verified": len(results) == 1}


ANSWERS = {"now": lambda asked: {"unix_s": int(time.time())}, "sign": sign, "verify": verify}

for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps(ANSWERS[asked["do"]](asked)), flush=True)
