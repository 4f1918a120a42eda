"""Mistakes in the port of ResNet-18."""

from functools import partial

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.vision.models import resnet

from tests.slips import kinds, load, slip, words

new = load("resnet18")
mistake = partial(slip, port="resnet18")


def run(model=None, loss=None, kind=paddle.optimizer.Momentum, lr=0.01, leave="nothing", **settings):
    model = model or new.build()
    settings = {"momentum": 0.9, "weight_decay": 5e-4, **settings} if kind is paddle.optimizer.Momentum else settings
    parameters = [p for n, p in model.named_parameters() if not n.startswith(leave)]
    return model, loss or nn.CrossEntropyLoss(), kind(learning_rate=lr, parameters=parameters, **settings)


kinds.cross_entropy("resnet18", run, 10, "loss_sum labels_shifted softmax_twice")
kinds.steps("resnet18", run, "gradients_not_cleared loss_halved_in_backward")


def norms(model):
    return [layer for layer in model.sublayers() if isinstance(layer, nn.BatchNorm2D)]


@mistake("the momentum of all batch norms is 0.1", first="buffer/*running_mean", says=words.NORM_MOMENTUM)
def batch_norm_momentum():
    model = new.build()
    for norm in norms(model):
        norm._momentum = 0.1
    return run(model)


@mistake(
    "the momentum of one batch norm in the third stage is 0.99",
    first="buffer/layer3.1.bn1.running_mean",
    says=words.NORM_MOMENTUM,
)
def one_batch_norm_momentum():
    model = new.build()
    model.layer3[1].bn1 = nn.BatchNorm2D(256, momentum=0.99)
    return run(model)


@mistake("the epsilon of all batch norms is 1e-3", first="forward/bn1", says=words.NORM_EPSILON)
def batch_norm_epsilon():
    model = new.build()
    for norm in norms(model):
        norm._epsilon = 1e-3
    return run(model)


@mistake(
    "the epsilon of one batch norm in the second stage is 1e-4",
    first="forward/layer2.0.downsample.1",
    says=words.NORM_EPSILON,
)
def one_batch_norm_epsilon():
    model = new.build()
    model.layer2[0].downsample[1] = nn.BatchNorm2D(128, epsilon=1e-4)
    return run(model)


@mistake("all batch norms use the running statistics", first="forward/bn1", says=words.NORM_EVAL)
def global_statistics():
    model = new.build()
    for norm in norms(model):
        norm._use_global_stats = True
    return run(model)


@mistake("the batch norm of the stem stays in evaluation mode", first="forward/bn1", says=words.NORM_EVAL)
def stem_in_evaluation():
    class Frozen(nn.BatchNorm2D):
        def forward(self, x):
            return F.batch_norm(x, self._mean, self._variance, self.weight, self.bias, training=False)

    model = new.build()
    model.bn1 = Frozen(64)
    return run(model)


@mistake(
    "the stem's pooling has no padding, but rounds up", first="forward/layer1.0.conv1|forward/maxpool", says=words.CEIL
)
def pooling_ceil():
    model = new.build()
    model.maxpool = nn.MaxPool2D(3, 2, padding=0, ceil_mode=True)
    return run(model)


@mistake("the stem's pooling has no padding", first="forward/layer1.0.conv1|forward/maxpool", says=words.CEIL)
def pooling_padding():
    model = new.build()
    model.maxpool = nn.MaxPool2D(3, 2)
    return run(model)


@mistake("the stem pools by averages", first="forward/layer1.0.conv1|forward/maxpool", says=words.POOLING)
def pooling_average():
    model = new.build()
    model.maxpool = nn.AvgPool2D(3, 2, padding=1)
    return run(model)


@mistake(
    "global maximum pooling stands for global average pooling", first="forward/fc|forward/avgpool", says=words.POOLING
)
def global_maximum():
    model = new.build()
    model.avgpool = nn.AdaptiveMaxPool2D(1)
    return run(model)


