"""What the integration tests share: the real programs, started and stopped."""

import contextlib
import json
import os
import pathlib
import re
import signal
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

    def __init__(self, config, environment=None):
        self.log_path = config.parent / "agent.log"
        self.start = time.monotonic()
        self.process = subprocess.Popen([BUILD / "bin" / "verge-agent", "--config", config],
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


@pytest.fixture(scope="session")
def data():
    if not (DATA / "expected.json").exists():
        pytest.skip(f"no real test data at {DATA}: set VERGE_TEST_DATA")
    return DATA
