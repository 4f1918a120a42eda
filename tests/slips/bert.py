"""Mistakes in the port of BERT."""

from functools import partial

import paddle
import paddle.nn.functional as F
from paddle import nn

from tests.slips import kinds, load, slip, words

new = load("bert")
mistake = partial(slip, port="bert")


def no_decay(model):
    return {p.name for n, p in model.named_parameters() if n.endswith("bias") or "norm" in n}


def run(model=None, loss=None, kind=paddle.optimizer.AdamW, lr=1e-3, leave="nothing", **settings):
    model = model or new.BertForMaskedLM()
    without = no_decay(model)
    if kind is paddle.optimizer.AdamW:
        settings = {
            "epsilon": 1e-6,
            "weight_decay": 0.1,
            "apply_decay_param_fun": lambda name: name not in without,
            **settings,
        }
    parameters = [p for n, p in model.named_parameters() if not n.startswith(leave)]
    return model, loss or new.loss, kind(learning_rate=lr, parameters=parameters, **settings)


kinds.steps("bert", run, "gradients_not_cleared every_other_step")


def with_attention(kind):
    """Attention of that kind in the first layer."""
    model = new.BertForMaskedLM()
    model.encoder.layers[0].self_attn = kind(24, 3)
    return run(model)


class Attention(nn.MultiHeadAttention):
    """Attention with its parts as methods."""

    def scores(self, q, k):
        return paddle.matmul(q, k, transpose_y=True) / self.head_dim**0.5

    def softmax(self, scores):
        return F.softmax(scores, axis=-1)

    def merge(self, out):
        return out.transpose([0, 2, 1, 3]).reshape([out.shape[0], out.shape[2], self.embed_dim])

    def forward(self, query, key=None, value=None, attn_mask=None, cache=None):
        q, k, v = self._prepare_qkv(query, query, query)
        return self.out_proj(self.merge(paddle.matmul(self.softmax(self.scores(q, k) + attn_mask), v)))


DENSE = "forward/layers.0.attention.dense|forward/layers.0.attention"


@mistake("the scores are not divided by the root of the heads' width", first=DENSE, says=words.SCALE)
def scale_missing():
    class Unscaled(Attention):
        def scores(self, q, k):
            return paddle.matmul(q, k, transpose_y=True)

    return with_attention(Unscaled)


@mistake("the scores are divided by the root of the whole width", first=DENSE, says=words.SCALE)
def scale_by_width():
    class Scaled(Attention):
        def scores(self, q, k):
            return paddle.matmul(q, k, transpose_y=True) / self.embed_dim**0.5

    return with_attention(Scaled)


@mistake("the scores are divided by the heads' width, not its root", first=DENSE, says=words.SCALE)
def scale_without_root():
    class Scaled(Attention):
        def scores(self, q, k):
            return paddle.matmul(q, k, transpose_y=True) / self.head_dim

    return with_attention(Scaled)


@mistake("the softmax of attention runs over the queries", first=DENSE, says=words.AXIS)
def softmax_axis():
    class Over(Attention):
        def softmax(self, scores):
            return F.softmax(scores, axis=-2)

    return with_attention(Over)


@mistake(
    "queries and keys are swapped",
    first=DENSE + "|forward/layers.0.attention.query|forward/layers.0.attention.key",
    says=words.SWAPPED,
)
def query_key_swapped():
    class Swapped(Attention):
        def scores(self, q, k):
            return super().scores(k, q)

    return with_attention(Swapped)


@mistake("the values are made by the layer of the keys", first=DENSE, says=words.REUSED)
def value_from_key():
    class Mixed(Attention):
        def compute_kv(self, key, value):
            k, _ = super().compute_kv(key, value)
            return k, k

    return with_attention(Mixed)


@mistake("the heads are merged without being moved back behind the positions", first=DENSE, says=words.HEADS)
def heads_not_transposed():
    class Merged(Attention):
        def merge(self, out):
            return out.reshape([out.shape[0], out.shape[2], self.embed_dim])

    return with_attention(Merged)


@mistake("the heads are split with the head last", first=DENSE, says=words.HEADS)
def heads_interleaved():
    class Split(Attention):
        def _prepare_qkv(self, query, key, value, cache=None):
            def split(x):
                return x.reshape([0, 0, self.head_dim, self.num_heads]).transpose([0, 3, 1, 2])

            return split(self.q_proj(query)), split(self.k_proj(key)), split(self.v_proj(value))

    return with_attention(Split)


@mistake("four heads stand for three", first=DENSE, says=words.says("head|split|scal"))
def heads_four():
    model = new.BertForMaskedLM()
    model.encoder.layers[0].self_attn = nn.MultiHeadAttention(24, 4)
    return run(model)


@mistake(
    "the keys have no bias, and neither have queries and values",
    first="forward/layers.0.attention.*",
    says=words.MISSING_BIAS,
)
def attention_bias_missing():
    model = new.BertForMaskedLM()
    model.encoder.layers[0].self_attn = nn.MultiHeadAttention(24, 3, bias_attr=False)
    return run(model)


