"""What tests of the hub share: devices with keys of their own, pushes, deployments."""

import hashlib
import json
import subprocess
import time

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MODEL = "application/vnd.cncf.model.manifest.v1+json"


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Device:
    """A device with a real key and certificate."""

    def __init__(self, hub, folder, name):
        self.hub, self.name, self.continuation, self.sequence, self.version = hub, name, None, 0, 0
        self.instance = name + "-1"
        self.key, self.certificate = folder / f"{name}.key", folder / f"{name}.pem"
        if not self.key.exists():
            subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key],
                           check=True)
        self.request = subprocess.run(["openssl", "req", "-new", "-key", self.key, "-subj", f"/CN={name}"], check=True,
                                      capture_output=True, text=True).stdout

    def certify(self, **members):
        status, answer = self.hub.call("POST", "/certificates", {"request": self.request, **members}, token="")
        if status == 201:
            self.certificate.write_text(answer["certificate"])
        return status, answer

    def join(self, expires_s=3600):
        _, enrolment = self.hub.call("POST", "/enrolments", {"device": self.name, "expires_s": expires_s})
        status, answer = self.certify(device=self.name, token=enrolment["token"])
        assert status == 201, answer
        return self

    def call(self, method, path, body=None):
        return self.hub.call(method, "/device" + path, body, token="", certificate=(self.certificate, self.key))

    def report(self, applications=(), instance=None, **device):
        self.sequence += 1
        body = {"version": 1, "sequence": self.sequence, "instance": instance or self.instance,
                "time_ms": int(time.time() * 1000), "desired_version": self.version,
                "device": {"device_type": "camera", "architecture": "x86_64", "memory_available_bytes": 1 << 30,
                           "disk_free_bytes": 1 << 30, "engines": [{"name": "openvino", "version": "2026.4.0"}],
                           **device},
                "applications": list(applications)}
        if self.continuation:
            body["continuation"] = self.continuation
        status, answer = self.call("PUT", "/report", body)
        if status == 200:
            self.continuation = answer["continuation"]
        return status, answer

    def desired(self, after=None, wait_s=0):
        status, state = self.call("GET", f"/desired?after={self.version if after is None else after}&wait_s={wait_s}")
        if status == 200:
            self.version = state["version"]
        return status, state

    def run(self, application, version, digest, previous=None, deployment=None, state="committed", **update):
        """Reports that it runs a version."""
        entry = {"application": application, "active": {"version": version, "digest": digest}}
        if previous:
            entry["previous"] = {"version": previous[0], "digest": previous[1]}
        if deployment:
            entry["update"] = {"deployment": deployment, "version": version, "digest": digest, "state": state, **update}
        return self.report([entry])


def push_blob(hub, repository, content, token=None):
    digest = sha256(content)
    status, headers, _ = hub.request("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", content, token,
                                     headers={"Content-Type": "application/octet-stream"})
    assert status == 201 and headers["Docker-Content-Digest"] == digest
    return {"mediaType": "application/vnd.cncf.model.weight.v1.raw", "digest": digest, "size": len(content)}


def push_model(hub, name, version, weights=b"weights", tag=None, repository=None, token=None, **members):
    """A small package, as `verge package create` would make it; (status, digest or error)."""
    repository = repository or f"models/{name}"
    metadata = json.dumps({"schema_version": 1, "name": name, "version": version, "task": "classification",
                           "model": {"file": "model_files/m.onnx", "format": "onnx"},
                           "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3]}],
                           "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3]}], **members}).encode()
    layers = []
    for path, content in (("metadata.json", metadata), ("model_files/m.onnx", weights)):
        layers.append({**push_blob(hub, repository, content, token), "annotations": {"org.cncf.model.filepath": path}})
    config = {**push_blob(hub, repository, b"{}", token), "mediaType": "application/vnd.cncf.model.config.v1+json"}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": MODEL, "config": config,
                           "layers": layers}).encode()
    status, headers, text = hub.request("PUT", f"/v2/{repository}/manifests/{tag or version}", manifest, token,
                                        headers={"Content-Type": MANIFEST})
    return status, headers["Docker-Content-Digest"] if status == 201 else json.loads(text)["errors"][0]


def deploy(hub, application, version=None, selector="all", **members):
    body = {"application": application, "selector": selector, **({"version": version} if version else {}), **members}
    return hub.call("POST", "/deployments", body)


def state_on(hub, deployment, device):
    _, detail = hub.call("GET", f"/deployments/{deployment}")
    return next(entry for entry in detail["devices"] if entry["device"] == device)
