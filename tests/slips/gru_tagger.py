"""Mistakes in the port of the tagger."""

from functools import partial

import paddle
import paddle.nn.functional as F
from paddle import nn

from tests.slips import kinds, load, slip, words

new = load("gru_tagger")
mistake = partial(slip, port="gru_tagger")


def run(model=None, loss=None, kind=paddle.optimizer.Adam, lr=0.01, leave="nothing", **settings):
    model = model or new.GRUTagger()
    parameters = [p for n, p in model.named_parameters() if not n.startswith(leave)]
    return model, loss or new.loss, kind(learning_rate=lr, parameters=parameters, **settings)


kinds.adam("gru_tagger", run)
kinds.steps("gru_tagger", run, "gradients_not_cleared loss_halved_in_backward two_steps")
STATES = "forward/gru*|forward/norm"


class Tagger(new.GRUTagger):
    """The forward of the port, with its parts as methods."""

    def states(self, words, lengths):
        return self.bigru(self.word_emb(words), sequence_length=lengths)[0]

    def forward(self, words, lengths):
        return self.output(self.drop(self.layer_norm(self.states(words, lengths))))


def with_states(states):
    return run(type("Tagger", (Tagger,), {"states": states})())


@mistake("the lengths are not given to the GRU", first=STATES, says=words.LENGTHS)
def lengths_missing():
    return with_states(lambda self, words, lengths: self.bigru(self.word_emb(words))[0])


@mistake("the lengths are one too short", first=STATES, says=words.LENGTHS)
def lengths_short():
    return with_states(lambda self, words, lengths: Tagger.states(self, words, lengths - 1))


@mistake("both directions are swapped when they are joined", first=STATES, says=words.DIRECTION)
def directions_swapped():
    def states(self, words, lengths):
        forth, back = paddle.chunk(Tagger.states(self, words, lengths), 2, axis=-1)
        return paddle.concat([back, forth], axis=-1)

    return with_states(states)


@mistake(
    "the states of both directions alternate",
    first=STATES,
    says=words.says("interleav|alternat|layout|order|reshap|concat|direction|permut|transpos"),
)
def directions_interleaved():
    def states(self, words, lengths):
        x = Tagger.states(self, words, lengths)
        return x.reshape([*x.shape[:2], 2, -1]).transpose([0, 1, 3, 2]).reshape(x.shape)

    return with_states(states)


@mistake("the GRU takes the batch for the time", first=STATES, says=words.TIME)
def batch_for_time():
    def states(self, words, lengths):
        x = self.bigru(self.word_emb(words).transpose([1, 0, 2]))[0]
        return x.transpose([1, 0, 2])

    return with_states(states)


class Cells(nn.GRU):
    """A GRU in both directions written by hand with the weights of nn.GRU."""

    def cell(self, x, h):
        (xr, xz, xc), (hr, hz, hc) = paddle.chunk(x, 3, axis=-1), paddle.chunk(h[1], 3, axis=-1)
        r, z = F.sigmoid(xr + hr), F.sigmoid(xz + hz)
        c = F.tanh(xc + r * hc)
        return z * h[0] + (1.0 - z) * c

    def one(self, inputs, keep, end):
        h, out = paddle.zeros([inputs.shape[0], 10], inputs.dtype), []
        for t in reversed(range(inputs.shape[1])) if end else range(inputs.shape[1]):
            x = paddle.matmul(inputs[:, t], getattr(self, f"weight_ih_l0{end}"), transpose_y=True)
            g = paddle.matmul(h, getattr(self, f"weight_hh_l0{end}"), transpose_y=True)
            x, g = x + getattr(self, f"bias_ih_l0{end}"), g + getattr(self, f"bias_hh_l0{end}")
            h = self.cell(x, (h, g)) * keep[:, t]
            out.append(h)
        return paddle.stack(out[::-1] if end else out, axis=1)

    def forward(self, inputs, initial_states=None, sequence_length=None):
        keep = paddle.arange(inputs.shape[1]).unsqueeze(0) < sequence_length.unsqueeze(1)
        keep = keep.astype(inputs.dtype).unsqueeze(-1)
        return paddle.concat([self.one(inputs, keep, ""), self.one(inputs, keep, "_reverse")], axis=-1), None


def with_cell(cell):
    model = new.GRUTagger()
    model.bigru = type("GRU", (Cells,), {"cell": cell})(12, 10, direction="bidirect")
    return run(model)


@mistake("reset gate and update gate are swapped", first=STATES, says=words.GATES)
def gates_swapped():
    def cell(self, x, h):
        (xz, xr, xc), (hz, hr, hc) = paddle.chunk(x, 3, axis=-1), paddle.chunk(h[1], 3, axis=-1)
        r, z = F.sigmoid(xr + hr), F.sigmoid(xz + hz)
        return z * h[0] + (1.0 - z) * F.tanh(xc + r * hc)

    return with_cell(cell)


