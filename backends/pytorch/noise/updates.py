"""What do lists of tensors, and whole updates of an optimizer, stand for? The same of each tensor, and its own loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from isograd.backends.pytorch.noise.operations import Operation
from isograd.lazy import LazyModule

torch = LazyModule("torch")
OWN_LOOPS = {name: LazyModule(f"torch.optim.{name}") for name in ("adagrad", "adam", "adamw", "sgd")}


def one_by_one(operation: Operation, func: Any, args: Any, kwargs: Any) -> Any:
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


LOOPS: dict[str, Callable[..., None]] = {
    "_fused_adam": _adam(decoupled=False),
    "_fused_adamw": _adam(decoupled=True),
    "_fused_sgd": _sgd,
    "_fused_adagrad": _adagrad,
}
