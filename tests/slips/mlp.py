"""Mistakes in the port of the multilayer perceptron."""

from functools import partial

import paddle
import paddle.nn.functional as F
from paddle import nn

from tests.slips import kinds, load, slip, words

new = load("mlp")
mistake = partial(slip, port="mlp")


def run(model=None, loss=None, kind=paddle.optimizer.Adam, lr=0.002, leave=(), **settings):
    model = model or new.MLP()
    parameters = [p for n, p in model.named_parameters() if n not in leave]
    return model, loss or nn.CrossEntropyLoss(), kind(learning_rate=lr, parameters=parameters, **settings)


kinds.adam("mlp", run)
kinds.cross_entropy("mlp", run, 5)
kinds.steps("mlp", run)


class Layers(new.MLP):
    """The forward of the port, with each part to be replaced."""

    first, second, third = staticmethod(F.gelu), staticmethod(F.tanh), staticmethod(F.relu)

    def forward(self, x):
        x = self.drop(self.first(self.linear1(x)))
        x = self.drop(self.second(self.linear2(x)))
        x = self.drop(self.third(self.linear3(x)))
        return self.head(x)


def with_parts(**parts):
    return run(type("Layers", (Layers,), {name: staticmethod(part) for name, part in parts.items()})())


@mistake("GELU is approximated with tanh", first="forward/fc2", says=words.GELU)
def gelu_tanh():
    return with_parts(first=lambda x: F.gelu(x, approximate=True))


@mistake("GELU is approximated with a sigmoid", first="forward/fc2", says=words.GELU)
def gelu_sigmoid():
    return with_parts(first=lambda x: x * F.sigmoid(1.702 * x))


@mistake("SiLU stands for GELU", first="forward/fc2", says=words.ACTIVATION)
def silu_for_gelu():
    return with_parts(first=F.silu)


@mistake("sigmoid stands for tanh", first="forward/fc3", says=words.ACTIVATION)
def sigmoid_for_tanh():
    return with_parts(second=F.sigmoid)


@mistake("hard tanh stands for tanh", first="forward/fc3", says=words.ACTIVATION)
def hardtanh_for_tanh():
    return with_parts(second=F.hardtanh)


@mistake("leaky ReLU stands for ReLU", first="forward/out", says=words.ACTIVATION)
def leaky_relu_for_relu():
    return with_parts(third=F.leaky_relu)


@mistake("ELU stands for ReLU", first="forward/out", says=words.ACTIVATION)
def elu_for_relu():
    return with_parts(third=F.elu)


@mistake("the last activation is missing", first="forward/out", says=words.ACTIVATION)
def relu_missing():
    return with_parts(third=lambda x: x)


@mistake("the activations of the first two layers are swapped", first="forward/fc2", says=words.ACTIVATION)
def activations_swapped():
    return with_parts(first=F.tanh, second=F.gelu)


@mistake(
    "the model ends with a softmax, before a loss that has its own", first="loss|forward", says=words.SOFTMAX_TWICE
)
def softmax_in_model():
    class Model(new.MLP):
        def forward(self, x):
            return F.softmax(super().forward(x), axis=-1)

    return run(Model())


@mistake(
    "the second layer is used a second time in the place of the third",
    first="forward/out|forward/fc3",
    says=words.REUSED,
)
def layer_reused():
    class Model(new.MLP):
        def forward(self, x):
            x = F.tanh(self.linear2(F.gelu(self.linear1(x))))
            return self.head(F.relu(self.linear2(x)))

    return run(Model())


@mistake("the second and the third layer are swapped", first="forward/fc2|forward/fc3", says=words.SWAPPED)
def layers_swapped():
    class Model(new.MLP):
        def forward(self, x):
            x = F.tanh(self.linear3(F.gelu(self.linear1(x))))
            return self.head(F.relu(self.linear2(x)))

    return run(Model())


@mistake(
    "a linear layer written by hand multiplies with the transposed square weight",
    first="forward/fc2",
    says=words.TRANSPOSED,
)
def weight_transposed():
    class Linear(nn.Linear):
        def forward(self, x):
            return paddle.matmul(x, self.weight, transpose_y=True) + self.bias

    model = new.MLP()
    model.linear2 = Linear(32, 32)
    return run(model)


