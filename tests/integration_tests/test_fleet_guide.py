"""documentation/fleet_guide.md, walked block by block through the real programs, in an empty folder."""

import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess

import pytest
from conftest import BUILD, ROOT

GUIDE = ROOT / "documentation" / "fleet_guide.md"
MARK = "__end_of_block__"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def blocks(guide=GUIDE):
    """(kind, text) of every fenced block."""
    return re.findall(r"^```(sh fails|sh|text)\n(.*?)^```$", guide.read_text(), re.MULTILINE | re.DOTALL)


def found(line, output):
    """Whether a line of the guide is in the output: '…' stands for anything, blanks for any number of them."""
    pieces = [re.escape(re.sub(r"\s+", " ", piece.strip())) for piece in line.split("…")]
    return re.search(".*".join(pieces), output) is not None


class Shell:
    """One shell, so that what a block sets or starts is there for the next."""

    def __init__(self, folder, environment):
        self.process = subprocess.Popen(["bash", "--noprofile", "--norc"], cwd=folder, env=environment,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        start_new_session=True)

    def run(self, text):
        self.process.stdin.write(f"set -e -o pipefail\n{text}\nset +e\necho\necho {MARK} 0\n".encode())
        self.process.stdin.flush()
        output, end = b"", f"\n{MARK} 0\n".encode()
        while end not in output:
            # What a block has started keeps the pipe open when the shell has ended at an error.
            if select.select([self.process.stdout], [], [], 0.2)[0]:
                output += os.read(self.process.stdout.fileno(), 65536)
            elif self.process.poll() is not None:
                return self.process.returncode, output.decode()
        return 0, output[: output.index(end)].decode()

    def end(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(timeout=30)


@pytest.fixture
def shell(tmp_path):
    for name in ("models", "infrastructure"):
        shutil.copytree(ROOT / name, tmp_path / name)
    environment = {**os.environ, "PATH": f"{BUILD / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path),
                   "XDG_CONFIG_HOME": str(tmp_path / "config")}
    environment.pop("VERGE_HUB_LOGIN", None)
    running = Shell(tmp_path, environment)
    yield running
    running.end()


def walk(shell, guide):
    """Runs every block; what the guide shows must be in what the programs said."""
    ports = {port: str(free_port()) for port in ("8700", "8701", "8601")}

    def with_ports(text):
        for port, other in ports.items():
            text = text.replace(port, other)
        return text

    output = ""
    for kind, text in blocks(guide):
        text = with_ports(text)
        if kind == "text":
            said = re.sub(r"\s+", " ", output)
            for line in text.strip().splitlines():
                assert found(line, said), f"the guide shows\n  {line}\nand the programs said\n{output}"
        elif kind == "sh fails":
            status, output = shell.run(f"set +e\n({text}) && exit 99\nset -e")
            assert status == 0, f"expected a failure of\n{text}\n{output}"
        else:
            status, output = shell.run(text)
            assert status == 0, f"{text}\nended with {status}:\n{output}"


def test_every_block_of_the_guide(shell):
    walk(shell, GUIDE)


def test_the_guide_has_blocks():
    assert len(blocks()) > 20
    assert pathlib.Path(GUIDE).stat().st_size > 5000
