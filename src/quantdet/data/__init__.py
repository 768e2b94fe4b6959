"""Pictures with boxes: download, read, check, cache, augment, generate.

Public names, loaded on first use; those that need nothing but a folder are in ``quantdet``, too.
"""

from __future__ import annotations

from quantdet.system.lazy import lazy_names

_PUBLIC = {
    "ClassChoice": "quantdet.data.classes",
    "Dataset": "quantdet.data.sample",
    "ObjectAnnotation": "quantdet.data.sample",
    "Sample": "quantdet.data.sample",
    "check_dataset": "quantdet.data.check",
    "contact_sheet": "quantdet.data.show",
    "convert_dataset": "quantdet.data.convert",
    "download": "quantdet.data.sources",
    "generate_scenes": "quantdet.data.scenes",
    "load_configured": "quantdet.data.configured",
    "load_dataset": "quantdet.data.dataset",
    "prepare_voc": "quantdet.data.prepare",
    "render_scene": "quantdet.data.scenes",
}
__all__ = sorted(_PUBLIC)  # noqa: PLE0605 - names are in the dict above
__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
