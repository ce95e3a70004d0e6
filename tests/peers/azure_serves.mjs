// Runs an emulator of Azure Blob Storage (azurite), in memory, with one container, until standard input ends.
//
// azure_serves.mjs MODULES CONTAINER: prints one line of JSON, {"url", "account", "key", "sas"}, when it is ready. MODULES is
// the folder of the npm packages. The signature is valid for an hour.
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [modules, container] = process.argv.slice(2);
const azurite = join(resolve(modules), "azurite", "dist", "src", "blob");
const { EMULATOR_ACCOUNT_NAME: account, EMULATOR_ACCOUNT_KEY_STR: key } = createRequire(import.meta.url)(
  join(azurite, "utils", "constants.js"),
);

function signature(text) {
  return createHmac("sha256", Buffer.from(key, "base64")).update(text).digest("base64");
}

function sas() {
  const version = "2022-11-02";
  const end = `${new Date(Date.now() + 3_600_000).toISOString().slice(0, 19)}Z`;
  const signed = [account, "rwdlac", "b", "sco", "", end, "", "https,http", version, "", ""].join("\n");
  const fields = { sv: version, ss: "b", srt: "sco", sp: "rwdlac", se: end, spr: "https,http", sig: signature(signed) };
  return new URLSearchParams(fields).toString();
}

async function makeContainer(url) {
  const date = new Date().toUTCString();
  const text = `PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:${date}\nx-ms-version:2024-11-04\n/${account}/${account}/${container}\nrestype:container`;
  const made = await fetch(`${url}/${container}?restype=container`, {
    method: "PUT",
    headers: { "x-ms-date": date, "x-ms-version": "2024-11-04", authorization: `SharedKey ${account}:${signature(text)}` },
  });
  if (!made.ok) throw new Error(await made.text());
}

const options = ["--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent"];
const emulator = spawn(
  process.execPath,
  [join(azurite, "main.js"), ...options, "--blobHost", "127.0.0.1", "--blobPort", "0"],
  { stdio: ["ignore", "pipe", "inherit"] },
);
emulator.on("exit", (code) => process.exit(code ?? 1));
process.on("exit", () => emulator.kill("SIGKILL"));
let text = "";
emulator.stdout.on("data", async (said) => {
  const isReady = (text) => text.match(/listens on (http:\/\/127\.0\.0\.1:\d+)\n/);
  if (isReady(text)) return;
  text += said;
  const found = isReady(text);
  if (!found) return;
  const url = `${found[1]}/${account}`;
  await makeContainer(url);
  console.log(JSON.stringify({ url, account, key, sas: sas() }));
});
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
