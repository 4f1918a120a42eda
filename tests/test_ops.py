"""Is every derivative that of its forward rule, and every operation what it says? For whatever the registry holds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pytest

from isograd.arithmetic import ARITHMETICS, make_arithmetic
from isograd.arithmetic.noisy import noisy
from isograd.arithmetic.numbers import Arithmetic, Numbers
from isograd.cases import labels_of
from isograd.ops import CLIPPINGS, LAYERS, LOSSES, OPTIMIZERS, SCHEDULES
from isograd.ops.blocks import Block
from isograd.ops.op import Back, Clipping, Layer, Loss, Op, Optimizer, Out, Schedule

BATCH, CLASSES, STEPS, PER_EPOCH = 3, 4, 12, 4
DIRECTIONS = 3  # an error in any element shows in a direction at random, but for one in infinitely many
SLIP = 1.001

Array = Any
Named = dict[str, Array]


class Precision(NamedTuple):
    """How far a difference goes to either side, and how near it comes; h² is what the difference leaves out."""

    h: float
    near: float


PRECISIONS = {"float64": Precision(1e-5, 1e-7), "mp50": Precision(1e-15, 1e-25)}


# ---------------------------------------------------------------- one operation, with numbers at random


def cases(registry: Mapping[str, type[Op]]) -> list[Any]:
    """Every example of every operation, and of each of its alternatives."""
    found = []
    for kind, op in registry.items():
        others = {name: alternative.op for name, alternative in op.alternatives.items()}
        for name, cls in {"": op, **others}.items():
            for example in op.examples:
                said = ", ".join(f"{k}={v}" for k, v in example.items() if k != "weight")
                found.append(pytest.param(cls, kind, example, id=f"{kind}[{said}]{name and ' ' + name}"))
    return found


def built(cls: type[Op], kind: str, example: Mapping[str, Any], **more: Any) -> Any:
    """As a file's reader builds it: from lists and tables."""
    return cls.model_validate(json.loads(json.dumps({"kind": kind, **example, **more})))


def layer_of(cls: type[Op], kind: str, example: Mapping[str, Any]) -> Any:
    return built(cls, kind, example, name="it")


def numbers(shape: tuple[int, ...], seed: int) -> Array:
    """No two alike, and none so near to 0 that a difference could step over a kink there."""
    rng = np.random.Generator(np.random.PCG64(seed))
    values = rng.normal(size=shape)
    return values + np.copysign(0.05, values)


def raw(value: Any) -> Array:
    """The plain array that holds them."""
    return value.v if isinstance(value, Numbers) else np.asarray(value)


