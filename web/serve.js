// Serves this folder and one model file, only to this machine.
//
//     npm start [-- model.tflite]          PORT=8000 is the default
//
// Any web server can serve the folder. This one also sends two headers: without them a
// browser gives a page no shared memory, and LiteRT.js runs on one thread.

import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL(".", import.meta.url));
const shipped = join(folder, "../saved_models/segnet_lite_camvid/model.tflite");
const port = Number(process.env.PORT ?? 8000);

const types = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".jpg": "image/jpeg",
  ".js": "text/javascript",
  ".tflite": "application/octet-stream",
  ".wasm": "application/wasm",
};
const headers = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cache-Control": "no-cache",
};

function quit(reason) {
  console.error(`serve.js: error: ${reason}`);
  process.exit(2);
}

function modelFile() {
  // npm changes to this folder; INIT_CWD is the folder that the user called it from.
  const [name] = process.argv.slice(2);
  const path = name ? resolve(process.env.INIT_CWD ?? ".", name) : shipped;
  if (name && !existsSync(path)) quit(`${name}: no such model file`);
  return path;
}

function find(url) {
  const { pathname } = new URL(url, "http://localhost");
  if (pathname === "/model.tflite") return model;
  const name = normalize(decodeURIComponent(pathname));
  return join(folder, name === "/" ? "index.html" : name);
}

function answer(request, response) {
  let path;
  try {
    path = find(request.url);
  } catch {
    path = ""; // not a valid address
  }
  const type = types[extname(path)];
  if (!type || !statSync(path, { throwIfNoEntry: false })?.isFile()) {
    response.writeHead(404, headers).end("not here\n");
    return;
  }
  response.writeHead(200, { ...headers, "Content-Type": type });
  createReadStream(path).pipe(response);
}

const model = modelFile();
if (!existsSync(join(folder, "node_modules/@litertjs/core"))) {
  quit("LiteRT.js is not installed: run npm install");
}
const server = createServer(answer);
server.on("error", (error) => quit(`port ${port}: ${error.code}: try PORT=8001 npm start`));
server.listen(port, "127.0.0.1", () => {
  console.log(`http://localhost:${server.address().port}`);
});
