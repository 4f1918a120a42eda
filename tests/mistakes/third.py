"""Which third set of mistakes do people make in a training loop, and which words must a cause have to be right?

Written without a look at what isograd searches for, nor at what it finds. The style, and the meaning of ``accept``, are
those of ``tests.mistakes.kinds``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.mistakes.further import (
    BATCHES,
    BIASED,
    BOWL,
    DEEP,
    DOUBLE,
    FORWARD,
    MINIBATCH,
    MLP,
    RELU,
    RELUS,
    SIGMOID,
    SIGMOIDS,
    WORKED,
    InPlaceOf,
    paddle_function,
    torch_function,
)
from tests.mistakes.kinds import COSINE, Kind, entering, lr_of
from tests.mistakes.loops import PaddleLoop, TorchLoop, paddle, torch

KINDS: dict[str, Kind] = {}


mistake = entering(KINDS, __name__)


# ---------------------------------------------------------------- the optimizer


@mistake(
    "the step is along a moving average of the gradients, which begins at zero",
    r"(?i)^(?!.*(\btold\b|nesterov|\bsign\b)).*(momentum|velocity|moving average|\bema\b|running (mean|average)"
    r"|averages? of.{0,30}gradient|gradients?.{0,30}averaged over.{0,20}steps|smooth\w*.{0,30}gradient"
    r"|gradients?.{0,30}smooth)",
    BATCHES,
)
class AverageOfGradients(PaddleLoop):
    def update(self, t: int) -> None:
        self.average = getattr(self, "average", {name: paddle.zeros_like(p) for name, p in self.parameters.items()})
        for name, p in self.parameters.items():
            self.average[name] = 0.9 * self.average[name] + 0.1 * p.grad
            p.set_value(p.detach() - lr_of(self) * self.average[name])


@mistake(
    "the absolute value of the gradient",
    r"(?i)^(?!.*(\bloss\b|\berror)).*(\babsolute|\babs\b|\babs\(|\|g|magnitude|without (the|its|their) sign"
    r"|always (positive|down)"
    r"|signs?\b.{0,30}(lost|dropped|ignored|missing|thrown|left out))",
    (SIGMOIDS, MLP, RELU, BOWL),
)
class AbsoluteGradient(PaddleLoop):
    def update(self, t: int) -> None:
        for p in self.parameters.values():
            p.set_value(p.detach() - lr_of(self) * p.grad.abs())


@mistake(
    "the first layer is in the list of parameters twice, and is stepped twice",
    r"(?i)^(?!.*(\bloss\b|\badded|\blast\b|\boutput layer|\ball\b)).*("
    r"(layer|\bfirst\b|\bhidden).*(twice|doubl|(?<!√)\b2 times|times 2\b|two (times|steps|updates)|second time"
    r"|stepped again)"
    r"|(twice|doubl|(?<!√)\b2 times|times 2\b|two (times|steps|updates)|second time).*(layer|\bfirst\b|\bhidden))",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class LayerTwice(TorchLoop):
    def update(self, t: int) -> None:
        first = next(name for name in self.names if self.kind(name) == "linear")
        with torch.no_grad():
            for p in [*self.model.parameters(), *self.layers[first].parameters()]:
                p -= lr_of(self) * p.grad


@mistake(
    "the biases are not given to the optimizer",
    r"(?i)bias.*(frozen|froze|freez|not (be )?(trained|updated|learn|given|stepped)|no(ne| update| step| gradient)"
    r"|never"
    r"|left out of the (optimi[sz]er|update|training|step)|unchanged|stay|requires_grad|stop_gradient"
    r"|gradients?.{0,40}(zero|\b0\b(?!\.)|thrown|ignored))"
    r"|(frozen|froze|freez|(not|never) (trained|updated|learn\w*|given)|no (update|step)|only the (weights"
    r"|matrices)).*bias",
    BIASED,
)
class BiasesFrozen(PaddleLoop):
    def make_optimizer(self) -> None:
        self.make_schedule()
        trained = [p for name, p in self.parameters.items() if not name.endswith("bias")]
        self.optimizer = paddle.optimizer.SGD(lr_of(self), trained)


@mistake(
    "early stopping: no more updates once the loss of a batch is not the best so far",
    r"(?i)^(?!.*(\bbias|\b(first|last|output|hidden|second)\b.{0,12}(layer|weight)|after the update|schedule|\brate\b"
    r"|(last|each|every) (batch|epoch)|every (second|third|\d)|of (an|the) epoch)).*(early.?stop|\bno weights? (is|are"
    r"|changes?)\b|patience|stop(s|ped)? (training|learning|updating|being (updated|trained))|training (ends|stops"
    r"|is (over|ended|stopped))|no (more|further|longer)|froz|freez|(not|never) (updated|trained|stepped)|no (update"
    r"|step)|skip\w*.{0,30}(update|step)|(update|step)s?\b.{0,30}(skipped|left out)|\bweights?\b.{0,30}(stay|unchanged"
    r"|constant))",
    DEEP,
)
class EarlyStopped(TorchLoop):
    best, stopped = float("inf"), False

    def backward(self, loss: Any) -> None:
        loss.backward()
        self.stopped = self.stopped or float(loss) >= self.best
        self.best = min(self.best, float(loss))

    def update(self, t: int) -> None:
        if not self.stopped:
            super().update(t)


@mistake(
    "no step on the last batch of an epoch: its index ends one too early",
    r"(?i)^(?!.*(\bbias|\b(first|output|hidden|second)\b.{0,12}(layer|weight)|every second"
    r"|from step \d+ on)).*((skip\w*|(not|never) (stepped|updated|trained|applied|used|taken)|no (update|step)|froz\w*"
    r"|ignored|unchanged).*(batch|\bstep|epoch)|(batch|\bstep|epoch|update).*(skip|(not|never) (stepped|updated"
    r"|trained|applied|used|taken)|no (update|step)|froz|ignored|unchanged)|update.{0,60}left out|last (batch"
    r"|step).{0,60}(left out|dropped|missing)|(left out|dropped|missing).{0,60}last (batch|step))",
    (*DEEP, MINIBATCH),
)
class LastBatchSkipped(PaddleLoop):
    def update(self, t: int) -> None:
        if not self.starts_epoch(t + 1):
            super().update(t)


@mistake(
    "the last layer is updated before the gradients of the layers ahead of it are taken",
    r"(?i)^(?!.*schedule)(?=.*(gradient|backward|derivative|back.?prop|\bdelta)).*("
    r"(already|previously|just).{0,20}(updated|stepped|changed|new)|\bnew (weight|value|output|last)"
    r"|updated (weight|value|output|last|parameter)|(updated|stepped|changed).{0,40}(before|too (early|soon)|while"
    r"|during|in between)"
    r"|(weight|layer|parameter).{0,60}after (the|its|their) (own )?(update|step)|after (the|its) (update"
    r"|step).{0,40}(weight|layer))",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class UpdatedTooSoon(TorchLoop):
    def forward(self, x: Any) -> dict[str, Any]:
        self.outputs = super().forward(x)
        return self.outputs

    def backward(self, loss: Any) -> None:
        last = next(name for name in reversed(self.names) if self.kind(name) == "linear")
        self.own = list(self.layers[last].parameters())
        gradients = torch.autograd.grad(loss, self.own, retain_graph=True)
        for p, g in zip(self.own, gradients, strict=True):
            p.data -= lr_of(self) * g
        for a in self.outputs.values():
            a.grad = None
        loss.backward()
        for p, g in zip(self.own, gradients, strict=True):
            p.grad = g

    def update(self, t: int) -> None:
        with torch.no_grad():
            for p in self.parameters.values():
                if not any(p is other for other in self.own):
                    p -= lr_of(self) * p.grad


# ---------------------------------------------------------------- the learning rate


@mistake(
    "the rate falls with the inverse of time",
    r"(?i)^(?!.*(\bepoch|warm|weight decay)).*(inverse.?time|1 ?/ ?\(1 ?\+|/ ?\(1 ?\+ ?[\d.]+ ?[·*× ]? ?t\b"
    r"|\b(rate|lr|η)\b.*(decay|inverse|fall|shrink|decreas|schedule|smaller and smaller|each step|every step)"
    r"|(decay|inverse|falling|shrinking|decreas\w*|schedule).*\b(rate|lr|η)\b)",
    BATCHES,
)
class InverseTime(PaddleLoop):
    def make_schedule(self) -> None:
        self.schedule = paddle.optimizer.lr.InverseTimeDecay(lr_of(self), gamma=0.1)


@mistake(
    "the cosine's period is the number of epochs, though it is stepped every batch",
    r"(?i)^(?!.*(once (an|per|each|every) epoch|a step (early|late|ahead)|one step (early|late|ahead))).*(t_?max\b"
    r"|(schedule|cosine|anneal|\brate\b|\blr\b).*(period|length|too (fast|short|soon|early)|faster|ends? (early|too)"
    r"|epochs|restart"
    r"|(for|over|in|of|by|after) \d+ steps|horizon|total)"
    r"|(period|length|too (fast|short)|faster|horizon|number of epochs|\d+ steps).*(schedule|cosine|anneal))",
    (COSINE,),
)
class CosineOverEpochs(TorchLoop):
    def make_schedule(self) -> None:
        epochs = len(self.inputs.order)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=epochs)


@mistake(
    "the schedule is never stepped",
    r"(?i)(schedule|cosine|anneal|\brate\b|\blr\b).*(constant|fixed|left out|missing|forg|ignored|without|never"
    r"|not (stepped|used|applied|called)"
    r"|\bno (step|schedule|decay)|stays|remains|always|unchanged|does not (change|fall|move))"
    r"|(constant|fixed|unchanged|initial|first) (learning )?(rate|lr)\b|\b(no|without( a| the| its)?|forg\w+"
    r"|ignor\w+) (schedule|cosine)",
    (COSINE,),
)
class ScheduleForgotten(PaddleLoop):
    def update(self, t: int) -> None:
        self.optimizer.step()


# ---------------------------------------------------------------- the gradients


@mistake(
    "a hook left in halves the gradient that comes out of the output layer",
    r"(?i)^(?!.*(\bloss\b|\ball (the )?gradients|\brate\b)).*("
    r"(gradient|backward|grad/|\bhook).*(0\.5|\bhalf|halv|scal|\btimes|multipl|factor)"
    r"|(0\.5|\bhalf|halv|scal|multipl)\w*.*(gradient|backward|\bhook))",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class GradientHook(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        if name == "output":
            z.register_hook(lambda g: 0.5 * g)
        return self.layers[name](z)


@mistake(
    "guided backpropagation left on: ReLU lets only positive gradients back",
    r"(?i)^(?!.*(straight|unchanged|\bpassed|sigmoid|\btimes\b)).*(guided|deconv|(positive|negative) (part of )?(the "
    r"|its )?(\w+ )?(gradient|derivative)|(gradient|derivative|backward).{0,60}(negative|positive|rectif|below (0"
    r"|zero)|(clamp|clip|cut)\w*.{0,20}\b(0|zero)\b(?!\.))|(relu|_act\b).{0,40}(derivative|backward|slope|gradient)"
    r"|(derivative|backward|slope).{0,40}(relu|_act\b))",
    (RELU, MINIBATCH),
)
class Guided(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        if self.kind(name) != "relu":
            return self.layers[name](z)
        return torch_function(torch.relu, lambda g, z, a: g.clamp(min=0) * (z > 0))(z)


@mistake(
    "the sigmoid's derivative by hand is tanh's, 1 - a²",
    r"(?i)^(?!.*(without|missing|left out|at its output|relu|\d times\b|positive)).*(1 ?[−-] ?(a|y|out\w*|σ\w*"
    r"|tanh\w*)(²|\^2|\*\*2| ?[*·] ?a)|(tanh|sigmoid|_act\b).{0,40}(derivative|slope|backward)|(derivative|slope"
    r"|backward|σ['′]).{0,40}(tanh|sigmoid|_act\b))",
    SIGMOID,
)
class TanhSlope(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        if self.kind(name) != "sigmoid":
            return self.layers[name](z)
        return paddle_function(paddle.nn.functional.sigmoid, lambda g, z, a: g * (1 - a * a))(z)


# ---------------------------------------------------------------- the loss


@mistake(
    "the half of the squared error forgotten",
    r"(?i)^(?!.*\bloss (that is )?(told|logged)).*((without|forg\w*|missing|left out|\bno\b|\bnot\b).{0,30}(\bhalf"
    r"|halv|½|0\.5|1/2)|(\bhalf|½|0\.5|1/2).{0,30}(forg|missing|left out)|(\bloss|error|squares?\b).*(twice|doubl"
    r"|\b2 times|\b2 ?[·×*]|times 2\b|\bby 2\b|\bfactor (of )?2|sum of (the )?squar)|(twice|doubl\w*|\b2 times"
    r"|\b2 ?[·×*]).*(\bloss|error|squar))",
    (WORKED, SIGMOIDS, FORWARD, BOWL),
)
class HalfForgotten(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return ((yhat - y) ** 2).sum() / len(y)


@mistake(
    "only the first output comes into the loss",
    r"(?i)(only|just|alone).{0,40}(first|one|\b1|single) (output|column|unit|component)|(first|one|single) (output"
    r"|column).{0,40}(only|alone)"
    r"|(second|last|other|rest|remaining).{0,30}(output|column|unit|component)s?.{0,60}(left out|ignored|dropped"
    r"|missing|not|without|no |zero)"
    r"|(without|ignor\w*|drop\w*|leav\w* out|missing).{0,30}(second|last|other).{0,20}(output|column|unit|component)",
    (WORKED, FORWARD, RELU, MINIBATCH),
)
class FirstOutputOnly(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return super().loss(yhat[:, :1], y[:, :1])


@mistake(
    "binary cross-entropy", r"(?i)cross.?entropy|\bbce|log.?loss|logistic loss|log.?likelihood", (SIGMOIDS, FORWARD)
)
class CrossEntropy(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return torch.nn.functional.binary_cross_entropy(yhat, y, reduction="sum") / len(y)


@mistake(
    "the error relative to the label",
    r"(?i)\brelative|percent|\bmape\b|\bmspe\b|divided by.{0,30}(label|target|\by\b)|/ ?(y|label|target)\b"
    r"|(error|residual|difference|loss|squar).{0,60}(scaled|weighted|in units).{0,20}(label|target|\by\b)",
    (WORKED, MLP, RELU, BOWL),
)
class RelativeError(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        each = ((yhat - y) / y) ** 2
        return each.mean() if self.scenario.loss.kind == "mse" else 0.5 * each.sum() / len(y)


# ---------------------------------------------------------------- the model


@mistake("Mish in ReLU's place", r"(?i)\bmish\b|tanh ?\(? ?(of (the )?)?softplus", RELUS)
class Mish(InPlaceOf, TorchLoop):
    def ours(self, z: Any) -> Any:
        return torch.nn.functional.mish(z)


@mistake(
    "the activation after the last layer, too",
    r"(?i)^(?!.*(left out|missing|forgot|in place of|leaky|\belu|gelu|tanh|derivative)).*("
    r"(activation|relu|sigmoid|rectif|squash|max\(0).{0,80}(\boutput|\blast|\bfinal|\bprediction)"
    r"|(\boutput|\blast|\bfinal|\bprediction).{0,80}(relu|sigmoid|squash|rectif|max\(|negative"
    r"|(an|extra|another|one more|with) activation|(clamp|clip|limited|cut)\w*.{0,30}(\b(0|zero|positive)\b(?!\.))))",
    DEEP,
)
class ActivationAtEnd(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        a = self.layers[name](z)
        return self.layers[self.names[-2]](a) if name == self.names[-1] else a


@mistake(
    "batch normalisation left in behind the first layer",
    r"(?i)^(?!.*(\b(input|label|sample|feature|gradient|weight)s?( is| are| was| were|,)? (normali|standardi|cent)"
    r"|layer.?norm)).*(batch.?norm"
    r"|normali[sz]|standardi[sz]"
    r"|(mean|cent(er|re)).{0,60}(\bstd\b|deviation|variance))",
    DEEP,
)
class BatchNormLeftIn(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        a = self.layers[name](z)
        if not self.is_first(name, "linear"):
            return a
        centred = a - a.mean(axis=0)
        return centred / ((centred**2).mean(axis=0) + 1e-5).sqrt()


@mistake(
    "the biases begin at zero",
    r"(?i)^(?!.*(gradient|froz|not updated|never|\brate\b|decay)).*(bias.*(zero|\b0\b(?!\.)|initial|\bbegin|\bstart"
    r"|reset|not (loaded|copied|set))|(zero|\b0\b(?!\.)|initial|\bbegin\w*|\bstart\w*|reset|not (loaded|copied"
    r"|set)).*bias)",
    BIASED,
)
class BiasesFromZero(PaddleLoop):
    def load(self, t: int, state: Mapping[str, Any]) -> None:
        super().load(t, state)
        if t == 0:
            for name, p in self.parameters.items():
                if name.endswith("bias"):
                    p.set_value(paddle.zeros_like(p))


@mistake(
    "the second layer is a deep copy of the first, and begins with its weights",
    r"(?i)^(?!.*(\btied|\bshared)).*((\bsecond\b).*(\bfirst\b|\bsame\b|cop(y|ied)|another layer|initial|\bbegin"
    r"|\bstart|other values)"
    r"|(\bfirst\b|\bsame\b|cop(y|ied)|another layer|initial|\bbegin\w*|\bstart\w*).*\bsecond\b)",
    DEEP,
)
class LayerCopied(TorchLoop):
    def load(self, t: int, state: Mapping[str, Any]) -> None:
        super().load(t, state)
        if t == 0:
            self.layers["second"].load_state_dict(self.layers["first"].state_dict())


# ---------------------------------------------------------------- the data


@mistake(
    "the inputs' axes mixed up by a reshape where they are to be transposed",
    r"(?i)^(?!.*\bweight).*(transpos|reshap|\bview\b|\baxes\b|column.major|fortran|scrambl|\blayout"
    r"|(row|column|sample|feature)s?\b.{0,30}(as|for|into|with|and|by) (the )?(row|column|sample|feature)s?\b)",
    BATCHES,
)
class Reshaped(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x.T.reshape(x.shape).contiguous(), y


@mistake(
    "negative inputs read as zero, as unsigned numbers are",
    r"(?i)(\binput|\bx\b|\bdata\b|sample|feature|pixel).*(negative|below (0|zero)|unsigned|clamp|clip|\bcut (off )?at"
    r"|max\(|positive|rectif)"
    r"|(negative|below (0|zero)|clamp|clip|unsigned|positive|rectif|relu of)\w*.{0,40}(\binput|\bx\b|\bdata\b|sample"
    r"|feature)",
    BATCHES,
)
class NegativesZero(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x.clip(min=0.0), y


@mistake(
    "labels smoothed as if they were classes, 0.9 y + 0.05",
    r"(?i)^(?!.*(normali|standardi|huber)).*((label|target|\by\b).*(smooth|0\.9|\btimes|scal|affine|linear|multipl"
    r"|shr[iu]nk|mixed|pulled)"
    r"|(smooth|0\.9|scal|affine|multipl|shr[iu]nk)\w*.*(label|target))",
    (WORKED, MLP, RELU, BOWL),
)
class LabelSmoothing(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x, 0.9 * y + 0.05


# ---------------------------------------------------------------- precision


@mistake(
    "the loss in float16",
    r"(?i)^(?!.*(\brate\b|\binput|label|first|second|hidden)).*("
    r"(loss|\berror|residual|yhat|\boutput|\bprediction).*((?<!b)float16|\bfp16|half.?precision|\.half\(\))"
    r"|((?<!b)float16|\bfp16|half.?precision).*(loss|\berror|residual|yhat|\boutput|\bprediction))",
    (SIGMOIDS, MLP, RELU, DOUBLE),
)
class LossInHalf(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        each = (yhat.half() - y.half()) ** 2
        loss = each.mean() if self.scenario.loss.kind == "mse" else 0.5 * each.sum() / len(y)
        return loss.to(yhat.dtype)


@mistake(
    "the weights kept in bfloat16, with no copy in full precision",
    r"(?i)^(?!.*(gradient|\binput|activation)).*((weight|parameter|\bw\b|update).*(bfloat16|\bbf16)"
    r"|(bfloat16|\bbf16).*(weight|parameter|\bw\b|update))",
    (SIGMOIDS, MLP, RELU, DOUBLE),
)
class WeightsInBfloat16(PaddleLoop):
    def update(self, t: int) -> None:
        super().update(t)
        for p in self.parameters.values():
            p.set_value(p.detach().astype("bfloat16").astype(p.dtype))


# ---------------------------------------------------------------- what is told


@mistake(
    "the loss told is multiplied by the size of the batch",
    r"(?i)loss.*(batch.?size|size of (the|its) batch|number of samples|samples? in|\b4 times|times (4|10|what)|\bby 4"
    r"|\b4 ?[·×*]|multipl\w*.{0,30}(\b4\b|batch|samples|len)|summ?ed|\bsum\b|not (divided|averaged)|len\()|(batch size"
    r"|size of (the|its) batch|\b4 times|\b4 ?[·×*]|multipl\w*.{0,30}(\b4\b|batch|samples|len).{0,30}|\bsum\b"
    r"|summ?ed).*\bloss",
    BATCHES,
)
class LossTimesBatch(TorchLoop):
    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        return seen | {"loss": seen["loss"] * len(x)}


@mistake(
    "the loss told is that of the step before; the first step tells 0",
    r"(?i)^(?!.*before (the|its) update).*(\bloss\b.*(previous|\bbefore\b|earlier|\blate\b|\blag|\bstale|delay"
    r"|last (step|batch)|\bago\b)"
    r"|(previous|earlier|delay\w*|lagg\w*|stale|last (step|batch)|one step).*\bloss\b)",
    BATCHES,
)
class LossLate(PaddleLoop):
    last = np.float64(0.0)

    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        late, self.last = self.last, seen["loss"]
        return seen | {"loss": late}


@mistake(
    "the gradients are told after they are cleared",
    r"(?i)^(?!.*(never|not|n['’]t) (been )?(cleared|zeroed|reset)|.*averag).*((gradient|grad/).*(zero|clear"
    r"|\b0\b(?!\.)|reset|wiped)|(zero|clear|reset|wiped)\w*.*(gradient|grad/))",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class ToldCleared(TorchLoop):
    def update(self, t: int) -> None:
        super().update(t)
        self.optimizer.zero_grad()