@dataclass
class Trial:
    """A layer with inputs, parameters and ∂L/∂a at random, in an arithmetic; L = Σ d a."""

    layer: Layer
    arithmetic: Arithmetic

    def __post_init__(self) -> None:
        few, many = self.layer.arity
        self.shapes = [type(self.layer).sample] * min(few + 1, many)
        self.x = [self.samples((BATCH, *shape), i) for i, shape in enumerate(self.shapes)]
        self.params = {
            name: numbers(p.shape, 10 + i) for i, (name, p) in enumerate(self.layer.parameters(*self.shapes).items())
        }
        buffers = self.layer.buffers(*self.shapes)
        self.buffers = {name: abs(numbers(p.shape, 20 + i)) for i, (name, p) in enumerate(buffers.items())}
        self.d = numbers((BATCH, *self.layer.shape(*self.shapes)), 30)

    def samples(self, shape: tuple[int, ...], seed: int) -> Array:
        n = self.layer.indices
        return np.arange(math.prod(shape)).reshape(shape) % n if n else numbers(shape, seed)

    def taken(self, values: Any) -> Any:
        return self.arithmetic.array(values)

    def p(self) -> Named:
        return {name: self.taken(values) for name, values in (self.params | self.buffers).items()}

    def inputs(self) -> list[Any]:
        return [self.taken(x) for x in self.x]

    def forward(self) -> Out:
        return self.layer.forward(self.p(), *self.inputs())

    def evaluate(self) -> Array:
        return raw(self.layer.evaluate(self.p(), *self.inputs()))

    def backward(self) -> Back:
        return self.layer.backward(self.p(), self.forward(), self.taken(self.d), *self.inputs())

    def gradients(self) -> Named:
        back = self.backward()
        inputs = {} if self.layer.indices else {f"x{i}": raw(g) for i, g in enumerate(back.inputs)}
        return inputs | {k: raw(g) for k, g in back.params.items()}

    def values(self) -> Named:
        return ({} if self.layer.indices else {f"x{i}": x for i, x in enumerate(self.x)}) | self.params

    def moves(self, name: str) -> Array:
        """1, but for the row of an embedding that no gradient moves."""
        padding, shape = getattr(self.layer, "padding", None), self.values()[name].shape
        if not self.layer.indices or padding is None:
            return np.ones(shape)
        return (np.arange(shape[0]) != padding)[:, np.newaxis] * np.ones(shape)

    def moved(self, name: str, values: Array) -> Array:
        """L, with other values of one of its arrays."""
        before = self.x, self.params
        if name in self.params:
            self.params = self.params | {name: values}
        else:
            self.x = [values if name == f"x{i}" else x for i, x in enumerate(self.x)]
        try:
            return (raw(self.forward().a) * raw(self.taken(self.d))).sum()
        finally:
            self.x, self.params = before


def held(arithmetic: Arithmetic, values: Array) -> Array:
    """Plain numbers of the arithmetic, which it takes in as they are."""
    return raw(arithmetic.array(values))


def assert_slopes(
    value: Callable[[Array], Array],
    at: Array,
    gradient: Array,
    name: str,
    arithmetic: Arithmetic,
    moves: Array | float = 1.0,
) -> None:
    """Along directions at random, ``value`` rises by what the gradient says, as central differences see it."""
    h, near = PRECISIONS[arithmetic.name]
    h, start = held(arithmetic, np.array(h))[()], held(arithmetic, at)
    for i in range(DIRECTIONS):
        along = held(arithmetic, numbers(at.shape, 100 + i) * moves)
        difference = (value(start + h * along) - value(start - h * along)) / (2 * h)
        expected = (gradient * along).sum()
        scale = 1 + abs(gradient * along).sum()
        assert abs(difference - expected) <= near * scale, f"{name}: expected a slope of {difference}; got {expected}"


def assert_derivative(trial: Trial) -> None:
    gradients = trial.gradients()
    assert gradients.keys() == trial.values().keys()
    for name, at in trial.values().items():
        assert gradients[name].shape == at.shape, name
        assert_slopes(partial(trial.moved, name), at, gradients[name], name, trial.arithmetic, trial.moves(name))


def float64() -> Arithmetic:
    return make_arithmetic("float64", "float64")


# ---------------------------------------------------------------- the registry


REGISTRIES = [LAYERS, LOSSES, OPTIMIZERS, SCHEDULES, CLIPPINGS]


@pytest.mark.parametrize("registry", REGISTRIES)
def test_a_kind_is_told_in_a_file_and_explained(registry: Mapping[str, type[Op]]) -> None:
    assert registry
    for kind, op in registry.items():
        assert op.__doc__, kind
        for name, alternative in op.alternatives.items():
            assert issubclass(alternative.op, op), name
            assert alternative.op.model_fields.keys() == op.model_fields.keys(), name
            assert alternative.formula.count("«") == alternative.formula.count("»") >= 1, name
            assert alternative.sentence, name
            assert alternative.origin, name


OF_DATA = {"width_1_labels"}  # settings that allow labels of another shape, and are no term of a formula


@pytest.mark.parametrize("op", [op for registry in REGISTRIES for op in registry.values()])
def test_every_setting_is_in_an_example(op: type[Op]) -> None:
    settings = op.model_fields.keys() - {"kind", "name", "inputs"} - OF_DATA
    assert settings == {name for example in op.examples for name in example}


