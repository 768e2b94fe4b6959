"""torchvision's MobileNetV2, written a second time from the checkpoint's own names.

Independent of quantdet.models: NCHW tensors are looked up by torchvision's names, padding is
symmetric, BatchNorm uses epsilon 1e-5, everything in float64 numpy.
"""

import numpy as np

CONFIG = [
    (1, 1, 1),
    (6, 2, 2),
    (6, 3, 2),
    (6, 4, 2),
    (6, 3, 1),
    (6, 3, 2),
    (6, 1, 1),
]  # expansion, repeats, first stride


def conv(x, kernel, stride=1, groups=1):
    """x (C, H, W), kernel (O, I/groups, k, k), padding (k - 1) // 2 on every side."""
    size = kernel.shape[-1]
    pad = (size - 1) // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    windows = windows[:, ::stride, ::stride]
    if groups == 1:
        return np.einsum("chwyx,ocyx->ohw", windows, kernel, optimize=True)
    return np.einsum("chwyx,cyx->chw", windows, kernel[:, 0])


def norm(x, state, name):
    scale = state[f"{name}.weight"] / np.sqrt(state[f"{name}.running_var"] + 1e-5)
    shift = state[f"{name}.bias"] - state[f"{name}.running_mean"] * scale
    return x * scale[:, None, None] + shift[:, None, None]


def relu6(x):
    return np.clip(x, 0, 6)


def block(x, state, name, expansion, stride):
    y, step = x, 0
    if expansion != 1:
        y = relu6(norm(conv(y, state[f"{name}.0.0.weight"]), state, f"{name}.0.1"))
        step = 1
    kernel = state[f"{name}.{step}.0.weight"]
    y = relu6(norm(conv(y, kernel, stride, groups=len(kernel)), state, f"{name}.{step}.1"))
    y = norm(conv(y, state[f"{name}.{step + 1}.weight"]), state, f"{name}.{step + 2}")
    return x + y if stride == 1 and x.shape == y.shape else y


def logits(state, pixels):
    """pixels uint8 (H, W, 3) → logits (1000,), normalised as torchvision's transforms do."""
    state = {key: value.astype(np.float64) for key, value in state.items()}
    x = (pixels / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    x = x.transpose(2, 0, 1)
    x = relu6(norm(conv(x, state["features.0.0.weight"], 2), state, "features.0.1"))
    index = 1
    for expansion, repeats, first_stride in CONFIG:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            x = block(x, state, f"features.{index}.conv", expansion, stride)
            index += 1
    x = relu6(norm(conv(x, state["features.18.0.weight"]), state, "features.18.1"))
    pooled = x.mean(axis=(1, 2))
    return state["classifier.1.weight"] @ pooled + state["classifier.1.bias"]
