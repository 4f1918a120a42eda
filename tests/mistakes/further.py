"""Which further mistakes do people make in a training loop, and which words must a cause have to be right about each?

Written without a look at what isograd searches for. The style, and the meaning of ``accept``, are those of
``tests.mistakes.kinds``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.mistakes.kinds import Kind, entering, lr_of
from tests.mistakes.loops import PaddleLoop, TorchLoop, paddle, torch

MLP, RELU, DOUBLE = (f"tests/mistakes/scenarios/{name}.toml" for name in ("mlp", "relu", "double"))
WORKED, SIGMOIDS, NEURON = "article/worked_backprop", "article/one_two_one", "article/single_neuron_relu"
FORWARD, BOWL, MINIBATCH = "article/worked_forward", "article/gradient_descent", "article/sum_regression_minibatch"
BATCHES = (MLP, RELU, DOUBLE, BOWL)
DEEP = (MLP, RELU, DOUBLE)
BIASED = (SIGMOIDS, MLP, RELU, DOUBLE)
SIGMOID, RELUS = (SIGMOIDS, FORWARD, MLP, DOUBLE), (NEURON, RELU, MINIBATCH)


KINDS: dict[str, Kind] = {}


mistake = entering(KINDS, __name__)


def torch_function(ahead: Callable[..., Any], back: Callable[..., Any]) -> Callable[..., Any]:
    """A function with a derivative by hand: ``back(gradient, *inputs, output)`` gives the inputs' gradients."""

    class ByHand(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *given: Any) -> Any:
            out = ahead(*given)
            ctx.save_for_backward(*given, out)
            return out

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return back(gradient, *ctx.saved_tensors)

    return ByHand.apply


def paddle_function(ahead: Callable[..., Any], back: Callable[..., Any]) -> Callable[..., Any]:
    """The same as ``torch_function``."""

    class ByHand(paddle.autograd.PyLayer):
        @staticmethod
        def forward(ctx: Any, *given: Any) -> Any:
            out = ahead(*given)
            ctx.save_for_backward(*given, out)
            return out

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return back(gradient, *ctx.saved_tensor())

    return ByHand.apply


class InPlaceOf:
    """Another activation in every place of one kind."""

    theirs = "relu"
    ours: Callable[[Any, Any], Any]

    def call(self: Any, name: str, z: Any) -> Any:
        return self.ours(z) if self.kind(name) == self.theirs else self.layers[name](z)


# ---------------------------------------------------------------- the optimizer


@mistake("NAdam, where SGD was asked for", r"(?i)\bnadam|nesterov", BATCHES)
class NadamForSgd(TorchLoop):
    def make_optimizer(self) -> None:
        self.optimizer = torch.optim.NAdam(self.model.parameters(), lr=lr_of(self))
        self.make_schedule()


@mistake("Adamax, where SGD was asked for", r"(?i)\badamax", BATCHES)
class AdamaxForSgd(PaddleLoop):
    def make_optimizer(self) -> None:
        self.make_schedule()
        self.optimizer = paddle.optimizer.Adamax(lr_of(self), parameters=self.model.parameters())


@mistake(
    "Lion, which takes only the sign of its momentum",
    r"(?i)\blion\b|\bsign\(|sign.?(sgd|descent)|signum|only the sign"
    r"|\bsigns? of (the|its|a|each|every)\b.{0,30}(gradient|momentum|velocity|average)(?!.*(wrong|flip|revers|[-−]1))",
    BATCHES,
)
class LionForSgd(TorchLoop):
    def update(self, t: int) -> None:
        self.kept = getattr(self, "kept", {name: torch.zeros_like(p) for name, p in self.parameters.items()})
        with torch.no_grad():
            for name, p in self.parameters.items():
                p -= lr_of(self) * torch.sign(0.9 * self.kept[name] + 0.1 * p.grad)
                self.kept[name] = 0.99 * self.kept[name] + 0.01 * p.grad


