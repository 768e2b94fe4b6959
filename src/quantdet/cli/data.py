"""Commands that get, organise, check and show data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantdet.cli.output import Json, help_without_command, register, show
from quantdet.cli.stages import ConfigFile, Overrides, Preset, SkipBad

if TYPE_CHECKING:
    from quantdet.config import Config

data_app = typer.Typer()

DataRoot = Annotated[Path, typer.Argument(help="Data set folder, e.g. VOCdevkit/VOC2012.")]
OwnFormat = Annotated[str | None, typer.Option("--format", help="auto, voc, coco, yolo or tool.")]
Labels = Annotated[Path | None, typer.Option("--labels", help="File of class names, one per line.")]


@data_app.callback(invoke_without_command=True)
def data_group(context: typer.Context) -> None:
    """Get, organise, check and look at data sets."""
    help_without_command(context)


def data_download(
    name: Annotated[str, typer.Argument(help="voc2012 or voc2007.")],
    out: Annotated[Path, typer.Option("--out", help="New folder for the download.")],
    source: Annotated[
        str | None, typer.Option("--from", help="Folder, zip, tar or URL instead of Kaggle.")
    ] = None,
) -> None:
    """Download a data set; resumes where it was interrupted.

    Example: quantdet data download voc2012 --out downloads/voc2012
    """
    from quantdet.cli.bars import bar
    from quantdet.data.sources import download

    with bar() as progress:
        path = download(name, out, source=source, progress=progress.named("download"))
    typer.echo(f"{path}\nnext: quantdet data prepare {path} --out VOCdevkit")


def data_prepare(
    source: Annotated[Path, typer.Argument(help="Folder with one or more VOC trees.")],
    out: Annotated[Path, typer.Option("--out", help="VOCdevkit folder to create or add to.")],
    copy: Annotated[bool, typer.Option("--copy", help="Copy instead of hard-linking.")] = False,
    remove_source: Annotated[
        bool, typer.Option("--remove-source", help="Remove the source after verification.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Merge VOC trees into VOCdevkit/VOC<year>; nothing is removed before it is verified.

    Example: quantdet data prepare downloads/voc2012 --out VOCdevkit
    """
    from quantdet.cli.bars import bar
    from quantdet.data.prepare import prepare_voc

    with bar() as progress:
        result = prepare_voc(
            source,
            out,
            link=not copy,
            remove_source=remove_source,
            progress=progress.named("prepare"),
        )
    text = (
        f"{result.root}: {result.pictures} pictures, {result.annotations} annotations, "
        f"{result.lists} lists (linked {result.linked}, copied {result.copied}, "
        f"there before {result.already}, removed from source {result.removed})"
    )
    show(result.to_dict(), as_json, text)


def data_check(  # noqa: PLR0913, PLR0917 - options of the command line
    root: DataRoot,
    data_format: OwnFormat = None,
    labels: Labels = None,
    config: ConfigFile = None,
    preset: Preset = None,
    overrides: Overrides = None,
    skip_bad: SkipBad = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write all findings as JSON.")] = None,
    as_json: Json = False,
) -> None:
    """Find everything that would spoil training; exit code 2 if `train` would stop.

    It decides as `train` does with the same --config, --preset, --set and --skip-bad.

    Example: quantdet data check VOCdevkit/VOC2012
    Example: quantdet data check VOCdevkit/VOC2007 --set data.train_split=trainval
    """
    from quantdet.cli.bars import bar
    from quantdet.cli.data_text import check_text
    from quantdet.data.check import check_configured
    from quantdet.system.atomic import write_json

    settings = _settings(
        root, data_format, labels, overrides, skip_bad=skip_bad, config=config, preset=preset
    )
    with bar() as progress:
        result = check_configured(settings, progress)
    content = {**result.to_dict(), "settings": settings.model_dump(mode="json", include={"data"})}
    if out is not None:
        write_json(out, content)
    show(content, as_json, check_text(result, settings.model.input_size, out))
    if not result.ok:
        raise typer.Exit(2)


def _settings(  # noqa: PLR0913 - options of the command line
    root: Path,
    data_format: str | None,
    labels: Path | None,
    overrides: list[str] | None,
    *,
    skip_bad: bool,
    config: Path | None = None,
    preset: str | None = None,
) -> Config:
    from quantdet.config import load_config

    options = {"root": root, "format": data_format, "labels": labels, "skip_bad": skip_bad or None}
    values = {"data": {key: value for key, value in options.items() if value is not None}}
    return load_config(config, preset=preset, overrides=overrides or (), values=values)


def data_show(  # noqa: PLR0913, PLR0917 - options of the command line
    root: DataRoot,
    out: Annotated[Path, typer.Option("--out", help="Picture file to write.")] = Path("sheet.png"),
    split: Annotated[str, typer.Option("--split", help="Split to show.")] = "train",
    count: Annotated[int, typer.Option("--count", min=1, help="How many pictures.")] = 16,
    data_format: OwnFormat = None,
    labels: Labels = None,
    overrides: Overrides = None,
) -> None:
    """Draw a contact sheet with boxes.

    Example: quantdet data show VOCdevkit/VOC2012 --out sheet.png
    """
    from quantdet.cli.bars import bar
    from quantdet.data.configured import load_described
    from quantdet.data.show import contact_sheet

    config = _settings(root, data_format, labels, overrides, skip_bad=True).data
    with bar() as progress:
        dataset = load_described(config, splits=(split,))
        contact_sheet(
            dataset.splits[split],
            dataset.labels,
            out,
            count=count,
            seed=0,
            progress=progress.named("draw"),
        )
    typer.echo(str(out))


def data_convert(  # noqa: PLR0913, PLR0917 - options of the command line
    root: DataRoot,
    out: Annotated[Path, typer.Option("--out", help="Folder to create.")],
    to: Annotated[str, typer.Option("--to", help="voc, coco or yolo.")],
    data_format: OwnFormat = None,
    labels: Labels = None,
    overrides: Overrides = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy instead of hard-linking.")] = False,
    skip_bad: SkipBad = False,
) -> None:
    """Write a data set in another format; pictures are hard links where the disk allows.

    Example: quantdet data convert VOCdevkit/VOC2012 --to yolo --out voc2012-yolo
    """
    from quantdet.cli.bars import bar
    from quantdet.data.configured import load_described
    from quantdet.data.convert import convert_dataset

    config = _settings(root, data_format, labels, overrides, skip_bad=skip_bad).data
    with bar() as progress:
        # A box of a picture that has another size would come to lie elsewhere without a word.
        dataset = load_described(config, decode=True, progress=progress.named("read"))
        done = convert_dataset(dataset, out, to, link=not copy, progress=progress.named("write"))
    typer.echo(f"{done.root}: {done.pictures} pictures, {len(dataset.labels)} classes")
    for reason in dataset.skipped:
        typer.echo(f"left out: {reason}")
    if done.objects_left_out:
        typer.echo(f"left out: {done.objects_left_out} difficult objects, which {to} cannot mark")


register(data_app, data_download, "download")
register(data_app, data_prepare, "prepare")
register(data_app, data_check, "check")
register(data_app, data_show, "show")
register(data_app, data_convert, "convert")
