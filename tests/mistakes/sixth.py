"""Which sixth set of mistakes do people make in a training loop, and which words must a cause have to be right?

Written without a look at what isograd searches for, and without a look at the mistakes of the other sets: an
independent draw of what is met most often in forums, reviews and homework. The form, and the meaning of ``accept``, are
those of ``tests.mistakes.kinds``; here ``accept`` minds neither case nor line ends.

Those that concern a schedule of the rate have one scenario only, since no other has a schedule.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from isograd.inputs import Array
from isograd.ops.op import Layer
from tests.mistakes.further import (
    BATCHES,
    BOWL,
    DEEP,
    FORWARD,
    MINIBATCH,
    MLP,
    RELU,
    SIGMOIDS,
    WORKED,
)
from tests.mistakes.kinds import COSINE, DOUBLE, Kind, entering, lr_of
from tests.mistakes.loops import PaddleLoop, TorchLoop, paddle, torch

KINDS: dict[str, Kind] = {}


mistake = entering(KINDS, __name__, "is")


# ---------------------------------------------------------------- the data


@mistake(
    "labels of shape (N,) against outputs of shape (N, 1), which broadcast to (N, N)",
    r"broadcast|\(?\bN ?[,x×] ?N\b|\(4, ?4\)|outer|pairwise|squeez|flatten|1-?d\b|one.dimensional|\(N,\)|\(4,\)"
    r"|(each|every|all) (output|prediction)s?.{0,60}(each|every|all)|(label|target)s?.{0,40}shape",
    (MLP, DOUBLE, BOWL),
)
class LabelsWithoutColumn(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x, y.squeeze(-1)


@mistake(
    "the inputs standardised with the mean and the deviation of the training set",
    r"standardi[sz]|normali[sz]|z-?scor|whiten|unit variance|zero mean|cent(er|re)d"
    r"|(mean|average).{0,60}(\bstd|deviation|varian)",
    DEEP,
)
class Standardised(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        train = paddle.to_tensor(self.inputs.x)
        return (x - train.mean(axis=0)) / train.std(axis=0, unbiased=False), y


@mistake(
    "the samples shuffled anew in each epoch, where the other program goes through them in their order",
    r"shuffl|permut|\border|(other|different|wrong|not the same) (samples|batch|mini-?batch|rows|data)|another batch",
    (*DEEP, MINIBATCH),
)
class Shuffled(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        steps = self.inputs.steps_per_epoch
        order = torch.randperm(len(self.inputs.x), generator=torch.Generator().manual_seed(t // steps)).numpy()
        chosen = order[(t % steps) * len(x) :][: len(x)]
        return torch.from_numpy(self.inputs.x[chosen]), torch.from_numpy(self.inputs.y[chosen])


@mistake(
    "the inputs shuffled within the batch, and the labels not along with them",
    r"shuffl|permut|\border\b|reorder|misalign|out of (step|line)|mismatch|(not|n't|no longer) (match|align|belong"
    r"|correspond)"
    r"|(other|another|wrong|different) (sample|row|input|label|target)|\bpair|revers|\broll|rotat",
    (MLP, RELU, DOUBLE, BOWL),
)
class InputsShuffledAlone(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        paddle.seed(t + 1)
        return paddle.index_select(x, paddle.randperm(len(x))), y


@mistake(
    "the inputs divided by 255, as for images",
    r"255|0\.0039|(input|data\b|feature|\bx\b|pixel|image).{0,60}(scale|divid|multipl|smaller|normali)"
    r"|(scale|divid|multipl|normali)\w*.{0,30}(input|data\b|feature|\bx\b|pixel|image)",
    (WORKED, MLP, RELU, BOWL),
)
class Pixels(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x / 255.0, y


@mistake(
    "next(iter(loader)) inside of the loop: each step gets the first batch",
    r"(same|first|initial|one|single) (mini-?)?batch|batch (0|1|one|zero)\b|next\(iter|stale (data|batch)|repeat"
    r"|(never|not|n't).{0,30}(advanc|move|next batch)|(first|same) (samples|rows|\d+ samples)",
    (*DEEP, MINIBATCH),
)
class AlwaysFirstBatch(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        n = len(x)
        return paddle.to_tensor(self.inputs.x[:n]), paddle.to_tensor(self.inputs.y[:n])


@mistake(
    "an array of (features, samples) brought to (samples, features) with reshape in place of a transpose",
    r"reshap|\bview\b|transpos|(row|column).?major|fortran|scrambl|memory layout|mixed up"
    r"|(order|axes|axis|dimensions|elements|entries).{0,40}(swap|exchang|mix|wrong|other)"
    r"|features?.{0,40}(mix|across|of other) .{0,20}(sample|row)",
    (MLP, RELU, DOUBLE, BOWL),
)
class ReshapedInputs(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        stored = x.t().contiguous()
        return stored.reshape(x.shape), y


# ---------------------------------------------------------------- the forward pass

MISSING = (
    r"(missing|left out|leaves? out|leaving out|omit\w*|skip\w*|forgot\w*|forgets?|dropp\w+|drops|absent|removed"
    r"|ignor\w*"
    r"|lacks?|lacking|without|\bno\b|not (applied|added|used|there|multipl\w*)|never (applied|added|used))"
)


@mistake(
    "the first activation forgotten in forward()",
    r"(?<!derivative of )(?<!derivative of the )(?<!slope of )(?<!slope of the )(?<!gradient of )(?<!backward pass of )"
    rf"(activation|sigmoid|\bσ|relu|non-?linear\w*|_act\b).{{0,60}}({MISSING}|identity|linear)"
    rf"|{MISSING}.{{0,40}}(activation|sigmoid|\bσ|relu|non-?linear|_act\b)|identity",
    (SIGMOIDS, MLP, RELU, DOUBLE),
)
class ActivationForgotten(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        return z if name == self.first_activation() else super().call(name, z)


@mistake(
    "a sigmoid put on the output of a regression",
    r"(extra|additional|superfluous|unwanted|needless).{0,20}(activation|sigmoid|squash)"
    r"|(sigmoid|σ|squash\w*|logistic).{0,60}(\boutput|last|final|head|prediction|ŷ|yhat)"
    r"|activation (is |was )?(applied |added |put )?(to|on|after|at) (the )?(\boutput|last|final|head|prediction)"
    r"|(\boutput|last|final|head|prediction|ŷ|yhat).{0,60}(sigmoid|σ|squash|logistic|extra activation|into \(0, 1\))",
    DEEP,
)
class SigmoidOnOutput(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        out = super().call(name, z)
        return torch.sigmoid(out) if name == self.names[-1] else out


@mistake(
    "tanh in place of the sigmoid",
    r"tanh|hyperbolic|2 ?[·*]? ?(σ|sigmoid)\(2",
    (SIGMOIDS, FORWARD, MLP, DOUBLE),
)
class Tanh(PaddleLoop):
    def module(self, op: Layer, shape: tuple[int, ...]) -> Any:
        return paddle.nn.Tanh() if op.kind == "sigmoid" else super().module(op, shape)


@mistake(
    "LeakyReLU in place of ReLU, with PyTorch's slope of 0.01",
    r"leaky|prelu|negative.?slope|\b0\.01 ?([·*×]|times)|slope.{0,40}negative|negative.{0,60}(slope|0\.01"
    r"|let through|leak)",
    (RELU, MINIBATCH),
)
class Leaky(TorchLoop):
    def module(self, op: Layer, shape: tuple[int, ...]) -> Any:
        return torch.nn.LeakyReLU() if op.kind == "relu" else super().module(op, shape)


@mistake(
    "a dropout of one half after the first activation, which the other program does not have (or has in eval mode)",
    r"drop-?out|drop(s|ped)? .{0,40}(unit|activation|neuron)|mask"
    r"|(some|random\w*|half|part) .{0,40}(unit|activation|neuron|output|entr|element)s?.{0,60}(zero|\b0\b|off|dropped)",
    DEEP,
)
class DropoutOn(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        paddle.seed(100 + t)
        return x, y

    def call(self, name: str, z: Any) -> Any:
        a = super().call(name, z)
        return paddle.nn.functional.dropout(a, p=0.5, training=True) if name == self.first_activation() else a


@mistake(
    "weights that are stored as (in, out) loaded as (out, in): only the square one goes through without an error",
    r"transpos|\.T\b|ᵀ|\bW\^T|W['′]|\(in, ?out\)|\(out, ?in\)|rows? .{0,20}columns?|columns? .{0,20}rows?"
    r"|(layout|axes).{0,40}(weight|swap|wrong|other)|weight.{0,40}(layout|axes)",
    DEEP,
)
class WeightNotTransposed(TorchLoop):
    def load(self, t: int, state: Mapping[str, Array]) -> None:
        super().load(t, state)
        with torch.no_grad():
            for p in self.parameters.values():
                if p.dim() == 2 and p.shape[0] == p.shape[1]:
                    p.copy_(p.t().clone())


@mistake(
    "the linear layers without their bias, as with use_bias=False",
    rf"bias(es)?\b.{{0,60}}({MISSING}|zero|\b0\b)|({MISSING}|use_bias ?= ?false|zero).{{0,30}}bias|(Wx|xW|W·x"
    rf"|z ?= ?W ?x)\b",
    (FORWARD, *DEEP),
)
class BiasNotAdded(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        if self.kind(name) == "linear":
            return paddle.nn.functional.linear(z, self.layers[name].weight)
        return super().call(name, z)


@mistake(
    "the forward pass in mixed precision, under autocast to bfloat16",
    r"b(rain)? ?f(loat|p)?-?16|bfloat|\bf(loat|p)-?16|half.?precision|\bhalf\b.{0,20}float|16.?bits?"
    r"|mixed.?precision|autocast"
    r"|\bamp\b|(low|lower|reduced|less|coarser|fewer).{0,20}(precision|bits|digits)|mantissa",
    (MLP, RELU, FORWARD),
)
class Autocast(TorchLoop):
    def forward(self, x: Any) -> dict[str, Any]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().forward(x)

    def loss(self, yhat: Any, y: Any) -> Any:
        return super().loss(yhat.to(y.dtype), y)


# ---------------------------------------------------------------- the loss

TIMES_BATCH = (
    r"(times|factor|multipl\w*|scaled).{0,40}(batch|\bN\b|number of|samples|elements|\b4\b|\b8\b|\b10\b|\b20\b)"
)
NOT_AVERAGED = (
    r"(not|never|n't|without|missing|omits?|forgets?|\bno\b|instead of|in place of|rather than).{0,40}"
    r"(averag|divid|division|\bmean\b(?! squared)|1 ?/ ?[NmB]\b)"
)
TWICE = r"factor (of )?(2|two)\b|\btwice\b|doubl|\b2 times|times (2|two)\b|two times|[×·*] ?2\b|\b2 ?[×·*]"
HALF = r"\bhalf\b|halv|\b0?\.5\b|\b1 ?/ ?2\b|½|one.half"


@mistake(
    "reduction='sum' in the squared error, in place of the mean",
    rf"reduction.{{0,8}}sum|\bsum (of )?(the )?squared|{NOT_AVERAGED}|{TIMES_BATCH}|(sum|summed|sums|total) (over|of"
    rf"|across) .{{0,30}}"
    r"(batch|sample|element|entr|square|error|everything|row)|(mean|average|divi\w+).{0,40}(left out|forgot|omit"
    r"|missing)",
    (*DEEP, MINIBATCH),
)
class LossSummed(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return paddle.nn.functional.mse_loss(yhat, y, reduction="sum")


@mistake(
    "the squared error without its one half",
    rf"{HALF}|{TWICE}",
    (BOWL, WORKED, SIGMOIDS, FORWARD),
)
class HalfForgotten(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return ((yhat - y) ** 2).sum(dim=1).mean()


@mistake(
    "the absolute error in place of the squared one",
    r"absolute|\bL1|\bℓ1|\bMAE\b|\babs\b|\|.{1,20}\||sign of the (error|difference|residual)",
    (MLP, RELU, DOUBLE, MINIBATCH),
)
class AbsoluteError(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return paddle.nn.functional.l1_loss(yhat, y.expand_as(yhat))


@mistake(
    "the root of the mean squared error in place of the mean squared error",
    r"square.?root|\broot.?mean|root of|\brooted|\bRMSE?\b|sqrt|√|(\*\*|\^) ?\(?(0?\.5|1/2)|(euclidean"
    r"|L2).{0,20}norm of the (error|diff|resid)",
    (*DEEP, MINIBATCH),
)
class RootOfLoss(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return torch.sqrt(super().loss(yhat, y))


@mistake(
    "the squared errors of a sample summed over its outputs, and averaged over the samples alone",
    rf"{TWICE}|(sum|summed|sums|added|total).{{0,60}}(output|dimension|feature|unit|component|column|width|last axis)"
    rf"|{NOT_AVERAGED}.{{0,60}}(output|dimension|feature|unit|component|column|width)|number of outputs"
    r"|(mean|averag\w*|divid\w*).{0,30}(only|alone|just).{0,30}(batch|sample|row|\bN\b)"
    r"|(mean|averag\w*|divid\w*).{0,30}(batch|sample|row|\bN\b).{0,30}(only|alone|just)|divided by the batch",
    (RELU, MINIBATCH),
)
class SummedOverOutputs(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return ((yhat - y) ** 2).sum(axis=1).mean()


@mistake(
    "the binary cross-entropy after the sigmoid in place of the squared error",
    r"cross.?entropy|\bBCE|log.?loss|log.?likelihood|logistic loss|\bNLL|log\(ŷ|log\(yhat|ln ?\(?ŷ",
    (SIGMOIDS, FORWARD),
)
class CrossEntropy(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return torch.nn.functional.binary_cross_entropy(yhat, y)


# ---------------------------------------------------------------- the backward pass


@mistake(
    "zero_grad() forgotten",
    r"accumul|zero_?grad|clear_?grad|(not|never|n't|without).{0,20}(clear|zero|reset|set to zero|empt)"
    r"|add(s|ed)? (up|onto|to (those|that|the (earlier|previous|last|old)))|(sum|total|plus"
    r"|on top of).{0,60}(earlier|previous|past|last|so far"
    r"|before|preceding)"
    r"|carr(y|ied|ies) over|left.?over|pile",
    (MLP, RELU, DOUBLE, BOWL),
)
class ZeroGradForgotten(TorchLoop):
    def clear(self) -> None:
        pass


@cache
def passed_through() -> Any:
    """Any function in Paddle, the derivative of which was left out."""

    class PassedThrough(paddle.autograd.PyLayer):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, z: Any, function: Any) -> Any:
            return function(z)

        @staticmethod
        def backward(ctx: Any, delta: Any) -> Any:
            return delta.clone()

    return PassedThrough.apply


DERIVATIVE = r"(derivative|sigmoid_prime|\bslope|\bσ['′]|\bf['′]|\bg['′]|jacobian|a ?\(1 ?[-−] ?a\))"


@mistake(
    "the derivative of the activations left out of a hand-written backward pass",
    rf"{DERIVATIVE}.{{0,60}}({MISSING}|identity|(is|as|to be|be|by|with) (1|one)\b)|{MISSING}.{{0,40}}{DERIVATIVE}"
    r"|straight.?through|identity|(gradient|delta|δ).{0,60}(unchanged|as it is|as is|passed (on|through))",
    (SIGMOIDS, WORKED, MLP, RELU),
)
class DerivativeLeftOut(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        if self.kind(name) == "linear":
            return super().call(name, z)
        return passed_through()(z, self.layers[name])


@cache
def slope_of_input() -> Any:
    """The sigmoid in PyTorch, with ``z * (1 - z)`` for its derivative."""

    class SlopeOfInput(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, z: Any) -> Any:
            ctx.save_for_backward(z)
            return torch.sigmoid(z)

        @staticmethod
        def backward(ctx: Any, delta: Any) -> Any:
            (z,) = ctx.saved_tensors
            return delta * z * (1 - z)

    return SlopeOfInput.apply


BEFORE = r"(pre-?activation|\binputs?\b|\bz\b|before the (sigmoid|activation)|linear output|raw (sum|value))"


@mistake(
    "x * (1 - x) for the derivative of the sigmoid, called with what goes into it and not with what comes out",
    r"\b[xzh] ?[*·×]? ?\( ?1(\.0)? ?[-−] ?[xzh] ?\)|"
    rf"({DERIVATIVE}|s ?\(1 ?[-−] ?s\)).{{0,90}}{BEFORE}|{BEFORE}.{{0,60}}(in place of|instead of|rather than"
    rf"|not).{{0,30}}"
    r"(output|activation|σ|sigmoid)|(not|instead of|in place of|rather than) (with |at |of |from )?(its|the) (output"
    r"|activation)",
    (SIGMOIDS, FORWARD, MLP, DOUBLE),
)
class SlopeOfInput(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        return slope_of_input()(z) if self.kind(name) == "sigmoid" else super().call(name, z)


@cache
def slope_at_output() -> Any:
    """The sigmoid in Paddle, with its derivative taken at its output."""

    class SlopeAtOutput(paddle.autograd.PyLayer):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, z: Any) -> Any:
            a = paddle.nn.functional.sigmoid(z)
            ctx.save_for_backward(a)
            return a

        @staticmethod
        def backward(ctx: Any, delta: Any) -> Any:
            (a,) = ctx.saved_tensor()
            s = paddle.nn.functional.sigmoid(a)
            return delta * s * (1 - s)

    return SlopeAtOutput.apply


AFTER = r"(output|activation|activated|\ba\b|σ\(|already|after the sigmoid|sigmoid value)"


@mistake(
    "sigmoid_prime, which takes the sigmoid itself, called with the activation",
    rf"{DERIVATIVE}.{{0,60}}\b(at|evaluated|computed|taken|from|with|using|applied (to|on)|called).{{0,40}}{AFTER}"
    r"|[σf]['′] ?\( ?(a\b|σ|sigmoid|s\b|h\b)|σ ?\( ?σ|sigmoid ?\( ?(sigmoid|a\b|σ)|sigmoid.{0,40}(twice|again"
    r"|second time|of (the |its |a )?(sigmoid|own output|output|activation))"
    r"|(twice|double).{0,30}sigmoid",
    (SIGMOIDS, FORWARD, MLP, DOUBLE),
)
class SlopeAtOutput(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        return slope_at_output()(z) if self.kind(name) == "sigmoid" else super().call(name, z)


@mistake(
    "a detach() before the last linear layer, so that the layers below get no gradient",
    r"detach|stop.?grad|no_grad|\bcuts?\b|cut off|block|sever|broken|froze|freez|graph"
    r"|(\bno\b|not|never|n't|without).{0,30}(gradient|flow|reach|back.?propagat|passed (on|back|down))"
    r"|(gradient|backward|delta|δ).{0,80}(zero|\b0\b|none|vanish|missing|lost)|(zero|missing).{0,30}gradient",
    (SIGMOIDS, WORKED, MLP, RELU),
)
class Detached(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        return super().call(name, z.detach() if name == self.linears()[-1] else z)


@mistake(
    "a hand-written gradient that is the sum over the batch, while the loss is its mean",
    rf"{NOT_AVERAGED}|{TIMES_BATCH}|\b(sum|summed|sums)\b.{{0,60}}(batch|sample|row|mean|averag)"
    r"|[×·*] ?(\bN\b|\b4\b|batch)|(\bN\b|batch.?size|\b4\b) ?[×·*]|\b4 times|batch.?size|(divi\w+|averag\w+|mean"
    r"|1/N).{0,40}(missing|left out|forgot|omit)",
    (MLP, RELU, DOUBLE, BOWL),
)
class GradientNotAveraged(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        self.yhat, self.error = yhat, (yhat - y).detach()
        return super().loss(yhat, y)

    def backward(self, loss: Any) -> None:
        half = self.scenario.loss.kind != "mse"
        self.yhat.backward(self.error if half else 2 * self.error / self.error.shape[1])


@mistake(
    "yhat - y over N for the derivative of the mean squared error, without the 2 of the square",
    rf"{HALF}|factor (of )?(2|two)\b|({MISSING}).{{0,30}}(\b2\b|\btwo\b)|(\b2\b|\btwo\b).{{0,30}}({MISSING})"
    r"|(ŷ|yhat|output|prediction) ?[-−] ?(y|label|target)|derivative of (the|a) square",
    (*DEEP, MINIBATCH),
)
class TwoForgotten(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        self.yhat, self.error = yhat, (yhat - y).detach()
        return super().loss(yhat, y)

    def backward(self, loss: Any) -> None:
        self.yhat.backward(self.error / self.error.numel())


@cache
def updated_first() -> Any:
    """A linear layer in Paddle which hands down its gradient by the weight that its own update has already changed."""

    class UpdatedFirst(paddle.autograd.PyLayer):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, z: Any, weight: Any, *bias: Any, lr: float) -> Any:
            ctx.save_for_backward(z, weight)
            ctx.lr, ctx.biased = lr, bool(bias)
            return paddle.nn.functional.linear(z, weight, *bias)

        @staticmethod
        def backward(ctx: Any, delta: Any) -> Any:
            z, weight = ctx.saved_tensor()
            d_weight = paddle.matmul(z, delta, transpose_x=True)
            weight = weight - ctx.lr * d_weight
            d_z = paddle.matmul(delta, weight, transpose_y=True)
            return (d_z, d_weight, delta.sum(axis=0)) if ctx.biased else (d_z, d_weight)

    return UpdatedFirst.apply


UPDATED = r"(?<!not )(?<!never )(?<!n't )(?<!un)(updated|stepped|already changed|new)\b"


@mistake(
    "each layer updated as soon as its gradient is there, so that the layers below get it by the new weights",
    rf"{UPDATED}.{{0,40}}(weight|\bW\b|parameter|matrix)|(weight|\bW\b|parameter|matrix)s?.{{0,60}}({UPDATED}"
    rf"|after (the|its|their) "
    r"(own )?(step|update))|updat\w*.{0,60}before.{0,60}(back|propagat|gradient|hidden|earlier|below|delta|δ)"
    r"|after (the|its|their) (own )?(step|update).{0,40}(weight|\bW\b)|W ?[-−] ?(lr|η|α)|in.?place update",
    (SIGMOIDS, WORKED, MLP, RELU),
)
class UpdatedTooSoon(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        if name not in self.linears()[1:]:
            return super().call(name, z)
        layer = self.layers[name]
        bias = () if layer.bias is None else (layer.bias,)
        return updated_first()(z, layer.weight, *bias, lr=lr_of(self))


# ---------------------------------------------------------------- the optimizer and the schedule


@mistake(
    "Adam in place of SGD",
    r"\badam|adaptive moment|(first|second) moment",
    BATCHES,
)
class Adam(TorchLoop):
    def make_optimizer(self) -> None:
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=self.scenario.optimizer.lr)
        self.make_schedule()


@mistake(
    "a momentum of 0.9, which the other program does not have",
    r"momentum|velocity|heavy.?ball|\b0\.9\b.{0,60}(previous|last|earlier|past)|nesterov"
    r"|(exponential|decaying|running|moving).{0,30}(average|sum|mean) of .{0,30}gradient",
    (MLP, RELU, DOUBLE, BOWL),
)
class WithMomentum(PaddleLoop):
    def make_optimizer(self) -> None:
        self.make_schedule()
        rate = self.schedule or self.scenario.optimizer.lr
        self.optimizer = paddle.optimizer.Momentum(rate, momentum=0.9, parameters=self.model.parameters())


@mistake(
    "a weight decay of 0.01, which the other program does not have",
    r"weight.?decay|\bL2\b|\bℓ2|L2Decay|regulari[sz]|penalt|\bridge\b|tikhonov|decay.{0,30}(weight|parameter)"
    r"|(weight|parameter)s?.{0,40}(shrink|shrunk|decay)|(shrink|shrunk)\w*.{0,40}(weight|parameter)|λ ?[·*]? ?[wW]\b",
    (MLP, RELU, DOUBLE, SIGMOIDS),
)
class WithWeightDecay(PaddleLoop):
    def make_optimizer(self) -> None:
        self.make_schedule()
        rate = self.schedule or self.scenario.optimizer.lr
        self.optimizer = paddle.optimizer.SGD(rate, self.model.parameters(), weight_decay=0.01)


@mistake(
    "the gradients clipped to a global norm of 1, which the other program does not do",
    r"clip|(norm|length|magnitude)\b.{0,60}(\b1(\.0)?\b|\bone\b|\bcap|limit|rescal|bound|at most|exceed|unit)"
    r"|(rescal|limit|capp?ed|bound|normali)\w*.{0,60}norm",
    (MLP, RELU, DOUBLE, BOWL),
)
class Clipped(TorchLoop):
    def update(self, t: int) -> None:
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), max_norm=1.0)
        super().update(t)


@mistake(
    "the learning rate not handed to the optimizer, which takes its default of 0.001",
    r"\b0\.001\b|\b1e-0?3\b|(learning.?rate|\blr\b|\brate\b|step.?size|\bη).{0,60}(default|\b100\b|hundred"
    r"|\b0?\.01\b|\b10\b|small|low|less|not (passed|set|given|handed)|wrong|other|differ|scaled|times)"
    r"|(default|wrong|other|different|smaller|lower).{0,20}(learning.?rate|\blr\b|\brate\b|step.?size)",
    (SIGMOIDS, WORKED, MLP, RELU),
)
class DefaultRate(PaddleLoop):
    def make_optimizer(self) -> None:
        self.schedule = None
        self.optimizer = paddle.optimizer.SGD(parameters=self.model.parameters())


@mistake(
    "the schedule stepped once an epoch, where it counts the batches",
    r"(per|each|every|once|end of|whole|at|after|by|in|an|with the)\b.{0,14}epoch|epochs? (in place|instead|rather"
    r"|and not|not)"
    r"|epoch.{0,30}(schedul|stepp|advance|count)",
    (COSINE,),
)
class ScheduleByEpoch(PaddleLoop):
    def update(self, t: int) -> None:
        self.optimizer.step()
        if (t + 1) % self.inputs.steps_per_epoch == 0:
            self.schedule.step()


@mistake(
    "scheduler.step() before optimizer.step()",
    r"before (the |each |its )?(optimi[sz]er|update|step|weight|first)|\b(next|following|coming) (step|rate|lr"
    r"|learning|value|update)"
    r"|(\bone\b|\b1\b|a) (step|update|iteration|batch)s? (ahead|early|too|forward|further|in advance|soon|later|of)"
    r"|\bahead\b|too (early|soon)|off.by.one|shift|\b[tki] ?\+ ?1\b|skips? (the )?(first|initial)|counts? from (1|one)",
    (COSINE,),
)
class ScheduleFirst(TorchLoop):
    def update(self, t: int) -> None:
        self.schedule.step()
        self.optimizer.step()


@mistake(
    "the first layer's parameters not handed to the optimizer, as with a layer kept in a plain list",
    r"frozen|freez|not in the optimi|(not|never|n't|un|without being|\bno\b).{0,25}(updat|train|optimi|learn|stepp"
    r"|move|chang|given|passed|regist|handed)"
    r"|(missing|left out|omitted|excluded|absent).{0,30}(optimi|update|step|parameters)|(keeps?|kept|stays?|stayed"
    r"|remains?).{0,40}(initial|same|value|as (it|they)|constant|old|start)"
    r"|requires_grad|stop_gradient|(step|update|rate|lr).{0,30}(is |of )(zero|0\b)|(zero|no) (step|update|rate)",
    (SIGMOIDS, WORKED, MLP, RELU),
)
class LayerNotHandedOver(TorchLoop):
    def make_optimizer(self) -> None:
        handed = [p for name, p in self.parameters.items() if name.split(".")[0] != self.linears()[0]]
        self.optimizer = torch.optim.SGD(handed, lr=self.scenario.optimizer.lr)
        self.make_schedule()

    def clear(self) -> None:
        self.model.zero_grad()


@mistake(
    "the gradient added to the weights in place of subtracted",
    r"\bsigns?\b|negat|ascen[td]|\bminus\b|opposite|uphill|(?<![\de.])[-−]1\b|maximi[sz]|\bflip|revers|wrong direction"
    r"|\badd(s|ed|ing)?\b|\bplus\b|\+=|\+ ?(lr|η|α|rate)|not subtracted|instead of subtract",
    (SIGMOIDS, WORKED, MLP, RELU),
)
class GradientAdded(PaddleLoop):
    def update(self, t: int) -> None:
        with paddle.no_grad():
            for p in self.model.parameters():
                p.set_value(p + self.rate() * p.grad)


# ---------------------------------------------------------------- what is told


@mistake(
    "the loss told is its running mean over the epoch, as in Keras's progress bar",
    r"running|moving|cumulative|progress bar|smooth|(\bmean\b|averag\w*).{0,60}(epoch|so far|since|batches|steps"
    r"|earlier|previous|past|losses|history|until)"
    r"|(earlier|previous|past) (loss|batch|step)",
    (*DEEP, MINIBATCH),
)
class RunningLoss(TorchLoop):
    losses: tuple[Any, ...] = ()

    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        self.losses = (seen["loss"],) if self.starts_epoch(t) else (*self.losses, seen["loss"])
        return seen | {"loss": torch.stack(self.losses).mean()}


@mistake(
    "the loss told is loss.item() * len(x), and nobody divides it by the number of samples",
    rf"{TIMES_BATCH}|{NOT_AVERAGED}|batch.?size|[×·*] ?(\bN\b|\b4\b|\b10\b|len\b)|len\(|\b(4|10) times"
    r"|\b(sum|summed|sums|total)\b.{0,60}(batch|sample|row|mean|averag)|(divi\w+|averag\w+|1/N).{0,40}(missing"
    r"|left out|forgot|omit)",
    (MLP, RELU, BOWL, MINIBATCH),
)
class LossTimesSamples(PaddleLoop):
    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        return seen | {"loss": seen["loss"] * len(x)}
