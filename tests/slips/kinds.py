"""Mistakes that are the same in several ports: of the optimizer, of the loss, of the step."""

from collections.abc import Callable
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import nn

from tests.slips import slip, words

Run = Callable[..., Any]


def entered(
    port: str, name: str, sentence: str, first: str, says: str, program: Callable[[], Any], step: int = 0
) -> None:
    slip(sentence, port=port, first=first, says=says, step=step, name=name)(program)


def adam(port: str, run: Run, slots: str = "*") -> None:
    """run(changes, kind=...) builds the port with an optimizer of that kind, whose settings are changed so."""
    first = f"state/{slots}.exp_avg"
    for name, sentence, differs, says, changes in [
        (
            "adam_epsilon",
            "Adam's epsilon is 1e-6 instead of 1e-8",
            f"weight/{slots}",
            words.ADAM_EPSILON,
            {"epsilon": 1e-6},
        ),
        ("adam_epsilon_large", "Adam's epsilon is 1e-3", f"weight/{slots}", words.ADAM_EPSILON, {"epsilon": 1e-3}),
        ("betas_swapped", "the two betas are swapped", first, words.BETAS, {"beta1": 0.999, "beta2": 0.9}),
        ("beta1", "beta1 is 0.8", first, words.BETAS, {"beta1": 0.8}),
        ("beta2", "beta2 is 0.99", f"state/{slots}.exp_avg_sq", words.BETAS, {"beta2": 0.99}),
    ]:
        entered(port, name, sentence, differs, says, lambda changes=changes: run(**changes))
    any_weight = f"state/{slots}|weight/{slots}"
    for kind in ("SGD", "Adamax", "RMSProp", "Adagrad"):
        entered(
            port,
            f"{kind.lower()}_for_adam",
            f"{kind} is used instead of Adam",
            any_weight,
            words.OTHER_OPTIMIZER,
            lambda kind=kind: run(kind=getattr(paddle.optimizer, kind)),
        )
    clip = nn.ClipGradByGlobalNorm(0.01)
    entered(
        port,
        "clipped",
        "the gradients are clipped to a norm of 0.01",
        f"grad/{slots}|{any_weight}",
        words.CLIP,
        lambda: run(grad_clip=clip),
    )


def cross_entropy(port: str, run: Run, classes: int, only: str = "") -> None:
    """run(loss=...) builds the port with that loss, of scores (…, classes) and labels."""

    def nll(logs: Any, y: Any) -> Any:
        return F.nll_loss(logs.reshape([-1, classes]), y.flatten())

    def weights(out: Any) -> Any:
        return paddle.linspace(0.5, 2.0, classes).astype(out.dtype)

    kinds = {
        "loss_sum": (
            "the loss is summed instead of averaged",
            words.REDUCTION,
            lambda out, y: F.cross_entropy(out, y, reduction="sum"),
        ),
        "label_smoothing": (
            "labels are smoothed by 0.1",
            words.SMOOTHING,
            lambda out, y: F.cross_entropy(out, y, label_smoothing=0.1),
        ),
        "softmax_twice": (
            "softmax is applied before a loss that applies it itself",
            words.SOFTMAX_TWICE,
            lambda out, y: F.cross_entropy(F.softmax(out, axis=-1), y),
        ),
        "log_missing": (
            "the negative log likelihood gets probabilities instead of their logarithms",
            words.says("log|softmax|probabilit"),
            lambda out, y: nll(F.softmax(out, axis=-1), y),
        ),
        "labels_shifted": (
            "the labels are one too high",
            words.LABELS,
            lambda out, y: F.cross_entropy(out, (y + 1) % classes),
        ),
        "class_ignored": (
            "the class 0 is ignored as if it were padding",
            words.IGNORED,
            lambda out, y: F.cross_entropy(out, y, ignore_index=0),
        ),
        "softmax_axis": (
            "the softmax of the loss runs over the first axis instead of the last",
            words.AXIS,
            lambda out, y: nll(F.log_softmax(out, axis=0), y),
        ),
        "class_weights": (
            "the loss weighs the classes",
            words.WEIGHTED,
            lambda out, y: F.cross_entropy(out, y, weight=weights(out)),
        ),
        "mse_for_cross_entropy": (
            "the squared error stands for cross entropy",
            words.OTHER_LOSS,
            lambda out, y: F.mse_loss(out, F.one_hot(y, classes).astype(out.dtype)),
        ),
        "temperature": (
            "the scores are divided by a temperature of 2",
            words.TEMPERATURE,
            lambda out, y: F.cross_entropy(out / 2.0, y),
        ),
        "loss_halved": ("the loss is divided by two", words.SCALED, lambda out, y: F.cross_entropy(out, y) / 2.0),
    }
    for name in only.split() or kinds:
        sentence, says, loss = kinds[name]
        entered(port, name, sentence, "loss", says, lambda loss=loss: run(loss=loss))


