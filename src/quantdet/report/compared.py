"""The runs of a comparison: their result files, and names that tell them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from quantdet.config import Config
from quantdet.errors import ConfigError
from quantdet.kinds import find_family
from quantdet.report.html import run_name
from quantdet.report.verdict import FLOATS
from quantdet.report.views import View, find_view
from quantdet.results.folder import Results, read_results
from quantdet.results.metrics import AnyMetrics, Variant
from quantdet.runs import Run


@dataclass(frozen=True)
class Compared:
    """One of the runs.

    Attributes:
        name: short, and no other's.
        run: the folder.
        config: its configuration.
        results: its result files.
        view: of its task.
    """

    name: str
    run: Run
    config: Config
    results: Results
    view: View

    @property
    def family(self) -> str:
        """The family of its model."""
        return find_family(self.config.model.name)

    @property
    def metrics(self) -> AnyMetrics | None:
        """What was measured."""
        return self.results.metrics

    @property
    def uint8(self) -> Variant | None:
        """Figures of the uint8 file, None if not measured."""
        return self.metrics.variant("uint8_tflite") if self.metrics else None

    @property
    def floats(self) -> Variant | None:
        """Figures of the float model, None if not measured."""
        return self.metrics.variant(*FLOATS) if self.metrics else None


def read_compared(runs: Sequence[Run]) -> list[Compared]:
    """Read the result files of several runs.

    Raises:
        ConfigError: fewer than two runs, the same one twice, or runs of different kinds.
        QuantdetError: a run cannot be read.
    """
    folders = [run.root.resolve() for run in runs]
    again = [str(path) for path, times in Counter(folders).items() if times > 1]
    if len(runs) < 2 or again:
        raise ConfigError(f"{again[0] if again else 'one run'}: name two or more different runs")
    names = [path.name for path in folders]
    if len(set(names)) < len(names):
        names = [run_name(run) for run in runs]
    if len(set(names)) < len(names):
        names = [str(path) for path in folders]
    compared = []
    for name, run in zip(names, runs, strict=True):
        config = run.load_config()
        view = find_view(config.model.name)
        compared.append(Compared(name, run, config, read_results(run), view))
    first = compared[0]
    for item in compared[1:]:
        if item.family != first.family:
            raise ConfigError(
                f"{item.run.root}: is a {item.config.model.name}, {first.run.root} a "
                f"{first.config.model.name}; their accuracies have no common measure, compare "
                "runs of one kind"
            )
    return compared


def same_test(first: Compared, other: Compared) -> bool:
    """Tell whether two runs were measured on the same pictures with the same annotations."""
    details = first.results.details, other.results.details
    prints = [item.test_fingerprint for item in details if item is not None]
    return len(prints) == 2 and prints[0] == prints[1] != ""
