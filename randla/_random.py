"""Random numbers that do not depend on threads, chunks or batches.

Public functions take ``rng=`` as in SPEC 7 (None, int, SeedSequence or Generator). They draw 64-bit
*keys* from it, and everything random inside a kernel is a function of a key and an index:

* *counters*: ``counter_hash(key, i)`` is 64 random bits for index i. Signs, buckets and other
  choices of row i of a matrix come from the *global* row number, so any block of a sketch can be
  made alone.
* *streams*: ``seed_stream(state, key, i)`` starts stream i of a key, a xoshiro256++ generator of
  four words, from which `uniform`, `normal`, ... draw. Row i of a Gaussian sketch, direction i of
  a projection and chain i of a particle smoother are stream i.

Sources: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA (2014),
453-472 (splitmix64); Blackman and Vigna, "Scrambled linear pseudorandom number generators", ACM
Trans. Math. Softw. 47 (2021), arXiv:1805.01407 (xoshiro256++); Marsaglia and Tsang, "The ziggurat
method for generating random variables", J. Stat. Softw. 5 (2000), 1-7; Marsaglia, "Generating a
variable from the tail of the normal distribution", Technometrics 6 (1964), 101-102; Marsaglia and
Tsang, "A simple method for generating gamma variables", ACM Trans. Math. Softw. 26 (2000), 363-372;
Hörmann, "The transformed rejection method for generating Poisson random variables", Insurance Math.
Econom. 12 (1993), 39-45 (PTRS).
"""

import math
from typing import Any, cast

import numpy as np

from randla._jit import inline, kernel
from randla._parallel import part_bounds, run_parts

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S8, _S11, _S12, _S17 = (np.uint64(s) for s in (8, 11, 12, 17))
_S27, _S30, _S31 = (np.uint64(s) for s in (27, 30, 31))
_R19, _R23, _R41, _R45 = (np.uint64(s) for s in (19, 23, 41, 45))
_ONE, _LOW8, _LOW32 = np.uint64(1), np.uint64(0xFF), np.uint64(0xFFFFFFFF)
_S32 = np.uint64(32)
_TO_UNIT = 2.0**-53


# Seeds -------------------------------------------------------------------------------------------


def as_generator(rng: Any) -> np.random.Generator:
    """The Generator for `rng` by SPEC 7, or an error that names it."""
    if isinstance(rng, (float, complex, str, bytes, bool, np.bool_, np.floating)):
        kind = type(rng).__name__
    else:
        try:
            return np.random.default_rng(rng)
        except (TypeError, ValueError) as error:
            if isinstance(rng, (int, np.integer)):
                raise ValueError(f"rng must be a non-negative integer, got {rng}") from error
            kind = type(rng).__name__
    raise TypeError(f"rng must be None, an int, a SeedSequence or a Generator, got {kind}")


def draw_key(rng: Any) -> np.uint64:
    """One 64-bit key; a Generator moves on, so two calls give different keys."""
    return cast(np.uint64, draw_keys(rng, 1)[0])


def draw_keys(rng: Any, n: int) -> np.ndarray:
    """`n` independent 64-bit keys, one for each purpose (signs, rows, directions, ...)."""
    return as_generator(rng).integers(2**64, size=n, dtype=np.uint64)


def generator_from_key(key: np.uint64) -> np.random.Generator:
    """NumPy's generator for the small draws that are made once, outside kernels."""
    return np.random.default_rng(int(key))


# Counters ----------------------------------------------------------------------------------------


@inline
def _finalize(z):
    """The splitmix64 finalizer: a bijection of 64 bits that leaves no visible structure."""
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@kernel
def counter_hash(key, i):
    """64 random bits as a function of (key, i); for i = 0, 1, ... the splitmix64 sequence."""
    return _finalize(np.uint64(key) + (np.uint64(i) + _ONE) * _GOLDEN)


@kernel
def hash_to_range(bits, n):
    """Map the low 32 bits to 0..n-1 without a division (n < 2^32; bias below n 2^-32)."""
    return np.int64(((bits & _LOW32) * np.uint64(n)) >> _S32)


@kernel
def counter_uniforms(key, first, out):
    """Uniform on [0, 1) for rows first, first + 1, ...: functions of the key and the row."""
    for i in range(out.size):
        out[i] = np.float64(counter_hash(key, first + i) >> _S11) * _TO_UNIT


# Small choices, made once -------------------------------------------------------------------------
# NumPy guarantees no fixed stream for ``Generator.choice`` or ``permutation``, and a pickled sketch
# must not depend on a version: so these are functions of a key, the same on every machine.


def hashes(key: np.uint64, n: int) -> np.ndarray:
    """``counter_hash(key, i)`` for i < n, by the kernel's own formula on an array."""
    finalize = getattr(_finalize, "py_func", _finalize)  # plain where the JIT is off
    with np.errstate(over="ignore"):
        return finalize(key + np.arange(1, n + 1, dtype=np.uint64) * _GOLDEN)


