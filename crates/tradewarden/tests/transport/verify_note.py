"""Opens a signed note (C2SP signed-note) with the Ed25519 of `cryptography`, written from the specification.

Arguments: the verifier key. Standard input: the note. Prints the text, or ends with 1.
"""

import base64
import hashlib
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

name, number, encoded = sys.argv[1].split("+", 2)
key = base64.b64decode(encoded, validate=True)
assert key[0] == 1 and len(key) == 33
identifier = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
assert identifier.hex() == number
text, signatures = sys.stdin.read().rsplit("\n\n", 1)
text += "\n"
for line in signatures.splitlines():
    dash, signer, signature = line.split(" ")
    assert dash == "\u2014"
    raw = base64.b64decode(signature, validate=True)
    if signer == name and raw[:4] == identifier:
        try:
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(raw[4:], text.encode())
        except InvalidSignature:
            sys.exit(1)
        print(text, end="")
        sys.exit(0)
sys.exit(1)
