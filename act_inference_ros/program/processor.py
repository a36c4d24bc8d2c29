"""Fast instructions of this machine's processor, by their names in Linux's /proc/cpuinfo."""

from __future__ import annotations

from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16", "svebf16")
"""Instructions that multiply bfloat16 numbers: x86's, then ARM's."""
FLOAT16_FLAGS = ("avx512_fp16", "amx_fp16", "asimdhp")
"""Instructions that multiply float16 numbers: x86's, then ARM's."""


def instructions(flags: tuple[str, ...], cpuinfo: Path = _CPUINFO) -> tuple[str, ...]:
    """Return those of `flags` that the processor has; empty if unknown."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    there: set[str] = set()
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            there.update(value.split())
    return tuple(flag for flag in flags if flag in there)
