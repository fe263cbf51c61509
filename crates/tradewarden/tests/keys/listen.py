"""Listens with the package `websockets` of PyPI: `listen.py JSON`. One line for each message, and one
for the end."""

import json
import ssl
import sys

import websockets.exceptions
import websockets.sync.client


def tell(line):
    print(json.dumps(line), flush=True)


asked = json.loads(sys.argv[1])
try:
    with websockets.sync.client.connect(
        asked["url"],
        ssl=ssl.create_default_context(cafile=asked["ca"]),
        additional_headers=asked["headers"],
        origin=asked["origin"],
        proxy=None,
        open_timeout=30,
    ) as socket:
        tell(json.loads(socket.recv()))
        for length in asked["say"]:
            socket.send("x" * length)
        try:
            while True:
                tell(json.loads(socket.recv()))
        except websockets.exceptions.ConnectionClosed as closed:
            tell({"closed": closed.rcvd.code if closed.rcvd else None})
except websockets.exceptions.InvalidStatus as refused:
    tell({"status": refused.response.status_code, "problem": json.loads(refused.response.body)})
