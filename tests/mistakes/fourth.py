"""Which fourth set of mistakes do people make in a training loop, and which words must a cause have to be right?

Written without a look at what isograd searches for, but for one slip: the author had seen the causes that change a
whole batch of data alike (harness/changes/catalogue/inputs.py). None of the mistakes below was taken from there, but
those in "the data" are not as blind as the others. The style, and the meaning of ``accept``, are those of
``tests.mistakes.kinds``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.mistakes.further import (
    BATCHES,
    BIASED,
    BOWL,
    DEEP,
    FORWARD,
    MINIBATCH,
    MLP,
    NEURON,
    RELU,
    SIGMOIDS,
    WORKED,
    paddle_function,
    torch_function,
)
from tests.mistakes.kinds import COSINE, Kind, entering, lr_of
from tests.mistakes.loops import PaddleLoop, TorchLoop, paddle, torch

KINDS: dict[str, Kind] = {}


mistake = entering(KINDS, __name__)


# ---------------------------------------------------------------- the optimizer


@mistake(
    "decoupled decay without the rate, p ← p − lr g − 0.01 p",
    r"(?i)^(?!.*(\bgrow|initial|\bstart|\bl1\b|only the bias|bias(es)? only|schedule|cosine|of the"
    r" (learning )?rate|rate decay)).*(decay|\bl2\b"
    r"|(weight|parameter)s?\b.{0,40}(shr[iu]nk|multiplied by 0\.9|times 0\.9|smaller|reduced|pulled (to|towards?) (0"
    r"|zero))|shr[iu]nk\w*.{0,40}(weight|parameter)|(penalty|squares?) (on|of) (all )?(the )?(weight|parameter))",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class DecayWithoutRate(PaddleLoop):
    def update(self, t: int) -> None:
        for p in self.parameters.values():
            p.set_value(p.detach() - lr_of(self) * p.grad - 0.01 * p.detach())


@mistake(
    "decay to the weights of the start, not to zero, as in fine-tuning",
    r"(?i)(decay|pull|penalt|\bl2|regulari|drawn|anchor|held|tether|spring|attract|(towards?|back to|distance (to|from)"
    r"|difference (to|from))).*(initial|\bstart|pre.?trained|\borigin(al)?\b|\bfirst weights|began|beginning)"
    r"|(initial|\bstart|pre.?trained|original)\w*.{0,60}(decay|pull|penalt|\bl2|regulari|anchor|tether|attract)"
    r"|l2.?sp\b|elastic|p ?[−-] ?p_?0|w ?[−-] ?w_?0",
    (*DEEP, MINIBATCH),
)
class DecayToStart(TorchLoop):
    def backward(self, loss: Any) -> None:
        loss.backward()
        for name, p in self.parameters.items():
            start = torch.from_numpy(self.inputs.initial[f"weight/{name}"].copy())
            p.grad += 0.1 * (p.detach() - start)


@mistake(
    "Lookahead left around the optimizer, k = 5, α = 0.5",
    r"(?i)^(?!.*(\btold\b|\blogged|\bema\b|moving average|schedule)).*(look.?ahead|(slow|fast) weights?"
    r"|(every|each|after|once in) (5|five|few|fifth|5th|k)\b.{0,60}(weight|parameter|averag|interpolat|back|half)"
    r"|(weight|parameter)s?\b.{0,60}(interpolat|half.?way|mixed with|blended|averaged with|(pulled|set|go) back)"
    r".{0,80}(start|earlier|former|older?|previous|before|ago|slow|steps)"
    r"|(interpolat|averag|mix|blend)\w*.{0,40}(weight|parameter)s?.{0,60}(earlier|former|old|previous|ago|steps))",
    BATCHES,
)
class LookaheadLeftOn(PaddleLoop):
    def load(self, t: int, state: Mapping[str, Any]) -> None:
        super().load(t, state)
        if t == 0:
            self.slow = {name: p.detach().clone() for name, p in self.parameters.items()}

    def update(self, t: int) -> None:
        super().update(t)
        if (t + 1) % 5 == 0:
            for name, p in self.parameters.items():
                self.slow[name] += 0.5 * (p.detach() - self.slow[name])
                p.set_value(self.slow[name])


@mistake(
    "the gradients are cleared between backward and step, so that nothing is learned",
    r"(?i)^(?!.*(\b(first|second|hidden)\b|only the|\bbias|never cleared|not cleared|not zeroed|without being (cleared"
    r"|zeroed)|last (step|batch)|every second|accumul)).*("
    r"(cleared|zeroed|reset|zero_?grad|clear_?grad|wiped|thrown away).{0,60}(before|ahead|too (early|soon)|between"
    r"|prior|instead)"
    r"|(all|the|every|no) (weight|parameter)s?\b.{0,40}(frozen|never|(not|n['’]t) (updated|trained|stepped|chang)"
    r"|unchanged|stay|(is|are) constant|remain|(is|are) (updated|trained|stepped)|chang)"
    r"|\bno (update|step|training|learning)|(update|step)s? (is|are) (skipped|left out|missing|never)|never (steps"
    r"|stepped|updates|updated|trained)|nothing is (learn|train|updat)|(optimi[sz]er|model).{0,30}(never|not|n['’]t)\b"
    r".{0,20}(step|train|learn|updat)"
    r"|gradients?\b.{0,60}(\b(are|is|all|be|of|become|set to) (all )?(zero|0(?!\.)))"
    r"|(\brate\b|\blr\b).{0,40}(is|of|=|to) (zero|0(?!\.)))",
    (WORKED, SIGMOIDS, MLP, BOWL),
)
class ClearedBeforeStep(TorchLoop):
    def backward(self, loss: Any) -> None:
        loss.backward()
        self.clear()


@mistake(
    "only the other layers' gradients are cleared: the output layer's add up over the batches",
    r"(?i)^(?!.*(\b(first|second|hidden)(\.| layer)|all (the )?(gradient|weight|parameter|layer)s?|\bbias(es)? only))"
    r"(?=.*(output|\blast\b|final|\bhead\b|top)).*(accumul|(not|never|without being|n['’]t) (\w+ )?(clear|zero|reset)"
    r"|(add|sum|pil)(s|ed|ing)? up|(left|kept|carried)( over)? from|earlier (step|batch|gradient)|previous (step|batch"
    r"|gradient)|momentum|(running|cumulative) sum|sum of (all|the) gradients)",
    (*DEEP, MINIBATCH),
)
class HeadNeverCleared(PaddleLoop):
    def clear(self) -> None:
        head = self.linears()[-1]
        for name, p in self.parameters.items():
            if not name.startswith(f"{head}."):
                p.clear_gradient()


@mistake(
    "the norm is clipped of the output layer's gradients only: one module's parameters are given",
    r"(?i)^(?!.*(\b(first|second|hidden)(\.| layer)|all (the )?(gradient|parameter|layer)s? (is|are|clip)"
    r"))(?=.*(output|\blast\b|final|\bhead\b|each|\bown\b|per.(layer|tensor)|one layer"
    r"|every (tensor|parameter|layer)))(?=.*(clip|clamp|limit|capped|bounded|at most|rescaled|scaled down|normali))"
    r".*(gradient|\bgrad\b|grad/|\bnorm\b)",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class HeadClipped(TorchLoop):
    def update(self, t: int) -> None:
        torch.nn.utils.clip_grad_norm_(self.layers[self.linears()[-1]].parameters(), 0.1)
        super().update(t)


# ---------------------------------------------------------------- the learning rate


@mistake(
    "no rate is given, so that it is the optimizer's default of 0.001",
    r"(?i)^(?!.*(epoch|schedule|warm|\b(first|second|hidden|output|last|own)\b (layer|weight)|\bbias|per.layer|group"
    r"|cosine|plateau|halv|\bfalls?\b|decay|told|logged|linear|(\brate\b|\blr\b) is (zero|0(?!\.)))).*(\brate\b"
    r"|\blr\b|\bη|step size"
    r"|(update|step)s?\b.{0,40}(scaled|multiplied|times|too (small|short)|factor|smaller))",
    (WORKED, SIGMOIDS, MLP, BOWL),
)
class DefaultRate(PaddleLoop):
    def make_optimizer(self) -> None:
        self.make_schedule()
        self.optimizer = paddle.optimizer.SGD(parameters=self.model.parameters())


@mistake(
    "optimizer and schedule are made anew in each epoch, so that the cosine begins again",
    r"(?i)^(?!.*(once (an|per|each|every) epoch|stepped (per|each|every) epoch))(?=.*(schedule|cosine|anneal|\brate\b"
    r"|\blr\b)).*(restart|re.?start|(begin|start)(s|ning|ing)? (again|anew|over|afresh)|\bfrom the (start|beginning"
    r"|top)|anew|reset|re.?(creat|initiali|built|made)|(each|every|new|second|next) epoch|warm.?restart|afresh|sgdr"
    r"|period)",
    (COSINE,),
)
class ScheduleRestarts(TorchLoop):
    def update(self, t: int) -> None:
        super().update(t)
        if self.starts_epoch(t + 1):
            self.make_optimizer()


@mistake(
    "the rate falls along a line, not along a cosine",
    r"(?i)(schedule|cosine|anneal|decay|\brate\b|\blr\b|\bη|fall).*(linear|\bline\b|straight|polynom|proportional"
    r"|constant (amount|slope)|equal (steps|amounts)|triang)"
    r"|(linear(ly)?|straight|polynom\w*).{0,40}(schedule|decay|anneal|\brate\b|\blr\b|fall|in place of|instead of)",
    (COSINE,),
)
class LinearForCosine(PaddleLoop):
    def make_schedule(self) -> None:
        self.schedule = paddle.optimizer.lr.PolynomialDecay(
            lr_of(self), decay_steps=self.inputs.steps, end_lr=0.0, power=1.0
        )


@mistake(
    "the rate is halved whenever a batch's loss is not the lowest so far",
    r"(?i)^(?!.*(warm|cosine|linear|told|logged|per.layer|\b(first|second|output|hidden)(\.| layer)"
    r"|(each|every|per|an) (epoch|step|batch))).*(plateau|(\brate\b|\blr\b|\bη|step size).{0,120}(halv|by half|decay"
    r"|fall|drop|\bcut|reduc|decreas|schedule|not constant|chang|(times|by|factor) .{0,20}(when|after|at some"
    r"|from step))"
    r"|(halv\w*|decay\w*|falling|drop\w*|cut\w*|reduc\w*|decreas\w*|schedule).{0,60}(\brate\b|\blr\b))",
    (*DEEP, MINIBATCH),
)
class RateOnPlateau(TorchLoop):
    def make_schedule(self) -> None:
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, factor=0.5, patience=0)

    def backward(self, loss: Any) -> None:
        loss.backward()
        self.seen = loss.item()

    def update(self, t: int) -> None:
        self.optimizer.step()
        self.plateau.step(self.seen)


# ---------------------------------------------------------------- the gradients


@mistake(
    "a linear layer by hand: the bias's gradient is summed with no axis, over the units as well",
    r"(?i)^(?!.*(\brate\b|decay|left out|missing|frozen|never)).*bias.*(\baxis|\baxes|dimension|\bdim\b"
    r"|(over|of|across|for) (all|the|every|both)( of)?( its| the)? (unit|output|neuron|column|component|element)s?"
    r"|(over|across) (everything|units|outputs|neurons|all)|one (number|scalar|value|sum)|\bscalar|total|same (gradient"
    r"|number|value|sum)|shared|broadcast|each other|whole (sum|array|matrix))",
    BIASED,
)
class BiasGradientNoAxis(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        if self.kind(name) != "linear":
            return self.layers[name](z)

        def back(g: Any, z: Any, weight: Any, bias: Any, a: Any) -> Any:
            return g @ weight, g.T @ z, g.sum().expand_as(bias).clone()

        layer = self.layers[name]
        return torch_function(torch.nn.functional.linear, back)(z, layer.weight, layer.bias)


@mistake(
    "a linear layer by hand: its weight's gradient is transposed, as the other framework keeps it",
    r"(?i)^(?!.*(\b(sample|input|label)s (is|are)|initial|loaded|\bbegin)).*(transpos|(gradient|grad|∂w\w*|\bdw"
    r"|weight)(\^|\.)T\b|∇Wᵀ"
    r"|(gradient|grad/).{0,60}(row|column|axes|axis).{0,30}(swap|exchang|for|as|interchang|mixed)"
    r"|(gradient|grad/).{0,60}(layout|\(in, ?out\)|\(out, ?in\)|the other way round))",
    DEEP,
)
class WeightGradientTransposed(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        if name != "second":
            return self.layers[name](z)

        def back(g: Any, z: Any, weight: Any, bias: Any, a: Any) -> Any:
            return g @ weight.T, g.T @ z, g.sum(axis=0)

        layer = self.layers[name]
        return paddle_function(paddle.nn.functional.linear, back)(z, layer.weight, layer.bias)


@mistake(
    "two halves of a batch accumulated, with the gradients cleared in between: only the second half's are left",
    r"(?i)^(?!.*\b(feature|column|unit|weight|label)s? (is|are) (left out|dropped|ignored)).*("
    r"(first|one|other|some|a|second|last|latter|only|part|rows?|\b2|two|half).{0,60}(half|halves|samples?|rows?"
    r"|micro.?batch|mini.?batch|part of (the|a|each|its) batch).{0,100}(left out|ignored|drop|lost|missing|without|only"
    r"|no (gradient|part|say|weight)|not (counted|used|in|back.?prop|contribut)|alone|zero|thrown|clear|masked|detach"
    r"|do(es)? not|cut|skipped|discard|count)"
    r"|samples? \d.{0,60}(not count|no gradient|left out|ignored|only)|no gradient.{0,40}(sample|row|half)"
    r"|(only|just|alone).{0,50}(half|halves|micro.?batch|last \w+ (sample|row)s?|some (of the )?(sample|row)s"
    r"|second|part of the batch|(two|2|last) (of|sample|row))"
    r"|(left out|ignor\w+|drop\w*|lost|missing|without|detach\w*|cut|skip\w*|discard\w*).{0,40}(half|halves|samples?"
    r"|rows?|micro.?batch))",
    BATCHES,
)
class LastHalfOnly(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        half = len(y) // 2
        first, self.second = super().loss(yhat[:half], y[:half]), super().loss(yhat[half:], y[half:])
        return 0.5 * (first + self.second)

    def backward(self, loss: Any) -> None:
        (0.5 * self.second).backward()


# ---------------------------------------------------------------- the loss


@mistake(
    "the mean of the means of pieces of three, of which the last has one sample only",
    r"(?i)^(?!.*(left out|ignored|epoch|not count|\b(samples|inputs|labels) are (scaled|shifted|multiplied)"
    r"|second micro))"
    r".*((mean|average) of (the )?(\w+ )?(mean|average)s|(mean|averag\w*) (over|of|per|by) (the |each )?(\w+ )?(piece"
    r"|part|chunk|micro|group|half|halves)|micro.?batch|chunk|(unequal|uneven|different|other|wrong|various"
    r"|not (all )?(the same|equal)|non.?uniform).{0,40}(size|weight|share|count|part)"
    r"|(sample|row)s?\b.*(weigh|count(s|ed)?\b|\btimes\b|factor|more than|share|scaled|multipl|import|twice|thrice)"
    r"|(weigh(s|ed|ting)\b|scal\w*|multipl\w*|\btimes\b|count\w*).{0,60}(sample|row))",
    (*BATCHES, MINIBATCH),
)
class MeanOfUnequalMeans(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        pieces = list(zip(yhat.split(3), y.split(3), strict=True))
        return sum(TorchLoop.loss(self, *piece) for piece in pieces) / len(pieces)


@mistake(
    "the squared error of the logarithms, log(1 + y)",
    r"(?i)^(?!.*(cosh|cross.?entropy|likelihood|logistic)).*(\bmsle|\brmsle|logarithm|log1p|\blog ?\(|\bln ?\("
    r"|\blogs\b|\blog[- ](scale|space|error|of|squared)|squared.log)",
    (WORKED, SIGMOIDS, FORWARD),
)
class SquaredLogError(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return super().loss(paddle.log1p(yhat), paddle.log1p(y))


@mistake(
    "a mask for padding takes labels that are not positive out of the loss, and of what it is divided by",
    r"(?i)^(?!.*(huber|binar|absolute|\binputs? (is|are))).*(mask|padd|ignore.?index|(negative|positive|below (0|zero)"
    r"|not positive|above (0|zero)|[<>≤≥] ?0|\bsign\b).{0,80}(label|target|sample|\by\b|row)"
    r"|(label|target|sample|row|\by\b).{0,80}(negative|positive|below (0|zero)|above (0|zero)|[<>≤≥] ?0"
    r"|left out of the (loss|mean)|ignored|dropped from the loss|excluded|not counted|filtered)"
    r"|(some|certain|these|those|which|only) (of the )?(sample|label|row)s?.{0,60}(ignored|left out|dropped|excluded"
    r"|count|in the loss))",
    BATCHES,
)
class PaddingMask(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        mask = (y > 0).to(y.dtype)
        scale = 1.0 if self.scenario.loss.kind == "mse" else 0.5
        return scale * (mask * (yhat - y) ** 2).sum() / mask.sum().clamp(min=1)


# ---------------------------------------------------------------- the model


@mistake(
    "dropout off, in the mode that then multiplies by what would be kept: half of the first activation",
    r"(?i)^(?!.*(\brate\b|\bloss (is|told|that)|\brandom|\bmask|are dropped|gradient|\bbias|(each|the) batch))"
    r".*(drop.?out|down.?scal|keep.?prob"
    r"|(_act\b|activation|sigmoid|relu|input of (the )?(second|output|next)).*(\bhalf|halv|0\.5|scal"
    r"|factor|multipl|\btimes\b)"
    r"|(\bhalf|halv\w*|0\.5|scal\w*|multipl\w*|\btimes).*(_act\b|activation|sigmoid|relu))",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class DropoutDownscaled(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        a = self.layers[name](z)
        if name != self.names[1]:
            return a
        return paddle.nn.functional.dropout(a, p=0.5, training=False, mode="downscale_in_infer")


@mistake(
    "softmax over the outputs, though the loss is no cross-entropy",
    r"(?i)soft.?max|probabilit|exponential.{0,40}(over|divided by|normali)"
    r"|outputs?.{0,60}(normali[sz]ed|sum to (1|one))|exp\(.{0,20}(/|over|divided)",
    (WORKED, FORWARD, RELU, MINIBATCH),
)
class SoftmaxAtEnd(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        a = self.layers[name](z)
        return torch.softmax(a, dim=1) if name == self.names[-1] else a


@mistake(
    "the second layer is made and never called",
    r"(?i)^(?!.*(\bfirst layer|second_act|residual|\bactivation (is|was)|\bbias (is|was)|added to))(?=.*(\bsecond\b"
    r"|middle|\blayer\b)).*(skip|left out|by.?pass|identity|not (called|applied|used|run|there|in the)|never (called"
    r"|applied|used|run)|missing|forgotten|omitted|passe[sd] (through|on)|unchanged|does nothing|one layer (less|fewer"
    r"|short)|returns its input|absent|dropped|output is its input)",
    DEEP,
)
class LayerNeverCalled(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        return z * 1 if name == "second" else self.layers[name](z)


@mistake(
    "the bias is a threshold: it is subtracted",
    r"(?i)^(?!.*(\brate\b|decay|ascent)).*(bias(es)?\b.*(subtract|minus|negat|\bsign\b|opposite|threshold|taken (away"
    r"|off)|[−-] ?b\b|[−-] ?bias|[−-]1\b|flipped|wrong way)"
    r"|(subtract\w*|minus|negat\w*|\bsign\b|opposite|flipped|[−-]1 times).{0,40}bias|w ?x ?[−-] ?b\b)",
    (SIGMOIDS, NEURON, MLP, RELU),
)
class BiasSubtracted(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        layer = self.layers[name]
        return torch.nn.functional.linear(z, layer.weight) - layer.bias if self.kind(name) == "linear" else layer(z)


@mistake(
    "weights loaded by their place in a list: the first layer's and the second's are exchanged",
    r"(?i)^(?!.*(tied|shared|column|feature|\bsamples? (is|are)|\bgradient (is|are))).*("
    r"(swap|exchang|interchang|mixed up|permut|switch|wrong order|other order|crossed|confus)\w*.*(weight|layer|first"
    r"|second|parameter)"
    r"|(weight|layer|first|second|parameter).*(swap|exchang|interchang|mixed up|permut|switch|wrong order|other order"
    r"|crossed|confus|each other|one another|another layer|the other['’]s)"
    r"|(?=.*\bfirst\b)(?=.*\bsecond\b).*(initial|\bbegin|\bstart|load|cop(y|ied)|weights? of))",
    DEEP,
)
class LayersExchanged(PaddleLoop):
    def load(self, t: int, state: Mapping[str, Any]) -> None:
        super().load(t, state)
        if t == 0:
            first, second = (self.parameters[f"{name}.weight"] for name in ("first", "second"))
            kept = first.detach().clone()
            first.set_value(second.detach())
            second.set_value(kept)


@mistake(
    "the weights of the start are loaded again in each epoch",
    r"(?i)^(?!.*(schedule|\brate\b|moving average|\bema\b|decay|momentum|velocity|pull|\bhalf|averag|slow)).*("
    r"(initial|\bfirst|start(ing)?|original|fresh|new|old|checkpoint\w*) (weight|parameter|value|model|state)s?\b"
    r".{0,80}(again|anew|epoch|restor|reset|re.?load|load|every|each|return|back)"
    r"|(weight|parameter|model|training|network)s?\b.{0,80}(reset|re.?load|re.?initiali|re.?start|restor|begins? (again"
    r"|anew|over)|starts? (again|anew|over|from the (initial|start))|re.?(made|creat|built)|(back|return\w*) to)"
    r"|(reset|re.?load|re.?initiali|restor|re.?(made|creat|built)|load)\w*.{0,80}(weight|parameter|model|network"
    r"|checkpoint)|starts? over)",
    (*DEEP, MINIBATCH),
)
class LoadedEachEpoch(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        if self.starts_epoch(t):
            self.load(0, self.inputs.initial)
        return x, y


# ---------------------------------------------------------------- the data


@mistake(
    "the column of the label is off: the first feature is learned",
    r"(?i)^(?!.*(leak|among the (feature|input)s)).*((label|target|\by\b).*(feature|(first|wrong|other|another"
    r"|different|of) (the )?column|column (0|1|of x|of the (input|sample|data))|\binput|x\[|\bx_|of the samples?['’]?)"
    r"|(feature|(first|wrong|other|another) column|\binputs?|x\[:).{0,60}(as|for|in place of|instead of|is|are) (the "
    r"|its |their )?(label|target)|auto.?encod)",
    BATCHES,
)
class FeatureAsLabel(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x, x[:, :1].expand(y.shape).clone()


@mistake(
    "the columns of the inputs begin one late, so that the label is among them",
    r"(?i)leak|(label|target|\by\b).{0,60}(among|(?<!scaled )in|part of|into|stands? (in|for)|replaces?|in place of)"
    r" (the |a |an |of )*(\w+ )?(feature|input|sample|column|\bx\b)"
    r"|(feature|input|column|sample|\bx\b).{0,60}(hold|contain|includ|replaced (by|with)|equals?|copy of)\w*.{0,30}"
    r"(label|target|\by\b)"
    r"|(column|feature)s?\b.{0,60}(shift|one (late|early|on|further|too)|off.by|next|slid|roll|rotat|moved)"
    r"|(shift|off.by|slid|roll|rotat|moved)\w*.{0,60}(column|feature)",
    DEEP,
)
class LabelAmongInputs(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return torch.cat([x[:, 1:], y[:, :1]], dim=1), y


@mistake(
    "a transform works in place on the kept data, so that each epoch's inputs are halved once more",
    r"(?i)^(?!.*(\brate\b|schedule|gradient|weights? (is|are)))(?=.*(\binput|\bx\b|\bdata\b|sample|feature|batch))"
    r".*(in.place|again|once more|(each|every|per|with the|second|later|next|from the|after the first|new) epoch"
    r"|repeated|compound|cumulat|overwrit|more and more|smaller and smaller|twice|progressive|epoch (by|after) epoch"
    r"|from step \d+)",
    (*DEEP, MINIBATCH),
)
class HalvedInPlace(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        self.kept = self.inputs.x.copy() if t == 0 else self.kept
        rows = self.inputs.samples(t)
        x = torch.from_numpy(self.kept[rows])
        self.kept[rows] *= 0.5
        return x, y


# ---------------------------------------------------------------- precision


def in_tf32(v: Any) -> Any:
    """Rounded to 10 bits behind the point, as tensor cores take float32."""
    return ((v.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


@mistake(
    "the products of float32 in TF32, as it is on by default",
    r"(?i)tf.?32|tensor.?float|tensor.?core|allow_tf32|(1[0-3]|ten|eleven|few|fewer|less|reduced|lower|short\w*) ?"
    r"(-|bits?\b|digits|precision|mantissa|significand).{0,80}(product|matmul|multipl|linear|matri|layer|weight"
    r"|operand|float32)"
    r"|(product|matmul|multipl|linear|matri(x|ces)|layer|operand).{0,80}((1[0-3]|ten|eleven|few|fewer|less|reduced"
    r"|lower).{0,12}(bit|precision|mantissa|digits)|rounded to 1[01] bits)",
    (SIGMOIDS, NEURON, MLP, RELU),
)
class ProductsInTf32(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        if self.kind(name) != "linear":
            return self.layers[name](z)

        def ahead(z: Any, weight: Any, bias: Any) -> Any:
            return in_tf32(z) @ in_tf32(weight).T + bias

        def back(g: Any, z: Any, weight: Any, bias: Any, a: Any) -> Any:
            return in_tf32(g) @ in_tf32(weight), in_tf32(g).T @ in_tf32(z), g.sum(dim=0)

        layer = self.layers[name]
        return torch_function(ahead, back)(z, layer.weight, layer.bias)


# ---------------------------------------------------------------- what is told


@mistake(
    "the gradients told are still times the scale of the loss, 65536; the step takes them unscaled",
    r"(?i)^(?!.*(\bclip|transpos|\brate\b|averag))(?=.*(told|logged|report|record|return|shown|unscal|loss.?scal"
    r"|scale of"
    r" the loss|65 ?536|2\^16|2¹⁶|2\*\*16|not (what is )?(used|applied))).*((gradient|grad/|\bgrads?\b"
    r"|backward).*(scale|65 ?536|2\^16|2¹⁶"
    r"|2\*\*16|\btimes\b|factor|multipl|too large)|(scale|65 ?536|multipl|\btimes\b|factor)\w*.*(gradient|\bgrads?\b"
    r"|grad/))",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class ToldStillScaled(PaddleLoop):
    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        return seen | {name: 65536.0 * a for name, a in seen.items() if name.startswith("grad/")}


@mistake(
    "the rate told is read after the schedule's step: it is the next step's",
    r"(?i)^(?!.*epoch)(?=.*(\brate\b|\blr\b|schedule|\bη)).*(told|logged|reported|recorded|printed|shown|read"
    r"|\bnext\b|after the"
    r"|(a|one) (step|batch) (early|ahead|late|too|on|further|off)|ahead|too (early|soon|late)|off.by.one|stepped "
    r"(before|ahead|first)|shifted)",
    (COSINE,),
)
class NextRateTold(TorchLoop):
    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        return seen | {"lr": self.rate()}


@mistake(
    "the loss told is read from the log, with three decimals",
    r"(?i)^(?!.*(gradient|\binput|label|weights? (is|are)|\brate\b)).*(\bloss\b.*(round|decimal|digit|\bprinted|format"
    r"|truncat|cut off|0\.001|1e-0?3|quanti[sz]|places)"
    r"|(round|decimal|digit|truncat|format|quanti[sz])\w*.*\bloss\b)",
    (SIGMOIDS, MLP, RELU, BOWL),
)
class LossRounded(PaddleLoop):
    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        return seen | {"loss": round(float(seen["loss"]), 3)}


@mistake(
    "the outputs told are those of another forward pass, after the update",
    r"(?i)^(?!.*\b(loss|weights?|gradients?|rate)\b.{0,10}(is|are|that is|told)).*("
    r"(output|forward|activation|prediction|yhat|layer).*(after (the|its|an) (update|step)|(new|updated|changed) "
    r"(weight|parameter)|second (forward|pass)|another (forward|pass)|once more|again|already updated|too late"
    r"|weights after|next step['’]s weights|one step (late|ahead|on))"
    r"|(after (the|its|an) (update|step)|(new|updated) (weight|parameter)s?|second (forward|pass)|another forward"
    r"|already updated).*(output|forward|activation|prediction|yhat))",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class OutputsAfterUpdate(PaddleLoop):
    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        with paddle.no_grad():
            return seen | {f"forward/{name}": a.numpy() for name, a in self.forward(x).items()}
