"""Spools: a real broker and a real receiver go away, the agent is killed, the disk is full: what becomes of events is known."""

import contextlib
import json
import subprocess
import threading
import time

import pytest

from conftest import BUILD
from fleet import DOG, fake_package, wait_for
from pipeline_peers import Broker, Webhook

EVENTS = 60


@pytest.fixture
def hook():
    server = Webhook()
    yield server
    server.close()


@pytest.fixture
def start(agent, tmp_path):
    """Starts an agent with a log of its own; the one before has ended."""
    def start(text):
        log = tmp_path / "agent.log"
        if log.exists():
            log.rename(tmp_path / f"agent-{len(list(tmp_path.glob('agent-*.log')))}.log")
        return agent(text)
    return start


def configuration(sink, more=""):
    return f"""version: 1
api: {{ port: 0 }}
state_directory: state
{more}
models: [{{ package: fake-1.0.0 }}]
pipelines:
  - name: gate
    source: {{ http: }}
    queue: 1024
    models: [{{ model: fake }}]
    sinks: [{sink}]
"""


def webhook(hook, spool="durable_after_ms: 50"):
    return f'{{ webhook: {{ url: "{hook.url}", spool: {{ {spool} }} }} }}'


def sink(agent):
    return agent.json("/pipelines/gate")[1]["sinks"][0]


def post(agent, count):
    for _ in range(count):
        wait_for(lambda: agent.request("/pipelines/gate/samples", DOG)[0] == 202, what="room for a sample")


def settled(agent):
    """Once all samples have become events, and the disk has them."""
    wait_for(lambda: agent.json("/pipelines/gate")[1]["predicted"] == settled.expected, what="events")
    time.sleep(0.3)


def kill(agent):
    agent.process.kill()
    agent.process.wait()


def in_order(events):
    """The frames, in order; each stream's numbers go up, and what comes twice comes with the number that it had."""
    seen, newest, frames = {}, 0, []
    for event in events:
        key = (event["stream"], event["sequence"])
        if key in seen:
            assert seen[key] == event
            continue
        assert event["sequence"] > newest
        seen[key], newest = event, event["sequence"]
        frames.append(event["frame"])
    return frames


def run_and_kill(start, text, runs):
    """Runs that end by SIGKILL while the receiver is away; the last one goes on."""
    for run in range(runs):
        running = start(text)
        post(running, EVENTS)
        settled.expected = EVENTS
        settled(running)
        assert sink(running)["waiting"] == EVENTS * (run + 1)
        if run + 1 < runs:
            kill(running)
    return running


def test_a_receiver_that_is_away_while_the_agent_is_killed_gets_all_in_order(start, tmp_path, hook):
    fake_package(tmp_path, "fake", "1.0.0")
    hook.status = 503
    running = run_and_kill(start, configuration(webhook(hook)), 4)
    hook.status = 200
    wait_for(lambda: sink(running)["waiting"] == 0, 90, "delivery")
    assert in_order(hook.events) == 4 * list(range(EVENTS))
    assert len({event["stream"] for event in hook.events}) == 1
    counts = sink(running)["spool"]
    assert counts["delivered"] == 4 * EVENTS and sum(counts["dropped"].values()) == 0
    metrics = running.request("/metrics")[1].decode()
    assert 'verge_spool_records_total{kind="webhook",pipeline="gate",result="delivered",sink="0"} 240' in metrics
    assert 'verge_spool_waiting{kind="webhook",pipeline="gate",sink="0"} 0' in metrics
    time.sleep(1.5)  # By then the disk knows what was delivered: nothing of it comes again.
    kill(running)
    again = start(configuration(webhook(hook)))
    assert sink(again)["spool"]["stored"] == 4 * EVENTS
    post(again, 1)
    wait_for(lambda: len(hook.events) == 4 * EVENTS + 1, what="one more")


