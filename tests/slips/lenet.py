"""Mistakes in the port of LeNet."""

from functools import partial

import paddle
import paddle.nn.functional as F
from paddle import nn

from tests.slips import kinds, load, slip, words

new = load("lenet")
mistake = partial(slip, port="lenet")


def run(model=None, loss=None, kind=paddle.optimizer.Momentum, schedule=None, leave=(), **settings):
    model = model or new.LeNet()
    schedule = schedule or paddle.optimizer.lr.StepDecay(learning_rate=0.05, step_size=2, gamma=0.5)
    if kind is paddle.optimizer.Momentum:
        settings = {"momentum": 0.9, **settings}
    parameters = [p for n, p in model.named_parameters() if n not in leave]
    return model, loss or nn.CrossEntropyLoss(), kind(schedule, parameters=parameters, **settings), schedule


def with_layers(features=None, classifier=None):
    model = new.LeNet()
    for number, layer in (features or {}).items():
        model.features[number] = layer
    for number, layer in (classifier or {}).items():
        model.classifier[number] = layer
    return run(model)


kinds.cross_entropy("lenet", run, 10, "loss_sum label_smoothing softmax_twice labels_shifted class_weights")
kinds.steps("lenet", run, "gradients_not_cleared loss_halved_in_backward two_steps")


