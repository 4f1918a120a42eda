"""Mistakes in the port of GPT."""

import math
from functools import partial

import paddle
import paddle.nn.functional as F
from paddle import nn

from tests.slips import kinds, load, slip, words

new = load("decoder")
mistake = partial(slip, port="decoder")


def run(model=None, loss=None, kind=paddle.optimizer.AdamW, rate=3e-3, schedule=new.warmup_cosine, **settings):
    model = model or new.GPTForCausalLM()
    if kind is paddle.optimizer.AdamW:
        settings = {"beta1": 0.9, "beta2": 0.95, "weight_decay": 0.1, **settings}
    schedule = paddle.optimizer.lr.LambdaDecay(rate, schedule) if callable(schedule) else schedule
    return model, loss or nn.CrossEntropyLoss(), kind(schedule, parameters=model.parameters(), **settings), schedule


kinds.cross_entropy(
    "decoder", run, 32, "loss_sum label_smoothing softmax_twice labels_shifted class_ignored temperature"
)
kinds.steps("decoder", run, "gradients_not_cleared cleared_before_step loss_halved_in_backward")


def with_attention(kind):
    """Attention of that kind in the first layer."""
    model = new.GPTForCausalLM()
    model.layers[0].self_attn = kind(16, 2)
    return run(model)


class Attention(new.Attention):
    """Attention with its parts as methods."""

    def scores(self, q, k):
        return paddle.matmul(q, k, transpose_y=True) / math.sqrt(self.head_dim)

    def softmax(self, scores):
        return F.softmax(scores, axis=-1)

    def forward(self, x):
        q, k, v = self.heads(x)
        weights = self.softmax(self.scores(q, k) + self.mask(x.shape[1]))
        return self.out_proj(paddle.matmul(weights, v).transpose([0, 2, 1, 3]).reshape(x.shape))


PROJECTED = "forward/h.0.attn.c_proj|forward/h.0.attn"


def with_mask(make):
    class Masked(Attention):
        def mask(self, t):
            return make(t)

    return with_attention(Masked)


@mistake("the causal mask lets each position see the next one", first=PROJECTED, says=words.MASK)
def mask_off_by_one():
    return with_mask(lambda t: paddle.triu(paddle.full([t, t], float("-inf")), diagonal=2))


@mistake("the causal mask hides each position from itself", first=PROJECTED, says=words.MASK)
def mask_without_diagonal():
    def make(t):
        mask = paddle.triu(paddle.full([t, t], -1e9), diagonal=0)
        mask[0, 0] = 0.0
        return mask

    return with_mask(make)


@mistake("the causal mask is transposed: positions see what follows", first=PROJECTED, says=words.MASK)
def mask_transposed():
    return with_mask(lambda t: paddle.tril(paddle.full([t, t], float("-inf")), diagonal=-1))


@mistake("there is no causal mask", first=PROJECTED, says=words.MASK)
def mask_missing():
    return with_mask(lambda t: paddle.zeros([t, t]))


@mistake("the masked scores are lowered by ten only", first=PROJECTED, says=words.MASK)
def mask_value_small():
    return with_mask(lambda t: paddle.triu(paddle.full([t, t], -10.0), diagonal=1))


@mistake("the masked scores become zero instead of very low", first=PROJECTED, says=words.MASK)
def mask_multiplied():
    class Masked(Attention):
        def scores(self, q, k):
            return paddle.tril(super().scores(q, k))

        def mask(self, t):
            return paddle.zeros([t, t])

    return with_attention(Masked)


@mistake(
    "the weights are masked after the softmax",
    first=PROJECTED,
    says=words.says("mask|softmax|normali[sz]|causal|after"),
)
def mask_after_softmax():
    class Masked(Attention):
        def softmax(self, scores):
            return paddle.tril(F.softmax(scores, axis=-1))

        def mask(self, t):
            return paddle.zeros([t, t])

    return with_attention(Masked)


@mistake("the scores are not divided by the root of the heads' width", first=PROJECTED, says=words.SCALE)
def scale_missing():
    class Unscaled(Attention):
        def scores(self, q, k):
            return paddle.matmul(q, k, transpose_y=True)

    return with_attention(Unscaled)


@mistake("the scores are divided twice", first=PROJECTED, says=words.SCALE)
def scale_twice():
    class Scaled(Attention):
        def scores(self, q, k):
            return super().scores(q, k) / math.sqrt(self.head_dim)

    return with_attention(Scaled)


@mistake("the softmax of attention runs over the heads", first=PROJECTED, says=words.AXIS)
def softmax_axis():
    class Over(Attention):
        def softmax(self, scores):
            return F.softmax(scores, axis=1)

        def mask(self, t):
            return paddle.triu(paddle.full([t, t], -1e9), diagonal=1)

    return with_attention(Over)


def with_heads(split):
    class Split(Attention):
        def heads(self, x):
            return split(self, self.qkv_proj(x), *x.shape[:2])

    return with_attention(Split)


@mistake("queries and keys are swapped", first=PROJECTED, says=words.SWAPPED)
def query_key_swapped():
    class Swapped(Attention):
        def heads(self, x):
            q, k, v = super().heads(x)
            return k, q, v

    return with_attention(Swapped)


