"""gRPC clients that ask all the time, for tests of what they notice."""

import itertools
import threading
import time

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc


class GrpcLoad:
    """Calls that arrive by schedule, whether those before have been answered or not, over a few connections in turn.

    No retries are asked for: gRPC sends again only what has not left the client, or what the server says it has not seen
    (with "grpc.enable_retries" 0 not even that: what is about to be sent as the server says GOAWAY fails). `answers`: (scheduled, seconds from then to the answer, status, details).
    """

    def __init__(self, address, request, rate, connections=4, credentials=None):
        options = [("grpc.use_local_subchannel_pool", 1)]
        opened = [grpc.secure_channel(address, credentials, options) if credentials
                  else grpc.insecure_channel(address, options) for _ in range(connections)]
        self.channels, self.request, self.rate = opened, request, rate
        self.answers, self.stopped = [], threading.Event()
        self.clock = threading.Thread(target=self.schedule, daemon=True)

    def __enter__(self):
        for channel in self.channels:
            grpc.channel_ready_future(channel).result(timeout=20)
        self.clock.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.clock.join()
        for channel in self.channels:
            channel.close()

    def schedule(self):
        stubs = itertools.cycle([service_pb2_grpc.GRPCInferenceServiceStub(channel) for channel in self.channels])
        calls, begin = [], time.monotonic()
        for number in itertools.count():
            at = begin + number / self.rate
            time.sleep(max(0, at - time.monotonic()))
            if self.stopped.is_set():
                break
            call = next(stubs).ModelInfer.future(self.request, timeout=60)
            call.add_done_callback(lambda done, at=at: self.note(at, done))
            calls.append(call)
        for call in calls:
            call.exception()  # Waits.

    def note(self, at, call):
        self.answers.append((at, time.monotonic() - at, call.code().name, call.details()))

    @property
    def lost(self):
        return [answer for answer in self.answers if answer[2] != "OK"]

    @property
    def longest_ms(self):
        return max(answer[1] for answer in self.answers) * 1000


def ask(model, name, datatype, shape, values):
    """A request with one input, as raw bytes."""
    request = service_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name=name, datatype=datatype, shape=shape)
    request.raw_input_contents.append(values)
    return request


def ask_identity(values=4):
    """A request for inference_models.identity() of so many values."""
    return ask("identity", "x", "FP32", [1, values], bytes(4 * values))
