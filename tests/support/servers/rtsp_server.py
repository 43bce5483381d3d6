"""An RTSP server (GStreamer's) that plays a test picture: rtsp_server.py FRAMES_PER_SECOND PORT [USER:PASSWORD]

Prints its address once it listens. Runs with the system's Python, which has GStreamer's bindings.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
server = GstRtspServer.RTSPServer(service=sys.argv[2], address="127.0.0.1")
if len(sys.argv) > 3:
    user, password = sys.argv[3].split(":")
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", user)
    auth = GstRtspServer.RTSPAuth()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(f"( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate={sys.argv[1]}/1 "
                   "! jpegenc ! rtpjpegpay name=pay0 pt=26 )")
factory.set_shared(True)
if len(sys.argv) > 3:
    factory.add_role_from_structure(Gst.Structure.new_from_string(
        f"{user}, media.factory.access=true, media.factory.construct=true"))
server.get_mount_points().add_factory("/camera", factory)
server.attach(None)
print(f"rtsp://127.0.0.1:{server.get_bound_port()}/camera", flush=True)
GLib.MainLoop().run()
