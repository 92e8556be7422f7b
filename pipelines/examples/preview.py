#!/usr/bin/env python3
# GradStreamer example: a live picture for web browsers, with what a trained network sees in it
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Serves a video with the network's results over it as a stream of JPEG pictures, which any browser shows."""
import argparse
import http.server
import sys
import threading

import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("source", help="elements that give video, as for gst-launch-1.0: v4l2src, or 'uridecodebin uri=rtsp://…'")
parser.add_argument("model", help="a model file")
parser.add_argument("--host", default="127.0.0.1", help="the address to serve at; 0.0.0.0 is for all the network to see")
parser.add_argument("--port", type=int, default=8080)
args = parser.parse_args()
picture, changed = None, threading.Condition()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        last = None
        try:
            while True:
                with changed:       # a slow browser misses pictures; nobody waits for it
                    changed.wait_for(lambda: picture is not last)
                    last = picture
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(last), last))
        except ConnectionError:
            pass                    # it was closed


def on_sample(sink):
    global picture
    buffer = sink.emit("pull-sample").get_buffer()
    with changed:
        picture = buffer.extract_dup(0, buffer.get_size())
        changed.notify_all()
    return Gst.FlowReturn.OK


Gst.init(None)
pipeline = Gst.parse_launch(f"{args.source} ! videoconvert ! gradclassify name=classify ! gradoverlay ! videoconvert ! jpegenc "
                            "! appsink name=sink emit-signals=true max-buffers=1 drop=true")
pipeline.get_by_name("classify").props.location = args.model
pipeline.get_by_name("sink").connect("new-sample", on_sample)
server = http.server.ThreadingHTTPServer((args.host, args.port), Handler)
print(f"http://{args.host}:{server.server_port}/", flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
pipeline.set_state(Gst.State.PLAYING)
message = None
try:
    while not message:      # once a second, Python looks for Ctrl-C
        message = pipeline.get_bus().timed_pop_filtered(Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
except KeyboardInterrupt:
    pass
pipeline.set_state(Gst.State.NULL)
if message and message.type == Gst.MessageType.ERROR:
    sys.exit(f"error: {message.parse_error()[0].message}")
