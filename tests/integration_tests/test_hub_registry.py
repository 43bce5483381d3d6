"""The hub's models and registry, with oras, crane (from PATH or $VERGE_PEERS) and PyPI tuf as clients."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest
from conftest import ROOT, verge
from hub_clients import MANIFEST, push_blob, push_model, sha256

PEERS = pathlib.Path(os.environ.get("VERGE_PEERS", ROOT / "build" / "peers"))


def peer(name):
    found = shutil.which(name) or (PEERS / name if (PEERS / name).exists() else None)
    if not found:
        pytest.skip(f"{name} is not on PATH and not in VERGE_PEERS={PEERS}")
    return found


def test_a_push_becomes_a_version_that_never_changes(hub):
    status, digest = push_model(hub, "cat", "1.0.0", requirements={"memory_bytes": 1000})
    assert status == 201
    assert push_model(hub, "cat", "1.0.0", requirements={"memory_bytes": 1000}) == (201, digest), "the same again"
    status, error = push_model(hub, "cat", "1.0.0", weights=b"others")
    assert status == 409 and "give the new one a higher version" in error["message"]
    assert push_model(hub, "cat", "1.0.0", tag="latest")[0] == 400
    assert push_model(hub, "cat", "1.0.0", repository="models/dog")[0] == 400
    assert push_model(hub, "cat", "1.1.0")[0] == 201
    assert push_model(hub, "cat", "2.0.0-rc1")[0] == 201
    _, model = hub.call("GET", "/models/cat")
    assert [version["version"] for version in model["versions"]] == ["2.0.0-rc1", "1.1.0", "1.0.0"]
    assert model["versions"][2]["digest"] == digest
    assert model["versions"][2]["custom"]["requirements"] == {"memory_bytes": 1000}
    assert hub.call("GET", "/models")[1]["models"][0]["newest"] == "1.1.0"
    blob = hub.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
    assert blob.exists()
    assert hub.call("DELETE", "/models/cat/versions/1.0.0")[0] == 204
    assert not blob.exists() and hub.request("GET", f"/v2/models/cat/manifests/{digest}")[0] == 404
    assert [version["version"] for version in hub.call("GET", "/models/cat")[1]["versions"]] == ["2.0.0-rc1", "1.1.0"]
    status, _, text = hub.request("GET", f"/v2/models/cat/blobs/{sha256(b'weights')}")
    assert (status, text) == (200, b"weights"), "the other version's content stays"


def test_uploads_in_pieces_survive_a_restart(hub):
    content = os.urandom(300_000)
    kind = {"Content-Type": "application/octet-stream"}
    _, headers, _ = hub.request("POST", "/v2/a/b/c/blobs/uploads/", headers=kind)
    place = headers["Location"]
    status, headers, _ = hub.request("PATCH", place, content[:100_000], headers={**kind, "Content-Range": "0-99999"})
    assert status == 202 and headers["Range"] == "0-99999"
    hub.kill()
    hub.start()
    status, headers, _ = hub.request("GET", place)
    assert status == 204 and headers["Range"] == "0-99999"
    status, _, text = hub.request("PATCH", place, b"x", headers={**kind, "Content-Range": "50-50"})
    assert status == 416 and json.loads(text)["errors"][0]["code"] == "BLOB_UPLOAD_INVALID"
    assert hub.request("PATCH", place, content[100_000:200_000], headers={**kind,
                                                                          "Content-Range": "100000-199999"})[0] == 202
    assert hub.request("PUT", f"{place}?digest={sha256(b'other')}", headers=kind)[0] == 400
    status, headers, _ = hub.request("PUT", f"{place}?digest={sha256(content)}", content[200_000:], headers=kind)
    assert status == 201
    hub.kill()
    hub.start()
    status, headers, text = hub.request("GET", headers["Location"])
    assert status == 200 and text == content
    status, headers, text = hub.request("GET", f"/v2/a/b/c/blobs/{sha256(content)}",
                                        headers={"Range": "bytes=1000-1999"})
    assert status == 206 and text == content[1000:2000] and headers["Content-Range"] == "bytes 1000-1999/300000"
    assert hub.request("GET", f"/v2/a/b/c/blobs/{sha256(content)}", headers={"Range": "bytes=300000-"})[0] == 416
    status, headers, _ = hub.request("HEAD", f"/v2/a/b/c/blobs/{sha256(content)}")
    assert status == 200 and headers["Content-Length"] == "300000"
    assert hub.request("GET", f"/v2/other/blobs/{sha256(content)}")[0] == 404
    assert hub.request("POST", f"/v2/other/blobs/uploads/?mount={sha256(content)}&from=a/b/c", headers=kind)[0] == 201
    assert hub.request("GET", f"/v2/other/blobs/{sha256(content)}")[2] == content
    assert list((hub.folder / "uploads").iterdir()) == []


def test_tags_referrers_and_deletion(hub):
    def put(reference, body):
        return hub.request("PUT", f"/v2/tools/x/manifests/{reference}", json.dumps(body).encode(),
                           headers={"Content-Type": MANIFEST})
    config = {**push_blob(hub, "tools/x", b"{}"), "mediaType": "application/x.thing"}
    base = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
    missing = {**base, "layers": [{**config, "digest": sha256(b"nothing")}]}
    status, _, text = put("v1", missing)
    assert status == 404 and json.loads(text)["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN"
    for tag in ("v1", "v2", "v3"):
        assert put(tag, base)[0] == 201
    subject = put("v1", base)[1]["Docker-Content-Digest"]
    status, headers, text = hub.request("GET", "/v2/tools/x/tags/list?n=2")
    assert json.loads(text)["tags"] == ["v1", "v2"] and 'rel="next"' in headers["Link"]
    assert json.loads(hub.request("GET", "/v2/tools/x/tags/list?n=2&last=v2")[2])["tags"] == ["v3"]
    signature = {**base, "artifactType": "application/x.signature", "subject": {"mediaType": MANIFEST,
                                                                                "digest": subject, "size": 1},
                 "annotations": {"by": "me"}}
    status, headers, _ = put("signature", signature)
    assert status == 201 and headers["OCI-Subject"] == subject
    status, headers, text = hub.request("GET", f"/v2/tools/x/referrers/{subject}?artifactType=application/x.signature")
    found = json.loads(text)["manifests"]
    assert headers["OCI-Filters-Applied"] == "artifactType" and found[0]["annotations"] == {"by": "me"}
    assert json.loads(hub.request("GET", f"/v2/tools/x/referrers/{subject}?artifactType=other")[2])["manifests"] == []
    assert hub.request("DELETE", "/v2/tools/x/manifests/v3")[0] == 202
    assert hub.request("GET", "/v2/tools/x/manifests/v3")[0] == 404
    assert hub.request("DELETE", f"/v2/tools/x/manifests/{subject}")[0] == 202
    status, _, text = hub.request("GET", f"/v2/tools/x/manifests/{subject}")
    assert status == 404 and json.loads(text)["errors"][0]["code"] == "MANIFEST_UNKNOWN"
    assert json.loads(hub.request("GET", "/v2/tools/x/tags/list")[2])["tags"] == ["signature"]
    assert hub.request("GET", "/v2/nobody/tags/list")[0] == 404
    for name in ("UPPER", "_x", "a..b", "a/_b", "a-", "a___b"):
        assert hub.request("PUT", f"/v2/{name}/manifests/v1", b"{}")[0] == 400, name
    assert put("%0d%0aSet-Cookie:%20a=b", base)[0] == 400


@pytest.fixture
def package(tmp_path):
    """A real package as an image layout, and the digest of its manifest."""
    layout = tmp_path / "layout"
    verge("package", "create", pathlib.Path(__file__).parents[2] / "models" / "unet_fashion", "--to", layout)
    entry = json.loads((layout / "index.json").read_text())["manifests"][0]
    return layout, entry["annotations"]["org.opencontainers.image.ref.name"], entry["digest"]


def test_oras_pushes_copies_and_pulls_a_package(hub, package, tmp_path):
    oras = peer("oras")
    layout, version, digest = package
    host = hub.url.removeprefix("https://")
    secret = ["--username", "me", "--password", hub.token]
    reference = f"{host}/models/unet_fashion:{version}"

    def run(*arguments):
        return subprocess.run([oras, *arguments], check=True, capture_output=True, text=True, timeout=120).stdout
    run("cp", "--from-oci-layout", f"{layout}:{version}", reference, "--to-ca-file", hub.ca, "--to-username", "me",
        "--to-password",
        hub.token)
    assert hub.call("GET", "/models/unet_fashion")[1]["versions"][0]["digest"] == digest
    assert run("resolve", reference, "--ca-file", hub.ca, *secret).strip() == digest
    assert run("repo", "tags", f"{host}/models/unet_fashion", "--ca-file", hub.ca, *secret).split() == [version]
    back = tmp_path / "back"
    run("cp", reference, "--from-ca-file", hub.ca, "--from-username", "me", "--from-password", hub.token,
        "--to-oci-layout",
        f"{back}:{version}")
    manifest = json.loads((back / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_text())
    for layer in manifest["layers"]:
        content = (back / "blobs" / "sha256" / layer["digest"].removeprefix("sha256:")).read_bytes()
        assert sha256(content) == layer["digest"]


def test_crane_pushes_copies_and_pulls_a_package(hub, package, tmp_path):
    crane = peer("crane")
    layout, version, digest = package
    host = hub.url.removeprefix("https://")
    environment = {**os.environ, "SSL_CERT_FILE": str(hub.ca), "DOCKER_CONFIG": str(tmp_path / "docker")}

    def run(*arguments):
        return subprocess.run([crane, *map(str, arguments)], check=True, capture_output=True, text=True, timeout=120,
                              env=environment).stdout
    run("auth", "login", host, "-u", "me", "-p", hub.token)
    run("push", layout, f"{host}/models/unet_fashion:{version}")
    assert hub.call("GET", "/models/unet_fashion")[1]["versions"][0]["digest"] == digest
    assert run("digest", f"{host}/models/unet_fashion:{version}").strip() == digest
    assert run("ls", f"{host}/models/unet_fashion").split() == [version]
    run("validate", "--remote", f"{host}/models/unet_fashion:{version}", "--fast")
    run("copy", f"{host}/models/unet_fashion@{digest}", f"{host}/mirror/unet_fashion@{digest}")
    assert run("manifest", f"{host}/mirror/unet_fashion@{digest}") == run("manifest",
                                                                          f"{host}/models/unet_fashion:{version}")


def test_python_tuf_refreshes_and_downloads_a_target(hub, tmp_path, monkeypatch):
    from tuf import ngclient as updater
    monkeypatch.setenv("SSL_CERT_FILE", str(hub.ca))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(hub.ca))
    _, digest = push_model(hub, "cat", "1.0.0")
    assert hub.call("PUT", "/models/cat/floor", {"version": "1.0.0"})[0] == 200
    _, enrolment = hub.call("POST", "/enrolments", {})
    client = updater.Updater(str(tmp_path), hub.url + "/tuf/metadata/", str(tmp_path), hub.url + "/tuf/targets/",
                             bootstrap=enrolment["trust_root"].encode())
    client.refresh()
    target = client.get_targetinfo("models/cat/1.0.0.json")
    assert target.hashes == {"sha256": digest.removeprefix("sha256:")}
    custom = target.unrecognized_fields["custom"]
    assert custom["name"] == "cat" and custom["version_floor"] == "1.0.0" and custom["disk_bytes"] > 0
    path = client.download_target(target, str(tmp_path / "target.json"))
    assert sha256(pathlib.Path(path).read_bytes()) == digest
    assert hub.request("GET", "/tuf/targets/models/cat/" + "0" * 64 + ".1.0.0.json", token="")[0] == 404
