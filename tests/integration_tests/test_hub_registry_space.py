"""Quotas and garbage collection of the real hub, beside pushes and through crashes."""

import contextlib
import http.client
import json
import os
import ssl
import subprocess
import threading
import time

import pytest
from conftest import BUILD, ROOT, Hub
from hub_clients import MANIFEST, push_blob, push_model, sha256

OCTETS = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def start_hub(tmp_path):
    """Starts a hub with options; stopped at the end."""
    with contextlib.ExitStack() as stack:
        def start(*options):
            running = Hub(tmp_path / "hub", *map(str, options))

            def end():
                if running.process.poll() is None:
                    running.process.terminate()
                    running.process.wait(timeout=20)
            stack.callback(end)
            return running
        yield start


def error_of(text):
    return json.loads(text)["errors"][0]


def begin(hub, repository):
    return hub.request("POST", f"/v2/{repository}/blobs/uploads/", headers=OCTETS)[1]["Location"]


def in_chunks(hub, path, pieces):
    """PATCH of unknown length; (status, body)."""
    host = hub.url.removeprefix("https://")
    connection = http.client.HTTPSConnection(host, context=ssl.create_default_context(cafile=hub.ca), timeout=30)
    with contextlib.closing(connection):
        connection.putrequest("PATCH", path)
        for name, value in {**OCTETS, "Authorization": f"Bearer {hub.token}", "Transfer-Encoding": "chunked"}.items():
            connection.putheader(name, value)
        connection.endheaders()
        with contextlib.suppress(OSError):  # The hub answers before it has read everything, and hangs up.
            for piece in pieces:
                connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            connection.send(b"0\r\n\r\n")
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_a_push_past_a_quota_is_refused_before_it_is_read(start_hub):
    hub = start_hub("--registry-quota", "3MiB", "--repository-quota", "2MiB", "--garbage-grace", 0)
    half = os.urandom(1 << 20)
    push_blob(hub, "a", half)
    place = begin(hub, "a")
    request = hub.request("PUT", f"{place}?digest={sha256(b'x')}", os.urandom((1 << 20) + 1), headers=OCTETS)
    assert request[0] == 403
    error = error_of(request[2])
    assert error["code"] == "DENIED" and "at most 2097152 bytes in the repository 'a'" in error["message"]
    assert "--repository-quota" in error["message"]
    status, text = in_chunks(hub, place, [os.urandom(1 << 18)] * 5)
    assert status == 403 and error_of(text)["code"] == "DENIED"
    assert hub.request("GET", place)[1]["Range"] == "0-0", "nothing of it was kept"
    status, text = in_chunks(hub, place, [half[:1 << 19]] * 2)
    assert status == 202, "what fits, fits"
    assert hub.request("DELETE", place)[0] == 204
    push_blob(hub, "b", os.urandom(1 << 20))
    push_blob(hub, "c", os.urandom((1 << 20) - 4096))
    status, _, text = hub.request("POST", f"/v2/d/blobs/uploads/?digest={sha256(half)}", os.urandom(8192),
                                  headers=OCTETS)
    assert status == 403 and "in the registry" in error_of(text)["message"]
    status, _, text = hub.request("POST", f"/v2/c/blobs/uploads/?mount={sha256(half)}&from=a", headers=OCTETS)
    assert status == 201, "in the registry already"
    usage = hub.call("GET", "/registry")[1]
    assert usage["size_bytes"] == (3 << 20) - 4096 and usage["quota_bytes"] == 3 << 20
    assert [one["repository"] for one in usage["repositories"]] == ["a", "b", "c"]
    report = hub.call("POST", "/registry/garbage-collections?dry_run=true")[1]
    assert report["dry_run"] and report["size_bytes"] == usage["size_bytes"]
    status, report = hub.call("POST", "/registry/garbage-collections")
    assert status == 200 and report["size_bytes"] == usage["size_bytes"] and report["files"] == 3
    assert hub.call("GET", "/registry")[1] == {"size_bytes": 0, "quota_bytes": 3 << 20,
                                               "repository_quota_bytes": 2 << 20, "repositories": []}
    push_blob(hub, "d", os.urandom(2 << 20))


