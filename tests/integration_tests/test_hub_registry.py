"""The hub's models and registry over plain HTTP, and PyPI tuf as a client."""

import hashlib
import json
import os
import pathlib

from hub_clients import MANIFEST, push_blob, push_model, sha256

INDEX = "application/vnd.oci.image.index.v1+json"
OCTETS = {"Content-Type": "application/octet-stream"}


def sha512(content):
    return "sha512:" + hashlib.sha512(content).hexdigest()


def error_of(text):
    return json.loads(text)["errors"][0]["code"]


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


def test_digests_are_strict_and_of_two_algorithms(hub):
    content = os.urandom(10_000)
    status, headers, _ = hub.request("POST", f"/v2/a/blobs/uploads/?digest={sha512(content)}", content, headers=OCTETS)
    assert status == 201 and headers["Docker-Content-Digest"] == sha512(content)
    assert headers["Location"] == f"/v2/a/blobs/{sha512(content)}"
    blob = hub.folder / "blobs" / "sha512" / sha512(content).removeprefix("sha512:")
    assert blob.read_bytes() == content
    assert hub.request("GET", f"/v2/a/blobs/{sha256(content)}")[0] == 404, "another digest, another blob"
    assert hub.request("GET", f"/v2/a/blobs/{sha512(content)}")[2] == content
    upper = "sha512:" + sha512(content).removeprefix("sha512:").upper()
    for bad in ("sha384:" + hashlib.sha384(content).hexdigest(), "md5:" + hashlib.md5(content).hexdigest(), upper,
                sha512(content)[:-1], "sha256:" + sha512(content)[7:], "nonsense"):
        for method, path, body in (("POST", f"blobs/uploads/?digest={bad}", content),
                                   ("POST", f"blobs/uploads/?mount={bad}&from=a", None),
                                   ("GET", f"blobs/{bad}", None), ("DELETE", f"blobs/{bad}", None),
                                   ("GET", f"referrers/{bad}", None)):
            status, _, text = hub.request(method, f"/v2/a/{path}", body, headers=OCTETS)
            assert (status, error_of(text)) == (400, "DIGEST_INVALID"), (method, path)
    assert hub.request("POST", "/v2/a/blobs/uploads/?digest-algorithm=sha384", headers=OCTETS)[0] == 400
    assert hub.request("POST", "/v2/a/blobs/uploads/?digest-algorithm=sha512", headers=OCTETS)[0] == 202
    assert len(list((hub.folder / "uploads").iterdir())) == 1, "of the last one; refused pushes leave nothing"
    hub.restart()
    assert hub.request("HEAD", f"/v2/a/blobs/{sha512(content)}")[1]["Content-Length"] == "10000"


def test_an_upload_says_where_it_stands(hub):
    _, headers, _ = hub.request("POST", "/v2/a/blobs/uploads/", headers=OCTETS)
    place = headers["Location"]
    assert hub.request("PATCH", place, b"abc", headers={**OCTETS, "Content-Range": "0-2"})[0] == 202
    for bad in ("5-7", "0-2", "x", "3", "7-5"):
        status, headers, text = hub.request("PATCH", place, b"def", headers={**OCTETS, "Content-Range": bad})
        assert (status, error_of(text)) == (416, "BLOB_UPLOAD_INVALID"), bad
        assert headers["Location"] == place and headers["Range"] == "0-2", bad
    status, _, text = hub.request("PATCH", place, b"def", headers={**OCTETS, "Content-Range": "3-9"})
    assert (status, error_of(text)) == (400, "SIZE_INVALID")
    content = b"abcdef"
    status, _, text = hub.request("PUT", f"{place}?digest={sha256(b'x')}", b"def", headers=OCTETS)
    assert (status, error_of(text)) == (400, "DIGEST_INVALID")
    assert hub.request("GET", place)[1]["Range"] == "0-2", "the piece with a wrong digest is not kept"
    assert hub.request("PUT", f"{place}?digest={sha512(content)}", b"def",
                       headers={**OCTETS, "Content-Range": "3-5"})[0] == 201
    status, _, text = hub.request("GET", f"/v2/a/blobs/{sha512(content)}", headers={"Range": "bytes=9-"})
    assert (status, error_of(text)) == (416, "SIZE_INVALID"), "an error in the registry's form"
    status, headers, _ = hub.request("HEAD", f"/v2/a/blobs/{sha512(content)}", headers={"Range": "bytes=0-1"})
    assert status == 200 and headers["Content-Length"] == "6", "only GET has ranges"
    assert hub.request("POST", f"/v2/b/blobs/uploads/?mount={sha512(content)}", headers=OCTETS)[0] == 201
    assert hub.request("POST", f"/v2/b/blobs/uploads/?mount={sha512(content)}&from=c", headers=OCTETS)[0] == 202
    _, headers, _ = hub.request("POST", "/v2/a/blobs/uploads/", headers=OCTETS)
    assert hub.request("DELETE", headers["Location"])[0] == 204
    assert hub.request("GET", headers["Location"])[0] == 404


