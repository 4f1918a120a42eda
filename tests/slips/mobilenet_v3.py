"""Mistakes in the port of MobileNetV3."""

from functools import partial

import paddle
import paddle.nn.functional as F
from paddle import nn

from tests.slips import kinds, load, slip, words

new = load("mobilenet_v3")
mistake = partial(slip, port="mobilenet_v3")
SMOOTHED = nn.CrossEntropyLoss(label_smoothing=0.1)


def run(model=None, loss=None, schedule=None, **settings):
    model = model or new.build()
    schedule = schedule or paddle.optimizer.lr.CosineAnnealingDecay(learning_rate=0.02, T_max=6)
    settings = {"momentum": 0.9, "weight_decay": 1e-4, "use_nesterov": True, **settings}
    optimizer = paddle.optimizer.Momentum(schedule, parameters=model.parameters(), **settings)
    return model, loss or SMOOTHED, optimizer, schedule


kinds.cross_entropy("mobilenet_v3", run, 10, "loss_sum softmax_twice")


def changed(change):
    model = new.build()
    change(model)
    return run(model)


def norms(model):
    return [layer for layer in model.sublayers() if isinstance(layer, nn.BatchNorm2D)]


@mistake("the momentum of all batch norms is the default 0.9", first="buffer/*running_mean", says=words.NORM_MOMENTUM)
def batch_norm_momentum_default():
    def change(model):
        for norm in norms(model):
            norm._momentum = 0.9

    return changed(change)


@mistake("the momentum of all batch norms is 0.01", first="buffer/*running_mean", says=words.NORM_MOMENTUM)
def batch_norm_momentum():
    def change(model):
        for norm in norms(model):
            norm._momentum = 0.01

    return changed(change)


@mistake("the epsilon of all batch norms is the default 1e-5", first="forward/stem.norm", says=words.NORM_EPSILON)
def batch_norm_epsilon():
    def change(model):
        for norm in norms(model):
            norm._epsilon = 1e-5

    return changed(change)


@mistake("the last batch norm uses the running statistics", first="forward/last.norm", says=words.NORM_EVAL)
def global_statistics():
    def change(model):
        model.lastconv[1]._use_global_stats = True

    return changed(change)


@mistake(
    "swish stands for hard swish in the stem", first="forward/bottlenecks.0.*|forward/stem*", says=words.ACTIVATION
)
def swish_for_hardswish():
    def change(model):
        model.conv[2] = nn.Swish()

    return changed(change)


@mistake(
    "sigmoid stands for hard sigmoid in a squeeze", first="forward/bottlenecks.0.project.conv", says=words.ACTIVATION
)
def sigmoid_for_hardsigmoid():
    def change(model):
        model.blocks[0].mid_se.scale_activation = nn.Sigmoid()

    return changed(change)


@mistake(
    "hard sigmoid has the slope 0.2",
    first="forward/bottlenecks.0.project.conv",
    says=words.says("sigmoid|slope|activation"),
)
def hardsigmoid_slope():
    class Hardsigmoid(nn.Layer):
        def forward(self, x):
            return F.hardsigmoid(x, slope=0.2)

    def change(model):
        model.blocks[0].mid_se.scale_activation = Hardsigmoid()

    return changed(change)


@mistake("ReLU6 stands for hard swish behind the pooling", first="forward/output", says=words.ACTIVATION)
def relu6_for_hardswish():
    def change(model):
        model.classifier[1] = nn.ReLU6()

    return changed(change)


@mistake("a block ends with an activation", first="forward/bottlenecks.2.*", says=words.ACTIVATION)
def activation_added():
    def change(model):
        model.blocks[1].linear_conv.add_sublayer("2", nn.ReLU())

    return changed(change)


@mistake(
    "the squeeze of one block is skipped",
    first="forward/bottlenecks.4.project.conv|forward/bottlenecks.4.squeeze*",
    says=words.says("squeeze|excitation|scale|attention|skip|miss|not (called|used|run)"),
)
def squeeze_skipped():
    def change(model):
        model.blocks[4].use_se = False

    return changed(change)


@mistake("the residual of one block is missing", first="forward/bottlenecks.3.*", says=words.RESIDUAL)
def residual_missing():
    def change(model):
        model.blocks[2].use_res_connect = False

    return changed(change)


@mistake(
    "a depthwise convolution pads by repeating the border",
    first="forward/bottlenecks.4.depthwise.conv",
    says=words.PADDING,
)
def padding_mode():
    def change(model):
        model.blocks[4].bottleneck_conv[0] = nn.Conv2D(
            240, 240, 5, padding=2, groups=240, padding_mode="replicate", bias_attr=False
        )

    return changed(change)


@mistake("the stem pads as TensorFlow's SAME does", first="forward/stem.conv", says=words.PADDING)
def stem_padding_same():
    def change(model):
        model.conv[0] = nn.Conv2D(3, 16, 3, stride=2, padding="SAME", bias_attr=False)

    return changed(change)


@mistake("a depthwise convolution is dilated", first="forward/bottlenecks.2.depthwise.conv", says=words.DILATION)
def dilated():
    def change(model):
        model.blocks[2].bottleneck_conv[0] = nn.Conv2D(88, 88, 3, padding=2, dilation=2, groups=88, bias_attr=False)

    return changed(change)


@mistake(
    "two blocks of the same shape are swapped",
    first="forward/bottlenecks.4.*|forward/bottlenecks.5.*",
    says=words.SWAPPED,
)
def blocks_swapped():
    class Swapped(nn.Layer):
        def __init__(self, blocks):
            super().__init__()
            for number, block in enumerate(blocks):
                self.add_sublayer(str(number), block)

        def forward(self, x):
            for number in (0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10):
                x = getattr(self, str(number))(x)
            return x

    def change(model):
        model.blocks = Swapped(list(model.blocks))

    model = new.build()
    change(model)
    return run(model)


@mistake("labels are not smoothed", first="loss", says=words.SMOOTHING)
def label_smoothing_missing():
    return run(loss=nn.CrossEntropyLoss())


@mistake("labels are smoothed by 0.2", first="loss", says=words.SMOOTHING)
def label_smoothing_other():
    return run(loss=nn.CrossEntropyLoss(label_smoothing=0.2))


@mistake("Nesterov's momentum is off", first="weight/*", says=words.NESTEROV)
def nesterov_missing():
    return run(use_nesterov=False)


@mistake("the weight decay is 1e-2", first="state/*|weight/*|grad/*", says=words.DECAY)
def decay_other():
    return run(weight_decay=1e-2)


@mistake("the schedule's cosine is as long as sixty steps", first="weight/*", step=1, says=words.SCHEDULE)
def cosine_long():
    return run(schedule=paddle.optimizer.lr.CosineAnnealingDecay(0.02, T_max=60))


@mistake("the schedule is never stepped", first="weight/*", step=1, says=words.SCHEDULE)
def schedule_forgotten():
    return run()[:3]


@mistake("the features are rounded to float16 before they are pooled", first="forward/hidden", says=words.PRECISION)
def float16():
    def change(model):
        model.avgpool = nn.Sequential(kinds.Rounded("float16"), nn.AdaptiveAvgPool2D(1))

    return changed(change)
