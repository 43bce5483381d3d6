"""Who reaches the inference API: Unix socket, TLS, tokens, and how they change without a cut connection."""

import http.client
import json
import os
import pathlib
import re
import socket
import ssl
import stat
import subprocess
import threading
import time

import pytest

from conftest import BUILD
from inference_models import configuration, identity

PATH = "/v2/models/identity/infer"
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}).encode()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self.path))


def ask(connection, headers=None, path=PATH, body=BODY):
    connection.request("POST" if body else "GET", path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read(), dict(answer.getheaders())


def make_token(name, file):
    return subprocess.run([BUILD / "bin/verge-agent", "token", name, "--file", file], capture_output=True, text=True,
                          check=True, timeout=20).stdout.strip()


def certificate(folder, name, authority=None):
    """Files NAME.pem and NAME.key for 127.0.0.1, signed by itself or by the authority."""
    key, pem = folder / f"{name}.key", folder / f"{name}.pem"
    extensions = folder / f"{name}.cnf"
    extensions.write_text("[e]\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n" + ("" if authority else "basicConstraints=CA:TRUE\n"))
    run = lambda *words: subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=30)
    run("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
        folder / f"{name}.csr", "-subj", f"/CN={name}")
    signer = ("-CA", folder / f"{authority}.pem", "-CAkey", folder / f"{authority}.key", "-CAcreateserial") if authority \
        else ("-signkey", key)
    run("x509", "-req", "-in", folder / f"{name}.csr", "-days", "5", "-extfile", extensions, "-extensions", "e", *signer,
        "-out", pem)
    return pem, key


def put(source, target):
    """As a careful administrator would: whole or not at all."""
    temporary = target.with_suffix(".new")
    temporary.write_bytes(source if isinstance(source, bytes) else pathlib.Path(source).read_bytes())
    os.replace(temporary, target)


def test_a_unix_socket_serves_and_goes(agent, tmp_path):
    package = identity(tmp_path)
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "api.sock"))
    stale.close()  # What a program that was killed leaves behind.
    running = agent(configuration(package, api="port: 0, unix_socket: api.sock"))
    path = tmp_path / "api.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    connection = UnixConnection(path)
    for _ in range(3):
        assert ask(connection)[0] == 200
    assert running.request("/v2/health/live")[0] == 200
    second = subprocess.run([BUILD / "bin/verge-agent", "--config", tmp_path / "edge_config.yaml"], capture_output=True,
                            text=True, timeout=30)
    assert second.returncode != 0 and "VRG-HTT-002" in second.stderr
    assert running.stop() == 0 and not path.exists()


def test_grpc_on_a_unix_socket(agent, tmp_path):
    import tritonclient.grpc as triton
    running = agent(configuration(identity(tmp_path), api="port: 0, grpc: { port: 0, unix_socket: grpc.sock }"))
    assert stat.S_IMODE((tmp_path / "grpc.sock").stat().st_mode) == 0o660
    assert triton.InferenceServerClient(f"unix:{tmp_path}/grpc.sock").is_model_ready("identity")
    assert running.stop() == 0 and not (tmp_path / "grpc.sock").exists()


@pytest.mark.parametrize("api, allowed", [
    ("address: 0.0.0.0", False), ("address: '::'", False), ("address: 0.0.0.0, tokens: t", False),
    ("address: 0.0.0.0, tls: { certificate: c, key: k }", False), ("address: 0.0.0.0, insecure: true", True),
    ("address: 0.0.0.0, tls: { certificate: c, key: k }, tokens: t", True),
    ("address: 0.0.0.0, tls: { certificate: c, key: k, client_authority: a }", True),
    ("address: 127.0.0.1", True), ("address: '::1'", True)])
def test_what_others_can_reach_must_be_guarded(tmp_path, api, allowed):
    config = tmp_path / "edge_config.yaml"
    config.write_text(f"version: 1\napi: {{ {api} }}\n")
    done = subprocess.run([BUILD / "bin/verge-agent", "--config", config, "--check"], capture_output=True, text=True, timeout=30)
    assert (done.returncode == 0) == allowed, done.stderr
    assert allowed or ("VRG-AGT-020" in done.stderr and "insecure: true" in done.stderr)


def test_tokens(agent, tmp_path):
    tokens = tmp_path / "tokens"
    first = make_token("line-3", tokens)
    assert first not in tokens.read_text() and re.fullmatch(r"[0-9a-f]{64}", first)
    running = agent(configuration(identity(tmp_path), api="port: 0, tokens: tokens, unix_socket: s, grpc: { port: 0 }"))
    connection = http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=20)
    with_token = {"Authorization": f"Bearer {first}"}
    assert ask(connection, with_token)[0] == 200
    for wrong in ({}, {"Authorization": "Bearer " + "0" * 64}, {"Authorization": "Basic abc"}, {"Authorization": "Bearer"},
                  {"Authorization": "Bearer " + "x" * 5000}):
        status, text, headers = ask(connection, wrong)
        assert status == 401 and headers["WWW-Authenticate"] == "Bearer" and b"verge-agent token" in text
    assert ask(connection, path="/v2/health/ready", body=None)[0] == 200
    assert ask(connection, path="/metrics", body=None)[0] == 401
    assert ask(UnixConnection(tmp_path / "s"))[0] == 200

    import tritonclient.grpc as triton
    client = triton.InferenceServerClient(re.search(r"ready.*grpc=(\S+)", running.log)[1])
    assert client.is_model_ready("identity", headers={"authorization": f"Bearer {first}"})
    with pytest.raises(Exception, match="expected 'Authorization: Bearer TOKEN', got none"):
        client.get_server_metadata()

    again = subprocess.run([BUILD / "bin/verge-agent", "token", "line-3", "--file", tokens], capture_output=True, text=True)
    assert again.returncode == 4 and "VRG-AGT-023" in again.stderr
    second = make_token("line-4", tokens)
    renewed(lambda: ask(connection, {"Authorization": f"Bearer {second}"})[0] == 200)
    assert ask(connection, with_token)[0] == 200
    put(b"line-4: no digest\n", tokens)
    renewed(lambda: (ask(connection, with_token), "the new tokens are refused" in running.log)[1])
    assert ask(connection, with_token)[0] == 200, "a broken file changes nothing"
    put(b"# nobody\n", tokens)
    renewed(lambda: ask(connection, with_token)[0] == 401)


