"""Which fifth set of mistakes do people make in a training loop, and which words must a cause have to be right?

Written without a look at what isograd searches for, nor at what it finds or says. The style, and the meaning of
``accept``, are those of ``tests.mistakes.kinds``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.mistakes.further import (
    BATCHES,
    BOWL,
    DEEP,
    DOUBLE,
    FORWARD,
    MINIBATCH,
    MLP,
    NEURON,
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
from tests.mistakes.loops import Loop, PaddleLoop, TorchLoop, paddle, torch

FULL = "article/sum_regression_full_batch"
SPLIT = (*DEEP, MINIBATCH)  # those whose epoch has several batches of several samples

KINDS: dict[str, Kind] = {}


mistake = entering(KINDS, __name__)


def rows_of(loop: Loop, t: int) -> Any:
    """The places, among all samples, of those in a step's batch."""
    return np.arange(len(loop.inputs.x))[loop.inputs.samples(t)]


# ---------------------------------------------------------------- the data


@mistake(
    "each sample is scaled to unit length, where columns were meant or nothing at all",
    r"(?i)^(?!.*(mean 0|zero mean|standardi|deviation|\bstd\b|min.?max|\bcolumn|(each|per|every) feature|gradient"
    r"|\bweights? (is|are)|activation|hidden|_act\b))(?=.*(\binput|\bx\b|\bdata\b|sample|\brow))"
    r".*(\bunit\b|\bnorms?\b|\blengths?\b|l2.?normali|row.?wise|sphere"
    r"|(each|every|per|its|own) (sample|row|input).{0,50}(normali|scal|divid|multipl)"
    r"|(normali|scal|divid|multipl)\w*.{0,50}(each|every|per|own|itself) ?(sample|row|input|separately|by itself)?)",
    SPLIT,
)
class UnitRows(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return torch.nn.functional.normalize(x, dim=1), y


@mistake(
    "inputs are standardised with the statistics of their own batch",
    r"(?i)^(?!.*(\b(first|second|hidden|output) layer|_act\b|activation|layer.?norm|\blabels? (is|are)|gradient))"
    r"(?=.*(\binput|\bx\b|\bdata\b|sample|feature|column))"
    r"(?=.*(normali|standardi|whiten|cent(re|er)|\bmean\b|deviation|varianc|\bstd\b|statistic))"
    r".*(batch.?(wise|norm)|batch(es)?['’]?s?\b.{0,30}(\bown|mean|statistic|\bstd|deviation|varianc)"
    r"|\b(own|its|per|within|each|every|that|one|over (the|a)|of (the|a))\b.{0,12}(mini.?)?batch)",
    SPLIT,
)
class BatchStatistics(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        centred = x - x.mean(axis=0, keepdim=True)
        return centred / ((centred**2).mean(axis=0, keepdim=True) + 1e-8).sqrt(), y


@mistake(
    "the distributed sampler is left in, so that the one process sees every second sample only",
    r"(?i)^(?!.*(\bupdate|gradient|\bloss\b|accumul|\brate\b|\bcolumn|\blabels? (is|are|of|come)|one (sample|row)"
    r" (late|early|later|on)))(?=.*(sample|\brow|\bdata\b|batch|example|index|indices))"
    r".*((every|each) (second|other|2nd)\b ?(sample|row|example|point|index|one|datum)"
    r"|half (of )?(the |its |all )?(the )?(sample|data|row|example|ind)|\bstride|steps? of (2|two)\b|\brank\b|\bshard"
    r"|distributed|even.(numbered|index)|subset|part of the (data|samples)|two (workers|replicas|processes|devices)"
    r"|(other|different|wrong) (sample|row|batch|data|example)|never (seen|used|drawn|visited)"
    r"|not (its|the right|the same) (sample|row))",
    SPLIT,
)
class DistributedShare(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        mine = np.arange(len(self.inputs.x))[::2]
        where = mine[(t * len(x) + np.arange(len(x))) % len(mine)]
        return torch.from_numpy(self.inputs.x[where]), torch.from_numpy(self.inputs.y[where])


@mistake(
    "the files of the inputs are sorted by name, 10 before 2, and the labels by number",
    r"(?i)^(?!.*(\bcolumn|feature|gradient|\bweight|\bboth\b|with their labels|shift(ed)? by|previous|last batch"
    r"|one (sample|row) (late|early|on)|all pairs|broadcast|reshap))(?=.*(label|target|\by\b|\binput|\bx\b|sample))"
    r".*(lexic|alphabet|\bsort|as (text|strings)|mis.?align|mismatch|mis.?match|"
    r"(\binput|\bx\b|label|target|\by\b).*(\border\b|reorder|permut|shuffl|mix(ed|ing)? up|swapp|exchang|scrambl"
    r"|(other|another|different|wrong|not (its|their|the)) (own |right )?(sample|row|label|target|input|one)"
    r"|(do|does|are|is) not (belong|match|fit|go|paired))"
    r"|(permut|shuffl|reorder|scrambl)\w*.*(\binput|\bx\b|label|target))",
    SPLIT,
)
class NamesSorted(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        order = np.array(sorted(range(len(self.inputs.x)), key=str))
        return paddle.to_tensor(self.inputs.x[order[rows_of(self, t)]]), y


@mistake(
    "mixup is left on: 0.8 of each sample and 0.2 of its neighbour, inputs and labels alike",
    r"(?i)^(?!.*(gradient|\bweights? (is|are)|moving|momentum|hidden|residual|_act\b|mixed up|reshap)).*(mix.?up"
    r"|(sample|\binput|label|\bx\b|\bdata\b|\brow|batch).*(\bmix|blend|interpolat|convex|combin|superpos|0\.8.*0\.2"
    r"|(plus|\+) 0\.2|averaged with|(pulled|moved|shr[iu]nk) (to|towards?) (the |its |each )?(next|neighbou?r|other"
    r"|previous))"
    r"|(\bmix|blend|interpolat|convex|combination|superpos)\w*.*(sample|\binput|label|\bdata\b|\brow|neighbou?r))",
    BATCHES,
)
class MixupLeftOn(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return tuple(0.8 * v + 0.2 * torch.roll(v, 1, dims=0) for v in (x, y))


@mistake(
    "the data went through a file with two decimals",
    r"(?i)^(?!.*(\bloss\b|gradient|\bweight|\brate\b|activation|_act\b|whole number|integer|\bint\b|float16|float32"
    r"|\btf32))(?=.*(\binput|\bx\b|\bdata\b|sample|label|\by\b|feature|target|\bcsv))"
    r".*(\bround|decimal|\bdigits?\b|\bplaces\b|quanti[sz]|0\.01\b|hundredth|%\.2f|\bprinted|\bformat|\bgrid\b)",
    SPLIT,
)
class TwoDecimals(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return paddle.round(100.0 * x) / 100.0, paddle.round(100.0 * y) / 100.0


@mistake(
    "the iterator is exhausted after an epoch, and the last batch of it is used from then on",
    r"(?i)^(?!.*(\blabels? (is|are|of)|\bloss\b|gradient|first (batch|sample)|\brate\b|momentum|weights? (is|are)"
    r"|\bupdate|\bno step|skip|halv))"
    r".*(exhaust"
    r"|(\blast\b|same|one|single|earlier|\bold|stale|final|third|kept)( \w+)? (batch|sample|data|minibatch)e?s?\b"
    r".{0,80}(again|repeat|over and over|epoch|second|stay|kept|always|every|each|from|in place|instead|reused|\bused)"
    r"|(repeat|again|reus|stuck|frozen|no new|not (advanc|reset|mov|renew|chang|re-?creat))\w*.{0,80}(batch|loader"
    r"|iterator|\bdata\b|sample)"
    r"|(batch|loader|iterator|\bdata\b|samples)\b.{0,80}(repeat|again|reus|stuck|frozen|the same|\blast\b|earlier"
    r"|not (advanc|reset|mov|renew|chang|re-?creat)|no longer chang|runs? out|ran out|at its end))",
    SPLIT,
)
class LoaderExhausted(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        if t < self.inputs.steps_per_epoch or not hasattr(self, "kept"):
            self.kept = x, y
        return self.kept


@mistake(
    "the labels come out of the prefetcher a batch late: they are those of the batch before",
    r"(?i)^(?!.*(\binputs? (is|are)|\bboth\b|\bloss (is|that)|gradient|next batch|last (sample|row))).*("
    r"(label|target|\by\b).*(previous|last (batch|step|one)|preceding|earlier|former|stale|\blate\b|\blag|delay|behind"
    r"|\bold\b|\bkept\b|(batch|step) (before|ago|early)|(other|another|different|wrong) batch|prefetch|out of step"
    r"|(one|a) (batch|step))"
    r"|(previous|preceding|earlier|stale|delay|lagg|last (batch|step)|(batch|step) (before|ago))\w*.*(label|target"
    r"|\by\b))",
    SPLIT,
)
class LabelsOfBatchBefore(PaddleLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        late, self.late = getattr(self, "late", y), y
        return x, late


# ---------------------------------------------------------------- the model


@mistake(
    "ReLU6 in ReLU's place",
    r"(?i)relu.?6|(clamp|clip|\bcap|limit|satur|bound|at most|no more than|\bcut\b|cut off|\bmin\(|upper|ceiling)"
    r"\w*.*(?<![\d.])6\b(?!\.\d)|(?<![\d.])6\b(?!\.\d).*(clamp|clip|\bcap|limit|satur|bound|upper|ceiling)",
    (MINIBATCH, FULL),
)
class Relu6(InPlaceOf, PaddleLoop):
    def ours(self, z: Any) -> Any:
        return paddle.nn.functional.relu6(z)


@mistake(
    "softmax over the units in the sigmoid's place",
    r"(?i)soft.?max|exponential.{0,40}(over|divided by|normali)|exp\(.{0,20}/ ?(the )?(sum|Σ|∑)"
    r"|(_act\b|activation|sigmoid|unit)s?\b.{0,60}(sums? to (1|one)|add up to (1|one)|normali[sz]ed over)",
    (FORWARD, MLP, DOUBLE),
)
class SoftmaxForSigmoid(InPlaceOf, TorchLoop):
    theirs = "sigmoid"

    def ours(self, z: Any) -> Any:
        return torch.softmax(z, dim=1)


@mistake(
    "the sigmoid by hand, without the minus: 1 / (1 + exp(z))",
    r"(?i)^(?!.*(gradient|derivative|slope|backward|\bbias|\bupdate|\bloss|leaky))"
    r"(?=.*(sigmoid|_act\b|activation|logistic|σ))"
    r".*([−-] ?[zx]\b|negat|\bsigns?\b|\bminus\b|1 ?[−-] ?(σ|sigmoid|a\b|s\b|the sigmoid|it)|complement|flip|mirror"
    r"|revers|opposite|exp\( ?\+? ?[zx] ?\)|e\^\(?[zx]|decreas|fall(s|ing)|[−-]1\b|wrong way)",
    SIGMOID,
)
class SigmoidWithoutMinus(InPlaceOf, PaddleLoop):
    theirs = "sigmoid"

    def ours(self, z: Any) -> Any:
        return 1 / (1 + paddle.exp(z))


@mistake(
    "layer normalisation left in behind the first layer",
    r"(?i)^(?!.*(batch.?norm|over the batch|\b(input|label|sample|gradient|weight)s?( is| are|,)? (normali|standardi"
    r"|cent)|unit (length|norm|vector)|max.?norm)).*(layer.?norm"
    r"|(output|\bfirst\b|hidden|layer|pre.?activation|\bunits?\b|feature|\brow).*(normali|standardi|cent(re|er)ed"
    r"|cent(re|er)d|(mean|average).{0,60}(\bstd\b|deviation|varianc))"
    r"|(normali|standardi)\w*.*(output|\bfirst\b|hidden|layer|\bunits?\b|feature|\brow))",
    (WORKED, FORWARD, MLP, RELU),
)
class LayerNormLeftIn(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        a = self.layers[name](z)
        return torch.nn.functional.layer_norm(a, a.shape[1:]) if self.is_first(name, "linear") else a


@mistake(
    "the features are brought to unit length ahead of the output layer",
    r"(?i)^(?!.*(gradient|batch.?norm|layer.?norm|\bmean\b|deviation|\bstd\b|varianc|\b(samples?|inputs|labels?)"
    r" (is|are)|\bweights? (is|are)|soft.?max|clip|max.?norm)).*("
    r"(unit (length|norm|vector)|\bnorms?\b|\blengths?\b|normali)\w*.*(\boutput\b|\blast\b|\bhead\b|final|hidden"
    r"|activation|_act\b|feature|embedding|layer)"
    r"|(\boutput\b|\blast\b|\bhead\b|final|hidden|activation|_act\b|feature|embedding|layer).*(unit (length|norm"
    r"|vector)|\bnorms?\b|\blengths?\b|normali)|cosine (head|classifier|similarit|layer))",
    (WORKED, FORWARD, MLP, RELU),
)
class FeaturesUnitLength(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        return self.layers[name](paddle.nn.functional.normalize(z, axis=1) if name == self.linears()[-1] else z)


@mistake(
    "the weights are divided by the root of their fan-in at run time, as for an equalised learning rate",
    r"(?i)^(?!.*(\binitial|\bbegin|\bstart|decay|\bupdate|\bloss\b|\bbias(es)? (is|are)|\binputs? (is|are)|normali"
    r"|\bgradients? (is|are|of)|\b(only|just) the (first|last|second|output))).*(equali[sz]ed|fan.?in"
    r"|(weight|matrix|matrices|product|\bw ?x\b|\bw\b|linear|layer).*(scal(ed|ing)|\btimes\b|multipl|divid|smaller"
    r"|factor|√|sqrt|\broot\b)"
    r"|(scal(ed|ing)|multipl|divid|√|sqrt|\broot\b)\w*.*(weight|matrix|matrices|product|\bw ?x\b|linear))",
    (WORKED, NEURON, MLP, RELU),
)
class EqualisedWeights(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        layer = self.layers[name]
        if self.kind(name) != "linear":
            return layer(z)
        return torch.nn.functional.linear(z, layer.weight / math.sqrt(layer.in_features), layer.bias)


@mistake(
    "fake quantisation is left on: the weights are rounded to 8 bits in the forward pass",
    r"(?i)^(?!.*(bfloat16|float16|float32|\btf32|\binputs? (is|are)|\blabels?\b|\bloss\b|decimal|gradients? (is|are)"
    r")).*(fake.?quant|quanti[sz]|\bint.?8|\b[78].?bits?\b|eight bits"
    r"|\b(127|128|254|255|256)\b.{0,30}(level|step|value)|(weight|matri).{0,80}(\bround|\bgrid\b|levels)"
    r"|\bround\w*.{0,60}(weight|matri))",
    (SIGMOIDS, NEURON, MLP, RELU),
)
class FakeQuantised(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        layer = self.layers[name]
        if self.kind(name) != "linear":
            return layer(z)
        weight = layer.weight.detach()
        scale = weight.abs().max() / 127
        rounding = paddle.round(weight / scale) * scale - weight
        return paddle.nn.functional.linear(z, layer.weight + rounding, layer.bias)


@mistake(
    "ReLU by hand with the wrong bound: clamped to at most zero",
    r"(?i)^(?!.*(leaky|\bslope|\belu|gelu|derivative|gradient|guided|\binputs? (is|are)|\bsamples? (is|are)|\blabel))"
    r".*(\bmin ?\(|minimum|[−-] ?relu ?\( ?[−-]"
    r"|(relu|_act\b|activation|rectif|clamp|\bunit|\bvalues?|max\()\w*.*(negative|\bminus\b|below (0|zero)|[−-] ?relu"
    r"|flip|revers|wrong (way|side|direction|bound|sign)|other (side|way|half)|opposite|mirror|upside|at most (0|zero)"
    r"|max ?= ?0|from above)"
    r"|(negative|positive) (part|half|side|value|pre.?activation)s?\b.*(relu|_act\b|activation|kept|\blet\b|pass|drop"
    r"|zero|\bcut\b|lost))",
    RELUS,
)
class MinForMax(InPlaceOf, TorchLoop):
    def ours(self, z: Any) -> Any:
        return z.clamp(max=0)


# ---------------------------------------------------------------- the loss


@mistake(
    "Charbonnier's loss, √(e² + 10⁻⁶)",
    r"(?i)^(?!.*(gradients? (is|are)|penalt|\bweights?\b|regulari|\bterm\b|root of the (mean|loss|sum"
    r"|whole)|\brmse|absolute (value )?(of )?(the )?gradient))"
    r".*(charbonnier|pseudo.?huber|smooth.{0,20}(\bl1\b|absolute)|absolute|\bmae\b|\bl1\b|\|e\||\|yhat|\|ŷ"
    r"|(\broots?\b|sqrt|√).{0,60}(squar|e²|e\^2|each|error|residual))",
    (WORKED, MLP, RELU, BOWL),
)
class Charbonnier(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        each = ((yhat - y) ** 2 + 1e-6).sqrt()
        return each.mean() if self.scenario.loss.kind == "mse" else each.sum() / len(y)


@mistake(
    "the pinball loss, of the quantile 0.9",
    r"(?i)^(?!.*(\blabels? (is|are)|activation|relu|smooth|\bold\b|\btold\b)).*(pinball|quantile|asymm|tilted|(over"
    r"|under).?(estimat|predict"
    r"|shoot)|0\.9.{0,60}0\.1\b|0\.1.{0,60}0\.9\b|(positive|negative|too (high|low|large|small))\b.{0,30}(error"
    r"|residual|difference|output|prediction)s?.{0,60}(weigh|count|times|penali|0\.9|more)"
    r"|(error|residual|difference)s?.{0,40}(positive|negative|sign)\b.{0,60}(weigh|count|times|penali|0\.9|more))",
    (WORKED, MLP, RELU, BOWL),
)
class Pinball(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        e = y - yhat
        each = torch.maximum(0.9 * e, -0.1 * e)
        return each.mean() if self.scenario.loss.kind == "mse" else each.sum() / len(y)


@mistake(
    "the error is clipped to ±1 before it is squared, as in ports of DQN",
    r"(?i)^(?!.*(\bgradients?\b.{0,20}(is|are|clip)|clip\w* (the )?gradient|\bnorm\b|\blabels? (is|are)|\boutputs?"
    r" (is|are)|\btold\b|\bweights? (is|are))).*("
    r"(error|residual|difference|deviation|\bloss|yhat ?[−-] ?y|squares?)\w*.*(clip|clamp|limit|bound|\bcapp|at most"
    r"|truncat|saturat|cut (off )?at|winsor|[−-]1 ?(to|and|,|\.\.)|±)"
    r"|(clip|clamp|limit|bound|\bcapp|truncat|saturat|winsor)\w*.*(error|residual|difference|deviation|\bloss|squar))",
    (WORKED, MLP, RELU, BOWL),
)
class ErrorClipped(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return super().loss((yhat - y).clamp(-1, 1), torch.zeros_like(yhat))


@mistake(
    "the square of the mean error, not the mean of the squares",
    r"(?i)squared? (of )?(the |their |its |a |each )?((batch['’]s )?(mean|average))\b"
    r"|(\bmean\b|averag\w*|\bsum\b|summed).{0,60}(before|ahead of|prior to|and then|\bthen\b|first).{0,40}squar"
    r"|squar\w* (\w+ ){0,3}(after|of) (the |its |their )?(mean|averag)"
    r"|\b(mean|average) (error|residual|difference|deviation)s?\b.{0,40}squar|errors?.{0,40}cancel"
    r"|\b(mean|average) (of the )?(output|prediction|yhat)s?\b.{0,60}(mean|average)\b.{0,20}(label|target|\by\b)",
    BATCHES,
)
class SquareOfMean(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        scale = 1.0 if self.scenario.loss.kind == "mse" else 0.5
        return scale * (yhat - y).mean() ** 2


@mistake(
    "the squared error is divided by the variance of the batch's labels",
    r"(?i)^(?!.*(\b(input|label|sample|feature|output)s? (is|are) (normali|standardi|scal|divid|cent)|activation"
    r"|_act\b|batch.?norm|layer.?norm)).*("
    r"(\bloss|error|residual|squares?|\bmse\b|objective|gradient)\w*.*(varianc|deviation|\bstd\b|spread)"
    r"|(varianc|deviation|\bstd\b|spread)\w*.*(\bloss|error|\bmse\b|squar)|\bnmse\b"
    r"|normali[sz]ed (mean )?(squared|\bmse|error|loss)|\br²|\br2\b|\br.squared|explained)",
    SPLIT,
)
class OverVariance(TorchLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return super().loss(yhat, y) / y.var(correction=0)


@mistake(
    "hard examples are mined: only the half of the batch with the larger losses counts",
    r"(?i)^(?!.*(\bonly (the )?(worst|largest|hardest|one|a single) (sample|one|loss)\b|\bone sample|worst sample['’]"
    r"|(first|second|last"
    r"|latter) (half|sample)|\bmaximum\b|\bmax\b|gradient clip)).*(\bohem\b|hard(er|est)?[- ](example|sample|mining"
    r"|half|negative|two|losses)|hardest|top.?k\b|\btop\b|trimmed"
    r"|(largest|larger|biggest|bigger|highest|higher|greatest|worst|worse)\b.{0,60}(\bloss|error|sample|half|two"
    r"|residual)"
    r"|(smallest|smaller|small|easy|easier|easiest|lowest|lower|best|least)\b.{0,40}(\bloss|error|sample|half)\w*"
    r".{0,60}(left out|drop|ignor|not count|exclud|zero|discard|mask|no (part|say|gradient))"
    r"|(left out|drop|ignor|exclud|discard|mask)\w*.{0,40}\b(easy|easier|easiest|smallest|smaller|small|lowest))",
    BATCHES,
)
class HardHalf(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        each = (yhat - y) ** 2
        each = each.mean(axis=1) if self.scenario.loss.kind == "mse" else 0.5 * each.sum(axis=1)
        return paddle.topk(each, len(y) // 2)[0].mean()


@mistake(
    "the squares are summed over the outputs, and only over the batch is the mean taken",
    r"(?i)^(?!.*(\btold\b|\blogged|gradients? (is|are)|\bweights?\b|\brate\b|(sum\w*|added( up)?) over (the )?(batch"
    r"|sample|all)|\bonly (the )?first|itself|backward)).*("
    r"(\bsum(med)?|added up|not (averaged|divided|a mean)|no mean) (over|of|across|by|along) (the |its |all |both )*"
    r"(\w+ )?(output|column|axis|component|dimension|unit|feature)"
    r"|(output|column|component|dimension|last axis)s?\b.{0,40}(summed|\bsum\b|added|not (averaged|divided))"
    r"|batch.?mean|(divided|averag\w*|\bmean) (\w+ ){0,3}(by|over) (the )?(\w+ )?(batch|samples|rows|number of samples"
    r"|len)\b.{0,40}(only|alone|not|$)|only.{0,40}(by|over) (the )?(batch|samples|rows|number of samples)"
    r"|(\bloss\b|squares?|error).{0,60}(twice|doubl|\b2 times|factor (of )?2\b|times 2\b|\b2 ?[·×*]|multiplied by 2\b)"
    r"|(twice|doubl\w*|\b2 times|\b2 ?[·×*]|number of outputs).{0,60}(\bloss|squar|error))",
    (RELU, MINIBATCH, FULL),
)
class SumOverOutputs(PaddleLoop):
    def loss(self, yhat: Any, y: Any) -> Any:
        return ((yhat - y) ** 2).sum(axis=1).mean()


# ---------------------------------------------------------------- the gradients


@mistake(
    "backward is called twice on one loss, and the gradients add up",
    r"(?i)^(?!.*(\btold\b|\blogged|\bbias|\b(first|second|last|hidden|output)\b.{0,12}(layer|weight)|\brate\b"
    r"|optimi[sz]er|\bupdate|√2|itself|sigmoid|activation|stepped|every second|(never|not) (cleared|zeroed|reset)"
    r"|earlier)).*(twice|doubl"
    r"|(?<!√)\b2 times|\b2 ?[·×*]|times 2\b|(by|factor|factor of) 2\b(?!\.)|two (backward|times|passes)|second"
    r" (backward|pass|time)|backward.{0,30}again)",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class BackwardTwice(PaddleLoop):
    def backward(self, loss: Any) -> None:
        loss.backward(retain_graph=True)
        loss.backward()


@mistake(
    "a gradient reversal layer is left in ahead of the output layer",
    r"(?i)^(?!.*(\bloss (is|was|has)|negated loss|\ball (the )?gradients?|\bupdate (is|has)|\brate\b|(only|just) the"
    r" signs?|\bsign\(|absolute)).*(gradient.?revers|adversar|\bdann\b|\bgrl\b"
    r"|(gradient|backward|derivative|back.?prop|grad/)\w*.*(revers|negat|\bsigns?\b|flip|[−-]1\b|opposite|\bminus\b"
    r"|wrong way|invert)"
    r"|(revers|negat|\bsigns?\b|flip|[−-]1 times|opposite|\bminus\b|invert)\w*.*(gradient|backward|derivative))",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class GradientReversal(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        if name == self.linears()[-1]:
            z = paddle_function(lambda z: z * 1, lambda g, z, a: -g)(z)
        return self.layers[name](z)


@mistake(
    "a hook left in clamps the gradient that comes out of the output layer to ±0.02",
    r"(?i)^(?!.*(\bloss (is|clip)|\bnorms?\b|\bweights? (is|are)|\blabels?|(output|input)s? (is|are) cl|guided"
    r"|each parameter|weight gradient))(?=.*(gradient|backward|\bgrads?\b|derivative|\bdelta))"
    r"(?=.*(clip|clamp|limit|bound|\bcapp|at most|truncat|saturat|cut (off )?at|±))"
    r".*(\bhook|activation|_act\b|hidden|between|\bflow|\binto\b|layer|\boutput|intermediate|backward/|backward pass"
    r"|\bon (its|the) way|passed back|back.?prop|\bhead\b)",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class HookClamps(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        if name == self.linears()[-1]:
            z.register_hook(lambda g: g.clamp(-0.02, 0.02))
        return self.layers[name](z)


@mistake(
    "a linear layer by hand: dW and db are divided by the batch's size, though the loss is a mean already",
    r"(?i)^(?!.*(\bbias(es)?(['’]s?)? gradient|bias only|only the bias|\bloss (is )?(divided|times|scaled|multipl)"
    r"|sigmoid|relu|_act\b|\brate\b|\btold\b|clip|moving|running|cent(re|er)|subtract|\bnorm))"
    r"(?=.*(gradient|\bgrads?\b|grad/|\bdw\b|∂w|derivative|backward))"
    r".*(divid|\bmean\b|averag|\b1 ?/ ?[mn4]\b|/ ?(m|n|len|batch)\b|\b0\.25\b|\b0\.1\b|quarter|\btimes\b|scal(ed|ing)"
    r"|factor|multipl|batch.?size|size of (the|its) batch|number of samples|once more)",
    SPLIT,
)
class DividedByBatchAgain(TorchLoop):
    def call(self, name: str, z: Any) -> Any:
        layer = self.layers[name]
        if self.kind(name) != "linear":
            return layer(z)

        def back(g: Any, z: Any, weight: Any, *rest: Any) -> Any:
            to_bias = [g.sum(dim=0) / len(g)] if len(rest) > 1 else []
            return g @ weight, g.T @ z / len(g), *to_bias

        bias = [] if layer.bias is None else [layer.bias]
        return torch_function(torch.nn.functional.linear, back)(z, layer.weight, *bias)


@mistake(
    "the sigmoid's derivative by hand as z (1 - z), of its input and not its output",
    r"(?i)^(?!.*(relu|tanh|1 ?[−-] ?a(²|\^2| ?[·*×] ?a)|without|missing|left out|dropped|at its output|straight"
    r"|detach)).*([zx] ?[·*×]? ?\( ?1 ?[−-] ?[zx]|\b1 ?[−-] ?[zx]\b"
    r"|(derivative|slope|σ['′]|backward)\w*.{0,60}(sigmoid|_act\b|activation)"
    r"|(sigmoid|_act\b|activation).{0,60}(derivative|slope|backward|σ['′]))",
    SIGMOID,
)
class SlopeOfInput(PaddleLoop):
    def call(self, name: str, z: Any) -> Any:
        if self.kind(name) != "sigmoid":
            return self.layers[name](z)
        return paddle_function(paddle.nn.functional.sigmoid, lambda g, z, a: g * z * (1 - z))(z)


@mistake(
    "gradients are centralised: from each unit's, their mean is subtracted",
    r"(?i)^(?!.*(\b(input|label|sample)s? (is|are)|activation|batch.?norm|layer.?norm|moving|momentum|\btold\b"
    r"|only the bias))(?=.*(gradient|\bgrads?\b|grad/))"
    r".*(centrali|cent(re|er)|(\bmean\b|average).{0,60}(subtract|remov|taken (off|away|out|from)|zero|\b0\b(?!\.)"
    r"|minus|less)|(subtract|remov|minus|less|without)\w*.{0,60}(\bmean\b|average)|zero.?mean)",
    (WORKED, MLP, RELU, MINIBATCH),
)
class GradientsCentralised(TorchLoop):
    def backward(self, loss: Any) -> None:
        loss.backward()
        for p in self.parameters.values():
            if p.ndim > 1:
                p.grad -= p.grad.mean(dim=1, keepdim=True)


# ---------------------------------------------------------------- the optimizer


@mistake(
    "the optimizer is given copies of the parameters, so that the model's own never change",
    r"(?i)^(?!.*(\b(first|second|hidden|last|output)\b.{0,12}(layer|weight)|\bonly the|\bbias|accumul|every second"
    r"|last batch|epoch|early.?stop|gradients?\b.{0,40}(zero|cleared|\b0\b(?!\.))|\btold\b|before (the|its) update"
    r"|schedule))"
    r".*((all|the|every|no|any) (of the )?(weight|parameter|layer)s?\b.{0,60}(frozen|never|(not|n['’]t) (updated"
    r"|trained|stepped|chang|learn)|unchanged|\bstay|constant|remain|chang)"
    r"|\bno (update|step|training|learning|weights? )|(update|step)s?\b.{0,30}(skipped|left out|missing|never|zero"
    r"|no effect|lost)|never (step|updat|train|chang|learn)|nothing is (learn|train|updat)"
    r"|(optimi[sz]er|model|network).{0,40}(\bnever|\bnot|n['’]t)\b.{0,20}(step|train|learn|updat|appl|given|hold)"
    r"|optimi[sz]er.{0,60}(cop(y|ies)|clone|other (weight|parameter)|stale)|cop(y|ies) of (the )?(weight|parameter)"
    r"|(\brate\b|\blr\b).{0,40}(is|of|=|to) (zero|0(?!\.)))",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class OptimizerOnCopies(TorchLoop):
    def make_optimizer(self) -> None:
        copies = [p.detach().clone().requires_grad_() for p in self.model.parameters()]
        self.optimizer = torch.optim.SGD(copies, lr=lr_of(self))
        self.make_schedule()

    def clear(self) -> None:
        self.model.zero_grad()


@mistake(
    "sharpness-aware minimisation left on: the gradient is taken where a step of 0.05 uphill leads",
    r"(?i)\bsam\b|sharpness|perturb|adversarial (weight|step)"
    r"|(gradient|derivative|backward)s?\b.{0,80}(perturb|shifted|moved|displaced|other|different|nearby|neighbou?ring"
    r"|uphill|ascen)\w*.{0,30}(weight|point|parameter|place|step)"
    r"|(ascent|uphill|up the gradient|up the slope).{0,60}(before|\bthen\b|first|extra|gradient)"
    r"|second (forward|backward).{0,60}(weight|perturb|moved)",
    (WORKED, MLP, RELU, BOWL),
)
class SharpnessAware(TorchLoop):
    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        self.batch = x, y
        return x, y

    def update(self, t: int) -> None:
        (x, y), trained = self.batch, list(self.parameters.values())
        norm = torch.sqrt(sum((p.grad**2).sum() for p in trained)) + 1e-12
        uphill = [0.05 * p.grad / norm for p in trained]
        with torch.no_grad():
            for p, e in zip(trained, uphill, strict=True):
                p += e
        self.clear()
        self.loss(self.forward(x)[self.names[-1]], y).backward()
        with torch.no_grad():
            for p, e in zip(trained, uphill, strict=True):
                p -= e
        super().update(t)


@mistake(
    "stochastic weight averaging left on: at an epoch's end the weights become the mean of those of its steps",
    r"(?i)^(?!.*(gradients?\b.{0,40}averag|(average|mean)s? of (the |its |all )?gradient|\btold\b|\blogged|\bloss\b"
    r"|look.?ahead|\bema\b|moving|exponential)).*(\bswa\b|stochastic weight|polyak"
    r"|(weight|parameter|model|iterate)s?\b.*(averag|\bmean\b)|(averag|\bmean\b)\w*.*(weight|parameter|model"
    r"|iterate))",
    SPLIT,
)
class WeightsAveraged(PaddleLoop):
    def update(self, t: int) -> None:
        super().update(t)
        now = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.passed = [*getattr(self, "passed", []), now]
        if self.starts_epoch(t + 1):
            for name, p in self.parameters.items():
                p.set_value(sum(weights[name] for weights in self.passed) / len(self.passed))
            self.passed = []


@mistake(
    "a max-norm constraint left on: after a step each unit's weights have a norm of at most 1",
    r"(?i)^(?!.*(gradient|batch.?norm|layer.?norm|\binitial|\binputs? (is|are)|penalt|decay|activation)).*(max.?norm"
    r"|renorm|(weight|\brow|parameter|\bunits?\b|matri)\w*.*\bnorms?\b|\bnorms?\b.*(weight|\brow|parameter|matri)"
    r"|project\w*.*(\bball\b|sphere|\bnorm)|(weight|\brow|parameter)\w*.{0,80}(unit (length|norm|ball)|\blengths?\b"
    r"|normali[sz]ed))",
    (WORKED, MLP, RELU, BOWL),
)
class MaxNorm(TorchLoop):
    def update(self, t: int) -> None:
        super().update(t)
        with torch.no_grad():
            for p in self.parameters.values():
                if p.ndim > 1:
                    p.copy_(torch.renorm(p, p=2, dim=0, maxnorm=1.0))


@mistake(
    "a step on every second batch, but the gradients are cleared after each: half of the batches are lost",
    r"(?i)^(?!.*(accumul|\bsum(med)?\b|add(s|ed)? up|(first|second|last|output|hidden) layer|\bbias|last batch"
    r"|never cleared|early.?stop|all updates|never (updated|trained)|nothing is|\bsamples?\b|\bloss)).*("
    r"(every|each|only|only (in|on|at|after)( the)?) (second|other|2nd|odd|even|two|2)\b|alternat|\bodd\b"
    r"|\beven.(numbered|step|batch)|2nd (step|batch)|(update|step)s?\b.{0,60}(skip|left out|omitted|miss)"
    r"|skip\w*.{0,40}(update|step|batch)|no (update|step)|not (stepped|updated)|half (of )?(the|all) (\w+ )?(step"
    r"|update|batch))",
    BATCHES,
)
class EverySecondLost(PaddleLoop):
    def update(self, t: int) -> None:
        if t % 2:
            super().update(t)


# ---------------------------------------------------------------- the learning rate


@mistake(
    "the rate is multiplied by 0.9 after every batch, by a decay meant for epochs",
    r"(?i)^(?!.*(warm|weight decay|decay of (the )?weight|decoupled|\b(an|each|every|per) epoch\b(?!.{0,40}batch)"
    r"|inverse"
    r"|1 ?/ ?\(1|linear|cosine|\btold\b|\blogged|\bbias|plateau|per.layer|constant factor)).*("
    r"(\brate\b|\blr\b|\bη|step size).*(exponent|decay|\bfall|shr[iu]nk|decreas|geometric|0\.9\b|\b(each|every|per)"
    r" (step|batch)|schedule|smaller|gamma|γ)"
    r"|(exponent|decay|falling|shrinking|decreas|geometric|schedule)\w*.*(\brate\b|\blr\b|\bη)|0\.9 ?\^ ?t)",
    SPLIT,
)
class ExponentialRate(PaddleLoop):
    def make_schedule(self) -> None:
        self.schedule = paddle.optimizer.lr.ExponentialDecay(lr_of(self), gamma=0.9)


@mistake(
    "the schedule is stepped twice a batch, by the trainer and by the loop",
    r"(?i)^(?!.*(once (an|per|each|every) epoch|restart|linear|never|a step (early|late|ahead)|one step (early|late"
    r"|ahead)|\bbias|once too often)).*((schedule|cosine|anneal|\brate\b|\blr\b|\bη).*(\btwice|doubl|two (steps"
    r"|times)|\b2 (steps|times)"
    r"|\b2 ?[·×*]? ?t ?/|too (fast|quick|often)|faster|half (the|its|as|of) (\w+ )?(period|length|time|steps|many|long"
    r"|horizon)|(period|t_?max|length).{0,30}(half|halv|short|\b3\b|three)|(over|in|of|by|after) (3|three) steps)"
    r"|(\btwice|doubl|two steps|2 steps|too (fast|often)|faster)\w*.*(schedule|cosine|anneal|\brate\b|\blr\b))",
    (COSINE,),
)
class ScheduleTwice(PaddleLoop):
    def update(self, t: int) -> None:
        super().update(t)
        self.schedule.step()


@mistake(
    "the cosine by hand is a quarter of a wave, cos(π t / 2T), not (1 + cos(π t / T)) / 2",
    r"(?i)(schedule|cosine|\bcos\b|anneal|\brate\b|\blr\b|\bη|decay).*(quarter"
    r"|half (of )?(a |the |its )?(wave|period|cycle|cosine)|(π|\bpi) ?[·*]? ?t? ?/ ?\(? ?2|[·*/] ?2 ?t\b"
    r"|without (the |its )?(1 ?\+|one plus|½|half|shift|offset)|not (raised|shifted|lifted|halved)"
    r"|(another|other|different|wrong) (shape|form|curve|formula)|\bsine\b|concave)|quarter.{0,20}(wave|cosine|cycle)",
    (COSINE,),
)
class QuarterWave(TorchLoop):
    def make_schedule(self) -> None:
        whole = self.scenario.schedule.steps or self.inputs.steps
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda t: math.cos(math.pi * t / (2 * whole)))


# ---------------------------------------------------------------- what is told


@mistake(
    "the loss told is smoothed, 0.9 of the old and 0.1 of the new",
    r"(?i)^(?!.*(so far|cumulative|since the (start|beginning)|gradient|\bweights?\b|huber|smooth l1|label"
    r"|quantile)).*("
    r"\bloss\b.*(smooth|\bema\b|moving|exponential|running|averag\w*.{0,40}(step|past|earlier|previous|time|batches"
    r"|history)|mean of (the )?(last|past|recent)|filter|0\.9\b)"
    r"|(smooth|\bema\b|moving|exponential|running)\w*.*\bloss\b)",
    BATCHES,
)
class LossSmoothed(TorchLoop):
    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        self.smooth = 0.9 * getattr(self, "smooth", seen["loss"]) + 0.1 * seen["loss"]
        return seen | {"loss": self.smooth}


@mistake(
    "the gradient told of the first layer's output is the hook's grad_output of the activation behind it",
    r"(?i)^(?!.*(\bfrozen|never|cleared|\brate\b))(?=.*(gradient|backward|\bgrads?\b|grad_)).*(grad_?(in|out)put"
    r"|(another|other|wrong|next|following|neighbou?r\w*) layer|(after|behind) (the|its) activation|backward/\S*_act"
    r"|(told|equals?|\bis|\bare|shows?|holds?|recorded|logged|copy of).{0,40}(gradients?|that|those|one) (of|at|to"
    r"|with respect to|behind|after) (the )?(\S*_act\b|activation)"
    r"|(told|logged|recorded|reported|shown).{0,80}(without|before|left out|not yet).{0,40}(derivative|slope"
    r"|activation)"
    r"|(without|before).{0,30}(derivative|slope).{0,60}(told|logged|recorded|reported|shown))",
    (WORKED, SIGMOIDS, MLP, RELU),
)
class GradOutputTold(TorchLoop):
    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        first, behind = self.names[:2]
        return seen | {f"backward/{first}": seen[f"backward/{behind}"]}


@mistake(
    "a square weight is told as the framework keeps it, (in, out), and not transposed",
    r"(?i)^(?!.*(gradient|\bgrad/|\binitial|\bbegin|\bstart|loaded|forward pass|\binputs? (is|are)|\binputs['’]|reshap"
    r"|\bsamples?)).*("
    r"transpos|\blayout|(weight|\bw)(\^|\.)T\b|[wW]ᵀ|\brows?\b.{0,20}(and|for|as|with).{0,10}columns?|\(in, ?out\)"
    r"|\(out, ?in\)|\b(axes|axis)\b.{0,20}(swap|exchang|interchang)|(swap|exchang|interchang)\w*.{0,20}\baxes)",
    DEEP,
)
class WeightToldTransposed(PaddleLoop):
    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        return seen | {"weight/second.weight": seen["weight/second.weight"].T}
