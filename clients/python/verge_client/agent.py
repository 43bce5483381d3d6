"""One agent, over HTTP on TCP or a Unix socket. Needs nothing but Python; tensors need NumPy."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import urllib.parse

# Names of the Open Inference Protocol for NumPy's types, little-endian.
_DATATYPES = {"BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2",
              "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}


class AgentError(Exception):
    """What the agent refused: `status` is HTTP's, `id` names the error (VRG-…), the text says what to do."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status
        self.id = message.rsplit("[", 1)[-1].rstrip("]") if message.endswith("]") else ""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Agent:
    """Keeps one connection; not for several threads at once.

    url: "http://host:port", "https://host:port" or "unix:/path". token: a bearer token. ca: file with the authority that
    the agent's certificate must come from. timeout: seconds.
    """

    def __init__(self, url: str = "http://127.0.0.1:8600", token: str | None = None, ca: str | None = None,
                 timeout: float = 60):
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        parts = urllib.parse.urlsplit(url)
        if parts.scheme == "unix":
            self._connection = _UnixConnection(parts.path, timeout)
        elif parts.scheme == "https":
            context = ssl.create_default_context(cafile=ca)
            self._connection = http.client.HTTPSConnection(parts.netloc, timeout=timeout, context=context)
        elif parts.scheme == "http":
            self._connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
        else:
            raise ValueError(f"expected http://…, https://… or unix:/…, got {url!r}")

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def ready(self, model: str | None = None) -> bool:
        """Whether the agent, or one of its models, answers now."""
        path = f"/v2/models/{_quoted(model)}/ready" if model else "/v2/health/ready"
        try:
            self._request("GET", path)
        except AgentError as error:
            if error.status in (404, 503):
                return False
            raise
        return True

    def models(self) -> list[dict]:
        """Name, version and state of each model."""
        return json.loads(self._request("POST", "/v2/repository/index", b"{}")[1])

    def model(self, name: str) -> dict:
        """Tensors of a model, its engine and why that one."""
        return json.loads(self._request("GET", f"/v2/models/{_quoted(name)}")[1])

    def predict(self, model: str, sample) -> dict:
        """The prediction for a sample: a file's path, its bytes, or a dict (a row of a table)."""
        return json.loads(self._predict(model, sample, "application/json"))

    def picture(self, model: str, sample, view: str = "overlay") -> bytes:
        """A PNG: "overlay" is the picture with the prediction drawn, "mask" the class of each pixel."""
        return self._predict(model, sample, f"image/png;view={view}")

    def infer(self, model: str, **inputs) -> dict:
        """Tensors through a model: NumPy arrays by the inputs' names in, by the outputs' names out."""
        import numpy
        described, content = [], []
        for name, value in inputs.items():
            array = numpy.asarray(value)
            datatype = next((d for d, t in _DATATYPES.items() if array.dtype == numpy.dtype(t)), None)
            if datatype is None:
                raise TypeError(f"input {name!r}: expected an array of {', '.join(_DATATYPES)}, got {array.dtype}")
            content.append(numpy.ascontiguousarray(array, numpy.dtype(_DATATYPES[datatype])).tobytes())
            described.append({"name": name, "datatype": datatype, "shape": list(array.shape),
                              "parameters": {"binary_data_size": len(content[-1])}})
        head = json.dumps({"parameters": {"binary_data_output": True}, "inputs": described}).encode()
        answer, body = self._request("POST", f"/v2/models/{_quoted(model)}/infer", b"".join([head, *content]),
                                     {"Content-Type": "application/octet-stream",
                                      "Inference-Header-Content-Length": str(len(head))})
        head_size = int(answer.get("Inference-Header-Content-Length", len(body)))
        at, outputs = head_size, {}
        for tensor in json.loads(body[:head_size])["outputs"]:
            size = tensor["parameters"]["binary_data_size"]
            values = numpy.frombuffer(body, numpy.dtype(_DATATYPES[tensor["datatype"]]), offset=at,
                                      count=size // numpy.dtype(_DATATYPES[tensor["datatype"]]).itemsize)
            outputs[tensor["name"]] = values.reshape(tensor["shape"])
            at += size
        return outputs

    def _predict(self, model: str, sample, accept: str) -> bytes:
        if isinstance(sample, dict):
            sample = json.dumps(sample).encode()
        elif isinstance(sample, (str, os.PathLike)):
            with open(sample, "rb") as file:
                sample = file.read()
        return self._request("POST", f"/v2/models/{_quoted(model)}/predict", sample, {"Accept": accept})[1]

    def _request(self, method: str, path: str, body: bytes | None = None, headers: dict | None = None):
        for last in (False, True):
            fresh = self._connection.sock is None
            try:
                self._connection.request(method, path, body, {**self._headers, **(headers or {})})
                answer = self._connection.getresponse()
                content = answer.read()
                break
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                # A connection that was kept may have been closed meanwhile; nothing was answered, so ask once more.
                self._connection.close()
                if fresh or last:
                    raise
        if answer.status < 400:
            return answer.headers, content
        try:
            message = json.loads(content)["error"]
        except (ValueError, KeyError, TypeError):
            message = f"HTTP {answer.status} {answer.reason}"
        raise AgentError(answer.status, message)


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")
