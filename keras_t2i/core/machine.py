"""What a machine is: its processor, memory, load and graphics cards, on Linux, macOS and Windows.

Nothing here raises: what cannot be found is `None`.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

__all__ = ["INSTRUCTION_SETS", "cores", "gpus", "instruction_sets", "load_per_core", "memory", "or_none", "processor"]

Found = TypeVar("Found")

INSTRUCTION_SETS = {
    "avx2": ("avx2",),
    "avx512f": ("avx512f",),
    "avx512_vnni": ("avx512_vnni", "avx512vnni"),
    "avx512_bf16": ("avx512_bf16",),
    "amx": ("amx_tile",),
    "neon": ("neon", "asimd"),
}
"""Those that training and int8 exports gain from, and what operating systems call them."""

_MEGABYTE = 10**6
_CPUINFO, _MEMINFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")
_SECONDS = 20
"""How long a program of the system may take: where a driver is broken, `nvidia-smi` can hang."""


def or_none(find: Callable[..., Found], *args: object) -> Found | None:
    """What a function returns, or `None` where it raises."""
    try:
        return find(*args)
    except Exception:  # Whatever it is that this machine lacks.
        return None


def processor() -> str | None:
    """The name of the processor; where the system does not tell, that of its architecture."""
    return or_none(_processor) or platform.processor() or platform.machine() or None


def _processor() -> str | None:
    if sys.platform == "win32":
        import winreg

        place = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
            return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    if sys.platform == "darwin":
        return _output_of("sysctl", "-n", "machdep.cpu.brand_string").strip()
    return _cpuinfo("model name")


def instruction_sets() -> dict[str, bool | None]:
    """Whether the processor has each of `INSTRUCTION_SETS`; Windows tells of some of them alone."""
    found = or_none(_instruction_sets) or {}
    return {name: found.get(name) for name in INSTRUCTION_SETS}


def _instruction_sets() -> dict[str, bool]:
    if sys.platform == "win32":
        import ctypes

        numbers = {"neon": 19, "avx2": 40, "avx512f": 41}  # PF_..._INSTRUCTIONS_AVAILABLE in winnt.h
        is_there = ctypes.windll.kernel32.IsProcessorFeaturePresent
        return {name: bool(is_there(number)) for name, number in numbers.items()}
    if sys.platform == "darwin":
        is_arm = platform.machine() == "arm64"
        told = "neon" if is_arm else _output_of("sysctl", "-n", "machdep.cpu.leaf7_features")
    else:
        told = _cpuinfo("flags") or _cpuinfo("Features") or ""
    flags = set(told.lower().split())
    return {name: not flags.isdisjoint(names) for name, names in INSTRUCTION_SETS.items()} if flags else {}


def cores() -> int | None:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def load_per_core() -> float | None:
    """Processes that ran or waited to run in the last minute, on average, for each core; Windows does not tell."""
    if sys.platform == "win32":
        return None
    found = or_none(os.getloadavg)
    return None if found is None else found[0] / (os.cpu_count() or 1)


def memory() -> tuple[int, int] | tuple[None, None]:
    """Megabytes (10^6 bytes) of memory, and those of them that programs could have now, caches given up."""
    found = or_none(_memory)
    return (found[0] // _MEGABYTE, found[1] // _MEGABYTE) if found else (None, None)


def _memory() -> tuple[int, int]:
    if sys.platform == "win32":
        return _memory_of_windows()
    if sys.platform == "darwin":
        pages = _output_of("vm_stat")
        page = int(_first(r"page size of (\d+) bytes", pages))
        kinds = ("free", "inactive", "speculative")
        free = sum(int(_first(rf"Pages {kind}: +(\d+)", pages)) for kind in kinds)
        return int(_output_of("sysctl", "-n", "hw.memsize")), free * page
    told = _MEMINFO.read_text(encoding="utf-8")
    total, free = (int(_first(rf"{name}: +(\d+) kB", told)) for name in ("MemTotal", "MemAvailable"))
    return 1024 * total, 1024 * free


def _memory_of_windows() -> tuple[int, int]:
    if sys.platform != "win32":
        raise OSError("This is not Windows.")
    import ctypes

    # MEMORYSTATUSEX: its own length and the load in percent, 32 bits each; then seven sizes, the first two of them
    # the physical memory, in all and free.
    status = (ctypes.c_uint64 * 8)()
    ctypes.cast(status, ctypes.POINTER(ctypes.c_uint32))[0] = ctypes.sizeof(status)
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        raise OSError("GlobalMemoryStatusEx failed")
    return status[1], status[2]


def gpus() -> list[str]:
    """The names of NVIDIA's graphics cards in the machine, whether or not a program can compute on them."""
    told = or_none(_output_of, "nvidia-smi", "-L") or ""
    names = re.findall(r"^GPU \d+: (.+?)(?: \(UUID.*)?$", told, flags=re.MULTILINE)
    return names or (["NVIDIA"] if os.path.exists("/dev/nvidia0") else [])


def _cpuinfo(name: str) -> str | None:
    """The first value of that name in what Linux tells of its processors."""
    told = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    found = re.search(rf"^{name}\s*:\s*(.+)$", told, flags=re.MULTILINE)
    return found[1].strip() if found else None


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"{pattern!r} is not there.")
    return found[1]


def _output_of(program: str, *arguments: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise FileNotFoundError(program)
    command = [path, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, errors="replace", timeout=_SECONDS)
    return done.stdout
