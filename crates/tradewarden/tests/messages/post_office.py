"""A mail server (aiosmtpd) that wants STARTTLS and a password, and tells what comes as JSON lines.

On standard input it is told how to go on: `take`, `refuse CODE`, or `lose` (take the next mail and
break the connection before the answer, once).
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

ASKED = json.loads(sys.argv[1])
MODE = ["take"]


def tell(**event):
    print(json.dumps(event), flush=True)


def authenticate(server, session, envelope, mechanism, data):
    wanted = LoginPassword(ASKED["user"].encode(), ASKED["password"].encode())
    return AuthResult(success=data == wanted, auth_data=data)


class Handler:
    async def handle_DATA(self, server, session, envelope):
        mode = MODE[0]
        if mode.startswith("refuse"):
            code = mode.split()[1]
            tell(event="refused", code=code)
            return f"{code} not now {envelope.rcpt_tos[0]}"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        tell(
            event="mail",
            envelope_from=envelope.mail_from,
            envelope_to=envelope.rcpt_tos,
            tls=session.ssl is not None,
            user=session.auth_data.login.decode(),
            headers={name.lower(): str(value) for name, value in mail.items()},
            text=mail.get_content().replace("\r\n", "\n"),
        )
        if mode == "lose":
            MODE[0] = "take"
            server.transport.abort()
        return "250 taken"


def factory():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ASKED["certificate"], ASKED["key"])
    return SMTP(
        Handler(),
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=authenticate,
        enable_SMTPUTF8=True,
    )


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(factory, "127.0.0.1", ASKED["port"])
    tell(event="listening", port=server.sockets[0].getsockname()[1])
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        MODE[0] = line.decode().strip()
        tell(event="told", mode=MODE[0])


asyncio.run(main())
