"""Every constructor option of every supported layer is honoured in the file, or refused.

An option is, for a layer class,

    honoured: in ``options`` of its row in random_nets.LAYERS; each value goes all the way here
    honoured or refused: in ``rare`` of that row; a refusal has to name the option
    without effect: in WITHOUT_EFFECT, for all classes

An option that is in neither fails, so that one that Keras adds cannot slip through.
"""

from __future__ import annotations

import ast
import inspect

import keras
import pytest
from keras import layers as kl

from quantdet.quant.equivalents import EQUIVALENTS
from quantdet.quant.primitives import Primitive
from quantdet.quant.rules import RULES
from quantdet.quant.weighted import WEIGHTED
from tests.quant.judge import judge
from tests.quant.random_nets import LAYERS, Kind, fill, run_program

# Option → a value that is not the default and must not change what is computed; None where the
# option is an argument that subclasses fill in.
WITHOUT_EFFECT: dict[str, str | None] = {
    **{
        f"{weight}_{what}": value
        for weight in (
            *("kernel", "bias", "depthwise", "pointwise"),
            *("beta", "gamma", "moving_mean", "moving_variance", "alpha"),
        )
        for what, value in (
            ("initializer", "'ones'"),
            ("regularizer", "'l2'"),
            ("constraint", "'max_norm'"),
        )
    },
    "activity_regularizer": "'l2'",
    "autocast": "False",
    "bounding_box_format": None,
    "dtype": "'float32'",
    "factor": None,
    "momentum": "0.5",
    "name": "'own_name'",
    "quantization_config": None,
    "renorm_clipping": None,
    "renorm_momentum": None,
    "seed": "3",
    "synchronized": None,
    "trainable": "False",
    **dict.fromkeys(("rank", "pool_dimensions", "pool_mode")),
}

# Arguments of a base that a subclass gives itself.
_FILLED_IN = {(kl.ActivityRegularization, "activity_regularizer")}

_BEFORE = {
    4: ("(8, 9, 4)", "kl.Conv2D(4, 3, padding='same')(a)", "kl.Conv2D({c}, 1)({x})"),
    3: ("(7, 4)", "kl.Dense(4)(a)", "kl.Dense({c})({x})"),
    2: ("(6,)", "kl.Dense(4)(a)", "kl.Dense({c})({x})"),
}
_SHAPES = {4: (8, 9, 4), 3: (7, 4), 2: (4,)}
_CLASSES = sorted({kind.layer for kind in LAYERS}, key=lambda layer: layer.__name__)


def _parameters(layer: type) -> list[str]:
    """Return the constructor arguments of a class and, if it passes on others, of its bases."""
    found: list[str] = []
    for base in layer.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        found += [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        if base is keras.layers.Layer or all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return [name for name in dict.fromkeys(found) if name != "self"]


def _listed(layer: type) -> set[str]:
    """Return the arguments that the rows of a class give."""
    positional, names = list(inspect.signature(layer).parameters), set()
    for kind in (kind for kind in LAYERS if kind.layer is layer):
        for texts in [_required(kind), *([text] for text in (*kind.options, *kind.rare))]:
            arguments = ", ".join(texts).format(c=4, h=9, w=8)
            call = ast.parse(f"f({arguments})", mode="eval").body
            names |= {keyword.arg for keyword in call.keywords}
            names |= set(positional[: len(call.args)])
    return names


def test_every_supported_layer_is_in_the_table():
    own = {layer for layer in RULES if issubclass(layer, Primitive)}
    assert {*RULES, *EQUIVALENTS, *WEIGHTED} - own <= set(_CLASSES)


@pytest.mark.parametrize("layer", _CLASSES, ids=lambda layer: layer.__name__)
def test_every_option_is_listed(layer):
    missing = [
        name
        for name in _parameters(layer)
        if name not in WITHOUT_EFFECT and name not in _listed(layer)
    ]
    assert not missing, f"{layer.__name__}: list {missing} in random_nets.LAYERS or WITHOUT_EFFECT"


def test_an_option_that_is_new_is_found():
    class Newer(kl.Dense):
        def __init__(self, units, sparsity=0.5, **kwargs):
            super().__init__(units, **kwargs)

    known = {*WITHOUT_EFFECT, *_listed(kl.Dense)}
    assert [name for name in _parameters(Newer) if name not in known] == ["sparsity"]


def _program(kind: Kind, choices: list[list[str]]) -> str:
    """Return a net with a branch for each choice of arguments."""
    axes = kind.axes[-1]
    shape, before, other = _BEFORE[axes]
    lines = [
        f"data_a = (pixels({shape}, 1) - 128) / 127.5",
        f"a = keras.Input({shape}, name='a')",
        f"t = {before}",
    ]
    others = {place: other.format(c=4, x="t") for place in "yz"}
    names = []
    for number, texts in enumerate(choices):
        names.append(f"t{number}")
        named = [*texts, *([] if "name=" in str(texts) else [f"name='option_{number}'"])]
        lines.append(f"t{number} = {fill(kind, named, _SHAPES[axes], x='t', **others)}")
    lines += [f"model = keras.Model(a, [{', '.join(names)}])", "x = data_a"]
    return "\n".join(lines) + "\n"


def _required(kind: Kind, number: int = 0) -> list[str]:
    return [values[number % len(values)] for values in kind.given]


def _id(kind: Kind) -> str:
    return f"{kind.layer.__name__}-{kind.axes[-1]}-{LAYERS.index(kind)}"


@pytest.mark.parametrize("kind", [kind for kind in LAYERS if not kind.odd], ids=_id)
def test_options_are_honoured(kind):
    count = max([1, *(len(values) for values in kind.given)])
    choices = [_required(kind, number) for number in range(count)]
    choices += [[*_required(kind), text] for text in kind.options]
    refusal = judge(run_program(_program(kind, choices), seed=1)).refusal
    assert refusal is None, refusal


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        pytest.param(
            kind,
            text,
            id=f"{_id(kind)}-{text}",
            # One of each row in `make test`.
            marks=pytest.mark.slow if kind.odd or number else (),
        )
        for kind in LAYERS
        for number, text in enumerate(kind.rare)
    ],
)
def test_options_are_honoured_or_refused_by_name(kind, text):
    refusal = judge(run_program(_program(kind, [[*_required(kind), text]]), seed=1)).refusal
    # Where the whole layer is refused, there is no option to name.
    wanted = ["'option_0", *([] if kind.odd else [text.split("=", 1)[0]])]
    assert refusal is None or all(name in refusal for name in wanted), refusal


@pytest.mark.slow
@pytest.mark.parametrize("layer", _CLASSES, ids=lambda layer: layer.__name__)
def test_options_without_effect_have_none(layer):
    kind = next(kind for kind in LAYERS if kind.layer is layer)
    texts = [
        f"{name}={WITHOUT_EFFECT[name]}"
        for name in _parameters(layer)
        if WITHOUT_EFFECT.get(name) is not None
        and name not in _listed(layer)
        and (layer, name) not in _FILLED_IN
    ]
    refusal = judge(run_program(_program(kind, [[*_required(kind), *texts]]), seed=1)).refusal
    assert kind.odd or refusal is None, refusal
