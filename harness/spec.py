"""What is a spec made of? Immutable, every key known, and its numbers, names and matrices checked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, StrictInt, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
Quantity = Annotated[str, StringConstraints(pattern=r"^[a-z]+(/[a-z][a-z0-9_]*(\.[a-z0-9_]+)*)?$", max_length=300)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Share = Annotated[Number, Field(ge=0, lt=1)]
EXACT = 2**53  # integers to here are floats too, and fit into every index
Count = Annotated[StrictInt, Field(ge=1, le=EXACT)]
Index = Annotated[StrictInt, Field(ge=-EXACT, le=EXACT)]
Step = Annotated[StrictInt, Field(ge=0, le=EXACT)]
Vector = Annotated[tuple[Number, ...], Field(min_length=1)]
DType = Literal["float16", "bfloat16", "float32", "float64"]


def rectangular(rows: object) -> object:
    """Refuse rows of different lengths."""
    if isinstance(rows, (list, tuple)) and len({len(r) if isinstance(r, (list, tuple)) else -1 for r in rows}) > 1:
        raise ValueError("expected rows of one length")
    return rows


Matrix = Annotated[tuple[Vector, ...], Field(min_length=1), BeforeValidator(rectangular)]


Tensor3 = Annotated[tuple[Matrix, ...], Field(min_length=1)]
Tensor4 = Annotated[tuple[Tensor3, ...], Field(min_length=1)]
Tensor5 = Annotated[tuple[Tensor4, ...], Field(min_length=1)]


class Fixed(dict[str, Any]):
    """A table that nobody changes, as specs have them."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[Fixed], tuple[dict[str, Any]]]:
        return Fixed, (dict(self),)

    def _refused(self, *given: Any, **options: Any) -> Any:
        raise TypeError("a spec cannot be changed")

    __setitem__ = __delitem__ = __ior__ = update = pop = popitem = setdefault = clear = _refused


class Spec(BaseModel):
    """A part of a scenario: immutable, and every key of it known."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


T = TypeVar("T")


def remembered(method: Callable[[Any], T]) -> Callable[[Any], T]:
    """A method without arguments of something immutable: what it gave for the last few objects is not computed again.

    They are told apart by identity: the hash of a scenario goes through all its numbers.
    """
    known: deque[tuple[Any, T]] = deque(maxlen=8)

    @wraps(method)
    def of(self: Any) -> T:
        for asked, value in tuple(known):
            if asked is self:
                return value
        value = method(self)
        known.append((self, value))
        return value

    return of


Settings = Annotated[dict[str, Any], AfterValidator(Fixed)]
"""Settings of something, by name."""


def _flat(names: Any) -> Any:
    """A table whose keys have dots, be they in quotes or not: TOML makes tables within tables of the latter."""
    if not isinstance(names, dict):
        return names
    flat = {key: _flat(value) for key, value in names.items()}
    return {
        f"{key}.{inner}" if inner else key: value
        for key, of in flat.items()
        for inner, value in (of.items() if isinstance(of, dict) else [("", of)])
    }


Names = Annotated[dict[str, str], BeforeValidator(_flat), AfterValidator(Fixed)]
"""Names, each with another."""
