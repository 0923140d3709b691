// Fetches a page with the engine's own `fetch` and prints it: `fetch-js URL`.
//
// Nothing of ours is in it: componentize-js puts this file and a JavaScript engine into a component, in
// which `fetch` is wasi:http.

import { getArguments } from "wasi:cli/environment@0.2.12";
import { getStdout } from "wasi:cli/stdout@0.2.12";

// "blocking-write-and-flush" of wasi:io/streams takes at most so many bytes.
const WRITE_BYTES = 4096;

async function fetchAndPrint(url) {
  // A redirect is an answer like any other: nothing but what was asked for is fetched.
  const response = await fetch(url, { redirect: "manual" });
  if (!response.ok) {
    throw new Error(`status ${response.status}`);
  }
  const out = getStdout();
  const body = response.body.getReader();
  for (;;) {
    const { done, value } = await body.read();
    if (done) {
      return;
    }
    for (let at = 0; at < value.length; at += WRITE_BYTES) {
      out.blockingWriteAndFlush(value.subarray(at, at + WRITE_BYTES));
    }
  }
}

export const run = {
  async run() {
    const [, ...urls] = getArguments();
    if (urls.length !== 1) {
      console.error("usage: fetch-js URL");
      throw undefined;
    }
    try {
      await fetchAndPrint(urls[0]);
    } catch (error) {
      // An error of an interface (stream-error, say) is a variant with a tag.
      console.error(`fetch-js: ${urls[0]}: ${error.payload?.tag ?? error.message}`);
      // wasi:cli/run: an error makes the exit code 1.
      throw undefined;
    }
  },
};
