# GradStreamer benchmarks: the book's ResNet-18 in PyTorch
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The book's network for PyTorch and as a launch string, its data set, and made-up ones."""
import gzip
import math
import os
import struct

LAUNCH = ("gradconvstem channels=64 ! gradresstage channels=64 first-block=true ! gradresstage channels=128"
          " ! gradresstage channels=256 ! gradresstage channels=512 ! gradglobalpool ! gradfc units=10")


def network():
    import torch.nn.functional as F
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, i, o, conv=False, stride=1):
            super().__init__()
            self.conv1 = nn.Conv2d(i, o, 3, padding=1, stride=stride)
            self.conv2 = nn.Conv2d(o, o, 3, padding=1)
            self.conv3 = nn.Conv2d(i, o, 1, stride=stride) if conv else None
            self.bn1, self.bn2 = nn.BatchNorm2d(o), nn.BatchNorm2d(o)

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            return F.relu(y + (self.conv3(x) if self.conv3 else x))

    def stage(i, o, first=False):
        return nn.Sequential(Residual(i, o, not first, 1 if first else 2), Residual(o, o))

    return nn.Sequential(nn.Conv2d(1, 64, 7, 2, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
                         stage(64, 64, True), stage(64, 128), stage(128, 256), stage(256, 512),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def read_idx(location, n=None):
    """The first n pictures or labels, or all, as a numpy array"""
    import numpy
    with gzip.open(location) as file:
        rank = file.read(4)[3]
        shape = struct.unpack(f">{rank}I", file.read(4 * rank))
        shape = (min(n or shape[0], shape[0]), *shape[1:])
        return numpy.frombuffer(file.read(math.prod(shape)), numpy.uint8).reshape(shape)


def write_data(folder, n_train, n_test):
    """IDX files named as Fashion-MNIST's, with made-up contents."""
    for name, n in (("train", n_train), ("t10k", n_test)):
        for kind, shape in (("images-idx3", (n, 28, 28)), ("labels-idx1", (n,))):
            images = len(shape) == 3
            with gzip.open(os.path.join(folder, f"{name}-{kind}-ubyte.gz"), "wb", 1) as f:
                f.write(struct.pack(">BBBB", 0, 0, 8, len(shape)) + struct.pack(f">{len(shape)}I", *shape))
                f.write(bytes((i * 7919 >> 3) % (256 if images else 10) for i in range(n * (784 if images else 1))))
