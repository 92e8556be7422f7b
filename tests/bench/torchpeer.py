#!/usr/bin/env python3
# GradStreamer benchmarks: what PyTorch and ONNX Runtime take, in a process of their own
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: torchpeer.py JSON, with the fields
  what       versions, train, infer, onnx or layers
  kind       nchw, as in the book; channels_last; bf16: channels_last with autocast
  threads, batch, size, warmup, count
  cases      for layers: cases as tests/bench/kernels writes them
Prints JSON: milliseconds of `count` steps or passes after `warmup`; of layers, a median for each case, null where PyTorch
has nothing like it."""
import inspect
import io
import json
import statistics
import sys
import time

try:
    import torch
    import torch.nn.functional as F
    from resnet import network
except ImportError:
    torch = None
try:
    import onnxruntime
except ImportError:
    onnxruntime = None


def layout(thing, kind):
    return thing if kind == "nchw" else thing.to(memory_format=torch.channels_last)


def autocast(kind):
    return torch.autocast("cpu", torch.bfloat16, enabled=kind == "bf16")


def milliseconds(func, warmup, count):
    times = []
    for _ in range(warmup + count):
        start = time.perf_counter()
        func()
        times.append((time.perf_counter() - start) * 1e3)
    return times[warmup:]


def train(kind, batch, size, warmup, count):
    net = layout(network(), kind)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
    x = layout(torch.rand(batch, 1, size, size), kind)
    y = torch.randint(0, 10, (batch,))

    def step():
        optimizer.zero_grad()
        with autocast(kind):
            loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
    return milliseconds(step, warmup, count)


def infer(kind, batch, size, warmup, count):
    net = layout(network().eval(), kind)
    x = layout(torch.rand(batch, 1, size, size), kind)
    with torch.inference_mode(), autocast(kind):
        return milliseconds(lambda: net(x), warmup, count)


def onnx(threads, batch, size, warmup, count):
    file, x = io.BytesIO(), torch.rand(batch, 1, size, size)
    # newer versions have another exporter as well, which wants more packages
    old = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    torch.onnx.export(network().eval(), x, file, input_names=["x"], **old)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    feed = {"x": x.numpy()}
    return milliseconds(lambda: session.run(None, feed), warmup, count)


def forward_of(c, dtype, kind):
    """A layer's forward as a function of its tensors, and these: pictures first, then parameters"""
    def pictures(k=None, h=None, w=None):
        return layout(torch.rand(c["n"], k or c["c"], h or c["h"], w or c["w"]), kind).to(dtype)

    name, k = c["kind"].rsplit("-", 1)[0], c["c"]
    statistics_ = torch.zeros(k), torch.ones(k)
    if name == "norm":
        return (lambda x, w, b, *add: F.relu(sum(add, F.batch_norm(x, *statistics_, w, b, True))),
                [pictures(), torch.rand(k), torch.rand(k)] + c["add"] * [pictures()])
    if name == "norm-pool":
        return (lambda x, w, b: F.max_pool2d(F.relu(F.batch_norm(x, *statistics_, w, b, True)), c["kernel"], c["stride"],
                                             c["padding"]), [pictures(), torch.rand(k), torch.rand(k)])
    if name == "max-pool":
        return lambda x: F.max_pool2d(x, c["kernel"], c["stride"], c["padding"]), [pictures()]
    if name == "global-pool":
        return lambda x: F.adaptive_avg_pool2d(x, 1), [pictures()]
    if c["kind"] == "add":
        return torch.add, [pictures(), pictures()]
    if c["kind"] == "loss":
        y = torch.arange(c["n"]) % c["k"]
        return lambda x: F.cross_entropy(x, y), [torch.rand(c["n"], c["k"])]
    return None


def conv(c, dtype, kind):
    x = layout(torch.rand(c["n"], c["c"], c["h"], c["w"]), kind).to(dtype)
    w = layout(torch.rand(c["k"], c["c"], c["kernel"], c["kernel"]), kind).to(dtype)
    b = torch.rand(c["k"]).to(dtype) if c["bias"] else None
    s, p = [c["stride"]] * 2, [c["padding"]] * 2
    y = F.conv2d(x, w, b, s, p)
    if c["kind"] == "conv-forward":
        return lambda: F.conv2d(x, w, b, s, p)
    if c["kind"] == "conv-infer":
        relu = F.relu if c["relu"] else lambda z: z
        return lambda: relu(sum(c["add"] * [y], F.conv2d(x, w, b, s, p)))
    mask = [True, False, False] if c["kind"].endswith("data") else [False, True, c["bias"]]
    return lambda: torch.ops.aten.convolution_backward(y, x, w, [c["k"]], s, p, [1, 1], False, [0, 0], 1, mask)


def linear(c):
    x, w, b, y = torch.rand(c["n"], c["c"]), torch.rand(c["k"], c["c"]), torch.rand(c["k"]), torch.rand(c["n"], c["k"])
    return {"linear-forward": lambda: F.linear(x, w, b), "linear-backward-data": lambda: y @ w,
            "linear-backward-weights": lambda: (y.t() @ x, y.sum(0))}[c["kind"]]


def adam(c):
    parameters = [torch.rand(c["c"]).requires_grad_() for _ in range(c["n"])]
    for p in parameters:
        p.grad = torch.rand(c["c"])
    return torch.optim.Adam(parameters, lr=0.001).step


def layer(c, kind):
    """What computes the case, or None"""
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32
    if c["kind"].startswith("conv-"):
        with torch.no_grad():
            return conv(c, dtype, kind)
    if c["kind"].startswith("linear-"):
        return linear(c)
    if c["kind"] == "adam":
        return adam(c)
    found = forward_of(c, dtype, kind)
    if found is None:
        return None
    forward, tensors = found
    if not c["kind"].endswith("-backward") and c["kind"] != "loss":
        return lambda: forward(*tensors)
    tensors = [t.requires_grad_() for t in tensors]
    if c["kind"] == "loss":
        return lambda: torch.autograd.grad(forward(*tensors), tensors)
    y = forward(*tensors)
    dy = torch.rand_like(y)
    return lambda: torch.autograd.grad(y, tensors, dy, retain_graph=True)


def layers(kind, cases, count):
    results = []
    for c in cases:
        func = layer(c, kind)
        if func is not None:
            with torch.set_grad_enabled(not c["kind"].startswith("conv-")):
                repeat = 1 + int(10 / max(milliseconds(func, 1, 1)[0], 0.001))
                times = milliseconds(lambda: [func() for _ in range(repeat)], 0, count)
            func = statistics.median(times) / repeat
        results.append(func)
    return results


def main():
    spec = json.loads(sys.argv[1])
    what = spec.pop("what")
    if what == "versions":
        print(json.dumps({"torch": torch and torch.__version__, "onnxruntime": onnxruntime and onnxruntime.__version__}))
        return
    torch.set_num_threads(spec["threads"] if what == "onnx" else spec.pop("threads"))
    print(json.dumps({"train": train, "infer": infer, "onnx": onnx, "layers": layers}[what](**spec)))


if __name__ == "__main__":
    main()
