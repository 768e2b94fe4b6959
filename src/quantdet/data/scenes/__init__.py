"""A generated VOC data set for the demo and for tests, read by the same reader as any other."""

from __future__ import annotations

from quantdet.data.scenes.generate import generate_scenes, render_scene
from quantdet.data.scenes.objects import SCENE_CLASSES

__all__ = ["SCENE_CLASSES", "generate_scenes", "render_scene"]
