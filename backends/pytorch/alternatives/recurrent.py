"""What can a recurrent network have been instead: its states, weights, directions, gates, the lengths it is told?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from isograd.backends.pytorch.alternatives.building import Args, Call, Options, Table, interleaved
from isograd.backends.pytorch.spelled import Recurrent, gru
from isograd.framework import Other
from isograd.lazy import LazyModule

torch: Any = LazyModule("torch")


def _of_recurrent(args: Args, options: Options) -> Iterator[Other]:
    """What `torch.lstm` and its like are given."""
    of = Recurrent.of(*args)
    ones = _given(lambda of: {"state": _each(of.state, lambda x: x + 1)})
    yield Other("the hidden state starts with ones there", ones)
    if of.sizes is None:
        time = 1 if of.batch_first else 0
        yield Other("the sequence is read from its end there: reversed in time", _in_time(lambda x: x.flip(time)))
        yield Other("the batch is taken for the time there (batch first, time major)", _batch_for_time)
    if of.layers > 1 and not of.both:
        every = "every layer takes the weights of the first there"
        yield Other(every, _given(lambda of: {"weights": list(of.weights[: of.each]) * of.layers}))
        rest = "every layer but the first takes the weights of the second there"
        yield Other(rest, _given(lambda of: {"weights": _second_for_rest(of)}))
    if of.both:
        both = "both directions take the weights of the first there"
        yield Other(both, _given(lambda of: {"weights": _one_direction(of)}))
        backward = _directions(lambda halves: torch.cat(halves[::-1], -1))
        yield Other("the directions are exchanged there: backward before forward", backward)
        yield Other("the directions are interleaved there, not side by side", _directions(interleaved))
        yield Other("the directions are added there", _directions(lambda halves: torch.cat([sum(halves)] * 2, -1)))
        if of.layers == 1 and of.sizes is None:
            words = "the direction back is read forward there: the sequence is not reversed for it"
            yield Other(words, _both_forward)
    if of.biases:
        for at, words in ((2, "the first bias (of the input)"), (3, "the second bias (of the state)")):
            yield Other(f"{words} is left out there: it is missing", _given(_without(at)))


def _given(change: Callable[[Recurrent], dict[str, Any]]) -> Call:
    """The same call with some of what it is given otherwise."""

    def call(f: Any, a: Args, o: Options) -> Any:
        of = Recurrent.of(*a)
        return f(*replace(of, **change(of)).args())

    return call


def _each(state: Any, change: Callable[[Any], Any]) -> Any:
    return tuple(map(change, state)) if isinstance(state, (tuple, list)) else change(state)


def _in_time(change: Callable[[Any], Any]) -> Call:
    def call(f: Any, a: Args, o: Options) -> Any:
        out, *state = f(change(a[0]), *a[1:], **o)
        return (change(out), *state)

    return call


def _batch_for_time(f: Any, a: Args, o: Options) -> Any:
    of = Recurrent.of(*a)
    x = of.x.transpose(0, 1)
    samples = x.shape[0 if of.batch_first else 1]
    state = _each(of.state, lambda s: s.new_zeros(s.shape[0], samples, s.shape[2]))
    out, *rest = f(*replace(of, x=x, state=state).args())
    return (out.transpose(0, 1), *rest)


def _second_for_rest(of: Recurrent) -> list[Any]:
    return [*of.weights[: of.each], *list(of.weights[of.each : 2 * of.each]) * (of.layers - 1)]


def _one_direction(of: Recurrent) -> list[Any]:
    pairs = [of.weights[at : at + of.each] for at in range(0, len(of.weights), 2 * of.each)]
    return [w for pair in pairs for w in (*pair, *pair)]


def _directions(join: Callable[[Sequence[Any]], Any]) -> Call:
    def call(f: Any, a: Args, o: Options) -> Any:
        out, *state = f(*a, **o)
        return (join(out.chunk(2, -1)), *state)

    return call


def _both_forward(f: Any, a: Args, o: Options) -> Any:
    of = Recurrent.of(*a)
    out, *state = f(*a, **o)
    swapped = [*of.weights[of.each :], *of.weights[: of.each]]
    other = f(*replace(of, weights=swapped).args())[0]
    return (torch.cat([out.chunk(2, -1)[0], other.chunk(2, -1)[0]], -1), *state)


def _without(bias: int) -> Callable[[Recurrent], dict[str, Any]]:
    return lambda of: {"weights": [torch.zeros_like(v) if i % 4 == bias else v for i, v in enumerate(of.weights)]}


def _of_gru(args: Args, options: Options) -> Iterator[Other]:
    for reset in ("of both parts", "of the state"):
        words = f"the reset gate is a factor {reset} there, not of the state's part of the candidate"
        yield Other(words, _reset(reset))


def _reset(where: str) -> Call:
    return lambda f, a, o: gru(*a, reset=where)


def _of_packing(args: Args, options: Options) -> Iterator[Other]:
    """Sequences of which padding is no part: `torch._pack_padded_sequence`."""
    whole = "the lengths are missing there: padding is read too (not masked, not packed)"
    yield Other(whole, lambda f, a, o: f(a[0], torch.full_like(a[1], _longest(a)), *a[2:], **o))
    for by in (1, -1):
        yield Other(f"the lengths are {by:+d} there", _lengths(by))


def _lengths(by: int) -> Call:
    return lambda f, a, o: f(a[0], (a[1] + by).clamp(1, _longest(a)), *a[2:], **o)


def _longest(a: Args) -> int:
    return int(a[0].shape[1 if a[2] else 0])


TABLE: Table = {
    ("lstm", "gru", "rnn_tanh", "rnn_relu"): _of_recurrent,
    ("gru",): _of_gru,
    ("_pack_padded_sequence",): _of_packing,
}
