/* Unpacks Chromium, its libraries and a font into the folder `unpacked` beside this file. It has only glibc to ask for. */
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

process.env.TMPDIR = fileURLToPath(new URL("unpacked", import.meta.url)); // where the package puts it
process.env.AWS_EXECUTION_ENV = process.env.AWS_LAMBDA_JS_RUNTIME = "AWS_Lambda_nodejs22.x"; // with the libraries
mkdirSync(process.env.TMPDIR, { recursive: true });

const { default: chromium } = await import("@sparticuz/chromium");
chromium.setGraphicsMode = false;
await chromium.executablePath();
