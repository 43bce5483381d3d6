"""Links to a hub that do harm: a proxy that cuts, delays and refuses, and one that has the hub's key and lies."""

import http.client
import json
import random
import socket
import socketserver
import ssl
import threading
import time

LENGTH_LIES = ("cut", "longer", "less", "more", "wrong_total")


class ConnectProxy:
    """An HTTP proxy (CONNECT) at `url`; serve() gets each connection. Its chances come from `seed`."""

    def __init__(self, seed):
        proxy, self.random, self.lock = self, random.Random(seed), threading.Lock()

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                try:
                    proxy.serve(self)
                except (OSError, http.client.HTTPException):
                    pass  # The device has gone, or the hub has.

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def dice(self, kind, *arguments):
        with self.lock:
            return getattr(self.random, kind)(*arguments)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class HostileProxy(ConnectProxy):
    """An HTTP proxy (CONNECT) for one hub. `cut`: mean bytes from the hub until a tunnel is cut, 0: never. `refuse`: part of
    the tunnels that is answered with 503. `delay_s`: longest pause before a piece is passed on."""

    def __init__(self, seed=1, cut=0, refuse=0.0, delay_s=0.0):
        self.cut, self.refuse, self.delay_s, self.tunnels, self.cuts, self.refused, self.passed = cut, refuse, delay_s, 0, 0, 0, 0
        super().__init__(seed)

    def serve(self, handler):
        line = handler.rfile.readline().decode()
        while handler.rfile.readline().strip():
            pass
        assert line.startswith("CONNECT "), line
        host, port = line.split()[1].rsplit(":", 1)
        if self.refuse and self.dice("random") < self.refuse:
            self.refused += 1
            handler.wfile.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            return
        self.tunnels += 1
        hub = socket.create_connection((host.strip("[]"), int(port)))
        handler.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        handler.wfile.flush()
        back = threading.Thread(target=self.copy, args=(handler.connection, hub, None), daemon=True)
        back.start()
        self.copy(hub, handler.connection, int(self.dice("expovariate", 1 / self.cut)) + 1 if self.cut else None)
        for side in (hub, handler.connection):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        back.join(timeout=5)
        hub.close()

    def copy(self, source, target, limit):
        try:
            while piece := source.recv(16384):
                if limit is not None:
                    if self.delay_s:
                        time.sleep(self.dice("uniform", 0, self.delay_s))
                    if limit <= len(piece):
                        target.sendall(piece[:limit])
                        self.cuts += 1
                        return
                    limit -= len(piece)
                    self.passed += len(piece)
                target.sendall(piece)
        except OSError:
            pass


class LyingLink(ConnectProxy):
    """An HTTP proxy (CONNECT) between one device that has joined and its hub. Every `lie_every`-th answer with much content
    of a blob has a wrong length, in one of LENGTH_LIES after the other; every `fail_every`-th answer for a blob is a 5xx or
    429. Pieces of what is passed on wait up to `delay_s`; at most `rate` bytes a second."""

    def __init__(self, hub, device, seed=1, lie_every=2, fail_every=6, delay_s=0.002, rate=20 << 20):
        self.told = dict.fromkeys(LENGTH_LIES, 0)
        self.lie_every, self.fail_every, self.delay_s, self.rate = lie_every, fail_every, delay_s, rate
        self.blobs = self.large = self.refused = self.passed = 0
        self.hub, identity = hub, device.state / "identity"
        certificate = device.folder / "certificate.pem"
        certificate.write_text(json.loads((identity / "identity.json").read_text())["certificate"])
        self.upstream = hub.tls((certificate, identity / "device.key"))
        self.server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_side.load_cert_chain(hub.folder / "tls" / "server.pem", hub.folder / "tls" / "server_key.pem")
        self.server_side.load_verify_locations(hub.ca)
        self.server_side.verify_mode = ssl.CERT_OPTIONAL

        super().__init__(seed)

    def serve(self, handler):
        assert handler.rfile.readline().startswith(b"CONNECT ")
        while handler.rfile.readline().strip():
            pass
        handler.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        handler.wfile.flush()
        with self.server_side.wrap_socket(handler.connection, server_side=True) as device:
            requests = device.makefile("rb")
            hub = http.client.HTTPSConnection("127.0.0.1", self.hub.port, context=self.upstream, timeout=70)
            while line := requests.readline().decode().split():
                headers = {}
                while header := requests.readline().decode().strip():
                    name, value = header.split(":", 1)
                    headers[name.strip().lower()] = value.strip()
                body = requests.read(int(headers.get("content-length", 0)))
                if not self.answer(device, hub, line[0], line[1], headers, body):
                    return

    def answer(self, device, hub, method, path, headers, body):
        """Whether the connection is still good for another request."""
        is_blob = path.startswith("/api/v1/device/blobs/")
        self.blobs += is_blob
        if is_blob and self.blobs % self.fail_every == 0:
            self.refused += 1
            status = self.dice("choice", (500, 502, 503, 429))
            retry = "Retry-After: 1\r\n" if status in (503, 429) else ""
            device.sendall(f"HTTP/1.1 {status} No\r\n{retry}Content-Length: 9\r\n\r\nnot today".encode())
            return True
        hub.request(method, path, body or None, {name: headers[name] for name in headers if name in ("range", "content-type", "accept")})
        answer = hub.getresponse()
        content = answer.read()
        lie = None
        if is_blob and answer.status in (200, 206) and len(content) > 4096:
            self.large += 1
            if self.large % self.lie_every == 0:
                lie = LENGTH_LIES[self.large // self.lie_every % len(LENGTH_LIES)]
                self.told[lie] += 1
        length, part = len(content), self.dice("randint", 1, max(len(content) - 1, 1))
        told = {"longer": length + part, "less": part, "more": length + 777}.get(lie, length)
        head = [f"HTTP/1.1 {answer.status} {answer.reason}", f"Content-Length: {told}"]
        for name in ("content-type", "content-range", "accept-ranges"):
            if value := answer.headers.get(name):
                head.append(f"{name}: {value if lie != 'wrong_total' or name != 'content-range' else value.rsplit('/')[0] + '/5'}")
        device.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        if lie in ("cut", "less"):
            content = content[:part]
        if lie == "more":
            content += 777 * b"x"
        self.send(device, content)
        return lie not in ("cut", "longer")

    def send(self, device, content):
        for at in range(0, len(content), 65536):
            piece = content[at:at + 65536]
            time.sleep(self.dice("uniform", 0, self.delay_s) + len(piece) / self.rate)
            device.sendall(piece)
            self.passed += len(piece)
