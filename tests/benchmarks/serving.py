"""`./dev bench serving`: the inference API against bare echo servers, Triton and MLServer, with one C++ client.

Everything is asked in turns inside one process (tests/benchmarks/serving/client.cpp), so that the machine's moods meet all
alike. Written to documentation/benchmarks/serving.md.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from bench import ROOT, commit, machine

BYTES = 150528  # A picture of 224 × 224 × 3.
PEERS = ROOT / "build" / "peers-serving"
TRITON = "nvidia-pytriton==0.7.0"  # Holds the real server, 2.51.
MLSERVER = "mlserver==1.7.1"
NUMPY = ["numpy<2", "pandas<3"]  # What the stub of Triton's Python models was built with: with 2, tensors come back empty.


PROTOCOLS = {"http-infer": "HTTP", "http-json": "HTTP, JSON", "grpc-infer": "gRPC"}  # MLServer's HTTP knows no binary tensors.


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A program that was started; `ready` is asked until it answers."""

    def __init__(self, stack, command, ready=None, environment=None, log=None):
        self.process = subprocess.Popen([str(word) for word in command], stdout=log or subprocess.DEVNULL,
                                        stderr=subprocess.STDOUT if log else subprocess.DEVNULL, start_new_session=True,
                                        env={**os.environ, **(environment or {})})
        stack.callback(self.stop)
        end = time.monotonic() + 90
        while not self.answers(ready):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{command[0]} does not start; see {log.name if log else 'its output'}")
            time.sleep(0.1)

    def answers(self, ready):
        try:
            if isinstance(ready, pathlib.Path):
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(str(ready))
            elif isinstance(ready, int):
                socket.create_connection(("127.0.0.1", ready), timeout=2).close()
            else:
                urllib.request.urlopen(ready, timeout=5).read()
            return True
        except (OSError, urllib.error.URLError):
            return False

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 15)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)

    def family(self):
        """Its process and those that it started."""
        children = {}
        for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                words = entry.read_text().rsplit(")", 1)[1].split()
                children.setdefault(int(words[1]), []).append(int(entry.parent.name))
        found = [self.process.pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    def cpu_s(self):
        total = 0
        for pid in self.family():
            with contextlib.suppress(OSError):
                words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += int(words[11]) + int(words[12])
        return total / os.sysconf("SC_CLK_TCK")

    def resident_mib(self):
        total = 0
        for pid in self.family():
            with contextlib.suppress(OSError, TypeError):
                total += int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])
        return total / 1024


def target(name, kind, address, server):
    return f"{name},{kind},{address},identity,{server.process.pid},{BYTES},UINT8,x,y,1x{BYTES}"


def ask(build, targets, rounds, block, connections=1):
    done = subprocess.run([str(build / "bin/bench_serving"), "--rounds", str(rounds), "--block", str(block),
                           "--connections", str(connections), *targets], capture_output=True, text=True, timeout=500)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def start_agent(stack, build, folder):
    (folder / "identity/model_files").mkdir(parents=True)
    (folder / "identity/model_files/model.fake").write_text(
        f"verge-fake 1\ninput x UINT8 [1,{BYTES}]\noutput y UINT8 [1,{BYTES}]\nfunction identity\n")
    tensor = {"datatype": "UINT8", "shape": [1, BYTES]}
    (folder / "identity/metadata.json").write_text(json.dumps({
        "schema_version": 1, "name": "identity", "version": "1.0.0", "task": "tensor", "engine": "fake",
        "model": {"file": "model_files/model.fake", "format": "fake"}, "inputs": [{"name": "x", **tensor}],
        "outputs": [{"name": "y", **tensor}]}))
    http, grpc = free_port(), free_port()
    config = folder / "edge_config.yaml"
    config.write_text(f"version: 1\napi: {{ port: {http}, unix_socket: {folder}/api, grpc: {{ port: {grpc} }} }}\n"
                      "models: [{ package: identity }]\n")
    agent = Server(stack, [build / "bin/verge-agent", "--config", config],
                   f"http://127.0.0.1:{http}/v2/models/identity/ready")
    return agent, f"127.0.0.1:{http}", f"127.0.0.1:{grpc}", f"{folder}/api"


