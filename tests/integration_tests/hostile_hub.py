"""A hub in the hands of an attacker: it has the address, certificate and content, and offers what metadata it likes."""

import hashlib
import ssl

import hub_front
from tuf_peer import Peer


class HostileHub(hub_front.HubFront):
    """Serves on the port of a hub that was stopped, with its certificate. `folder` has the metadata; `instead` maps a
    file's name to content in its place (None: endless)."""

    def __init__(self, hub, folder):
        self.blobs = hub.folder / "blobs" / "sha256"
        self.folder, self.instead, self.changed_blobs = folder, {}, {}
        self.sent = 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(hub.folder / "tls" / "server.pem", hub.folder / "tls" / "server_key.pem")
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(hub.ca)
        super().__init__(context, Handler, hub.port)

    def ask_for(self, application, version, digest, target=None):
        self.want({"application": application, "version": version, "digest": digest, "deployment": "d-666",
                   "watch": {"duration_s": 0}, "target": target or f"models/{application}/{version}.json"})

    def blob(self, digest):
        found = next(self.blobs.rglob(digest.removeprefix("sha256:")), None)
        return self.changed_blobs.get(digest) or (found.read_bytes() if found else None)


class Handler(hub_front.Handler):
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
        return self.ANSWERED

    def blob(self, digest):
        return self.hub.blob(digest)

    def metadata(self, name):
        if name in self.hub.instead:
            content = self.hub.instead[name]
            return self.endless() if content is None else content
        file = self.hub.folder / name
        return file.read_bytes() if file.is_file() else None


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
