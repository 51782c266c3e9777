// Serves this folder and one model file, only to this machine.
//
//     npm start [-- model.tflite]          PORT=8000 is the default
//
// Any web server can serve the folder. This one also sends two headers: without them a
// browser gives a page no shared memory, and LiteRT.js runs on one thread.

import { existsSync, realpathSync } from "node:fs";
import { createServer } from "node:http";
import { basename, dirname, join, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

const folder = realpathSync(fileURLToPath(new URL(".", import.meta.url))) + sep;
const shipped = join(folder, "../saved_models/segnet_lite_camvid/model.tflite");
const port = Number(process.env.PORT ?? 8000);

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

// The folder and the name that an address stands for. A link that leads out of the
// folder does not count.
function find(url) {
  const { pathname } = new URL(url, "http://localhost");
  if (pathname === "/model.tflite") return [dirname(model), basename(model)];
  const path = realpathSync(join(folder, decodeURIComponent(pathname)));
  if (!`${path}${sep}`.startsWith(folder)) throw new Error("outside");
  return [folder, pathname];
}

function answer(request, response) {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  const end = (status) => {
    response.statusCode = status;
    response.end(request.method === "HEAD" ? undefined : `${status}\n`);
  };
  if (!["GET", "HEAD"].includes(request.method)) return end(405);
  let place;
  try {
    place = find(request.url);
  } catch {
    return end(404); // not there, or not a valid address
  }
  const [root, name] = place;
  send(request, root === folder ? name : encodeURIComponent(name), { root, cacheControl: false })
    .on("error", (error) => end(error.status === 400 ? 400 : 404))
    .on("directory", () => end(404))
    .pipe(response);
}

const model = modelFile();
for (const needed of ["@litertjs/core", "send"]) {
  if (!existsSync(join(folder, "node_modules", needed))) {
    quit(`${needed} is not installed: run npm install`);
  }
}
const { default: send } = await import("send");
const server = createServer(answer);
server.on("error", (error) => quit(`port ${port}: ${error.code}: try PORT=8001 npm start`));
server.listen(port, "127.0.0.1", () => {
  console.log(`http://localhost:${server.address().port}`);
});