def bars(build, folder, rounds):
    """The agent against bare echo servers."""
    with contextlib.ExitStack() as stack:
        agent, http, grpc, unix = start_agent(stack, build, folder)
        ports = free_port(), free_port()
        beast = Server(stack, [build / "bin/bench_http_echo", ports[0]], ports[0])
        beast_unix = Server(stack, [build / "bin/bench_http_echo", folder / "echo"], folder / "echo")
        bare_grpc = Server(stack, [build / "bin/bench_grpc_echo", ports[1]], ports[1])
        pairs = [
            ("HTTP, 150 KB in and out", "Beast echo", 1.15, 100,
             target("bare", "http-echo", f"127.0.0.1:{ports[0]}", beast), target("ours", "http-infer", http, agent)),
            ("gRPC, 150 KB in and out", "gRPC echo", 1.15, 100,
             target("bare", "grpc-echo", f"127.0.0.1:{ports[1]}", bare_grpc), target("ours", "grpc-infer", grpc, agent)),
            ("shared memory over a Unix socket", "Beast echo of the small message", 1.25, 250,
             target("bare", "http-shm-echo", folder / "echo", beast_unix), target("ours", "http-shm", unix, agent))]
        rows = ["| what | bare | bare p50 µs | ours p50 µs | ratio | bar | |", "|---|---|---|---|---|---|---|"]
        for what, bare_name, bar, block, bare, ours in pairs:
            got = ask(build, [bare, ours], rounds, block)
            ratio = got["ours"]["p50_us"] / got["bare"]["p50_us"]
            rows.append(f"| {what} | {bare_name} | {got['bare']['p50_us']:.0f} | {got['ours']['p50_us']:.0f} | {ratio:.2f} | "
                        f"{bar} | {'met' if ratio <= bar else '**missed**'} |")
            print(rows[-1], file=sys.stderr, flush=True)
        return rows


# --- peers ---------------------------------------------------------------------------------------------------------------

