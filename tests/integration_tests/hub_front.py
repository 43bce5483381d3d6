"""The hub's side of the two documents without a hub: devices are told what to run, and what they report is kept."""

import http.server
import json
import threading
import time
import urllib.parse


class HubFront:
    """Serves on 127.0.0.1:`port` (0: any). `context`: TLS that asks for a device's certificate. `desired` is what
    devices are to run; `handler`, a class below Handler, answers for metadata and blobs."""

    def __init__(self, context, handler, port=0):
        self.desired, self.version, self.reports = [], 1000, []
        self.reported = threading.Condition()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port),
                                                      lambda *arguments: handler(self, *arguments))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def want(self, *applications):
        self.desired = list(applications)
        self.version += 1


class Handler(http.server.BaseHTTPRequestHandler):
    """`metadata(name)` and `blob(digest)` are a subclass's: the content, or None where there is none; one that has
    answered by itself gives Handler.ANSWERED."""

    protocol_version = "HTTP/1.1"
    ANSWERED = object()

    def __init__(self, hub, *arguments):
        self.hub = hub
        super().__init__(*arguments)

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        report = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(200, json.dumps({"continuation": "c", "desired_version": self.hub.version,
                                     "time_ms": int(time.time() * 1000)}).encode())
        with self.hub.reported:
            self.hub.reports.append(report)
            self.hub.reported.notify_all()

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/api/v1/device/desired":
            return self.wait_for_news()
        if path.startswith("/api/v1/device/blobs/"):
            content = self.blob(path.rpartition("/")[2])
        elif path.startswith("/tuf/metadata/"):
            content = self.metadata(path.removeprefix("/tuf/metadata/"))
        else:
            content = None
        if content is self.ANSWERED:
            return None
        if content is None:
            return self.answer(404, b'{"error": "none", "id": "VRG-TUF-011"}', [("Content-Type", "application/json")])
        return self.answer(200, content)

    def wait_for_news(self):
        query = dict(urllib.parse.parse_qsl(self.path.partition("?")[2]))
        end = time.monotonic() + 5
        while time.monotonic() < end:
            if self.hub.version > int(query["after"]):
                return self.answer(200, json.dumps({"version": self.hub.version, "device": "cam-1",
                                                    "applications": self.hub.desired}).encode())
            time.sleep(0.02)
        return self.answer(204)
