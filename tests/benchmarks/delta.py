"""`./dev bench delta`: deltas between versions of real models, beside those of zstd, bsdiff and xdelta3.

Sizes do not depend on the machine; the time and the memory that applying takes are printed with it. Written to
documentation/benchmarks/delta.md. `--all` (`./dev verify delta`) takes every ordered pair of models of one format instead and
prints one line; it exits with 1 when a file does not come back as it was, or a delta is larger than the best of the others.
"""

import argparse
import concurrent.futures
import datetime
import itertools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from bench import DATA, ROOT, commit, machine

MODELS = DATA / "models"
EFFICIENTNET = MODELS / "cls/efficientnet_lite0"
BARS = {"efficientnet_lite0_tuned_full.onnx": 0.66, "efficientnet_lite0_tuned_head.onnx": 0.90}
PAIRS = [(EFFICIENTNET / "efficientnet_lite0.onnx", EFFICIENTNET / name) for name in BARS] + [
    (EFFICIENTNET / "efficientnet_lite0_fp32.pte", EFFICIENTNET / "efficientnet_lite0_int8.pte"),
    (MODELS / "cls/mobilenet_v1_0.25_224_quant.tflite", MODELS / "cls/mobilenet_v1_0.25_128_quant.tflite"),
    (MODELS / "cls/resnet8_cifar10/pretrainedResnet.tflite", MODELS / "cls/resnet8_cifar10/pretrainedResnet_quant.tflite")]
FORMATS = (".onnx", ".tflite", ".pte", ".h5", ".pb", ".pt", ".ptl")
APPLY_S, APPLY_MIB = 2, 64


def run(*words):
    """Seconds, and MiB of memory."""
    start = time.monotonic()
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    message = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{words}: {message}")
    return time.monotonic() - start, usage.ru_maxrss / 1024


def others(old, new, folder):
    """Size that each of the other tools makes."""
    made = {"zstd -19": folder / "zstd", "bsdiff": folder / "bsdiff", "xdelta3 -9": folder / "xdelta3"}
    run("zstd", "-19", "--long=27", "-q", "-f", f"--patch-from={old}", new, "-o", made["zstd -19"])
    run("bsdiff", old, new, made["bsdiff"])
    run("xdelta3", "-9", "-f", "-e", "-s", old, new, made["xdelta3 -9"])
    return {tool: file.stat().st_size for tool, file in made.items()}


def ours(verge, old, new, folder):
    """Size, seconds to make, seconds and MiB to apply; the file that comes out is compared."""
    delta, got = folder / "delta", folder / "new"
    made_s, _ = run(verge, "delta", "create", old, new, delta)
    applied_s, mib = run(verge, "delta", "apply", old, delta, got)
    run("cmp", got, new)  # Not here: a child counts its parent's memory as its own until it has begun.
    return delta.stat().st_size, made_s, applied_s, mib


def compare(verge, old, new):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        return ours(verge, old, new, folder), others(old, new, folder)


def table(verge):
    rows = ["| old → new | new file | zstd -19 --patch-from | bsdiff | xdelta3 -9 | Verge | of the best | bar | make s | apply s | apply MiB |",
            "|---|---|---|---|---|---|---|---|---|---|---|"]
    good = True
    for old, new in PAIRS:
        (size, made_s, applied_s, mib), theirs = compare(verge, old, new)
        ratio, bar = size / min(theirs.values()), BARS.get(new.name, 1)
        met = ratio <= bar and applied_s <= APPLY_S and mib <= APPLY_MIB
        good = good and met
        rows.append(f"| {old.name} → {new.name} | {new.stat().st_size:,} | " + " | ".join(f"{n:,}" for n in theirs.values()) +
                    f" | {size:,} | {ratio:.3f} | {bar} {'met' if met else '**missed**'} | {made_s:.1f} | {applied_s:.2f} | {mib:.0f} |")
        print(rows[-1], file=sys.stderr, flush=True)
    return rows, good


def every_pair(verge):
    files = sorted(file for file in MODELS.rglob("*") if file.suffix in FORMATS)
    pairs = [(a, b) for a, b in itertools.permutations(files, 2) if a.suffix == b.suffix]
    worst, larger, ours_total, best_total = (0, None), [], 0, 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {pool.submit(compare, verge, a, b): (a, b) for a, b in pairs}
        for number, done in enumerate(concurrent.futures.as_completed(running), 1):
            (size, *_), theirs = done.result()
            a, b = running[done]
            best = min(theirs.values())
            ours_total, best_total = ours_total + size, best_total + best
            worst = max(worst, (size / best, f"{a.name} → {b.name}"))
            if size > best:
                larger.append(f"{a.name} → {b.name}: {size} against {min(theirs, key=theirs.get)}'s {best}")
                print(larger[-1], file=sys.stderr, flush=True)
            if number % 25 == 0:
                print(f"{number} of {len(pairs)} pairs", file=sys.stderr, flush=True)
    print(f"{len(pairs)} pairs of real models of one format: all come back as they were; {len(larger)} larger than the best of "
          f"zstd -19, bsdiff and xdelta3 -9; together {ours_total / best_total:.3f} of the best; worst {worst[0]:.3f} ({worst[1]})")
    return not larger


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--all", action="store_true", help="every pair; writes nothing")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "documentation/benchmarks/delta.md")
    arguments = parser.parse_args()
    if not MODELS.is_dir() or shutil.which("bsdiff") is None:
        sys.exit(f"needs the real models at {MODELS}, and bsdiff, zstd and xdelta3")
    verge = arguments.build / "bin/verge"
    if arguments.all:
        sys.exit(0 if every_pair(verge) else 1)
    rows, good = table(verge)
    arguments.output.write_text("\n".join([
        "# Deltas", "", f"`./dev bench delta` on {datetime.date.today()}, commit {commit()}, {machine()}. Bytes.", "", *rows, "",
        f"Applying has a bar of {APPLY_S} s and {APPLY_MIB} MiB, the program itself included. `./dev verify delta` takes every pair",
        "of models of one format; its result is in [verify.md](verify.md)."]) + "\n")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