@mistake("the stem's convolution has padding 2 instead of 3", first="forward/conv1", says=words.PADDING)
def stem_padding():
    model = new.build()
    model.conv1 = nn.Conv2D(3, 64, 7, stride=2, padding=2, bias_attr=False)
    return run(model)


@mistake("the stem pads as TensorFlow's SAME does", first="forward/conv1", says=words.PADDING)
def stem_padding_same():
    model = new.build()
    model.conv1 = nn.Conv2D(3, 64, 7, stride=2, padding="SAME", bias_attr=False)
    return run(model)


@mistake("a convolution in a block is dilated", first="forward/layer2.1.conv2", says=words.DILATION)
def dilated():
    model = new.build()
    model.layer2[1].conv2 = nn.Conv2D(128, 128, 3, padding=2, dilation=2, bias_attr=False)
    return run(model)


@mistake(
    "the second convolution of a block has the stride, not the first", first="forward/layer2.0.conv1", says=words.STRIDE
)
def stride_in_second():
    model = new.build()
    model.layer2[0].conv1 = nn.Conv2D(64, 128, 3, padding=1, bias_attr=False)
    model.layer2[0].conv2 = nn.Conv2D(128, 128, 3, stride=2, padding=1, bias_attr=False)
    return run(model)


@mistake(
    "the shortcut's stride begins at the second point, not at the first",
    first="forward/layer3.0.downsample.0",
    says=words.says("strid|shift|pad|offset|subsampl|position|crop|roll"),
)
def shortcut_shifted():
    class Shifted(nn.Conv2D):
        def forward(self, x):
            return F.conv2d(x[:, :, 1:, 1:], self.weight, stride=2)

    model = new.build()
    model.layer3[0].downsample[0] = Shifted(128, 256, 1, stride=2, bias_attr=False)
    return run(model)


class Changed(resnet.BasicBlock):
    """A block of the stage that keeps its shape."""

    def __init__(self):
        super().__init__(64, 64)


def with_block(kind):
    model = new.build()
    model.layer1[1] = kind()
    return run(model)


@mistake("the residual of one block is missing", first="forward/layer2.0.conv1|forward/layer1.1", says=words.RESIDUAL)
def residual_missing():
    class Block(Changed):
        def forward(self, x):
            return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))

    return with_block(Block)


@mistake(
    "the residual is added after the last activation",
    first="forward/layer2.0.conv1|forward/layer1.1*",
    says=words.says("residual|relu|activation|shortcut|add|order|after"),
)
def residual_after_activation():
    class Block(Changed):
        def forward(self, x):
            return x + F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))

    return with_block(Block)


@mistake(
    "the residual is subtracted instead of added",
    first="forward/layer2.0.conv1|forward/layer1.1*",
    says=words.RESIDUAL,
)
def residual_subtracted():
    class Block(Changed):
        def forward(self, x):
            return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) - x)

    return with_block(Block)


@mistake(
    "the batch norms of a block are swapped",
    first="forward/layer1.1.bn2|forward/layer1.1.bn1|forward/layer1.1.conv2",
    says=words.SWAPPED,
)
def norms_swapped():
    class Block(Changed):
        def forward(self, x):
            out = self.bn1(self.conv2(F.relu(self.bn2(self.conv1(x)))))
            return F.relu(out + x)

    return with_block(Block)


@mistake("the convolutions of a block are swapped", first="forward/layer1.1.conv?", says=words.SWAPPED)
def convolutions_swapped():
    class Block(Changed):
        def forward(self, x):
            out = self.bn2(self.conv1(F.relu(self.bn1(self.conv2(x)))))
            return F.relu(out + x)

    return with_block(Block)


@mistake(
    "one convolution of a block is used twice", first="forward/layer1.1.bn2|forward/layer1.1.conv2", says=words.REUSED
)
def convolution_reused():
    class Block(Changed):
        def forward(self, x):
            out = self.bn2(self.conv1(F.relu(self.bn1(self.conv1(x)))))
            return F.relu(out + x)

    return with_block(Block)


