"""All stages of a run, one after another.

Each stage reads the folder, writes its results in one step, can be run again (what is finished
is not repeated) and resumes where it was killed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from quantdet.config import Config
from quantdet.progress import Progress, silent
from quantdet.runs import Run
from quantdet.stages.analyse import run_analyse
from quantdet.stages.evaluate import run_evaluate
from quantdet.stages.export import run_export
from quantdet.stages.report import run_report
from quantdet.stages.train import run_qat, run_train
from quantdet.stages.verify import run_verify
from quantdet.system.folder_lock import exclusive
from quantdet.system.processes import leads, leave_processes


@dataclass(frozen=True)
class Stage:
    """A stage of a run.

    Attributes:
        act: carries it out with the settings of the run.
        always: whether :func:`run_all` does.
    """

    act: Callable[[Run, Progress], object]
    always: bool = True


STAGES: Mapping[str, Stage] = {
    "train": Stage(lambda run, progress: run_train(run.load_config(), run.root, progress)),
    "qat": Stage(run_qat),
    "export": Stage(
        lambda run, progress: run_export(run, ("uint8", "int8-ptq", "float32"), progress)
    ),
    "evaluate": Stage(lambda run, progress: run_evaluate(run, progress=progress)),
    "analyse": Stage(lambda run, progress: run_analyse(run, sensitivity=False, progress=progress)),
    "verify": Stage(lambda run, progress: run_verify(run, progress=progress), always=False),
    "report": Stage(lambda run, progress: run_report(run)),
}
"""All stages in their order."""
_TRAINING = ("train", "qat")


def run_all(
    config: Config,
    out: Path | str,
    progress: Progress = silent,
    apart: Callable[[Callable[[], object]], None] | None = None,
) -> Run:
    """Run every stage but verify; the baselines are exported, too.

    Of several processes that train together the first goes on after that, alone.

    Args:
        config: of the whole run.
        out: run folder.
        progress: called with (phase, done, total).
        apart: calls the float training, in another process for instance; None: it is called here.
    """
    run = Run(out)
    given = run.with_config(config, same_data=True)
    with exclusive(run.root) if leads() else nullcontext():
        train = partial(STAGES["train"].act, given, progress)
        train() if apart is None else apart(train)
        STAGES["qat"].act(run, progress)
        leave_processes()
        for name, stage in STAGES.items() if leads() else ():
            if stage.always and name not in _TRAINING:
                stage.act(run, progress)
    return run
