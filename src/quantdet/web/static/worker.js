// All the work, so that the page answers while it goes on. A classic worker: LiteRT.js loads its
// WebAssembly with importScripts, which module workers lack.
"use strict";

const tasks = import("./tasks.js");

self.onmessage = async ({ data: { id, task, argument } }) => {
  try {
    const result = await (await tasks)[task](argument);
    self.postMessage({ id, result }, result.bitmap ? [result.bitmap] : []);
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};
