"""The demo: real models on real photographs, by the command line and by the agent's API.

    ./dev demo            leaves the agent running and prints its address
    ./dev demo --once     stops what it started

Writes predictions, masks and overlays to build/demo/ and ends with a table of latencies per stage.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PHOTOGRAPHS = ["astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg"]
MODELS = ["efficientnet_lite0", "selfie_segmentation", "unet_fashion"]
STAGES = ["decode", "preprocess", "infer", "postprocess"]
REPEATS = 20


def say(text):
    print(f"\n\033[1m==> {text}\033[0m" if sys.stdout.isatty() else f"\n==> {text}", flush=True)


def show(command):
    print("    $ " + " ".join(str(part).replace(str(ROOT) + "/", "") for part in command), flush=True)


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


class Demo:
    def __init__(self, build, output):
        self.build, self.output = build, output
        self.verge = build / "bin" / "verge"
        self.agent = None
        self.url = None

    def photographs(self):
        """Photographs that come with scikit-image, copied to where the user can look at them."""
        import skimage
        folder = self.output / "photographs"
        folder.mkdir(parents=True)
        for name in PHOTOGRAPHS:
            shutil.copy(pathlib.Path(skimage.__file__).parent / "data" / name, folder / name)
        return folder

    def segmented_pictures(self):
        """What each segmentation model is made for."""
        scenes = sorted((ROOT / "models" / "unet_fashion" / "golden").glob("scene?.png"))
        return {"selfie_segmentation": [self.output / "photographs" / "astronaut.png"], "unet_fashion": scenes}

    def command_line(self, folder):
        say("What is in the photographs? By the command line, no server needed")
        command = [self.verge, "run", ROOT / "models" / "efficientnet_lite0", "--folder", folder, "--state",
                   self.output / "state"]
        show(command)
        subprocess.run(command, check=True)
        for model, pictures in self.segmented_pictures().items():
            say(f"Which pixels? {model}, masks and overlays as pictures")
            command = [self.verge, "run", ROOT / "models" / model, "--image", *pictures, "--output", "image",
                       "--directory", self.output / model, "--state", self.output / "state"]
            show(command)
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            print(f"    {len(list((self.output / model).iterdir()))} pictures in {self.output.relative_to(ROOT)}/{model}")

    def start_agent(self):
        say("The same as a service: one agent, three models")
        config = self.output / "edge_config.yaml"
        models = "\n".join(f"  - package: {ROOT}/models/{name}" for name in MODELS)
        config.write_text(f"version: 1\napi: {{ port: 0 }}\nstate_directory: state\nmodels:\n{models}\n")
        log = open(self.output / "agent.log", "w")
        command = [self.build / "bin" / "verge-agent", "--config", config]
        show(command)
        self.agent = subprocess.Popen(command, stderr=log, start_new_session=True)
        for _ in range(600):
            found = re.search(r"ready.*url=(\S+)", (self.output / "agent.log").read_text())
            if found:
                self.url = found[1]
                return
            if self.agent.poll() is not None:
                sys.exit(f"the agent ended; see {self.output}/agent.log")
            time.sleep(0.1)
        sys.exit(f"the agent was not ready within a minute; see {self.output}/agent.log")

    def curl(self, folder):
        picture = folder / "chelsea.png"
        command = ["curl", "-s", "--data-binary", f"@{picture}", f"{self.url}/v2/models/efficientnet_lite0/predict"]
        show(command)
        answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        (self.output / "chelsea.json").write_text(json.dumps(answer, indent=2))
        print("    " + ", ".join(f"{c['label']} {c['score']:.3f}" for c in answer["classes"][:3]))
        overlay = self.output / "astronaut.overlay.png"
        command = ["curl", "-s", "-H", "Accept: image/png;view=overlay", "--data-binary", f"@{folder / 'astronaut.png'}",
                   f"{self.url}/v2/models/selfie_segmentation/predict", "-o", overlay]
        show(command)
        subprocess.run(command, check=True)
        if overlay.read_bytes()[:4] != b"\x89PNG":
            sys.exit(f"expected a picture, got {overlay.read_text()}")

    def table(self, folder):
        say(f"Latency in milliseconds, p50 / p99, {REPEATS} times {len(list(folder.iterdir()))} photographs, on "
            f"{os.cpu_count()} cores")
        bodies = [path.read_bytes() for path in sorted(folder.iterdir())]
        rows = [["model", "engine", *STAGES, "answer over HTTP"]]
        for model in MODELS:
            about = json.load(urllib.request.urlopen(f"{self.url}/v2/models/{model}"))
            times = {stage: [] for stage in [*STAGES, "all"]}
            for body in bodies * REPEATS:
                start = time.perf_counter()
                answer = json.load(urllib.request.urlopen(f"{self.url}/v2/models/{model}/predict", body))
                times["all"].append((time.perf_counter() - start) * 1000)
                for stage in STAGES:
                    times[stage].append(answer["latency_ms"][stage])
            cells = [f"{percentile(times[s], 0.5):.2f} / {percentile(times[s], 0.99):.2f}" for s in [*STAGES, "all"]]
            rows.append([model, about["parameters"]["choice"]["engine"], *cells])
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        text = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
        print(text)
        (self.output / "latency.txt").write_text(text + "\n")

    def stop(self):
        if self.agent and self.agent.poll() is None:
            self.agent.send_signal(signal.SIGTERM)
            self.agent.wait(timeout=20)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--once", action="store_true")
    arguments = parser.parse_args()
    pid_file = arguments.output.parent / "demo-agent.pid"
    stop_earlier(pid_file, arguments.build / "bin" / "verge-agent")
    shutil.rmtree(arguments.output, ignore_errors=True)
    demo = Demo(arguments.build, arguments.output)
    keep = False
    try:
        folder = demo.photographs()
        demo.command_line(folder)
        demo.start_agent()
        demo.curl(folder)
        demo.table(folder)
        keep = not arguments.once
        if keep:
            pid_file.write_text(str(demo.agent.pid))
            say(f"The agent goes on at {demo.url} (process {demo.agent.pid}; its log: build/demo/agent.log)")
            print(f"    Try: curl --data-binary @build/demo/photographs/coffee.png {demo.url}/v2/models/efficientnet_lite0/"
                  f"predict\n    Stop it: kill {demo.agent.pid}, or run the demo again")
        print(f"\nResults are in {arguments.output.relative_to(ROOT)}/")
    except KeyboardInterrupt:
        print("\nstopped")
        sys.exit(130)
    finally:
        if not keep:
            demo.stop()


def stop_earlier(pid_file, program):
    """Ends the agent that an earlier demo left running, and nothing else that may have its number now."""
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    pid_file.unlink()
    try:
        if os.readlink(f"/proc/{pid}/exe") == str(program):
            os.kill(pid, signal.SIGTERM)
    except OSError:
        pass


if __name__ == "__main__":
    main()
