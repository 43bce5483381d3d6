"""Requests that are wrong, and clients that mean harm: the right status, a helpful error, no crash, no leak."""

import json
import os
import re
import socket
import struct
import threading
import time

import pytest

from inference_models import configuration, identity

PATH = "/v2/models/identity/infer"
RIGHT = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
VALUES = struct.pack("<4f", 1, 2, 3, 4)


@pytest.fixture
def served(agent, tmp_path):
    running = agent(configuration(identity(tmp_path), api="port: 0, grpc: { port: 0 }, max_request_bytes: 1000000"))
    running.port = int(running.url.rsplit(":", 1)[1])
    running.grpc = re.search(r"ready.*grpc=(\S+)", running.log)[1]
    yield running
    assert running.process.poll() is None, running.log
    status, answer = running.json(PATH, json.dumps({"inputs": [RIGHT]}).encode())
    assert status == 200 and answer["outputs"][0]["data"] == [1, 2, 3, 4], "it goes on"


def with_change(**change):
    return json.dumps({"inputs": [{**RIGHT, **change}]}).encode()


def binary(size, rest, header=None):
    head = json.dumps({"inputs": [{k: v for k, v in RIGHT.items() if k != "data"}
                                  | {"parameters": {"binary_data_size": size}}]}).encode()
    return head + rest, {"Inference-Header-Content-Length": str(len(head) if header is None else header)}


@pytest.mark.parametrize("body, said", [
    (with_change(shape=[4]), ("FP32[1,4]", "[4]")), (with_change(shape=[1, 5]), ("FP32[1,4]", "[1,5]")),
    (with_change(shape=[-1, 4]), ("whole numbers", "[-1,4]")), (with_change(shape=[1 << 62, 4]), ("whole numbers", "46116")),
    (with_change(shape="4"), ("expected 'shape'",)), (with_change(shape=[1] * 100), ("at most 8",)),
    (with_change(datatype="INT8"), ("expected datatype FP32", "'INT8'")), (with_change(datatype="BYTES"), ("FP32", "'BYTES'")),
    (with_change(datatype=7), ("to be a text, got 7",)), (with_change(data=[1, 2, 3]), ("expected 4 FP32 values", "got 3")),
    (with_change(data=[1, 2, 3, 4, 5]), ("expected 4", "too many")), (with_change(data=[1, "2", 3, 4]), ("got 1 and then",)),
    (with_change(data={"a": 1}), ("'data' as a list",)), (with_change(name="z"), ("called 'x'", "got 'z'")),
    (with_change(data=[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]), ("nests deeper",)),
    (b"[" * 500_000, ("nests deeper",)), (b'{"a":' * 100_000, ("nests deeper",)), (b"{", ("ends too early",)),
    (b"", ("not valid JSON",)), (b"\xff\xfe\x00", ("not valid JSON",)), (b"{}", ("expected 'inputs'", "got 0")),
    (b'{"inputs":[' + b"{}," * 5000 + b"{}]}", ("VRG-API-0",)), (b'{"inputs":7}', ("list of objects, got 7",)),
    (json.dumps({"inputs": [RIGHT], "outputs": [{"name": "q"}]}).encode(), ("no output 'q'", "'y'")),
    (json.dumps({"inputs": [RIGHT], "parameters": {"timeout": -1}}).encode(), ("'timeout'",)),
    (json.dumps({"inputs": [RIGHT], "outputs": [{"name": "y", "parameters": {"classification": 3}}]}).encode(), ("predict",))])
def test_json_that_is_wrong(served, body, said):
    status, answer = served.json(PATH, body)
    assert status == 400 and all(words in answer["error"] for words in said), answer


@pytest.mark.parametrize("size, rest, header, said", [
    (-1, VALUES, None, "'binary_data_size'"), (2**63, VALUES, None, "'binary_data_size'"), (2**64 - 1, VALUES, None, "whole number"),
    (2**64 + 16, VALUES, None, "whole number"), (1e3, VALUES, None, "whole number"), ("16", VALUES, None, "whole number"),
    (15, VALUES[:15], None, "expected 16 bytes"), (17, VALUES + b"x", None, "expected 16 bytes"),
    (16, VALUES + b"x", None, "1 bytes are left"), (16, VALUES[:15], None, "expected the 16 bytes"),
    (16, VALUES, -1, "from 0 to"), (16, VALUES, 2**64, "from 0 to"), (16, VALUES, 10**6, "from 0 to"), (16, VALUES, 3, "JSON")])
