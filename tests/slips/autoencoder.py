"""Mistakes in the port of the autoencoder."""

from functools import partial

import paddle
import paddle.nn.functional as F
from paddle import nn

from tests.slips import kinds, load, slip, words

new = load("autoencoder")
mistake = partial(slip, port="autoencoder")


def run(model=None, loss=None, kind=paddle.optimizer.Adam, gamma=0.9, **settings):
    model = model or new.Autoencoder()
    schedule = paddle.optimizer.lr.ExponentialDecay(0.003, gamma=gamma)
    settings = {"weight_decay": 0.01, **settings}
    return model, loss or nn.BCEWithLogitsLoss(), kind(schedule, parameters=model.parameters(), **settings), schedule


kinds.steps("autoencoder", run, "gradients_not_cleared loss_halved_in_backward two_steps")


def changed(half, **layers):
    model = new.Autoencoder()
    for name, layer in layers.items():
        setattr(getattr(model, half), name, layer)
    return run(model)


def with_forward(half, forward):
    """One half with another forward."""
    base = getattr(new, half.capitalize())
    model = new.Autoencoder()
    setattr(model, half, type(base.__name__, (base,), {"forward": forward})(3, 8, 16))
    return run(model)


@mistake("the average counts no padded points", first="forward/pool|forward/code", says=words.EXCLUSIVE)
def pool_exclusive():
    return changed("encoder", pool=nn.AvgPool2D(3, 2, padding=1))


@mistake("the pooling has no padding, but rounds up", first="forward/pool|forward/code", says=words.CEIL)
def pool_ceil():
    return changed("encoder", pool=nn.AvgPool2D(3, 2, padding=0, ceil_mode=True, exclusive=False))


@mistake("maximum pooling stands for average pooling", first="forward/pool|forward/code", says=words.POOLING)
def pool_maximum():
    return changed("encoder", pool=nn.MaxPool2D(3, 2, padding=1))


@mistake("the pooling's kernel is 2 wide", first="forward/pool|forward/code", says=words.POOLING)
def pool_kernel():
    return changed("encoder", pool=nn.AvgPool2D(2, 2))


@mistake("the corners are aligned when the image is resized", first="forward/smooth", says=words.ALIGN)
def align_corners():
    return changed("decoder", upsample=nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True))


@mistake("resizing aligns as with align_mode 1", first="forward/smooth", says=words.ALIGN)
def align_mode():
    return changed("decoder", upsample=nn.Upsample(scale_factor=2, mode="bilinear", align_mode=1))


@mistake("the image is resized by the nearest point", first="forward/smooth", says=words.RESIZING)
def resize_nearest():
    return changed("decoder", upsample=nn.Upsample(scale_factor=2, mode="nearest"))


@mistake("the image is resized bicubically", first="forward/smooth", says=words.RESIZING)
def resize_bicubic():
    return changed("decoder", upsample=nn.Upsample(scale_factor=2, mode="bicubic"))


@mistake(
    "a transposed convolution has no padding, and its border is cut at the far side",
    first="forward/up1",
    says=words.OUTPUT_PADDING,
)
def transposed_cropped():
    class Transposed(nn.Conv2DTranspose):
        def forward(self, x):
            return F.conv2d_transpose(x, self.weight, self.bias, stride=2)[:, :, :8, :8]

    return changed("decoder", deconv1=Transposed(16, 16, 3, stride=2))


@mistake("output_padding is replaced by a row and a column of zeros", first="forward/up1", says=words.OUTPUT_PADDING)
def output_padding_zeros():
    class Transposed(nn.Conv2DTranspose):
        def forward(self, x):
            return F.pad(F.conv2d_transpose(x, self.weight, self.bias, stride=2, padding=1), [0, 1, 0, 1])

    return changed("decoder", deconv1=Transposed(16, 16, 3, stride=2, padding=1))


@mistake(
    "the square weight of a transposed convolution has its channels swapped", first="forward/up1", says=words.TRANSPOSED
)
def transposed_channels():
    class Transposed(nn.Conv2DTranspose):
        def forward(self, x):
            weight = self.weight.transpose([1, 0, 2, 3])
            return F.conv2d_transpose(x, weight, self.bias, stride=2, padding=1, output_padding=1)

    return changed("decoder", deconv1=Transposed(16, 16, 3, stride=2, padding=1, output_padding=1))


@mistake("the last convolution pads with zeros", first="forward/smooth", says=words.PADDING)
def padding_zeros():
    return changed("decoder", conv=nn.Conv2D(8, 3, 3, padding=1))


@mistake("the last convolution repeats the border", first="forward/smooth", says=words.PADDING)
def padding_replicate():
    return changed("decoder", conv=nn.Conv2D(8, 3, 3, padding=1, padding_mode="replicate"))


@mistake("a convolution with stride pads as TensorFlow's SAME does", first="forward/down2", says=words.PADDING)
def padding_same():
    return changed("encoder", conv2=nn.Conv2D(8, 16, 3, stride=2, padding="SAME"))


@mistake("the group norm has four groups instead of two", first="forward/norm1", says=words.says("group"))
def groups_four():
    return changed("encoder", gn=nn.GroupNorm(4, 8))


@mistake("the epsilon of the group norm is 1e-3", first="forward/norm1", says=words.NORM_EPSILON)
def group_norm_epsilon():
    return changed("encoder", gn=nn.GroupNorm(2, 8, epsilon=1e-3))


