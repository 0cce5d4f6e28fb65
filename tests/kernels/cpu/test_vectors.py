"""The emitted vector code against numpy in higher precision and against torch."""

import ctypes
import functools
import math
import platform

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import binding, ir

from elman.compiler.primitives import PRIMITIVES
from elman.kernels.cpu.vectors import EMITTERS, Vectors
from elman.kernels.operations import OPERATIONS

torch.set_num_threads(1)
binding.initialize_native_target()
binding.initialize_native_asmprinter()

LONG = np.longdouble
LANES = (1, 4, 8, 16)
TYPES = (np.float32, np.float64)
X86 = platform.machine().lower() in ("x86_64", "amd64")
HOST = (binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten())
TARGETS = {"host": HOST}
if X86:
    TARGETS |= {"sse2": ("x86-64", ""), "sse4": ("nehalem", "")}
    if binding.get_host_cpu_features().get("avx2") and binding.get_host_cpu_features().get("fma"):
        TARGETS["avx2"] = ("x86-64-v3", "")

# Units in the last place.
ACCURACY = {np.float32: 2, np.float64: 4}
FUNCTIONS = "sigmoid tanh exp expm1 log log1p sqrt softplus logsigmoid silu sin cos".split()
ALL = tuple(name for name, row in PRIMITIVES.items() if row.elementwise and name != "const")
ATTRIBUTES = {"leaky_relu": {"slope": 0.125}}
SPECIAL = (0.0, -0.0, 1.0, -1.0, 2.5, -3.0, 1e4, -1e4, 1e-30, -1e-30, 3e38, -3e38)
SPECIAL += (math.inf, -math.inf, math.nan)


def source(op, lanes, double):
    """A function that applies an operation to arrays whose length is a multiple of the lanes."""
    module = ir.Module("test")
    index, pointer = ir.IntType(64), ir.PointerType()
    arity = PRIMITIVES[op].arity
    signature = ir.FunctionType(ir.VoidType(), [pointer] * (arity + 1) + [index])
    function = ir.Function(module, signature, "apply")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    entry, loop = builder.block, function.append_basic_block("loop")
    done = function.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    at = builder.phi(index)
    at.add_incoming(index(0), entry)
    v = Vectors(builder, lanes, double)
    places = [builder.gep(array, [at], source_etype=v.scalar) for array in function.args[:-1]]
    align = 8 if double else 4
    values = [builder.load(place, typ=v.type, align=align) for place in places[:-1]]
    builder.store(v.emit(op, values, ATTRIBUTES.get(op, {})), places[-1], align=align)
    following = builder.add(at, index(lanes))
    at.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, function.args[-1]), loop, done)
    builder.position_at_end(done)
    builder.ret_void()
    return str(module)


def machine(target):
    cpu, features = TARGETS[target]
    kind = binding.Target.from_default_triple()
    return kind.create_target_machine(cpu=cpu, features=features, opt=2)


@functools.cache
def compiled(op, lanes, double, target="host"):
    """The operation as a function of numpy arrays."""
    module = binding.parse_assembly(source(op, lanes, double))
    module.verify()
    engine = binding.create_mcjit_compiler(module, machine(target))
    engine.finalize_object()
    arity = PRIMITIVES[op].arity
    kinds = [ctypes.c_void_p] * (arity + 1) + [ctypes.c_int64]
    address = engine.get_function_address("apply")
    entry = ctypes.CFUNCTYPE(None, *kinds)(address)
    dtype = np.float64 if double else np.float32

    def apply(*arrays, engine=engine):
        size = len(arrays[0])
        extra = -size % lanes
        padded = [np.pad(np.asarray(x, dtype), (0, extra), mode="edge") for x in arrays]
        out = np.empty(size + extra, dtype)
        entry(*(x.ctypes.data for x in padded), out.ctypes.data, size + extra)
        return out[:size]

    return apply


def truth(op, x):
    """The value in extended precision, by formulas that do not cancel."""
    x = x.astype(LONG)
    small = np.exp(-np.abs(x))
    if op in ("sigmoid", "silu"):
        sigmoid = np.where(x >= 0, 1, small) / (1 + small)
        return sigmoid if op == "sigmoid" else x * sigmoid
    if op == "softplus":
        return np.maximum(x, 0) + np.log1p(small)
    if op == "logsigmoid":
        return np.minimum(x, 0) - np.log1p(small)
    return getattr(np, op)(x)


