"""The demo: a hub, two devices and real models on real photographs, from the first prediction to the rollback.

    ./dev demo            leaves hub and devices running and prints the page's address
    ./dev demo --once     stops what it started

Everything it writes is in build/demo/; it ends with a table of what it measured.
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

import versions
from traffic import Traffic, percentile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PHOTOGRAPHS = ["astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg"]
DEVICES = {"cam-1": "camera", "gate-2": "gate"}
MODEL = "efficientnet_lite0"
STAGES = ["decode", "preprocess", "infer", "postprocess"]
RATE_HZ = 20


def say(title, *lines):
    print(f"\n\033[1m==> {title}\033[0m" if sys.stdout.isatty() else f"\n==> {title}", flush=True)
    for line in lines:
        print(f"    {line}", flush=True)


def table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


class Demo:
    def __init__(self, build, output):
        self.bin, self.output = build / "bin", output
        self.environment = {**os.environ, "VERGE_HUB_LOGIN": str(output / "login.json")}
        self.processes, self.agents, self.page, self.traffic, self.rows = {}, {}, None, None, []

    # --- programs -------------------------------------------------------------------------------------------------------

    def verge(self, *arguments, ok=(0,), quiet=False):
        """Runs the command line, showing the command and what it says."""
        print("    $ verge " + " ".join(str(a).replace(str(ROOT) + "/", "") for a in arguments), flush=True)
        done = subprocess.run([self.bin / "verge", *map(str, arguments)], env=self.environment, capture_output=True,
                              text=True)
        text = (done.stdout + done.stderr).rstrip()
        if text and not quiet:
            print("    " + text.replace("\n", "\n    "), flush=True)
        if done.returncode not in ok:
            sys.exit(f"'verge {arguments[0]}' ended with status {done.returncode}: {text}")
        return done.stdout

    def document(self, *arguments):
        done = subprocess.run([self.bin / "verge", *map(str, arguments), "--output", "json"], env=self.environment,
                              capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def start(self, name, program, *arguments):
        """Starts a program; gives the address in its line 'ready'."""
        log = self.output / f"{name}.log"
        with open(log, "w") as err, open(self.output / f"{name}.out", "w") as out:
            process = subprocess.Popen([self.bin / program, *map(str, arguments)], stderr=err, stdout=out,
                                       start_new_session=True)
        self.processes[name] = process
        end = time.monotonic() + 60
        while time.monotonic() < end:
            found = re.search(r"ready.*url=(\S+)", log.read_text())
            if found:
                return found[1]
            if process.poll() is not None:
                break
            time.sleep(0.02)
        sys.exit(f"{program} is not ready; see {log}")

    def stop(self):
        if self.traffic:
            self.traffic.running = False
        for process in reversed(self.processes.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            process.wait(timeout=30)

    # --- the story ------------------------------------------------------------------------------------------------------

    def photographs(self):
        """Photographs that come with scikit-image, copied to where the user can look at them."""
        import skimage
        folder = self.output / "photographs"
        folder.mkdir(parents=True)
        for name in PHOTOGRAPHS:
            shutil.copy(pathlib.Path(skimage.__file__).parent / "data" / name, folder / name)
        return folder

    def alone(self, folder):
        say("What is in the photographs? A model package and one command, no server")
        self.verge("run", ROOT / "models" / MODEL, "--folder", folder, "--state", self.output / "state")
        scenes = sorted((ROOT / "models" / "unet_fashion" / "golden").glob("scene?.png"))
        for model, pictures in {"selfie_segmentation": [folder / "astronaut.png"], "unet_fashion": scenes}.items():
            self.verge("run", ROOT / "models" / model, "--image", *pictures, "--output", "image", "--directory",
                       self.output / model, "--state", self.output / "state", quiet=True)
            print(f"    {len(list((self.output / model).iterdir()))} masks and overlays in build/demo/{model}")

    def start_hub(self):
        say("The hub: one program, no set-up; it makes its keys, its certificate and an administrator's token")
        self.page = self.start("hub", "verge-hub", "--data", self.output / "hub", "--port", 0)
        login = (self.output / "hub" / "login.txt").read_text().split()
        self.verge(*login[login.index("login"):][:2], *login[login.index("--fingerprint"):])
        say("Three models are pushed to it")
        for model in (MODEL, "selfie_segmentation", "unet_fashion"):
            self.verge("model", "push", ROOT / "models" / model)

    def start_devices(self):
        say("Two devices join, each with a file that is good once, and make their own keys")
        for name, kind in DEVICES.items():
            folder = self.output / name
            folder.mkdir()
            self.verge("device", "enrol", "--name", name, "--to", folder / "enrolment.json", quiet=True)
            (folder / "edge_config.yaml").write_text(
                "version: 1\napi: { port: 0 }\nstate_directory: state\n"
                f"device: {{ name: {name}, type: {kind}, labels: {{ site: demo }} }}\nhub: {{ enrolment: enrolment.json }}\n")
            self.agents[name] = self.start(name, "verge-agent", "--config", folder / "edge_config.yaml")
        end = time.monotonic() + 30
        while len(self.document("device", "list")["devices"]) < len(DEVICES) and time.monotonic() < end:
            time.sleep(0.05)
        self.verge("device", "list")

    def deploy(self, title, what, *options, ok=(0,)):
        """Deploys, and notes what it took on each device; gives the deployment."""
        begin = self.traffic.now() if self.traffic else 0
        start = time.perf_counter()
        self.verge("deploy", what, "--to", "all", *options, ok=ok)
        took = time.perf_counter() - start
        return self.note(title, begin, took)

    def note(self, title, begin, took):
        newest = self.document("deploy", "list")["deployments"][0]["deployment"]
        detail = self.document("deploy", "show", newest)
        for device in detail["devices"]:
            end = self.traffic.now() if self.traffic else 0
            answers = [a for a in self.traffic.between(begin, end) if a.agent == self.agents[device["device"]]] \
                if self.traffic else []
            numbers = device.get("numbers", {})
            self.rows.append([title, device["device"], device["state"], f"{device.get('bytes_fetched', 0):,}",
                              f"{took:.1f} s", f"{numbers['switch_ms']:.0f} ms" if "switch_ms" in numbers else "-",
                              str(len(answers)), str(sum(not a.ok for a in answers))])
        return newest

    def explain(self, deployment):
        self.verge("deploy", "explain", deployment, "cam-1")

    def predict(self, folder):
        say("Any program on the device asks over HTTP; the answer names the version that gave it")
        url = f"{self.agents['cam-1']}/v2/models/{MODEL}/predict"
        command = ["curl", "-s", "--data-binary", f"@{folder / 'chelsea.png'}", url]
        print("    $ " + " ".join(command).replace(str(ROOT) + "/", ""))
        answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        print(f"    version {answer['version']}: " + ", ".join(f"{c['label']} {c['score']:.3f}" for c in answer["classes"][:3]))

    def updates(self, folder):
        bodies = [path.read_bytes() for path in sorted(folder.iterdir())]
        made = self.output / "versions"
        made.mkdir()
        say(f"From now on {RATE_HZ} photographs a second go to the two devices, and nothing is asked twice")
        self.traffic = Traffic(list(self.agents.values()), f"/v2/models/{MODEL}/predict", bodies, RATE_HZ)
        time.sleep(3)
        say("1.1.0, over the air: only what changed travels; golden samples are run on the device before the switch")
        self.verge("model", "push", versions.better(ROOT / "models" / MODEL, made / "1.1.0", "1.1.0"))
        self.deploy("update to 1.1.0", f"{MODEL}@1.1.0", "--watch", 3)
        say("1.2.0 is mislabelled: its golden samples say so, and it never serves anybody")
        self.verge("model", "push", versions.mislabelled(ROOT / "models" / MODEL, made / "1.2.0", "1.2.0"))
        self.explain(self.deploy("1.2.0, mislabelled", f"{MODEL}@1.2.0", "--watch", 3, ok=range(1, 20)))
        say("1.3.0 is right but twice as slow: live traffic tells, and it takes itself back")
        self.verge("model", "push", versions.slower(ROOT / "models" / MODEL, made / "1.3.0", "1.3.0"))
        self.explain(self.deploy("1.3.0, slow", f"{MODEL}@1.3.0", "--watch", 30, "--max-latency-ratio", 1.5,
                                 ok=range(1, 20)))
        say("The administrator goes back to 1.0.0 by hand: it is still in each device's store, so nothing travels")
        begin, start = self.traffic.now(), time.perf_counter()
        self.verge("rollback", MODEL, "--to", "all")
        self.note("rollback to 1.0.0", begin, time.perf_counter() - start)
        time.sleep(1)
        self.verge("status")
        return self.traffic.stop()

    def report(self, folder, answers):
        lost = sum(not a.ok for a in answers)
        heading = ["what", "device", "ended", "bytes sent", "time", "switch", "requests", "lost"]
        parts = [table([heading, *self.rows])]
        by_version = {}
        for answer in answers:
            by_version.setdefault(answer.version, []).append(answer.latency_ms)
        parts.append(table([["version", "answers", "p50", "p99"], *(
            [str(version), str(len(times)), f"{percentile(times, 0.5):.1f} ms", f"{percentile(times, 0.99):.1f} ms"]
            for version, times in sorted(by_version.items(), key=lambda item: str(item[0])))]))
        rows = [["latency per stage (p50)", *STAGES]]
        for name, url in self.agents.items():
            times = {stage: [] for stage in STAGES}
            for body in [path.read_bytes() for path in sorted(folder.iterdir())] * 10:
                answer = json.load(urllib.request.urlopen(f"{url}/v2/models/{MODEL}/predict", body))
                for stage in STAGES:
                    times[stage].append(answer["latency_ms"][stage])
            rows.append([name, *(f"{percentile(times[stage], 0.5):.2f} ms" for stage in STAGES)])
        parts.append(table(rows))
        parts.append(f"requests: {len(answers)}, lost: {lost}")
        text = "\n\n".join(parts)
        say(f"What it took, on {os.cpu_count()} cores for hub, devices and traffic together")
        print(text)
        (self.output / "report.txt").write_text(text + "\n")
        if lost:
            sys.exit(f"expected no lost request, got {lost}")


def stop_earlier(pid_file, folder):
    """Ends what an earlier demo left running, and nothing else that may have its number now."""
    if not pid_file.exists():
        return
    for pid in pid_file.read_text().split():
        try:
            if pathlib.Path(os.readlink(f"/proc/{pid}/exe")).parent == folder:
                os.kill(int(pid), signal.SIGTERM)
        except OSError:
            pass
    pid_file.unlink()
    time.sleep(0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--once", action="store_true")
    arguments = parser.parse_args()
    pid_file = arguments.output.parent / "demo.pid"
    stop_earlier(pid_file, arguments.build / "bin")
    shutil.rmtree(arguments.output, ignore_errors=True)
    demo = Demo(arguments.build, arguments.output)
    keep = False
    try:
        folder = demo.photographs()
        demo.alone(folder)
        demo.start_hub()
        demo.start_devices()
        say("The first deployment: each device fetches, checks signatures and digests, tries it out, and switches")
        demo.explain(demo.deploy("first, 1.0.0", f"{MODEL}@1.0.0", "--watch", 0))
        demo.predict(folder)
        demo.report(folder, demo.updates(folder))
        keep = not arguments.once
        if keep:
            pid_file.write_text(" ".join(str(process.pid) for process in demo.processes.values()))
            token = (arguments.output / "hub" / "login.txt").read_text().split()[-1]
            say(f"Hub and devices go on. The page: {demo.page}/",
                f"its certificate is the hub's own, so the browser asks; the token is {token}",
                f"export VERGE_HUB_LOGIN={arguments.output}/login.json, then try 'build/dev/bin/verge status'",
                f"stop them: kill {pid_file.read_text()}, or run the demo again")
        print(f"\nResults are in {arguments.output.relative_to(ROOT)}/")
    except KeyboardInterrupt:
        print("\nstopped")
        sys.exit(130)
    finally:
        if not keep:
            demo.stop()


if __name__ == "__main__":
    main()
