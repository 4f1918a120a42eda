"""What can rounding do to a user's own training? PyTorch in float64, each operation's result moved so much at random.

The forward pass, the backward pass and the optimizer's update all come by as operations of ATen, under autograd. What
is said of their errors is what `isograd.arithmetic.sizes` says of the rules' (docs/judging.md): √n u Σ|terms| of a sum
of n terms, the ULPs of an elementary function, nothing of what is only picked or laid out anew. A kernel that does many
things in one runs as the operations that it stands for, so that noise is within it as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from enum import Enum
from functools import cache, partial
from random import Random
from typing import Any, NamedTuple

import numpy as np

from isograd.arithmetic import sizes
from isograd.arithmetic.noise import Places
from isograd.arithmetic.noisy import UNDERFLOWS
from isograd.arithmetic.words import erf
from isograd.backends.pytorch.kinks import turn
from isograd.dtypes import FORMATS, Format
from isograd.framework import Kinks
from isograd.lazy import LazyModule

torch = LazyModule("torch")
OWN_LOOPS = {name: LazyModule(f"torch.optim.{name}") for name in ("adagrad", "adam", "adamw", "sgd")}
FAILURES = (ImportError, AttributeError, TypeError, ValueError, LookupError, RuntimeError, AssertionError)

try:
    MODE: Any = LazyModule("torch.utils._python_dispatch").TorchDispatchMode
except FAILURES:  # `available` says so
    MODE = object


class Kind(Enum):
    """How an operation's result is moved."""

    EXACT = "not at all: a view, a choice, a copy"
    RANDOM = "not at all: it draws numbers"
    FUNCTION = "by ULPs of each element"
    PRODUCT = "by √n u |A| |B|"
    SUM = "by √n u Σ|terms|"
    SPREAD = "a variance, by √n u of what it cancels"
    WHOLE = "as the operations that it stands for"
    EACH = "as the same operation of each tensor of a list"
    UPDATE = "as the optimizer's own loop"
    UNKNOWN = "by many ULPs of each element"


# ---------------------------------------------------------------- how large


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


CORRECT = _names(
    """
    add sub rsub mul div reciprocal square true_divide addr ger outer hypot deg2rad rad2deg fma
    """
)
"""Rounded once, as IEEE 754 says."""

# ULPs of float32's result against float64's, of a million uniform arguments and of a million whose logarithm is: the
# worst of PyTorch 2.13.0, PaddlePaddle 3.3.1 and NumPy 2.4.6 on the CPU, rounded up; those of `sizes` are taken there.
ULPS: dict[str, float] = {
    "exp": sizes.ACCURACY[np.exp],
    "log": sizes.ACCURACY[np.log],
    "tanh": sizes.ACCURACY[np.tanh],
    "sqrt": sizes.ACCURACY[np.sqrt],
    "log1p": sizes.ACCURACY[np.log1p],
    "expm1": sizes.ACCURACY[np.expm1],
    "sin": sizes.ACCURACY[np.sin],
    "cos": sizes.ACCURACY[np.cos],
    "erf": sizes.ACCURACY[erf],
    "sigmoid": 3.3,  # docs/judging.md: 3.24, NumPy's
    "rsqrt": 2.6,  # 2.50, PaddlePaddle's
    "pow": 1.5,  # 1.47, PyTorch's of exponent −2; PaddlePaddle's is 1.14, NumPy's 1.01
    "tan": 1.6,
    "sinh": 1.8,
    "cosh": 2.5,
    "asin": 3.1,
    "acos": 2.1,
    "atan": 2.1,
    "asinh": 1.6,
    "acosh": 1.8,
    "atanh": 1.7,
    "exp2": 1.1,
    "log2": 2.0,
    "log10": 3.1,
    "lgamma": 2.3,
    "erfc": 0.8,  # PyTorch's alone; so are those below
    "atan2": 0.9,
    "logaddexp": 2.3,
}

UNKNOWN = 16.0
"""ULPs of each element of a result of which nothing is known: twice the worst elementary function's."""

# n of √n where the shapes do not say it: factors of a product, steps of an interpolation and of a few others.
PRODUCTS = _names(
    """
    mm bmm addmm baddbmm addbmm mv addmv dot vdot convolution convolution_overrideable convolution_backward _trilinear
    linear matmul mkldnn_convolution
    """
)
POOLS = _names(
    """
    avg_pool1d avg_pool2d avg_pool3d avg_pool2d_backward avg_pool3d_backward col2im im2col_backward
    """
)
SCATTERED = _names("scatter_add scatter_reduce index_add index_put _index_put_impl _unsafe_index_put")
SHARED = _names(
    """
    avg_pool2d_backward avg_pool3d_backward _adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward
    """
)
"""Sums of gradients' shares: a share, one over a number, is a constant that some libraries hold in float32."""