# ---------------------------------------------------------------- layers


@pytest.mark.parametrize("arithmetic", PRECISIONS)
@pytest.mark.parametrize(("cls", "kind", "example"), cases(LAYERS))
def test_a_layer_s_gradients_are_the_differences_of_its_forward_rule(
    cls: type[Layer], kind: str, example: Mapping[str, Any], arithmetic: str
) -> None:
    assert_derivative(Trial(layer_of(cls, kind, example), make_arithmetic(arithmetic, "float64")))


class Slipped(Trial):
    """One of the gradients is a thousandth too large."""

    slip = ""

    def gradients(self) -> Named:
        return {name: g * SLIP if name == self.slip else g for name, g in super().gradients().items()}


@pytest.mark.parametrize(("cls", "kind", "example"), cases(LAYERS))
def test_a_layer_s_gradient_that_is_a_thousandth_off_is_caught(
    cls: type[Layer], kind: str, example: Mapping[str, Any]
) -> None:
    trial = Slipped(layer_of(cls, kind, example), float64())
    for name in trial.values():
        trial.slip = name
        with pytest.raises(AssertionError, match=f"^{name}: expected a slope"):
            assert_derivative(trial)


@pytest.mark.parametrize(("cls", "kind", "example"), cases(LAYERS))
def test_a_layer_s_shapes_are_those_that_it_tells(cls: type[Layer], kind: str, example: Mapping[str, Any]) -> None:
    trial = Trial(layer_of(cls, kind, example), float64())
    out, told = trial.forward(), (BATCH, *trial.layer.shape(*trial.shapes))
    assert raw(out.a).shape == trial.evaluate().shape == told
    assert {name: raw(v).shape for name, v in out.buffers.items()} == {k: v.shape for k, v in trial.buffers.items()}
    for param in {**trial.layer.parameters(*trial.shapes), **trial.layer.buffers(*trial.shapes)}.values():
        assert len(param.axes) == len(param.shape)
    if not trial.buffers:
        np.testing.assert_array_equal(raw(out.a), trial.evaluate())


@pytest.mark.parametrize(("cls", "kind", "example"), cases(LAYERS))
def test_a_layer_writes_to_nothing_that_it_is_given(cls: type[Layer], kind: str, example: Mapping[str, Any]) -> None:
    trial = Trial(layer_of(cls, kind, example), float64())
    for values in (*trial.x, *trial.params.values(), *trial.buffers.values(), trial.d):
        values.flags.writeable = False
    trial.gradients()
    trial.evaluate()


@pytest.mark.parametrize(("cls", "kind", "example"), cases(LAYERS))
def test_a_layer_is_the_same_in_every_arithmetic(cls: type[Layer], kind: str, example: Mapping[str, Any]) -> None:
    layer = layer_of(cls, kind, example)
    right = everything(Trial(layer, float64()))
    names = [name for name in ARITHMETICS if cls.exact or not make_arithmetic(name, "float64").exact]
    for name in names:
        times = DEEP if isinstance(layer, Block) else 1.0
        assert_near(everything(Trial(layer, make_arithmetic(name, "float64"))), right, name, times)
    noise = everything(Trial(layer, noisy("float32", runs=3, factor=4.0, seed=1)))
    for name, value in right.items():
        assert noise[name].shape[2:] == value.shape
        near = times * 1e-4 * abs(value).max()  # sums cancel: what is small is as far off as what is large
        np.testing.assert_allclose(noise[name], np.broadcast_to(value, noise[name].shape), rtol=0, atol=near)


DEEP = 20.0  # times as far is a block of ten layers: each rounds what the one before has rounded
COARSE = {"float16": 0.02, "bfloat16": 0.2, "tf32": 0.02, "early": 1e-4, "float32": 1e-4}


