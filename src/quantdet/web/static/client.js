// The worker's tasks as functions that answer with a promise.

/** @returns {(task: string, argument: object, transfer?: Transferable[]) => Promise<any>} */
export function startWorker() {
  const worker = new Worker(new URL("worker.js", import.meta.url));
  const waiting = new Map();
  let last = 0;

  worker.onmessage = ({ data: { id, result, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) resolve(result);
    else reject(new Error(error));
  };
  worker.onerror = (event) => {
    for (const { reject } of waiting.values()) reject(new Error(event.message ?? "worker failed"));
    waiting.clear();
  };
  return (task, argument, transfer = []) =>
    new Promise((resolve, reject) => {
      last += 1;
      waiting.set(last, { resolve, reject });
      worker.postMessage({ id: last, task, argument }, transfer);
    });
}
