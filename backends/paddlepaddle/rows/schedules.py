"""How is each schedule built in PaddlePaddle?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from isograd.backends.paddlepaddle.rows.row import ScheduleRow, paddle


def _of(name: str, **settings: str) -> Callable[[Any, float, int], Any]:
    """A class of PaddlePaddle's, with its names of our settings."""

    def build(op: Any, lr: float, last: int) -> Any:
        options = {theirs: getattr(op, ours) for theirs, ours in settings.items()}
        return getattr(paddle.optimizer.lr, name)(lr, **options)

    return build


def _cosine(op: Any, lr: float, last: int) -> Any:
    cosine = paddle.optimizer.lr.CosineAnnealingDecay(lr, T_max=last - op.warmup, eta_min=op.floor)
    return paddle.optimizer.lr.LinearWarmup(cosine, op.warmup, op.start * lr, lr) if op.warmup else cosine


def _cosine_lacks(op: Any) -> str:
    return "start=1" if op.warmup and op.start == 1 else ""  # LinearWarmup asserts start_lr < end_lr


def _polynomial(op: Any, lr: float, last: int) -> Any:
    return paddle.optimizer.lr.PolynomialDecay(lr, decay_steps=last, end_lr=op.floor, power=op.power)


def _linear(op: Any, lr: float, last: int) -> Any:
    return paddle.optimizer.lr.LinearLR(lr, total_steps=last, start_factor=op.start, end_factor=op.end)


def _warmup(op: Any, lr: float, last: int) -> Any:
    return paddle.optimizer.lr.LinearWarmup(lr, op.steps, op.start * lr, lr)


def _constant(op: Any, lr: float, last: int) -> Any:
    return paddle.optimizer.lr.PiecewiseDecay(boundaries=[op.steps], values=[op.factor * lr, lr])


def _inverse_square_root(op: Any, lr: float, last: int) -> Any:
    # at its peak it has the rate over the root of the warm-up; the constructor itself takes the first step
    rate, before = lr * op.warmup**0.5, op.first - 1
    return paddle.optimizer.lr.NoamDecay(d_model=1, warmup_steps=op.warmup, learning_rate=rate, last_epoch=before)


def _one_cycle(op: Any, lr: float, last: int) -> Any:
    return paddle.optimizer.lr.OneCycleLR(
        lr,
        total_steps=op.steps,
        divide_factor=op.start_divisor,
        end_learning_rate=lr / op.start_divisor / op.end_divisor,
        phase_pct=op.rises,
        anneal_strategy="cos" if op.shape == "cosine" else op.shape,
    )


def _cyclic(op: Any, lr: float, last: int) -> Any:
    return paddle.optimizer.lr.CyclicLR(op.floor, lr, step_size_up=op.up, step_size_down=op.down)


def _table(op: Any, lr: float, last: int) -> Any:
    return paddle.optimizer.lr.LambdaDecay(lr, lambda n: op.factors[n])


def _plateau(op: Any, lr: float, last: int) -> Any:
    class Told(paddle.optimizer.lr.ReduceOnPlateau):  # type: ignore[name-defined, misc]
        """Told a number at every step."""

        def step(self) -> None:
            """With the next number."""
            super().step(next(metrics))

    metrics = iter(op.metrics)
    options = {"mode": "min" if op.better == "less" else "max", "threshold_mode": op.compared[:3]}
    options |= {name: getattr(op, name) for name in ("factor", "patience", "threshold", "cooldown", "epsilon")}
    return Told(lr, min_lr=op.floor, **options)


def _plateau_lacks(op: Any) -> str:
    """What is better than the best while it cools down is forgotten (docs/atlas/schedules.md)."""
    best = [max(op.metrics[:n]) if op.better == "more" else min(op.metrics[:n]) for n in range(1, len(op.metrics))]
    better = any(op.is_better(metric, before) for metric, before in zip(op.metrics[1:], best, strict=True))
    return f"cooldown={op.cooldown}" if op.cooldown and better else ""


SCHEDULES: dict[str, ScheduleRow] = {
    "cosine": ScheduleRow(_cosine, _cosine_lacks),
    "cosine_restarts": ScheduleRow(
        _of("CosineAnnealingWarmRestarts", T_0="period", T_mult="times", eta_min="floor"),
    ),
    "step": ScheduleRow(_of("StepDecay", step_size="every", gamma="factor")),
    "multi_step": ScheduleRow(_of("MultiStepDecay", milestones="milestones", gamma="factor")),
    "exponential": ScheduleRow(_of("ExponentialDecay", gamma="factor")),
    "polynomial": ScheduleRow(_polynomial),
    "linear": ScheduleRow(_linear),
    "warmup": ScheduleRow(_warmup),
    "constant": ScheduleRow(_constant),
    "inverse_square_root": ScheduleRow(_inverse_square_root),
    # `OneCycleLR` divides by the length of the way up
    "one_cycle": ScheduleRow(_one_cycle, lambda op: "" if op.peak else f"rises={op.rises:g}"),
    "cyclic": ScheduleRow(_cyclic),
    "table": ScheduleRow(_table),
    "plateau": ScheduleRow(_plateau, _plateau_lacks),
}
