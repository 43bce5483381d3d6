"""The client that tuf-conformance drives, done by verge-agent: a process of it for each call of the suite.

The metadata directory of the suite is the agent's trust folder. What the hub says to the device is said here: a TLS
front hands the agent's requests for metadata and blobs on to the suite's URLs, and its desired state names the target.
The agent runs until it has reported what became of the target; then the power goes (SIGKILL), and the suite looks at
what it left.

    refresh   asks for a target that no repository has. 0: the agent has taken all metadata and then found no such
              target (VRG-TUF-007); 1: refused with another VRG-TUF error.
    download  0: the agent has fetched the content, found it right by the signed length and digest, and only then that
              it is no application document (VRG-DOC-001): targets of the suite are plain text. It keeps nothing of
              the kind, so what it was handed is put into the target directory here. 1: refused, the metadata (VRG-TUF)
              or the content (VRG-UPD-003, VRG-UPD-004, VRG-UPD-001).

Like every hub, this one asks for a target by its digest, which tuf_agent_plugin.py says in VERGE_TUF_DIGESTS. Where it
does not know the target (the two repositories that others have signed, and names that are nowhere), it asks for another
digest, and the agent's word that the signed digest is not that one (VRG-UPD-001) says that it has found the target.

What is neither, such as an agent that reports nothing, is exit status 3, which no case of the suite expects.
VERGE_TUF_DEVICE is a folder with a device's identity and the front's certificate.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import time
import traceback
import urllib.request

import hub_front

AGENT = os.environ.get("VERGE_AGENT", "verge-agent")
DEVICE = pathlib.Path(os.environ.get("VERGE_TUF_DEVICE", "."))
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
APPLICATION, VERSION = "conformance", "1.0.0"
NOWHERE, NO_DIGEST = "no/repository/has/this/target", "sha256:" + "0" * 64
LONGEST_S = 20
UNEXPECTED = 3


def fetched(url):
    """The content at the URL, or None: the suite answers 404, or breaks the connection off."""
    try:
        with urllib.request.urlopen(url, timeout=LONGEST_S) as answer:
            return answer.read()
    except OSError:
        return None


class Handler(hub_front.Handler):
    def metadata(self, name):
        if not self.hub.attempt.admits(name):
            time.sleep(LONGEST_S)  # The agent is ended meanwhile.
            return None
        return fetched(self.hub.metadata_url + name)

    def blob(self, digest):
        target = next((name for name, known in self.hub.digests.items() if known == digest), None)
        if target is None:
            return None
        folder, slash, name = target.rpartition("/")
        content = fetched(f"{self.hub.targets_url}{folder}{slash}{digest.partition(':')[2]}.{name}")
        self.hub.handed[digest] = content
        return content


class Attempt:
    """The one refresh that a target is looked for with: what the agent would try again after a refusal, before its
    report is read, is not let through to the suite, which counts requests."""

    def __init__(self):
        self.begin()

    def begin(self):
        self.seen = set()

    def admits(self, name):
        begins = re.fullmatch(r"\d+\.root\.json", name) is not None
        again = name in self.seen or (begins and "timestamp.json" in self.seen)
        if begins or name == "timestamp.json":
            self.seen.add(name)
            return not again
        return True


class Device:
    """The agent's folder, kept beside the suite's metadata directory."""

    def __init__(self, metadata_dir):
        self.metadata_dir = pathlib.Path(metadata_dir).absolute()
        self.folder = self.metadata_dir.parent / "device"
        self.state = self.folder / "state"

    def make(self, trusted_root):
        self.state.mkdir(parents=True)
        (self.state / "trust").symlink_to(self.metadata_dir)
        shutil.copytree(DEVICE / "identity", self.state / "identity")
        (self.folder / "edge_config.yaml").write_text(
            "version: 1\nthreads: 1\napi: { port: 0 }\nstate_directory: state\nhub: { enrolment: enrolment.json }\n"
            "device: { name: cam-1, type: camera }\n")
        self.write_enrolment(trust_root=trusted_root)

    def write_enrolment(self, **changed):
        file = self.folder / "enrolment.json"
        if file.exists():
            changed = {**json.loads(file.read_text()), **changed}
        base = json.loads((DEVICE / "enrolment.json").read_text())
        file.write_text(json.dumps({**base, **changed}))

    def point_to(self, url):
        file = self.state / "identity" / "identity.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "hub_url": url}))

    def forget_wishes(self):
        """A call of the suite asks for what it says and not for what the one before did."""
        (self.state / "desired.json").unlink(missing_ok=True)
        shutil.rmtree(self.state / "applications", ignore_errors=True)


def wish(target, digest):
    deployment = "d-" + hashlib.sha256(f"{target} {digest}".encode()).hexdigest()[:16]
    return {"application": APPLICATION, "version": VERSION, "target": target, "digest": digest,
            "deployment": deployment, "watch": {"duration_s": 0}}


def reason_in(report, deployment):
    for application in report.get("applications", []):
        update = application.get("update", {})
        if update.get("deployment") == deployment and "reason" in update:
            return update["reason"]["id"]
    return None


class Call:
    """One call of the suite: a front, and an agent that has it for its hub."""

    def __init__(self, options):
        self.device = Device(options.metadata_dir)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(DEVICE / "server.pem", DEVICE / "server_key.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(DEVICE / "authority.pem")
        self.front = hub_front.HubFront(context, Handler)
        self.front.attempt = Attempt()
        self.front.metadata_url = options.metadata_url.rstrip("/") + "/"
        self.front.targets_url = (options.target_base_url or "").rstrip("/") + "/"
        self.front.handed = {}
        self.front.digests = json.loads(os.environ.get("VERGE_TUF_DIGESTS", "{}"))
        self.process = None

    def start_agent(self):
        environment = dict(os.environ)
        if "FAKETIME" in environment:  # The suite's faketime, in the form for programs with threads.
            environment |= {"LD_PRELOAD": FAKETIME, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
        self.device.point_to(self.front.url)
        self.process = subprocess.Popen([AGENT, "--config", self.device.folder / "edge_config.yaml"], env=environment,
                                        stderr=open(self.device.folder / "agent.log", "w"))

    def reason(self, target, digest):
        """The identifier of the error with which the agent ends its attempt at the target; "" when none comes."""
        wanted = wish(target, digest)
        if self.process is None:
            self.device.forget_wishes()
        self.front.attempt.begin()
        self.front.want(wanted)
        read = len(self.front.reports)
        if self.process is None:
            self.start_agent()
        end = time.monotonic() + LONGEST_S
        while time.monotonic() < end:
            with self.front.reported:
                self.front.reported.wait_for(lambda: len(self.front.reports) > read, 0.1)
                reports, read = self.front.reports[read:], len(self.front.reports)
            found = next(filter(None, (reason_in(report, wanted["deployment"]) for report in reports)), None)
            if found:
                return found
            if self.process.poll() is not None:  # It does not start with a root that is none.
                log = (self.device.folder / "agent.log").read_text()
                refused = re.search(r"not started.*\[(VRG-TUF-\d+)\]", log)
                return refused[1] if refused else ""
        return ""

    def refresh(self):
        reason = self.reason(NOWHERE, NO_DIGEST)
        if reason == "VRG-TUF-007":
            return 0
        return 1 if reason.startswith("VRG-TUF-") else UNEXPECTED

    def download(self, target, folder):
        digest = self.front.digests.get(target, NO_DIGEST)
        reason = self.reason(target, digest)
        if digest == NO_DIGEST and reason == "VRG-UPD-001":
            return 0
        content = self.front.handed.get(digest)
        if reason == "VRG-DOC-001" and content is not None:
            file = pathlib.Path(folder) / target
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            return 0
        refused = reason.startswith("VRG-TUF-") or reason in ("VRG-UPD-001", "VRG-UPD-003", "VRG-UPD-004")
        return 1 if refused else UNEXPECTED

    def end(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--metadata-dir", required=True)
    parser.add_argument("--metadata-url", default="")
    parser.add_argument("--target-name", action="append", default=[])
    parser.add_argument("--target-dir")
    parser.add_argument("--target-base-url")
    parser.add_argument("verb", choices=["init", "refresh", "download"])
    parser.add_argument("root", nargs="?")
    options = parser.parse_args()
    if options.verb == "init":
        Device(options.metadata_dir).make(pathlib.Path(options.root).read_text())
        return 0
    call = Call(options)
    try:
        if options.verb == "refresh":
            status = call.refresh()
        else:
            status = next(filter(None, (call.download(name, options.target_dir) for name in options.target_name)), 0)
    finally:
        call.end()
    if status == UNEXPECTED:
        print(f"tuf_agent_client: {(call.device.folder / 'agent.log').read_text()}", file=sys.stderr)
    return status


if __name__ == "__main__":
    try:
        status = main()
    except Exception:  # Python would end with 1, which means that the agent has refused.
        traceback.print_exc()
        status = UNEXPECTED
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # Connections of the front's that are held are not waited for.
