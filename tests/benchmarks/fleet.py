"""The benchmark of `./dev bench fleet`: traffic through updates and rollbacks, memory over fifty of them, the simulator's pace.

Runs tests/integration_tests/test_fleet_load.py, whose figures it writes to documentation/benchmarks/fleet.md.
"""

import argparse
import datetime
import os
import pathlib
import re
import subprocess
import sys

from bench import ROOT, commit, machine


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    build = parser.parse_args().build
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                           ROOT / "tests" / "integration_tests" / "test_fleet_load.py"], capture_output=True, text=True,
                          env={**os.environ, "VERGE_BUILD": str(build)})
    print(done.stdout)
    if done.returncode != 0:
        sys.exit("a test of traffic or memory failed; nothing was written")
    offered = re.search(r"saturation \d+/s, offered .*", done.stdout)[0]
    windows = re.findall(r"^(\S.*?): (\d+) requests, p50 ([\d.]+) ms, p99 ([\d.]+) ms, p99.9 ([\d.]+) ms, ([\d.]+) x",
                         done.stdout, re.MULTILINE)
    memory = re.findall(r"^(real|fake): (resident .*)", done.stdout, re.MULTILINE)
    simulated = subprocess.run([build / "bin" / "simulate", "--seed", "1", "--updates", "1000"], capture_output=True,
                               text=True, check=True).stdout.strip()
    lines = ["# Updates under traffic", "",
             f"`./dev bench fleet`, {datetime.date.today()}, commit {commit()}, {machine()}.", "",
             "Open loop: requests arrive by schedule at 70 % of the measured saturation, latency counts from the moment a "
             "request was", "due, nothing is sent twice; client, agent and hub share the cores. EfficientNet-Lite0 (OpenVINO), "
             "a photograph posted", f"to `/predict`: {offered}; none failed, each answer was right for the version it named.",
             "", "| window | requests | p50 ms | p99 ms | p99.9 ms | p99.9, times steady |", "|---|---|---|---|---|---|",
             *(f"| {' | '.join(row)} |" for row in windows), "", "Resident memory of the agent over fifty updates:", "",
             *(f"- {'EfficientNet-Lite0' if kind == 'real' else 'the fake engine'}: {text}" for kind, text in memory), "",
             f"The simulator: {simulated}", ""]
    (ROOT / "documentation" / "benchmarks" / "fleet.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
