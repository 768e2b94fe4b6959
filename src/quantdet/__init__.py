"""quantdet: images with boxes in, full-integer uint8 LiteRT detector out."""

__version__ = "0.1.0"
