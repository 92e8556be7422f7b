#!/usr/bin/env python3
# GradStreamer benchmark: the book's recipe in PyTorch, to hold our runs of it against
# SPDX-License-Identifier: LGPL-2.1-or-later
"""ResNet-18 on Fashion-MNIST as in "Dive into Deep Learning": pictures resized to 96x96 as torchvision does it (Pillow,
bilinear), batches of 256, Adam with a learning rate of 0.001, 5 epochs, PyTorch's own initialisation. Prints a line per
epoch: mean loss and accuracy of training, as it went, accuracy on the test set, seconds of both. The same with
GradStreamer: pipelines/resnet18-fashion-mnist.launch. Needs PyTorch, numpy and Pillow."""
import argparse
import json
import os
import time

import numpy
import torch
import torch.nn.functional as F
from PIL import Image

from resnet import network, read_idx

SAVE_INTERVAL = 120             # seconds

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", default="/usr/share/datasets/fashion-mnist", metavar="FOLDER", help="of the four .gz files")
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--batch", type=int, default=256)
parser.add_argument("--size", type=int, default=96)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="bf16: autocast")
parser.add_argument("--channels-last", action="store_true", help="faster than the book's NCHW, and the same otherwise")
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--train", type=int, metavar="N", help="the first N pictures to train with, instead of all")
parser.add_argument("--test", type=int, metavar="N", help="the first N pictures to test with, instead of all")
parser.add_argument("--json", metavar="FILE", help="where a line per epoch goes, too")
parser.add_argument("--state", metavar="FILE", help="kept every few minutes; if it is there, the run goes on from it")
args = parser.parse_args()


def load(name, n):
    """Pictures as they are in the file, labels"""
    folder = os.path.join(args.data, name)
    return read_idx(f"{folder}-images-idx3-ubyte.gz", n), torch.from_numpy(read_idx(f"{folder}-labels-idx1-ubyte.gz", n).astype(int))


def batches(data, order):
    """Pictures (N, 1, H, W) from 0 to 1 and labels"""
    pictures, labels = data
    for indices in order.split(args.batch):
        resized = numpy.stack([numpy.asarray(Image.fromarray(pictures[i]).resize((args.size,) * 2, Image.BILINEAR))
                               for i in indices])
        x = torch.from_numpy(resized)[:, None].float() / 255
        yield x.to(memory_format=layout), labels[indices]


def logits(x):
    with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
        return net(x).float()


def save():
    """All that is needed to go on: PyTorch's random state is needed between epochs only, and the order of this one is kept"""
    if args.state:
        torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict(), "random": torch.get_rng_state(), "at": at},
                   args.state + ".part")
        os.replace(args.state + ".part", args.state)


def train(data):
    """Goes on with the epoch"""
    net.train()
    start, saved = time.monotonic() - at["seconds"], time.monotonic()
    for x, y in batches(data, at["order"][at["done"]:]):
        optimizer.zero_grad()
        output = logits(x)
        loss = F.cross_entropy(output, y)
        loss.backward()
        optimizer.step()
        at["loss_sum"] += loss.item() * len(y)
        at["correct"] += (output.argmax(1) == y).sum().item()
        at["done"] += len(y)
        at["seconds"] = time.monotonic() - start
        if time.monotonic() > saved + SAVE_INTERVAL:
            save()
            saved = time.monotonic()


def test(data):
    """Accuracy"""
    net.eval()
    with torch.no_grad():
        correct = sum((logits(x).argmax(1) == y).sum().item() for x, y in batches(data, torch.arange(len(data[1]))))
    return correct / len(data[1])


torch.manual_seed(args.seed)
torch.set_num_threads(args.threads)
layout = torch.channels_last if args.channels_last else torch.contiguous_format
net = network().to(memory_format=layout)
optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
train_data, test_data = load("train", args.train), load("t10k", args.test)
print(f"PyTorch {torch.__version__}, {args.precision}, seed {args.seed}, batch {args.batch}, {args.size}x{args.size}, "
      f"{len(train_data[1])} pictures, {args.threads} threads", flush=True)
at = {"epoch": 0, "tested": True}
if args.state and os.path.exists(args.state):
    state = torch.load(args.state)
    net.load_state_dict(state["net"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    at = state["at"]
    print(f"going on in epoch {at['epoch']}, after {at['done']} pictures", flush=True)
n = len(train_data[1])
while at["epoch"] < args.epochs or not at["tested"]:
    if at["tested"]:
        at = {"epoch": at["epoch"] + 1, "tested": False, "order": torch.randperm(n), "done": 0, "loss_sum": 0, "correct": 0, "seconds": 0}
    train(train_data)
    start = time.monotonic()
    line = {"epoch": at["epoch"], "loss": at["loss_sum"] / n, "train_accuracy": at["correct"] / n, "test_accuracy": test(test_data),
            "train_seconds": at["seconds"], "test_seconds": time.monotonic() - start}
    print("epoch {epoch}: loss {loss:.4f}, train accuracy {train_accuracy:.4f}, test accuracy {test_accuracy:.4f}, "
          "{train_seconds:.1f} + {test_seconds:.1f} s".format(**line), flush=True)
    if args.json:
        with open(args.json, "w" if at["epoch"] == 1 else "a", encoding="utf-8") as file:
            file.write(json.dumps({"torch": torch.__version__, "precision": args.precision, "seed": args.seed, **line}) + "\n")
    at["tested"] = True
    save()
