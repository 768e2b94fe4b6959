"""A .tflite with its contract, as formats that need nothing else take it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quantdet.errors import ExportError
from quantdet.quant.litert.flatbuffer import read_model
from quantdet.runtime.contract import Contract, load_contract
from quantdet.runtime.engine import Engine
from quantdet.runtime.fit import check_fit
from quantdet.runtime.raw import output_specs

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class ModelSource:
    """A detector.

    Attributes:
        name: of the file, without suffix.
        content: of the file.
        contract: of it.
        output_parts: the part of the contract that each output of the file is ("boxes" …), in
            the order of the file, which is the converter's choice.
    """

    name: str
    content: bytes
    contract: Contract
    output_parts: tuple[str, ...]

    @classmethod
    def load(cls, model_file: Path) -> ModelSource:
        """Read a .tflite and its contract, and check that they fit.

        Raises:
            ModelError: file or contract missing or corrupt, or they do not match.
        """
        contract = load_contract(model_file)
        check_fit(model_file, contract, Engine(model_file, signature=contract.signature))
        content = model_file.read_bytes()
        return cls(model_file.stem, content, contract, output_parts(read_model(content), contract))


def output_parts(model: keras.Model, contract: Contract) -> tuple[str, ...]:
    """Return the part of the contract that each output of a model is, or else its name.

    Raises:
        ExportError: the file lacks an output of the contract.
    """
    graph = model.subgraphs[0]
    names = {int(index): bytes(graph.tensors[index].name).decode() for index in graph.outputs}
    for signature in model.signatureDefs or []:
        if bytes(signature.signatureKey).decode() == contract.signature:
            names |= {int(i.tensorIndex): bytes(i.name).decode() for i in signature.outputs}
    parts = {spec.name: part for part, spec in output_specs(contract).items()}
    missing = sorted(set(parts) - set(names.values()))
    if missing:
        raise ExportError(
            f"contract: output {missing[0]!r} is not one of the file's, {sorted(names.values())}; "
            "fix its name in the contract"
        )
    return tuple(parts.get(names[int(index)], names[int(index)]) for index in graph.outputs)