@mistake("the second layer has no bias", first="forward/fc2", says=words.MISSING_BIAS)
def bias_missing():
    model = new.MLP()
    model.linear2 = nn.Linear(32, 32, bias_attr=False)
    return run(model)


@mistake("the last layer has no bias", first="forward/out", says=words.MISSING_BIAS)
def last_bias_missing():
    model = new.MLP()
    model.head = nn.Linear(32, 5, bias_attr=False)
    return run(model)


@mistake("the bias of the first layer is added twice", first="forward/fc1|forward/fc2", says=words.MISSING_BIAS)
def bias_twice():
    class Linear(nn.Linear):
        def forward(self, x):
            return super().forward(x) + self.bias

    model = new.MLP()
    model.linear1 = Linear(12, 32)
    return run(model)


@mistake("a residual connection is added around the second layer", first="forward/fc3", says=words.RESIDUAL)
def residual_added():
    class Model(new.MLP):
        def forward(self, x):
            x = F.gelu(self.linear1(x))
            x = x + F.tanh(self.linear2(x))
            return self.head(F.relu(self.linear3(x)))

    return run(Model())


@mistake("the inputs are standardized once more", first="forward/fc1", says=words.SCALED_INPUT)
def inputs_normalised_twice():
    class Model(new.MLP):
        def forward(self, x):
            return super().forward((x - x.mean(axis=0)) / x.std(axis=0))

    return run(Model())


@mistake("the features are in reversed order", first="forward/fc1", says=words.LAYOUT)
def features_reversed():
    class Model(new.MLP):
        def forward(self, x):
            return super().forward(x.flip(-1))

    return run(Model())


@mistake("the learning rate is 0.001", first="weight/*", says=words.LEARNING_RATE)
def learning_rate():
    return run(lr=0.001)


@mistake("the weights decay though they should not", first="state/*|weight/*|grad/*", says=words.DECAY)
def decay_added():
    return run(weight_decay=0.01)


@mistake("AdamW, which decays by itself, stands for Adam", first="weight/*", says=words.DECAY)
def adamw_for_adam():
    return run(kind=paddle.optimizer.AdamW)


@mistake(
    "the bias of the last layer is not given to the optimizer",
    first="state/out.bias*|weight/out.bias",
    says=words.LEFT_OUT,
)
def bias_left_out():
    return run(leave=("head.bias",))


@mistake("the first layer is not given to the optimizer", first="state/fc1.*|weight/fc1.*", says=words.LEFT_OUT)
def layer_left_out():
    return run(leave=("linear1.weight", "linear1.bias"))


@mistake("the weight of the second layer is frozen", first="grad/fc2.weight", says=words.LEFT_OUT)
def weight_frozen():
    model = new.MLP()
    model.linear2.weight.stop_gradient = True
    return run(model)


@mistake(
    "the activations are detached after the second layer",
    first="backward/fc2|backward/fc1|grad/fc?.*",
    says=words.DETACHED,
)
def detached():
    return with_parts(second=lambda x: F.tanh(x).detach())


@mistake(
    "the gradient is divided by ten on its way through the second layer",
    first="backward/fc2|backward/fc1",
    says=words.SCALED,
)
def gradient_scaled():
    def tenth(x):
        x = F.tanh(x)
        x.register_hook(lambda g: g * 0.1)
        return x

    return with_parts(second=tenth)


@mistake("the activations are rounded to float16", first="forward/fc2", says=words.PRECISION)
def float16():
    return with_parts(first=lambda x: F.gelu(x).astype("float16").astype(x.dtype))


@mistake("the activations are rounded to float32", first="forward/fc3", says=words.PRECISION)
def float32():
    return with_parts(second=lambda x: F.tanh(x).astype("float32").astype(x.dtype))


@mistake("biases learn at twice the rate", first="weight/fc1.bias|weight/*bias", says=words.LEARNING_RATE)
def bias_rate_doubled():
    model = new.MLP()
    model.linear1 = nn.Linear(12, 32, bias_attr=paddle.ParamAttr(learning_rate=2.0))
    return run(model)
