"""Judges access tokens with PyJWT, one JSON object a line in, one out."""

import json
import sys

import jwt

for line in sys.stdin:
    asked = json.loads(line)
    try:
        header = jwt.get_unverified_header(asked["token"])
        key = jwt.PyJWKSet.from_json(asked["jwks"])[header["kid"]]
        claims = jwt.decode(
            asked["token"],
            key,
            algorithms=["EdDSA"],
            issuer=asked["issuer"],
            audience=asked["audience"],
            options={"require": ["iss", "sub", "aud", "iat", "nbf", "exp", "jti"]},
        )
        answer = {"header": header, "claims": claims}
    except (jwt.InvalidTokenError, KeyError) as refusal:
        answer = {"refused": type(refusal).__name__}
    print(json.dumps(answer), flush=True)