def peer_environment():
    """Triton and MLServer, in an environment of their own, made once."""
    stamp = PEERS / "installed.txt"
    wanted = "\n".join([TRITON, MLSERVER, *NUMPY, ""])
    if not stamp.exists() or stamp.read_text() != wanted:
        print("==> Installing Triton and MLServer to compare with (some minutes, 1 GB)", file=sys.stderr, flush=True)
        shutil.rmtree(PEERS, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
        pip = [PEERS / "bin/pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, MLSERVER, *NUMPY], check=True)
        subprocess.run([*pip, "--no-deps", TRITON], check=True)
        stamp.write_text(wanted)
    return next(PEERS.glob("lib/python3*/site-packages"))


def start_triton(stack, site, folder):
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    home = folder / "triton"
    shutil.copytree(site / "pytriton/tritonserver/backends", home / "backends")
    stub = site / f"pytriton/tritonserver/python_backend_stubs/{version}/triton_python_backend_stub"
    shutil.copy(stub, home / "backends/python")
    os.chmod(home / "backends/python/triton_python_backend_stub", 0o755)
    model = home / "models/identity"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(
        f'name: "identity"\nbackend: "python"\nmax_batch_size: 0\n'
        f'input [ {{ name: "x" data_type: TYPE_UINT8 dims: [ 1, {BYTES} ] }} ]\n'
        f'output [ {{ name: "y" data_type: TYPE_UINT8 dims: [ 1, {BYTES} ] }} ]\ninstance_group [ {{ kind: KIND_CPU }} ]\n')
    (model / "1/model.py").write_text(
        "import triton_python_backend_utils as utils\n\n\nclass TritonPythonModel:\n    def execute(self, requests):\n"
        "        return [utils.InferenceResponse([utils.Tensor('y', utils.get_input_tensor_by_name(r, 'x').as_numpy())])\n"
        "                for r in requests]\n")
    http, grpc = free_port(), free_port()
    server = Server(stack, [site / "pytriton/tritonserver/bin/tritonserver", "--model-repository", home / "models",
                            "--backend-directory", home / "backends", "--http-port", http, "--grpc-port", grpc,
                            "--http-address", "127.0.0.1", "--grpc-address", "127.0.0.1", "--allow-metrics", "false"],
                    f"http://127.0.0.1:{http}/v2/models/identity/ready",
                    {"LD_LIBRARY_PATH": str(site / "nvidia_pytriton.libs"), "PATH": f"{PEERS}/bin:{os.environ['PATH']}"},
                    open(folder / "triton.log", "w"))
    return server, f"127.0.0.1:{http}", f"127.0.0.1:{grpc}"


def start_mlserver(stack, site, folder):
    home = folder / "mlserver"
    home.mkdir()
    http, grpc, metrics = free_port(), free_port(), free_port()
    (home / "settings.json").write_text(json.dumps({
        "host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics, "parallel_workers": 0,
        "debug": False, "use_structured_logging": False}))
    (home / "model-settings.json").write_text(json.dumps({"name": "identity", "implementation": "identity.Identity"}))
    (home / "identity.py").write_text(
        "from mlserver import MLModel\nfrom mlserver.codecs import NumpyCodec\nfrom mlserver.types import InferenceResponse\n\n\n"
        "class Identity(MLModel):\n    async def load(self):\n        return True\n\n    async def predict(self, request):\n"
        "        x = NumpyCodec.decode_input(request.inputs[0])\n"
        "        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output('y', x)])\n")
    server = Server(stack, [PEERS / "bin/mlserver", "start", home],
                    f"http://127.0.0.1:{http}/v2/models/identity/ready", log=open(folder / "mlserver.log", "w"))
    return server, f"127.0.0.1:{http}", f"127.0.0.1:{grpc}"


def compare(build, folder, protocol, kind, ours, theirs, name, rounds, connections):
    """One row each for the agent and a peer, asked in turns; CPU and memory of all their processes."""
    agent, our_address = ours
    peer, address = theirs
    rows = {}
    for label, server, at in (("Verge", agent, our_address), (name, peer, address)):
        before = server.cpu_s()
        alone = ask(build, [target(label, kind, at, server)], max(3, rounds // 4), 50, connections)
        count = max(3, rounds // 4) * 50 * connections + 200
        rows[label] = {"cpu_us": (server.cpu_s() - before) / count * 1e6, **{"alone": alone[label]}}
    together = ask(build, [target("Verge", kind, our_address, agent), target(name, kind, address, peer)], rounds, 50, connections)
    for label, server in (("Verge", agent), (name, peer)):
        rows[label] |= {k: together[label][k] for k in ("p50_us", "p99_us", "requests_per_s")}
        rows[label]["resident_mib"] = server.resident_mib()
    text = []
    for label in ("Verge", name):
        r = rows[label]
        text.append(f"| {protocol}, {connections} at once | {label} | {r['p50_us']:.0f} | {r['p99_us']:.0f} | "
                    f"{r['requests_per_s']:.0f} | {r['cpu_us']:.0f} | {r['resident_mib']:.0f} |")
    factor = [rows[name][k] / max(rows["Verge"][k], 1e-9) for k in ("p50_us", "p99_us")] + [
        rows["Verge"]["requests_per_s"] / rows[name]["requests_per_s"],
        rows[name]["cpu_us"] / max(rows["Verge"]["cpu_us"], 1e-9), rows[name]["resident_mib"] / rows["Verge"]["resident_mib"]]
    text.append(f"| | *{name} / Verge* | " + " | ".join(f"{f:.1f} ×" for f in factor) + " |")
    for line in text:
        print(line, file=sys.stderr, flush=True)
    return text


def peers(build, folder, rounds):
    site = peer_environment()
    rows = ["| protocol | server | p50 µs | p99 µs | requests/s | CPU µs a request | resident MiB |",
            "|---|---|---|---|---|---|---|"]
    for name, start, kinds in (("Triton", start_triton, ("http-infer", "grpc-infer")),
                               ("MLServer", start_mlserver, ("http-json", "grpc-infer"))):
        with contextlib.ExitStack() as stack:
            own = folder / name
            own.mkdir()
            agent, http, grpc, _ = start_agent(stack, build, own)
            peer, peer_http, peer_grpc = start(stack, site, own)
            few = rounds if name == "Triton" else max(4, rounds // 4)
            for kind in kinds:
                over_http = kind.startswith("http")
                for connections in (1, 4):
                    rows += compare(build, own, PROTOCOLS[kind], kind, (agent, http if over_http else grpc),
                                    (peer, peer_http if over_http else peer_grpc), name, few, connections)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--no-peers", action="store_true", help="only the bare echo servers")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "documentation" / "benchmarks" / "serving.md")
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="verge-serving-"))
    try:
        (folder / "bars").mkdir()
        lines = ["# Serving", "",
                 f"`./dev bench serving` on {datetime.date.today()}, commit {commit()}, {machine()}. A model of the engine 'fake' gives",
                 f"back the {BYTES} bytes that it gets; one C++ client asks in turns.", "", "## Against bare servers", "",
                 "The bare echo is Beast, asynchronous, on one thread, which reads the body and sends it back; for gRPC a synchronous",
                 "service that gives the message's bytes back. Shared memory: input and output lie in a region, the message is small,",
                 "and is compared with the echo of that message.", "", *bars(arguments.build, folder / "bars", arguments.rounds)]
        if not arguments.no_peers:
            (folder / "peers").mkdir()
            lines += ["", "## Against Triton 2.51 and MLServer", "",
                      "Each with an identity model (Triton: its Python back end), tensors as bytes.", "",
                      *peers(arguments.build, folder / "peers", arguments.rounds)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