@mistake("keys and values are swapped", first=PROJECTED, says=words.SWAPPED)
def key_value_swapped():
    class Swapped(Attention):
        def heads(self, x):
            q, k, v = super().heads(x)
            return q, v, k

    return with_attention(Swapped)


@mistake("queries, keys and values are laid out head by head", first=PROJECTED, says=words.HEADS)
def heads_first():
    return with_heads(
        lambda self, qkv, b, t: paddle.unbind(
            qkv.reshape([b, t, self.num_heads, 3, self.head_dim]).transpose([3, 0, 2, 1, 4])
        )
    )


@mistake("the heads are interleaved", first=PROJECTED, says=words.HEADS)
def heads_interleaved():
    return with_heads(
        lambda self, qkv, b, t: paddle.unbind(
            qkv.reshape([b, t, 3, self.head_dim, self.num_heads]).transpose([2, 0, 4, 1, 3])
        )
    )


@mistake("heads and positions are reshaped without being transposed", first=PROJECTED, says=words.HEADS)
def heads_reshaped():
    return with_heads(
        lambda self, qkv, b, t: tuple(
            part.reshape([b, self.num_heads, t, self.head_dim]) for part in paddle.chunk(qkv, 3, axis=-1)
        )
    )


@mistake(
    "the output projection multiplies with the transposed weight",
    first="forward/h.0.attn.c_proj",
    says=words.TRANSPOSED,
)
def projection_transposed():
    class Linear(nn.Linear):
        def forward(self, x):
            return paddle.matmul(x, self.weight, transpose_y=True) + self.bias

    class Transposed(Attention):
        def __init__(self, hidden_size, num_heads):
            super().__init__(hidden_size, num_heads)
            self.out_proj = Linear(hidden_size, hidden_size)

    return with_attention(Transposed)


@mistake("the keys are detached", first="backward/h.0.attn.c_attn|grad/h.0.attn.c_attn*", says=words.DETACHED)
def keys_detached():
    class Detached(Attention):
        def scores(self, q, k):
            return super().scores(q, k.detach())

    return with_attention(Detached)


@mistake("the scores are rounded to float16", first=PROJECTED, says=words.PRECISION)
def scores_float16():
    class Half(Attention):
        def scores(self, q, k):
            return super().scores(q, k).astype("float16").astype(q.dtype)

    return with_attention(Half)


def with_layer(forward):
    class Layer(new.DecoderLayer):
        pass

    Layer.forward = forward
    model = new.GPTForCausalLM()
    model.layers[1] = Layer(16, 2)
    return run(model)


@mistake("GELU is exact where GPT-2 approximates it with tanh", first="forward/h.1.mlp.c_proj", says=words.GELU)
def gelu_exact():
    return with_layer(
        lambda self, x: (y := x + self.self_attn(self.norm1(x))) + self.linear2(F.gelu(self.linear1(self.norm2(y))))
    )


@mistake("ReLU stands for GELU", first="forward/h.1.mlp.c_proj", says=words.ACTIVATION)
def relu_for_gelu():
    return with_layer(
        lambda self, x: (y := x + self.self_attn(self.norm1(x))) + self.linear2(F.relu(self.linear1(self.norm2(y))))
    )


@mistake("the norms come after attention and feed-forward", first="forward/h.1.*", says=words.NORM_ORDER)
def norms_after():
    def forward(self, x):
        x = self.norm1(x + self.self_attn(x))
        return self.norm2(x + self.linear2(F.gelu(self.linear1(x), approximate=True)))

    return with_layer(forward)


@mistake("the residual around attention is missing", first="forward/h.1.ln_2", says=words.RESIDUAL)
def residual_missing():
    def forward(self, x):
        x = self.self_attn(self.norm1(x))
        return x + self.linear2(F.gelu(self.linear1(self.norm2(x)), approximate=True))

    return with_layer(forward)


@mistake(
    "the residual takes the normalized input",
    first="forward/h.1.ln_2",
    says=words.says("residual|shortcut|norm|skip|add"),
)
def residual_of_norm():
    def forward(self, x):
        x = self.norm1(x)
        x = x + self.self_attn(x)
        return x + self.linear2(F.gelu(self.linear1(self.norm2(x)), approximate=True))

    return with_layer(forward)


@mistake(
    "attention and feed-forward work side by side",
    first="forward/h.1.ln_2",
    says=words.says("parallel|side by side|residual|norm|input|order|sequen|add|attention"),
)
def parallel_layer():
    def forward(self, x):
        wide = F.gelu(self.linear1(self.norm2(x)), approximate=True)
        return x + self.self_attn(self.norm1(x)) + self.linear2(wide)

    return with_layer(forward)


@mistake("the epsilon of the last layer norm is 1e-12", first="forward/ln_f", says=words.NORM_EPSILON)
def layer_norm_epsilon():
    model = new.GPTForCausalLM()
    model.norm = nn.LayerNorm(16, epsilon=1e-12)
    return run(model)


