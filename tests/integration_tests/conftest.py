"""What the integration tests share: the real programs, started and stopped."""

import contextlib
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("VERGE_BUILD", ROOT / "build" / "dev"))
DATA = pathlib.Path(os.environ.get("VERGE_TEST_DATA", ROOT / ".." / "shared" / "data")).resolve()


def verge(*arguments, check=True, **options):
    """Runs the command line; fails the test when it fails, unless `check` is false."""
    done = subprocess.run([BUILD / "bin" / "verge", *map(str, arguments)], capture_output=True, text=True, timeout=300,
                          **options)
    assert not check or done.returncode == 0, f"verge {' '.join(map(str, arguments))}: {done.stderr}"
    return done


def photograph(name):
    import skimage
    return pathlib.Path(skimage.__file__).parent / "data" / name


class Agent:
    """A running agent. `log` holds what it has written to standard error so far."""

    def __init__(self, config, environment=None, program=("verge-agent",)):
        self.log_path = config.parent / "agent.log"
        self.start = time.monotonic()
        self.process = subprocess.Popen([BUILD / "bin" / program[0], "--config", config, *program[1:]],
                                        stderr=open(self.log_path, "a"), env={**os.environ, **(environment or {})})
        self.url = self.wait(r"ready.*url=(\S+)")[1]

    @property
    def log(self):
        return self.log_path.read_text()

    def wait(self, pattern, timeout=120, count=1):
        """The `count`th match of `pattern` in the log, waited for."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            found = list(re.finditer(pattern, self.log))
            if len(found) >= count:
                return found[count - 1]
            assert self.process.poll() is None, f"the agent ended: {self.log}"
            time.sleep(0.01)
        raise AssertionError(f"no {pattern!r} within {timeout} s in: {self.log}")

    def request(self, path, body=None, headers=None, method=None):
        """(status, body) of a request."""
        request = urllib.request.Request(self.url + path, data=body, headers=headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def json(self, path, body=None, headers=None):
        status, text = self.request(path, body, headers)
        return status, json.loads(text) if text else None

    def resident_kib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1])

    def stop(self):
        """Ends it gracefully; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


@pytest.fixture
def agent(tmp_path):
    """Starts agents from a configuration's text; all are stopped at the end."""
    with contextlib.ExitStack() as stack:
        def start(text, environment=None):
            config = tmp_path / "edge_config.yaml"
            config.write_text(text)
            running = Agent(config, environment)

            def end():
                if running.process.poll() is not None:
                    return
                running.process.terminate()
                try:
                    running.process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    running.process.kill()
                    running.process.wait()
                    raise
            stack.callback(end)
            return running
        yield start


class Hub:
    """A running hub. Its data lie in `folder`; restarted, it keeps its port.

    `url`, `ca` (file with the certificate authority, to be pinned), `token` (the administrator's), `login` (the line
    that was printed).
    """

    def __init__(self, folder, *options):
        self.folder, self.options, self.port = folder, options, 0
        self.log_path = folder.parent / f"{folder.name}.log"
        self.process = None
        self.start()
        self.login = (folder / "login.txt").read_text().strip()
        self.token = self.login.rsplit(" ", 1)[1]

    @property
    def ca(self):
        return self.folder / "tls" / "authority.pem"

    @property
    def log(self):
        return self.log_path.read_text()

    def start(self):
        before = self.log_path.stat().st_size if self.log_path.exists() else 0
        with open(self.log_path, "a") as log, open(self.folder.parent / f"{self.folder.name}.out", "a") as out:
            self.process = subprocess.Popen([BUILD / "bin" / "verge-hub", "--data", self.folder, "--port",
                                             str(self.port),
                                             *self.options], stderr=log, stdout=out)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            found = re.search(r"ready.*url=(\S+)", self.log[before:])
            if found:
                self.url = found[1]
                self.port = int(self.url.rsplit(":", 1)[1])
                return
            assert self.process.poll() is None, f"the hub ended: {self.log}"
            time.sleep(0.01)
        raise AssertionError(f"the hub is not ready: {self.log}")

    def stop(self):
        """Ends it gracefully; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)

    def kill(self):
        """As a power cut would end it; start() begins it again."""
        self.process.kill()
        self.process.wait()

    def restart(self):
        assert self.stop() == 0
        self.start()

    def tls(self, certificate=None):
        """A client's context with the hub's authority pinned; `certificate`: (certificate file, key file)."""
        context = ssl.create_default_context(cafile=self.ca)
        if certificate:
            context.load_cert_chain(*certificate)
        return context

    def request(self, method, path, body=None, token=None, certificate=None, headers=None, timeout=70):
        """(status, headers, bytes); `token` None: the administrator's, "": none."""
        token = self.token if token is None else token
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers={
            **({"Authorization": f"Bearer {token}"} if token else {}),
            **({"Content-Type": "application/json"} if data else {}),
            **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=self.tls(certificate)) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def call(self, method, path, body=None, token=None, certificate=None):
        """(status, document) of a route under /api/v1."""
        status, _, text = self.request(method, "/api/v1" + path, body, token, certificate)
        return status, json.loads(text) if text else None


@pytest.fixture
def hub(tmp_path):
    """A hub with nothing in it yet; stopped at the end."""
    running = Hub(tmp_path / "hub")
    yield running
    if running.process.poll() is None:
        running.process.terminate()
        try:
            running.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait()
            raise


@pytest.fixture(scope="session")
def data():
    if not (DATA / "expected.json").exists():
        pytest.skip(f"no real test data at {DATA}: set VERGE_TEST_DATA")
    return DATA
