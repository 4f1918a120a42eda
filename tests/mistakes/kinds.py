"""Which mistakes do people make in a training loop, and which words must a cause have to be right about each?

A kind is a loop with one hook overridden. ``accept`` is a regular expression: a cause is right if its sentence holds
it. Several causes may be right, where a person would take either of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tests.mistakes.loops import Loop, Looped, PaddleLoop, TorchLoop, paddle, torch

MLP, RELU, DOUBLE, COSINE, TINY = (
    f"tests/mistakes/scenarios/{name}.toml" for name in ("mlp", "relu", "double", "cosine", "tiny")
)
WORKED, SIGMOIDS, NEURON = "article/worked_backprop", "article/one_two_one", "article/single_neuron_relu"
ANY = (WORKED, SIGMOIDS, MLP, RELU, DOUBLE)
BATCHES = (MLP, RELU, DOUBLE, "article/gradient_descent")
SIGMOID, RELUS = (SIGMOIDS, "article/worked_forward", MLP, DOUBLE), (NEURON, RELU)


class Kind(NamedTuple):
    """A kind of mistake.

    Attributes:
        what: what the person did.
        accept: what a right cause says.
        scenarios: those in which it is looked for.
    """

    what: str
    accept: str
    scenarios: tuple[str, ...]

    def accepts(self, sentence: str) -> bool:
        """Whether a sentence says it; what is reported is "told" in these tables."""
        return bool(re.search(self.accept, sentence.replace("reported", "told")))


KINDS: dict[str, Kind] = {}


def entering(
    table: dict[str, Kind], module: str, flags: str = ""
) -> Callable[..., Callable[[type[Loop]], type[Looped]]]:
    """A decorator that enters a loop into a table, and makes a backend of it, which is found in a module.

    Args:
        table: of a file.
        module: the file's.
        flags: of all its expressions.
    """

    def mistake(what: str, accept: str, scenarios: tuple[str, ...] = ANY) -> Callable[[type[Loop]], type[Looped]]:
        def enter(loop: type[Loop]) -> type[Looped]:
            table[loop.__name__] = Kind(what, f"(?{flags}:{accept})" if flags else accept, scenarios)
            package = "torch" if issubclass(loop, TorchLoop) else "paddlepaddle"
            return type(loop.__name__, (Looped,), {"loop": loop, "distribution": package, "__module__": module})

        return enter

    return mistake


mistake = entering(KINDS, __name__)


def lr_of(loop: Loop) -> float:
    return float(loop.scenario.optimizer.lr)


# ---------------------------------------------------------------- the optimizer


@mistake("Adam, where SGD was asked for", r"(?i)\badam")
class AdamForSgd(TorchLoop):
    def make_optimizer(self) -> None:
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=lr_of(self))
        self.make_schedule()


@mistake("AdamW with its decay, where SGD was asked for", r"(?i)\badam")
class AdamWForSgd(PaddleLoop):
    def make_optimizer(self) -> None:
        self.make_schedule()
        self.optimizer = paddle.optimizer.AdamW(lr_of(self), parameters=self.model.parameters())


@mistake("RMSprop, where SGD was asked for", r"(?i)rmsprop")
class RmspropForSgd(PaddleLoop):
    def make_optimizer(self) -> None:
        self.make_schedule()
        self.optimizer = paddle.optimizer.RMSProp(lr_of(self), parameters=self.model.parameters())


@mistake("Adagrad, where SGD was asked for", r"(?i)adagrad")
class AdagradForSgd(TorchLoop):
    def make_optimizer(self) -> None:
        self.optimizer = torch.optim.Adagrad(self.model.parameters(), lr=lr_of(self))
        self.make_schedule()


@mistake("momentum left in", r"(?i)momentum", BATCHES)
class MomentumLeftIn(PaddleLoop):
    def make_optimizer(self) -> None:
        self.make_schedule()
        self.optimizer = paddle.optimizer.Momentum(lr_of(self), 0.9, self.model.parameters())


@mistake("Nesterov's momentum", r"(?i)nesterov")
class Nesterov(TorchLoop):
    def make_optimizer(self) -> None:
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=lr_of(self), momentum=0.9, nesterov=True)
        self.make_schedule()


@mistake("momentum with dampening", r"(?i)dampen", BATCHES)
class Dampening(TorchLoop):
    def make_optimizer(self) -> None:
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=lr_of(self), momentum=0.9, dampening=0.5)
        self.make_schedule()


@mistake("momentum whose old velocity has the wrong sign", r"(?i)momentum|velocity", BATCHES)
class MomentumSign(PaddleLoop):
    def update(self, t: int) -> None:
        self.velocity = getattr(self, "velocity", {})
        for name, p in self.parameters.items():
            self.velocity[name] = p.grad.clone() - 0.9 * self.velocity.get(name, paddle.zeros_like(p))
            p.set_value(p.detach() - lr_of(self) * self.velocity[name])


@mistake("gradients clipped by value", r"(?i)clip|clamp|limited")
class ClippedByValue(TorchLoop):
    def update(self, t: int) -> None:
        torch.nn.utils.clip_grad_value_(self.model.parameters(), 0.05)
        super().update(t)


@mistake("gradients clipped by their norm, in the optimizer", r"(?i)clip|norm")
class ClippedByNorm(PaddleLoop):
    def make_optimizer(self) -> None:
        self.make_schedule()
        clip = paddle.nn.ClipGradByGlobalNorm(0.1)
        self.optimizer = paddle.optimizer.SGD(lr_of(self), self.model.parameters(), grad_clip=clip)


@mistake(
    "gradients accumulated, a step every second batch", r"(?i)accumul|every second|2nd|not (cleared|zeroed)", BATCHES
)
class Accumulated(TorchLoop):
    def step(self, t: int, batch: Any) -> Any:
        self.t = t
        return super().step(t, batch)

    def clear(self) -> None:
        if self.t % 2 == 0:
            super().clear()

    def update(self, t: int) -> None:
        if t % 2:
            super().update(t)


@mistake("gradients never cleared", r"(?i)accumul|not (cleared|zeroed|reset)|clear|left from|earlier", BATCHES)
class NeverCleared(PaddleLoop):
    def clear(self) -> None:
        pass


@mistake("decay on the matrices only", r"(?i)decay")
class DecayOnMatrices(TorchLoop):
    def make_optimizer(self) -> None:
        matrices = [p for p in self.parameters.values() if p.ndim > 1]
        rest = [p for p in self.parameters.values() if p.ndim == 1]
        groups = [{"params": matrices, "weight_decay": 0.05}, *([{"params": rest}] if rest else [])]
        self.optimizer = torch.optim.SGD(groups, lr=lr_of(self))
        self.make_schedule()


@mistake("decay on everything", r"(?i)decay|l2")
class DecayEverywhere(PaddleLoop):
    def make_optimizer(self) -> None:
        self.make_schedule()
        self.optimizer = paddle.optimizer.SGD(lr_of(self), self.model.parameters(), weight_decay=0.01)


@mistake("decay at the end of each epoch", r"(?i)decay|epoch", BATCHES)
class DecayPerEpoch(PaddleLoop):
    def update(self, t: int) -> None:
        super().update(t)
        if self.starts_epoch(t + 1):
            for p in self.parameters.values():
                p.set_value(p.detach() * 0.99)


@mistake("the bias learns at twice the rate", r"(?i)bias", (SIGMOIDS, MLP, RELU, DOUBLE))
class BiasTwiceTheRate(TorchLoop):
    def make_optimizer(self) -> None:
        weights = [p for name, p in self.parameters.items() if name.endswith("weight")]
        biases = [p for name, p in self.parameters.items() if name.endswith("bias")]
        self.optimizer = torch.optim.SGD(
            [{"params": weights}, {"params": biases, "lr": 2 * lr_of(self)}], lr=lr_of(self)
        )
        self.make_schedule()


@mistake("the update is added", r"(?i)sign|ascent|added|−1 times|-1 times")
class Ascent(PaddleLoop):
    def update(self, t: int) -> None:
        for p in self.parameters.values():
            p.set_value(p.detach() + lr_of(self) * p.grad)


@mistake("the last layer is not given to the optimizer", r"(?i)frozen|not (trained|updated)|left out|never|no update")
class HeadFrozen(PaddleLoop):
    def make_optimizer(self) -> None:
        self.make_schedule()
        last = next(name for name in reversed(self.names) if self.kind(name) == "linear")
        trained = [p for name, p in self.parameters.items() if not name.startswith(f"{last}.")]
        self.optimizer = paddle.optimizer.SGD(lr_of(self), trained)


# ---------------------------------------------------------------- the learning rate


@mistake(
    "the schedule is stepped before the optimizer",
    r"(?i)step (early|late|ahead|off)|schedule|one step|a step",
    (COSINE,),
)
class ScheduleFirst(TorchLoop):
    def clear(self) -> None:
        super().clear()
        self.schedule.step()

    def update(self, t: int) -> None:
        self.optimizer.step()


@mistake(
    "the schedule is stepped once too often at the start",
    r"(?i)step (early|late|ahead|off)|schedule|one step|a step",
    (COSINE,),
)
class ScheduleAhead(PaddleLoop):
    def make_schedule(self) -> None:
        super().make_schedule()
        self.schedule.step()


@mistake("the schedule is stepped once an epoch", r"(?i)epoch|schedule", (COSINE,))
class SchedulePerEpoch(TorchLoop):
    def update(self, t: int) -> None:
        self.optimizer.step()
        if self.starts_epoch(t + 1):
            self.schedule.step()


@mistake(
    "the rate is halved every epoch",
    r"(?i)\b(rate|lr|η).*(epoch|decay|halv|schedule)",
    (*BATCHES[:3], "article/sum_regression_minibatch"),
)
class RateHalved(TorchLoop):
    def make_schedule(self) -> None:
        self.halving = torch.optim.lr_scheduler.StepLR(self.optimizer, step_size=1, gamma=0.5)

    def update(self, t: int) -> None:
        self.optimizer.step()
        if self.starts_epoch(t + 1):
            self.halving.step()


# ---------------------------------------------------------------- the loss


@mistake("an l2 term in the loss", r"(?i)l2|decay|squares of the (weights|parameters)|penalty")
class L2Term(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return super().loss(yhat, y) + 0.01 * sum((p**2).sum() for p in self.parameters.values())


@mistake("an l1 term in the loss", r"(?i)l1|absolute|sum of \|")
class L1Term(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return super().loss(yhat, y) + 0.01 * sum(p.abs().sum() for p in self.parameters.values())


@mistake("the mean absolute error", r"(?i)absolute|mae|\bl1\b")
class MeanAbsolute(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return torch.nn.functional.l1_loss(yhat, y)


@mistake("Huber's loss", r"(?i)huber|smooth")
class Huber(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return paddle.nn.functional.smooth_l1_loss(yhat, y)


@mistake(
    "the sum of squares, not their mean",
    r"(?i)\bsum|mean|times (what|the)|reduc",
    (MLP, RELU, DOUBLE, "article/gradient_descent"),
)
class SumForMean(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return torch.nn.functional.mse_loss(yhat, y, reduction="sum")


@mistake("the root of the loss", r"(?i)root|rmse")
class RootOfLoss(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return super().loss(yhat, y).sqrt()


@mistake(
    "mean over the outputs, where it is to be over the batch",
    r"(?i)mean|batch|axis|times|divided",
    (WORKED, RELU, "article/gradient_descent"),
)
class MeanOverOutputs(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        scale = 1.0 if self.scenario.loss.kind == "mse" else 0.5
        return scale * ((yhat - y) ** 2).mean(axis=1).sum()


@mistake("the loss without the batch's last sample", r"(?i)last (sample|row)|dropped|left out|sample", BATCHES)
class LastLeftOut(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return super().loss(yhat[:-1], y[:-1])


@mistake("the loss is halved for its gradient", r"(?i)loss.*(0\.5|half|times)|(0\.5|half).*loss")
class HalfGradient(TorchLoop):
    def backward(self, loss: Any) -> None:
        (0.5 * loss).backward()


@mistake("the loss is negated for its gradient", r"(?i)loss.*(sign|negat|−1|-1)|sign.*loss")
class NegatedLoss(PaddleLoop):
    def backward(self, loss: Any) -> None:
        (-loss).backward()


@mistake(
    "a mean loss divided by the steps of an accumulation", r"(?i)loss.*(0\.125|times|divided)|(0\.125|divided).*loss"
)
class DividedOnceMore(TorchLoop):
    def backward(self, loss: Any) -> None:
        (loss / 8).backward()


@mistake("the loss told is that after the update", r"(?i)after (the|its) update|new weights|updated")
class LossAfterUpdate(PaddleLoop):
    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        with paddle.no_grad():
            return seen | {"loss": self.loss(self.forward(x)[self.names[-1]], y).numpy()}


@mistake("the loss told is the mean since the start", r"(?i)running|mean (of|since|so far)|average|cumulative", BATCHES)
class RunningLoss(TorchLoop):
    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        self.total = getattr(self, "total", 0.0) + float(seen["loss"])
        return seen | {"loss": self.total / (t + 1)}


@mistake(
    "the weights told are those before the update", r"(?i)before (the|its) update|old weights|not updated|too early"
)
class WeightsBefore(PaddleLoop):
    def update(self, t: int) -> None:
        self.old = {f"weight/{name}": p.numpy().T for name, p in self.parameters.items()}
        super().update(t)

    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        return seen | self.old


# ---------------------------------------------------------------- the model


class InPlaceOf:
    """Another activation in every place of one kind."""

    theirs = "relu"
    ours: Callable[[Any, Any], Any]

    def call(self: Any, name: str, z: Any) -> Any:
        return self.ours(z) if self.kind(name) == self.theirs else self.layers[name](z)


@mistake("leaky ReLU in ReLU's place", r"(?i)leaky|slope", RELUS)
class LeakyRelu(InPlaceOf, TorchLoop):
    def ours(self, z: Any) -> Any:
        return torch.nn.functional.leaky_relu(z)


@mistake("GELU in ReLU's place", r"(?i)gelu", RELUS)
class Gelu(InPlaceOf, TorchLoop):
    def ours(self, z: Any) -> Any:
        return torch.nn.functional.gelu(z)


@mistake("ELU in ReLU's place", r"(?i)\belu", RELUS)
class Elu(InPlaceOf, PaddleLoop):
    def ours(self, z: Any) -> Any:
        return paddle.nn.functional.elu(z)


@mistake("softplus in ReLU's place", r"(?i)softplus", RELUS)
class Softplus(InPlaceOf, PaddleLoop):
    def ours(self, z: Any) -> Any:
        return paddle.nn.functional.softplus(z)


@mistake("SiLU in ReLU's place", r"(?i)silu|swish", RELUS)
class Silu(InPlaceOf, PaddleLoop):
    def ours(self, z: Any) -> Any:
        return paddle.nn.functional.silu(z)


@mistake("ReLU that works in place, so that its input is told changed", r"(?i)in.place|overwrit|relu", RELUS)
class ReluInPlace(InPlaceOf, TorchLoop):
    def ours(self, z: Any) -> Any:
        return torch.relu_(z)


@mistake("tanh in the sigmoid's place", r"(?i)tanh", SIGMOID)
class TanhForSigmoid(InPlaceOf, TorchLoop):
    theirs = "sigmoid"

    def ours(self, z: Any) -> Any:
        return torch.tanh(z)


@mistake("hard sigmoid in the sigmoid's place", r"(?i)hard", SIGMOID)
class HardSigmoid(InPlaceOf, PaddleLoop):
    theirs = "sigmoid"

    def ours(self, z: Any) -> Any:
        return paddle.nn.functional.hardsigmoid(z)


@mistake(
    "the activation forgotten",
    r"(?i)left out|missing|identity|no activation|forgotten|skipped",
    (SIGMOIDS, NEURON, MLP, RELU),
)
class ActivationForgotten(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        return z * 1 if self.kind(name) in ("sigmoid", "relu") else self.layers[name](z)


@mistake("the output clamped", r"(?i)clamp|clip|limited", (WORKED, MLP, RELU, DOUBLE))
class OutputClamped(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        a = self.layers[name](z)
        return a.clamp(-0.5, 0.5) if name == self.names[-1] else a


@mistake("dropout left on", r"(?i)dropout|dropped|mask")
class DropoutLeftOn(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        if self.is_first(name, "linear"):
            paddle.seed(7)
            return paddle.nn.functional.dropout(self.layers[name](z), p=0.5)
        return self.layers[name](z)


@mistake("the first bias left out", r"(?i)bias", (SIGMOIDS, MLP, RELU, DOUBLE))
class BiasMissing(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        layer = self.layers[name]
        return torch.nn.functional.linear(z, layer.weight) if self.is_first(name, "linear") else layer(z)


@mistake("one weight for two layers", r"(?i)tied|shared|same weight|another layer|weight of", (MLP, RELU, DOUBLE))
class Tied(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        if name == "second":
            return paddle.nn.functional.linear(z, self.layers["first"].weight, self.layers["second"].bias)
        return self.layers[name](z)


@mistake(
    "detached after the first activation",
    r"(?i)detach|cut|stopped|no gradient|gradient.*(0|left out|zero)",
    (WORKED, SIGMOIDS, MLP, RELU, DOUBLE),
)
class Detached(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        return self.layers[name](z.detach() if name == "output" else z)


@mistake("the last layer's output added to itself by +=", r"(?i)twice|2 times|doubled|factor")
class AddedToItself(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        a = self.layers[name](z)
        if name == self.names[-1]:
            a += a
        return a


@mistake("a residual left in", r"(?i)residual|input.*added|added.*input|skip|plus", (MLP, RELU, DOUBLE))
class ResidualLeftIn(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        return self.layers[name](z) + z if name == "second" else self.layers[name](z)


@mistake("one element of the first weight is off", r"(?i)element|weight.*\[")
class ElementOff(TorchLoop):
    def load(self, t: int, state: Any) -> None:
        super().load(t, state)
        with torch.no_grad():
            next(iter(self.parameters.values()))[0, 0] += 0.01


# ---------------------------------------------------------------- the data


@mistake("inputs normalised", r"(?i)normali|standardi|scaled|centred", BATCHES)
class InputsNormalised(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        mean, std = (torch.from_numpy(f(self.inputs.x, axis=0)) for f in (np.mean, np.std))
        return (x - mean) / std, y


@mistake("inputs centred", r"(?i)cent(re|er)|mean", BATCHES)
class InputsCentred(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x - paddle.to_tensor(self.inputs.x.mean(axis=0)), y


@mistake("inputs divided by 255", r"(?i)(input|x|sample|data).*(0\.0039|scaled|times|divided)")
class InputsOver255(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x / 255, y


@mistake("inputs cast to whole numbers", r"(?i)\bint|whole|cut off|truncat|integer", (SIGMOIDS, MLP, RELU, DOUBLE))
class InputsInt(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x.to(torch.int64).to(x.dtype), y


@mistake("inputs cast to float16", r"(?i)float16|half", (MLP, RELU, DOUBLE))
class InputsHalf(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x.astype("float16").astype(x.dtype), y


@mistake("inputs cast to float32, where float64 was asked for", r"(?i)float32|single", (DOUBLE,))
class InputsSingle(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x.float().double(), y


@mistake("labels normalised", r"(?i)label.*(normali|standardi|scaled)", BATCHES)
class LabelsNormalised(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        mean, std = (paddle.to_tensor(f(self.inputs.y, axis=0)) for f in (np.mean, np.std))
        return x, (y - mean) / std


@mistake("labels cast to whole numbers", r"(?i)label.*(\bint|whole|cut off|truncat|integer)", (MLP, RELU, DOUBLE))
class LabelsInt(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x, y.long().to(y.dtype)


@mistake(
    "labels shifted by a sample", r"(?i)label.*(shift|sample|order|roll|next|other)|(sample|order).*label", BATCHES
)
class LabelsShifted(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x, paddle.roll(y, 1, axis=0)


@mistake("labels counted from 1", r"(?i)label.*(1|added|off|shift|plus|constant)|added to all labels")
class LabelsFromOne(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x, y + 1


@mistake(
    "two columns of the inputs swapped", r"(?i)column|swap|feature|permut|order", (WORKED, NEURON, MLP, RELU, DOUBLE)
)
class ColumnsSwapped(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x[:, [1, 0, *range(2, x.shape[1])]].contiguous(), y


@mistake("one bad cell in the data", r"(?i)cell|element|x\[|sample|one (number|value)", BATCHES)
class BadCell(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        bad = self.inputs.x.copy()
        bad[2, 0] = 0
        where = self.inputs.samples(t)
        return paddle.to_tensor(bad[where]), y


@mistake("the batch in another order", r"(?i)order|permut|shuffl|revers", BATCHES)
class BatchReversed(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return paddle.flip(x, axis=[0]), paddle.flip(y, axis=[0])


@mistake(
    "the first batch again and again",
    r"(?i)(first|same|earlier|previous|other) (batch|sample)|batch",
    (MLP, RELU, DOUBLE),
)
class FirstBatchAgain(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        self.kept = getattr(self, "kept", (x, y))
        return self.kept


# ---------------------------------------------------------------- precision


@mistake("the first layer in bfloat16", r"(?i)bfloat16", (SIGMOIDS, MLP, RELU))
class LayerInBfloat16(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        if not self.is_first(name, "linear"):
            return self.layers[name](z)
        layer = self.layers[name]
        bias = layer.bias.bfloat16()
        return torch.nn.functional.linear(z.bfloat16(), layer.weight.bfloat16(), bias).to(z.dtype)


@mistake("the first activation kept in float16", r"(?i)float16|half", (SIGMOIDS, MLP, RELU))
class ActivationInHalf(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        a = self.layers[name](z)
        return a.astype("float16").astype(z.dtype) if name == self.names[1] else a


@mistake("autocast left on", r"(?i)bfloat16|autocast", (MLP, RELU))
class Autocast(TorchLoop):
    def forward(self, x: Any) -> dict[str, Any]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().forward(x)


@mistake("weights kept in float32, where float64 was asked for", r"(?i)float32|single", (DOUBLE,))
class WeightsSingle(PaddleLoop):
    def update(self, t: int) -> None:
        super().update(t)
        for p in self.parameters.values():
            p.set_value(p.detach().astype("float32").astype("float64"))


@mistake("denormals flushed to zero", r"(?i)denormal|subnormal|flush", (TINY,))
class DenormalsFlushed(TorchLoop):
    def build(self) -> None:
        super().build()
        torch.set_flush_denormal(True)
