"""Notes about the precisions that this machine's processor computes faster or slower."""

from __future__ import annotations

from act_inference_ros.interfaces import TORCH
from act_inference_ros.program.processor import BFLOAT16_FLAGS, FLOAT16_FLAGS, instructions


def processor_notes(precision: str, device: str, engine: str) -> tuple[str, ...]:
    """Return notes for a person who computes in `precision` on `device`; none for a GPU."""
    if device != "cpu":
        return ()
    bfloat16, float16 = instructions(BFLOAT16_FLAGS), instructions(FLOAT16_FLAGS)
    if precision == "float32" and bfloat16:
        how = "precision bfloat16" if engine == TORCH else "precision bfloat16 with engine torch, or provider openvino,"
        return (f"this processor has bfloat16 instructions ({', '.join(bfloat16)}): {how} would be faster",)
    if precision == "bfloat16" and not bfloat16:
        return ("this processor has no bfloat16 instructions: precision float32 would be faster and exact",)
    if precision == "float16" and not float16:
        return ("this processor has no float16 instructions: precision float32 would be faster and exact",)
    return ()
