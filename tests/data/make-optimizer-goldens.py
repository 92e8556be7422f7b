#!/usr/bin/env python3
# GradStreamer tests: makes optimizer-goldens.safetensors, trainings by PyTorch, for network/optimizers
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: tests/data/make-optimizer-goldens.py [FILE]

Needs PyTorch (Debian: python3-torch). Computes in double precision on the CPU.

Each case is a training of 50 steps or a few more: 10 epochs of 37 pictures in batches of 8, the last one of 5, and
after each epoch a pass over 21 others; with accumulation, as many epochs as 50 steps take. The network is a
convolution 3x3 to 4 channels, batch norm, ReLU, max pooling 3x3/2, global average pooling, and a fully connected
layer of 5.

Pictures are not stored: both sides make them as in make-network-goldens.py, 12x12, in [0, 1) from seed 1 for training
and 2 for testing, times 256, rounded down, to bytes, plus what their class is; labels are (7 i) mod 5. A picture of
class c has 64 added, up to 255, in rows 2 c and 2 c + 1.

Contents: initial values by parameter name, F32; per case, F64, one value per step or epoch:
  CASE/loss, CASE/rate, CASE/norm   mean loss of a step's batches before its update, learning rate, norm of the gradient
  CASE/evaluation                   mean loss of the test pictures after each epoch
and as metadata CASE what the launch string of the case has from the loss on: "gradloss ! gradadamsink …"."""
import importlib.util
import os
import sys

import numpy
import torch
from torch import nn
from torch.nn import functional
from torch.optim import lr_scheduler

HERE = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location('network', f'{HERE}/make-network-goldens.py')
network = importlib.util.module_from_spec(spec)
spec.loader.exec_module(network)

BATCH, STEPS = 8, 50
PARAMETERS = {'conv1.weight': (4, 1, 3, 3), 'conv1.bias': (4,), 'bn1.weight': (4,), 'bn1.bias': (4,),
              'fc.weight': (5, 4), 'fc.bias': (5,)}


def pictures(n, seed):
    x = numpy.floor(network.random((n, 12, 12), seed, 0, 1).numpy() * 256)
    labels = [7 * i % 5 for i in range(n)]
    for i, c in enumerate(labels):
        x[i, 2 * c:2 * c + 2] = numpy.minimum(x[i, 2 * c:2 * c + 2] + 64, 255)
    return torch.from_numpy(x / 255).unsqueeze(1), torch.tensor(labels)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.fc(x.mean((2, 3)))


def start():
    net = Network().double()
    with torch.no_grad():
        for number, (name, p) in enumerate(net.named_parameters()):
            bounds = (0.5, 1.5) if name == 'bn1.weight' else (-0.5, 0.5)
            p.copy_(network.random(p.shape, number, *bounds))
    return net


def rates(schedule, warmup, rate, steps_per_epoch, epochs):
    """The learning rate of each step: PyTorch's schedulers, one after the other."""
    def optimizer():
        return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)

    n = steps_per_epoch * epochs
    rest = n - warmup
    make = {
        'constant': lambda o: lr_scheduler.ConstantLR(o, factor=1),
        'linear': lambda o: lr_scheduler.LinearLR(o, 1, 0, total_iters=rest),
        'cosine': lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=rest),
        'step': lambda o: lr_scheduler.StepLR(o, step_size=3 * steps_per_epoch, gamma=0.3),
        'one-cycle': lambda o: lr_scheduler.OneCycleLR(o, rate, total_steps=rest,
                                                       cycle_momentum=False),
    }[schedule]

    def record(make_scheduler, steps):
        o = optimizer()
        scheduler = make_scheduler(o)
        values = []
        for i in range(steps):
            values.append(o.param_groups[0]['lr'])
            o.step()
            if i + 1 < steps:
                scheduler.step()
        return values

    def linear(o):
        return lr_scheduler.LinearLR(o, 1 / warmup, total_iters=warmup)

    values = record(make, rest)
    if warmup:
        values = record(linear, warmup) + values
        if schedule != 'one-cycle':     # which sets its optimizer's rate when it is made
            both = record(lambda o: lr_scheduler.SequentialLR(
                o, [linear(o), make(o)], milestones=[warmup]), n)
            assert numpy.allclose(both, values, rtol=1e-9, atol=1e-15), (schedule, both, values)
    return values


