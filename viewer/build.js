// Bundles src/ into python/geolrm/viewer/. The banner carries hashes that a test recomputes, so that
// the committed bundle cannot drift from its sources.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import path from "node:path";
import * as esbuild from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const target = path.join(here, "..", "python", "geolrm", "viewer");
const libraries = ["three", "@sparkjsdev/spark", "fflate", "mp4box"];

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

function hashOfSources() {
  const names = ["build.js", "package-lock.json", "package.json"];
  names.push(...readdirSync(path.join(here, "src")).map((name) => `src/${name}`));
  const lines = names.sort().map((name) => `${sha256(readFileSync(path.join(here, name)))}  ${name}\n`);
  return sha256(lines.join(""));
}

function licences() {
  return libraries
    .map((name) => {
      const folder = path.join(here, "node_modules", name);
      const { version, license } = JSON.parse(readFileSync(path.join(folder, "package.json")));
      const text = readFileSync(path.join(folder, "LICENSE"), "utf8").trim();
      return `${name} ${version} (${license})\n\n${text}\n`;
    })
    .join(`\n${"-".repeat(80)}\n\n`);
}

const result = await esbuild.build({
  entryPoints: [path.join(here, "src", "main.js")],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none", // the licences stand in the banner, whole
  charset: "ascii",
  write: false,
});
const styles = await esbuild.transform(readFileSync(path.join(here, "src", "page.css"), "utf8"), {
  loader: "css",
  minify: true,
});

// Inside a page, these two would end the script or change how it is parsed.
const code = result.outputFiles[0].text
  .replaceAll("</script", "<\\/script")
  .replaceAll("<!--", "<\\!--")
  .trim();
const notice = licences();
const banner = [
  "/*!",
  "geolrm viewer, Apache-2.0. Built by viewer/build.js; do not edit.",
  `sources sha256 ${hashOfSources()}`,
  `code sha256 ${sha256(code)}`,
  "It contains the following libraries.",
  "",
  notice.replaceAll("*/", "* /") + "*/",
  "",
].join("\n");

writeFileSync(path.join(target, "viewer.js"), `${banner}${code}\n`);
writeFileSync(path.join(target, "viewer.css"), styles.code);
for (const name of ["page.html", "labels.json"]) {
  writeFileSync(path.join(target, name), readFileSync(path.join(here, "src", name)));
}
writeFileSync(path.join(target, "THIRD_PARTY_LICENSES.txt"), notice);
console.log(`viewer.js: ${(code.length / 1e6).toFixed(2)} MB`);