def everything(trial: Trial) -> Named:
    """Output, buffers, output in evaluation, and gradients, in float64."""
    plain, out, back = trial.arithmetic.plain, trial.forward(), trial.backward()
    computed = {"a": out.a, **out.buffers, "eval": trial.layer.evaluate(trial.p(), *trial.inputs())}
    gradients = {f"dx{i}": g for i, g in enumerate(back.inputs) if g is not None}
    gradients |= {f"d{k}": g for k, g in back.params.items()}
    return {name: np.asarray(plain(v), np.float64) for name, v in (computed | gradients).items()}


def assert_near(found: Named, right: Named, arithmetic: str, times: float = 1.0) -> None:
    near = times * COARSE.get(arithmetic, 1e-12)
    for name, value in right.items():
        assert found[name].shape == value.shape, (arithmetic, name)
        most = near * max(1.0, abs(value).max(initial=0.0))  # a sum's small ones are as far off as its large ones
        np.testing.assert_allclose(found[name], value, rtol=near, atol=most, err_msg=f"{arithmetic} {name}")


@pytest.mark.parametrize(("cls", "kind", "example"), cases(LAYERS))
@pytest.mark.parametrize("size", [1e4, 1e-4])
def test_a_layer_of_large_and_of_small_numbers_overflows_nowhere(
    cls: type[Layer], kind: str, example: Mapping[str, Any], size: float
) -> None:
    trial = Trial(layer_of(cls, kind, example), float64())
    trial.x = [x * size for x in trial.x]
    with np.errstate(all="raise", under="ignore"):
        for name, value in everything(trial).items():
            assert np.isfinite(value).all(), name


@pytest.mark.parametrize("kind", LAYERS)
def test_examples_and_alternatives_of_a_layer_tell_themselves_apart(kind: str) -> None:
    op = LAYERS[kind]
    settings = [everything(Trial(layer_of(op, kind, example), float64())) for example in op.examples]
    initial = {"weight", "bias"}  # a trial has parameters of its own, whatever they are at first
    for (a, one), (b, other) in combinations(zip(op.examples, settings, strict=True), 2):
        assert not same(one, other) or a.keys() ^ b.keys() <= initial
    for name, alternative in op.alternatives.items():
        others = [everything(Trial(layer_of(alternative.op, kind, example), float64())) for example in op.examples]
        assert not all(same(one, other) for one, other in zip(settings, others, strict=True)), name


def same(one: Named, other: Named) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


# ---------------------------------------------------------------- losses