class Between(nn.Layer):
    """A function of what passes."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@mistake(
    "batch norm's momentum is PyTorch's 0.1, which is 0.9 here",
    first="buffer/bn1.running_mean",
    says=words.NORM_MOMENTUM,
)
def batch_norm_momentum():
    return with_layers({1: nn.BatchNorm2D(6, momentum=0.1)})


@mistake("the second batch norm's momentum is 0.99", first="buffer/bn2.running_mean", says=words.NORM_MOMENTUM)
def batch_norm_momentum_99():
    return with_layers({5: nn.BatchNorm2D(16, momentum=0.99)})


@mistake("batch norm's epsilon is 1e-3", first="forward/bn1", says=words.NORM_EPSILON)
def batch_norm_epsilon():
    return with_layers({1: nn.BatchNorm2D(6, epsilon=1e-3)})


@mistake("the second batch norm's epsilon is 1e-6", first="forward/bn2", says=words.NORM_EPSILON)
def batch_norm_epsilon_small():
    return with_layers({5: nn.BatchNorm2D(16, epsilon=1e-6)})


@mistake("batch norm uses the running statistics in training", first="forward/bn1", says=words.NORM_EVAL)
def global_statistics():
    return with_layers({1: nn.BatchNorm2D(6, use_global_stats=True)})


@mistake("both batch norms stay in evaluation mode", first="forward/bn1", says=words.NORM_EVAL)
def evaluation_mode():
    class Frozen(nn.BatchNorm2D):
        def train(self):
            return self.eval()

        def forward(self, x):
            return F.batch_norm(x, self._mean, self._variance, self.weight, self.bias, training=False)

    return with_layers({1: Frozen(6), 5: Frozen(16)})


@mistake("instance norm stands for batch norm", first="forward/bn1", says=words.NORM_KIND)
def instance_norm():
    class InstanceNorm(nn.BatchNorm2D):
        def forward(self, x):
            return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=1e-5)

    return with_layers({1: InstanceNorm(6)})


@mistake("ReLU comes before batch norm", first="forward/bn1", says=words.NORM_ORDER)
def activation_before_norm():
    model = new.LeNet()
    norm = model.features[1]
    model.features[1] = nn.ReLU()
    model.features[2] = norm
    return run(model)


@mistake("the second batch norm is left out in forward", first="forward/fc1|forward/bn2", says=words.NORM_MISSING)
def norm_missing():
    class Skipped(nn.BatchNorm2D):
        def forward(self, x):
            return x

    return with_layers({5: Skipped(16)})


@mistake("average pooling stands for maximum pooling", first="forward/conv2", says=words.POOLING)
def average_pooling():
    return with_layers({3: nn.AvgPool2D(2)})


@mistake("the second pooling has a kernel of 3 and padding", first="forward/fc1", says=words.POOLING)
def pooling_kernel():
    return with_layers({7: nn.MaxPool2D(3, 2, padding=1)})


@mistake("the first convolution pads at two sides only", first="forward/conv1", says=words.PADDING)
def padding_one_sided():
    class Conv(nn.Conv2D):
        def forward(self, x):
            return F.conv2d(F.pad(x, [0, 4, 0, 4]), self.weight, self.bias)

    return with_layers({0: Conv(1, 6, 5)})


@mistake(
    "the first convolution repeats the border instead of padding with zeros", first="forward/conv1", says=words.PADDING
)
def padding_mode():
    return with_layers({0: nn.Conv2D(1, 6, 5, padding=2, padding_mode="replicate")})


@mistake(
    "the kernel of the first convolution is flipped",
    first="forward/conv1",
    says=words.says("flip|convol|correl|revers|kernel|mirror|rotat"),
)
def kernel_flipped():
    class Conv(nn.Conv2D):
        def forward(self, x):
            return F.conv2d(x, self.weight.flip([2, 3]), self.bias, padding=2)

    return with_layers({0: Conv(1, 6, 5, padding=2)})


@mistake("the images are flattened with the channels last", first="forward/fc1", says=words.LAYOUT)
def flattened_nhwc():
    class Model(new.LeNet):
        def forward(self, x):
            return self.classifier(paddle.flatten(self.features(x).transpose([0, 2, 3, 1]), 1))

    return run(Model())


@mistake("height and width of the images are swapped", first="forward/conv1", says=words.LAYOUT)
def images_transposed():
    class Model(new.LeNet):
        def forward(self, x):
            return super().forward(x.transpose([0, 1, 3, 2]))

    return run(Model())


@mistake("the images are normalized a second time", first="forward/conv1", says=words.SCALED_INPUT)
def images_normalised_twice():
    class Model(new.LeNet):
        def forward(self, x):
            return super().forward((x - 0.1307) / 0.3081)

    return run(Model())


@mistake("tanh stands for the first ReLU", first="forward/conv2", says=words.ACTIVATION)
def tanh_for_relu():
    return with_layers({2: nn.Tanh()})


@mistake("ReLU is cut at 1.5, as ReLU6 is at six", first="forward/conv2|forward/fc?", says=words.ACTIVATION)
def relu_cut():
    return with_layers({2: Between(lambda x: F.relu6(4.0 * x) / 4.0)})


@mistake("a ReLU between the linear layers is missing", first="forward/fc3", says=words.ACTIVATION)
def relu_missing():
    return with_layers(classifier={3: nn.Identity()})


@mistake("a ReLU follows the last layer", first="loss|forward", says=words.ACTIVATION)
def relu_at_the_end():
    model = new.LeNet()
    model.classifier.add_sublayer("5", nn.ReLU())
    return run(model)


@mistake(
    "the first convolution has no bias, and batch norm hides it until the running mean",
    first="forward/conv1",
    says=words.MISSING_BIAS,
)
def convolution_bias_missing():
    return with_layers({0: nn.Conv2D(1, 6, 5, padding=2, bias_attr=False)})


@mistake("the last layer has no bias", first="forward/fc3", says=words.MISSING_BIAS)
def linear_bias_missing():
    return with_layers(classifier={4: nn.Linear(84, 10, bias_attr=False)})


@mistake("the features are detached", first="backward/bn2|backward/conv?|grad/*", says=words.DETACHED)
def features_detached():
    return with_layers({7: Between(lambda x: F.max_pool2d(x, 2).detach())})


@mistake("the first convolution is frozen", first="backward/conv1|grad/conv1.*", says=words.LEFT_OUT)
def convolution_frozen():
    model = new.LeNet()
    for p in model.features[0].parameters():
        p.stop_gradient = True
    return run(model)


@mistake("the batch norms are not given to the optimizer", first="state/bn?.*|weight/bn?.*", says=words.LEFT_OUT)
def norms_left_out():
    names = tuple(f"features.{i}.{kind}" for i in (1, 5) for kind in ("weight", "bias"))
    return run(leave=names)


@mistake("the momentum of SGD is missing", first="state/*|weight/*", step=1, says=words.MOMENTUM)
def momentum_missing():
    return run(momentum=0.0)


@mistake("plain SGD is used", first="state/*|weight/*", step=0, says=words.OTHER_OPTIMIZER)
def sgd_for_momentum():
    return run(kind=paddle.optimizer.SGD)


@mistake("the momentum of SGD is 0.99", first="state/*|weight/*", step=1, says=words.MOMENTUM)
def momentum_large():
    return run(momentum=0.99)


@mistake("Nesterov's momentum is on", first="weight/*", says=words.NESTEROV)
def nesterov():
    return run(use_nesterov=True)


@mistake("Adam is used", first="state/*|weight/*", says=words.OTHER_OPTIMIZER)
def adam_for_momentum():
    return run(kind=paddle.optimizer.Adam)


@mistake("the weights decay", first="state/*|weight/*|grad/*", says=words.DECAY)
def decay_added():
    return run(weight_decay=5e-4)


@mistake("the learning rate is 0.01", first="weight/*", says=words.LEARNING_RATE)
def learning_rate():
    return run(schedule=paddle.optimizer.lr.StepDecay(0.01, step_size=2, gamma=0.5))


@mistake(
    "the learning rate is cut after each step instead of every second", first="weight/*", step=1, says=words.SCHEDULE
)
def schedule_each_step():
    return run(schedule=paddle.optimizer.lr.StepDecay(0.05, step_size=1, gamma=0.5))


@mistake("the learning rate is cut by ten instead of two", first="weight/*", step=2, says=words.SCHEDULE)
def schedule_gamma():
    return run(schedule=paddle.optimizer.lr.StepDecay(0.05, step_size=2, gamma=0.1))


@mistake("the schedule is never stepped", first="weight/*", step=2, says=words.SCHEDULE)
def schedule_forgotten():
    return run()[:3]


@mistake("the schedule begins one step ahead", first="weight/*", step=1, says=words.SCHEDULE)
def schedule_ahead():
    schedule = paddle.optimizer.lr.StepDecay(0.05, step_size=2, gamma=0.5)
    schedule.step()
    return run(schedule=schedule)


@mistake("the features are rounded to float16", first="forward/conv2", says=words.PRECISION)
def float16():
    return with_layers({3: nn.Sequential(nn.MaxPool2D(2), kinds.Rounded("float16"))})


@mistake("the features are rounded to float32", first="forward/fc1", says=words.PRECISION)
def float32():
    return with_layers({7: nn.Sequential(nn.MaxPool2D(2), kinds.Rounded("float32"))})