UPSAMPLED = _names(
    """
    upsample_linear1d_backward upsample_bilinear2d_backward upsample_trilinear3d_backward upsample_bicubic2d_backward
    upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d
    """
)
SUMS = (
    POOLS
    | SCATTERED
    | UPSAMPLED
    | _names(
        """
    sum nansum mean cumsum trace linalg_vector_norm norm prod cumprod logcumsumexp embedding_dense_backward
    _embedding_bag _embedding_bag_dense_backward _adaptive_avg_pool2d _adaptive_avg_pool3d unfold_backward
    _adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward segment_reduce reflection_pad1d_backward
    reflection_pad2d_backward reflection_pad3d_backward replication_pad1d_backward replication_pad2d_backward
    replication_pad3d_backward upsample_nearest1d_backward upsample_nearest2d_backward upsample_nearest3d_backward
    _upsample_nearest_exact1d_backward _upsample_nearest_exact2d_backward _upsample_nearest_exact3d_backward
    max_pool2d_with_indices_backward max_pool3d_with_indices_backward adaptive_max_pool2d_backward
    adaptive_max_pool3d_backward fractional_max_pool2d_backward fractional_max_pool3d_backward _cdist_forward
    _pdist_forward
    """
    )
)
SPREADS = _names("var std var_mean std_mean")

EXACT = _names(
    """
    clone copy _to_copy contiguous zeros zeros_like ones ones_like full full_like new_full new_ones new_zeros fill zero
    empty empty_like empty_strided new_empty new_empty_strided scalar_tensor lift lift_fresh lift_fresh_copy arange eye
    set resize neg abs sign sgn positive relu threshold threshold_backward hardtanh hardtanh_backward relu6 clamp
    clamp_min clamp_max clip maximum minimum fmax fmin max min amax amin aminmax cummax cummin _cummax_helper
    _cummin_helper sort topk kthvalue median nanmedian mode argsort unique _unique2 where gather embedding index
    _unsafe_index index_select index_fill index_copy take put masked_fill masked_select masked_scatter
    _unsafe_masked_index scatter select_scatter slice_scatter diagonal_scatter as_strided_scatter cat stack hstack
    vstack repeat repeat_interleave tile roll flip rot90 tril triu diag diag_embed block_diag constant_pad_nd pad
    reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d im2col
    unfold pixel_shuffle pixel_unshuffle channel_shuffle _unsafe_view unsafe_split unsafe_split_with_sizes unsafe_chunk
    _reshape_alias _reshape_copy split_with_sizes slice_backward select_backward diagonal_backward
    value_selecting_reduction_backward max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d
    adaptive_max_pool3d fractional_max_pool2d fractional_max_pool3d max_unpool2d max_unpool3d upsample_nearest1d
    upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
    floor ceil round trunc frac fmod copysign signbit heaviside nan_to_num ldexp nextafter frexp hardshrink
    hardshrink_backward softshrink_backward gt ge lt le eq ne isnan isinf isfinite isclose equal all any logical_and
    logical_or logical_not logical_xor _local_scalar_dense item argmax argmin nonzero bucketize searchsorted one_hot
    count_nonzero real imag view_as_real view_as_complex complex broadcast_in_dim convert_element_type device_put
    squeeze unsqueeze transpose t swapaxes as_strided bitwise_and bitwise_or bitwise_not bitwise_xor detach
    _pack_padded_sequence _pack_padded_sequence_backward _pad_packed_sequence _nested_tensor_from_mask alias
    rrelu_with_noise_backward _conj conj_physical _efficientzerotensor
    """
)
ROUNDED_AT_WILL = _names("_prelu_kernel _prelu_kernel_backward leaky_relu leaky_relu_backward masked_scale")
"""Rounded once where they are not exact."""

