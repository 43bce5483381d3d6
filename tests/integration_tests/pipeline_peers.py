"""What the tests of pipelines talk to: cameras, brokers and webhooks, all real servers on this machine."""

import contextlib
import http.server
import io
import json
import pathlib
import socket
import subprocess
import threading
import time

from fleet import wait_for

SERVERS = pathlib.Path(__file__).resolve().parents[1] / "support" / "servers"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def jpeg(width=64, height=48, colour=(200, 30, 30)):
    from PIL import Image
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "JPEG")
    return out.getvalue()


class HttpCamera:
    """Sends Motion JPEG, `frames` pictures a connection, then cuts it. `sent` counts every picture that went out."""

    def __init__(self, frames, frames_per_second):
        camera = self
        self.sent, self.connections, self.open = 0, 0, True
        picture = jpeg()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if not camera.open:
                    return self.send_error(404)
                camera.connections += 1
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
                self.end_headers()
                for _ in range(frames):
                    self.wfile.write(b"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"
                                     % (len(picture), picture))
                    camera.sent += 1
                    time.sleep(1 / frames_per_second)
                self.wfile.write(b"--picture--\r\n")

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/camera.mjpeg"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Webhook:
    """Keeps what is posted to it; answers with `status`."""

    def __init__(self):
        hook = self
        self.events, self.status = [], 200

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if hook.status == 200:
                    hook.events.append(json.loads(body))
                self.send_response(hook.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/events"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Broker:
    """Mosquitto with a user and a password; its sessions outlive a restart. With `tls`, its files are in `folder`."""

    def __init__(self, folder, tls=False):
        self.port, self.process = free_port(), None
        self.folder = folder / "broker"
        self.folder.mkdir()
        passwords = self.folder / "passwords"
        subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "device", "se:cret"], check=True, capture_output=True)
        passwords.chmod(0o644)
        self.folder.chmod(0o777)
        self.config = self.folder / "mosquitto.conf"
        self.config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n"
                               f"persistence true\npersistence_location {self.folder}/\nuser root\n")
        if tls:
            self.make_certificates()
            with open(self.config, "a") as config:
                config.write(f"certfile {self.folder}/server.pem\nkeyfile {self.folder}/server.key\n")

    def make_certificates(self):
        def openssl(*arguments):
            subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=self.folder)
        for name in ("authority", "stranger"):
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    f"{name}.key", "-out", f"{name}.pem", "-days", 2, "-subj", f"/CN={name}")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key", "-out",
                "server.csr", "-subj", "/CN=127.0.0.1")
        (self.folder / "names").write_text("subjectAltName=IP:127.0.0.1")
        openssl("x509", "-req", "-in", "server.csr", "-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial",
                "-days", 2, "-extfile", "names", "-out", "server.pem")

    def start(self):
        self.process = subprocess.Popen(["/usr/sbin/mosquitto", "-c", self.config], stderr=open(self.folder / "log", "a"))

        def there():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        wait_for(there, what="broker")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=20)

    def client(self, name, *arguments, **options):
        return subprocess.run([name, "-h", "127.0.0.1", "-p", str(self.port), "-u", "device", "-P", "se:cret", *map(
            str, arguments)], timeout=60, check=True, **options)


class RtspCamera:
    """GStreamer's RTSP server with a test picture; with `user`, it asks for user and password."""

    def __init__(self, *credentials, port=0):
        # The system's Python, which has GStreamer's bindings.
        self.process = subprocess.Popen(["/usr/bin/python3", SERVERS / "rtsp_server.py", "20", str(port), *credentials],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = self.process.stdout.readline().strip()
        self.port = int(self.url.split(":")[2].split("/")[0])

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
