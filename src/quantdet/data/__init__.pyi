# Written by docs/reference.py: the names of __init__.py, for type checkers.
from quantdet.data.check import check_dataset
from quantdet.data.classes import ClassChoice
from quantdet.data.configured import load_configured
from quantdet.data.convert import convert_dataset
from quantdet.data.dataset import load_dataset
from quantdet.data.prepare import prepare_voc
from quantdet.data.sample import Dataset, ObjectAnnotation, Sample
from quantdet.data.scenes import generate_scenes, render_scene
from quantdet.data.show import contact_sheet
from quantdet.data.sources import download

__all__ = [
    "ClassChoice",
    "Dataset",
    "ObjectAnnotation",
    "Sample",
    "check_dataset",
    "contact_sheet",
    "convert_dataset",
    "download",
    "generate_scenes",
    "load_configured",
    "load_dataset",
    "prepare_voc",
    "render_scene",
]