def train(case, net, optimizer, launch, schedule='constant', warmup=0, rate=0.01, clip=0,
          accumulate=1, ema=0, smoothing=0):
    x, y = pictures(37, 1)
    test_x, test_y = pictures(21, 2)
    batches = list(zip(x.split(BATCH), y.split(BATCH)))
    steps = [batches[i:i + accumulate] for i in range(0, len(batches), accumulate)]
    epochs = -(-STEPS // len(steps))
    every_rate = rates(schedule, warmup, rate, len(steps), epochs)
    average = torch.optim.swa_utils.AveragedModel(
        net, avg_fn=lambda a, p, n: ema * a + (1 - ema) * p, use_buffers=True) if ema else None
    losses, norms, evaluations = [], [], []
    for epoch in range(epochs):
        for step in steps:
            n = sum(len(labels) for _, labels in step)
            total = 0
            net.train()
            optimizer.zero_grad()
            optimizer.param_groups[0]['lr'] = every_rate[len(losses)]
            for pixels, labels in step:
                loss = functional.cross_entropy(net(pixels), labels, reduction='sum',
                                                label_smoothing=smoothing) / n
                loss.backward()
                total += loss.item()
            # in front of a norm: PyTorch has rounding errors where zero is meant
            net.conv1.bias.grad = None
            norms.append(nn.utils.clip_grad_norm_(net.parameters(), clip or float('inf')).item())
            optimizer.step()
            losses.append(total)
            if ema:
                average.update_parameters(net)
        evaluated = average.module if ema else net
        evaluated.eval()
        with torch.no_grad():
            evaluations.append(functional.cross_entropy(
                evaluated(test_x), test_y, label_smoothing=smoothing).item())
    sink = ' '.join([launch, f'learning-rate={rate}'] + [
        f'{name}={value}' for name, value, default in (
            ('schedule', schedule, 'constant'), ('warmup-steps', warmup, 0), ('clip-norm', clip, 0),
            ('accumulate', accumulate, 1), ('ema', ema, 0)) if value != default])
    if schedule == 'step':
        sink += ' schedule-step-size=3 schedule-gamma=0.3'
    loss = 'gradloss' + (f' label-smoothing={smoothing}' if smoothing else '')
    entries = {f'{case}/loss': losses, f'{case}/rate': every_rate, f'{case}/norm': norms,
               f'{case}/evaluation': evaluations}
    return entries, f'{loss} ! {sink}'


def cases():
    def adam(**options):
        return lambda net: torch.optim.Adam(net.parameters(), **options)

    def adamw(**options):
        return lambda net: torch.optim.AdamW(net.parameters(), **options)

    def sgd(**options):
        return lambda net: torch.optim.SGD(net.parameters(), lr=1, **options)

    yield 'adam', adam(), 'gradadamsink', {}
    yield 'adam-decay', adam(weight_decay=0.1), 'gradadamsink weight-decay=0.1', {}
    yield ('adam-decoupled', adamw(weight_decay=0.5),
           'gradadamsink weight-decay=0.5 decoupled-weight-decay=true', {})
    yield ('adam-betas', adam(betas=(0.8, 0.99), eps=1e-3),
           'gradadamsink beta1=0.8 beta2=0.99 epsilon=0.001', {})
    yield 'sgd', sgd(), 'gradsgdsink', {'rate': 0.1}
    yield 'sgd-decay', sgd(weight_decay=0.05), 'gradsgdsink weight-decay=0.05', {'rate': 0.1}
    yield 'sgd-momentum', sgd(momentum=0.9), 'gradsgdsink momentum=0.9', {'rate': 0.1}
    yield ('sgd-nesterov', sgd(momentum=0.9, nesterov=True, weight_decay=0.01),
           'gradsgdsink momentum=0.9 nesterov=true weight-decay=0.01', {'rate': 0.1})
    for schedule in ('constant', 'linear', 'cosine', 'step', 'one-cycle'):
        for warmup in (0, 7):
            name = f'{schedule}-warmup' if warmup else schedule
            if name != 'constant':
                yield name, adam(), 'gradadamsink', {'schedule': schedule, 'warmup': warmup,
                                                     'rate': 0.02}
    yield 'clip', sgd(momentum=0.9), 'gradsgdsink momentum=0.9', {'rate': 0.1, 'clip': 0.25}
    yield 'accumulate', adam(), 'gradadamsink', {'accumulate': 2}
    yield 'ema', adam(), 'gradadamsink', {'ema': 0.9}
    yield 'label-smoothing', adam(), 'gradadamsink', {'smoothing': 0.1}
    yield ('all', adamw(weight_decay=0.1),
           'gradadamsink weight-decay=0.1 decoupled-weight-decay=true',
           {'schedule': 'cosine', 'warmup': 5, 'rate': 0.02, 'clip': 0.5, 'accumulate': 3, 'ema': 0.8,
            'smoothing': 0.2})


def main(location):
    torch.set_num_threads(1)
    entries = {name: p.detach().numpy().astype(numpy.float32) for name, p in
               list(start().named_parameters()) + list(start().named_buffers())
               if 'num_batches' not in name}
    metadata = {}
    for name, make_optimizer, launch, options in cases():
        net = start()
        case, metadata[name] = train(name, net, make_optimizer(net), launch, **options)
        entries.update(case)
    network.write(location, entries, metadata)


if __name__ == '__main__':
    main(sys.argv[1] if len(sys.argv) > 1 else f'{HERE}/optimizer-goldens.safetensors')
