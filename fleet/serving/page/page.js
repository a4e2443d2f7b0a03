// Sends a capture as a zip file, shows the stages of its reconstruction, and goes to the result.
const $ = (id) => document.getElementById(id);
const STAGES = {
  unpack: "Unpacking", read: "Reading the capture", prepare: "Preparing the images",
  encode: "Looking at the images", propose: "Finding the shape", select: "Choosing anchors",
  reconstruct: "Making splats", refine: "Refining against the images", write: "Writing",
};
const ORDER = Object.keys(STAGES);
const SKIPPED = /^(\.|__MACOSX$|Thumbs\.db$)/;
let request = null;
let last = null; // what to send again with a token

function crcTable() {
  return Uint32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
    return n;
  });
}
const TABLE = crcTable();

function crc32(bytes) {
  let c = ~0;
  for (const byte of bytes) c = TABLE[(c ^ byte) & 255] ^ (c >>> 8);
  return ~c >>> 0;
}

// A zip file that stores its files as they are: images are compressed already.
async function zip(entries) {
  const parts = [], list = [];
  let offset = 0;
  for (const { path, file } of entries) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const name = new TextEncoder().encode(path);
    const head = new DataView(new ArrayBuffer(26));
    // Version, flag for UTF-8, stored, time, date (1980), sum, sizes, length of the name, extra.
    [20, 0x800, 0, 0, 0x21].forEach((value, index) => head.setUint16(2 * index, value, true));
    [crc32(bytes), bytes.length, bytes.length].forEach((v, i) => head.setUint32(10 + 4 * i, v, true));
    head.setUint16(22, name.length, true);
    const rest = new DataView(new ArrayBuffer(14)); // no comment and no attributes, and where it is
    rest.setUint32(10, offset, true);
    parts.push(new Uint8Array([80, 75, 3, 4]), head.buffer, name, bytes);
    list.push(new Uint8Array([80, 75, 1, 2, 20, 0]), head.buffer, rest.buffer, name);
    offset += 4 + 26 + name.length + bytes.length;
  }
  const size = list.reduce((sum, part) => sum + part.byteLength, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, entries.length, true);
  end.setUint16(10, entries.length, true);
  end.setUint32(12, size, true);
  end.setUint32(16, offset, true);
  return new Blob([...parts, ...list, end.buffer], { type: "application/zip" });
}

// All files below what was dropped, folders among it.
async function walk(entry, path = "") {
  if (SKIPPED.test(entry.name)) return [];
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    return [{ path: path + entry.name, file }];
  }
  const reader = entry.createReader(), found = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return found;
    for (const inner of some) found.push(...(await walk(inner, `${path}${entry.name}/`)));
  }
}

function say(text, share) {
  $("stage").textContent = text;
  if (share === undefined) $("progress").removeAttribute("value");
  else $("progress").value = share;
}

function show(working, error = "") {
  $("work").hidden = !working;
  $("form").hidden = working;
  $("error").hidden = !error;
  $("error").textContent = error;
}

async function start(entries) {
  entries = entries.filter(({ path }) => !path.split("/").some((part) => SKIPPED.test(part)));
  if (!entries.length) return;
  show(true);
  say("Packing");
  try {
    const whole = entries.length === 1 && entries[0].path.toLowerCase().endsWith(".zip");
    last = whole ? entries[0].file : await zip(entries);
  } catch (error) {
    show(false, `The files cannot be read: ${error.message}.`);
    return;
  }
  send(last);
}

function authorization() {
  return $("token").value ? { Authorization: `Bearer ${$("token").value}` } : {};
}

// Ask for little first: a refusal of a large body may be lost with its connection.
async function send(body) {
  show(true);
  try {
    const asked = await fetch("metrics", { headers: authorization() });
    if (asked.status === 401) {
      $("token-line").hidden = false;
      show(false, (await asked.json()).error);
      return;
    }
  } catch {
    show(false, "The server cannot be reached, or ended the connection. Try again.");
    return;
  }
  if ($("work").hidden) return; // cancelled
  const query = new URLSearchParams({ format: "html" });
  if ($("quality").value) query.set("quality", $("quality").value);
  request = new XMLHttpRequest();
  request.open("POST", `v1/reconstructions?${query}`);
  request.setRequestHeader("Accept", "text/event-stream");
  request.setRequestHeader("Content-Type", "application/zip");
  for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
  let read = 0, ended = false;
  request.upload.onprogress = (e) => say("Sending", e.lengthComputable ? e.loaded / e.total : undefined);
  request.upload.onload = () => say("Waiting for the turn");
  request.onprogress = () => {
    if (request.status !== 200) return;
    for (;;) {
      const end = request.responseText.indexOf("\n\n", read);
      if (end < 0) return;
      ended = take(request.responseText.slice(read, end)) || ended;
      read = end + 2;
    }
  };
  request.onload = () => {
    request.onprogress();
    if (request.status === 401) $("token-line").hidden = false;
    if (request.status !== 200) show(false, sentence(request));
    else if (!ended) show(false, "The connection ended before the result came. Try again.");
  };
  request.onerror = () => show(false, "The server cannot be reached, or ended the connection. Try again.");
  request.send(body);
}

function sentence({ responseText, status }) {
  try {
    return JSON.parse(responseText).error;
  } catch {
    return `The server answered with status ${status}. Try again.`;
  }
}

// Returns whether an event is the last.
function take(text) {
  const name = /^event: (\w+)$/m.exec(text)?.[1];
  const data = JSON.parse(/^data: (.*)$/m.exec(text)?.[1] ?? "{}");
  if (name === "stage") {
    const place = ORDER.indexOf(data.stage);
    say(STAGES[data.stage] ?? data.stage, place < 0 ? undefined : (place + 0.5) / ORDER.length);
  }
  if (name === "failed") show(false, data.error);
  if (name === "done") {
    say("Opening the result", 1);
    location.assign(data.link.replace(/^\//, ""));
  }
  return name === "failed" || name === "done";
}

for (const id of ["files", "folder"]) {
  $(id).addEventListener("change", (e) => {
    const files = [...e.target.files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
    e.target.value = "";
    start(files);
  });
}
const drop = $("drop");
addEventListener("dragover", (e) => {
  e.preventDefault();
  drop.classList.add("over");
});
addEventListener("dragleave", () => drop.classList.remove("over"));
addEventListener("drop", async (e) => {
  e.preventDefault();
  drop.classList.remove("over");
  if (!$("work").hidden) return;
  const entries = [...e.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  try {
    start((await Promise.all(entries.map((entry) => walk(entry)))).flat());
  } catch (error) {
    show(false, `The files cannot be read: ${error.message}.`);
  }
});
$("form").addEventListener("submit", (e) => {
  e.preventDefault();
  if (last) send(last);
});
$("cancel").addEventListener("click", () => {
  request?.abort();
  show(false);
});
addEventListener("pageshow", (e) => e.persisted && show(false)); // back from the result