@mistake(
    "all gradients divided by their norm",
    r"(?i)normali[sz]|unit (length|norm|vector)|divided by.{0,40}\bnorm|\bnorm of (the|its|all|their).{0,20}gradient",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class GradientNormalised(PaddleLoop):
    def update(self, t: int) -> None:
        norm = sum((p.grad**2).sum() for p in self.parameters.values()).sqrt()
        for p in self.parameters.values():
            p.set_value(p.detach() - lr_of(self) * p.grad / norm)


@mistake(
    "decay on the biases only: the filter is the wrong way round",
    r"(?i)decay.*bias|bias.*(decay|\bl2\b|shr[iu]nk)",
    BIASED,
)
class DecayOnBiases(TorchLoop):
    def make_optimizer(self) -> None:
        biases = [p for name, p in self.parameters.items() if name.endswith("bias")]
        rest = [p for name, p in self.parameters.items() if not name.endswith("bias")]
        groups = [{"params": rest}, {"params": biases, "weight_decay": 0.1}]
        self.optimizer = torch.optim.SGD(groups, lr=lr_of(self))
        self.make_schedule()


@mistake(
    "decay with the wrong sign, so that weights grow",
    r"(?i)decay.*(negative|wrong sign|\bsign\b|grow|[-−] ?\d)|(negative|wrong sign|grow).*decay|\bgrow",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class GrowthForDecay(PaddleLoop):
    def update(self, t: int) -> None:
        for p in self.parameters.values():
            p.set_value(p.detach() * (1 + 0.05 * lr_of(self)))
        super().update(t)


@mistake(
    "weights soft-thresholded after the step",
    r"(?i)\bl1\b|lasso|soft.?thresh|proxim|\bsign(s)? of (the|its|each|every|all) (weight|parameter)"
    r"|\bsign\((w|p|θ|weight)|shr[iu]nk.*(constant|toward|amount)",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class SoftThreshold(TorchLoop):
    def update(self, t: int) -> None:
        super().update(t)
        with torch.no_grad():
            for p in self.parameters.values():
                p.copy_(torch.nn.functional.softshrink(p, 0.05 * lr_of(self)))


@mistake(
    "weights clamped after the step, as a critic's are",
    r"(?i)(weight|parameter).*(clip|clamp|limited|bounded|capped)|(clip|clamp|limited|bounded|capped).*(weight|param)",
    (WORKED, MLP, RELU, BOWL),
)
class WeightsClamped(PaddleLoop):
    def update(self, t: int) -> None:
        super().update(t)
        for p in self.parameters.values():
            p.set_value(p.detach().clip(-1.0, 1.0))


@mistake(
    "each tensor's gradient clipped by its own norm",
    r"(?i)clip.*\bnorm|\bnorm.*(clip|limit|at most)|(limit|at most).*\bnorm|clip.*(each|per\b|own|every|separate)",
    (WORKED, MLP, RELU, BOWL),
)
class ClippedPerTensor(PaddleLoop):
    def make_optimizer(self) -> None:
        self.make_schedule()
        clip = paddle.nn.ClipGradByNorm(0.1)
        self.optimizer = paddle.optimizer.SGD(lr_of(self), self.model.parameters(), grad_clip=clip)


@mistake("noise added to the gradients", r"(?i)noise|noisy|random|jitter", (SIGMOIDS, MLP, RELU, DOUBLE))
class GradientNoise(TorchLoop):
    def backward(self, loss: Any) -> None:
        loss.backward()
        self.random = getattr(self, "random", np.random.default_rng(5))
        for p in self.parameters.values():
            p.grad += torch.from_numpy(self.random.normal(0.0, 0.01, p.shape)).to(p.dtype)


@mistake(
    "the optimizer is stepped twice",
    r"(?i)twice|two (steps|updates)|doubl|\b2 times|times 2\b|second (step|update)|stepped again",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class SteppedTwice(PaddleLoop):
    def update(self, t: int) -> None:
        self.optimizer.step()
        super().update(t)


@mistake(
    "the gradients used are those of the step before",
    r"(?i)^(?!.*(accumul|not (cleared|zeroed|reset)))"
    r".*(previous|\bstale|delay|earlier|\blag|(last|one) (step|batch)|old gradient|(step|batch) (before|ago|late)\b)",
    (MLP, RELU, DOUBLE, BOWL),
)
class DelayedGradients(TorchLoop):
    def update(self, t: int) -> None:
        now = {name: p.grad.clone() for name, p in self.parameters.items()}
        with torch.no_grad():
            for name, g in getattr(self, "before", {}).items():
                self.parameters[name] -= lr_of(self) * g
        self.before = now


@mistake(
    "the first layer is frozen: its gradients are thrown away",
    r"(?i)frozen|froze|not (trained|updated|learn)|requires_grad|stop_gradient|no gradient|no update|\bnever\b"
    r"|gradients?.{0,60}(zero|\b0\b|missing|left out|cut)|detach",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class FirstFrozen(TorchLoop):
    def backward(self, loss: Any) -> None:
        loss.backward()
        first = next(name for name in self.names if self.kind(name) == "linear")
        for p in self.layers[first].parameters():
            p.grad = None


# ---------------------------------------------------------------- the learning rate


@mistake(
    "the rate kept in float16",
    r"(?i)\b(rate|lr|η)\b(?!.*(epoch|schedule|decay|warm|halv))",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class RateInHalf(TorchLoop):
    def make_optimizer(self) -> None:
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=float(np.float16(lr_of(self))))
        self.make_schedule()


@mistake(
    "the rate is warmed up over the first four steps",
    r"(?i)warm|\b(rate|lr|η)\b.*(linear|grow|ris|increas|ramp|schedule)",
    BATCHES,
)
class WarmUp(TorchLoop):
    def make_schedule(self) -> None:
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda t: min(1.0, (t + 1) / 4))


@mistake(
    "the first layer learns at half the rate",
    r"(?i)\b(rate|lr|η)\b.*(layer|\bfirst\b(?! step)|hidden|group)|(layer|\bfirst\b(?! step)|hidden|group).*\b(rate|lr|η)\b"
    r"|(update|step).{0,40}(first|hidden).*(0\.5|half|halv)",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class RatePerLayer(PaddleLoop):
    def make_optimizer(self) -> None:
        first = next(name for name in self.names if self.kind(name) == "linear")
        for p in self.layers[first].parameters():
            p.optimize_attr["learning_rate"] = 0.5
        super().make_optimizer()


# ---------------------------------------------------------------- the gradients


SLOPE = r"derivative|\bslope of|σ['′]|backward (pass )?of.{0,40}"


@mistake(
    "the sigmoid's derivative by hand, taken at its output as if that were its input",
    rf"(?i){SLOPE}(sigmoid|_act)|σ\((a|σ)",
    SIGMOID,
)
class SlopeAtOutput(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        if self.kind(name) != "sigmoid":
            return self.layers[name](z)

        def back(g: Any, z: Any, a: Any) -> Any:
            return g * torch.sigmoid(a) * (1 - torch.sigmoid(a))

        return torch_function(torch.sigmoid, back)(z)


@mistake(
    "the sigmoid's derivative by hand, without its factor 1 - a",
    rf"(?i){SLOPE}(sigmoid|_act)|\b1 ?[−-] ?(a|σ|s|y|out)",
    SIGMOID,
)
class SlopeTooShort(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        if self.kind(name) != "sigmoid":
            return self.layers[name](z)
        return paddle_function(paddle.nn.functional.sigmoid, lambda g, z, a: g * a)(z)


@mistake(
    "ReLU's derivative by hand: the gradient is passed straight through",
    rf"(?i)straight.?through|{SLOPE}(relu|_act)|\bmask|passe[sd].{{0,30}}(through|unchanged)",
    (RELU, MINIBATCH, "article/sum_regression_full_batch"),
)
class StraightThrough(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        if self.kind(name) != "relu":
            return self.layers[name](z)
        return paddle_function(paddle.nn.functional.relu, lambda g, z, a: g * 1)(z)


@mistake(
    "a linear layer by hand: the bias's gradient is the mean over the batch, not the sum",
    r"(?i)bias.*(\bmean|divided|averag|batch|0\.25|times|factor)|(\bmean|divided|averag|0\.25|times).*bias",
    DEEP,
)
class BiasGradientMean(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        if self.kind(name) != "linear":
            return self.layers[name](z)

        def back(g: Any, z: Any, weight: Any, bias: Any, a: Any) -> Any:
            return g @ weight, g.T @ z, g.mean(dim=0)

        layer = self.layers[name]
        return torch_function(torch.nn.functional.linear, back)(z, layer.weight, layer.bias)


@mistake(
    "a linear layer by hand: its input's gradient takes the weight without transposing it",
    r"(?i)transpos|(weight|\bw)(\^|\.)T\b|Wᵀ",
    DEEP,
)
class NotTransposed(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        if name != "second":
            return self.layers[name](z)

        def back(g: Any, z: Any, weight: Any, bias: Any, a: Any) -> Any:
            return g @ weight, z.T @ g, g.sum(axis=0)

        layer = self.layers[name]
        return paddle_function(paddle.nn.functional.linear, back)(z, layer.weight, layer.bias)


@mistake(
    "a linear layer by hand: its weight's gradient takes the input that was kept one batch ago",
    r"(?i)(previous|\bstale|earlier|\bkept\b|last (step|batch)|\bold\b|\bone (step|batch)).*(input|activation|\bx\b|batch)"
    r"|(input|activation|\bx\b|batch).*(previous|\bstale|earlier|\bkept\b|last (step|batch)|(step|batch) (before|ago|late)\b)",
    (MLP, RELU, DOUBLE, MINIBATCH),
)
class StaleInput(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        if self.kind(name) != "linear":
            return self.layers[name](z)
        self.kept = getattr(self, "kept", {})
        old = self.kept.get(name, z.detach())
        self.kept[name] = z.detach().clone()
        layer = self.layers[name]
        if layer.bias is None:
            return torch_function(torch.nn.functional.linear, lambda g, z, weight, a: (g @ weight, g.T @ old))(
                z, layer.weight
            )

        def back(g: Any, z: Any, weight: Any, bias: Any, a: Any) -> Any:
            return g @ weight, g.T @ old, g.sum(dim=0)

        return torch_function(torch.nn.functional.linear, back)(z, layer.weight, layer.bias)


@mistake("the gradients reduced in bfloat16", r"(?i)bfloat16|\bbf16", (SIGMOIDS, MLP, RELU, DOUBLE))
class GradientsInBfloat16(TorchLoop):
    def backward(self, loss: Any) -> None:
        loss.backward()
        for p in self.parameters.values():
            p.grad = p.grad.bfloat16().to(p.dtype)


# ---------------------------------------------------------------- the loss


@mistake("the logarithm of cosh for the square", r"(?i)\bcosh|log.?cosh", (WORKED, SIGMOIDS, MLP, RELU))
class LogCosh(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        e = yhat - y
        each = e + paddle.nn.functional.softplus(-2.0 * e) - float(np.log(2.0))
        return each.mean() if self.scenario.loss.kind == "mse" else each.sum() / len(y)


@mistake(
    "labels of shape (n,) against outputs of shape (n, 1), so that all pairs come into the loss",
    r"(?i)broadcast|outer|\bpair|with (every|all|each)( of)?( the)? labels?|flatten|squeez|\bn ?[×x] ?n\b"
    r"|shape of the labels|labels['’]? shape",
    (MLP, DOUBLE, BOWL),
)
class AllPairs(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return super().loss(yhat, y.flatten())


@mistake(
    "the worst sample's loss, not the mean",
    r"(?i)worst|largest|maxim|\bmax\b|hardest|only one sample|(one|single) sample (alone|only)",
    BATCHES,
)
class WorstSample(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        each = (yhat - y) ** 2
        return (each.mean(dim=1) if self.scenario.loss.kind == "mse" else 0.5 * each.sum(dim=1)).max()


@mistake(
    "a penalty on the first activation's size in the loss",
    r"(?i)\bactivity|(activation|first_act|hidden).{0,80}(penalt|regulari|squar|\bl2\b|\bterm)"
    r"|(penalt|regulari|squar|\bl2\b|\bterm).{0,80}(activation|first_act|hidden)",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class ActivityPenalty(PaddleLoop):
    def forward(self, x: Any) -> dict[str, Any]:
        self.outputs = super().forward(x)
        return self.outputs

    def loss(self, yhat: Any, y: Any) -> Any:
        return super().loss(yhat, y) + 0.1 * (self.outputs[self.names[1]] ** 2).mean()


# ---------------------------------------------------------------- the model


@mistake("SELU in ReLU's place", r"(?i)\bselu", RELUS)
class Selu(InPlaceOf, TorchLoop):
    def ours(self, z: Any) -> Any:
        return torch.nn.functional.selu(z)


@mistake("tanhshrink in ReLU's place", r"(?i)tanh.?shrink|z ?[-−] ?tanh", RELUS)
class Tanhshrink(InPlaceOf, PaddleLoop):
    def ours(self, z: Any) -> Any:
        return paddle.nn.functional.tanhshrink(z)


@mistake("hard swish in ReLU's place", r"(?i)hard.?swish|hard.?silu", RELUS)
class HardSwish(InPlaceOf, TorchLoop):
    def ours(self, z: Any) -> Any:
        return torch.nn.functional.hardswish(z)


@mistake(
    "swish with β = 1.702, the quick GELU, in ReLU's place", r"(?i)quick.?gelu|swish|silu|1\.702|gelu.*approx", RELUS
)
class SwishWithBeta(InPlaceOf, PaddleLoop):
    def ours(self, z: Any) -> Any:
        return z * paddle.nn.functional.sigmoid(1.702 * z)


@mistake("softsign in the sigmoid's place", r"(?i)soft.?sign|1 ?\+ ?(\||abs)", SIGMOID)
class SoftsignForSigmoid(InPlaceOf, PaddleLoop):
    theirs = "sigmoid"

    def ours(self, z: Any) -> Any:
        return paddle.nn.functional.softsign(z)


@mistake(
    "the sigmoid applied twice",
    r"(?i)\btwice|two times|\bagain\b|second time|σ\(σ|repeated|sigmoid of (the|a|its) sigmoid",
    SIGMOID,
)
class SigmoidTwice(InPlaceOf, TorchLoop):
    theirs = "sigmoid"

    def ours(self, z: Any) -> Any:
        return torch.sigmoid(torch.sigmoid(z))


@mistake(
    "the first activation before its layer, not after it",
    r"(?i)\border\b|(before|in front of|ahead of) (the|its|first|hidden|linear|layer)|pre.?activ|swap|exchang"
    r"|(applied|taken).{0,20} to (the|its) input|(activation|sigmoid|relu) of (the|its) input",
    (SIGMOIDS, FORWARD, MLP, RELU),
)
class ActivationFirst(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        first, act = self.names[:2]
        if name == first:
            return self.layers[first](self.layers[act](z))
        return z * 1 if name == act else self.layers[name](z)


@mistake(
    "the bias added once by the layer and once by hand",
    r"(?i)bias.*(twice|\b2 times|times 2\b|\btwo\b|doubl|again|once more)|(twice|2 times|\btwo\b|doubl).*bias",
    (SIGMOIDS, NEURON, MLP, RELU),
)
class BiasTwice(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        a = self.layers[name](z)
        return a + self.layers[name].bias if self.kind(name) == "linear" else a


@mistake("a square weight loaded without transposing it", r"(?i)transpos|(weight|\bw)(\^|\.)T\b|Wᵀ|\blayout", DEEP)
class LoadedTransposed(PaddleLoop):
    def load(self, t: int, state: Mapping[str, Any]) -> None:
        super().load(t, state)
        self.parameters["second.weight"].set_value(np.ascontiguousarray(state["weight/second.weight"]))


@mistake(
    "the first weight begins √2 times too large, by a gain for ReLU",
    r"(?i)\binitial|\bgain\b|1\.41|(begin|start)(ing|s)?\b.{0,40}weight|weights?\b.{0,60}(scaled|multiplied|too large|1\.4)"
    r"|(scaled|multiplied).{0,40}weight",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class InitialGain(TorchLoop):
    def load(self, t: int, state: Mapping[str, Any]) -> None:
        super().load(t, state)
        if t == 0:
            with torch.no_grad():
                next(iter(self.parameters.values())).mul_(2**0.5)


# ---------------------------------------------------------------- the data


@mistake(
    "each column of the inputs scaled to [-1, 1]",
    r"(?i)min.?max|[-−]1 ?(to|and|,|\.\.) ?\+?1|(input|\bx\b|feature|column|data|sample).*(scal|\brange|normali|standardi|affine)",
    (MLP, RELU, DOUBLE, MINIBATCH),
)
class InputsToUnitRange(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        low, high = (paddle.to_tensor(f(self.inputs.x, axis=0)) for f in (np.min, np.max))
        return 2 * (x - low) / (high - low) - 1, y


@mistake(
    "labels clipped to ±2.5, as outliers are",
    r"(?i)(label|target|\by\b).*(clip|clamp|limited|bounded|capped|cut (off )?(at|to))|(clip|clamp|limit|cap).*(label|target)",
    (WORKED, MLP, RELU, BOWL),
)
class LabelsClipped(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x, y.clamp(-2.5, 2.5)


@mistake(
    "labels made classes: 1 where they are positive, 0 elsewhere",
    r"(?i)(label|target|\by\b).*(binar|thresh|class|\b0 (and|or|/) ?1\b|bool|\bsign|> ?0|one.?hot|indicator|positive)"
    r"|(binar|thresh|bool|one.?hot|class).*(label|target)",
    BATCHES,
)
class LabelsBinary(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x, (y > 0).astype(y.dtype)


@mistake(
    "the batch's window begins one sample late",
    r"(?i)(shift|next|\blater?\b|\boff.by|one (sample|row) (late|later|further|on)\b|\bother\b|another|ahead).*(sample|row|window)"
    r"|(sample|row|window|batch).*(shift|\bnext|\blater?\b|ahead|\+ ?1|other samples)",
    (MLP, RELU, DOUBLE, MINIBATCH),
)
class WindowOffByOne(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        everything = np.arange(len(self.inputs.x))
        where = (everything[self.inputs.samples(t)] + 1) % len(everything)
        return paddle.to_tensor(self.inputs.x[where]), paddle.to_tensor(self.inputs.y[where])


@mistake(
    "the batch's first sample comes again in its last one's place",
    r"(?i)duplicat|\btwice\b|repeated|\bcopy|copied|same sample|(sample|row).*(replaced|instead of|in place of|\bagain\b)",
    BATCHES,
)
class SampleTwice(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return torch.cat([x[:-1], x[:1]]), torch.cat([y[:-1], y[:1]])


@mistake(
    "the last feature lost, and zeros in its place",
    r"(?i)(feature|column|input|\bx\b).*(zero|\b0\b|dropped|left out|missing|\blost|ignored)|(zero|dropped|missing).*(feature|column)",
    (WORKED, NEURON, MLP, RELU),
)
class FeatureLost(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return paddle.concat([x[:, :-1], paddle.zeros_like(x[:, -1:])], axis=1), y


# ---------------------------------------------------------------- what is told


@mistake(
    "the weights told are their moving average",
    r"(?i)\bema\b|moving average|running (average|mean)|averag|smooth",
    BATCHES,
)
class EmaTold(PaddleLoop):
    def load(self, t: int, state: Mapping[str, Any]) -> None:
        super().load(t, state)
        if t == 0:
            self.average = {f"weight/{name}": p.numpy().T.copy() for name, p in self.parameters.items()}

    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        for name, average in self.average.items():
            self.average[name] = 0.9 * average + 0.1 * seen[name]
        return seen | self.average


@mistake(
    "the first layer's output is told from a hook on the layer behind it",
    r"(?i)(another|other|wrong|next|following) layer|(after|behind) (the|its) activation"
    r"|(told|equals?|is|shows|holds|recorded|copy of).{0,40}(output|forward|values?)s? of \S*_act|forward/\S*_act|swapped",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class HookBehind(TorchLoop):
    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        first, behind = self.names[:2]
        return seen | {f"forward/{first}": seen[f"forward/{behind}"]}
