"""Programs that JAX compiled are kept for the next process."""

from __future__ import annotations

import os

from quantdet.system.user_cache import user_cache_dir


def keep_compiled_programs() -> None:
    """Make JAX keep them in ``jax`` of :func:`user_cache_dir`, however fast they compiled.

    What the caller, or a variable of JAX's own, has said about its cache stays. It is off with
    JAX_ENABLE_COMPILATION_CACHE=false.
    """
    import jax

    if jax.config.jax_compilation_cache_dir is not None:
        return
    jax.config.update("jax_compilation_cache_dir", str(user_cache_dir() / "jax"))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # Quantization is prepared by hundreds of programs, each of less than JAX's one second.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
