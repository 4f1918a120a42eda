"""Mistakes in the port of the LSTM language model."""

from functools import partial

import paddle
import paddle.nn.functional as F
from paddle import nn

from tests.slips import kinds, load, slip, words

new = load("lstm_lm")
mistake = partial(slip, port="lstm_lm")


def run(model=None, loss=None, kind=paddle.optimizer.SGD, lr=1.0, step=None, **settings):
    model = model or new.LanguageModel()
    return {
        "model": model,
        "loss": loss or nn.CrossEntropyLoss(),
        "optimizer": kind(learning_rate=lr, parameters=model.parameters(), **settings),
        "train_step": step or new.train_step,
    }


kinds.cross_entropy(
    "lstm_lm", run, 30, "loss_sum label_smoothing labels_shifted softmax_twice class_ignored loss_halved"
)


class Cells(nn.LSTM):
    """Two LSTM layers written by hand with the weights of nn.LSTM."""

    def gates(self, z):
        i, f, g, o = paddle.chunk(z, 4, axis=-1)
        return F.sigmoid(i), F.sigmoid(f), F.tanh(g), F.sigmoid(o)

    def linear(self, x, h, layer):
        x = paddle.matmul(x, getattr(self, f"weight_ih_l{layer}"), transpose_y=True) + getattr(
            self, f"bias_ih_l{layer}"
        )
        h = paddle.matmul(h, getattr(self, f"weight_hh_l{layer}"), transpose_y=True) + getattr(
            self, f"bias_hh_l{layer}"
        )
        return x + h

    def start(self, x):
        return paddle.zeros([x.shape[0], 16], x.dtype), paddle.zeros([x.shape[0], 16], x.dtype)

    def cell(self, x, h, c, layer):
        i, f, g, o = self.gates(self.linear(x, h, layer))
        c = f * c + i * g
        return o * F.tanh(c), c

    def forward(self, inputs, initial_states=None, sequence_length=None):
        for layer in range(2):
            h, c = self.start(inputs)
            out = []
            for t in range(inputs.shape[1]):
                h, c = self.cell(inputs[:, t], h, c, layer)
                out.append(h)
            inputs = paddle.stack(out, axis=1)
        return inputs, (h, c)


def with_cells(**methods):
    model = new.LanguageModel()
    model.lstm = type("LSTM", (Cells,), methods)(16, 16, 2)
    return run(model)


RNN = "forward/rnn*|forward/decoder"


@mistake("the gates are in the order i, g, f, o", first=RNN, says=words.GATES)
def gates_of_tensorflow():
    def gates(self, z):
        i, g, f, o = paddle.chunk(z, 4, axis=-1)
        return F.sigmoid(i), F.sigmoid(f), F.tanh(g), F.sigmoid(o)

    return with_cells(gates=gates)


@mistake("forget gate and input gate are swapped", first=RNN, says=words.GATES)
def gates_swapped():
    def gates(self, z):
        f, i, g, o = paddle.chunk(z, 4, axis=-1)
        return F.sigmoid(i), F.sigmoid(f), F.tanh(g), F.sigmoid(o)

    return with_cells(gates=gates)


@mistake("one is added to the forget gate before its sigmoid", first=RNN, says=words.CELL)
def forget_bias():
    def gates(self, z):
        i, f, g, o = paddle.chunk(z, 4, axis=-1)
        return F.sigmoid(i), F.sigmoid(f + 1.0), F.tanh(g), F.sigmoid(o)

    return with_cells(gates=gates)


@mistake("the gates are hard sigmoids", first=RNN, says=words.says("sigmoid|gate|activation"))
def hard_gates():
    def gates(self, z):
        i, f, g, o = paddle.chunk(z, 4, axis=-1)
        return F.hardsigmoid(i), F.hardsigmoid(f), F.tanh(g), F.hardsigmoid(o)

    return with_cells(gates=gates)


@mistake("the candidate goes through ReLU instead of tanh", first=RNN, says=words.CELL)
def candidate_relu():
    def gates(self, z):
        i, f, g, o = paddle.chunk(z, 4, axis=-1)
        return F.sigmoid(i), F.sigmoid(f), F.relu(g), F.sigmoid(o)

    return with_cells(gates=gates)


@mistake("the tanh at the output of the cell is missing", first=RNN, says=words.CELL)
def output_tanh_missing():
    def cell(self, x, h, c, layer):
        i, f, g, o = self.gates(self.linear(x, h, layer))
        c = f * c + i * g
        return o * c, c

    return with_cells(cell=cell)


@mistake("the second bias is left out", first=RNN, says=words.MISSING_BIAS)
def second_bias_missing():
    def linear(self, x, h, layer):
        x = paddle.matmul(x, getattr(self, f"weight_ih_l{layer}"), transpose_y=True)
        return (
            x
            + getattr(self, f"bias_ih_l{layer}")
            + paddle.matmul(h, getattr(self, f"weight_hh_l{layer}"), transpose_y=True)
        )

    return with_cells(linear=linear)


@mistake("the hidden state starts with ones", first=RNN, says=words.STATE)
def initial_state_ones():
    return with_cells(start=lambda self, x: (paddle.ones([x.shape[0], 16], x.dtype),) * 2)


