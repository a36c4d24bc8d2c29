"""Providers of engine onnxruntime, and notes on precision, for machines that this one only pretends to be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from act_inference_ros.errors import ConfigurationError
from act_inference_ros.inference.local import processor_notes as notes
from act_inference_ros.inference.local.processor_notes import processor_notes
from act_inference_ros.inference.local.providers import FULL_NAMES, check_used, choose_providers, used_providers
from act_inference_ros.program.processor import BFLOAT16_FLAGS, FLOAT16_FLAGS, instructions

GPU = tuple(FULL_NAMES[name] for name in ("tensorrt", "cuda", "cpu"))
"""What onnxruntime-gpu has compiled in."""
INTEL = tuple(FULL_NAMES[name] for name in ("openvino", "cpu"))
PLAIN = ("AzureExecutionProvider", FULL_NAMES["cpu"])


class Session:
    """Stands in for an onnxruntime session: says which providers it uses."""

    def __init__(self, *providers: str) -> None:
        self._providers = [FULL_NAMES[name] for name in providers]

    def get_providers(self) -> list[str]:
        return self._providers


@pytest.mark.parametrize(
    ("device", "precision", "compiled_in", "names", "on"),
    [
        ("auto", "float32", PLAIN, ("cpu",), "cpu"),
        ("auto", "float32", GPU, ("cuda", "cpu"), "cuda:0"),
        ("cpu", "float32", GPU, ("cpu",), "cpu"),
        ("cuda:1", "float32", GPU, ("cuda",), "cuda:1"),
        ("auto", "float32", INTEL, ("openvino", "cpu"), "cpu"),
        ("auto", "bfloat16", INTEL, ("openvino",), "cpu"),
    ],
)
def test_auto_takes_the_best_that_is_there_and_never_tensorrt(
    device: str, precision: str, compiled_in: tuple[str, ...], names: tuple[str, ...], on: str
) -> None:
    chosen = choose_providers(["auto"], device, precision, compiled_in)
    assert chosen.names == names
    assert chosen.device == on


def test_a_list_is_taken_in_its_order_and_each_of_it_must_work() -> None:
    chosen = choose_providers(["tensorrt", "cuda"], "cuda:2", "float16", GPU)
    assert chosen.names == ("tensorrt", "cuda")
    (tensorrt, tensorrt_options), (cuda, cuda_options) = chosen.arguments("float16", 4)
    assert (tensorrt, cuda) == GPU[:2]
    assert tensorrt_options == {"device_id": 2, "trt_fp16_enable": True}
    assert cuda_options == {"device_id": 2, "use_tf32": 0}
    check_used(chosen, used_providers(Session("tensorrt", "cuda", "cpu")), "1.0")
    with pytest.raises(ConfigurationError, match=r"provider tensorrt does not work on this machine: .*TensorRT"):
        check_used(chosen, used_providers(Session("cuda", "cpu")), "1.0")


def test_auto_may_find_that_a_provider_does_not_work() -> None:
    check_used(choose_providers(["auto"], "auto", "float32", GPU), used_providers(Session("cpu")), "1.0")


def test_a_device_that_was_asked_for_must_work() -> None:
    chosen = choose_providers(["auto"], "cuda", "float32", GPU)
    with pytest.raises(ConfigurationError, match=r"provider cuda does not work .* on cpu instead; check the driver"):
        check_used(chosen, used_providers(Session("cpu")), "1.0")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_openvino_computes_in_the_precision_that_was_asked_for(precision: str) -> None:
    ((_, options),) = choose_providers(["openvino"], "auto", precision, INTEL).arguments(precision, 3)
    assert '"INFERENCE_PRECISION_HINT": "' + {"float32": "f32", "bfloat16": "bf16"}[precision] in options["load_config"]
    assert '"INFERENCE_NUM_THREADS": 3' in options["load_config"]


@pytest.mark.parametrize(
    ("providers", "device", "precision", "compiled_in", "message"),
    [
        (["cuda"], "auto", "float32", PLAIN, r"provider cuda: this onnxruntime has cpu only; "),
        (["auto"], "cuda", "float32", PLAIN, r"provider cuda: this onnxruntime has cpu only; "),
        (["cuda"], "cpu", "float32", GPU, r"device cpu: expected openvino or cpu as providers, got cuda$"),
        (["cpu"], "cuda:0", "float32", GPU, r"device cuda:0: expected cuda or tensorrt among the providers, got cpu$"),
        (["cuda"], "auto", "bfloat16", GPU, r"precision bfloat16: .* openvino or tensorrt as the first"),
        (["auto"], "auto", "bfloat16", PLAIN, r"precision bfloat16: "),
        (["auto"], "cuda:x", "float32", GPU, r"device 'cuda:x': engine onnxruntime runs on auto, cpu, cuda or cuda:N"),
    ],
)
def test_contradictions_and_missing_providers_are_refused_in_one_line(
    providers: list[str], device: str, precision: str, compiled_in: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as refusal:
        choose_providers(providers, device, precision, compiled_in)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "flags", "found"),
    [
        ("flags\t\t: fpu avx512_bf16 amx_bf16\n", BFLOAT16_FLAGS, ("avx512_bf16", "amx_bf16")),
        ("Features\t: fp asimd asimdhp bf16\n", BFLOAT16_FLAGS, ("bf16",)),
        ("Features\t: fp asimd asimdhp bf16\n", FLOAT16_FLAGS, ("asimdhp",)),
        ("flags : fpu avx2\nmodel name : bf16\n", BFLOAT16_FLAGS, ()),
        ("", BFLOAT16_FLAGS, ()),
    ],
)
def test_instructions_are_read_from_what_linux_says(
    tmp_path: Path, text: str, flags: tuple[str, ...], found: tuple[str, ...]
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(text)
    assert instructions(flags, cpuinfo) == found
    assert instructions(flags, tmp_path / "none") == ()


@pytest.mark.parametrize(
    ("precision", "device", "there", "engine", "said"),
    [
        (
            "float32",
            "cpu",
            "avx512_bf16",
            "torch",
            r"has bfloat16 instructions \(avx512_bf16\): precision bfloat16",
        ),
        ("float32", "cpu", "amx_bf16", "onnxruntime", r"precision bfloat16 with engine torch, or provider openvino,"),
        ("float32", "cpu", "", "torch", None),
        ("bfloat16", "cpu", "amx_bf16", "torch", None),
        ("bfloat16", "cpu", "", "torch", r"no bfloat16 instructions: precision float32 would be faster and exact"),
        ("float16", "cpu", "", "onnxruntime", r"no float16 instructions: precision float32 would be faster and exact"),
        ("bfloat16", "cuda", "", "torch", None),
    ],
)
def test_a_note_says_if_the_processor_gains_or_loses_by_the_precision(
    monkeypatch: pytest.MonkeyPatch, precision: str, device: str, there: str, engine: str, said: str | None
) -> None:
    monkeypatch.setattr(notes, "instructions", lambda flags: tuple(flag for flag in flags if flag == there))
    found = processor_notes(precision, device, engine)
    assert len(found) == (said is not None)
    if said is not None:
        assert re.search(said, found[0])