def test_binary_sizes_that_are_wrong(served, size, rest, header, said):
    body, headers = binary(size, rest, header)
    status, answer = served.json(PATH, body, headers)
    assert status == 400 and said in answer["error"], answer


def test_sizes_that_add_up_past_the_end(served):
    """Two inputs whose sizes together wrap round."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 2**63 - 1}}
    head = json.dumps({"inputs": [tensor, {**tensor, "parameters": {"binary_data_size": 2**63 - 1}}]}).encode()
    status, answer = served.json(PATH, head + VALUES, {"Inference-Header-Content-Length": str(len(head))})
    assert status == 400 and "binary_data_size" in answer["error"]


def exchange(port, text, timeout=10):
    """All that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as client:
        try:
            client.sendall(text)
        except OSError:
            pass
        got = b""
        try:
            while piece := client.recv(65536):
                got += piece
        except (ConnectionResetError, TimeoutError):
            pass
        return got


def post(body, *headers):
    return b"\r\n".join([f"POST {PATH} HTTP/1.1".encode(), b"Host: x", *headers, b"", b""]) + body


def test_chunked_bodies(served):
    body = json.dumps({"inputs": [RIGHT]}).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:7], body[7:50], body[50:])) + b"0\r\n\r\n"
    assert b" 200 OK" in exchange(served.port, post(chunks, b"Transfer-Encoding: chunked", b"Connection: close"))
    for bad in (b"zz\r\nabc\r\n", b"-5\r\nabc\r\n", b"ffffffffffffffffff\r\nabc\r\n", b"3\r\nabcdef\r\n", b"5;" + b"a" * 200_000):
        answer = exchange(served.port, post(bad, b"Transfer-Encoding: chunked"), timeout=3)
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 413")), (bad[:20], answer[:100])
    many = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    assert exchange(served.port, post(many * 40, b"Transfer-Encoding: chunked")).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("headers, status", [
    ((b"Content-Length: -1",), b"400"), ((b"Content-Length: 1x",), b"400"), ((b"Content-Length: 99999999999999999999999",), b"400"),
    ((b"Content-Length: 5", b"Content-Length: 6"), b"400"), ((b"Content-Length: 1000001",), b"413"),
    ((b"Content-Length: 18446744073709551615",), b"413"), ((b"Content-Length: 5", b"Transfer-Encoding: chunked"), b"400"),
    ((b"X: " + b"a" * 100_000,), b"431"), ((b"no colon here",), b"400"), ((b"X: a\x00b",), b"400")])
def test_heads_that_are_wrong(served, headers, status):
    assert exchange(served.port, post(b"", *headers)).startswith(b"HTTP/1.1 " + status)


def test_garbage_behind_a_request(served):
    body = json.dumps({"inputs": [RIGHT]}).encode()
    good = post(body, b"Content-Length: %d" % len(body))
    answer = exchange(served.port, good * 20 + b"\x16\x03\x01\x00garbage\r\n\r\n" + good)
    assert answer.count(b"HTTP/1.1 200") == 20 and answer.count(b"HTTP/1.1 400") == 1 and answer.count(b"HTTP/1.1") == 21


def test_bodies_that_end_too_early(served):
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", served.port)) as client:
            client.sendall(post(b'{"inputs":', b"Content-Length: 500000"))


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def resident_mib(process):
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{process.pid}/status").read())[1]) / 1024


