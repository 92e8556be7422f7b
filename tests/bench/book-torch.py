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


def train(data):
    """Mean loss and accuracy over the epoch"""
    net.train()
    loss_sum = correct = 0
    for x, y in batches(data, torch.randperm(len(data[1]))):
        optimizer.zero_grad()
        output = logits(x)
        loss = F.cross_entropy(output, y)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(y)
        correct += (output.argmax(1) == y).sum().item()
    return loss_sum / len(data[1]), correct / len(data[1])


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
for epoch in range(1, args.epochs + 1):
    start = time.monotonic()
    mean_loss, train_accuracy = train(train_data)
    trained = time.monotonic()
    line = {"epoch": epoch, "loss": mean_loss, "train_accuracy": train_accuracy, "test_accuracy": test(test_data),
            "train_seconds": trained - start, "test_seconds": time.monotonic() - trained}
    print("epoch {epoch}: loss {loss:.4f}, train accuracy {train_accuracy:.4f}, test accuracy {test_accuracy:.4f}, "
          "{train_seconds:.1f} + {test_seconds:.1f} s".format(**line), flush=True)
    if args.json:
        with open(args.json, "w" if epoch == 1 else "a", encoding="utf-8") as file:
            file.write(json.dumps({"torch": torch.__version__, "precision": args.precision, "seed": args.seed, **line}) + "\n")