def samples(op, dtype, count):
    random = np.random.default_rng(0)
    info = np.finfo(dtype)
    top = math.log(float(info.max))
    low = math.log(float(info.tiny))
    mantissa = math.log(2) / 2
    parts = [
        random.uniform(-1.1 * top, 1.1 * top, count),
        random.uniform(-20, 20, 2 * count),
        random.uniform(-2, 2, 2 * count),
        np.linspace(-0.5, 0.5, count),
        np.exp(random.uniform(-60, 60, count)) * random.choice([-1, 1], count),
        1 + random.uniform(-1e-3, 1e-3, count // 4),
        *(edge + np.linspace(-0.01, 0.01, 501) for edge in (top, -top, low, -low, low - mantissa)),
        *(k * mantissa + np.linspace(-1e-4, 1e-4, 101) for k in range(-9, 10)),
    ]
    x = np.concatenate([*parts, SPECIAL]).astype(dtype)
    if op in ("sin", "cos"):
        return x[np.abs(x) < 1e5]
    if op in ("log", "sqrt"):
        return np.abs(x)
    return np.where(x < -1, -x, x) if op == "log1p" else x


def distance(value, exact, dtype):
    """Units in the last place between values and the rounded exact ones.

    Where those are below the normal numbers any value so small is right.
    """
    rounded = exact.astype(dtype)
    tiny = np.finfo(dtype).tiny
    same = (value == rounded) | (np.isnan(value) & np.isnan(rounded))
    same |= (np.abs(rounded) <= tiny) & (np.abs(value) <= tiny)
    units = np.abs(value.astype(LONG) - rounded) / np.spacing(np.maximum(np.abs(rounded), tiny))
    return np.where(same, 0, np.where(np.isnan(units), np.inf, units))


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("op", FUNCTIONS)
def test_accuracy(op, dtype, target):
    x = samples(op, dtype, 20_000)
    double = dtype == np.float64
    value = compiled(op, 8 if double else 16, double, target)(x)
    units = distance(value, truth(op, x), dtype)
    worst = int(np.argmax(units))
    assert units[worst] <= ACCURACY[dtype], (x[worst], value[worst], units[worst])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("op", ALL)
def test_every_width_gives_the_same(op, dtype):
    random = np.random.default_rng(1)
    pairs = np.array(np.meshgrid(SPECIAL, SPECIAL)).reshape(2, -1)
    x, y = np.concatenate([pairs, random.normal(size=(2, 100)) * 5], axis=1).astype(dtype)
    arrays = [x, y, x[::-1]][: PRIMITIVES[op].arity]
    double = dtype == np.float64
    values = [compiled(op, lanes, double)(*arrays) for lanes in LANES]
    for value in values[1:]:
        np.testing.assert_array_equal(value, values[0])
    tensors = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
    theirs = OPERATIONS[op](*tensors, **ATTRIBUTES.get(op, {})).numpy()
    if op == "mod":  # torch's vector code gives NaN for quotients beyond float32
        theirs = np.remainder(x, y)
    if op in ("sin", "cos"):  # torch is exact for huge arguments too
        keep = ~(np.abs(x) > 1e5) | np.isinf(x)
        values[0], theirs = values[0][keep], theirs[keep]
    exact = op not in FUNCTIONS
    close = 0 if exact else 2e-6 if dtype == np.float32 else 3e-9  # softplus: torch stops at 20
    np.testing.assert_allclose(values[0], theirs, rtol=close, atol=1e-37 * (not exact))


def test_the_table_is_complete():
    assert set(EMITTERS) == set(ALL)


LIMITS = {
    "exp": {math.inf: math.inf, -math.inf: 0, -1e4: 0, 1e4: math.inf, 0: 1},
    "expm1": {math.inf: math.inf, -math.inf: -1, -1e4: -1, 1e4: math.inf, 1e-30: 1e-30},
    "tanh": {math.inf: 1, -math.inf: -1, 1e4: 1, -30: -1, 1e-30: 1e-30},
    "sigmoid": {math.inf: 1, -math.inf: 0, 1e4: 1, -1e4: 0, 0: 0.5},
    "log": {0: -math.inf, math.inf: math.inf, 1: 0, -1: math.nan},
    "log1p": {-1: -math.inf, math.inf: math.inf, -2: math.nan, -math.inf: math.nan},
    "softplus": {math.inf: math.inf, -math.inf: 0, 1e4: 1e4, -1e4: 0},
    "logsigmoid": {math.inf: 0, -math.inf: -math.inf, 1e4: 0, -1e4: -1e4},
    "silu": {math.inf: math.inf, 1e4: 1e4, -1e4: 0, 0: 0},
    "sqrt": {math.inf: math.inf, -1: math.nan, 0: 0},
    "cos": {math.inf: math.nan, -math.inf: math.nan, 0: 1},
    "sin": {math.inf: math.nan, -math.inf: math.nan, 1e-30: 1e-30},
}


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("op", FUNCTIONS)
def test_limits(op, dtype, target, flush):
    double = dtype == np.float64
    function = compiled(op, 8 if double else 16, double, target)
    # Below the normal numbers only a NaN or a value far away would be wrong.
    tiny = np.array([1e-39, 1e-45] if dtype == np.float32 else [1e-310, 5e-324], dtype)
    x = np.array([*LIMITS[op], math.nan], dtype)
    if torch.set_flush_denormal(flush) is False and flush:
        pytest.skip("this processor does not flush")
    try:
        value = function(x)
        near_zero = function(tiny)
    finally:
        torch.set_flush_denormal(False)
    np.testing.assert_array_equal(value, np.array([*LIMITS[op].values(), math.nan], dtype))
    if op == "log":
        assert np.isneginf(near_zero).all() if flush else np.isfinite(near_zero).all()
    else:
        at_zero = float(truth(op, np.zeros(1, dtype))[0])
        tolerance = {np.float32: 1e-6, np.float64: 1e-15}[dtype] if at_zero else 1e-18
        np.testing.assert_allclose(near_zero, at_zero, rtol=0, atol=tolerance)


@pytest.mark.parametrize("op", ["tanh", "expm1", "log1p", "relu", "neg", "abs"])
def test_signs_of_zero(op):
    value = compiled(op, 4, False)(np.array([0.0, -0.0]))
    signs = {"neg": [True, False], "abs": [False, False]}.get(op, [False, True])
    assert np.signbit(value).tolist() == signs


@pytest.mark.parametrize("double", [False, True])
def test_huge_angles_are_bounded(double):
    x = np.exp(np.linspace(0, 85, 4000))
    for op in ("sin", "cos"):
        assert (np.abs(compiled(op, 4, double)(x)) <= 1).all()
        below = x[x < 1e6].astype(np.float64 if double else np.float32)
        error = compiled(op, 4, double)(below) - truth(op, below)
        assert np.abs(error).max() < (3e-16 if double else 1.3e-7)


singles = st.floats(width=32)
doubles = st.floats()


def check(op, double, *numbers):
    """Equal to numpy's value, or both NaN."""
    dtype = np.float64 if double else np.float32
    arrays = [np.array([x], dtype) for x in numbers]
    names = {"mod": "remainder"}
    want = getattr(np, names.get(op, op))(*arrays)
    np.testing.assert_array_equal(compiled(op, 4, double)(*arrays), want)
    return dtype, arrays


@settings(deadline=None, max_examples=300)
@given(singles, singles)
def test_pairs_of_singles(x, y):
    for op in ("maximum", "minimum", "mod"):
        check(op, False, x, y)


@settings(deadline=None, max_examples=300)
@given(doubles, doubles)
def test_pairs_of_doubles(x, y):
    for op in ("maximum", "minimum", "mod"):
        check(op, True, x, y)


@pytest.mark.parametrize("target", TARGETS)
@settings(deadline=None, max_examples=100)
@given(st.integers(-(10**6), 10**6), st.floats(0.001, 1000), st.booleans())
def test_remainders_of_usual_sizes(target, whole, divisor, negative):
    divisor = -divisor if negative else divisor
    for double in (False, True):
        dtype = np.float64 if double else np.float32
        y = np.full(7, divisor, dtype)
        steps = np.array([0, 0.25, 0.5, 0.75, 0.999, -0.5, 1e-3])
        x = ((whole + steps) * divisor).astype(dtype)
        mine = compiled("mod", 4, double, target)(x, y)
        want = torch.remainder(torch.from_numpy(x), torch.from_numpy(y)).numpy()
        np.testing.assert_array_equal(mine, want)
        np.testing.assert_array_equal(mine, np.remainder(x, y))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(singles, singles, singles), min_size=1, max_size=9))
