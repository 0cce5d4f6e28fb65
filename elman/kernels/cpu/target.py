"""The processor that code is made for: its name, its features and the width of its vectors.

The host is what LLVM says about this machine. Narrower targets are tested on a wide machine by
naming one of the generic levels of x86-64 instead of the host: the name of a processor brings its
features with it, and switching them off one by one would miss those of the next generation.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as _llvm

from elman.errors import ConfigError

_binding: Any = _llvm

# https://gitlab.com/x86-psABIs/x86-64-ABI: v3 is AVX2 with FMA, v2 is SSE 4.2. The features that
# code generation asks about are named too, so that a target can be read without knowing levels.
_LEVELS = {
    256: ("x86-64-v3", "+avx,+avx2,+f16c,+fma,-avx512f"),
    128: ("x86-64-v2", "+sse4.2,-avx,-avx2,-f16c,-fma,-avx512f"),
}
_WIDTHS = (512, 256, 128)


@dataclass(frozen=True)
class Target:
    """The processor that code is made for; `bits` is the width of a vector register."""

    triple: str
    name: str
    features: str
    bits: int

    def lanes(self, double: bool) -> int:
        """Numbers in a vector register."""
        return self.bits // (64 if double else 32)

    @property
    def registers(self) -> int:
        """Vector registers that code can name."""
        return 32 if self.bits == 512 or self.architecture == "aarch64" else 16

    @property
    def architecture(self) -> str:
        """`x86_64`, `aarch64`, or the triple's own name for anything else."""
        first = self.triple.split("-", 1)[0]
        return {"amd64": "x86_64", "arm64": "aarch64"}.get(first, first)

    @property
    def fused(self) -> bool:
        """Whether a multiplication and an addition are one instruction.

        Without it `llvm.fma` becomes a call for every number; `llvm.fmuladd` is right everywhere.
        """
        return self.architecture == "aarch64" or self.has("fma")

    def has(self, feature: str) -> bool:
        """Whether LLVM's `feature` is switched on."""
        return f"+{feature}" in self.features.split(",")

    def machine(self) -> Any:
        """LLVM's code generator for this target, for code that runs in this process."""
        initialise()
        chosen = _binding.Target.from_triple(self.triple)
        # Small and position-independent: the loader lays all sections of an object side by side
        # and builds stubs for calls into libraries, and constants stay memory operands.
        return chosen.create_target_machine(
            cpu=self.name,
            features=self.features,
            opt=2,
            reloc="pic",
            codemodel="small",
            jit=True,
        )


def host() -> Target:
    """This machine as LLVM describes it, or what ELMAN_CPU_BITS restricts it to.

    Raises:
        ConfigError: ELMAN_CPU_BITS is not a width that this machine has.
    """
    asked = os.environ.get("ELMAN_CPU_BITS")
    if not asked:
        return _described()
    try:
        return restricted(int(asked))
    except ValueError as error:
        place = "environment variable ELMAN_CPU_BITS"
        if isinstance(error, ConfigError):
            raise ConfigError(error.message, where=place, hint=error.hint) from None
        raise ConfigError(f'"{asked}" is not a number of bits.', where=place) from None


@functools.cache
def restricted(bits: int) -> Target:
    """This machine with vector registers of at most `bits` bits.

    Raises:
        ConfigError: `bits` is not a width that this machine has.
    """
    full = _described()
    possible = [width for width in _WIDTHS if width <= full.bits]
    if bits not in possible:
        widths = ", ".join(map(str, possible))
        raise ConfigError(
            f"{bits} bits are not a vector width of this processor.", hint=f"It has {widths}."
        )
    if bits == full.bits:
        return full
    name, features = _LEVELS[bits]
    return Target(full.triple, name, features, bits)


@functools.cache
def initialise() -> None:
    """Makes LLVM's code generator for this machine ready; only the first call does anything."""
    _binding.initialize_native_target()
    _binding.initialize_native_asmprinter()


@functools.cache
def _described() -> Target:
    triple = _binding.get_process_triple()
    try:
        known = dict(_binding.get_host_cpu_features())
    except RuntimeError:
        # LLVM cannot ask every operating system; the processor's name stands for its features.
        known = {}
    features = ",".join(f"{'+' if on else '-'}{name}" for name, on in sorted(known.items()))
    name = _binding.get_host_cpu_name()
    if not triple.startswith(("x86_64", "amd64")):
        return Target(triple, name, features, 128)
    if all(known.get(need) for need in ("avx512f", "avx512bw", "avx512dq", "avx512vl")):
        # Some processors ask compilers to prefer 256 bits; the kernels choose for themselves.
        return Target(triple, name, f"{features},-prefer-256-bit", 512)
    # AVX without FMA (2011 to 2013) has wide additions but no wide integers: it counts as SSE.
    wide = all(known.get(need) for need in ("avx2", "fma", "bmi2", "f16c", "lzcnt", "movbe"))
    if wide:
        return Target(triple, name, features, 256)
    return Target(triple, *_LEVELS[128], 128) if known.get("sse4.2") else _baseline(triple)


def _baseline(triple: str) -> Target:
    return Target(triple, "x86-64", "+sse2,-avx,-avx2,-f16c,-fma,-avx512f", 128)
