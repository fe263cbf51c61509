"""Verifies an audit log without any of its maker's code: only Python's standard library.

Written from the specifications: RFC 6962 section 2.1 (hashes), C2SP signed-note, tlog-checkpoint,
tlog-tiles and tlog-proof, RFC 8032 (Ed25519).

    verify.py log VKEY DIR      DIR/checkpoint and DIR/tile/... as they were served
    verify.py proof VKEY FILE   a tlog-proof whose extra line carries the entry

Prints what it verified as one JSON object; ends with 1 and a sentence when something does not hold.
"""

import base64
import hashlib
import json
import pathlib
import sys

WIDTH = 256


def fail(sentence):
    print(sentence, file=sys.stderr)
    sys.exit(1)


# Ed25519, RFC 8032 section 5.1.7, in affine-free extended coordinates.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def decompress(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def is_signed(public, message, signature):
    if len(signature) != 64:
        return False
    key, r = decompress(public), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or r is None or s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little")
    left, right = multiply(s, BASE), add(r, multiply(h % ORDER, key))
    return all((left[i] * right[2] - right[i] * left[2]) % P == 0 for i in (0, 1))


def checkpoint(note, vkey):
    """Size and root of a signed note, if the key has signed it."""
    name, key_id, key = vkey.split("+", 2)
    key = base64.b64decode(key, validate=True)
    if key[0] != 1 or len(key) != 33:
        fail("the verifier key is not Ed25519")
    if hashlib.sha256(name.encode() + b"\n" + key).digest()[:4].hex() != key_id:
        fail("the verifier key's id is not its hash")
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, encoded = line.split(" ")
        signature = base64.b64decode(encoded, validate=True)
        if dash == "\u2014" and signer == name and signature[:4].hex() == key_id:
            if not is_signed(key[1:], text.encode(), signature[4:]):
                fail("the checkpoint's signature is wrong")
            origin, size, root = text.splitlines()
            if origin != name or str(int(size)) != size:
                fail("the checkpoint is of another log")
            return int(size), base64.b64decode(root, validate=True)
    fail("the key has not signed the checkpoint")


def leaf_hash(entry):
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def tree_hash(hashes):
    """MTH of RFC 6962 over leaf hashes."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return node_hash(tree_hash(hashes[:split]), tree_hash(hashes[split:]))


def tile_path(level, number, width):
    digits = f"{number % 1000:03}"
    number //= 1000
    while number:
        digits = f"x{number % 1000:03}/{digits}"
        number //= 1000
    return f"tile/{level}/{digits}" + ("" if width == WIDTH else f".p/{width}")


def tiles(level, count):
    """Numbers and widths of the tiles of a level with so many hashes."""
    for number in range(0, -(-count // WIDTH)):
        yield number, min(WIDTH, count - number * WIDTH)


def verify_log(vkey, directory):
    directory = pathlib.Path(directory)
    size, root = checkpoint((directory / "checkpoint").read_text(), vkey)
    leaves = []
    level, below, checked = 0, None, 0
    count = size
    while count:
        hashes = []
        for number, width in tiles(level, count):
            data = (directory / tile_path(level, number, width)).read_bytes()
            if len(data) != 32 * width:
                fail(f"tile {level}/{number} has {len(data)} bytes")
            hashes += [data[at : at + 32] for at in range(0, len(data), 32)]
            checked += 1
        if below is None:
            leaves = hashes
        elif any(h != tree_hash(below[i * WIDTH : (i + 1) * WIDTH]) for i, h in enumerate(hashes)):
            fail(f"level {level} does not follow from level {level - 1}")
        below, level, count = hashes, level + 1, count // WIDTH
    if tree_hash(leaves) != root:
        fail("the tiles do not add up to the checkpoint's root")
    entries = 0
    for number, width in tiles(0, size):
        bundle = directory / tile_path("entries", number, width)
        if not bundle.exists():
            continue
        data = bundle.read_bytes()
        for at in range(number * WIDTH, number * WIDTH + width):
            length = int.from_bytes(data[:2], "big")
            entry, data = data[2 : 2 + length], data[2 + length :]
            if leaf_hash(entry) != leaves[at]:
                fail(f"entry {at} is not the one in the tree")
            entries += 1
        if data:
            fail(f"bundle {number} has something behind its last entry")
    print(json.dumps({"size": size, "root": root.hex(), "tiles": checked, "entries": entries}))


def verify_proof(vkey, file):
    text = pathlib.Path(file).read_text()
    head, note = text.split("\n\n", 1)
    lines = head.splitlines()
    if lines[0] != "c2sp.org/tlog-proof@v1" or not lines[1].startswith("extra "):
        fail("not a tlog-proof with its entry")
    entry = base64.b64decode(lines[1].removeprefix("extra "), validate=True)
    index = int(lines[2].removeprefix("index "))
    path = [base64.b64decode(line, validate=True) for line in lines[3:]]
    size, root = checkpoint(note, vkey)
    if index >= size:
        fail("the index lies behind the checkpoint")
    # RFC 9162 section 2.1.3.2.
    node, last, found = index, size - 1, leaf_hash(entry)
    for neighbour in path:
        if last == 0:
            fail("the proof is too long")
        if node & 1 or node == last:
            found = node_hash(neighbour, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, neighbour)
        node, last = node >> 1, last >> 1
    if last or found != root:
        fail("the proof does not lead to the checkpoint's root")
    print(json.dumps({"index": index, "size": size, "entry": entry.decode()}))


if __name__ == "__main__":
    {"log": verify_log, "proof": verify_proof}[sys.argv[1]](*sys.argv[2:4])
