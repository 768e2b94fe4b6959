"""One epoch as a line of text, for the screen and the log file."""

from __future__ import annotations

from quantdet.train.history import MAP, Row


def epoch_line(row: Row, epochs: int, images_per_second: float, seconds_left: float) -> str:
    """Return e.g. "epoch 12/40  loss 0.412 (boxes 0.101, scores 0.311)  val loss 0.520  …"."""
    losses = _losses(row, "")
    parts = [f"epoch {row['epoch']:g}/{epochs}", f"loss {row['loss']:.4g}{losses}"]
    if "val_loss" in row:
        parts.append(f"val loss {row['val_loss']:.4g}{_losses(row, 'val_')}")
    if MAP in row:
        parts.append(f"val mAP {100 * row[MAP]:.1f}")
    parts += [
        f"{_words(name)} {value:.3f}"
        for name, value in row.items()
        if name.startswith("val_") and not name.endswith("loss") and name != MAP
    ]
    parts += [f"{images_per_second:.1f} images/s", f"{_clock(seconds_left)} left"]
    return "  ".join(parts)


def _losses(row: Row, start: str) -> str:
    """Return the losses of the outputs whose names begin with ``start``, in brackets."""
    found = [
        f"{name.removeprefix(start).removesuffix('_loss')} {value:.4g}"
        for name, value in row.items()
        if name.endswith("_loss") and name != "val_loss" and name.startswith("val_") == bool(start)
    ]
    return f" ({', '.join(found)})" if found else ""


def _words(name: str) -> str:
    return name.replace("val_", "val ", 1).replace("_", " ")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
