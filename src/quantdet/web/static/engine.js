// LiteRT.js: a .tflite in the browser, on XNNPACK compiled to WebAssembly.

const MOST_THREADS = 4;

/** Threads need shared memory, which a page has only if it is cross-origin isolated. */
function usableThreads() {
  return self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
}

/**
 * Load LiteRT.js once in this worker.
 *
 * @param {string} folder URL of its files, ending in "/".
 */
export async function loadRuntime(folder) {
  const api = await import(`${folder}litert.js`);
  const load = async (threads) => {
    // Emscripten looks for its files beside this worker unless it is told.
    self.Module = {
      locateFile: (name) => `${folder}core/${name}`,
      mainScriptUrlOrBlob: `${folder}core/litert_wasm_threaded_internal.js`,
    };
    await api.loadLiteRt(`${folder}core/`, { threads: threads > 1 });
    return { api, threads };
  };
  const threads = usableThreads();
  if (threads === 1) return load(1);
  // A browser without relaxed SIMD has no threaded build.
  return load(threads).catch(() => load(1));
}

/**
 * Compile a model.
 *
 * @returns {Promise<(input: TypedArray) => Promise<{boxes: TypedArray, scores: TypedArray}>>} runs
 *   it once; answers raw values.
 */
export async function compile({ api, threads }, file, contract) {
  const compiled = await api.loadAndCompile(file, {
    accelerator: "wasm",
    cpuOptions: { numThreads: threads },
  });
  const runner = contract.signature ? compiled.signatures[contract.signature] : compiled;
  if (!runner) throw new Error(`the file has no signature "${contract.signature}"`);
  const { name, shape } = contract.input.tensor;

  return async (pixels) => {
    const input = new api.Tensor(pixels, [...shape]);
    let answers;
    try {
      answers = await runner.run({ [name]: input });
      const values = (part) => answers[contract[part].name].toTypedArray();
      return { boxes: values("boxes"), scores: values("scores") };
    } finally {
      // Memory of WebAssembly is not collected.
      input.delete();
      for (const tensor of Object.values(answers ?? {})) tensor.delete();
    }
  };
}
