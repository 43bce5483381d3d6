"""What an agent takes before it has anything to do: what it may need once is loaded then."""

import pathlib

MIB_AS_KIB = 1024


def test_an_agent_without_a_model_is_small(agent):
    running = agent("version: 1\napi: { port: 0 }\n")
    assert running.json("/v2/health/ready")[0] == 200
    libraries = pathlib.Path(f"/proc/{running.process.pid}/maps").read_text()
    for name in ("opencv", "archive", "xml2", "icu", "openvino", "tss2", "grpc"):
        assert f"lib{name}" not in libraries, name
    assert running.resident_kib() < 16 * MIB_AS_KIB
