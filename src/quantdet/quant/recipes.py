"""Recipes: what is quantized how. The name decodes itself.

``static_wi8_ai8``: static ranges, weights int8 (one scale per output channel), activations
int8. ``_per_tensor``: one scale for a whole weight tensor, for NPUs that need it.
"""

from __future__ import annotations

from dataclasses import dataclass

from quantdet.errors import QuantizationError


@dataclass(frozen=True)
class Recipe:
    """How to quantize.

    Attributes:
        name: key in RECIPES.
        per_channel: weights of convolutions get one scale per output channel. Dense layers
            always have one scale: LiteRT's converter and TFLite-Micro want it so.
    """

    name: str
    per_channel: bool


RECIPES: dict[str, Recipe] = {
    "static_wi8_ai8": Recipe("static_wi8_ai8", per_channel=True),
    "static_wi8_ai8_per_tensor": Recipe("static_wi8_ai8_per_tensor", per_channel=False),
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe called ``name``.

    Raises:
        QuantizationError: there is none; the message lists those there are.
    """
    if name not in RECIPES:
        raise QuantizationError(f"recipe {name!r} is unknown; choose one of {sorted(RECIPES)}")
    return RECIPES[name]
