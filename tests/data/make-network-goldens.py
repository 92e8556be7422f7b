#!/usr/bin/env python3
# GradStreamer tests: makes network-goldens.safetensors, what PyTorch computes, for network/parity
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: tests/data/make-network-goldens.py [FILE]

Needs PyTorch (Debian: python3-torch). Computes in double precision on the CPU.

The networks are narrow versions of the book's ResNet-18: convolution 7x7/2, batch norm, ReLU, max
pooling 3x3/2; four stages of two residual blocks, of which the later three start by halving size
through a stride of 2 and a 1x1 convolution; global average pooling, fully connected layer of 10;
all convolutions with bias.

Nothing random is stored. Both sides make it: element i of the tensor with seed s is low + (high -
low) u in single precision, with u the upper 24 bits of splitmix64 in its (i+1)th step from s
0x9e3779b97f4a7c15 + 1.
  picture batch b      seed 1000 + b, in [0, 1); labels (7 i + 3 b) mod 10; sizes 6, 6, 6, 4 and
                       again
  parameter number p   seed p, in +-1/sqrt (values per output) for weights of convolutions and the
                       fully connected layer, +-0.1 for biases, [0.5, 1.5) for weights of batch
                       norms; numbers as in PARAMETERS below
  moments              seeds 100 + p in +-0.001 and 200 + p in [1e-8, 1e-6); zero for biases in
                       front of a norm
  projection j         seed 300 + j, in [-1, 1)

Contents, all F64; a summary of a tensor is its norm and its scalar products with four projections:
  CASE/loss            (20) losses of free Adam steps with a learning rate of 1e-5, before updates
  CASE/evaluation      (1) loss of batch 3 by running statistics after them
  CASE/statistic/NAME  (5) summaries of running means and variances after them
  CASE/step/loss       (1) loss of batch 3, from moments as above after 10 updates, learning rate
                       1e-3
  CASE/step/grad/NAME, CASE/step/update/NAME   (5) summaries of gradients, of what the update adds
and for the smallest network the same step from where PyTorch is after 10 free updates with a
learning rate of 1e-3: trained/loss, trained/grad/NAME, trained/update/NAME, and F32:
trained/value/NAME, trained/m/NAME, trained/v/NAME."""
import json
import os
import struct
import sys

import numpy
import torch
from torch import nn
from torch.nn import functional

CASES = {
    'narrow-28': ([8, 8, 16, 16], 28),
    'blocks-28': ([16, 16, 32, 32], 28),
    'blocks-96': ([16, 16, 32, 32], 96),
}
SMALLEST = ([4, 4, 8, 8], 28)
BATCHES = [6, 6, 6, 4]
STEPS = 20


def random(shape, seed, low, high):
    n = int(numpy.prod(shape))
    with numpy.errstate(over='ignore'):
        golden = numpy.uint64(0x9e3779b97f4a7c15)
        z = golden * numpy.uint64(seed) + numpy.uint64(1) \
            + golden * numpy.arange(1, n + 1, dtype=numpy.uint64)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xbf58476d1ce4e5b9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94d049bb133111eb)
        z ^= z >> numpy.uint64(31)
    low, high = numpy.float32(low), numpy.float32(high)
    u = ((z >> numpy.uint64(40)) / 16777216.0).astype(numpy.float32)
    return torch.from_numpy((low + (high - low) * u).reshape(shape)).double()


class Residual(nn.Module):
    def __init__(self, inputs, channels, halve):
        super().__init__()
        # registered in the order of PARAMETERS
        if halve:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride=2))
        self.conv1 = nn.Conv2d(inputs, channels, 3, padding=1, stride=2 if halve else 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.halve = halve

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functional.relu(y + (self.downsample(x) if self.halve else x))


class Network(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels[0], 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(channels[0])
        inputs = channels[0]
        for i, outputs in enumerate(channels):
            setattr(self, f'layer{i + 1}', nn.Sequential(
                Residual(inputs, outputs, i > 0), Residual(outputs, outputs, False)))
            inputs = outputs
        self.fc = nn.Linear(inputs, 10)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.fc(x.mean((2, 3)))


def parameters(net):
    """PARAMETERS: all trainable ones in the order of the network, a shortcut before its block"""
    return list(net.named_parameters())


def is_dead(name):
    """bias in front of a norm: its gradient is zero, but for PyTorch's rounding"""
    return name.endswith('.bias') and 'conv' in name.split('.')[-2]