WHOLE = _names(
    """
    native_layer_norm native_layer_norm_backward native_batch_norm native_batch_norm_backward _native_batch_norm_legit
    _native_batch_norm_legit_no_training _batch_norm_with_update _batch_norm_no_update batch_norm_backward
    native_group_norm native_group_norm_backward _fused_rms_norm _fused_rms_norm_backward _weight_norm_interface
    _softmax _softmax_backward_data _safe_softmax _log_softmax _log_softmax_backward_data logsumexp gelu gelu_backward
    silu silu_backward mish mish_backward elu elu_backward celu selu glu glu_backward hardsigmoid hardsigmoid_backward
    hardswish hardswish_backward softplus softplus_backward log_sigmoid_forward log_sigmoid_backward sigmoid_backward
    tanh_backward logit logit_backward softshrink native_dropout_backward xlogy special_xlog1py sinc mse_loss
    mse_loss_backward smooth_l1_loss smooth_l1_loss_backward huber_loss huber_loss_backward binary_cross_entropy
    binary_cross_entropy_backward binary_cross_entropy_with_logits soft_margin_loss soft_margin_loss_backward
    nll_loss_forward nll_loss_backward nll_loss2d_forward nll_loss2d_backward multi_margin_loss
    multilabel_margin_loss_forward addcmul addcdiv lerp linalg_cross _scaled_dot_product_flash_attention_for_cpu
    grid_sampler_2d upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d pdist _euclidean_dist
    affine_grid_generator remainder dist renorm
    """
)
"""What runs as a decomposition of PyTorch's, where that is to be had."""

STATISTICS = {"native_batch_norm": (3, 4), "cudnn_batch_norm": (3, 4), "miopen_batch_norm": (3, 4)}
"""Arguments that are written to though the schema does not say so: running statistics."""

COUNTS = _names(
    """
    p dropout_p dropout start end step steps ord scales scales_d scales_h scales_w scale_factors lambd correction
    """
)
"""Names of arguments that are no constants of arithmetic: chances, ends of ranges, orders of norms, sizes."""

WEIGHTS = frozenset({"label_smoothing", "momentum"})
"""Names of arguments of which 1 − it is held as well, and which some frameworks are given as that."""

SIXTH = 1 / 6
SHORT = {SIXTH: 2e-7}
"""Constants that a library writes with few digits, and how far off that is: PaddlePaddle's slope of a hard sigmoid."""

HYPERPARAMETERS_LEFT = frozenset({"params"})


class Operation(NamedTuple):
    """What is known of an operation.

    Attributes:
        kind: how its result is moved.
        name: its own, without a mark of writing in place.
        arguments: the names of its arguments.
        rule: what it stands for, if anything.
        ulps: of each element.
        in_place: whether it writes to its first argument.
        out: the names of the arguments that it writes its results to.
        written: the places of other arguments that it writes to.
    """

    kind: Kind
    name: str
    arguments: tuple[str, ...]
    rule: Callable[..., Any] | None
    ulps: float
    in_place: bool
    out: tuple[str, ...]
    written: tuple[int, ...]


@cache
def _rules() -> dict[Any, Callable[..., Any]]:
    """The decompositions, by operation; none where this PyTorch does not give them away."""
    try:
        given = LazyModule("torch._decomp").get_decompositions
        packets = (getattr(torch.ops.aten, name, None) for name in sorted(WHOLE))
        rules: dict[Any, Callable[..., Any]] = given([packet for packet in packets if packet is not None])
    except FAILURES:
        return {}
    return {**rules, torch.ops.aten.hardsigmoid.default: _hardsigmoid}


def _hardsigmoid(x: Any) -> Any:
    """By its slope, a sixth, which some libraries write with seven digits, and not by a division by 6."""
    return torch.clamp(x * SIXTH + 0.5, 0, 1)


def _plain_name(func: Any) -> tuple[str, bool]:
    name = func._schema.name.split("::")[1]
    in_place = name.endswith("_") and not name.endswith("__")
    return name.rstrip("_") if in_place else name, in_place


def _rule(func: Any, name: str) -> Callable[..., Any] | None:
    """What an operation stands for; in place, or with ``out``, that of the same without."""
    rules = _rules()
    packet = getattr(torch.ops.aten, name, None)
    overload = func._overloadname
    for wanted in (overload, overload.removesuffix("_out"), "default"):
        found = getattr(packet, wanted, None) if wanted else None
        if found in rules and (found is func or "out" not in wanted):
            return rules[found]
    return None


@cache
def about(func: Any) -> Operation:
    """What is known of an operation of PyTorch."""
    schema = func._schema
    name, in_place = _plain_name(func)
    rule = _rule(func, name) if name in WHOLE else None
    kind, ulps = _kind(func, name, rule)
    written = [i for i, a in enumerate(schema.arguments) if a.alias_info is not None and a.alias_info.is_write]
    out = tuple(a.name for a in schema.arguments if getattr(a, "is_out", False))
    aliased = any(r.alias_info is not None for r in schema.returns)
    return Operation(
        kind,
        name,
        tuple(a.name for a in schema.arguments),
        rule,
        ulps,
        in_place,
        out,
        STATISTICS.get(name, () if aliased or out else tuple(written)),
    )


