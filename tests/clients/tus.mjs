// An upload by the unmodified tus-js-client: paused half-way and resumed as after a reload; another one is terminated.
import { Buffer } from "node:buffer";
import process from "node:process";
import * as tus from "tus-js-client";

const [endpoint, key, size] = process.argv.slice(2);
const content = Buffer.alloc(Number(size), "tabby ");
const options = {
  endpoint,
  chunkSize: 50_000,
  headers: { Authorization: `Bearer ${key}` },
  metadata: { dataset: "by-js", filename: "a/x.txt", filetype: "text/plain" },
  retryDelays: [0, 50, 200],
};

function upload(more) {
  return new Promise((resolve, reject) => {
    const made = new tus.Upload(content, {
      ...options,
      ...more,
      onError: reject,
      onSuccess: () => resolve(made),
      onChunkComplete: (_, accepted) => {
        if (more.pausesAt && accepted >= more.pausesAt) {
          made.abort().then(() => resolve(made), reject);
        }
      },
    });
    made.start();
  });
}

const paused = await upload({ pausesAt: 100_000 });
const resumed = await upload({ uploadUrl: paused.url });
const terminated = await upload({ pausesAt: 50_000 });
await tus.Upload.terminate(terminated.url, options);
console.log(JSON.stringify({ url: resumed.url, terminated: terminated.url, isSame: paused.url === resumed.url }));
