"""How is each loss computed in PaddlePaddle, and what is different in it?"""

from __future__ import annotations

from math import log
from typing import Any

from isograd.backend import Deviation
from isograd.backends.paddlepaddle.rows.row import KERNELS, LOSS_FILE, LossRow, are_rounded, of_batch, paddle


def _half_squared_error(op: Any, yhat: Any, y: Any) -> Any:
    return 0.5 * paddle.nn.functional.mse_loss(yhat, y, reduction="sum") / len(y)


def _log_cosh(op: Any, yhat: Any, y: Any) -> Any:
    size = (yhat - y).abs()
    return (size + paddle.nn.functional.softplus(-2.0 * size) - log(2.0)).mean()


def _weights(values: Any, like: Any) -> Any:
    return None if values is None else paddle.to_tensor(values, dtype=like.dtype)


def _of_classes(op: Any, yhat: Any) -> dict[str, Any]:
    ignored = {} if op.ignored is None else {"ignore_index": op.ignored}
    return {"weight": _weights(op.weights, yhat), **ignored}


def _cross_entropy(op: Any, yhat: Any, y: Any) -> Any:
    options = {**_of_classes(op, yhat), "label_smoothing": op.smoothing}
    return paddle.nn.functional.cross_entropy(_to_back(op, yhat), y, **options)


def _to_back(op: Any, yhat: Any) -> Any:
    """Classes on the last axis: with smoothing PaddlePaddle takes it for theirs, whatever `axis` says."""
    at = of_batch(op.axis) % yhat.ndim
    return yhat.transpose([*(axis for axis in range(yhat.ndim) if axis != at), at])


def _soft_cross_entropy(op: Any, yhat: Any, y: Any) -> Any:
    return paddle.nn.functional.cross_entropy(yhat, y, soft_label=True, axis=of_batch(op.axis))


def _nll(op: Any, yhat: Any, y: Any) -> Any:
    at = of_batch(op.axis) % yhat.ndim
    order = [0, at, *(axis for axis in range(1, yhat.ndim) if axis != at)]  # PaddlePaddle has its classes on axis 1
    return paddle.nn.functional.nll_loss(yhat.transpose(order), y, **_of_classes(op, yhat))


def _nll_lacks(op: Any) -> str:
    return "" if op.ignored is None else "ignored: it writes outside its memory (docs/found.md)"


def _cross_entropy_lacks(op: Any) -> str:
    """With smoothing it ignores no label, and weighs a label once for all its classes (docs/found.md)."""
    return "weights or ignored with smoothing" if op.smoothing and (op.weights or op.ignored is not None) else ""


def _kl(op: Any, yhat: Any, y: Any) -> Any:
    return paddle.nn.functional.kl_div(yhat, y, reduction="batchmean" if op.mean == "batch" else "mean")


def _poisson_nll(op: Any, yhat: Any, y: Any) -> Any:
    options = {"log_input": op.logarithms, "full": op.full, "epsilon": op.epsilon}
    return paddle.nn.functional.poisson_nll_loss(yhat, y, **options)


def _bce_with_logits(op: Any, yhat: Any, y: Any) -> Any:
    positive = _weights(op.positive, yhat)
    return paddle.nn.functional.binary_cross_entropy_with_logits(yhat, y, pos_weight=positive)


def _multi_margin(op: Any, yhat: Any, y: Any) -> Any:
    return paddle.nn.functional.multi_margin_loss(yhat, y, p=op.power, margin=op.margin)


def _hinge(op: Any, yhat: Any, y: Any) -> Any:
    return paddle.nn.functional.relu(1 - y * yhat).pow(op.power).mean()


def _margin_ranking(op: Any, yhat: Any, y: Any) -> Any:
    return paddle.nn.functional.margin_ranking_loss(*yhat.unbind(1), y, op.margin)


def _cosine_embedding(op: Any, yhat: Any, y: Any) -> Any:
    return paddle.nn.functional.cosine_embedding_loss(*yhat.unbind(1), y, op.margin)


def _cosine_embedding_lacks(op: Any) -> str:
    return "" if op.epsilon == 1e-12 else f"epsilon={op.epsilon:g}"


def _triplet(op: Any, yhat: Any, y: Any) -> Any:
    return paddle.nn.functional.triplet_margin_loss(*yhat.unbind(1), margin=op.margin, epsilon=op.epsilon)


def _gaussian_nll(op: Any, yhat: Any, y: Any) -> Any:
    mean, variance = yhat.unbind(1)
    return paddle.nn.functional.gaussian_nll_loss(mean, y, variance, full=op.full, epsilon=op.epsilon)


LOSSES: dict[str, LossRow] = {
    "half_squared_error": LossRow(_half_squared_error),
    "mse": LossRow(lambda op, yhat, y: paddle.nn.functional.mse_loss(yhat, y)),
    "l1": LossRow(lambda op, yhat, y: paddle.nn.functional.l1_loss(yhat, y)),
    "smooth_l1": LossRow(lambda op, yhat, y: paddle.nn.functional.smooth_l1_loss(yhat, y, delta=op.beta) / op.beta),
    "log_cosh": LossRow(_log_cosh),
    # PaddlePaddle's "smooth L1" is Huber's loss
    "huber": LossRow(lambda op, yhat, y: paddle.nn.functional.smooth_l1_loss(yhat, y, delta=op.delta)),
    "cross_entropy": LossRow(_cross_entropy, _cross_entropy_lacks),
    "soft_cross_entropy": LossRow(_soft_cross_entropy),
    "nll": LossRow(_nll, _nll_lacks),
    "multi_margin": LossRow(_multi_margin),
    "bce": LossRow(lambda op, yhat, y: paddle.nn.functional.binary_cross_entropy(yhat, y)),
    "bce_with_logits": LossRow(_bce_with_logits),
    "kl": LossRow(_kl),
    "poisson_nll": LossRow(_poisson_nll),
    "gaussian_nll": LossRow(_gaussian_nll, lambda op: "the variance's gradient (docs/found.md)"),
    "hinge": LossRow(_hinge),
    "soft_margin": LossRow(lambda op, yhat, y: paddle.nn.functional.soft_margin_loss(yhat, y)),
    "hinge_embedding": LossRow(lambda op, yhat, y: paddle.nn.functional.hinge_embedding_loss(yhat, y, op.margin)),
    "margin_ranking": LossRow(_margin_ranking),
    "cosine_embedding": LossRow(_cosine_embedding, _cosine_embedding_lacks),
    "triplet": LossRow(_triplet),
}


DEVIATIONS: dict[str, tuple[Deviation, ...]] = {
    "cross_entropy": (
        Deviation(
            "loss",
            "the smoothing is kept in float32, in a float64 run too",
            "3.3.1",
            f"{KERNELS}label_smooth_kernel.cc",
            ("*",),
            are_rounded("smoothing"),
            kept_in="float32",
        ),
    ),
    "multi_margin": (
        Deviation(
            "loss",
            "mᵖ / C, which is taken off for the class itself, is kept in float32: the loss can be below 0",
            "3.3.1",
            LOSS_FILE,
            ("loss", "eval_loss"),
            lambda op, dtype: dtype == "float64",
        ),
    ),
    "cosine_embedding": (
        Deviation(
            "loss",
            "ε in the norms is 10⁻¹¹",
            "3.3.1",
            LOSS_FILE,
            ("*",),
            lambda op, dtype: dtype == "float64",
            always=False,  # as large as it is beside the norms
            kept_in="float32",
        ),
    ),
}