@mistake("the momentum of the encoder's batch norm is 0.1", first="buffer/norm2.running_mean", says=words.NORM_MOMENTUM)
def batch_norm_momentum():
    return changed("encoder", bn=nn.BatchNorm2D(16, momentum=0.1))


@mistake("the decoder's batch norm uses the running statistics", first="forward/norm3", says=words.NORM_EVAL)
def global_statistics():
    return changed("decoder", bn=nn.BatchNorm2D(16, use_global_stats=True))


@mistake("the epsilon of the decoder's batch norm is 1e-3", first="forward/norm3", says=words.NORM_EPSILON)
def batch_norm_epsilon():
    return changed("decoder", bn=nn.BatchNorm2D(16, epsilon=1e-3))


def encode(slope=F.leaky_relu, swish=F.silu, squash=F.tanh, flatten=lambda x: x.flatten(1)):
    def forward(self, x):
        x = slope(self.gn(self.conv1(x)), 0.2)
        x = self.pool(swish(self.bn(self.conv2(x))))
        return squash(self.fc(flatten(x)))

    return with_forward("encoder", forward)


def decode(slope=0.2, elu=F.elu):
    def forward(self, code):
        x = self.fc(code).reshape([-1, 2 * self.width, 4, 4])
        x = F.leaky_relu(self.bn(self.deconv1(x)), slope)
        return self.conv(self.upsample(elu(self.deconv2(x))))

    return with_forward("decoder", forward)


@mistake("leaky ReLU has the default slope 0.01", first="forward/down2", says=words.SLOPE)
def slope_default():
    return encode(slope=lambda x, slope: F.leaky_relu(x))


@mistake("leaky ReLU has the default slope in the decoder", first="forward/up2", says=words.SLOPE)
def slope_default_decoder():
    return decode(slope=0.01)


@mistake("hard swish stands for SiLU", first="forward/pool|forward/code", says=words.ACTIVATION)
def hardswish_for_silu():
    return encode(swish=F.hardswish)


@mistake("ELU has alpha 0.5", first="forward/smooth", says=words.says("elu|alpha|activation"))
def elu_alpha():
    return decode(elu=lambda x: F.elu(x, alpha=0.5))


@mistake("SELU stands for ELU", first="forward/smooth", says=words.ACTIVATION)
def selu_for_elu():
    return decode(elu=F.selu)


@mistake("sigmoid stands for tanh in the code", first="forward/decode", says=words.ACTIVATION)
def sigmoid_for_tanh():
    return encode(squash=F.sigmoid)


@mistake("the code has no tanh", first="forward/decode", says=words.ACTIVATION)
def tanh_missing():
    return encode(squash=lambda x: x)


@mistake("the features are flattened with the channels last", first="forward/code", says=words.LAYOUT)
def flattened_nhwc():
    return encode(flatten=lambda x: x.transpose([0, 2, 3, 1]).flatten(1))


@mistake(
    "the code is detached: the encoder learns nothing", first="backward/code|backward/*|grad/*", says=words.DETACHED
)
def code_detached():
    return encode(squash=lambda x: F.tanh(x).detach())


@mistake("the code is rounded to float32", first="forward/decode", says=words.PRECISION)
def code_float32():
    return encode(squash=lambda x: F.tanh(x).astype("float32").astype(x.dtype))


@mistake(
    "the loss takes logits for probabilities after a sigmoid of its own",
    first="loss",
    says=words.says("sigmoid|logits|twice|probabilit"),
)
def sigmoid_twice():
    return run(loss=lambda out, y: F.binary_cross_entropy_with_logits(F.sigmoid(out), y))


@mistake("the squared error stands for the cross entropy", first="loss", says=words.OTHER_LOSS)
def mse_for_bce():
    return run(loss=lambda out, y: F.mse_loss(F.sigmoid(out), y))


@mistake("the loss is summed", first="loss", says=words.REDUCTION)
def loss_sum():
    return run(loss=nn.BCEWithLogitsLoss(reduction="sum"))


@mistake("bright points count twice", first="loss", says=words.WEIGHTED)
def positive_weight():
    return run(loss=lambda out, y: F.binary_cross_entropy_with_logits(out, y, pos_weight=paddle.full([1], 2.0)))


@mistake(
    "the target's channels are reversed",
    first="loss",
    says=words.says("channel|order|target|flip|revers|label|axis|permut"),
)
def target_channels():
    return run(loss=lambda out, y: F.binary_cross_entropy_with_logits(out, y[:, [2, 1, 0]]))


@mistake("the weight decay is missing", first="state/*|weight/*|grad/*", says=words.DECAY)
def decay_missing():
    return run(weight_decay=None)


@mistake("AdamW's decoupled decay stands for Adam's", first="state/*|weight/*|grad/*", says=words.COUPLED)
def adamw_for_adam():
    return run(kind=paddle.optimizer.AdamW)


@mistake("the optimizer's epsilon is 1e-5", first="weight/*", says=words.ADAM_EPSILON)
def adam_epsilon():
    return run(epsilon=1e-5)


@mistake("RMSProp stands for Adam", first="state/*|weight/*|grad/*", says=words.OTHER_OPTIMIZER)
def rmsprop_for_adam():
    return run(kind=paddle.optimizer.RMSProp)


@mistake("the learning rate decays by 0.99 instead of 0.9", first="weight/*", step=1, says=words.SCHEDULE)
def schedule_gamma():
    return run(gamma=0.99)


@mistake("the schedule is stepped once per epoch, not per batch", first="weight/*", step=1, says=words.SCHEDULE)
def schedule_per_epoch():
    return run()[:3]
