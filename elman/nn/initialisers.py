"""Initialisers by name, for parameters chosen by glob.

`init=` takes a preset (`"orthogonal"`, joined by `+`: `"orthogonal+forget_bias"`) or a mapping from
globs over the cell's parameter names to initialisers: `{"R.*": "orthogonal", "b.f": 1.0}`. Later
entries win. An initialiser is a name with arguments behind colons, a number, or a function that
fills a tensor in place.

| name | fills with |
| --- | --- |
| `uniform` | U(-1/sqrt(H), 1/sqrt(H)), torch's rule for recurrent layers |
| `uniform:a`, `uniform:lo:hi` | U(-a, a), U(lo, hi) |
| `glorot` | U(-a, a), a = sqrt(6 / (rows + columns)) (Glorot & Bengio 2010) |
| `he` | N(0, 2 / columns) (He et al. 2015) |
| `orthogonal` | a random orthogonal matrix, `orthogonal:gain` (Saxe et al. 2014) |
| `identity` | the identity, `identity:scale` (Le et al. 2015, the IRNN) |
| `normal:std` | N(0, std^2); without std 0.02 |
| `zeros`, `ones`, `constant:v` | one number |
| `log-uniform:lo:hi` | exp(U(log lo, log hi)) |
| `chrono:T` | log(U(1, T - 1)): a gate that keeps for up to T steps (Tallec & Ollivier 2018) |
| `within:u.x` | U(0, exp(u.x)), unit by unit: a shift within a period whose logarithm is u.x |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from elman.errors import ConfigError, did_you_mean

Filler = Callable[[Tensor], object]
Initialiser = str | float | int | Filler
Init = str | Mapping[str, Initialiser] | None

_DEFAULTS: Mapping[str, Initialiser] = {
    "*": "uniform",
    "W.*": "glorot",
    "R.*": "orthogonal",
    "b.*": 0.0,
    "g.*": 1.0,
}
_PRESETS: Mapping[str, Mapping[str, Initialiser]] = {
    "default": _DEFAULTS,
    "uniform": {"*": "uniform", "g.*": 1.0},
    "torch": {"*": "uniform", "g.*": 1.0},
    "glorot": {"W.*": "glorot", "R.*": "glorot", "U.*": "glorot", "b.*": 0.0},
    "orthogonal": {"W.*": "glorot", "R.*": "orthogonal", "U.*": "orthogonal", "b.*": 0.0},
    "identity": {"R.*": "identity", "b.*": 0.0},
}


def _matrix(value: Tensor) -> tuple[int, int]:
    """Rows and columns; those of one block when it is block-diagonal."""
    if value.dim() < 2:
        return value.shape[0], 1
    return value.shape[-2], value.shape[-1]


def _orthogonal(value: Tensor, gain: float = 1.0) -> None:
    if value.dim() < 2:
        raise ConfigError("a vector cannot be orthogonal.", where="init")
    for block in value if value.dim() == 3 else (value,):
        # In double precision on the CPU: half precisions and some devices have no QR.
        wide = torch.empty(block.shape, dtype=torch.float64)
        torch.nn.init.orthogonal_(wide, gain)
        block.copy_(wide)


def _identity(value: Tensor, scale: float = 1.0) -> None:
    if value.dim() < 2:
        raise ConfigError("a vector cannot be the identity.", where="init")
    rows, columns = _matrix(value)
    value.copy_(torch.eye(rows, columns, dtype=value.dtype).expand_as(value) * scale)


def _glorot(value: Tensor) -> None:
    rows, columns = _matrix(value)
    bound = math.sqrt(6 / (rows + columns))
    value.uniform_(-bound, bound)


def _uniform(value: Tensor, bound: float, high: float | None = None) -> None:
    low, top = (-bound, bound) if high is None else (bound, high)
    if not low <= top:
        raise ConfigError(f"uniform wants lo <= hi, got {low:g}, {top:g}.", where="init")
    value.uniform_(low, top)


def _log_uniform(value: Tensor, low: float, high: float) -> None:
    if not 0 < low <= high:
        raise ConfigError(f"log-uniform wants 0 < lo <= hi, got {low}, {high}.", where="init")
    value.uniform_(math.log(low), math.log(high)).exp_()


def _chrono(value: Tensor, longest: float) -> None:
    value.uniform_(1, max(longest - 1, 1)).log_()


_FILLERS: Mapping[str, Callable[..., object]] = {
    "uniform": _uniform,
    "glorot": _glorot,
    "xavier": _glorot,
    "he": lambda v: v.normal_(0, math.sqrt(2 / _matrix(v)[1])),
    "orthogonal": _orthogonal,
    "identity": _identity,
    "normal": lambda v, std=0.02: v.normal_(0, std),
    "zeros": lambda v: v.zero_(),
    "ones": lambda v: v.fill_(1),
    "constant": lambda v, number: v.fill_(number),
    "log-uniform": _log_uniform,
    "chrono": _chrono,
}


@torch.no_grad()
def fill(value: Tensor, initialiser: Initialiser, *, hidden_size: int) -> None:
    """Fills a parameter in place.

    Raises:
        ConfigError: an unknown name, or arguments that do not fit.
    """
    if callable(initialiser):
        initialiser(value)
        return
    if not isinstance(initialiser, str):
        value.fill_(float(initialiser))
        return
    name, *arguments = initialiser.split(":")
    if name not in _FILLERS:
        hint = did_you_mean(name, _FILLERS)
        raise ConfigError(f'there is no initialiser "{name}".', where="init", hint=hint)
    if initialiser == "uniform":
        arguments = [str(1 / math.sqrt(hidden_size))]
    try:
        _FILLERS[name](value, *(float(argument) for argument in arguments))
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f'the initialiser "{initialiser}" has arguments that do not fit.',
            where="init",
            hint='Write numbers behind colons, such as "chrono:100" or "log-uniform:0.1:10".',
        ) from error


def initialise(
    parameters: Mapping[str, Tensor],
    init: Init,
    *,
    hidden_size: int,
    cell: Mapping[str, Initialiser] | None = None,
    defaults: bool = True,
) -> None:
    """Initialises a cell's parameters, given by the cell's names, in place.

    Args:
        parameters: by name (`W.i`, `b.f`); matrices `(rows, columns)`, block-diagonal ones
            `(blocks, rows, columns)`.
        init: a preset, a mapping of globs, or None.
        hidden_size: the H of torch's rule.
        cell: the cell's own initialisers; they stand between the defaults and `init`.
        defaults: whether to begin with the defaults (input matrices glorot, recurrent ones
            orthogonal, biases 0, gains 1); else what `init` does not name stays as it is.

    Raises:
        ConfigError: an unknown name, or a glob that no parameter matches.
    """
    if defaults:
        _by_glob(parameters, {**_DEFAULTS}, hidden_size)
        _by_glob(parameters, cell or {}, hidden_size)
    if init is None:
        return
    if isinstance(init, str):
        for name in init.split("+"):
            _preset(parameters, name.strip(), hidden_size)
        return
    for glob in init:
        if not any(_matches(name, glob) for name in parameters):
            hint = did_you_mean(glob, parameters)
            raise ConfigError(f'"{glob}" is none of the parameters.', where="init", hint=hint)
    # A shift of the cell's follows a period that the user sets, unless the shift is set too.
    follow = {glob: rule for glob, rule in (cell or {}).items() if defaults and _is_within(rule)}
    _by_glob(parameters, {**follow, **init}, hidden_size)


def _matches(name: str, glob: str) -> bool:
    # `R.h[3]` names a member of a family: brackets are no set of characters here.
    return fnmatchcase(name, glob.replace("[", "[[]"))


def _by_glob(
    parameters: Mapping[str, Tensor], rules: Mapping[str, Initialiser], hidden: int
) -> None:
    chosen: dict[str, Initialiser] = {}
    for name in parameters:
        for glob, initialiser in rules.items():
            if _matches(name, glob):
                chosen[name] = initialiser
    # What lies within another parameter is drawn when that one has its value.
    for name in sorted(chosen, key=lambda name: _is_within(chosen[name])):
        initialiser = chosen[name]
        if isinstance(initialiser, str) and _is_within(initialiser):
            _within(parameters, name, initialiser.partition(":")[2])
        else:
            fill(parameters[name], initialiser, hidden_size=hidden)


def _is_within(initialiser: Initialiser) -> bool:
    return isinstance(initialiser, str) and initialiser.split(":")[0] == "within"


@torch.no_grad()
def _within(parameters: Mapping[str, Tensor], name: str, other: str) -> None:
    if (
        other not in parameters
        or other == name
        or parameters[other].shape != parameters[name].shape
    ):
        raise ConfigError(
            f'"within:{other}" of {name} names no other parameter of its shape.',
            where="init",
            hint=did_you_mean(other, [known for known in parameters if known != name]),
        )
    parameters[name].uniform_(0, 1).mul_(parameters[other].exp())


def _preset(parameters: Mapping[str, Tensor], preset: str, hidden: int) -> None:
    name, *arguments = preset.split(":")
    if name == "forget_bias":
        gate = _keeping_gate(parameters, preset)
        fill(parameters[gate], float(arguments[0]) if arguments else 1.0, hidden_size=hidden)
    elif name == "chrono":
        gate = _keeping_gate(parameters, preset)
        fill(parameters[gate], preset, hidden_size=hidden)
        if gate == "b.f" and "b.i" in parameters:
            with torch.no_grad():
                parameters["b.i"].copy_(-parameters["b.f"])
    elif name in _PRESETS and not arguments:
        _by_glob(parameters, _PRESETS[name], hidden)
    else:
        hint = did_you_mean(name, [*_PRESETS, "forget_bias", "chrono:T"])
        raise ConfigError(f'there is no preset "{preset}".', where="init", hint=hint)


def _keeping_gate(parameters: Mapping[str, Tensor], preset: str) -> str:
    """The bias of the gate that keeps the state: `b.f`, or the GRU's `b.z`."""
    for name in ("b.f", "b.z"):
        if name in parameters:
            return name
    raise ConfigError(
        f'"{preset}" sets the bias b.f (or b.z) and the cell has neither.',
        where="init",
        hint="Name the parameter by a glob instead, such as {'b.h': 1.0}.",
    )
