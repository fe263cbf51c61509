"""Listens with the package `websockets` of PyPI: `listen.py JSON`. One line for each message, and one
for the end.

With asyncio: the client of the package that uses threads reads and writes one TLS connection from two
of them at once, and some of its handshakes are never sent."""

import asyncio
import json
import ssl
import sys

import websockets.asyncio.client
import websockets.exceptions


def tell(line):
    print(json.dumps(line), flush=True)


async def listen(asked):
    try:
        async with websockets.asyncio.client.connect(
            asked["url"],
            ssl=ssl.create_default_context(cafile=asked["ca"]),
            additional_headers=asked["headers"],
            origin=asked["origin"],
            proxy=None,
        ) as socket:
            tell(json.loads(await socket.recv()))
            for length in asked["say"]:
                await socket.send("x" * length)
            try:
                while True:
                    tell(json.loads(await socket.recv()))
            except websockets.exceptions.ConnectionClosed as closed:
                tell({"closed": closed.rcvd.code if closed.rcvd else None})
    except websockets.exceptions.InvalidStatus as refused:
        body = json.loads(refused.response.body)
        tell({"status": refused.response.status_code, "problem": body})


asyncio.run(listen(json.loads(sys.argv[1])))
