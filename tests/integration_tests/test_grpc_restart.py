"""gRPC clients while the agent is started anew by a service manager that keeps its sockets, as systemd does."""

import contextlib
import fcntl
import os
import queue
import re
import signal
import socket
import subprocess
import threading
import time

import grpc
import pytest
from conftest import BUILD
from fleet import wait_for
from grpc_load import GrpcLoad, ask_identity
from inference_models import configuration, identity
from test_inference_api_access import certificate, make_token
from tritonclient.grpc import service_pb2, service_pb2_grpc


class ServiceManager:
    """Starts the agent, and keeps what it is given over a restart (sd_notify(3): FDSTORE, LISTEN_FDS)."""

    def __init__(self, folder, text):
        self.folder, self.kept, self.process, self.starts = folder, {}, None, 0
        self.config = folder / "edge_config.yaml"
        self.config.write_text(text)
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notices.bind(str(folder / "notify"))
        self.notices.settimeout(60)

    def start(self):
        names, sockets = list(self.kept), list(self.kept.values())
        environment = {**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify"), "LISTEN_FDS": str(len(names)),
                       "LISTEN_FDNAMES": ":".join(names)}
        # The shell puts them into their places: code of ours in the child would find gRPC's locks held by nobody.
        place = "".join(f"exec {3 + index}<&{number} {number}<&-; " for index, number in enumerate(sockets))
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", place + 'LISTEN_PID=$$ exec "$0" "$@"', BUILD / "bin" / "verge-agent", "--config",
             self.config], stderr=open(self.folder / "agent.log", "a"), env=environment, pass_fds=sockets)
        while True:
            text, numbers, _, _ = socket.recv_fds(self.notices, 4096, 8)
            for number in numbers:
                name = re.search(rb"FDNAME=(.*)", text)[1].decode()
                if name in self.kept:
                    os.close(self.kept[name])
                self.kept[name] = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 200)  # Where no number for a child is.
                os.close(number)
            if b"READY=1" in text:
                break
        self.starts += 1
        wait_for(lambda: self.log.count(" ready ") >= self.starts, what=f"log: {self.log}")
        return self

    @property
    def log(self):
        return (self.folder / "agent.log").read_text()

    @property
    def grpc(self):
        return re.findall(r"ready.*grpc=(\S+)", self.log)[-1]

    def stop(self):
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=30) == 0, self.log
        return time.monotonic() - began

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for number in self.kept.values():
            os.close(number)
        self.notices.close()


@pytest.fixture
def service(tmp_path):
    with contextlib.ExitStack() as stack:
        def start(api, **model):
            manager = ServiceManager(tmp_path, configuration(identity(tmp_path, **model), api=api))
            stack.callback(manager.close)
            return manager.start()
        yield start


@pytest.mark.parametrize("way", ["tcp", "unix", "tls", "ipv6"])
def test_no_call_fails_when_the_agent_starts_anew(service, tmp_path, way, capsys):
    api, credentials, rate = "port: 0, grpc: { port: 0 }", None, 300
    if way == "unix":
        api = "port: 0, grpc: { port: 0, unix_socket: grpc.sock }"
    if way == "ipv6":
        api += ", address: '::1'"
    if way == "tls":
        certificate(tmp_path, "authority")
        certificate(tmp_path, "server", "authority")
        api += ", tls: { certificate: server.pem, key: server.key }"
        credentials = grpc.ssl_channel_credentials((tmp_path / "authority.pem").read_bytes())
    running = service(api)
    address = f"unix:{tmp_path}/grpc.sock" if way == "unix" else running.grpc
    before = running.grpc
    stops = []
    with GrpcLoad(address, ask_identity(), rate, credentials=credentials) as load:
        for _ in range(3):
            time.sleep(1)
            stops.append(running.stop())
            running.start()
        time.sleep(1)
    assert running.grpc == before, "the port is the one that it was"
    with capsys.disabled():
        print(f"\n{way}: {len(load.answers)} calls through three restarts, {len(load.lost)} lost; the longest took "
              f"{load.longest_ms:.0f} ms; an agent took {max(stops) * 1000:.0f} ms to end at most")
    assert load.lost == []


def test_what_has_been_asked_is_answered_and_a_stream_ends(service):
    running = service("port: 0, grpc: { port: 0 }", delay_ms=1500)
    requests = queue.SimpleQueue()
    with grpc.insecure_channel(running.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        requests.put(ask_identity())
        stream = stub.ModelStreamInfer(iter(requests.get, None))
        assert next(stream).infer_response.model_name == "identity"
        call = stub.ModelInfer.future(ask_identity(), timeout=20)
        time.sleep(0.3)
        took = running.stop()
        assert call.result().model_name == "identity"
        assert stream.code() == grpc.StatusCode.UNAVAILABLE
        assert 1 < took < 5, "as long as the call, and not as the stream may be open"
        asked = stub.ModelInfer.future(ask_identity(), timeout=20)
        time.sleep(0.3)
        running.start()
        assert asked.result().model_name == "identity"
        requests.put(None)


def test_a_large_answer_on_a_slow_line_ends(service):
    """The line is a relay that lets 4 MB a second come back; the system's buffers hold less than the answer."""
    values = 4_000_000
    running = service("port: 0, grpc: { port: 0 }", shape=(1, values))
    host, port = running.grpc.rsplit(":", 1)
    begun = threading.Event()

    def relay(listening):
        client, _ = listening.accept()
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        server.connect((host, int(port)))

        def back():
            while piece := server.recv(20_000):
                client.sendall(piece)
                begun.set()
                time.sleep(0.005)
        thread = threading.Thread(target=back, daemon=True)
        thread.start()
        while piece := client.recv(1 << 20):
            server.sendall(piece)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=relay, args=(listening,), daemon=True).start()
        options = [("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(f"127.0.0.1:{listening.getsockname()[1]}", options) as channel:
            call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.future(ask_identity(values), timeout=60)
            assert begun.wait(20)
            time.sleep(0.5)
            took = running.stop()
            assert len(call.result().raw_output_contents[0]) == 4 * values
    assert took > 1, f"the answer was there before the agent was to end: {took}"


def test_who_comes_by_the_unix_socket_needs_no_token(service, tmp_path):
    make_token("line-3", tmp_path / "tokens")
    running = service("port: 0, tokens: tokens, grpc: { port: 0, unix_socket: grpc.sock }")

    def name(address):
        with grpc.insecure_channel(address) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            return stub.ServerMetadata(service_pb2.ServerMetadataRequest(), timeout=20).name
    assert name(f"unix:{tmp_path}/grpc.sock") == "verge-agent"
    with pytest.raises(grpc.RpcError) as refused:
        name(running.grpc)
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
