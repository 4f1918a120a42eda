"""Mistakes in the port of the generative adversarial network."""

from functools import partial

import paddle
import paddle.nn.functional as F
from paddle import nn

from tests.slips import load, slip, words

new = load("gan")
mistake = partial(slip, port="gan")
D_LOSS = "loss*|forward/discriminator*#2"  # the generator runs the discriminator after its step


def run(model=None, loss=None, optimizers=new.optimizers, step=new.train_step):
    model = model or new.GAN()
    return {
        "model": model,
        "loss": loss or nn.BCEWithLogitsLoss(),
        "optimizer": optimizers(model),
        "train_step": step,
    }


def adam(d=None, g=None):
    """Optimizers with other settings."""
    usual = {"learning_rate": 2e-3, "beta1": 0.5, "beta2": 0.999}
    return run(
        optimizers=lambda model: {
            "d": paddle.optimizer.Adam(parameters=model.net_d.parameters(), **{**usual, **(d or {})}),
            "g": paddle.optimizer.Adam(parameters=model.net_g.parameters(), **{**usual, **(g or {})}),
        }
    )


@mistake("the generator's beta1 is the default 0.9", first="state/generator.*.exp_avg", says=words.BETAS)
def generator_betas():
    return adam(g={"beta1": 0.9})


@mistake(
    "the discriminator's beta1 is the default 0.9",
    first="state/discriminator.*.exp_avg|weight/discriminator.*",
    says=words.BETAS,
)
def discriminator_betas():
    return adam(d={"beta1": 0.9})


@mistake(
    "the discriminator's beta2 is 0.9",
    first="state/discriminator.*.exp_avg_sq|weight/discriminator.*",
    says=words.BETAS,
)
def discriminator_beta2():
    return adam(d={"beta2": 0.9})


@mistake("the generator's learning rate is half as high", first="weight/generator.*", says=words.LEARNING_RATE)
def generator_rate():
    return adam(g={"learning_rate": 1e-3})


@mistake(
    "the discriminator's learning rate is twice as high",
    first="forward/discriminator*#2|forward/discriminator*|loss/g|weight/discriminator.*",
    says=words.LEARNING_RATE,
)
def discriminator_rate():
    return adam(d={"learning_rate": 4e-3})


@mistake("the generator's epsilon is 1e-4", first="weight/generator.*", says=words.ADAM_EPSILON)
def generator_epsilon():
    return adam(g={"epsilon": 1e-4})


@mistake(
    "the generator's weights decay", first="state/generator.*|weight/generator.*|grad/generator.*", says=words.DECAY
)
def generator_decay():
    return adam(g={"weight_decay": 0.01})


@mistake(
    "the optimizers are swapped: the generator's has the discriminator's weights",
    first="forward/discriminator*|loss*|grad/*|state/*|weight/*|backward/*",
    says=words.SWAPPED,
)
def optimizers_swapped():
    def optimizers(model):
        right = new.optimizers(model)
        return {"d": right["g"], "g": right["d"]}

    return run(optimizers=optimizers)


def stepping(clear=True, target=1.0, low=0.0, detach=True, again=False, halve=1.0, swapped=False, order="dg"):
    """The step of the port, with parts changed."""

    def train_step(model, loss, optimizer, batch):
        (real, z), _ = batch
        fake = model.net_g(z)

        def discriminate():
            if clear:
                optimizer["d"].clear_grad()
            on_real, on_fake = model.net_d(real), model.net_d(fake.detach())
            high, zero = paddle.full_like(on_real, target), paddle.full_like(on_fake, low)
            if swapped:
                high, zero = zero, high
            d_loss = (loss(on_real, high) + loss(on_fake, zero)) * halve
            d_loss.backward()
            optimizer["d"].step()
            return d_loss

        def generate():
            optimizer["g"].clear_grad()
            score = model.net_d(model.net_g(z) if again else fake if detach else fake.detach())
            g_loss = loss(score, paddle.ones_like(score))
            g_loss.backward()
            optimizer["g"].step()
            return g_loss

        found = {each: {"d": discriminate, "g": generate}[each]() for each in order}
        return {"d": found["d"], "g": found["g"]}

    return run(step=train_step)


@mistake(
    "the discriminator's gradients are not cleared, so the generator's step adds to them",
    first="forward/discriminator*#2|grad/discriminator.*|state/discriminator.*",
    step=1,
    says=words.UNCLEARED,
)
def gradients_not_cleared():
    return stepping(clear=False)


@mistake(
    "real images have the label 0.9",
    first=D_LOSS,
    says=words.says("smooth|label|target|0\\.9|one-sided"),
)
def labels_smoothed():
    return stepping(target=0.9)


@mistake(
    "the labels of real and false images are swapped",
    first=D_LOSS,
    says=words.says("label|target|swap|real|fake|sign|loss"),
)
def labels_swapped():
    return stepping(swapped=True)


@mistake("the discriminator's loss is halved", first=D_LOSS, says=words.SCALED)
def loss_halved():
    return stepping(halve=0.5)


@mistake(
    "the false images are detached for the generator, too", first="backward/*|grad/generator.*", says=words.DETACHED
)
def generator_detached():
    return stepping(detach=False)


@mistake(
    "the generator runs a second time before its step",
    first="forward/generator*|backward/generator*|buffer/generator.*",
    says=words.says("twice|second|again|momentum|running|number|times|once"),
)
def generator_twice():
    return stepping(again=True)


