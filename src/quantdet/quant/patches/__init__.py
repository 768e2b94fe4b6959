"""The first operators of an integer .tflite computed patch by patch, for a smaller arena.

The first blocks of a net have the largest tensors. Computed on one part of the picture after
another (MCUNetV2, arXiv:2110.15352, section 3.1) these are never there as a whole; what neighbours
need of each other is computed twice. Here that is a matter of the file: slices, the same operators
with the same constants, paddings, concatenations. Any interpreter runs it, with the same integers.
"""