def random_signs(key: np.uint64, n: int) -> np.ndarray:
    """The first n bits of the stream of bits that the kernels use, as +1 and -1."""
    words = hashes(key, -(-n // 64))
    bits = (words[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    return 1.0 - 2.0 * bits.reshape(-1)[:n].astype(np.float64)


def random_permutation(key: np.uint64, n: int) -> np.ndarray:
    """A uniform permutation of n, the same on every machine."""
    return np.argsort(hashes(key, n), kind="stable").astype(np.int64)


def sample_without_replacement(key: np.uint64, n: int, m: int) -> np.ndarray:
    """Draw m different numbers below n = 2^k, uniformly, the same on every machine."""
    if 2 * m > n:
        return random_permutation(key, n)[:m]
    n_draws = m + m // 2 + 16  # enough but for rare repetitions
    while True:
        numbers = (hashes(key, n_draws) % np.uint64(n)).astype(np.int64)
        _, first = np.unique(numbers, return_index=True)
        if len(first) >= m:
            return numbers[np.sort(first)[:m]]
        n_draws *= 2


# Streams -----------------------------------------------------------------------------------------


@kernel
def seed_stream(state, key, i):
    """Fill the four words of `state` with the start of stream i of a key."""
    start = counter_hash(key, i)  # a separate key: neighboring streams share nothing
    for k in range(4):
        state[k] = counter_hash(start, k)


def new_stream(key: np.uint64, i: int = 0) -> np.ndarray:
    """State of stream i of a key, for calls from Python."""
    state = np.empty(4, np.uint64)
    seed_stream(state, key, i)
    return state


@kernel
def next_bits(state):
    """64 random bits: one step of xoshiro256++."""
    s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
    total = s0 + s3  # the output mixes the first word and the last
    result = ((total << _R23) | (total >> _R41)) + s0
    s2 ^= s0
    s3 ^= s1
    state[0] = s0 ^ s3
    state[1] = s1 ^ s2
    state[2] = s2 ^ (s1 << _S17)
    state[3] = (s3 << _R45) | (s3 >> _R19)
    return result


@kernel
def uniform(state):
    """Uniform on [0, 1)."""
    return np.float64(next_bits(state) >> _S11) * _TO_UNIT  # 53 bits


# The ziggurat: the area under the density is covered by 256 layers of equal area `v`, the lowest
# of which holds the tail beyond `r`. With x_0 = v / f(r) and x_1 = r, layer k has width x_k, and a
# point of it that lies left of x_{k+1} is accepted at once.


def _ziggurat_tables(
    r: float, v: float, density: Any, inverse: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Widths x_k over 2^52, thresholds on 52 random bits, and densities f(x_k)."""
    x = np.empty(257)
    x[0], x[1] = v / density(r), r  # the base: a rectangle of area v that stands for the tail too
    for k in range(2, 256):
        x[k] = inverse(density(x[k - 1]) + v / x[k - 1])
    x[256] = 0.0  # the top
    return x[:256] * 2.0**-52, (x[1:] / x[:256] * 2.0**52).astype(np.uint64), density(x)


_NORMAL_TAIL = 3.6541528853610088
_NORMAL_WIDTH, _NORMAL_EDGE, _NORMAL_DENSITY = _ziggurat_tables(
    _NORMAL_TAIL,
    0.00492867323399,
    lambda x: np.exp(-0.5 * x * x),
    lambda y: math.sqrt(-2.0 * math.log(y)),
)
_EXP_TAIL = 7.69711747013104972
_EXP_WIDTH, _EXP_EDGE, _EXP_DENSITY = _ziggurat_tables(
    _EXP_TAIL, 0.0039496598225815571993, lambda x: np.exp(-x), lambda y: -math.log(y)
)


@kernel
def normal(state):
    """Standard normal, by the ziggurat (one word of the stream in 98.8% of the draws)."""
    while True:
        bits = next_bits(state)
        layer = np.int64(bits & _LOW8)
        position = bits >> _S12  # 52 bits that share none with the layer or the sign
        sign = 1.0 - 2.0 * np.float64((bits >> _S8) & _ONE)  # bit 8: not one of the layer's
        x = np.float64(position) * _NORMAL_WIDTH[layer]
        if position < _NORMAL_EDGE[layer]:  # left of x_{k+1}: under the density at any height
            return sign * x
        if layer == 0:  # the tail beyond r (Marsaglia 1964)
            while True:
                x = -math.log1p(-uniform(state)) / _NORMAL_TAIL
                y = -math.log1p(-uniform(state))
                if 2.0 * y > x * x:
                    return sign * (_NORMAL_TAIL + x)
        # The strip at the curve.
        low, high = _NORMAL_DENSITY[layer], _NORMAL_DENSITY[layer + 1]
        if low + uniform(state) * (high - low) < math.exp(-0.5 * x * x):
            return sign * x


@kernel
def exponential(state):
    """Exponential with mean 1, by the ziggurat."""
    shift = 0.0
    while True:
        bits = next_bits(state)
        layer = np.int64(bits & _LOW8)
        position = bits >> _S12
        x = np.float64(position) * _EXP_WIDTH[layer]
        if position < _EXP_EDGE[layer]:
            return shift + x
        if layer == 0:  # the tail of an exponential is an exponential
            shift += _EXP_TAIL  # memoryless: start again beyond r
            continue
        low, high = _EXP_DENSITY[layer], _EXP_DENSITY[layer + 1]
        if low + uniform(state) * (high - low) < math.exp(-x):
            return shift + x


@kernel
def gamma(state, shape):
    """Gamma with the given shape and scale 1 (Marsaglia and Tsang; NaN unless shape > 0)."""
    if not shape > 0.0:  # NaN too
        return math.nan
    if shape == math.inf:
        return math.inf
    a = shape if shape >= 1.0 else shape + 1.0  # the method needs a >= 1
    d = a - 1.0 / 3.0  # d v is nearly gamma for v = (1 + c x)^3 (Wilson and Hilferty)
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = normal(state)
        v = 1.0 + c * x
        if v <= 0.0:  # outside the support
            continue
        v = v * v * v
        if exponential(state) > -0.5 * x * x - d + d * v - d * math.log(v):
            break
    if shape >= 1.0:
        return d * v
    return d * v * math.exp(-exponential(state) / shape)  # U^(1/shape) lowers the shape by one


@kernel
def student_t(state, df):
    """Student's t with `df` degrees of freedom (normal for df = inf; NaN unless df > 0)."""
    if df == math.inf:
        return normal(state)
    return normal(state) * math.sqrt(0.5 * df / gamma(state, 0.5 * df))  # z / sqrt(chi^2 / df)


_LARGE_MEAN = 1e8


@kernel
def poisson(state, mean):
    """Poisson count as an int64; -1 unless 0 <= mean < 2^53."""
    if not 0.0 <= mean < 9007199254740992.0:
        return np.int64(-1)
    if mean < 10.0:  # count the unit exponentials that fit into the mean
        count, time = 0, exponential(state)
        while time < mean:
            count += 1
            time += exponential(state)
        return np.int64(count)
    b = 0.931 + 2.53 * math.sqrt(mean)  # PTRS: transformed rejection with squeeze
    a = -0.059 + 0.02483 * b
    log_inverse_alpha = math.log(1.1239 + 1.1328 / (b - 3.4))
    v_r = 0.9277 - 3.6224 / (b - 2.0)
    log_mean = math.log(mean)
    while True:
        u = uniform(state) - 0.5  # constants below: Hörmann (1993), PTRS
        v = 1.0 - uniform(state)
        us = 0.5 - abs(u)
        k = math.floor((2.0 * a / us + b) * u + mean + 0.43) if us > 0.0 else -1.0
        if us >= 0.07 and v <= v_r:  # the squeeze: up to 80% of the draws end here
            return np.int64(k)
        if k < 0.0 or (us < 0.013 and v > us):
            continue
        left = math.log(v) + log_inverse_alpha - math.log(a / (us * us) + b)
        if mean < _LARGE_MEAN:
            log_probability = k * log_mean - mean - math.lgamma(k + 1.0)
        else:  # those terms cancel, with an error up to 60; here by the series of Stirling
            e = (k - mean) / mean
            log_probability = -mean * ((1.0 + e) * math.log1p(e) - e)
            log_probability -= 0.5 * math.log(2.0 * math.pi * k)
        if left <= log_probability:  # accepted against the mass at k
            return np.int64(k)


@kernel
def categorical(state, probabilities):
    """Index drawn with probability proportional to non-negative weights.

    -1 unless their sum is positive and finite, and if one is negative beyond the rounding of a
    difference (which counts as zero).
    """
    total, lowest = 0.0, 0.0
    for k in range(probabilities.size):
        total += probabilities[k]
        lowest = min(lowest, probabilities[k])
    if not (0.0 < total < math.inf and lowest >= -1e-12 * total):
        return np.int64(-1)
    level, last = uniform(state) * total, -1  # inversion; `last`: rounding may pass the end
    for k in range(probabilities.size):
        if probabilities[k] > 0.0:
            last = k
            level -= probabilities[k]
            if level < 0.0:
                break
    return np.int64(last)


# Blocks ------------------------------------------------------------------------------------------


@kernel
def fill_normal_rows(out, key, first):
    """Row k of `out` gets the first normals of stream first + k of the key."""
    state = np.empty(4, np.uint64)
    for k in range(out.shape[0]):  # a stream for each row
        seed_stream(state, key, first + k)
        for j in range(out.shape[1]):
            out[k, j] = normal(state)


def normal_rows(key: np.uint64, first: int, last: int, width: int) -> np.ndarray:
    """Standard normals (last - first, width); row k is a function of (key, first + k) only."""
    out = np.empty((last - first, width))
    bounds = part_bounds(len(out), min(len(out), 16))

    def part(k: int) -> None:
        i, j = bounds[k]
        fill_normal_rows(out[i:j], key, first + i)

    run_parts(part, len(bounds), seconds=8e-9 * out.size)
    return out
