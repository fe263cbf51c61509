"""What pebble 2.4 does not have: renewal information (RFC 9773), scripted, in front of it.

Everything is passed on as it is, but for the directory, which gains `renewalInfo`; the information
itself, which always suggests to renew in two to four seconds; and new orders, of which `replaces` is
reflected as section 5 wants it, the first time, and refused with 409 `alreadyReplaced` the second.
Prints a line of JSON for each order that replaces a certificate.
"""

import base64
import datetime
import http.client
import http.server
import json
import ssl
import sys

asked = json.load(sys.stdin)
own = f"https://localhost:{asked['port']}"
trusting = ssl.create_default_context(cafile=asked["ca_file"])
replaced = []


def after(seconds):
    now = datetime.datetime.now(datetime.timezone.utc)
    return (now + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def passed_on(self, body):
        upstream = http.client.HTTPSConnection("localhost", asked["pebble_port"], context=trusting)
        upstream.request(self.command, self.path, body, dict(self.headers))
        got = upstream.getresponse()
        return got.status, got.getheaders(), got.read()

    def do_HEAD(self):
        status, headers, _ = self.passed_on(None)
        self.answer(status, headers, b"")

    def do_GET(self):
        if self.path.startswith("/renewal-info/"):
            window = {"suggestedWindow": {"start": after(2), "end": after(4)}}
            headers = [("content-type", "application/json"), ("retry-after", "3600")]
            return self.answer(200, headers, json.dumps(window).encode())
        status, headers, body = self.passed_on(None)
        if self.path == "/dir":
            body = json.dumps(json.loads(body) | {"renewalInfo": f"{own}/renewal-info"}).encode()
        self.answer(status, headers, body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        payload = json.loads(body)["payload"]
        payload = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        payload = json.loads(payload) if payload else {}
        name = payload.get("replaces")
        if name and name not in replaced and len(replaced) == 1:
            replaced.append(name)
            print(json.dumps({"replaces": name, "status": 409}), flush=True)
            problem = {"type": "urn:ietf:params:acme:error:alreadyReplaced", "status": 409}
            headers = [("content-type", "application/problem+json")]
            return self.answer(409, headers, json.dumps(problem).encode())
        status, headers, body = self.passed_on(body)
        if name and status == 201:
            replaced.append(name)
            print(json.dumps({"replaces": name, "status": 201}), flush=True)
            body = json.dumps(json.loads(body) | {"replaces": name}).encode()
        self.answer(status, headers, body)


server = http.server.ThreadingHTTPServer(("127.0.0.1", asked["port"]), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(asked["certificate"], asked["key"])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
