// LiteRT.js: a .tflite in the browser, on XNNPACK compiled to WebAssembly.

import { outputNames } from "./tensors.js";

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
 * Compile a model, and run it once so that the first picture is not slower than the others.
 *
 * @returns {Promise<(tensor: TypedArray) => Promise<Record<string, TypedArray>>>} runs one input;
 *   answers part of the contract → raw values.
 */
export async function compile({ api, threads }, file, contract) {
  const compiled = await api.loadAndCompile(file, {
    accelerator: "wasm",
    cpuOptions: { numThreads: threads },
  });
  const runner = contract.signature ? compiled.signatures[contract.signature] : compiled;
  if (!runner) throw new Error(`the file has no signature "${contract.signature}"`);
  const { name, shape, dtype } = contract.input.tensor;
  const outputs = Object.entries(outputNames(contract));

  const run = async (values) => {
    const input = new api.Tensor(values, [...shape]);
    let answers;
    try {
      answers = await runner.run({ [name]: input });
      return Object.fromEntries(outputs.map(([part, of]) => [part, answers[of].toTypedArray()]));
    } finally {
      // Memory of WebAssembly is not collected.
      input.delete();
      for (const tensor of Object.values(answers ?? {})) tensor.delete();
    }
  };
  const size = shape.reduce((product, side) => product * side, 1);
  await run(dtype === "float32" ? new Float32Array(size) : new Uint8Array(size));
  return run;
}
