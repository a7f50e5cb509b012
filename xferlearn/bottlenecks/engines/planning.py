"""Which engines may be used: those that are installed and that suit this machine's processor."""

import dataclasses
import importlib.util
from pathlib import Path

from xferlearn.errors import UserError


@dataclasses.dataclass(frozen=True)
class EnginePlan:
    """One engine to try.

    Attributes:
        name: "tensorflow" or "openvino".
        precision: "float32" or "bfloat16".
    """

    name: str
    precision: str


def plan_engines(engine: str = "auto", precision: str = "auto") -> tuple[EnginePlan, ...]:
    """Returns the engines to try, fastest first; loads none of them.

    For "auto" the last one is float32 TensorFlow, which all others are compared with.

    Args:
        engine: "auto", "tensorflow" or "openvino".
        precision: "auto", "float32" or "bfloat16".

    Raises:
        UserError: when the engine is not installed, or the processor does not have the precision.
    """
    if engine == "openvino" and not openvino_installed():
        raise UserError(
            'Engine openvino is a package of its own: pip install "xferlearn[openvino]".'
        )
    if precision == "bfloat16" and not has_bfloat16():
        raise UserError(
            "This processor has no bfloat16 arithmetic (avx512_bf16 or amx_bf16). Use"
            " `precision='float32'` or `precision='auto'`."
        )
    names = [engine] if engine != "auto" else ["tensorflow"]
    if engine == "auto" and openvino_installed():
        names.insert(0, "openvino")
    if precision != "auto":
        precisions = [precision]
    else:
        precisions = ["bfloat16", "float32"] if has_bfloat16() else ["float32"]
    plans = [EnginePlan(name, kind) for kind in precisions for name in names]
    if engine == "auto" and len(names) > 1 and precision == "auto" and has_bfloat16():
        # Where OpenVINO's bfloat16 is too inexact, TensorFlow's is as well.
        plans.remove(EnginePlan("tensorflow", "bfloat16"))
    return tuple(plans)


def openvino_installed() -> bool:
    """Returns whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


def has_bfloat16() -> bool:
    """Returns whether the processor multiplies bfloat16 in hardware, as Linux reports it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags
