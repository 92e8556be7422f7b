#!/usr/bin/env python3
# GradStreamer example: an application that shows what a trained network sees in a file or a camera
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plays a video with the network's results over it, and prints them. Keys in the window: n takes the next model, q quits;
without a window (--headless), lines on standard input do the same."""
import argparse
import sys

import gi
gi.require_version("Gst", "1.0")
gi.require_version("Grad", "1.0")
from gi.repository import GLib, Grad, Gst  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("source", help="a file, an address such as rtsp://…, or a device such as /dev/video0")
parser.add_argument("models", nargs="+", help="model files: the first one is taken first")
parser.add_argument("--headless", action="store_true", help="no window")
parser.add_argument("--sync", action="store_true", help="each frame waits for its own result")
args = parser.parse_args()

Gst.init(None)
loop = GLib.MainLoop()
source = (f"v4l2src device={args.source}" if args.source.startswith("/dev/video") else
          f"uridecodebin uri={args.source if '://' in args.source else Gst.filename_to_uri(args.source)}")
sink = "fakesink sync=true" if args.headless else "videoconvert ! autovideosink"
pipeline = Gst.parse_launch(f"{source} ! videoconvert ! gradclassify name=classify ! gradoverlay ! {sink} name=sink")
classify = pipeline.get_by_name("classify")
classify.props.location = args.models[0]
classify.props.sync = args.sync
last = error = None


def next_model():
    args.models.append(args.models.pop(0))
    classify.props.location = args.models[0]        # read in the background; the video goes on
    print("model:", args.models[0], flush=True)


def command(key):
    if key == "n":
        next_model()
    elif key == "q":
        loop.quit()


def on_message(_bus, message):
    global error
    if message.type in (Gst.MessageType.EOS, Gst.MessageType.ERROR):
        if message.type == Gst.MessageType.ERROR:
            error = message.parse_error()[0].message
        loop.quit()
    elif message.type == Gst.MessageType.LATENCY:       # it has been measured by now
        pipeline.recalculate_latency()
    elif message.type == Gst.MessageType.WARNING:
        print("warning:", message.parse_warning()[0].message, file=sys.stderr)
    elif message.type == Gst.MessageType.ELEMENT and message.has_name("GstNavigationMessage"):
        event = message.get_structure().get_value("event")
        if event and event.get_structure().get_string("event") == "key-press":
            command(event.get_structure().get_string("key"))


def on_frame(_pad, info):
    """What any element behind gradclassify can do: look at the frame's metadata."""
    global last
    result = Grad.buffer_get_classification(info.get_buffer())
    if result and result.get_n_results() and result.get_label(0) != last:
        last = result.get_label(0)
        print(f"{result.get_pts() / Gst.SECOND:8.3f} s  {last}  {result.get_probability(0):.0%}", flush=True)
    return Gst.PadProbeReturn.OK


def on_line(stream, _condition):
    line = stream.readline()
    command(line.strip())
    return GLib.SOURCE_CONTINUE if line else GLib.SOURCE_REMOVE


bus = pipeline.get_bus()
bus.add_signal_watch()
bus.connect("message", on_message)
pipeline.get_by_name("sink").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, on_frame)
if args.headless:
    GLib.io_add_watch(sys.stdin, GLib.IO_IN | GLib.IO_HUP, on_line)
pipeline.set_state(Gst.State.PLAYING)
try:
    loop.run()
except KeyboardInterrupt:
    pass
pipeline.set_state(Gst.State.NULL)
sys.exit(error and f"error: {error}")