def start(channels):
    net = Network(channels).double()
    with torch.no_grad():
        for number, (name, p) in enumerate(parameters(net)):
            if name.endswith('.bias'):
                bounds = -0.1, 0.1
            elif p.dim() == 1:
                bounds = 0.5, 1.5
            else:
                bound = numpy.float32(1 / numpy.sqrt(p.numel() // p.shape[0]))
                bounds = -bound, bound
            p.copy_(random(p.shape, number, *bounds))
    return net


def batch(number, size):
    b = number % len(BATCHES)
    n = BATCHES[b]
    return (random((n, 1, size, size), 1000 + b, 0, 1),
            torch.tensor([(7 * i + 3 * b) % 10 for i in range(n)]))


def step(net, optimizer, number, size):
    x, labels = batch(number, size)
    optimizer.zero_grad()
    loss = functional.cross_entropy(net(x), labels)
    loss.backward()
    optimizer.step()
    return loss.item()


def summary(tensor):
    flat = tensor.detach().flatten()
    return [flat.norm().item()] + [
        (flat * random(flat.shape, 300 + j, -1, 1)).sum().item() for j in range(4)]


def single_step(entries, case, net, optimizer, size):
    before = {name: p.detach().clone() for name, p in parameters(net)}
    entries[f'{case}/loss'] = [step(net, optimizer, 3, size)]
    for name, p in parameters(net):
        if not is_dead(name):
            entries[f'{case}/grad/{name}'] = summary(p.grad)
            entries[f'{case}/update/{name}'] = summary(p - before[name])


def free_steps(entries, case, channels, size):
    net = start(channels)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-5)
    entries[f'{case}/loss'] = [step(net, optimizer, i, size) for i in range(STEPS)]
    for name, buffer in net.named_buffers():
        if 'running' in name:
            entries[f'{case}/statistic/{name}'] = summary(buffer)
    x, labels = batch(3, size)
    net.eval()
    entries[f'{case}/evaluation'] = [functional.cross_entropy(net(x), labels).item()]


def step_from_made_moments(entries, case, channels, size):
    net = start(channels)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for number, (name, p) in enumerate(parameters(net)):
        dead = is_dead(name)
        optimizer.state[p] = {
            'step': torch.tensor(10.0),
            'exp_avg': random(p.shape, 100 + number, -1e-3, 1e-3) * (not dead),
            'exp_avg_sq': random(p.shape, 200 + number, 1e-8, 1e-6) * (not dead)}
    single_step(entries, case + '/step', net, optimizer, size)


def step_of_training(entries, channels, size):
    net = start(channels)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for i in range(10):
        step(net, optimizer, i, size)
    with torch.no_grad():
        for name, p in parameters(net):
            state = optimizer.state[p]
            for what, values in (('value', p), ('m', state['exp_avg']), ('v', state['exp_avg_sq'])):
                values.copy_(values.float().double())
                entries[f'trained/{what}/{name}'] = values.float().numpy()
    single_step(entries, 'trained', net, optimizer, size)


def write(location, entries, metadata={}):
    header, data = {}, b''
    for name, values in sorted(entries.items()):
        values = numpy.asarray(values)
        content = values.tobytes()
        header[name] = {'dtype': {4: 'F32', 8: 'F64'}[values.itemsize],
                        'shape': list(values.shape),
                        'data_offsets': [len(data), len(data) + len(content)]}
        data += content
    made_by = f'{os.path.basename(sys.argv[0])}, PyTorch {torch.__version__}'
    header['__metadata__'] = {'made_by': made_by, **metadata}
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    with open(location, 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text + data)


def main(location):
    torch.manual_seed(0)
    torch.set_num_threads(2)
    entries = {}
    for case, (channels, size) in CASES.items():
        free_steps(entries, case, channels, size)
        step_from_made_moments(entries, case, channels, size)
    step_of_training(entries, *SMALLEST)
    write(location, entries)


if __name__ == '__main__':
    here = os.path.dirname(os.path.abspath(__file__))
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, 'network-goldens.safetensors'))
