"""theupdateframework/tuf-conformance through the agent as it is installed: tuf_agent_client.py says how.

Left out by name, as a device does otherwise:
    test_download_with_hash_algorithms[hashes1]   has a target with a sha512 digest only; a hub asks for targets by
                                                  sha256
    test_artifact_cache                           downloads a file twice and expects one request; it is no application,
                                                  so that the agent keeps nothing of it (the suite says that a client
                                                  need not)
"""

import datetime
import hashlib
import ipaddress
import json
import os
import pathlib
import re
import subprocess
import sys

from conftest import BUILD
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from test_trust_conformance import CASES, SUITE, need_suite

HERE = pathlib.Path(__file__).parent
LEFT_OUT = ["test_download_with_hash_algorithms[hashes1]", "test_artifact_cache"]
# Two at once: the suite waits most of its time.
SHARES = [["test_basic.py", "test_expiration.py", "test_quoting_issues.py", "test_static_repositories.py",
           "test_repository_simulator.py", "test_keys.py", "test_rollback.py"],
          ["test_file_download.py", "test_updater_delegation_graphs.py", "test_updater_key_rotations.py"]]
CENTURY = datetime.datetime(2000, 1, 1), datetime.datetime(2100, 1, 1)  # The suite changes the clock by years.


def certificate(name, authority=None, host=None):
    """(certificate, key) as PEM, signed by `authority`: the same of another; None: an authority of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(authority[0]) if authority else None
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.subject if issuer else subject)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(CENTURY[0]).not_valid_after(CENTURY[1])
            .add_extension(x509.BasicConstraints(ca=not authority, path_length=None), critical=True))
    if host:
        made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(host)]), critical=False)
    signer = serialization.load_pem_private_key(authority[1], None) if authority else key
    return (made.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                              serialization.NoEncryption()))


def make_device(folder):
    """A device that has joined a hub, and the hub's certificate."""
    (folder / "identity").mkdir(parents=True)
    authority = certificate("authority")
    server = certificate("hub", authority, ipaddress.ip_address("127.0.0.1"))
    device = certificate("cam-1", authority)
    token = "a token that was used up"
    shared = {"version": 1, "hub_url": "https://127.0.0.1:1", "ca_certificate": authority[0].decode()}
    (folder / "enrolment.json").write_text(json.dumps({**shared, "token": token}))
    (folder / "identity" / "identity.json").write_text(json.dumps({
        **shared, "device": "cam-1", "certificate": device[0].decode(),
        "enrolled_with": "sha256:" + hashlib.sha256(token.encode()).hexdigest()}))
    (folder / "identity" / "device.key").write_bytes(device[1])
    for name, content in [("authority.pem", authority[0]), ("server.pem", server[0]), ("server_key.pem", server[1])]:
        (folder / name).write_bytes(content)


def start_share(tmp_path, name, files):
    folder = tmp_path / name
    folder.mkdir()
    client = folder / "client"
    client.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE / "tuf_agent_client.py"}" "$@"\n')
    client.chmod(0o755)
    environment = {**os.environ, "VERGE_AGENT": str(BUILD / "bin" / "verge-agent"),
                   "VERGE_TUF_DEVICE": str(tmp_path / "device"), "TMPDIR": str(folder),
                   "PYTHONPATH": os.pathsep.join([str(HERE), str(SUITE)])}
    left_out = [f"--deselect=tuf_conformance/test_file_download.py::{case}" for case in LEFT_OUT]
    log = open(folder / "log.txt", "w")
    return subprocess.Popen([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tuf_agent_plugin",
                             "--rootdir", SUITE, *[SUITE / "tuf_conformance" / file for file in files], *left_out,
                             "--entrypoint", client], stdout=log, stderr=subprocess.STDOUT, cwd=folder, env=environment)


def test_every_case_passes_through_the_agent(tmp_path):
    need_suite()
    make_device(tmp_path / "device")
    shares = [start_share(tmp_path, f"share-{number}", files) for number, files in enumerate(SHARES)]
    try:
        statuses = [share.wait(timeout=500) for share in shares]
    finally:
        for share in shares:
            share.kill()
    logs = [(tmp_path / f"share-{number}" / "log.txt").read_text() for number in range(len(SHARES))]
    passed = sum(int(found) for log in logs for found in re.findall(r"(\d+) passed", log))
    assert statuses == [0, 0] and passed == CASES - len(LEFT_OUT), "\n".join(log[-6000:] for log in logs)
    assert not any(word in log for log in logs for word in ("xfail", "skipped"))
