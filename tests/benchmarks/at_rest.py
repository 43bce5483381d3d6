"""`./dev bench at_rest`: what encryption at rest costs when a model is loaded; writes documentation/benchmarks/at_rest.md.

bench_at_rest loads the package from a plain folder and from an encrypted store in turns, in one run: the ratio is what
counts, not the machine's milliseconds. Exits with 1 when it is above the bar.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BAR = 1.25
TEXT = """# Encryption at rest

`./dev bench at_rest` on {date}, commit {commit}, {processor}, {cores} cores.

`{command}`: EfficientNet-Lite0 (`efficientnet_lite0.onnx` and the rest of its package, {megabytes:.1f} MB) into OpenVINO with one
thread, {runs} times plain and {runs} times from an encrypted store, in turns; medians. Plain: opening the package (which hashes every
file) and loading it. Encrypted: decrypting it from the disk into locked memory first, then the same.

| plain ms | encrypted ms | ratio | bar | of it decrypting ms | format, decrypting MB/s | format, encrypting MB/s |
|---|---|---|---|---|---|---|
| {plain_ms} | {encrypted_ms} | {ratio:.2f} | {bar} {verdict} | {decrypt_ms} | {decrypt_mb_s:.0f} | {encrypt_mb_s:.0f} |

The figures of the format are of 64 MiB in memory on one core (OpenSSL with AES instructions), 10^6 bytes a second.
"""


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown processor")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/dev")
    parser.add_argument("--package", type=pathlib.Path, default=ROOT / "models/efficientnet_lite0")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "documentation/benchmarks/at_rest.md")
    parser.add_argument("--runs", type=int, default=31)
    options = parser.parse_args()
    command = [options.build / "bin/bench_at_rest", options.package, "openvino", options.runs]
    found = json.loads(subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    met = found["ratio"] <= BAR
    options.output.write_text(TEXT.format(
        date=datetime.date.today(), commit=commit, processor=processor(), cores=len(os.sched_getaffinity(0)),
        command=" ".join(os.path.relpath(word, ROOT) if isinstance(word, pathlib.Path) else str(word) for word in command),
        megabytes=found["package_bytes"] / 1e6, bar=BAR, verdict="met" if met else "MISSED", **found))
    print(f"ratio {found['ratio']:.3f} (bar {BAR}); {json.dumps(found)}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