@mistake("the epsilon of the first layer norm is 1e-6", first="forward/h.0.ln_1", says=words.NORM_EPSILON)
def layer_norm_epsilon_first():
    model = new.GPTForCausalLM()
    model.layers[0].norm1 = nn.LayerNorm(16, epsilon=1e-6)
    return run(model)


@mistake(
    "a layer norm written by hand divides by the unbiased deviation", first="forward/h.1.ln_1", says=words.STATISTICS
)
def layer_norm_unbiased():
    class LayerNorm(nn.LayerNorm):
        def forward(self, x):
            x = (x - x.mean(-1, keepdim=True)) / paddle.sqrt(x.var(-1, keepdim=True) + 1e-5)
            return x * self.weight + self.bias

    model = new.GPTForCausalLM()
    model.layers[1].norm1 = LayerNorm(16)
    return run(model)


@mistake("RMS norm stands for layer norm", first="forward/ln_f", says=words.says("rms|mean|cent|norm"))
def rms_norm():
    class RMSNorm(nn.LayerNorm):
        def forward(self, x):
            return x * paddle.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight + self.bias

    model = new.GPTForCausalLM()
    model.norm = RMSNorm(16)
    return run(model)


def with_model(**methods):
    return run(type("Model", (new.GPTForCausalLM,), methods)())


@mistake("the last layer norm is missing", first="forward|loss|forward/ln_f|forward/lm_head", says=words.NORM_MISSING)
def last_norm_missing():
    model = new.GPTForCausalLM()
    norm = model.norm

    class Skipped(nn.LayerNorm):
        def forward(self, x):
            return x

    model.norm = Skipped(norm._normalized_shape)
    return run(model)


@mistake("the positions begin at one", first="forward/wpe|forward/h.0.*", says=words.POSITIONS)
def positions_shifted():
    return with_model(
        embed=lambda self, ids: (
            self.word_embeddings(ids) + self.position_embeddings(paddle.arange(1, ids.shape[1] + 1) % 10)
        )
    )


@mistake("the positions are not added", first="forward/h.0.*|forward/wpe", says=words.says("position|missing|add"))
def positions_missing():
    return with_model(embed=lambda self, ids: self.word_embeddings(ids))


@mistake("the embedding is multiplied by the root of the width", first="forward/h.0.*|forward/wte", says=words.SCALE)
def embedding_scaled():
    return with_model(
        embed=lambda self, ids: (
            self.word_embeddings(ids) * math.sqrt(16.0) + self.position_embeddings(paddle.arange(ids.shape[1]))
        )
    )


@mistake(
    "the head is not tied to the embedding", first="forward|forward/lm_head|loss|grad/*|backward/*", says=words.TIED
)
def head_not_tied():
    class Model(new.GPTForCausalLM):
        def __init__(self):
            super().__init__()
            self.lm_head = nn.Linear(16, 32, bias_attr=False)

        def head(self, x):
            return self.lm_head(x)

    return run(Model())


@mistake("the scores are divided by the root of the width", first="forward|forward/lm_head|loss", says=words.SCALE)
def head_scaled():
    return with_model(head=lambda self, x: new.GPTForCausalLM.head(self, x) / 4.0)


@mistake("the betas are the default 0.9 and 0.999", first="state/*.exp_avg_sq", says=words.BETAS)
def betas_default():
    return run(beta2=0.999)


@mistake("the decay is AdamW's default 0.01", first="weight/*", says=words.DECAY)
def decay_default():
    return run(weight_decay=0.01)


@mistake("Adam with its coupled decay stands for AdamW", first="state/*|weight/*|grad/*", says=words.COUPLED)
def adam_for_adamw():
    return run(kind=paddle.optimizer.Adam, beta2=0.95, weight_decay=0.1)


@mistake("norms and biases do not decay", first="weight/*ln_*|weight/*bias", says=words.DECAY)
def decay_groups():
    model = new.GPTForCausalLM()
    decay = {p.name for p in model.parameters() if p.ndim > 1}
    return run(model, apply_decay_param_fun=lambda name: name in decay)


@mistake("the gradients are clipped to a norm of 0.1", first="grad/*|state/*|weight/*", says=words.CLIP)
def clipped():
    return run(grad_clip=nn.ClipGradByGlobalNorm(0.1))


@mistake("the warmup begins at zero", first="weight/*", says=words.SCHEDULE)
def warmup_from_zero():
    return run(schedule=lambda step: step / 3 if step < 3 else new.warmup_cosine(step))


@mistake("there is no warmup", first="weight/*", says=words.SCHEDULE)
def warmup_missing():
    return run(schedule=lambda step: 1.0 if step < 2 else new.warmup_cosine(step))


@mistake("the schedule is one step ahead", first="weight/*", says=words.SCHEDULE)
def schedule_ahead():
    return run(schedule=lambda step: new.warmup_cosine(step + 1))


@mistake("the schedule is stepped once per epoch, not per batch", first="weight/*", step=1, says=words.SCHEDULE)
def schedule_per_epoch():
    return run()[:3]


@mistake("the learning rate is 3e-4", first="weight/*", says=words.LEARNING_RATE)
def learning_rate():
    return run(rate=3e-4)
