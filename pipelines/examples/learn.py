#!/usr/bin/env python3
# GradStreamer example: watch a network learn
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Trains on Fashion-MNIST while a video is classified with the weights of each moment, in one process: two pipelines that share
a gradient bus. Prints what is seen whenever it changes, with the number of updates behind it."""
import argparse
import sys

import gi
gi.require_version("Gst", "1.0")
gi.require_version("Grad", "1.0")
from gi.repository import GLib, Grad, Gst  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", default="/usr/share/datasets/fashion-mnist", metavar="FOLDER", help="of the four .gz files")
parser.add_argument("--epochs", type=int, default=1)
parser.add_argument("--video", default="videotestsrc is-live=true", help="launch string of what to look at")
parser.add_argument("--sink", default="fakesink sync=true", help="such as: gradoverlay ! videoconvert ! autovideosink")
args = parser.parse_args()

CLASSES = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
TRAINING = f"""
  idxsrc location="{args.data}/train-images-idx3-ubyte.gz" labels="{args.data}/train-labels-idx1-ubyte.gz"
    class-names="{CLASSES}" batch-size=64 epochs={args.epochs}
  ! gradresize ! queue max-size-buffers=2
  ! gradconvstem channels=16 kernel-size=3 stride=1 ! gradresstage channels=16 blocks=1 first-block=true
  ! gradresstage channels=32 blocks=1 ! gradglobalpool ! gradfc units=10 ! gradloss ! gradadamsink learning-rate=0.003"""

Gst.init(None)
loop = GLib.MainLoop()
training = Gst.parse_launch(TRAINING)
video = Gst.parse_launch(f"{args.video} ! videoconvert ! gradclassify model-name=main ! {args.sink}")
bus = Grad.Bus.new()
seen = error = None


def on_message(_bus, message, pipeline):
    global error, seen
    if message.type == Gst.MessageType.ERROR:
        error = message.parse_error()[0].message
        loop.quit()
    elif message.type == Gst.MessageType.EOS:
        if pipeline is training:                    # the video may be shorter
            loop.quit()
    elif message.type == Gst.MessageType.ELEMENT and message.has_name("grad-classification"):
        result = message.get_structure()
        if result.get_string("label") not in (None, seen):
            seen = result.get_string("label")
            print(f"after {result.get_value('version'):5d} updates: {seen} ({result.get_value('probability'):.0%})", flush=True)


for pipeline in video, training:
    pipeline.set_context(bus.to_context())          # networks are shared by name over the bus
    pipeline.get_bus().add_signal_watch()
    pipeline.get_bus().connect("message", on_message, pipeline)
    pipeline.set_state(Gst.State.PLAYING)
try:
    loop.run()
except KeyboardInterrupt:
    pass
for pipeline in training, video:
    pipeline.set_state(Gst.State.NULL)
sys.exit(error and f"error: {error}")