def test_where(rows):
    test, x, y = np.array(rows, np.float32).T
    value = compiled("where", 8, False)(test, x, y)
    np.testing.assert_array_equal(value, np.where(test != 0, x, y))


def test_constants_and_fma():
    module = ir.Module("test")
    pointer = ir.PointerType()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer, ir.FloatType()]), "f")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    v = Vectors(builder, 4)
    each = v.constant([1.0, 0.1, math.inf, -3.0])
    builder.store(v.fma(each, v.splat(function.args[1]), v.constant(0.5)), function.args[0], 4)
    builder.ret_void()
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    engine = binding.create_mcjit_compiler(parsed, machine("host"))
    engine.finalize_object()
    entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_float)(
        engine.get_function_address("f")
    )
    out = np.empty(4, np.float32)
    entry(out.ctypes.data, 2.0)
    np.testing.assert_array_equal(out, np.array([2.5, 0.7, math.inf, -5.5], np.float32))
    with pytest.raises(ValueError, match="3 numbers for 4 lanes"):
        v.constant([1.0, 2.0, 3.0])


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("op", FUNCTIONS)
@pytest.mark.skipif(not X86, reason="needs the machines of x86")
def test_no_library_calls(op, double):
    module = binding.parse_assembly(source(op, 16, double))
    kind = binding.Target.from_triple("x86_64-unknown-linux-gnu")
    plain = kind.create_target_machine(cpu="x86-64", features="", reloc="pic", codemodel="small")
    assert "call" not in plain.emit_assembly(module)
