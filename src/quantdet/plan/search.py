"""Which nets fit a device, and which nearly do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from quantdet.plan.boards import Limits
from quantdet.plan.costs import Cost
from quantdet.plan.nets import Net, nets
from quantdet.progress import Tick, no_tick

_NEAREST = 3


@dataclass(frozen=True)
class Planned:
    """A net with what it costs.

    Attributes:
        net: the net.
        cost: of it.
        in_patches: it fits only with its first layers in patches.
        too_much: "flash", "ram" or "time" → how many times what there is, of those above 1.
    """

    net: Net
    cost: Cost
    in_patches: bool
    too_much: dict[str, float]


@dataclass(frozen=True)
class Plan:
    """What fits.

    Attributes:
        limits: what there is.
        fits: nets that fit, those of more multiplications first.
        nearest: the nearest of those that do not.
    """

    limits: Limits
    fits: tuple[Planned, ...]
    nearest: tuple[Planned, ...]


def plan(
    limits: Limits,
    kinds: Iterable[str],
    cost: Callable[[Net], Cost],
    progress: Tick = no_tick,
) -> Plan:
    """Return the nets that fit a device.

    Of each kind and width larger pictures are looked at until they do not fit any more, and wider
    nets until not even the smallest picture fits: all of a cost grow with both.

    Args:
        limits: what there is.
        kinds: out of ``kinds.KINDS``.
        cost: net → what it costs.
        progress: called with (nets looked at or left out, all nets).

    Raises:
        ConfigError: a kind is not known.
    """
    rows = list(nets(kinds))
    total, done = sum(map(len, rows)), 0
    fits: list[Planned] = []
    misses: list[Planned] = []
    full: set[str] = set()
    for row in rows:
        for number, net in enumerate(row if row[0].name not in full else ()):
            progress(done + number, total)
            judged = judge(net, cost(net), limits)
            (misses if judged.too_much else fits).append(judged)
            if judged.too_much:
                full |= set() if number else {net.name}
                break
        done += len(row)
    progress(total, total)
    misses.sort(key=lambda item: max(item.too_much.values()))
    fits.sort(key=lambda item: -item.cost.macs)
    return Plan(limits, tuple(fits), tuple(misses[:_NEAREST]))


def judge(net: Net, cost: Cost, limits: Limits) -> Planned:
    """Compare what a net costs with what there is."""
    shares = {"flash": cost.bytes / limits.flash, "ram": cost.patched_arena / limits.ram}
    if limits.max_ms is not None:
        shares["time"] = cost.latency_ms / limits.max_ms
    too_much = {name: share for name, share in shares.items() if share > 1}
    return Planned(net, cost, cost.arena > limits.ram and "ram" not in too_much, too_much)