@mistake("the activation comes before the norm", first="forward/layer1.1.bn1", says=words.NORM_ORDER)
def activation_before_norm():
    class Block(Changed):
        def forward(self, x):
            out = self.bn2(self.conv2(self.bn1(F.relu(self.conv1(x)))))
            return F.relu(out + x)

    return with_block(Block)


@mistake("an activation within a block is missing", first="forward/layer1.1.conv2", says=words.ACTIVATION)
def activation_missing():
    class Block(Changed):
        def forward(self, x):
            out = self.bn2(self.conv2(self.bn1(self.conv1(x))))
            return F.relu(out + x)

    return with_block(Block)


@mistake("the shortcut is detached", first="backward/*|grad/*", says=words.DETACHED)
def shortcut_detached():
    class Block(Changed):
        def forward(self, x):
            out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            return F.relu(out + x.detach())

    return with_block(Block)


@mistake("a block is computed in float32", first="forward/layer1.1.conv1", says=words.PRECISION)
def float32():
    class Block(Changed):
        def forward(self, x):
            return super().forward(x.astype("float32").astype(x.dtype))

    return with_block(Block)


@mistake("the colours are in the order BGR", first="forward/conv1", says=words.LAYOUT)
def channels_bgr():
    class Model(resnet.ResNet):
        def forward(self, x):
            return super().forward(x[:, [2, 1, 0]])

    return run(Model(resnet.BasicBlock, 18, num_classes=10))


@mistake("the images are divided by 255 once more", first="forward/conv1", says=words.SCALED_INPUT)
def images_scaled_twice():
    class Model(resnet.ResNet):
        def forward(self, x):
            return super().forward(x / 255.0)

    return run(Model(resnet.BasicBlock, 18, num_classes=10))


@mistake("the linear layer has no bias", first="forward/fc", says=words.MISSING_BIAS)
def bias_missing():
    model = new.build()
    model.fc = nn.Linear(512, 10, bias_attr=False)
    return run(model)


@mistake("the stem's convolution has a bias", first="forward/*|grad/*|weight/*|buffer/*", says=words.EXTRA_BIAS)
def bias_added():
    model = new.build()
    bias = paddle.ParamAttr(initializer=nn.initializer.Constant(0.05))
    model.conv1 = nn.Conv2D(3, 64, 7, stride=2, padding=3, bias_attr=bias)
    return run(model)


@mistake("the first stage is frozen", first="grad/layer1.*|backward/*", says=words.LEFT_OUT)
def stage_frozen():
    model = new.build()
    for p in model.layer1.parameters():
        p.stop_gradient = True
    return run(model)


@mistake("the linear layer is left out of the optimizer", first="state/fc.*|weight/fc.*", says=words.LEFT_OUT)
def head_left_out():
    return run(leave="fc.")


@mistake("the weight decay is missing", first="state/*|weight/*|grad/*", says=words.DECAY)
def decay_missing():
    return run(weight_decay=None)


@mistake("the weight decay is 1e-4", first="state/*|weight/*|grad/*", says=words.DECAY)
def decay_other():
    return run(weight_decay=1e-4)


@mistake("the weight decay is of the kind L1", first="state/*|weight/*|grad/*", says=words.DECAY)
def decay_l1():
    return run(weight_decay=paddle.regularizer.L1Decay(5e-4))


@mistake("batch norms do not decay", first="state/*bn*|weight/*bn*|grad/*bn*", says=words.DECAY)
def decay_without_norms():
    model = new.build()
    for norm in norms(model):
        norm.weight.regularizer = paddle.regularizer.L2Decay(0.0)
    return run(model)


@mistake("Nesterov's momentum is on", first="weight/*", says=words.NESTEROV)
def nesterov():
    return run(use_nesterov=True)


@mistake("the momentum of SGD is missing", first="state/*|weight/*", step=1, says=words.MOMENTUM)
def momentum_missing():
    return run(momentum=0.0)


@mistake("the learning rate is 0.1", first="weight/*", says=words.LEARNING_RATE)
def learning_rate():
    return run(lr=0.1)
