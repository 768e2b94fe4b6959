"""What processes that train together on this machine are started with."""

from __future__ import annotations

import os
import socket

from quantdet.system.processes import VARIABLES


def environments(count: int, devices: int) -> list[dict[str, str]]:
    """Return the variables of each process, which has so many virtual devices of the CPU."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "{}:{}".format(*free.getsockname())
    return [
        {
            **on_virtual_devices(devices),
            **dict(zip(VARIABLES, (address, str(count), str(number)), strict=True)),
        }
        for number in range(count)
    ]


def on_virtual_devices(devices: int) -> dict[str, str]:
    """Return the variables of a process in which JAX has so many devices of the CPU."""
    # Compiles in a fraction of the time, and is only slow at computing.
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
    return {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
