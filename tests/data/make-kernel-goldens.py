#!/usr/bin/env python3
# GradStreamer tests: what PyTorch and Pillow compute, as arrays for tests/kernels/*.c
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Writes kernel-goldens.h beside this script; needs torch, torchvision, numpy and PIL (made with torch 1.13,
# torchvision 0.14.1 and Pillow 9.4 of Debian 12). Inputs come from the generator below, which tests/kernels/kernelutil.h
# has, too, so only results are stored. All is computed in double, with settings that are exact in
# float.
import os

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision.transforms import functional


class Lcg:
    """Knuth and Lewis' 32-bit generator; its upper 24 bits make a float in [0, 1)"""

    def __init__(self, seed):
        self.state = seed

    def bits(self):
        self.state = (self.state * 1664525 + 1013904223) % 2**32
        return self.state >> 8

    def uniform(self, *shape, low=-1.0, high=1.0):
        n = int(np.prod(shape))
        values = [low + (high - low) * (self.bits() / 2**24) for _ in range(n)]
        return torch.tensor(values, dtype=torch.float64).reshape(shape)


out = ['/* GradStreamer tests: golden values; made by make-kernel-goldens.py, do not edit',
       ' * SPDX-License-Identifier: LGPL-2.1-or-later',
       ' *',
       f' * torch {torch.__version__}, torchvision {torchvision.__version__}, Pillow {PIL.__version__} */',
       '#pragma once', '']


def array(name, values):
    values = [repr(float(v)) for v in torch.as_tensor(values).flatten()]
    out.append(f'static const gdouble golden_{name}[] = {{')
    for i in range(0, len(values), 4):
        out.append('  ' + ', '.join(values[i:i + 4]) + ',')
    out.append('};')


def norm():
    """x (2, 3, 2, 3), in this order from seed 1: x, residual, gamma, beta, dy"""
    g = Lcg(1)
    x = g.uniform(2, 3, 2, 3).requires_grad_()
    residual = g.uniform(2, 3, 2, 3).requires_grad_()
    bn = torch.nn.BatchNorm2d(3, eps=2**-10, momentum=0.125).double()
    bn.weight.data = g.uniform(3)
    bn.bias.data = g.uniform(3)
    dy = g.uniform(2, 3, 2, 3)
    y = torch.relu(bn(x) + residual)
    y.backward(dy)
    array('norm_y', y)
    array('norm_dx', x.grad)
    array('norm_dresidual', residual.grad)
    array('norm_dgamma', bn.weight.grad)
    array('norm_dbeta', bn.bias.grad)
    array('norm_running_mean', bn.running_mean)
    array('norm_running_var', bn.running_var)
    bn.eval()
    array('norm_infer_y', torch.relu(bn(x) + residual))


def loss():
    """logits (4, 5) in [-3, 3) from seed 2; labels 0, 4, 2, 2; label smoothing 0 and 0.125"""
    logits = Lcg(2).uniform(4, 5, low=-3, high=3)
    labels = torch.tensor([0, 4, 2, 2])
    for name, smoothing in (('plain', 0), ('smooth', 0.125)):
        x = logits.clone().requires_grad_()
        mean = torch.nn.functional.cross_entropy(x, labels, label_smoothing=smoothing)
        mean.backward()
        array(f'loss_{name}', [mean * 4])
        array(f'dlogits_{name}', x.grad)


def optimizers():
    """6 values from seed 3, then 50 gradients from the same generator, clipped to a norm of 1"""
    def adam(name, **options):
        return name, lambda values: torch.optim.Adam(values, lr=0.01, **options)

    def sgd(name, **options):
        return name, lambda values: torch.optim.SGD(values, lr=0.01, **options)

    for name, make in (adam('adam'), adam('adam_decay', weight_decay=0.01),
                       ('adam_decoupled',
                        lambda values: torch.optim.AdamW(values, lr=0.01, weight_decay=0.1)),
                       sgd('sgd'), sgd('sgd_decay', weight_decay=0.01),
                       sgd('sgd_momentum', momentum=0.9),
                       sgd('sgd_nesterov', momentum=0.9, nesterov=True)):
        g = Lcg(3)
        value = g.uniform(6).requires_grad_()
        optimizer = make([value])
        average = None
        for _ in range(50):
            value.grad = g.uniform(6)
            torch.nn.utils.clip_grad_norm_([value], 1)
            optimizer.step()
            new = value.detach().clone()
            average = new if average is None else 0.75 * average + 0.25 * new
        array(name, value)
        array(f'{name}_average', average)


def fnv(data):
    h = 0xcbf29ce484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001b3 % 2**64
    return h


def picture(kind, height, width, seed):
    """noise: the low byte of bits(); gradient: a ramp in a dark frame, like a piece of clothing"""
    g = Lcg(seed)
    p = np.zeros((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            if kind == 'noise':
                p[y, x] = g.bits() & 255
            elif 4 * x >= width and 4 * x < 3 * width and 8 * y >= height:
                p[y, x] = (40 + 200 * y // height + 3 * x) & 255
    return p


def resize():
    """FNV-1a hash of the resized bytes, and the beginning of the middle row"""
    out.append('static const struct\n{\n'
               '  gint ih, iw, oh, ow;\n  gboolean noise;\n  guint64 hash;\n'
               '  guint8 first[8];              /* the beginning of row oh / 2 */\n'
               '} golden_resize[] = {')
    for ih, iw, oh, ow in ((28, 28, 96, 96), (96, 96, 28, 28), (28, 28, 40, 17), (3, 3, 50, 50),
                           (50, 50, 3, 3), (28, 28, 28, 28), (28, 28, 28, 50), (28, 28, 9, 28),
                           (1, 1, 8, 8), (64, 100, 1, 33)):
        for kind in ('noise', 'gradient'):
            image = Image.fromarray(picture(kind, ih, iw, 4), 'L')
            result = np.asarray(image.resize((ow, oh), Image.BILINEAR))
            noise = 'TRUE' if kind == 'noise' else 'FALSE'
            row = ', '.join(map(str, (list(result[oh // 2, :8]) + [0] * 8)[:8]))
            hash = fnv(result.tobytes())
            out.append(f'  {{{ih}, {iw}, {oh}, {ow}, {noise}, {hash:#x}u, {{{row}}}}},')
    out.append('};')


def augment():
    """noise of 9x12 from seed 5: a crop of the padded picture, its mirror image, turned and shifted"""
    height, width = 9, 12
    image = torch.from_numpy(picture('noise', height, width, 5))[None]
    out.append('static const struct\n{\n'
               '  gint crop_x, crop_y;\n  gboolean flip;\n  gdouble angle;\n  gint shift_x, shift_y;\n'
               f'  guint8 pixels[{height} * {width}];\n'
               '} golden_augment[] = {')
    for x, y, flip, angle, shift_x, shift_y in (
            (0, 0, 0, 0, 0, 0), (3, -2, 0, 0, 0, 0), (-1, 2, 1, 0, 0, 0), (0, 0, 0, 0, 2, -3),
            (0, 0, 0, 10, 0, 0), (0, 0, 0, -33.25, 2, 1), (0, 0, 1, 75, -1, 3), (0, 0, 0, 180, 0, 0)):
        result = functional.pad(image, [4] * 4)
        result = functional.crop(result, 4 + y, 4 + x, height, width)
        result = functional.hflip(result) if flip else result
        result = functional.affine(result, angle, [shift_x, shift_y], 1, [0, 0],
                                   functional.InterpolationMode.BILINEAR)
        pixels = result.flatten().tolist()
        out.append(f'  {{{x}, {y}, {"TRUE" if flip else "FALSE"}, {angle}, {shift_x}, {shift_y}, {{')
        for i in range(0, len(pixels), 18):
            out.append('    ' + ', '.join(map(str, pixels[i:i + 18])) + ',')
        out.append('  }},')
    out.append('};')


norm()
loss()
optimizers()
resize()
augment()
with open(os.path.join(os.path.dirname(__file__), 'kernel-goldens.h'), 'w') as f:
    f.write('\n'.join(out) + '\n')