@mistake("the attention weights are rounded to float16", first=DENSE, says=words.PRECISION)
def attention_float16():
    class Half(Attention):
        def softmax(self, scores):
            return F.softmax(scores, axis=-1).astype("float16").astype(scores.dtype)

    return with_attention(Half)


def with_mask(function):
    class Model(new.BertForMaskedLM):
        def mask(self, attention_mask):
            return function(attention_mask.astype(paddle.get_default_dtype()).unsqueeze([1, 2]))

    return run(Model())


@mistake("the attention mask is inverted", first=DENSE, says=words.MASK)
def mask_inverted():
    return with_mask(lambda keep: keep * -1e9)


@mistake("the mask is written with -1e-9 for -1e9", first=DENSE, says=words.MASK)
def mask_value_tiny():
    return with_mask(lambda keep: (1.0 - keep) * -1e-9)


@mistake("the mask of zeros and ones is added to the scores", first=DENSE, says=words.MASK)
def mask_added():
    return with_mask(lambda keep: keep)


@mistake("the mask lowers the scores by ten only", first=DENSE, says=words.MASK)
def mask_value_small():
    return with_mask(lambda keep: (1.0 - keep) * -10.0)


@mistake("there is no mask", first=DENSE, says=words.MASK)
def mask_missing():
    return with_mask(lambda keep: keep * 0.0)


def with_layer(change):
    model = new.BertForMaskedLM()
    change(model.encoder.layers[1])
    return run(model)


@mistake("ReLU stands for GELU in the second layer", first="forward/layers.1.output", says=words.ACTIVATION)
def relu_for_gelu():
    return with_layer(lambda layer: setattr(layer, "activation", F.relu))


@mistake("GELU is approximated with tanh in the second layer", first="forward/layers.1.output", says=words.GELU)
def gelu_tanh():
    return with_layer(lambda layer: setattr(layer, "activation", partial(F.gelu, approximate=True)))


@mistake(
    "the norms come before attention and feed-forward in the second layer",
    first="forward/layers.1.*",
    says=words.NORM_ORDER,
)
def norms_before():
    return with_layer(lambda layer: setattr(layer, "normalize_before", True))


@mistake("the epsilon of a layer norm is 1e-5", first="forward/layers.1.attention_norm", says=words.NORM_EPSILON)
def layer_norm_epsilon():
    return with_layer(lambda layer: setattr(layer, "norm1", nn.LayerNorm(24, epsilon=1e-5)))


@mistake("the two norms of the second layer are swapped", first="forward/layers.1.*norm", step=0, says=words.SWAPPED)
def norms_swapped():
    class Layer(nn.TransformerEncoderLayer):
        def forward(self, src, src_mask=None, cache=None):
            src = self.norm2(src + self.self_attn(src, src, src, src_mask))
            return self.norm1(src + self.linear2(self.activation(self.linear1(src))))

    model = new.BertForMaskedLM()
    model.encoder.layers[1] = Layer(24, 3, 96, 0.1, activation="gelu", layer_norm_eps=1e-12)
    return run(model)


@mistake(
    "the second layer is the first once more",
    first="forward/layers.1.*|forward/layers.0.*|forward/transform",
    says=words.REUSED,
)
def layer_reused():
    class Model(new.BertForMaskedLM):
        def forward(self, input_ids, token_type_ids, attention_mask):
            x, mask = self.embeddings(input_ids, token_type_ids), self.mask(attention_mask)
            x = self.encoder.layers[0](self.encoder.layers[0](x, mask), mask)
            x = self.layer_norm(F.gelu(self.transform(x)))
            return paddle.matmul(x, self.embeddings.word_embeddings.weight, transpose_y=True) + self.decoder_bias

    return run(Model())


def with_embeddings(function):
    class Embeddings(new.BertEmbeddings):
        def forward(self, input_ids, token_type_ids):
            return function(self, input_ids, token_type_ids)

    model = new.BertForMaskedLM()
    model.embeddings = Embeddings(40, 12, 24, 0.0)
    return run(model)


@mistake(
    "the segments are all zero",
    first="forward/embeddings.token_type_embeddings|forward/embeddings.LayerNorm",
    says=words.POSITIONS,
)
def segments_missing():
    return with_embeddings(lambda self, ids, kinds: new.BertEmbeddings.forward(self, ids, paddle.zeros_like(kinds)))


@mistake(
    "the positions are counted from the end",
    first="forward/embeddings.position_embeddings|forward/embeddings.LayerNorm",
    says=words.says("position|order|revers|flip"),
)
def positions_reversed():
    def forward(self, ids, kinds):
        positions = paddle.arange(ids.shape[1]).flip(0)
        x = self.word_embeddings(ids) + self.token_type_embeddings(kinds)
        return self.layer_norm(x + self.position_embeddings(positions))

    return with_embeddings(forward)


