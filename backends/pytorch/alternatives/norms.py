"""What can a norm have been instead, or a variance?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from isograd.backends.pytorch.alternatives.building import Args, Call, Options, Table, given, instead
from isograd.framework import Other
from isograd.lazy import LazyModule

torch: Any = LazyModule("torch")

UNBIASED = "divided by the unbiased deviation there (n − 1, not n)"


def _of_norms(args: Args, options: Options) -> Iterator[Other]:
    yield Other("left out there: the norm is missing", instead(lambda x: x + 0))


def _of_batch_norm(args: Args, options: Options) -> Iterator[Other]:
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    x, axes = args[0], [0, *range(2, args[0].dim())]

    def by_hand(axes: Sequence[int], correction: int = 0) -> Call:
        def call(f: Any, a: Args, o: Options) -> Any:
            f(*a, **o)  # the running statistics
            of = {**dict(zip(names, a, strict=False)), **o}
            shape = [1, -1] + [1] * (x.dim() - 2)
            weight, bias = (None if of.get(n) is None else of[n].reshape(shape) for n in ("weight", "bias"))
            mean, variance = _mean_over(axes)(a[0]), _variance_over(axes, correction)(a[0])
            return _normalised(a[0] - mean, variance, of.get("eps", 1e-5), weight, bias)

        return call

    yield Other(UNBIASED, by_hand(axes, 1))
    if x.dim() > 2:
        yield Other("normalised over the places of each sample there (instance norm)", by_hand(axes[1:]))
        yield Other("normalised over the samples alone there, at each place", by_hand([0]))


def _of_layer_norm(args: Args, options: Options) -> Iterator[Other]:
    x, shape = args[:2]
    eps = given(args, options, "eps", 4, 1e-5)
    axes = tuple(range(-len(shape), 0))
    mean = _mean_over(axes)

    def by_hand(mean: Callable[[Any], Any], variance: Callable[[Any], Any]) -> Call:
        def call(f: Any, a: Args, o: Options) -> Any:
            weight, bias = given(a, o, "weight", 2), given(a, o, "bias", 3)
            return _normalised(a[0] - mean(a[0]), variance(a[0]), eps, weight, bias)

        return call

    rms = by_hand(lambda x: torch.zeros_like(mean(x)), lambda x: mean(x * x))
    yield Other("an RMS norm there: the mean is not subtracted", rms)
    yield Other(UNBIASED, by_hand(mean, _variance_over(axes, 1)))
    if x.dim() > 2:
        rest = tuple(range(1, x.dim()))
        words = "normalised over all but the first axis there"
        yield Other(words, by_hand(_mean_over(rest), _variance_over(rest)))
    for axis in range(x.dim()):
        yield Other(f"normalised over axis {axis} there", by_hand(_mean_over(axis), _variance_over(axis)))


def _normalised(centred: Any, variance: Any, eps: float, weight: Any, bias: Any) -> Any:
    out = centred * (variance + eps).rsqrt()
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


def _mean_over(axes: int | Sequence[int]) -> Callable[[Any], Any]:
    return lambda x: x.mean(axes, keepdim=True)


def _variance_over(axes: int | Sequence[int], correction: int = 0) -> Callable[[Any], Any]:
    return lambda x: x.var(axes, correction=correction, keepdim=True)


def _of_variance(args: Args, options: Options) -> Iterator[Other]:
    for correction, words in ((1, "unbiased: divided by n − 1, not n"), (0, "biased: divided by n, not n − 1")):
        yield Other(f"{words} there", _corrected(correction))


def _corrected(correction: int) -> Call:
    def call(f: Any, a: Args, o: Options) -> Any:
        return f(*a, **{key: v for key, v in o.items() if key not in ("unbiased", "correction")}, correction=correction)

    return call


TABLE: Table = {
    ("layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm"): _of_norms,
    ("batch_norm",): _of_batch_norm,
    ("layer_norm",): _of_layer_norm,
    ("var", "std"): _of_variance,
}