@mistake("the cell state is detached from step to step", first="backward/*|grad/*", says=words.DETACHED)
def state_detached():
    def cell(self, x, h, c, layer):
        return Cells.cell(self, x, h.detach(), c.detach(), layer)

    return with_cells(cell=cell)


@mistake("the cell state is rounded to float16", first=RNN, says=words.PRECISION)
def state_float16():
    def cell(self, x, h, c, layer):
        h, c = Cells.cell(self, x, h, c, layer)
        return h, c.astype("float16").astype(h.dtype)

    return with_cells(cell=cell)


@mistake("the second layer takes the weights of the first", first=RNN, says=words.REUSED)
def layer_reused():
    def cell(self, x, h, c, layer):
        return Cells.cell(self, x, h, c, 0)

    return with_cells(cell=cell)


@mistake("the LSTM takes the batch for the time", first=RNN, says=words.TIME)
def time_major():
    model = new.LanguageModel()
    model.lstm = nn.LSTM(16, 16, 2, time_major=True)
    return run(model)


@mistake("the sequence is read from its end", first=RNN, says=words.DIRECTION)
def reversed_time():
    class Model(new.LanguageModel):
        def forward(self, tokens):
            hidden, _ = self.lstm(self.embedding(tokens).flip(1))
            return self.fc(hidden.flip(1))

    return run(Model())


@mistake("the state of the last batch is carried on", first=RNN, step=1, says=words.STATE)
def state_carried():
    class Model(new.LanguageModel):
        state = None

        def forward(self, tokens):
            hidden, state = self.lstm(self.embedding(tokens), self.state)
            self.state = tuple(each.detach() for each in state)
            return self.fc(hidden)

    return run(Model())


@mistake("ReLU comes before the last layer", first="forward/decoder", says=words.ACTIVATION)
def relu_added():
    class Model(new.LanguageModel):
        def forward(self, tokens):
            return self.fc(F.relu(self.lstm(self.embedding(tokens))[0]))

    return run(Model())


@mistake("the last layer has no bias", first="forward/decoder", says=words.MISSING_BIAS)
def bias_missing():
    model = new.LanguageModel()
    model.fc = nn.Linear(16, 30, bias_attr=False)
    return run(model)


@mistake("token 0 is padding for the embedding", first="forward/encoder", says=words.says("pad|zero|token 0|row|index"))
def padding_index():
    model = new.LanguageModel()
    model.embedding = nn.Embedding(30, 16, padding_idx=0)
    return run(model)


def step_with(clip):
    def train_step(model, criterion, optimizer, batch):
        tokens, targets = batch
        loss = criterion(model(tokens), targets)
        loss.backward()
        clip(model)
        optimizer.step()
        optimizer.clear_grad()
        return loss

    return train_step


CLIPPED = "grad/*|weight/*"


@mistake("the gradients are not clipped", first=CLIPPED, says=words.CLIP)
def clip_missing():
    return run(step=step_with(lambda model: None))


@mistake("the gradients are clipped by value, not by norm", first=CLIPPED, says=words.CLIP)
def clip_by_value():
    return run(step=step_with(lambda model: nn.utils.clip_grad_value_(model.parameters(), 0.05)))


@mistake("each gradient is clipped by its own norm", first=CLIPPED, says=words.CLIP)
def clip_each():
    def clip(model):
        for p in model.parameters():
            nn.utils.clip_grad_norm_([p], 0.05)

    return run(step=step_with(clip))


@mistake("the gradients are clipped to a norm of 0.02", first=CLIPPED, says=words.CLIP)
def clip_lower():
    return run(step=step_with(lambda model: nn.utils.clip_grad_norm_(model.parameters(), 0.02)))


@mistake("the norm of the gradients is the greatest absolute value", first=CLIPPED, says=words.CLIP)
def clip_by_maximum():
    return run(step=step_with(lambda model: nn.utils.clip_grad_norm_(model.parameters(), 0.01, float("inf"))))


@mistake("the gradients are clipped after the step", first=CLIPPED, says=words.CLIP)
def clip_late():
    def train_step(model, criterion, optimizer, batch):
        tokens, targets = batch
        loss = criterion(model(tokens), targets)
        loss.backward()
        optimizer.step()
        nn.utils.clip_grad_norm_(model.parameters(), 0.05)
        optimizer.clear_grad()
        return loss

    return run(step=train_step)


@mistake("the gradients are never cleared", first="grad/*|weight/*", step=1, says=words.UNCLEARED)
def gradients_not_cleared():
    def train_step(model, criterion, optimizer, batch):
        tokens, targets = batch
        loss = criterion(model(tokens), targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.05)
        optimizer.step()
        return loss

    return run(step=train_step)


@mistake("the weights decay", first="weight/*|grad/*", says=words.DECAY)
def decay_added():
    return run(weight_decay=1e-3)


@mistake("the learning rate is 0.5", first="weight/*", says=words.LEARNING_RATE)
def learning_rate():
    return run(lr=0.5)


@mistake("SGD has momentum", first="state/*|weight/*", step=1, says=words.MOMENTUM)
def momentum_added():
    return run(kind=paddle.optimizer.Momentum, momentum=0.9)


@mistake("Adam stands for SGD", first="state/*|weight/*", says=words.OTHER_OPTIMIZER)
def adam_for_sgd():
    return run(kind=paddle.optimizer.Adam)
