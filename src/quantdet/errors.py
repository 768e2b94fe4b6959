"""Errors that a user can act on.

Every message names the file, line or field at fault and the remedy. The command line turns
them into exit code 2 without a traceback; anything else is a defect of quantdet (exit code 1).
"""

__all__ = [
    "ConfigError",
    "DataError",
    "DependencyError",
    "ExportError",
    "ModelError",
    "QuantdetError",
    "QuantizationError",
    "QuantizationWarning",
]


class QuantdetError(Exception):
    """Base of all errors caused by input, configuration or environment."""


class ConfigError(QuantdetError):
    """A configuration file or ``--set`` value is wrong."""


class DataError(QuantdetError):
    """A data set, picture or annotation is missing or malformed."""


class DataWarning(UserWarning):
    """A data set can be used, but something about it is worth knowing."""


class ModelError(QuantdetError):
    """A model file, checkpoint or contract is missing, corrupt or does not fit."""


class QuantizationError(QuantdetError):
    """A model cannot be quantized as asked."""


class QuantizationWarning(UserWarning):
    """A model was quantized, but far from its float model."""


class ExportError(QuantdetError):
    """An exported file is not what was promised, e.g. not fully integer."""


class DependencyError(QuantdetError):
    """An optional package is not installed; the message has the install command."""
