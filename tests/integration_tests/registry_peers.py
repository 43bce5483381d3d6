"""Registries of others to test against: CNCF distribution and go-containerregistry's, with and without authentication
and TLS; a token service; and one that cheats."""

import base64
import http.server
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest
from conftest import ROOT
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

PEERS = pathlib.Path(os.environ.get("VERGE_PEERS", ROOT / "build" / "peers"))


def peer(name):
    found = shutil.which(name) or (PEERS / name if (PEERS / name).exists() else None)
    if not found:
        pytest.skip(f"{name} is not on PATH and not in VERGE_PEERS={PEERS}")
    return found


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(port, process, log):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"nothing listens on {port}: {log.read_text()}")


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """A certificate authority of the test, and a server's certificate by it."""

    def __init__(self, folder):
        folder.mkdir(exist_ok=True)
        self.ca, ca_key = folder / "ca.pem", folder / "ca.key"
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        request, extension = folder / "server.csr", folder / "server.ext"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", ca_key,
                "-out", self.ca, "-subj", "/CN=registry test", "-days", "2")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key, "-out",
                request, "-subj", "/CN=registry")
        extension.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key, "-CAcreateserial", "-out",
                self.certificate, "-days", "2", "-extfile", extension)

    def server_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Process:
    """A registry in a process of its own; `host` is how references name it."""

    def __init__(self, arguments, port, folder, environment=None):
        self.port, self.host, self.log_path = port, f"127.0.0.1:{port}", folder / "registry.log"
        self.arguments, self.environment = arguments, environment
        self.start()

    def start(self):
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen([*map(str, self.arguments)], stdout=log, stderr=log,
                                            env={**os.environ, **(self.environment or {})})
        wait_for(self.port, self.process, self.log_path)

    @property
    def log(self):
        return self.log_path.read_text()

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=20)


def distribution(folder, authority=None, password=None, token_service=None):
    """CNCF distribution. `password` of the user 'me'; with a token service, tokens by it."""
    program = peer("registry")
    folder.mkdir(exist_ok=True)
    port = free_port()
    config = {"version": 0.1, "log": {"level": "info"},
              "storage": {"filesystem": {"rootdirectory": str(folder / "store")}, "delete": {"enabled": True}},
              "http": {"addr": f"127.0.0.1:{port}"}}
    if authority:
        config["http"]["tls"] = {"certificate": str(authority.certificate), "key": str(authority.key)}
    if password:
        crypt = pytest.importorskip("crypt", reason="no bcrypt in this Python")
        hashed = crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH))
        (folder / "htpasswd").write_text(f"me:{hashed}\n")
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    if token_service:
        config["auth"] = {"token": {"realm": token_service.realm, "service": "peer", "issuer": "test",
                                    "jwks": str(token_service.jwks), "signingalgorithms": ["ES256"]}}
    (folder / "config.json").write_text(json.dumps(config))  # JSON is YAML.
    return Process([program, "serve", folder / "config.json"], port, folder)


def crane_registry(folder):
    """go-containerregistry's, which keeps no list of referrers."""
    program = peer("crane")
    folder.mkdir(exist_ok=True)
    port = free_port()
    return Process([program, "registry", "serve", "--address", f"127.0.0.1:{port}"], port, folder)


def part(text):
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


class Server:
    """A server of the test's own on a thread; `handle(handler)` answers each request, `requests` has all of them as
    (method, path, headers)."""

    def __init__(self, handle, authority=None):
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status, body=b"", headers=(), length=None):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def any_method(self):
                outer.requests.append((self.command, self.path, dict(self.headers)))
                self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    handle(self)
                except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
                    self.close_connection = True
            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = any_method

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if authority:
            self.server.socket = authority.server_context().wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        self.host = f"127.0.0.1:{self.port}"
        self.url = ("https://" if authority else "http://") + self.host
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class TokenService:
    """Gives tokens (JWT by ES256) to the user 'me', for what is asked, good for `life_s`."""

    def __init__(self, folder, password, life_s=60):
        folder.mkdir(exist_ok=True)
        self.password, self.life_s = password, life_s
        self.key = ec.generate_private_key(ec.SECP256R1())
        numbers = self.key.public_key().public_numbers()
        self.jwks = folder / "jwks.json"
        self.jwks.write_text(json.dumps({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "one",
            "x": part(numbers.x.to_bytes(32, "big")), "y": part(numbers.y.to_bytes(32, "big"))}]}))
        self.server = Server(self.handle)
        self.realm = self.server.url + "/token"

    def handle(self, request):
        given = base64.b64encode(f"me:{self.password}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {given}":
            return request.answer(401, b'{"details": "unknown user"}')
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query)
        access = []
        for scope in query.get("scope", []):
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        claims = {"iss": "test", "sub": "me", "aud": query["service"][0], "iat": now, "nbf": now - 5,
                  "exp": now + self.life_s, "jti": os.urandom(8).hex(), "access": access}
        head = part(json.dumps({"typ": "JWT", "alg": "ES256", "kid": "one"}).encode())
        signed = f"{head}.{part(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        token = f"{signed}.{part(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
        return request.answer(200, json.dumps({"token": token, "expires_in": self.life_s}).encode())

    def stop(self):
        self.server.stop()


class CuttingLine:
    """A line to a registry that breaks `times` times, each after `after_bytes` more of what goes `up` or down; with
    `dies`, nothing gets through after the first."""

    def __init__(self, port, after_bytes, times, up, dies=False):
        self.dies = dies
        self.target, self.after_bytes, self.left, self.up, self.cuts = port, after_bytes, times, up, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.pump, args=(client, server, self.up), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, not self.up), daemon=True).start()

    def pump(self, source, sink, counts):
        passed = 0
        try:
            while data := source.recv(1 << 16):
                passed += len(data)
                if counts and self.left > 0 and passed > self.after_bytes:
                    self.left -= 1
                    self.cuts += 1
                    if self.dies:
                        self.after_bytes = 0
                    break
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.listener.close()