def test_thousands_of_slow_clients_hold_nobody_up_and_leave_nothing(served):
    before = descriptors(served.process)
    body = json.dumps({"inputs": [RIGHT]}).encode()
    for _ in range(100):
        served.request(PATH, body)
    resident = resident_mib(served.process)
    slow = []
    try:
        for i in range(2000):
            client = socket.create_connection(("127.0.0.1", served.port))
            client.sendall((b"POST / HTT", post(b"", b"Content-Length: 900000")[:-2], post(b"{", b"Content-Length: 900000"))[i % 3])
            slow.append(client)
        start = time.monotonic()
        for _ in range(200):
            assert served.request(PATH, body)[0] == 200
        assert time.monotonic() - start < 60
        assert resident_mib(served.process) < resident + 150  # Of the 1.8 GB that they promise.
    finally:
        for client in slow:
            client.close()
    end = time.monotonic() + 20
    while descriptors(served.process) > before + 2 and time.monotonic() < end:
        time.sleep(0.1)
    assert descriptors(served.process) <= before + 2


def test_hours_of_bad_requests_in_a_minute_leave_the_memory_as_it_was(served):
    bodies = [b"[" * 10_000, b"{}", with_change(shape=[4]), with_change(data=[1] * 5000), b"\xff" * 50_000,
              with_change(data="x" * 100_000), json.dumps({"inputs": [RIGHT]}).encode()]

    def ask(count):
        import http.client
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        for i in range(count):
            connection.request("POST", PATH, bodies[i % len(bodies)])
            connection.getresponse().read()
        connection.close()

    def all_at_once(count):
        threads = [threading.Thread(target=ask, args=(count,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    all_at_once(350)
    resident, open_files = resident_mib(served.process), descriptors(served.process)
    all_at_once(1400)
    assert resident_mib(served.process) < resident * 1.1 + 2
    assert descriptors(served.process) <= open_files + 4


def test_grpc_messages_that_are_wrong(served):
    import grpc
    channel = grpc.insecure_channel(served.grpc)
    ask = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", lambda raw: raw, lambda raw: raw)
    for message in (b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"\x3a" + b"\x80" * 11, os.urandom(5000), b"\x2a\x02\x0a\x05"):
        with pytest.raises(grpc.RpcError) as caught:
            ask(message, timeout=10)
        assert caught.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    with pytest.raises(grpc.RpcError) as caught:
        ask(b"x" * 1_200_000, timeout=10)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED

    from tritonclient.grpc import service_pb2, service_pb2_grpc
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

    def refused(change):
        request = service_pb2.ModelInferRequest(model_name="identity")
        request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
        request.raw_input_contents.append(VALUES)
        change(request)
        with pytest.raises(grpc.RpcError) as error:
            stub.ModelInfer(request, timeout=10)
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        return error.value.details()

    assert "raw_input_contents" in refused(lambda r: r.raw_input_contents.append(VALUES))
    assert "got none of them" in refused(lambda r: r.raw_input_contents.pop())
    assert "no 'contents' beside it" in refused(lambda r: r.inputs[0].contents.fp32_contents.append(1))
    assert "each once" in refused(lambda r: setattr(r.inputs[0], "name", "q"))
    assert "got 1 for 2 inputs" in refused(lambda r: r.inputs.add(name="x"))
    assert "a list of 1" in refused(lambda r: (r.inputs.add(name="x"), r.raw_input_contents.append(VALUES)))
    assert "no region 'r'" in refused(
        lambda r: (r.inputs[0].parameters["shared_memory_region"].__setattr__("string_param", "r"), r.raw_input_contents.pop()))
    assert "from 0 on" in refused(lambda r: r.parameters["timeout"].__setattr__("int64_param", -1))


def test_a_busy_model_is_refused_at_once_with_a_time_to_come_back(agent, tmp_path):
    running = agent(configuration(identity(tmp_path, delay_ms=300)))
    body = json.dumps({"inputs": [RIGHT], "parameters": {"timeout": 100_000}}).encode()
    import http.client
    answers = []

    def ask():
        connection = http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=30)
        connection.request("POST", PATH, body)
        answer = connection.getresponse()
        answers.append((answer.status, answer.getheader("Retry-After"), answer.read()))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = [status for status, _, _ in answers]
    assert 200 in statuses and 503 in statuses and set(statuses) == {200, 503}
    assert all(after == "1" for status, after, _ in answers if status == 503)
