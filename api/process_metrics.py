"""Memory, processor time and open files of the processes of this machine's deployment, read from Linux' /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

PROC = Path("/proc")
LABELS = ("process", "pid")


class Usage(NamedTuple):
    """Of one process. Times are seconds, `started_s` since the epoch, sizes bytes."""

    resident_bytes: int
    cpu_s: float
    started_s: float
    threads: int
    open_files: int


def process_families() -> Iterator[Metric]:
    """One value for each process; none where there is no /proc."""
    found = {each: usage for each in deployment_processes() if (usage := usage_of(each[1]))}
    memory = GaugeMetricFamily("outpost_process_resident_memory_bytes", "Memory in use", labels=LABELS)
    cpu = CounterMetricFamily("outpost_process_cpu_seconds", "Processor time used", labels=LABELS)
    started = GaugeMetricFamily("outpost_process_start_time_seconds", "When it started", labels=LABELS)
    threads = GaugeMetricFamily("outpost_process_threads", "Threads", labels=LABELS)
    files = GaugeMetricFamily("outpost_process_open_fds", "Open files and connections", labels=LABELS)
    for (name, pid), usage in found.items():
        labels = (name, str(pid))
        memory.add_metric(labels, usage.resident_bytes)
        cpu.add_metric(labels, usage.cpu_s)
        started.add_metric(labels, usage.started_s)
        threads.add_metric(labels, usage.threads)
        files.add_metric(labels, usage.open_files)
    yield from (memory, cpu, started, threads, files)


def deployment_processes() -> list[tuple[str, int]]:
    """Command and id of the supervisor's children; this process alone where no supervisor started it."""
    parent = os.getppid()
    try:
        children = (PROC / str(parent) / "task" / str(parent) / "children").read_text().split()
    except OSError:
        children = []
    named = [(command_of(int(pid)), int(pid)) for pid in children]
    supervised = [(command, pid) for command, pid in named if command]
    return supervised if os.getpid() in {pid for _, pid in supervised} else [("worker", os.getpid())]


def command_of(pid: int) -> str:
    """`worker` of `python -m outpost worker`; empty for anything else."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return words[3].decode(errors="replace") if words[1:3] == [b"-m", b"outpost"] and len(words) > 3 else ""


def usage_of(pid: int) -> Usage | None:
    """None when it has ended, or there is no /proc."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        booted = next(line for line in (PROC / "stat").read_text().splitlines() if line.startswith("btime "))
        open_files = len(os.listdir(PROC / str(pid) / "fd"))
    except (OSError, StopIteration):
        return None
    tick = os.sysconf("SC_CLK_TCK")
    return Usage(
        resident_bytes=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        cpu_s=(int(fields[11]) + int(fields[12])) / tick,
        started_s=int(booted.split()[1]) + int(fields[19]) / tick,
        threads=int(fields[17]),
        open_files=open_files,
    )
