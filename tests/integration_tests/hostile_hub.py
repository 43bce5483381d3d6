"""A hub in the hands of an attacker: it has the address, certificate and content, and offers what metadata it likes."""

import functools
import hashlib
import http.server
import json
import re
import ssl
import threading
import time

from tuf_peer import Peer


class HostileHub:
    """Serves on the port of a hub that was stopped, with its certificate. `folder` has the metadata; `instead` maps a
    file's name to content in its place (None: endless); `desired` is what devices are to run."""

    def __init__(self, hub, folder):
        self.blobs = hub.folder / "blobs" / "sha256"
        self.folder, self.instead, self.desired, self.version, self.reports = folder, {}, [], 1000, []
        self.changed_blobs = {}
        self.sent = 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(hub.folder / "tls" / "server.pem", hub.folder / "tls" / "server_key.pem")
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(hub.ca)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", hub.port),
                                                      functools.partial(Handler, self))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def ask_for(self, application, version, digest, target=None):
        self.desired = [{"application": application, "version": version, "digest": digest, "deployment": "d-666",
                         "watch": {"duration_s": 0}, "target": target or f"models/{application}/{version}.json"}]
        self.version += 1

    def blob(self, digest):
        found = next(self.blobs.rglob(digest.removeprefix("sha256:")), None)
        return self.changed_blobs.get(digest) or (found.read_bytes() if found else None)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub, *arguments):
        self.hub = hub
        super().__init__(*arguments)

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def endless(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        block = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        try:
            while True:
                self.wfile.write(block)
                self.hub.sent += 0x10000
        except OSError:
            self.close_connection = True

    def do_PUT(self):
        self.hub.reports.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer(200, json.dumps({"continuation": "c", "desired_version": self.hub.version,
                                     "time_ms": int(time.time() * 1000)}).encode())

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/api/v1/device/desired":
            return self.wait_for_news()
        if path.startswith("/api/v1/device/blobs/"):
            body = self.hub.blob(path.rpartition("/")[2])
            return self.answer(404) if body is None else self.answer(200, body)
        name = path.removeprefix("/tuf/metadata/")
        if name in self.hub.instead:
            content = self.hub.instead[name]
            return self.endless() if content is None else self.answer(200, content)
        file = self.hub.folder / name
        if path.startswith("/tuf/metadata/") and file.is_file():
            return self.answer(200, file.read_bytes())
        return self.answer(404, b'{"error": "none", "id": "VRG-TUF-011"}', [("Content-Type", "application/json")])

    def wait_for_news(self):
        after = int(re.search(r"after=(-?\d+)", self.path)[1])
        end = time.monotonic() + 5
        while time.monotonic() < end:
            if self.hub.version > after:
                return self.answer(200, json.dumps({"version": self.hub.version, "device": "cam-1",
                                                    "applications": self.hub.desired}).encode())
            time.sleep(0.02)
        return self.answer(204)


class ModelPeer(Peer):
    """python-tuf's repository with models of a hub as targets."""

    def __init__(self, folder, hub, models, **options):
        """`models`: what the hub said of each, by name."""
        self.hub, self.models = hub, models
        super().__init__(folder, **options)

    def add_model(self, name, version, role="targets", **custom):
        """Digest of the version's manifest; the hub has it."""
        info = next(one for one in self.models[name]["versions"] if one["version"] == version)
        digest = info["digest"].removeprefix("sha256:")
        content = next((self.hub.folder / "blobs" / "sha256").rglob(digest)).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
        path = info["target"]
        self.add_target(role, path, content)
        self.roles[role].signed.targets[path].unrecognized_fields["custom"] = {
            "kind": "model", "name": name, "version": version, **custom}
        return info["digest"]