@mistake(
    "the update gate keeps what it should replace",
    first=STATES,
    says=words.says("gate|update|1 ?[-−]|invert|complement|swap|cell"),
)
def update_inverted():
    def cell(self, x, h):
        (xr, xz, xc), (hr, hz, hc) = paddle.chunk(x, 3, axis=-1), paddle.chunk(h[1], 3, axis=-1)
        r, z = F.sigmoid(xr + hr), F.sigmoid(xz + hz)
        return (1.0 - z) * h[0] + z * F.tanh(xc + r * hc)

    return with_cell(cell)


@mistake("the reset gate is left out", first=STATES, says=words.CELL)
def reset_missing():
    def cell(self, x, h):
        (_, xz, xc), (_, hz, hc) = paddle.chunk(x, 3, axis=-1), paddle.chunk(h[1], 3, axis=-1)
        z = F.sigmoid(xz + hz)
        return z * h[0] + (1.0 - z) * F.tanh(xc + hc)

    return with_cell(cell)


@mistake("the reset gate also takes the candidate's input part", first=STATES, says=words.CELL)
def reset_of_both():
    def cell(self, x, h):
        (xr, xz, xc), (hr, hz, hc) = paddle.chunk(x, 3, axis=-1), paddle.chunk(h[1], 3, axis=-1)
        r, z = F.sigmoid(xr + hr), F.sigmoid(xz + hz)
        return z * h[0] + (1.0 - z) * F.tanh(r * (xc + hc))

    return with_cell(cell)


@mistake("the states are rounded to float16", first=STATES, says=words.PRECISION)
def states_float16():
    return with_states(
        lambda self, words, lengths: Tagger.states(self, words, lengths).astype("float16").astype("float64")
    )


@mistake("the states are detached", first="backward/gru|backward/embed|grad/gru.*|grad/embed.*", says=words.DETACHED)
def states_detached():
    return with_states(lambda self, words, lengths: Tagger.states(self, words, lengths).detach())


@mistake("the epsilon of the layer norm is 1e-12", first="forward/norm", says=words.NORM_EPSILON)
def layer_norm_epsilon():
    model = new.GRUTagger()
    model.layer_norm = nn.LayerNorm(20, epsilon=1e-12)
    return run(model)


@mistake("the layer norm is left out", first="forward/tag|forward/norm", says=words.NORM_MISSING)
def norm_missing():
    class Skipped(nn.LayerNorm):
        def forward(self, x):
            return x

    model = new.GRUTagger()
    model.layer_norm = Skipped(20)
    return run(model)


@mistake("the padding word's embedding is zero", first="forward/embed", says=words.says("pad|zero|word 0|row|index"))
def padding_index():
    model = new.GRUTagger()
    model.word_emb = nn.Embedding(50, 12, padding_idx=0)
    return run(model)


@mistake("padding counts in the loss", first="loss", says=words.IGNORED)
def ignore_index_missing():
    return run(loss=lambda scores, tags: F.cross_entropy(scores, tags))


@mistake("the loss is averaged over padding, too", first="loss", says=words.IGNORED)
def padding_averaged():
    return run(loss=lambda s, y: F.cross_entropy(s, y, ignore_index=0, reduction="none").mean())


@mistake("the loss is averaged over sentences, summed over words", first="loss", says=words.REDUCTION)
def loss_per_sentence():
    return run(loss=lambda s, y: F.cross_entropy(s, y, ignore_index=0, reduction="sum") / y.shape[0])


@mistake("the softmax of the loss runs over the words of a sentence", first="loss", says=words.AXIS)
def loss_axis():
    def loss(scores, tags):
        logs = F.log_softmax(scores, axis=1)
        picked = (logs * F.one_hot(tags, 7).astype(logs.dtype)).sum(axis=-1)
        real = (tags != 0).astype(logs.dtype)
        return -(picked * real).sum() / real.sum()

    return run(loss=loss)


@mistake("the GRU is not given to the optimizer", first="state/gru.*|weight/gru.*", says=words.LEFT_OUT)
def gru_left_out():
    return run(leave="bigru")


@mistake("the embedding is frozen", first="grad/embed.weight|backward/embed", says=words.LEFT_OUT)
def embedding_frozen():
    model = new.GRUTagger()
    model.word_emb.weight.stop_gradient = True
    return run(model)


@mistake("the learning rate is 0.001", first="weight/*", says=words.LEARNING_RATE)
def learning_rate():
    return run(lr=0.001)