def steps(port: str, right: Callable[[], Any], only: str = "") -> None:
    """right() is what the port returns, in which the step is replaced by one with a mistake."""

    def with_step(step: Callable[..., Any]) -> Callable[[], Any]:
        def program() -> Any:
            model, loss, optimizer, *rest = right()
            count = iter(range(10**6))

            def train_step(model: Any, loss: Any, optimizer: Any, batch: Any) -> Any:
                x, y = batch
                out = model(**x) if isinstance(x, dict) else model(*x) if isinstance(x, tuple) else model(x)
                value = loss(out, y)
                step(value, optimizer, next(count))
                for each in rest:
                    each.step()
                return value

            return {"model": model, "loss": loss, "optimizer": optimizer, "train_step": train_step}

        return program

    def uncleared(loss: Any, optimizer: Any, number: int) -> None:
        loss.backward()
        optimizer.step()

    def cleared_early(loss: Any, optimizer: Any, number: int) -> None:
        loss.backward()
        optimizer.clear_grad()
        optimizer.step()

    def halved(loss: Any, optimizer: Any, number: int) -> None:
        (loss / 2).backward()
        optimizer.step()
        optimizer.clear_grad()

    def every_other(loss: Any, optimizer: Any, number: int) -> None:
        loss.backward()
        if number % 2:
            optimizer.step()
            optimizer.clear_grad()

    def doubled(loss: Any, optimizer: Any, number: int) -> None:
        loss.backward()
        optimizer.step()
        optimizer.step()
        optimizer.clear_grad()

    def late(loss: Any, optimizer: Any, number: int) -> None:
        optimizer.step()
        optimizer.clear_grad()
        loss.backward()

    late_first = "grad/*|state/*|weight/*"
    kinds = {
        "gradients_not_cleared": ("the gradients are never cleared", "grad/*", words.UNCLEARED, uncleared, 1),
        "cleared_before_step": (
            "the gradients are cleared between backward and the step",
            late_first,
            words.CLEARED,
            cleared_early,
            0,
        ),
        "loss_halved_in_backward": ("the loss is halved before backward", "backward/*|grad/*", words.SCALED, halved, 0),
        "every_other_step": (
            "the optimizer steps only after every second batch",
            late_first,
            words.EVERY_OTHER,
            every_other,
            0,
        ),
        "two_steps": ("the optimizer steps twice in each batch", "state/*|weight/*", words.TWICE, doubled, 0),
        "step_before_backward": (
            "the optimizer steps before backward, with the gradients of the last batch",
            late_first,
            words.says("before|order|last|previous|late|delay|no (update|step)|not|stay"),
            late,
            0,
        ),
    }
    for name in only.split() or kinds:
        sentence, first, says, step, at = kinds[name]
        entered(port, name, sentence, first, says, with_step(step), at)


class Rounded(nn.Layer):
    """Between two layers: the values are rounded to another type and back."""

    def __init__(self, dtype: str) -> None:
        super().__init__()
        self.to_dtype = dtype

    def forward(self, x: Any) -> Any:
        return x.astype(self.to_dtype).astype(x.dtype)


class NoNorm(nn.Layer):
    """In the place of a normalization that was forgotten."""

    def forward(self, x: Any) -> Any:
        return x