def test_a_broker_that_is_away_while_the_agent_is_killed_gets_all_in_order(start, tmp_path):
    broker = Broker(tmp_path)
    fake_package(tmp_path, "fake", "1.0.0")
    (tmp_path / "broker.txt").write_text("device:se:cret\n")
    text = configuration(f"{{ mqtt: {{ broker: {{ host: 127.0.0.1, port: {broker.port}, credentials: broker.txt }}, topic: gate, "
                         f"spool: {{ durable_after_ms: 50 }} }} }}")
    broker.start()
    session = ["-i", "keeper", "-c", "-t", "gate", "-q", "1"]
    broker.client("mosquitto_sub", *session, "-E")
    broker.stop()
    running = run_and_kill(start, text, 4)
    broker.start()
    try:
        arrived = []
        with subprocess.Popen(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(broker.port), "-u", "device", "-P", "se:cret",
                               *session], stdout=subprocess.PIPE, text=True) as listener:
            threading.Thread(target=lambda: arrived.extend(map(json.loads, listener.stdout)), daemon=True).start()
            wait_for(lambda: len({(e["stream"], e["sequence"]) for e in arrived}) == 4 * EVENTS, 90, "messages")
            wait_for(lambda: sink(running)["waiting"] == 0, what="acknowledgements")
            time.sleep(1.5)  # By then the disk knows what was acknowledged: nothing of it comes again.
            kill(running)
            listener.terminate()
        assert in_order(arrived) == 4 * list(range(EVENTS))
    finally:
        broker.stop()
    again = start(text)
    assert sink(again)["waiting"] == 0 and sink(again)["spool"]["delivered"] == 4 * EVENTS


@pytest.mark.parametrize("drop", ["oldest", "newest"])
def test_what_there_is_no_room_for_goes_as_stated_and_is_counted(start, tmp_path, hook, drop):
    fake_package(tmp_path, "fake", "1.0.0")
    hook.status = 503
    running = start(configuration(webhook(hook, f"max_bytes: 262144, durable_after_ms: 20, drop: {drop}")))
    sent = 2500
    post(running, sent)
    wait_for(lambda: running.json("/pipelines/gate")[1]["predicted"] == sent, what="events")
    on_disk = sum(file.stat().st_size for file in (tmp_path / "state/spool").rglob("*.segment"))
    assert on_disk <= 262144
    hook.status = 200
    try:
        wait_for(lambda: sink(running)["waiting"] == 0, 90, "delivery")
    except AssertionError as error:
        raise AssertionError(f"{sink(running)} after {len(hook.events)} events") from error
    counts = sink(running)["spool"]
    assert counts["stored"] == sent and counts["dropped"]["full"] > 200
    assert counts["delivered"] + counts["dropped"]["full"] == sent
    frames = in_order(hook.events)
    assert len(frames) == counts["delivered"]
    if drop == "oldest":  # But for the one that was on its way all the time.
        assert frames[-300:] == list(range(sent - 300, sent))
    else:
        assert frames[:300] == list(range(300))


def test_a_full_disk_is_told_once_and_events_go_on(start, tmp_path, hook):
    disk = tmp_path / "state"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no right to mount a small disk; tests/unit_tests/spool has it on a modelled one")
    try:
        fake_package(tmp_path, "fake", "1.0.0")
        hook.status = 503
        running = start(configuration(webhook(hook)))
        post(running, 20)
        settled.expected = 20
        settled(running)
        filler = disk / "filler"
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        post(running, 40)
        running.wait("a spool cannot be written")
        assert sink(running)["spool"]["disk_trouble"] and sink(running)["waiting"] == 60
        time.sleep(6)  # Over another try.
        assert running.log.count("a spool cannot be written") == 1
        filler.unlink()
        running.wait("a spool is written to the disk again", 30)
        kill(running)
        hook.status = 200
        again = start(configuration(webhook(hook)))
        wait_for(lambda: sink(again)["waiting"] == 0, what="delivery")
        assert in_order(hook.events) == list(range(60))
        assert again.stop() == 0
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