def outputs_and_labels(loss: Loss, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Outputs within the bounds that the loss is for, and its labels."""
    yhat = numbers((BATCH, *shape), 1)
    if loss.above:
        below = LAYERS[loss.above](kind=loss.above, name="below")
        yhat = np.asarray(below.forward({}, yhat).a)
    rng = np.random.Generator(np.random.PCG64(2))
    whole = (BATCH, *loss.label_shape(shape))
    if loss.labels == "classes":
        return yhat, rng.integers(0, loss.classes(shape), whole)
    return yhat, np.array(labels_of(loss.model_copy(), BATCH, rng, shape)).reshape(whole)


def shapes_of(loss: Loss) -> list[tuple[int, ...]]:
    """The shape of the loss's own examples; others, where it takes any."""
    return [(1,), (CLASSES,), (2, 3)] if plain(loss) else [loss.sample]


def plain(loss: Loss) -> bool:
    return type(loss).label_shape is Loss.label_shape and loss.labels == "values" and loss.within != "distributions"


@pytest.mark.parametrize("arithmetic", PRECISIONS)
@pytest.mark.parametrize("slip", [1, SLIP])
@pytest.mark.parametrize(("cls", "kind", "example"), cases(LOSSES))
def test_a_loss_s_gradient_is_the_difference_of_its_value(
    cls: type[Loss], kind: str, example: Mapping[str, Any], slip: float, arithmetic: str
) -> None:
    loss, made = built(cls, kind, example), make_arithmetic(arithmetic, "float64")
    for shape in shapes_of(loss):
        yhat, y = outputs_and_labels(loss, shape)
        labels = made.array(y)
        assert raw(loss.value(made.array(yhat), labels)).shape == ()
        gradient = raw(loss.gradient(made.array(yhat), labels))
        assert gradient.shape == yhat.shape

        def check(gradient: Array, yhat: Array = yhat, labels: Any = labels) -> None:
            assert_slopes(lambda v: raw(loss.value(made.array(v), labels))[()], yhat, gradient, "yhat", made)

        check(gradient)
        if slip != 1:
            with pytest.raises(AssertionError, match="yhat: expected a slope"):
                check(gradient * slip)


@pytest.mark.parametrize(("cls", "kind", "example"), cases(LOSSES))
def test_a_loss_of_large_outputs_overflows_nowhere(cls: type[Loss], kind: str, example: Mapping[str, Any]) -> None:
    loss = built(cls, kind, example)
    yhat, y = outputs_and_labels(loss, loss.sample)
    if loss.above in ("sigmoid", "log_softmax"):
        return  # its outputs have bounds
    with np.errstate(all="raise", under="ignore"):
        assert math.isfinite(loss.value(1e4 * yhat, y))
        assert np.isfinite(loss.gradient(1e4 * yhat, y)).all()


# ---------------------------------------------------------------- optimizers


def updates(optimizer: Optimizer, arithmetic: Arithmetic) -> Named:
    """A parameter and its slots after some updates, each with a gradient of its own."""
    w: Any = arithmetic.array(numbers((2, 3), 0))
    slots: Mapping[str, Any] = {
        name: arithmetic.array(np.full((2, 3), optimizer.initial(name))) for name in optimizer.slots()
    }
    for t in range(1, 9):
        g = arithmetic.array(numbers((2, 3), t))
        w, slots = optimizer.update(w, g, slots, arithmetic.scalar(optimizer.lr), arithmetic.count(t))
        assert {*slots} == {*optimizer.slots()}
    return {name: np.asarray(arithmetic.plain(value), np.float64) for name, value in {"w": w, **slots}.items()}


@pytest.mark.parametrize(("cls", "kind", "example"), cases(OPTIMIZERS))
def test_an_optimizer_is_the_same_in_every_arithmetic(
    cls: type[Optimizer], kind: str, example: Mapping[str, Any]
) -> None:
    optimizer = built(cls, kind, example)
    right = updates(optimizer, float64())
    assert all(value.shape == (2, 3) for value in right.values())
    for name in ARITHMETICS:
        holds = name != "bfloat16" or not optimizer.slots()  # in 8 digits 0.999 is 1, and a bias of 1 − 0.999ᵗ is 0
        if holds and (cls.exact or not make_arithmetic(name, "float64").exact):
            assert_near(updates(optimizer, make_arithmetic(name, "float64")), right, name)
    for name, value in updates(optimizer, noisy("float32", runs=3, factor=4.0, seed=1)).items():
        np.testing.assert_allclose(value, np.broadcast_to(right[name], value.shape), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_examples_and_alternatives_of_an_optimizer_tell_themselves_apart(kind: str) -> None:
    op = OPTIMIZERS[kind]
    settings = [updates(built(op, kind, example), float64()) for example in op.examples]
    assert not any(same(one, other) for one, other in combinations(settings, 2))
    for name, alternative in op.alternatives.items():
        others = [updates(built(alternative.op, kind, example), float64()) for example in op.examples]
        assert not all(same(one, other) for one, other in zip(settings, others, strict=True)), name


@pytest.mark.parametrize(("cls", "kind", "example"), cases(OPTIMIZERS))
def test_a_first_update_goes_against_its_gradient(cls: type[Optimizer], kind: str, example: Mapping[str, Any]) -> None:
    optimizer, made = built(cls, kind, {**example, "lr": 1e-3}), float64()
    g, zeros = numbers((2, 3), 1), made.array(np.zeros((2, 3)))
    slots = {name: made.array(np.full((2, 3), optimizer.initial(name))) for name in optimizer.slots()}
    w, _ = optimizer.update(zeros, made.array(g), slots, made.scalar(optimizer.lr), made.count(1))
    np.testing.assert_array_equal(np.sign(w), -np.sign(g))


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_an_axis_that_keeps_its_size_keeps_its_numbers(mode: str) -> None:
    op = built(LAYERS["upsample"], "upsample", {"mode": mode, "size": [5, 4], "align_corners": True}, name="it")
    x = numbers((1, 2, 3, 4), 1)
    np.testing.assert_allclose(op.forward({}, x).a[:, :, ::4], x[:, :, ::2], rtol=1e-12)  # corners stay where they are


# ---------------------------------------------------------------- clippings


@pytest.mark.parametrize(("cls", "kind", "example"), cases(CLIPPINGS))
@pytest.mark.parametrize("arithmetic", ["float64", "mp50", "float32", "noisy"])
def test_a_clipping_bounds_what_it_says_and_leaves_what_is_small(
    cls: type[Clipping], kind: str, example: Mapping[str, Any], arithmetic: str
) -> None:
    made = make_arithmetic(arithmetic, "float64") if arithmetic != "noisy" else noisy("float32", 3, 4.0, 1)
    op, shapes = built(cls, kind, example), [(2, 3), (4,)]
    large = [numbers(shape, i) for i, shape in enumerate(shapes)]
    for size in (1.0, 1e-4):
        gradients = [made.array(size * g) for g in large]
        clip = op.of(gradients)
        clipped = [np.asarray(made.plain(clip(g)), np.float64).reshape(-1, *g.shape)[0] for g in gradients]
        given = [size * g for g in large]
        if kind == "value":
            wanted = [np.clip(g, -op.bound, op.bound) for g in given]
        else:
            norms = [np.linalg.norm(g) for g in given]
            norms = norms if kind == "norm" else [np.linalg.norm(norms)] * 2
            wanted = [g * min(1.0, op.bound / (norm + op.epsilon)) for g, norm in zip(given, norms, strict=True)]
        for got, right in zip(clipped, wanted, strict=True):
            np.testing.assert_allclose(got, right, rtol=1e-5 if arithmetic in ("float32", "noisy") else 1e-12)


# ---------------------------------------------------------------- schedules


@pytest.mark.parametrize(("cls", "kind", "example"), cases(SCHEDULES))
def test_a_schedule_s_rates_are_numbers_up_to_the_optimizer_s(
    cls: type[Schedule], kind: str, example: Mapping[str, Any]
) -> None:
    schedule = built(cls, kind, example)
    rates = [schedule.rate(t, STEPS, PER_EPOCH, 0.1) for t in range(2 * STEPS)]
    assert all(0 <= rate <= 0.1 for rate in rates)
    assert max(rates) == pytest.approx(0.1)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_examples_of_a_schedule_tell_themselves_apart(kind: str) -> None:
    made = [built(SCHEDULES[kind], kind, example) for example in SCHEDULES[kind].examples]
    rates = [[schedule.rate(t, STEPS, PER_EPOCH, 0.1) for t in range(STEPS)] for schedule in made]
    assert all(one != other for one, other in combinations(rates, 2))


@pytest.mark.parametrize(("cls", "kind", "example"), cases(SCHEDULES))
def test_a_schedule_that_counts_epochs_has_in_each_the_rate_of_as_many_steps(
    cls: type[Schedule], kind: str, example: Mapping[str, Any]
) -> None:
    steps, epochs = (built(cls, kind, example | {"per": per}) for per in ("step", "epoch"))
    for t in range(STEPS):
        expected = steps.rate(t // PER_EPOCH, STEPS // PER_EPOCH, PER_EPOCH, 0.1)
        assert epochs.rate(t, STEPS, PER_EPOCH, 0.1) == expected


def test_milestones_increase() -> None:
    with pytest.raises(ValueError, match=r"expected numbers that increase; got \[3, 3\]"):
        built(SCHEDULES["multi_step"], "multi_step", {"milestones": [3, 3]})
