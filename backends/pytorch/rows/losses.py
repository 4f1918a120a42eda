"""How is each loss computed in PyTorch, and what is different in it?"""

from __future__ import annotations

from math import log
from typing import Any

from isograd.backends.pytorch.rows.row import SIXTEEN, LossRow, of_batch, torch


def _half_squared_error(op: Any, yhat: Any, y: Any) -> Any:
    return 0.5 * torch.nn.functional.mse_loss(yhat, y, reduction="sum") / len(y)


def _log_cosh(op: Any, yhat: Any, y: Any) -> Any:
    size = (yhat - y).abs()
    return (size + torch.nn.functional.softplus(-2.0 * size) - log(2.0)).mean()


def _weights(values: Any, like: Any) -> Any:
    return None if values is None else torch.tensor(values, dtype=like.dtype)


def _to_front(op: Any, yhat: Any) -> Any:
    return yhat.movedim(of_batch(op.axis), 1)  # where PyTorch has its classes


def _of_classes(op: Any, yhat: Any) -> dict[str, Any]:
    ignored = {} if op.ignored is None else {"ignore_index": op.ignored}
    return {"weight": _weights(op.weights, yhat), **ignored}


def _cross_entropy(op: Any, yhat: Any, y: Any) -> Any:
    options = {**_of_classes(op, yhat), "label_smoothing": op.smoothing}
    return torch.nn.functional.cross_entropy(_to_front(op, yhat), y, **options)


def _soft_cross_entropy(op: Any, yhat: Any, y: Any) -> Any:
    return torch.nn.functional.cross_entropy(_to_front(op, yhat), _to_front(op, y))


def _nll(op: Any, yhat: Any, y: Any) -> Any:
    return torch.nn.functional.nll_loss(_to_front(op, yhat), y, **_of_classes(op, yhat))


def _kl(op: Any, yhat: Any, y: Any) -> Any:
    return torch.nn.functional.kl_div(yhat, y, reduction="batchmean" if op.mean == "batch" else "mean")


def _poisson_nll(op: Any, yhat: Any, y: Any) -> Any:
    return torch.nn.functional.poisson_nll_loss(yhat, y, log_input=op.logarithms, full=op.full, eps=op.epsilon)


def _bce_with_logits(op: Any, yhat: Any, y: Any) -> Any:
    positive = _weights(op.positive, yhat)
    return torch.nn.functional.binary_cross_entropy_with_logits(yhat, y, pos_weight=positive)


def _multi_margin(op: Any, yhat: Any, y: Any) -> Any:
    return torch.nn.functional.multi_margin_loss(yhat, y, op.power, op.margin)


def _hinge(op: Any, yhat: Any, y: Any) -> Any:
    return torch.relu(1 - y * yhat).pow(op.power).mean()


def _margin_ranking(op: Any, yhat: Any, y: Any) -> Any:
    return torch.nn.functional.margin_ranking_loss(*yhat.unbind(1), y, op.margin)


def _cosine_embedding(op: Any, yhat: Any, y: Any) -> Any:
    return torch.nn.functional.cosine_embedding_loss(*yhat.unbind(1), y, op.margin)


def _cosine_embedding_lacks(op: Any) -> str:
    return "" if op.epsilon == 1e-12 else f"epsilon={op.epsilon:g}"


def _triplet(op: Any, yhat: Any, y: Any) -> Any:
    return torch.nn.functional.triplet_margin_loss(*yhat.unbind(1), margin=op.margin, eps=op.epsilon)


def _gaussian_nll(op: Any, yhat: Any, y: Any) -> Any:
    mean, variance = yhat.unbind(1)
    return torch.nn.functional.gaussian_nll_loss(mean, y, variance, full=op.full, eps=op.epsilon)


def _gaussian_nll_lacks(op: Any) -> str:
    """It passes the gradient of a variance below the least one on: no matter where that is never met."""
    return f"epsilon={op.epsilon:g}" if op.epsilon > 1e-3 else ""


LOSSES: dict[str, LossRow] = {
    "half_squared_error": LossRow(_half_squared_error),
    "mse": LossRow(lambda op, yhat, y: torch.nn.functional.mse_loss(yhat, y)),
    "l1": LossRow(lambda op, yhat, y: torch.nn.functional.l1_loss(yhat, y)),
    "smooth_l1": LossRow(lambda op, yhat, y: torch.nn.functional.smooth_l1_loss(yhat, y, beta=op.beta)),
    "log_cosh": LossRow(_log_cosh),
    "huber": LossRow(lambda op, yhat, y: torch.nn.functional.huber_loss(yhat, y, delta=op.delta)),
    "cross_entropy": LossRow(_cross_entropy),
    "soft_cross_entropy": LossRow(_soft_cross_entropy),
    "nll": LossRow(_nll),
    "multi_margin": LossRow(_multi_margin, without=SIXTEEN),
    "bce": LossRow(lambda op, yhat, y: torch.nn.functional.binary_cross_entropy(yhat, y)),
    "bce_with_logits": LossRow(_bce_with_logits),
    "kl": LossRow(_kl),
    "poisson_nll": LossRow(_poisson_nll),
    "gaussian_nll": LossRow(
        _gaussian_nll, lambda op: f"epsilon={op.epsilon:g}, without its gradient" if op.epsilon > 1e-3 else ""
    ),
    "hinge": LossRow(_hinge),
    "soft_margin": LossRow(lambda op, yhat, y: torch.nn.functional.soft_margin_loss(yhat, y)),
    "hinge_embedding": LossRow(lambda op, yhat, y: torch.nn.functional.hinge_embedding_loss(yhat, y, op.margin)),
    "margin_ranking": LossRow(_margin_ranking),
    "cosine_embedding": LossRow(_cosine_embedding, _cosine_embedding_lacks),
    "triplet": LossRow(_triplet),
}