def test_a_manifest_by_digest_takes_tags_along(hub):
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()
    kind = {"Content-Type": INDEX + "; charset=utf-8"}
    for digest in (sha512(body), sha256(body)):
        tags = [f"{digest[:6]}-{number}" for number in range(12)]
        query = "&".join(f"tag={tag}" for tag in tags)
        status, headers, _ = hub.request("PUT", f"/v2/a/manifests/{digest}?{query}", body, headers=kind)
        assert status == 201 and headers["Docker-Content-Digest"] == digest
        assert headers.get_all("OCI-Tag") == tags
        status, headers, text = hub.request("GET", f"/v2/a/manifests/{tags[11]}")
        assert status == 200 and headers["Docker-Content-Digest"] == digest and text == body
        assert headers["Content-Type"] == INDEX
    assert hub.request("PUT", f"/v2/a/manifests/{sha512(body)}?tag=-", body, headers=kind)[0] == 400
    assert hub.request("GET", "/v2/a/manifests/sha512:00")[0] == 400
    about = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "artifactType": "application/x+json",
                        "subject": {"mediaType": INDEX, "digest": sha512(body), "size": len(body)}}).encode()
    status, headers, _ = hub.request("PUT", f"/v2/a/manifests/{sha256(about)}", about, headers={"Content-Type": INDEX})
    assert status == 201 and headers["OCI-Subject"] == sha512(body)
    for kind in ("application/x%2Bjson", "application/x+json"):
        status, headers, text = hub.request("GET", f"/v2/a/referrers/{sha512(body)}?artifactType={kind}")
        assert headers["OCI-Filters-Applied"] == "artifactType"
        assert [entry["digest"] for entry in json.loads(text)["manifests"]] == [sha256(about)]
    large = b'{"manifests":[],"x":"' + b"x" * (4 << 20) + b'"}'
    status, _, text = hub.request("PUT", "/v2/a/manifests/large", large, headers={"Content-Type": INDEX})
    assert (status, error_of(text)) == (413, "MANIFEST_INVALID")


def test_lists_come_in_pages(hub):
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()
    for repository in ("x/a", "x/b", "y"):
        for tag in ("b", "A", "a"):
            place = f"/v2/{repository}/manifests/{tag}"
            assert hub.request("PUT", place, body, headers={"Content-Type": INDEX})[0] == 201
    for url, key, names in (("/v2/y/tags/list", "tags", ["A", "a", "b"]),
                            ("/v2/_catalog", "repositories", ["x/a", "x/b", "y"])):
        status, headers, text = hub.request("GET", url + "?n=0")
        assert status == 200 and json.loads(text)[key] == [] and "Link" not in headers
        found, place = [], url + "?n=2"
        while place:
            _, headers, text = hub.request("GET", place)
            found += json.loads(text)[key]
            place = headers["Link"].split(">")[0].removeprefix("<") if "Link" in headers else None
        assert found == names
        assert json.loads(hub.request("GET", url + "?n=123456789012")[2])[key] == names
        status, _, text = hub.request("GET", url + "?n=-1")
        assert (status, error_of(text)) == (400, "UNSUPPORTED")
    status, headers, _ = hub.request("GET", "/v2/", token="")
    assert status == 401 and headers["Docker-Distribution-API-Version"] == "registry/2.0"
    assert hub.request("GET", "/v2/")[1]["Docker-Distribution-API-Version"] == "registry/2.0"


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
