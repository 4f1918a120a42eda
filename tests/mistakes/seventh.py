"""Which seventh set of mistakes do people make in a training loop, and which words must a cause have to be right?

An independent draw, written without a look at the mistakes of the other sets: what is met most often when a script is
carried from one framework to the other, when backpropagation is written by hand, and when code is tidied up or a
framework's version changes. The form, and the meaning of ``accept``, are those of ``tests.mistakes.kinds``; here
``accept`` minds neither case nor line ends.

Those that concern a schedule of the rate have one scenario only, since no other has a schedule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from isograd.inputs import Array
from isograd.ops.op import Layer
from tests.mistakes.further import (
    BIASED,
    BOWL,
    DEEP,
    FORWARD,
    MINIBATCH,
    MLP,
    RELU,
    SIGMOIDS,
    WORKED,
    paddle_function,
    torch_function,
)
from tests.mistakes.kinds import COSINE, DOUBLE, Kind, entering, lr_of
from tests.mistakes.loops import PaddleLoop, TorchLoop, paddle, torch

KINDS: dict[str, Kind] = {}

TWICE = (
    r"(loss|gradient|error)\w*.{0,60}(twice|doubl|\b2(\.0*)? times|(factor|multipl)\w*.{0,20}\b2\b)"
    r"|(twice|doubl\w*|\b2(\.0*)? times).{0,60}(loss|gradient|error)"
)


mistake = entering(KINDS, __name__, "is")


# ---------------------------------------------------------------- the data


@mistake(
    "the labels are shuffled on their own, so that they no longer belong to their samples",
    r"mispair|(label|target)\w*.{0,80}(shuffl|permut|\border\b|mismatch|another|other|wrong|paired|belong)"
    r"|(shuffl|permut|mismatch)\w*.{0,60}(label|target)",
    (MLP, RELU, DOUBLE, BOWL),
)
class LabelsShuffledAlone(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(t))
        return x, y[order]


@mistake(
    "the loader shuffles the samples, where their order was to be kept",
    r"^(?!\W*(the )?(labels?|targets?)\b).*((sample|batch|epoch|data|loader)\w*.{0,60}(shuffl|\border\b|permut)"
    r"|(shuffl|permut)\w*.{0,40}(sample|batch|epoch|data)|(other|different|wrong) (sample|batch))",
    DEEP,
)
class LoaderShuffles(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        epoch, batch = divmod(t, self.inputs.steps_per_epoch)
        order = torch.randperm(len(self.inputs.x), generator=torch.Generator().manual_seed(epoch))
        rows = order[batch * len(x) : (batch + 1) * len(x)]
        return torch.from_numpy(np.array(self.inputs.x))[rows], torch.from_numpy(np.array(self.inputs.y))[rows]


@mistake(
    "each batch is standardised by its own mean and deviation, where the samples were meant as they are",
    r"(sample|input|data|batch|feature|column)\w*.{0,80}(standardi[sz]|normali[sz]|z-?score|deviation)"
    r"|(standardi[sz]|normali[sz]|z-?score)\w*.{0,80}(sample|input|data|batch|feature|column)",
    DEEP,
)
class BatchStandardised(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return (x - x.mean(dim=0)) / x.std(dim=0), y


@mistake(
    "a division by 255 that the loader's transform has made already",
    r"255|(sample|input|data|\bx\b)\w*.{0,80}(scal|times|divid|factor|multipl)"
    r"|(scal|divid|multipl)\w*.{0,60}(sample|input|data|\bx\b)",
    (MLP, RELU, WORKED, BOWL),
)
class DividedBy255Again(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x / 255, y


@mistake(
    "samples that lie as (features, samples) are brought to (samples, features) by reshape, not by a transposition",
    r"reshap|(sample|input|data|batch|\bx\b)\w*.{0,80}(transpos|scrambl)|(transpos|scrambl)\w*.{0,60}(sample|input|data)"
    r"|(memory|column|fortran).{0,10}(order|major)|entries.{0,60}(order|place|permut)",
    DEEP,
)
class ReshapeForTranspose(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x.t().reshape(x.shape), y


@mistake(
    "the features come in the reverse order, as BGR for RGB",
    r"\bBGR|\bRGB|(column|feature|channel|component|entr|coordinate)\w*.{0,60}(revers|flip|mirror|swap|order|permut)"
    r"|(revers|flip|mirror|swap|permut)\w*.{0,60}(column|feature|channel|component|entr|coordinate)",
    (MLP, RELU, DOUBLE, WORKED),
)
class FeaturesReversed(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return paddle.flip(x, axis=[1]), y


@mistake(
    "the labels are read as whole numbers, which cuts off their fractions",
    r"(label|target|\by\b)\w*.{0,80}(integer|\bint(32|64)?\b|whole number|truncat|fraction)"
    r"|(integer|\bint(32|64)?\b|whole|truncat|fraction)\w*.{0,80}(label|target|\by\b)",
    DEEP,
)
class LabelsAsIntegers(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x, y.astype("int64").astype(y.dtype)


# ---------------------------------------------------------------- layers and activations


@mistake(
    "a square weight is loaded as it lies in the other framework, (out, in), and not transposed",
    r"transpos|\(in, ?out\)|\(out, ?in\)|(row|column)s?.{0,40}(column|row|swap|exchang)|layout",
    DEEP,
)
class SquareNotTransposed(PaddleLoop):
    def load(self, t: int, state: Mapping[str, Array]) -> None:
        for name, p in self.parameters.items():
            value = np.array(state[f"weight/{name}"])
            p.set_value(value if list(value.shape) == list(p.shape) else np.ascontiguousarray(value.T))


@mistake(
    "LeakyReLU with its default slope, where ReLU was meant",
    r"leaky|lrelu|prelu|(slope|0\.01)\w*.{0,60}negative|negative.{0,60}(slope|0\.01)",
    (RELU, MINIBATCH),
)
class LeakyForRelu(TorchLoop):
    def module(self, op: Layer, shape: tuple[int, ...]) -> Any:
        return torch.nn.LeakyReLU() if op.kind == "relu" else super().module(op, shape)


@mistake(
    "the hard sigmoid of a mobile network, where the sigmoid was meant",
    r"hard.?sigmoid|piece.?wise|straight line|1 ?/ ?6|\b0?\.16\d*|relu6",
    (SIGMOIDS, MLP, DOUBLE),
)
class HardSigmoid(PaddleLoop):
    def module(self, op: Layer, shape: tuple[int, ...]) -> Any:
        return paddle.nn.Hardsigmoid() if op.kind == "sigmoid" else super().module(op, shape)


@mistake(
    "a dropout of the old mode, which is off and then multiplies by 1 − p: the first activation's outputs are halved",
    r"dropout|(output|activation|value|result|_act\b)\w*.{0,80}(\b0\.50*\b|half|halved|scal|factor)"
    r"|(\b0\.50* times|half|halved)\b.{0,60}(output|activation|value|result|_act\b)",
    (SIGMOIDS, MLP, RELU),
)
class OldDropoutOff(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        z = super().call(name, z)
        if name != self.first_activation():
            return z
        return paddle.nn.functional.dropout(z, p=0.5, training=False, mode="downscale_in_infer")


@mistake(
    "ReLU after the last layer too, as after every other one",
    r"(relu|rectif|negative|max\(0|clamp)\w*.{0,80}(output|last|final|prediction)"
    r"|(output|last|final|prediction)\w*.{0,80}(relu|rectif|negative|below (0|zero)|max\(0|clamp)",
    (RELU, BOWL),
)
class ReluOnOutput(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        z = super().call(name, z)
        return paddle.nn.functional.relu(z) if name == self.names[-1] else z


@mistake(
    "[Linear(3, 3)] * 2: two layers of a list are one and the same",
    r"\bshar(ed|es|e|ing)\b|\btied\b|\btying\b|same (layer|weight|module|parameter|object)|one and the same"
    r"|first.{0,40}(instead|in place) of.{0,30}second|second.{0,60}(uses|takes|has|with|by).{0,30}first"
    r"|(layer|first|second|weight)s?.{0,40}used twice",
    DEEP,
)
class LayerTimesTwo(TorchLoop):
    def build(self) -> None:
        super().build()
        self.layers["second"] = self.model["second"] = self.layers["first"]
        self.parameters = dict(self.model.named_parameters(remove_duplicate=False))


@mistake(
    "autocast to bfloat16 is left on around the forward pass",
    r"b?float16|\bb?f(p)?16|half.?precision|16.?bit|autocast|mixed.?precision|(low|less|reduced)\w* precision"
    r"|fewer (bits|digits)",
    (MLP, RELU),
)
class AutocastLeftOn(TorchLoop):
    def forward(self, x: Any) -> dict[str, Any]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().forward(x)

    def loss(self, yhat: Any, y: Any) -> Any:
        return super().loss(yhat.float(), y)


# ---------------------------------------------------------------- the loss


@mistake(
    "reduction='sum', left from size_average=False: the squared errors are summed and not averaged",
    r"(loss|error|square|batch|sample|reduction)\w*.{0,60}(\bsums?\b|summed)"
    r"|(\bsums?\b|summed).{0,60}(loss|error|square|batch|sample|\bmean\b|averag)"
    r"|not (divided|averaged)|without (the |a )?(mean|division|averag)"
    r"|(loss|gradient)\w*.{0,60}\b[48](\.0*)? times|\b[48](\.0*)? times.{0,60}(loss|gradient)|multiplied by [48]\b",
    DEEP,
)
class SumForMean(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return paddle.nn.functional.mse_loss(yhat, y, reduction="sum")


@mistake(
    "binary cross entropy after the sigmoid, where half the squared error was meant",
    r"cross.?entropy|\bbce\b|log(arithmic|istic)?.?loss|log.?likelihood",
    (SIGMOIDS, FORWARD),
)
class CrossEntropyForSquares(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return torch.nn.functional.binary_cross_entropy(yhat, y)


@mistake(
    "the smooth L1 loss, where the mean squared error was meant",
    r"smooth|huber|\bl1\b|absolute",
    DEEP,
)
class SmoothL1ForMse(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return paddle.nn.functional.smooth_l1_loss(yhat, y)


@mistake("the root of the mean squared error is minimised", r"\broot|sqrt|rmse|√", DEEP)
class RootOfMse(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return torch.sqrt(super().loss(yhat, y))


@mistake(
    "the squared errors are summed over the outputs and averaged over the samples only",
    r"(sum|add)\w*.{0,60}output|number of outputs|divided by.{0,30}(batch|samples|\b4\b|\b10\b)"
    r"|(mean|average)\w*.{0,40}(samples|batch) only|not.{0,40}(divided|averaged).{0,40}output|" + TWICE,
    (RELU, MINIBATCH),
)
class SumOverOutputs(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return ((yhat - y) ** 2).sum(axis=1).mean()


@mistake(
    "the framework's mean squared error, where the derivation has a half in front of it",
    r"\bhalf\b|½|\b0\.5\b|1/2|\bmse\b|(?<!root of the )mean squared|" + TWICE,
    (SIGMOIDS, BOWL),
)
class MseWithoutHalf(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return torch.nn.functional.mse_loss(yhat, y)


# ---------------------------------------------------------------- gradients


@mistake(
    "zero_grad stands before the inner loop, once an epoch: the gradients of an epoch's batches add up",
    r"accumulat|zero_grad|(not|never|only)\b.{0,40}(clear|zeroed|reset)|(clear|zeroed|reset)\w*.{0,60}(epoch|\bnot\b|never)"
    r"|add up|(added|sum|plus|carried)\w*.{0,60}(previous|earlier|former|steps before)",
    DEEP,
)
class ZeroGradOnceAnEpoch(TorchLoop):
    def clear(self) -> None:
        if self.place % self.inputs.steps_per_epoch == 0:
            super().clear()

    def update(self, t: int) -> None:
        super().update(t)
        self.place = t + 1


@mistake(
    "clear_grad stands between backward and step, so that the step has nothing to go by",
    r"(clear|zeroed|reset|wiped|erased)\w*.{0,80}(before|between|too (early|soon))|no update|never (updated|moved)"
    r"|(weight|parameter)s?.{0,60}(never (chang|updat|mov)|not (chang|updat|mov|train)|stay|unchanged|frozen)"
    r"|gradients?.{0,60}(\bzeros?\b|\b0(?![.\d])|lost|cleared)|\b0(\.0*)? times.{0,40}gradient",
    (MLP, RELU, WORKED),
)
class ClearedBeforeStep(PaddleLoop):
    def update(self, t: int) -> None:
        self.clear()
        super().update(t)


@mistake(
    "z (1 − z) of the sigmoid's input for its derivative: it wants the sigmoid's output",
    r"(derivative|slope|backward|gradient)\w*.{0,80}(sigmoid|σ|activation|_act\b).{0,120}"
    r"(input|pre-?activation|\bz\b|argument)|[xz] ?[·*×]? ?\(1 ?[-−–] ?[xz]\)"
    r"|(derivative|slope|gradient)\w*.{0,60}(of|from|at|with|by) (its|the|their) (input|pre-?activation)",
    (SIGMOIDS, MLP, DOUBLE),
)
class SlopeOfInput(TorchLoop):
    def module(self, op: Layer, shape: tuple[int, ...]) -> Any:
        if op.kind != "sigmoid":
            return super().module(op, shape)
        return torch_function(torch.sigmoid, lambda gradient, z, a: gradient * z * (1 - z))


@mistake(
    "backpropagation by hand forgets the derivative of ReLU: the gradient goes through where the unit is off",
    r"straight.?through|(forg|ignor|skip|without|miss)\w*.{0,30}(derivative|mask|slope).{0,30}relu|relu.{0,100}(derivative|slope|mask|gradient|backward).{0,60}"
    r"(\b1\b(?!\.)|\bone\b|everywhere|ignor|miss|left out|skip|forg|identity|pass|not applied|unchanged)"
    r"|(derivative|slope|mask|gradient|backward)\w*.{0,60}relu.{0,60}"
    r"(\b1\b(?!\.)|\bone\b|everywhere|ignor|miss|left out|skip|forg|identity|pass|not applied|unchanged)"
    r"|(pass|let|goes|go)\w*.{0,40}(negative|unchanged|everywhere)|derivative of (the|every) activation.{0,20}left out",
    (RELU, MINIBATCH),
)
class ReluSlopeForgotten(PaddleLoop):
    def module(self, op: Layer, shape: tuple[int, ...]) -> Any:
        if op.kind != "relu":
            return super().module(op, shape)
        return paddle_function(paddle.nn.functional.relu, lambda gradient, z, a: gradient)


@mistake(
    "every gradient is clipped to a norm of 1 of its own, a setting that came along from another script",
    r"clip.{0,100}norm|norm.{0,100}(clip|bound|limit|at most|capp|exceed)",
    (WORKED, MLP, RELU),
)
class ClippedByNorm(PaddleLoop):
    def make_optimizer(self) -> None:
        self.make_schedule()
        clip = paddle.nn.ClipGradByNorm(clip_norm=1.0)
        self.optimizer = paddle.optimizer.SGD(lr_of(self), self.model.parameters(), grad_clip=clip)


@mistake(
    "each layer is updated as soon as its gradient is there, and the gradient goes on through the new weights",
    r"(already|newly|just)[- ](updated|changed|new|moved)|(updated|new) weights?.{0,80}(gradient|back|propagat|pass)"
    r"|(gradient|back|propagat)\w*.{0,100}(\bupdated|\bnew\b|already|after (the|its|their) (update|step))"
    r"|(updat|step)\w*.{0,60}(before|while|during).{0,60}(back|gradient|propagat)",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class UpdatedOnTheWayBack(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        layer, lr = self.layers[name], lr_of(self)
        if self.kind(name) != "linear":
            return layer(z)

        def back(gradient: Any, z: Any, weight: Any, bias: Any, out: Any) -> tuple[Any, Any, Any]:
            own = gradient.T @ z
            layer.weight.data -= lr * own
            if layer.bias is not None:
                layer.bias.data -= lr * gradient.sum(dim=0)
            return gradient @ layer.weight.data, own, gradient.sum(dim=0)

        bias = torch.zeros(len(layer.weight), dtype=z.dtype) if layer.bias is None else layer.bias
        return torch_function(torch.nn.functional.linear, back)(z, layer.weight, bias)

    def update(self, t: int) -> None:
        pass


@mistake(
    "the sum for a bias's gradient has no axis: every unit gets the sum over all units",
    r"bias\w*.{0,120}(\bsum|axis|\bsame\b|total|all units|equal)|(\bsum|axis|total)\w*.{0,100}bias",
    BIASED,
)
class BiasSumWithoutAxis(TorchLoop):
    def backward(self, loss: Any) -> None:
        super().backward(loss)
        for p in self.parameters.values():
            if p.dim() == 1:
                p.grad = p.grad.sum().expand_as(p).clone()


# ---------------------------------------------------------------- the optimizer and the schedule


@mistake(
    "Momentum with its default of 0.9, where plain SGD was meant",
    r"momentum|velocity|heavy.?ball",
    (MLP, RELU, DOUBLE, BOWL),
)
class MomentumByDefault(PaddleLoop):
    def make_optimizer(self) -> None:
        self.make_schedule()
        self.optimizer = paddle.optimizer.Momentum(lr_of(self), parameters=self.model.parameters())


@mistake(
    "a weight decay of 5e-4, copied along with the optimizer's line",
    r"decay|\bl2\b|regulari[sz]|penalt|shr[iu]nk",
    (MLP, RELU, WORKED),
)
class DecayCopied(PaddleLoop):
    def make_optimizer(self) -> None:
        self.make_schedule()
        self.optimizer = paddle.optimizer.SGD(lr_of(self), self.model.parameters(), weight_decay=5e-4)


@mistake(
    "the optimizer is given the parameters of the last layer only, as for fine tuning",
    r"(not|never)\b.{0,40}(updat|train|chang|optimi[sz]|mov)|frozen|freez|only.{0,60}(output|last)|(output|last).{0,30}\bonly"
    r"|without.{0,40}(update|optimi[sz])|\bstays?\b|unchanged",
    (MLP, RELU, WORKED, SIGMOIDS),
)
class OnlyLastLayer(TorchLoop):
    def make_optimizer(self) -> None:
        self.optimizer = torch.optim.SGD(self.layers[self.linears()[-1]].parameters(), lr=lr_of(self))
        self.make_schedule()

    def clear(self) -> None:
        self.model.zero_grad()


@mistake(
    "the rate is left out, and the optimizer takes its default of 0.001",
    r"(\brate|\blr\b|step size|update|step)\w*.{0,100}(\b0\.001|\b0\.010*\d?\b|1e-0?[23]|\b100\b|default|small)"
    r"|(\b0\.001|\b0\.01\b|1/100|hundredth).{0,60}(\brate|\blr\b|step|update)",
    DEEP,
)
class RateByDefault(TorchLoop):
    def make_optimizer(self) -> None:
        self.optimizer = torch.optim.SGD(self.model.parameters())
        self.make_schedule()


@mistake(
    "a linear warm-up from 0 over the first four steps is left in",
    r"warm|\bramp|(\brate|\blr\b)\w*.{0,60}(\bris|\brose|grow|increas|climb|starts? (at|from|with))",
    DEEP,
)
class WarmUpLeftIn(PaddleLoop):
    def make_schedule(self) -> None:
        lr = lr_of(self)
        self.schedule = paddle.optimizer.lr.LinearWarmup(lr, warmup_steps=4, start_lr=0.0, end_lr=lr)


@mistake(
    "the schedule steps once an epoch, though its length is counted in batches",
    r"(schedul|\brate|\blr\b|cosine)\w*.{0,100}((once|only|every|each|per|after|end of).{0,20}epoch\b"
    r"|epoch by epoch|(once|every|each).{0,20}\b3\b)|(once|only|every|each|per).{0,20}epoch\b.{0,80}(schedul|\brate)",
    (COSINE,),
)
class ScheduleOnceAnEpoch(TorchLoop):
    def update(self, t: int) -> None:
        self.optimizer.step()
        if (t + 1) % self.inputs.steps_per_epoch == 0:
            self.schedule.step()


@mistake(
    "the schedule steps before the optimizer, as in old versions: each update has the next one's rate",
    r"(schedul|\brate)\w*.{0,80}(before the (optimi[sz]er|update|step)|ahead|early|too soon|\bnext\b|following"
    r"|one step|off by one|shift)|(one|1) step.{0,30}(ahead|early|too)|first rate.{0,40}(skip|never)",
    (COSINE,),
)
class ScheduleBeforeOptimizer(TorchLoop):
    def update(self, t: int) -> None:
        self.schedule.step()
        self.optimizer.step()


@mistake(
    "the cosine's length is the number of epochs, though it steps at every batch",
    r"t_?max|\bperiod|(length|number|count|end|total|over|steps?)\w*.{0,60}epochs|\b2 steps"
    r"|too (short|fast|early|soon)|\bcycle|shorter|faster",
    (COSINE,),
)
class CosineOfEpochs(PaddleLoop):
    def make_schedule(self) -> None:
        epochs, floor = self.scenario.epochs, self.scenario.schedule.floor
        self.schedule = paddle.optimizer.lr.CosineAnnealingDecay(lr_of(self), T_max=epochs, eta_min=floor)


# ---------------------------------------------------------------- what is told


@mistake(
    "ReLU in place: what is kept of the layer before it has been overwritten by the activation",
    r"in.?place|overwrit|after (its|the|their)? ?(activation|relu|\w+_act)|already.{0,40}(relu|activat|rectif)"
    r"|(holds|shows|is) (what|that of|the output of).{0,40}_act\b",
    (RELU, MINIBATCH),
)
class ReluInPlace(TorchLoop):
    def module(self, op: Layer, shape: tuple[int, ...]) -> Any:
        return torch.nn.ReLU(inplace=True) if op.kind == "relu" else super().module(op, shape)


@mistake(
    "the loss that is told is the mean over the epoch so far, as a meter shows it",
    r"(running|cumulative|moving|overall) (mean|average)|(loss|losses)\b.{0,80}(averag|so far|smoothed)"
    r"|(average|mean) (of|over).{0,40}(\ball\b|steps|losses|earlier|batches|epoch)",
    (MLP, RELU, DOUBLE, MINIBATCH),
)
class LossOfMeter(PaddleLoop):
    total, count = 0.0, 0

    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        if self.starts_epoch(t):
            self.total, self.count = 0.0, 0
        self.total, self.count = self.total + float(seen["loss"]), self.count + 1
        return seen | {"loss": self.total / self.count}


@mistake(
    "the weights are copied before the step, and told as those after it",
    r"(before|prior to|ahead of).{0,40}(update|step)|(previous|old|stale|earlier).{0,40}weight|not yet updated"
    r"|weights?\b.{0,80}(one step|previous|\bold\b|stale|\blate\b|behind|before)",
    (MLP, RELU, BOWL),
)
class WeightsBeforeStep(PaddleLoop):
    def update(self, t: int) -> None:
        self.kept = {f"weight/{name}": np.array(p.numpy().T) for name, p in self.parameters.items()}
        super().update(t)

    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        return seen | self.kept


# ---------------------------------------------------------------- the state


@mistake(
    "only the weights are carried over: the biases start from the framework's zeros",
    r"bias\w*.{0,100}(\bzeros?\b|\b0\b|not (load|copi|taken|set|given|carried)|initial|default|start)"
    r"|(zero|initial)\w*.{0,40}bias",
    BIASED,
)
class BiasesNotLoaded(PaddleLoop):
    def load(self, t: int, state: Mapping[str, Array]) -> None:
        for name, p in self.parameters.items():
            if name.endswith("weight"):
                p.set_value(np.ascontiguousarray(state[f"weight/{name}"].T))


@mistake(
    "two layers of one shape get each other's parameters, since the two lists are in different orders",
    r"swap|exchang|interchang|each other|one another|wrong order|(layers?|weights?|parameters?).{0,40}\border\b"
    r"|(first|second)\b.{0,60}(holds|has|gets|given|takes|starts|loaded).{0,60}(second|first)\b",
    DEEP,
)
class LayersSwapped(TorchLoop):
    def load(self, t: int, state: Mapping[str, Array]) -> None:
        other = {"first": "second", "second": "first"}
        with torch.no_grad():
            for name, p in self.parameters.items():
                layer, _, param = name.partition(".")
                p.copy_(torch.from_numpy(np.array(state[f"weight/{other.get(layer, layer)}.{param}"])))
