"""How does noise come into each operation of a run? A mode of PyTorch's dispatcher, which sees all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from random import Random
from typing import Any

import numpy as np

from isograd.arithmetic import sizes
from isograd.arithmetic.noise import Places
from isograd.arithmetic.noisy import UNDERFLOWS
from isograd.backends.pytorch.kinks import turn
from isograd.backends.pytorch.noise.known import NORMS, NORMS_EPSILON, SHARED, UNKNOWN, Kind, names
from isograd.backends.pytorch.noise.operations import (
    FAILURES,
    SHORT,
    Operation,
    about,
    each,
    flat,
    form_of,
    is_exact,
    is_moved,
    is_multiple,
    terms_of,
    ulps_of,
    written_to,
)
from isograd.backends.pytorch.noise.updates import LOOPS, one_by_one
from isograd.dtypes import FORMATS, Format
from isograd.framework import Kinks
from isograd.lazy import LazyModule

torch = LazyModule("torch")

try:
    MODE: Any = LazyModule("torch.utils._python_dispatch").TorchDispatchMode
except FAILURES:  # `available` says so
    MODE = object

COUNTS = names(
    """
    p dropout_p dropout start end step steps ord scales scales_d scales_h scales_w scale_factors lambd correction
    """
)
"""Names of arguments that are no constants of arithmetic: chances, ends of ranges, orders of norms, sizes."""

WEIGHTS = frozenset({"label_smoothing", "momentum"})
"""Names of arguments of which 1 − it is held as well, and which some frameworks are given as that."""

SPACING = 3.0
"""So many times as large is the noise of what a model holds in fewer digits: less than half an ULP moves nothing."""

HYPERPARAMETERS_LEFT = frozenset({"params"})


class Noisy(MODE):  # type: ignore[misc] # frameworks come without types
    """A run with noise: `with Noisy(1): loss = …; loss.backward(); optimizer.step()`, of a model in float64.

    The same seed gives the same noise, and torch's own random numbers are not touched. Random operations, complex,
    sparse and whole numbers are left as they are; what a model casts to fewer digits rounds as these do, since a port
    may compute it in another order. Attention runs by its formulas meanwhile.

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
                    group[key] = each(value, partial(self.constant, name=key))

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
            result = func(*args, **kwargs)
            if operation.name == "_to_copy" and is_moved(result) and result.itemsize < args[0].itemsize:
                self._move(result, None, sizes.BASIC)
            return result
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
            return result if result is NotImplemented else written_to(operation, result, args, kwargs)
        if kind is Kind.EACH:
            with self:
                return one_by_one(operation, func, args, kwargs)
        if kind is Kind.UPDATE and kwargs.get("grad_scale") is None:
            with self:
                return LOOPS[operation.name](*args, **kwargs)
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
        if is_exact(operation, args, result):
            return result
        results = [*flat(result)] if not operation.out else [*flat([kwargs.get(name) for name in operation.out])]
        if operation.kind is Kind.SPREAD:
            size = self._spreads(operation, args, kwargs, results)
        if operation.kind is Kind.PRODUCT and size is not None and size[0] is not None:
            self.product = (results[0], size[0])
        ulps, moved = ulps_of(operation, args), False
        for i, one in enumerate(results):
            if is_moved(one):
                self._move(one, size[i] if size else None, ulps)
                moved = True
        for place in operation.written:
            for one in flat(args[place] if place < len(args) else kwargs.get(operation.arguments[place])):
                if is_moved(one):
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
            if operation.name == "div" and type(value) is int and value and not is_multiple(args[0], value):
                return 1 / self.constant(1 / value, "share")  # what a mean hands back
            return each(value, lambda one: self.constant(one, name)) if listed and isinstance(value, list) else value

        return (
            tuple(moved(value, name) for value, name in zip(args, names, strict=False)),
            {name: moved(value, name) for name, value in kwargs.items()},
        )

    def constant(self, value: Any, name: str) -> Any:
        """A constant as float32 may hold it, at its farthest, the same each time.

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
            noise = self.scale * Random(f"{self.seed} {value!r}").choice((-1, 1))  # of few runs each shows all of it
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
            return value.abs() if is_moved(value) else value

        there = {
            name: torch.empty_like(value)
            if name in operation.out and isinstance(value, torch.Tensor)
            else abs(value)
            if name in ("alpha", "beta") and not isinstance(value, torch.Tensor)
            else each(value, absolute)
            for name, value in kwargs.items()
        }
        total = [*flat(func(*(each(value, absolute) for value in args), **there))]
        terms = terms_of(operation, args, kwargs, total)
        more = FORMATS["float32"].roundoff if self.constants and operation.name in SHARED else 0.0
        off = [
            one.mul_(self._form(one).roundoff * math.sqrt(max(n, 1)) + more) if is_moved(one) else None
            for one, n in zip(total, terms, strict=True)
        ]
        if self.constants and operation.name in NORMS:
            off = [one if one is None else one.add_(NORMS_EPSILON * (one != 0)) for one in off]
        return off

    def _spreads(self, operation: Operation, args: Any, kwargs: Any, results: Sequence[Any]) -> list[Any]:
        """Of a variance: u √n √(σ² (σ² + μ²)), and of a standard deviation that over 2 σ; of the mean what it is.

        So far off is Welford's running variance, with √n where the worst case has n (T. F. Chan, G. H. Golub and
        R. J. LeVeque, The American Statistician 37, 1983, table 1).
        """
        given = {**dict(zip(operation.arguments, args, strict=False)), **kwargs}
        x = given["self"]
        if not is_moved(x) or not is_moved(results[0]):
            return [None] * len(results)
        options = {"dim": given.get("dim"), "keepdim": given.get("keepdim", False)}
        root = self._form(x).roundoff * math.sqrt(x.numel() / max(results[0].numel(), 1))
        squares, spread = x.square().mean(**options), results[0]
        size = (squares * spread).sqrt_() if "var" in operation.name else squares.sqrt().mul_(0.5)
        size = size.nan_to_num_(0.0, 0.0, 0.0).maximum(spread.abs().nan_to_num_(0.0, 0.0, 0.0)).mul_(root)
        return [size, *(x.abs().mean(**options).mul_(root) for _ in results[1:])]

    def _form(self, values: Any) -> Format:
        """As what they round: as the mode's dtype, or as their own where a model has cast them to fewer digits."""
        return max(form_of(values.dtype) or self.format, self.format, key=lambda form: form.roundoff)

    # -------------------------------------------------------------- noise

    def _move(self, values: Any, size: Any, ulps: float) -> None:
        """Move values in place, by a size for each or by their own ULPs; 0 and infinities stay what they are."""
        with torch.no_grad():
            form, narrow = self._form(values), 1.0 if values.dtype is torch.float64 else SPACING
            unit = 2 * ulps * form.roundoff * narrow
            if size is None:
                magnitude = values.abs()
                if form.digits < 53 and float(magnitude.min()) * unit > UNDERFLOWS * form.smallest:
                    values.mul_(self._noise(values, unit).add_(1.0))  # fewer passes, and the same
                    return
                size = magnitude * (unit / narrow)
                if ulps > sizes.BASIC:  # an elementary function's may be flushed to 0
                    torch.where(magnitude < form.normal, magnitude, size, out=size)
            size.nan_to_num_(0.0, 0.0, 0.0)
            if values.dtype is torch.float64:
                size.add_((size != 0).to(size.dtype), alpha=form.smallest)  # an underflow costs the smallest number
            values.addcmul_(self._noise(values, narrow), size)

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
        return torch.from_numpy(noise).view(values.shape).to(values.device, values.dtype)


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