def renewed(true, timeout=15):
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, "nothing was renewed"
        time.sleep(0.05)


def test_tls_and_tokens_change_under_traffic_without_a_failed_request(agent, tmp_path):
    certificate(tmp_path, "authority")
    first, second = certificate(tmp_path, "first", "authority"), certificate(tmp_path, "second", "authority")
    pem, key, tokens = tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "tokens"
    put(first[0], pem)
    put(first[1], key)
    token = make_token("client", tokens)
    running = agent(configuration(identity(tmp_path), api="port: 0, tokens: tokens, "
                                  "tls: { certificate: server.pem, key: server.key }, grpc: { port: 0 }"))
    host = running.url.removeprefix("https://")
    context = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
    stop, failures, counts = threading.Event(), [], [0, 0, 0]
    headers = {"Authorization": f"Bearer {token}"}

    def served_name():
        with socket.create_connection(tuple(host.split(":"))) as plain, context.wrap_socket(
                plain, server_hostname="127.0.0.1") as wrapped:
            return dict(pair[0] for pair in wrapped.getpeercert()["subject"])["commonName"]

    def keep_one_connection():
        connection = http.client.HTTPSConnection(host, timeout=20, context=context)
        connection.connect()
        local = connection.sock.getsockname()
        while not stop.is_set():
            status, _, _ = ask(connection, headers)
            counts[0] += 1
            if status != 200 or connection.sock.getsockname() != local:
                failures.append(("kept", status))

    def come_anew():
        while not stop.is_set():
            status, _, _ = ask(http.client.HTTPSConnection(host, timeout=20, context=context), headers)
            counts[1] += 1
            if status != 200:
                failures.append(("anew", status))

    def by_grpc():
        import grpc
        from tritonclient.grpc import service_pb2, service_pb2_grpc
        root = grpc.ssl_channel_credentials((tmp_path / "authority.pem").read_bytes())
        address = re.search(r"ready.*grpc=(\S+)", running.log)[1]
        while not stop.is_set():
            with grpc.secure_channel(address, root) as channel:
                stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
                for _ in range(20):
                    stub.ServerMetadata(service_pb2.ServerMetadataRequest(), timeout=20,
                                        metadata=(("authorization", f"Bearer {token}"),))
                    counts[2] += 1

    def guarded(work):
        def run():
            try:
                work()
            except Exception as error:
                failures.append((work.__name__, repr(error)))
        return threading.Thread(target=run)

    threads = [guarded(work) for work in (keep_one_connection, come_anew, by_grpc)]
    for thread in threads:
        thread.start()
    try:
        assert served_name() == "first"
        for round, wanted in enumerate((second, first, second)):
            put(wanted[1], key)
            put(wanted[0], pem)
            make_token(f"another-{round}", tokens)
            renewed(lambda: served_name() == wanted[0].stem)
        put(b"broken", pem)
        renewed(lambda: (served_name(), "the new certificates are refused" in running.log)[1])
        assert served_name() == "second"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[:5]
    assert min(counts) > 20, counts


def test_a_client_certificate_in_place_of_a_token(agent, tmp_path):
    certificate(tmp_path, "authority")
    server, client = certificate(tmp_path, "server", "authority"), certificate(tmp_path, "client", "authority")
    certificate(tmp_path, "other")
    running = agent(configuration(identity(tmp_path), api="port: 0, tls: { certificate: server.pem, key: server.key, "
                                                          "client_authority: authority.pem }, grpc: { port: 0 }"))
    host = running.url.removeprefix("https://")

    def context(name=None):
        made = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
        if name:
            made.load_cert_chain(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
        return made

    assert ask(http.client.HTTPSConnection(host, timeout=20, context=context("client")))[0] == 200
    status, text, _ = ask(http.client.HTTPSConnection(host, timeout=20, context=context()))
    assert status == 401 and b"client_authority" in text
    with pytest.raises(OSError):
        ask(http.client.HTTPSConnection(host, timeout=20, context=context("other")))
    import grpc
    from tritonclient.grpc import service_pb2, service_pb2_grpc
    address = re.search(r"ready.*grpc=(\S+)", running.log)[1]
    read = lambda path: path.read_bytes()
    root = read(tmp_path / "authority.pem")
    ask_grpc = lambda credentials: service_pb2_grpc.GRPCInferenceServiceStub(
        grpc.secure_channel(address, credentials)).ServerMetadata(service_pb2.ServerMetadataRequest(), timeout=20)
    assert ask_grpc(grpc.ssl_channel_credentials(root, read(client[1]), read(client[0]))).name == "verge-agent"
    with pytest.raises(grpc.RpcError) as refused:
        ask_grpc(grpc.ssl_channel_credentials(root))
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
