# GradStreamer benchmarks: child processes in alternating rounds, and tables of what they say
# SPDX-License-Identifier: LGPL-2.1-or-later
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time


class Failed(Exception):
    """A child that failed; the text is the last line that it wrote"""


def run(command, environment=None):
    """What a child writes, and its largest resident set in MB"""
    with tempfile.TemporaryFile("w+") as errors:
        try:
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True,
                                     env={**os.environ, **(environment or {})})
        except OSError as error:
            raise Failed(str(error)) from error
        with child:
            output = child.stdout.read()
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        lines = errors.read().strip().splitlines()
    if child.returncode != 0:
        raise Failed(lines[-1] if lines else f"{command[0]}: exit status {child.returncode}")
    return output, usage.ru_maxrss / 1024


COMPUTING = "grad-compute", "grad-team"         # names of the device's threads


def snapshot(pid):
    """Seconds of processor time by the thread's number, and its name"""
    seconds = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/stat", encoding="utf-8") as file:
                name, fields = file.read().split("(", 1)[1].rsplit(")", 1)
        except (FileNotFoundError, ProcessLookupError):         # the thread has just ended
            continue
        seconds[task, name] = sum(map(int, fields.split()[11:13])) / os.sysconf("SC_CLK_TCK")
    return seconds


def spent(command, environment, seconds, warmup=10):
    """Processor time by the thread's name in so many seconds of a training, and what the program then writes to stderr; it is
    interrupted"""
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=errors) as child:
            try:
                time.sleep(warmup)
                before = snapshot(child.pid)
                time.sleep(seconds)
                after = snapshot(child.pid)
                ended = child.poll()
            finally:            # it is waited for
                child.send_signal(signal.SIGINT)
        errors.seek(0)
        output = errors.read()
    if ended is not None:
        raise Failed(f"{command[0]} ended too soon: exit status {ended}: {output}")
    names = {}
    for (task, name), time_ in after.items():
        names[name] = names.get(name, 0) + time_ - before.get((task, name), 0)
    return names, output


def alternate(rounds, runners):
    """All values of each runner (name: function that returns a list of values), called in turns, `rounds` times; one that
    fails is left out with a line that says why."""
    values = {name: [] for name in runners}
    for i in range(rounds):
        for name in list(values):
            try:
                values[name] += runners[name]()
            except Failed as error:
                print(f"# {name}: skipped: {error}", flush=True)
                del values[name]
        print(f"# round {i + 1} of {rounds}: " + ", ".join(
            f"{name} {statistics.median(v):.1f}" for name, v in values.items()), flush=True)
    return values


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p / 100))]


def table(title, header, rows):
    """Cells are texts, numbers or None; the first column is left-aligned."""
    def text(cell):
        if cell is None or isinstance(cell, str):
            return cell or "-"
        return f"{cell:.{1 if abs(cell) >= 100 else 2 if abs(cell) >= 1 else 3}f}"

    lines = [header, *([text(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    print(f"\n{title}")
    for line in lines:
        print("  " + "  ".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths))))
    print(flush=True)


def compare(title, values, ours, **extra):
    """A table of medians, and the ratio of ours (names) to each; extra: columns, cells by name. Returns all that as
    figures for a file."""
    medians = {name: statistics.median(v) for name, v in values.items()}
    ours = [name for name in ours if name in values]
    table(title, ["", "median", "min", "max", *extra, *(f"{o} / this" for o in ours)],
          [[name, medians[name], min(v), max(v), *(column.get(name) for column in extra.values()),
            *(medians[o] / medians[name] for o in ours)] for name, v in values.items()])
    return {"values": values, "median": medians, **extra}
