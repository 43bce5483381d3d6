"""python-tuf as a peer: a repository that it makes and signs with the openssl program, served over HTTP."""

import datetime
import functools
import hashlib
import http.server
import os
import subprocess
import tempfile
import threading
import time

import pytest
from conftest import BUILD
from fleet import faketime
from securesystemslib.signer import Signature, SSlibKey
from tuf.api.metadata import (DelegatedRole, Delegations, Metadata, MetaFile, Root, Snapshot,
                              TargetFile, Targets, Timestamp)
from tuf.ngclient import Updater

CLIENT = BUILD / "bin" / "verge-tuf-client"
REPOSITORY = BUILD / "tests" / "programs" / "test_tuf_repository"
TOP = {"root": Root, "timestamp": Timestamp, "snapshot": Snapshot, "targets": Targets}


class Signer:
    """Signs with the openssl program: neither our code nor a package beside python-tuf. Fits Metadata.sign()."""

    KINDS = {"ed25519": ("ed25519", ["-algorithm", "ed25519"], ["pkeyutl", "-sign", "-rawin", "-in"]),
             "ecdsa": ("ecdsa-sha2-nistp256", ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
                       ["dgst", "-sha256"]),
             "rsa": ("rsassa-pss-sha256", ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
                     ["dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:-1"])}

    def __init__(self, kind="ed25519"):
        scheme, options, self.command = self.KINDS[kind]
        self.pem = self.openssl("genpkey", *options)
        self.kind = kind
        if kind == "ed25519":  # The last 32 bytes of the key in DER.
            public = self.openssl("pkey", "-pubout", "-outform", "DER", text=self.pem)[-32:].hex()
        else:
            public = self.openssl("pkey", "-pubout", text=self.pem).decode()
        keyid = hashlib.sha256(public.encode()).hexdigest()  # Any text serves: clients take it as declared.
        self.public_key = SSlibKey(keyid, kind, scheme, {"public": public})

    @staticmethod
    def openssl(*words, text=b""):
        return subprocess.run(["openssl", *words], input=text, capture_output=True, check=True).stdout

    def sign(self, payload):
        with tempfile.NamedTemporaryFile() as key, tempfile.NamedTemporaryFile() as message:
            for file, content in [(key, self.pem), (message, payload)]:
                file.write(content)
                file.flush()
            tail = ["-inkey", key.name] if self.kind == "ed25519" else ["-sign", key.name]
            words = [*self.command, message.name, *tail] if self.kind == "ed25519" else [*self.command, *tail,
                                                                                         message.name]
            return Signature(self.public_key.keyid, self.openssl(*words).hex())


ecdsa = functools.partial(Signer, "ecdsa")
rsa = functools.partial(Signer, "rsa")


@pytest.fixture
def served(tmp_path):
    """A folder behind a URL; `requests` are the paths that were asked for."""
    folder = tmp_path / "served"
    (folder / "metadata").mkdir(parents=True)
    (folder / "targets").mkdir()
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            super().do_GET()

        def translate_path(self, path):  # Names of files are percent-encoded, as they are in URLs.
            return str(folder / path.lstrip("/"))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder_and_url = type("Served", (), {"folder": folder, "url": f"http://127.0.0.1:{server.server_port}",
                                         "requests": requests})
    yield folder_and_url
    server.shutdown()
    server.server_close()


class Client:
    """Our program and its folders."""

    def __init__(self, tmp_path, served, root):
        self.metadata = tmp_path / "client"
        self.metadata.mkdir()
        self.targets = tmp_path / "fetched"
        self.served = served
        (tmp_path / "trusted_root.json").write_bytes(root)
        done = self.run("init", tmp_path / "trusted_root.json")
        assert done.returncode == 0, done.stderr

    def run(self, *arguments, days=0):
        environment = {**os.environ, **faketime(f"+{days}d")} if days else None
        return subprocess.run([CLIENT, "--metadata-dir", self.metadata, *map(str, arguments)], capture_output=True,
                              text=True, timeout=60, env=environment)

    def refresh(self, **options):
        """The identifier of the error, "" when there is none."""
        return self.outcome(self.run("--metadata-url", self.served.url + "/metadata", "refresh", **options))

    def download(self, *names, **options):
        arguments = [word for name in names for word in ("--target-name", name)]
        return self.outcome(self.run("--metadata-url", self.served.url + "/metadata/", *arguments, "--target-dir",
                                     self.targets, "--target-base-url", self.served.url + "/targets", "download",
                                     **options))

    @staticmethod
    def outcome(done):
        assert done.returncode in (0, 1), done.stderr
        assert (done.returncode == 1) == bool(done.stderr), done.stderr
        return done.stderr.strip().rpartition("[")[2].rstrip("]")

    def trusts(self, role, content):
        path = self.metadata / f"{role}.json"
        return path.exists() and path.read_bytes() == content