def _kind(func: Any, name: str, rule: Callable[..., Any] | None) -> tuple[Kind, float]:
    aliases = [r.alias_info for r in func._schema.returns]
    if torch.Tag.nondeterministic_seeded in func.tags:
        return Kind.RANDOM, 0.0
    if rule is not None:
        return Kind.WHOLE, 0.0
    if name.startswith("_foreach_"):
        return Kind.EACH, 0.0
    if name in UPDATES:
        return Kind.UPDATE, 0.0
    for kind, names in ((Kind.PRODUCT, PRODUCTS), (Kind.SUM, SUMS), (Kind.SPREAD, SPREADS)):
        if name in names:
            return kind, 0.0
    if name in CORRECT | ROUNDED_AT_WILL or name in ULPS:
        return Kind.FUNCTION, ULPS.get(name, sizes.BASIC)
    is_view = bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases)
    of_tensors = any("Tensor" in str(r.type) for r in func._schema.returns)
    written = any(a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments)
    if name in EXACT or name.endswith("_copy") or is_view or not (of_tensors or written):
        return Kind.EXACT, 0.0
    return Kind.UNKNOWN, UNKNOWN


# ---------------------------------------------------------------- the mode


class Noisy(MODE):  # type: ignore[misc] # frameworks come without types
    """A run with noise: `with Noisy(1): loss = …; loss.backward(); optimizer.step()`, of a model in float64.

    The same seed gives the same noise, and torch's own random numbers are not touched. Random operations, complex,
    sparse and whole numbers, and whatever is not in float64 are left as they are. Attention runs by
    its formulas meanwhile.

    Args:
        seed: of the noise.
        dtype: whose rounding the noise is as large as.
        scale: so many times.
        constants: whether constants are moved as well, each by what float32 does to it, alike wherever it comes.
        kinks: who is told where an operation goes one of two ways.

    Attributes:
        unknown: the names of operations that came by of which nothing is known; their results were moved by `UNKNOWN`.
    """

    def __init__(
        self,
        seed: int,
        dtype: str = "float32",
        scale: float = 1.0,
        constants: bool = True,
        kinks: Kinks | None = None,
    ) -> None:
        super().__init__()
        self.kinks = kinks
        self.seed, self.scale, self.constants = seed, float(scale), constants
        self.format: Format = FORMATS[dtype]
        self.roundoff = self.format.roundoff
        self.unknown: set[str] = set()
        self.depth, self.settings = 0, ExitStack()
        self._scales, self._places = np.array([self.scale]), Places(seed, 1, slice(0, 1))
        self.product: tuple[Any, Any] = (None, None)  # the last one, and how far it may be off
        self._moved: dict[tuple[float, bool], float] = {}

    # -------------------------------------------------------------- around a run

    def __enter__(self) -> Any:
        if not self.depth:
            self.settings.enter_context(_formulas())
        self.depth += 1
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.depth -= 1
        if not self.depth:
            self.settings.close()

    def hyperparameters(self, optimizer: Any) -> None:
        """Move an optimizer's lr, betas, eps and so on: from some of them it computes others in Python, as 1 − βᵗ.

        Before a schedule is made, so that its rates follow. A second call changes nothing.
        """
        for group in optimizer.param_groups:
            for key, value in group.items():
                if key not in HYPERPARAMETERS_LEFT:
                    group[key] = _each(value, partial(self.constant, name=key))

    # -------------------------------------------------------------- one operation

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The operation's result, moved."""
        kwargs = kwargs or {}
        operation = about(func)
        if operation.kind is Kind.RANDOM:
            return func(*args, **kwargs)
        if self.constants:
            args, kwargs = self._held(operation, args, kwargs)
        if self.kinks is not None and operation.kind is not Kind.WHOLE:
            turn(operation.name, {**dict(zip(operation.arguments, args, strict=False)), **kwargs}, self.kinks)
        if operation.kind is Kind.EXACT:
            return func(*args, **kwargs)
        result = self._in_parts(operation, func, args, kwargs)
        return self._at_once(operation, func, args, kwargs) if result is NotImplemented else result

    def _in_parts(self, operation: Operation, func: Any, args: Any, kwargs: Any) -> Any:
        """By other operations, which come by here in their turn; NotImplemented where there are none."""
        kind = operation.kind
        if kind is Kind.WHOLE and operation.rule is not None:
            given = {key: value for key, value in kwargs.items() if key not in operation.out}
            with self:
                result = operation.rule(*args, **given)
            if operation.name == "_softmax_backward_data":
                self._as_fused(args[0], args[1], args[2], result)
            return result if result is NotImplemented else _written(operation, result, args, kwargs)
        if kind is Kind.EACH:
            with self:
                return _one_by_one(operation, func, args, kwargs)
        if kind is Kind.UPDATE and kwargs.get("grad_scale") is None:
            with self:
                return UPDATES[operation.name](*args, **kwargs)
        alpha = kwargs.get("alpha", 1)
        if operation.name in ("add", "sub") and alpha != 1 and isinstance(args[1], torch.Tensor):
            rest = {key: value for key, value in kwargs.items() if key != "alpha"}
            with self:
                return func(args[0], torch.mul(args[1], alpha), **rest)
        if kind is Kind.UNKNOWN and func.namespace == "aten" and not operation.out:
            with self:  # what comes by whole where nothing is differentiated
                return func.decompose(*args, **kwargs)
        return NotImplemented

    def _at_once(self, operation: Operation, func: Any, args: Any, kwargs: Any) -> Any:
        if not self.scale:
            return func(*args, **kwargs)
        size = self._size(operation, func, args, kwargs)  # before anything is written to
        result = func(*args, **kwargs)
        if _is_exact(operation, args, result):
            return result
        results = [*_flat(result)] if not operation.out else [*_flat([kwargs.get(name) for name in operation.out])]
        if operation.kind is Kind.SPREAD:
            size = self._spreads(operation, args, kwargs, results)
        if operation.kind is Kind.PRODUCT and size is not None and size[0] is not None:
            self.product = (results[0], size[0])
        ulps, moved = _ulps(operation, args), False
        for i, one in enumerate(results):
            if _is_moved(one):
                self._move(one, size[i] if size else None, ulps)
                moved = True
        for place in operation.written:
            for one in _flat(args[place] if place < len(args) else kwargs.get(operation.arguments[place])):
                if _is_moved(one):
                    self._move(one, None, UNKNOWN)
                    moved = True
        if moved and operation.kind is Kind.UNKNOWN:
            self.unknown.add(func._schema.name)
        return result

    def _as_fused(self, gradient: Any, output: Any, dim: int, result: Any) -> None:
        """Move a softmax's gradient by what it is off where attention is fused, besides.

        Of weights P with the gradient dP = dO Vᵀ it is P ∘ (dP − Σ dP ∘ P), and a fused kernel takes Σ dO ∘ O for the
        sum (T. Dao et al., *FlashAttention*, 2022, appendix B.4): that has errors of its own, as large as those of dP.
        Where a row sees one key only, so that there is no gradient, they are all there is.
        """
        product, size = self.product
        if product is None or product.numel() != gradient.numel() or product.data_ptr() != gradient.data_ptr():
            return
        total = (output * size.reshape(gradient.shape)).sum(dim, keepdim=True)
        result.sub_(output * (self._noise(total) * total))

    # -------------------------------------------------------------- constants

    def _held(self, operation: Operation, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Arguments, with their constants as float32 may hold them."""
        names = operation.arguments
        listed = operation.kind is Kind.EACH

        def moved(value: Any, name: str) -> Any:
            if isinstance(value, float):
                return value if name in COUNTS else self.constant(value, name)
            if operation.name == "div" and type(value) is int and value:
                return 1 / self.constant(1 / value, "share")  # what a mean hands back
            return _each(value, lambda one: self.constant(one, name)) if listed and isinstance(value, list) else value

        return (
            tuple(moved(value, name) for value, name in zip(args, names, strict=False)),
            {name: moved(value, name) for name, value in kwargs.items()},
        )

    def constant(self, value: Any, name: str) -> Any:
        """A constant as float32 may hold it, the same each time.

        Where it is 1 − another, it may have been that other that was held: 1 − 0.9 is off by u 0.9, and not by u 0.1.
        In float64 it is that other's digits that are few.
        """
        if not isinstance(value, float) or not self.constants or value == 0 or not math.isfinite(value):
            return value
        value, rest_is_held = float(value), name in WEIGHTS  # NumPy's own number is none that decompositions take
        if (value, rest_is_held) not in self._moved:
            unit = FORMATS["float32"].roundoff  # of every dtype: frameworks keep constants so in float64 too
            off = 0.0 if float(np.float32(value)) == value else 1.0
            off = max(off, SHORT.get(value, 0.0) / unit)
            rest = 1 - value
            if 0 < value < 1 and (rest_is_held or len(repr(rest)) + 4 < len(repr(value))):
                off = max(off, rest / value)
            noise = self.scale * Random(f"{self.seed} {value!r}").uniform(-1, 1)
            moved = value * (1 + unit * off * noise)
            moved = moved if math.isfinite(moved) else value  # a mask of the largest number that there is
            self._moved[value, rest_is_held] = moved
            self._moved |= dict.fromkeys([(moved, True), (moved, False)] if moved != value else [], moved)
        return self._moved[value, rest_is_held]

    # -------------------------------------------------------------- sizes

    def _size(self, operation: Operation, func: Any, args: Any, kwargs: Any) -> list[Any] | None:
        """Of a product or a sum: √n u times what it is of absolute values."""
        if operation.kind not in (Kind.PRODUCT, Kind.SUM):
            return None

        def absolute(value: Any) -> Any:
            return value.abs() if _is_moved(value) else value

        there = {
            name: torch.empty_like(value)
            if name in operation.out and isinstance(value, torch.Tensor)
            else abs(value)
            if name in ("alpha", "beta") and not isinstance(value, torch.Tensor)
            else _each(value, absolute)
            for name, value in kwargs.items()
        }
        total = [*_flat(func(*(_each(value, absolute) for value in args), **there))]
        terms = _terms(operation, args, kwargs, total)
        more = FORMATS["float32"].roundoff if self.constants and operation.name in SHARED else 0.0
        return [
            one.mul_(self.roundoff * math.sqrt(max(n, 1)) + more) if _is_moved(one) else None
            for one, n in zip(total, terms, strict=True)
        ]

    def _spreads(self, operation: Operation, args: Any, kwargs: Any, results: Sequence[Any]) -> list[Any]:
        """Of a variance: u √n √(σ² (σ² + μ²)), and of a standard deviation that over 2 σ; of the mean what it is.

        So far off is Welford's running variance, with √n where the worst case has n (T. F. Chan, G. H. Golub and
        R. J. LeVeque, The American Statistician 37, 1983, table 1).
        """
        given = {**dict(zip(operation.arguments, args, strict=False)), **kwargs}
        x = given["self"]
        if not _is_moved(x) or not _is_moved(results[0]):
            return [None] * len(results)
        options = {"dim": given.get("dim"), "keepdim": given.get("keepdim", False)}
        root = self.roundoff * math.sqrt(x.numel() / max(results[0].numel(), 1))
        squares, spread = x.square().mean(**options), results[0]
        size = (squares * spread).sqrt_() if "var" in operation.name else squares.sqrt().mul_(0.5)
        size = size.nan_to_num_(0.0, 0.0, 0.0).maximum(spread.abs().nan_to_num_(0.0, 0.0, 0.0)).mul_(root)
        return [size, *(x.abs().mean(**options).mul_(root) for _ in results[1:])]

    # -------------------------------------------------------------- noise

    def _move(self, values: Any, size: Any, ulps: float) -> None:
        """Move values in place, by a size for each or by their own ULPs; 0 and infinities stay what they are."""
        with torch.no_grad():
            form, unit = self.format, 2 * ulps * self.roundoff
            if size is None:
                magnitude = values.abs()
                if form.digits < 53 and float(magnitude.min()) * unit > UNDERFLOWS * form.smallest:
                    values.mul_(self._noise(values, unit).add_(1.0))  # fewer passes, and the same
                    return
                size = magnitude * unit
                if ulps > sizes.BASIC:  # an elementary function's may be flushed to 0
                    torch.where(magnitude < form.normal, magnitude, size, out=size)
            size.nan_to_num_(0.0, 0.0, 0.0)
            if values.dtype is torch.float64:
                size.add_((size != 0).to(size.dtype), alpha=form.smallest)  # an underflow costs the smallest number
            values.addcmul_(self._noise(values), size)

    def _noise(self, values: Any, unit: float = 1.0) -> Any:
        """Uniform between ± the scale times a unit, for each value."""
        number = values.numel()
        pieces = self._places.pieces(number, self._scales * unit)
        _, piece, noise = next(pieces)
        if piece.stop < number:
            whole = np.empty(number)
            whole[piece] = noise
            for _, piece, noise in pieces:
                whole[piece] = noise
            noise = whole
        there = torch.from_numpy(noise).view(values.shape)
        return there if values.device.type == "cpu" else there.to(values.device)


@contextmanager
def _formulas() -> Iterator[None]:
    """Attention by its formulas, and encoders layer by layer: what their fused kernels do cannot be seen."""
    backends = torch.backends
    switches = [
        (backends.cuda, f"{name}_sdp_enabled", f"enable_{name}_sdp", name == "math")
        for name in ("flash", "mem_efficient", "cudnn", "math")
    ]
    if hasattr(backends, "mha"):
        switches.append((backends.mha, "get_fastpath_enabled", "set_fastpath_enabled", False))
    switches = [switch for switch in switches if hasattr(switch[0], switch[1]) and hasattr(switch[0], switch[2])]
    before = [getattr(place, ask)() for place, ask, _, _ in switches]
    for place, _, switch, value in switches:
        getattr(place, switch)(value)
    try:
        yield
    finally:
        for (place, _, switch, _), value in zip(switches, before, strict=True):
            getattr(place, switch)(value)


# ---------------------------------------------------------------- of one operation


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """A value, or each of a list or tuple of them."""
    if type(value) in (list, tuple):
        return type(value)(_each(one, change) for one in value)
    return change(value)


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for one in value:
            yield from _flat(one)
    else:
        yield value


def _is_moved(value: Any) -> bool:
    """Whether it is a tensor that has noise: of float64, laid out as numbers, with some in it."""
    return (
        isinstance(value, torch.Tensor)
        and value.dtype is torch.float64
        and value.layout is torch.strided
        and value.numel() > 0
    )


def _is_exact(operation: Operation, args: Any, result: Any) -> bool:
    """Whether nothing rounds after all: times a power of two, or a count of steps."""
    name = operation.name
    if operation.kind is not Kind.FUNCTION or operation.ulps != sizes.BASIC or len(args) < 2:
        return name in ("index_put", "_index_put_impl", "_unsafe_index_put") and not any(args[3:4])
    if name in ("mul", "div") and isinstance(args[1], int | float):
        return abs(math.frexp(args[1])[0]) == 0.5
    return bool(
        name in ("add", "sub")
        and not isinstance(args[1], torch.Tensor)
        and isinstance(result, torch.Tensor)
        and result.dim() == 0
        and float(result).is_integer()
    )


def _ulps(operation: Operation, args: Any) -> float:
    """Of each element; some powers are computed as what they are."""
    if operation.name != "pow" or isinstance(args[1], torch.Tensor):
        return operation.ulps
    return {1.0: 0.0, 2.0: sizes.BASIC, 0.5: ULPS["sqrt"], -0.5: ULPS["rsqrt"]}.get(float(args[1]), operation.ulps)


def _written(operation: Operation, result: Any, args: Any, kwargs: Any) -> Any:
    """A result, put where the operation is to write it."""
    places = [args[0]] if operation.in_place else [kwargs[name] for name in operation.out if name in kwargs]
    if not places:
        return result
    for place, one in zip(places, _flat(result), strict=False):
        (place if place.shape == one.shape else place.resize_(one.shape)).copy_(one)
    return places[0] if len(places) == 1 else tuple(places)


def _terms(operation: Operation, args: Any, kwargs: Any, results: Sequence[Any]) -> list[float]:
    """How many terms are added up for an element of each result."""
    name = operation.name
    if name == "convolution_backward":
        return _terms_of_convolution_backward(*args[:3], transposed=args[7], groups=args[9])
    given = {**dict(zip(operation.arguments, args, strict=False)), **kwargs}
    return [float(_number(name, args, given, results))] * len(results)


def _terms_of_convolution_backward(out: Any, x: Any, weight: Any, *, transposed: bool, groups: int) -> list[float]:
    of_input = weight[0].numel() if transposed else weight[:, 0].numel() / groups
    of_weight = max(x[:, 0].numel(), out[:, 0].numel()) if transposed else out[:, 0].numel()
    return [of_input, of_weight, out[:, 0].numel()]


def _number(name: str, args: Any, given: Any, results: Sequence[Any]) -> Any:
    """The same for an operation whose results all have as many."""
    first = args[0] if isinstance(args[0], torch.Tensor) else results[0]
    if "convolution" in name:
        weight = given["weight"]
        return weight[:, 0].numel() / given.get("groups", 1) if given.get("transposed") else weight[0].numel()
    if name == "_trilinear":
        return math.prod(args[1].shape[1:])
    if name in PRODUCTS:
        factor = args[1] if name in ("addmm", "baddbmm", "addbmm", "addmv") else first
        return factor.shape[-1] * (factor.shape[0] if name == "addbmm" else 1)
    if name in UPSAMPLED:  # a place between two elements is off by u times where it is
        return max(max(one.shape[2:], default=1) for one in (first, results[0])) ** 2
    if name in POOLS:
        size = given.get("kernel_size", 1)
        return math.prod(size) ** (1 if len(size) > 1 else first.dim() - 2) if isinstance(size, list | tuple) else size
    if name in ("cumsum", "cumprod", "logcumsumexp", "prod"):
        dim = given.get("dim")
        return first.numel() if dim is None or not first.dim() else first.shape[dim]
    if name in ("embedding_dense_backward", "index_put", "_index_put_impl", "_unsafe_index_put"):
        indices = [one for one in _flat(given["indices"]) if isinstance(one, torch.Tensor)]
        return max((one.numel() for one in indices), default=1)
    if name in SCATTERED:
        return given["index"].numel() if name == "index_add" else given["index"].shape[given["dim"]]
    if name.startswith("_cdist") or name.startswith("_pdist"):
        return first.shape[-1]
    largest = max((one.numel() for one in _flat(list(args)) if _is_moved(one)), default=1)
    return max(4.0 if "backward" in name else 1.0, largest / max(results[0].numel(), 1))


# ---------------------------------------------------------------- lists, and whole updates


def _one_by_one(operation: Operation, func: Any, args: Any, kwargs: Any) -> Any:
    """An operation of lists, as the same of each of their tensors."""
    lists = [value for value in args if isinstance(value, list | tuple)]
    if not lists or func._overloadname.endswith("out"):
        return NotImplemented
    number, name = len(lists[0]), operation.name.removeprefix("_foreach_")
    one = getattr(torch.ops.aten, name + "_" * operation.in_place, None)
    if name == "norm":
        one = torch.linalg.vector_norm
    if one is None:
        return NotImplemented
    given = {**dict(zip(operation.arguments, args, strict=False)), **kwargs}
    for key in ("scalars", "value"):
        if key in given and name in ("addcmul", "addcdiv"):
            scalars = given.pop(key)
            given["value"] = scalars.tolist() if isinstance(scalars, torch.Tensor) else scalars
    by_name = {key: given[key] for key in ("value", "alpha", "dtype") if key in given and given[key] is not None}
    by_place = [value for key, value in given.items() if key not in ("value", "alpha", "dtype")]

    def at(value: Any, i: int) -> Any:
        return value[i] if isinstance(value, list | tuple) and len(value) == number else value

    results = [
        one(*(at(value, i) for value in by_place), **{key: at(value, i) for key, value in by_name.items()})
        for i in range(number)
    ]
    if not func._schema.returns:
        return None
    return args[0] if operation.in_place else results


def _adam(decoupled: bool) -> Callable[..., None]:
    def update(p: Any, grads: Any, m: Any, v: Any, largest: Any, steps: Any, **options: Any) -> None:
        own = OWN_LOOPS["adamw"].adamw if decoupled else OWN_LOOPS["adam"].adam
        before = [step - 1 for step in steps]  # the fused kernel finds it counted already
        own(p, grads, m, v, largest, before, foreach=False, fused=False, **_numbers(options))

    return update


def _sgd(p: Any, grads: Any, buffers: Any, **options: Any) -> None:
    first = options.pop("is_first_step", False)
    held = [None if first else buffer for buffer in buffers] if buffers else [None] * len(p)
    OWN_LOOPS["sgd"].sgd(p, grads, held, foreach=False, fused=False, **_numbers(options))
    if first and buffers:
        for buffer, value in zip(buffers, held, strict=True):
            buffer.copy_(value)


def _adagrad(p: Any, grads: Any, sums: Any, steps: Any, **options: Any) -> None:
    own, before = OWN_LOOPS["adagrad"].adagrad, [step - 1 for step in steps]
    own(p, grads, sums, before, foreach=False, fused=False, **_numbers(options))


def _numbers(options: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in options.items() if key not in ("grad_scale", "found_inf")}
    return {key: float(value) if isinstance(value, torch.Tensor) else value for key, value in kept.items()}


UPDATES: dict[str, Callable[..., None]] = {
    "_fused_adam": _adam(decoupled=False),
    "_fused_adamw": _adam(decoupled=True),
    "_fused_sgd": _sgd,
    "_fused_adagrad": _adagrad,
}


# ---------------------------------------------------------------- whether it is to be had


@cache
def available() -> str:
    """Why noisy runs cannot be had of this PyTorch, or ""; it is tried with a small model."""
    try:
        version = torch.__version__
    except FAILURES as error:
        return f"PyTorch cannot be imported: {error}"
    try:
        plain, noisy = _tried(ExitStack()), _tried(Noisy(0))
    except FAILURES as error:
        return f"PyTorch {version} does not let operations be followed as isograd does: {type(error).__name__}: {error}"
    off = float((noisy - plain).abs().max())
    if not 0 < off < 1e-3:
        return f"in PyTorch {version} noise does not come through: it moved a small model's weights by {off:g}"
    return ""


def _tried(around: AbstractContextManager[Any]) -> Any:
    """The weights after one step, without a random number of PyTorch's."""
    x = torch.linspace(-1.0, 1.0, 12, dtype=torch.float64).reshape(4, 3)
    weight = torch.linspace(0.1, 0.9, 9, dtype=torch.float64).reshape(3, 3).requires_grad_()
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    with around:
        loss = torch.nn.functional.layer_norm(torch.nn.functional.linear(x, weight), (3,)).square().mean()
        loss.backward()
        optimizer.step()
    return weight.detach()
