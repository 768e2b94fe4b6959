"""Recipes: what is quantized how. The name decodes itself.

``static_wi8_ai8``: static ranges, weights int8, activations int8. Convolutions have one scale per
output channel, dense layers one for all: LiteRT's converter and TFLite-Micro want it so.

A model may mix recipes by layer name, with the activations of one width.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quantdet.errors import QuantizationError


@dataclass(frozen=True)
class Recipe:
    """How to quantize.

    Attributes:
        weight_bits: 8 or 4.
        activation_bits: 8, or 16 with int16 kernels ("16x8").
        per_channel: convolutions get one weight scale per output channel, else one in all.
        dense_per_channel: dense layers, too; they are then written as 1x1 convolutions.
        equalize: spread weights evenly over channels first (equalize.py).
    """

    weight_bits: int = 8
    activation_bits: int = 8
    per_channel: bool = True
    dense_per_channel: bool = False
    equalize: bool = False


RECIPES: dict[str, Recipe] = {
    "static_wi8_ai8": Recipe(),
    "static_wi8_ai8_per_tensor": Recipe(per_channel=False, equalize=True),
    "static_wi8_ai8_dense_per_channel": Recipe(dense_per_channel=True),
    "static_wi8_ai16": Recipe(activation_bits=16),
    "static_wi4_ai8": Recipe(weight_bits=4, dense_per_channel=True),
}
"""Name → how weights and activations are quantized."""

Rules = Sequence[tuple[str, str]]
"""(regular expression for a whole layer name, recipe name); the first that matches counts."""


def find_recipe(name: str) -> Recipe:
    """Return the recipe called ``name``.

    Raises:
        QuantizationError: there is none; the message lists those there are.
    """
    if name not in RECIPES:
        raise QuantizationError(f"recipe {name!r} is unknown; choose one of {sorted(RECIPES)}")
    return RECIPES[name]


def equalizes(recipe: str | Rules) -> bool:
    """Tell whether a recipe, or one of several, wants equalization (equalize.py)."""
    return any(find_recipe(name).equalize for _, name in _rules(recipe))


def _rules(recipe: str | Rules) -> Rules:
    return [(".*", recipe)] if isinstance(recipe, str) else recipe


class RecipeBook:
    """Recipes by layer name.

    Args:
        recipe: name of one recipe for every layer, or rules.
        layers: names of the layers with weights.

    Raises:
        QuantizationError: unknown recipe, a pattern that is not a regular expression or matches no
            layer, a layer that no rule matches, or recipes of different activation width.
    """

    def __init__(self, recipe: str | Rules, layers: Iterable[str]) -> None:
        recipes = [
            (pattern, _compile(pattern), find_recipe(name)) for pattern, name in _rules(recipe)
        ]
        unused = dict.fromkeys(pattern for pattern, _, _ in recipes)
        self._by_layer: dict[str, Recipe] = {}
        for layer in layers:
            for pattern, compiled, found in recipes:
                if compiled.fullmatch(layer):
                    self._by_layer[layer] = found
                    unused.pop(pattern, None)
                    break
            else:
                raise QuantizationError(
                    f"recipe: no rule matches layer {layer!r}; add a last rule "
                    "('.*', 'static_wi8_ai8')"
                )
        if unused and self._by_layer:
            raise QuantizationError(
                f"recipe: rule {next(iter(unused))!r} matches no layer that an earlier rule left; "
                f"layers with weights are {list(self._by_layer)}"
            )
        self.activation_bits = _common_width(found for _, _, found in recipes)

    def for_layer(self, name: str) -> Recipe:
        """Return the recipe of a layer with weights; that of layers the engine adds is plain."""
        return self._by_layer.get(name, Recipe())


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise QuantizationError(
            f"recipe: {pattern!r} is not a regular expression ({error})"
        ) from None


def _common_width(recipes: Iterable[Recipe]) -> int:
    widths = {recipe.activation_bits for recipe in recipes}
    if len(widths) != 1:
        raise QuantizationError(
            "recipe: rules mix activations of 8 and 16 bits; the integer kernels need one width "
            "in the whole model, only weights can be mixed"
        )
    return widths.pop()