def in_days(days):
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=days)


class Peer:
    """A repository by python-tuf's metadata API."""

    def __init__(self, folder, consistent=True, hashes=True, scheme=Signer):
        self.folder, self.hashes, self.consistent = folder, hashes, consistent
        self.signers = {role: [scheme()] for role in TOP}
        self.delegator = {}
        self.roles = {role: Metadata(kind(expires=in_days(30))) for role, kind in TOP.items()}
        self.root = self.roles["root"].signed
        self.root.consistent_snapshot = consistent
        self.contents = {}
        for role in TOP:
            self.root.add_key(self.signers[role][0].public_key, role)
        self.targets.version = self.snapshot.version = self.timestamp.version = 0
        self.root.version = 0
        self.publish_root()
        self.first_root = self.written("root")
        self.publish()

    targets = property(lambda self: self.roles["targets"].signed)
    snapshot = property(lambda self: self.roles["snapshot"].signed)
    timestamp = property(lambda self: self.roles["timestamp"].signed)

    def sign(self, role, signers=None):
        metadata = self.roles[role]
        metadata.signatures.clear()
        for signer in signers or self.signers[role]:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def write(self, role, content):
        version = self.roles[role].signed.version
        named = role if role == "timestamp" or (role != "root" and not self.consistent) else f"{version}.{role}"
        (self.folder / "metadata" / f"{named}.json").write_bytes(content)
        self.contents[role] = content

    def written(self, role):
        return self.contents[role]

    def publish_root(self, signers=None):
        self.root.version += 1
        self.write("root", self.sign("root", signers))

    def publish_targets(self, role="targets", signers=None):
        self.roles[role].signed.version += 1
        self.write(role, self.sign(role, signers))
        self.snapshot.meta[f"{role}.json"] = self.meta(role)

    def meta(self, role):
        content = self.written(role)
        if not self.hashes:
            return MetaFile(self.roles[role].signed.version)
        return MetaFile.from_data(self.roles[role].signed.version, content, ["sha256", "sha512"])

    def publish_snapshot(self, signers=None):
        self.snapshot.version += 1
        self.write("snapshot", self.sign("snapshot", signers))
        self.timestamp.snapshot_meta = self.meta("snapshot")

    def publish_timestamp(self, signers=None):
        self.timestamp.version += 1
        self.write("timestamp", self.sign("timestamp", signers))

    def publish(self, *delegated):
        for role in delegated:
            self.publish_targets(role)
        self.publish_targets()
        self.publish_snapshot()
        self.publish_timestamp()

    def add_target(self, role, path, content):
        self.roles[role].signed.targets[path] = TargetFile.from_data(path, content, ["sha256"])
        digest = hashlib.sha256(content).hexdigest()
        folder, _, name = path.rpartition("/")
        file = self.folder / "targets" / folder / (f"{digest}.{name}" if self.consistent else name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def delegate(self, delegator, name, threshold=1, terminating=False, schemes=(Signer,),
                 **where):
        self.signers[name] = [scheme() for scheme in schemes]
        self.roles[name] = Metadata(Targets(expires=in_days(30)))
        self.roles[name].signed.version = 0
        parent = self.roles[delegator].signed
        if parent.delegations is None:
            parent.delegations = Delegations({}, {})
        parent.delegations.roles[name] = DelegatedRole(name, [], threshold, terminating, **where)
        for signer in self.signers[name]:
            parent.add_key(signer.public_key, name)


@pytest.fixture
def peer(served):
    return Peer(served.folder)


@pytest.fixture
def client(tmp_path, served, peer):
    return Client(tmp_path, served, peer.first_root)


# Our repository, python-tuf's client.

def repository(folder, *words, days=0, check=True):
    now_s = int(time.time()) + days * 86400
    done = subprocess.run([REPOSITORY, folder, str(now_s), *map(str, words)], capture_output=True, text=True,
                          timeout=60)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


def updater(tmp_path, served, name, root):
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    return Updater(str(folder), served.url + "/metadata/", str(folder), served.url + "/targets/", bootstrap=root)