def test_encrypted_it_has_nothing_in_plain_and_switching_loses_nothing(start, tmp_path, hook):
    fake_package(tmp_path, "fake", "1.0.0")
    hook.status = 503
    sealed = "at_rest: { key: file, lock: best_effort }"

    def stored():
        return b"".join(file.read_bytes() for file in (tmp_path / "state/spool").rglob("*.segment"))

    def keys(*arguments):
        return subprocess.run([BUILD / "bin/verge-agent", "--config", tmp_path / "edge_config.yaml", "keys", *arguments],
                              check=True, capture_output=True, text=True, timeout=60).stdout
    total = 0
    for more in ("", sealed, sealed, "", sealed):
        running = start(configuration(webhook(hook), more))
        assert sink(running)["waiting"] == total
        assert (b'"pipeline"' in stored()) == (total > 0 and more == "")
        post(running, 10)
        settled.expected = 10
        settled(running)
        total += 10
        assert (b'"pipeline"' in stored()) == (more == "")
        assert running.stop() == 0
        if total == 20:
            before = stored()
            keys("rotate")
            assert keys("status").count("data key") == 2
        if total == 30:
            assert stored() != before
            wait_for(lambda: keys("status").count("data key") == 1, what="old key forgotten")
    hook.status = 200
    running = start(configuration(webhook(hook), sealed))
    wait_for(lambda: sink(running)["waiting"] == 0, what="delivery")
    assert in_order(hook.events) == 5 * list(range(10))
    hook.status = 503
    post(running, 5)
    settled.expected = 5
    settled(running)
    assert running.stop() == 0
    keys("reset")
    assert not list((tmp_path / "state/spool").rglob("*.segment"))


def test_a_spool_belongs_to_its_receiver(start, tmp_path, hook):
    fake_package(tmp_path, "fake", "1.0.0")
    hook.status = 503
    running = start(configuration(webhook(hook)))
    post(running, 10)
    settled.expected = 10
    settled(running)
    other = Webhook()
    try:
        # A reload with another sink in front: the first one's events are still its own.
        text = configuration(f'{webhook(other)}, {{ webhook: {{ url: "{hook.url}", timeout_ms: 5000, spool: {{}} }} }}')
        (tmp_path / "edge_config.yaml").write_text(text)
        running.process.send_signal(1)
        running.wait("reloaded")
        hook.status = 200
        wait_for(lambda: len(hook.events) == 10, what="events of before")
        post(running, 1)
        wait_for(lambda: len(hook.events) == 11 and len(other.events) == 1, what="new event")
        assert in_order(hook.events) == [*range(10), 0]
    finally:
        other.close()


def test_without_a_place_it_is_refused(tmp_path, hook):
    fake_package(tmp_path, "fake", "1.0.0")
    text = configuration(webhook(hook)).replace("state_directory: state\n", "")
    (tmp_path / "edge_config.yaml").write_text(text)
    done = subprocess.run([BUILD / "bin/verge-agent", "--check", "--config", tmp_path / "edge_config.yaml"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "needs a 'state_directory'" in done.stderr and "VRG-AGT-002" in done.stderr


def test_it_spares_the_disk(start, tmp_path, hook):
    """While the receiver keeps up, next to nothing is written; while it is away, a sync a second at most."""
    fake_package(tmp_path, "fake", "1.0.0")
    running = start(configuration(webhook(hook, "")))

    def number(name):
        text = running.request("/metrics")[1].decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + "{"))
    post(running, 1)
    wait_for(lambda: len(hook.events) == 1, what="event")
    before = number("verge_spool_syncs_total"), number("verge_spool_written_bytes_total")
    for _ in range(400):
        post(running, 1)
        time.sleep(0.01)
    wait_for(lambda: len(hook.events) == 401, what="events")
    assert number("verge_spool_syncs_total") - before[0] <= 3
    assert number("verge_spool_written_bytes_total") - before[1] < 10_000
    hook.status = 503
    began = time.monotonic()
    before = number("verge_spool_syncs_total")
    for _ in range(400):
        post(running, 1)
        time.sleep(0.01)
    assert number("verge_spool_syncs_total") - before <= (time.monotonic() - began) * 1.2 + 3
