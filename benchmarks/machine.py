"""The machine that a benchmark ran on, in facts that name nobody; its other work."""

import os
import re
import resource
import time
from importlib import metadata
from pathlib import Path

__all__ = ["KINDS", "OthersWork", "description", "kind", "peak_mib", "versions"]

INSTRUCTIONS = (
    *("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16"),
    *("amx_tile", "asimd", "asimddp", "i8mm", "sve"),
)
"""Names in /proc/cpuinfo of instruction sets that matrix products are made of."""

KINDS = (
    *("amx_tile", "avx512_vnni", "avx_vnni", "avx512f", "avx2"),
    *("sve", "i8mm", "asimddp", "asimd", "other"),
)
"""Instruction sets that decide which engine is the fastest, the largest first."""


def description() -> dict:
    """Cores, instruction sets and memory; without /proc, cores alone."""
    found: dict = {"cores": os.cpu_count()}
    cpu, memory = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    if cpu.exists():
        flags = set(re.findall(r"\w+", cpu.read_text()))
        found["instructions"] = [name for name in INSTRUCTIONS if name in flags]
    if memory.exists():
        kib = re.search(r"MemTotal:\s+(\d+)", memory.read_text())
        found["memory_gib"] = round(int(kib[1]) / 2**20) if kib else None
    return found


def kind() -> str:
    """A name for machines with ratios like this one's: its largest of `KINDS`."""
    found = description().get("instructions", ())
    return next((name for name in KINDS if name in found), KINDS[-1])


def versions(*packages: str) -> dict[str, str]:
    """The versions of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def peak_mib() -> float | None:
    """Peak memory of this process; None without /proc, for `getrusage` inherits it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    kib = re.search(r"VmHWM:\s+(\d+)", status.read_text())
    return round(int(kib[1]) / 1024, 1) if kib else None


class OthersWork:
    """Processor time that neither this process nor its ended children took.

    Made at the begin of a benchmark; `cores()` at its end, after the children.
    """

    def __init__(self):
        self.started = time.perf_counter()
        self.busy, self.own = _busy_seconds(), _own_seconds()

    def cores(self) -> float | None:
        """Cores that others kept busy, on average; None without /proc."""
        busy = _busy_seconds()
        if busy is None or self.busy is None:
            return None
        others = busy - self.busy - (_own_seconds() - self.own)
        return round(max(others, 0) / (time.perf_counter() - self.started), 2)


def _busy_seconds() -> float | None:
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _, _, irq, soft, *_ = map(int, stat.read_text().split()[1:10])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = [resource.getrusage(kind) for kind in kinds]
    return sum(each.ru_utime + each.ru_stime for each in used)
