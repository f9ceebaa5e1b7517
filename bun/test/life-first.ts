/** A program that does not load the library itself: its workers do, one after the other. */
for (let n = 0; n < 3; n++) {
  const worker = new Worker(new URL("./life-worker.ts", import.meta.url).href);
  const closed = new Promise(resolve => worker.addEventListener("close", resolve));
  await new Promise(resolve => { worker.onmessage = resolve; });
  worker.postMessage("exit");
  await closed;
}
console.log("done");
process.exit(0);
export {};