@mistake(
    "the generator learns before the discriminator",
    first="forward/discriminator*|loss*|grad/*",
    says=words.says("order|before|after|first|swap|updat|step"),
)
def order_swapped():
    return stepping(order="gd")


@mistake("the loss has a positive weight of two", first=D_LOSS, says=words.WEIGHTED)
def positive_weight():
    return run(loss=lambda out, y: F.binary_cross_entropy_with_logits(out, y, pos_weight=paddle.full([1], 2.0)))


@mistake(
    "the squared error of the least squares GAN stands for cross entropy",
    first=D_LOSS,
    says=words.OTHER_LOSS,
)
def least_squares():
    return run(loss=nn.MSELoss())


@mistake("the loss is summed", first=D_LOSS, says=words.REDUCTION)
def loss_sum():
    return run(loss=nn.BCEWithLogitsLoss(reduction="sum"))


def with_generator(**layers):
    model = new.GAN()
    for number, layer in layers.items():
        where, index = number[:-1], int(number[-1])
        getattr(model.net_g, where)[index] = layer
    return run(model)


@mistake(
    "the momentum of the generator's batch norm is 0.1",
    first="buffer/generator.bn1.running_mean",
    says=words.NORM_MOMENTUM,
)
def batch_norm_momentum():
    return with_generator(main1=nn.BatchNorm2D(8, momentum=0.1))


@mistake(
    "the epsilon of the generator's first batch norm is 0.8",
    first="forward/generator.bn0",
    says=words.NORM_EPSILON,
)
def batch_norm_epsilon():
    return with_generator(project1=nn.BatchNorm1D(64, epsilon=0.8))


@mistake("the generator's batch norm is in evaluation mode", first="forward/generator.bn1", says=words.NORM_EVAL)
def global_statistics():
    return with_generator(main1=nn.BatchNorm2D(8, use_global_stats=True))


@mistake("leaky ReLU stands for ReLU in the generator", first="forward/generator.up2", says=words.ACTIVATION)
def generator_leaky():
    return with_generator(main2=nn.LeakyReLU(0.2))


@mistake("the generator ends with a sigmoid", first="forward/discriminator.conv1*", says=words.ACTIVATION)
def sigmoid_for_tanh():
    return with_generator(main4=nn.Sigmoid())


@mistake("a transposed convolution has a bias", first="forward/*|grad/*|weight/*|buffer/*", says=words.EXTRA_BIAS)
def bias_added():
    bias = paddle.ParamAttr(initializer=nn.initializer.Constant(0.1))
    return with_generator(main0=nn.Conv2DTranspose(16, 8, 4, 2, 1, bias_attr=bias))


@mistake("the noise becomes images with the channels last", first="forward/generator.up1", says=words.LAYOUT)
def reshaped_nhwc():
    class Generator(new.Generator):
        def forward(self, z):
            return self.main(self.project(z).reshape([z.shape[0], 2, 2, -1]).transpose([0, 3, 1, 2]))

    model = new.GAN()
    model.net_g = Generator()
    return run(model)


def with_discriminator(forward):
    model = new.GAN()
    model.net_d = type("Discriminator", (new.Discriminator,), {"forward": forward})()
    return run(model)


@mistake(
    "the discriminator's leaky ReLU has the default slope 0.01", first="forward/discriminator.conv2*", says=words.SLOPE
)
def slope_default():
    def forward(self, x):
        x = F.leaky_relu(self.conv1(x))
        x = F.leaky_relu(self.norm(self.conv2(x)))
        return self.classifier(paddle.flatten(x, 1))

    return with_discriminator(forward)


@mistake(
    "the discriminator ends with a sigmoid before a loss that has its own",
    first="loss*|forward/discriminator*",
    says=words.says("sigmoid|logits|twice|probabilit"),
)
def sigmoid_twice():
    return with_discriminator(lambda self, x: F.sigmoid(new.Discriminator.forward(self, x)))


@mistake("the layer norm comes after the activation", first="forward/discriminator.ln*", says=words.NORM_ORDER)
def norm_after_activation():
    def forward(self, x):
        x = F.leaky_relu(self.conv1(x), 0.2)
        x = self.norm(F.leaky_relu(self.conv2(x), 0.2))
        return self.classifier(paddle.flatten(x, 1))

    return with_discriminator(forward)


@mistake(
    "the layer norm runs over the channels of each point",
    first="forward/discriminator.ln*|forward/discriminator.fc*",
    says=words.says("norm|axis|axes|channel|dimension"),
)
def norm_over_channels():
    def forward(self, x):
        x = self.conv2(F.leaky_relu(self.conv1(x), 0.2))
        x = F.layer_norm(x.transpose([0, 2, 3, 1]), 16).transpose([0, 3, 1, 2])
        x = x * self.norm.weight.reshape([16, 2, 2]) + self.norm.bias.reshape([16, 2, 2])
        return self.classifier(paddle.flatten(F.leaky_relu(x, 0.2), 1))

    return with_discriminator(forward)


@mistake("the discriminator rounds to float16", first="forward/discriminator.fc*", says=words.PRECISION)
def float16():
    def forward(self, x):
        x = F.leaky_relu(self.conv1(x), 0.2)
        x = F.leaky_relu(self.norm(self.conv2(x)), 0.2)
        return self.classifier(paddle.flatten(x, 1).astype("float16").astype(x.dtype))

    return with_discriminator(forward)
