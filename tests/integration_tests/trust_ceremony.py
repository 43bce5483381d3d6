"""A ceremony as people hold it: keys in encrypted files, a folder, and the command line."""

import json

import pytest
from fleet import running_fleet

PASSPHRASE = "correct horse battery staple"


class Ceremony:
    """Keys of people and the folder in which they sign, beside a fleet."""

    def __init__(self, fleet, folder):
        self.fleet, self.folder = fleet, folder
        self.keys = folder.parent / f"{folder.name}-keys"
        self.keys.mkdir(exist_ok=True)
        fleet.environment["VERGE_TRUST_PASSPHRASE"] = PASSPHRASE

    def trust(self, verb, *arguments, check=True):
        return self.fleet.verge("trust", verb, *arguments, check=check)

    def key(self, name, kind="ed25519"):
        """Makes a key; its public half."""
        self.trust("key", self.keys / f"{name}.pem", "--kind", kind)
        return self.keys / f"{name}.pub"

    def fetch(self, *options):
        self.trust("fetch", self.folder, *options)

    def status(self):
        return json.loads(self.trust("status", self.folder, "--output", "json").stdout)

    def drafts(self):
        return {draft["file"]: draft for draft in self.status()["drafts"]}

    def sign(self, *names):
        for name in names:
            spec = name if ":" in name else self.keys / f"{name}.pem"
            self.trust("sign", self.folder, "--key", spec, "--yes")

    def publish(self, check=True):
        return self.trust("publish", self.folder, check=check)

    def sign_all(self, *names):
        """A day's work: what waits is fetched, signed and published."""
        self.fetch()
        self.sign(*names)
        self.publish()

    def take_offline(self, root=("alice", "bob", "carol"), threshold=2, targets=("dave",), targets_threshold=1):
        """The hub's root and targets keys are replaced by keys of people."""
        self.fetch()
        publics = {name: self.key(name) for name in dict.fromkeys((*root, *targets))}
        self.trust("init", self.folder, "--root", *(publics[name] for name in root), "--root-threshold", threshold,
                   "--targets", *(publics[name] for name in targets), "--targets-threshold", targets_threshold)
        self.sign(*root[:threshold], *targets[:targets_threshold])
        self.publish()


@pytest.fixture
def fleet(tmp_path):
    with running_fleet(tmp_path) as running:
        yield running


@pytest.fixture
def ceremony(fleet, tmp_path):
    return Ceremony(fleet, tmp_path / "ceremony")


def error_id(done):
    """The identifier at the end of what was written to standard error."""
    assert done.returncode != 0, done.stdout
    return done.stderr.strip().rpartition("[")[2].rstrip("]")