def test_the_command_line_shows_and_collects(start_hub, tmp_path):
    hub = start_hub("--garbage-grace", 0)
    assert push_model(hub, "cat", "1.0.0")[0] == 201
    push_blob(hub, "a", os.urandom(2048))
    environment = {**os.environ, "VERGE_HUB_LOGIN": str(tmp_path / "login.json")}

    def run(*arguments):
        return subprocess.run([BUILD / "bin" / "verge", *arguments], env=environment, capture_output=True, text=True,
                              check=True, timeout=60).stdout
    run(*hub.login.split()[1:])
    assert "models/cat" in run("hub", "repositories")
    assert "would free 2.0 KiB: 1 files" in run("hub", "garbage-collect", "--dry-run")
    assert json.loads(run("hub", "garbage-collect", "--output", "json"))["size_bytes"] == 2048
    assert "freed 0 bytes" in run("hub", "garbage-collect")


def test_a_model_past_the_quota_is_refused_in_words(start_hub, tmp_path):
    hub = start_hub("--registry-quota", "10KiB")
    environment = {**os.environ, "VERGE_HUB_LOGIN": str(tmp_path / "login.json")}
    for arguments in (hub.login.split()[1:], ("model", "push", ROOT / "models" / "unet_fashion")):
        done = subprocess.run([BUILD / "bin" / "verge", *map(str, arguments)], env=environment, capture_output=True,
                              text=True, timeout=60)
    assert done.returncode != 0
    assert "at most 10240 bytes in the registry" in done.stderr and "VRG-OCI-012" in done.stderr
    assert "{" not in done.stderr


def test_the_hub_collects_by_itself_and_pushes_never_notice(start_hub):
    """Pushes and deletions in three repositories, a collection each second, and the hub is killed in between: whatever
    was acknowledged is whole at all times, and in the end the disk has what is needed and nothing else."""
    hub = start_hub("--garbage-grace", 1, "--garbage-interval", 1, "--remove-untagged")
    stop, whole, errors = threading.Event(), [], []

    def push(repository):
        number = 0
        while not stop.is_set():
            number += 1
            with contextlib.suppress(OSError, ValueError, AssertionError, http.client.HTTPException):
                config = {**push_blob(hub, repository, b"{}"), "mediaType": "application/x.thing"}
                layer = push_blob(hub, repository, b"layer %d of all" % (number % 5) * 1000)
                body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
                                   "layers": [layer]}).encode()
                status, _, text = hub.request("PUT", f"/v2/{repository}/manifests/newest", body,
                                              headers={"Content-Type": MANIFEST})
                if status == 201:
                    whole.append(repository)
                elif status != 404 or error_of(text)["code"] != "MANIFEST_BLOB_UNKNOWN":
                    errors.append((status, text))

    def check():
        for repository in {"a", "b", "c"} & set(whole):
            status, _, text = hub.request("GET", f"/v2/{repository}/manifests/newest")
            assert status == 200, text
            manifest = json.loads(text)
            for entry in (manifest["config"], *manifest["layers"]):
                status, _, content = hub.request("GET", f"/v2/{repository}/blobs/{entry['digest']}")
                assert status == 200 and sha256(content) == entry["digest"]
    pushers = [threading.Thread(target=push, args=[name]) for name in "abc"]
    for pusher in pushers:
        pusher.start()
    for pause in (1.3, 1.7, 2.1, 1.1):
        time.sleep(pause)
        hub.kill()
        hub.start()
    time.sleep(1)
    stop.set()
    for pusher in pushers:
        pusher.join()
    assert not errors and len(whole) > 10
    check()
    end = time.monotonic() + 30
    while time.monotonic() < end:
        report = hub.call("POST", "/registry/garbage-collections?dry_run=true&untagged=true")[1]
        files = [path for path in (hub.folder / "blobs").rglob("*") if path.is_file()]
        if report["size_bytes"] == 0 and len(files) <= 3 + 3 + 1:
            break
        time.sleep(0.5)
    assert len(files) <= 7, "three manifests, their layers, and one configuration"
    check()