@mistake(
    "the positions are added after the norm",
    first="forward/embeddings.LayerNorm",
    says=words.says("position|norm|order|after|before|add"),
)
def positions_after_norm():
    def forward(self, ids, kinds):
        x = self.layer_norm(self.word_embeddings(ids) + self.token_type_embeddings(kinds))
        return x + self.position_embeddings(paddle.arange(ids.shape[1]))

    return with_embeddings(forward)


@mistake(
    "the token 0 has padding_idx: its embedding is zero",
    first="forward/embeddings.word_embeddings",
    says=words.says("pad|zero|token 0|row|index"),
)
def padding_index():
    model = new.BertForMaskedLM()
    model.embeddings.word_embeddings = nn.Embedding(40, 24, padding_idx=0)
    return run(model)


@mistake(
    "the output weights are not tied to the embedding",
    first="forward|forward/decoder|loss|grad/*word_embeddings.weight|grad/decoder.weight|backward/*",
    says=words.TIED,
)
def weights_not_tied():
    class Model(new.BertForMaskedLM):
        def __init__(self):
            super().__init__()
            self.decoder_weight = self.create_parameter([40, 24])

        def forward(self, input_ids, token_type_ids, attention_mask):
            x = self.encoder(self.embeddings(input_ids, token_type_ids), self.mask(attention_mask))
            x = self.layer_norm(F.gelu(self.transform(x)))
            return paddle.matmul(x, self.decoder_weight, transpose_y=True) + self.decoder_bias

    return run(Model())


@mistake(
    "the embedding is detached where the output uses it",
    first="grad/*word_embeddings.weight|grad/decoder.weight",
    says=words.DETACHED,
)
def tied_detached():
    class Model(new.BertForMaskedLM):
        def forward(self, input_ids, token_type_ids, attention_mask):
            x = self.encoder(self.embeddings(input_ids, token_type_ids), self.mask(attention_mask))
            x = self.layer_norm(F.gelu(self.transform(x)))
            weight = self.embeddings.word_embeddings.weight.detach()
            return paddle.matmul(x, weight, transpose_y=True) + self.decoder_bias

    return run(Model())


@mistake("the loss is a plain mean, which counts the ignored positions", first="loss", says=words.IGNORED)
def ignored_positions_counted():
    return run(loss=lambda out, labels: F.cross_entropy(out, labels, ignore_index=-100))


@mistake("the ignored positions count as token 0", first="loss", says=words.IGNORED)
def ignore_index_missing():
    return run(loss=lambda out, labels: F.cross_entropy(out, paddle.clip(labels, min=0)))


@mistake("the loss is summed over the masked positions", first="loss", says=words.REDUCTION)
def loss_sum():
    return run(loss=lambda out, labels: F.cross_entropy(out, labels, ignore_index=-100, reduction="sum"))


@mistake("biases and norms decay, too", first="weight/*bias|weight/*orm*", says=words.DECAY)
def decay_everywhere():
    return run(apply_decay_param_fun=None)


@mistake("only biases and norms decay", first="weight/*", says=words.DECAY)
def decay_groups_inverted():
    model = new.BertForMaskedLM()
    without = no_decay(model)
    return run(model, apply_decay_param_fun=lambda name: name in without)


@mistake("the decay is AdamW's default 0.01", first="weight/*", says=words.DECAY)
def decay_default():
    return run(weight_decay=0.01)


@mistake("Adam with its coupled decay stands for AdamW", first="state/*|weight/*|grad/*", says=words.COUPLED)
def adam_for_adamw():
    return run(kind=paddle.optimizer.Adam, epsilon=1e-6, weight_decay=0.1)


@mistake("Adam without decay stands for AdamW", first="weight/*", says=words.DECAY)
def adam_without_decay():
    return run(kind=paddle.optimizer.Adam, epsilon=1e-6)


@mistake("the optimizer's epsilon is the default 1e-8", first="weight/*", says=words.ADAM_EPSILON)
def adam_epsilon():
    return run(epsilon=1e-8)


@mistake("the embeddings are frozen", first="grad/embeddings.*|grad/decoder.weight|backward/*", says=words.LEFT_OUT)
def embeddings_frozen():
    model = new.BertForMaskedLM()
    for p in model.embeddings.parameters():
        p.stop_gradient = True
    return run(model)


@mistake(
    "the first layer is not given to the optimizer", first="state/layers.0.*|weight/layers.0.*", says=words.LEFT_OUT
)
def layer_left_out():
    return run(leave="encoder.layers.0")


@mistake("the gradients are clipped one by one", first="grad/*|state/*|weight/*", says=words.CLIP)
def clipped_by_value():
    return run(grad_clip=nn.ClipGradByValue(1e-3))


@mistake("layer-wise decay: the rate of the lower layer is half as high", first="weight/*", says=words.LEARNING_RATE)
def layerwise_rate():
    model = new.BertForMaskedLM()
    for p in model.encoder.layers[0].parameters():
        p.optimize_attr["learning_rate"] = 0.5
    return run(model)
