// What Python wrote into the page: JSON with numbers and names, and base64 of the splats, in parts.

const PATIENCE = 15; // ms between looks for a part that the browser is still reading

export function readScene() {
  return JSON.parse(document.getElementById("scene").textContent);
}

// The bytes of a part, once it has been read whole.
export async function readPart(index) {
  const id = `splats-${index}`;
  const whole = () => {
    const element = document.getElementById(id);
    return element && (element.nextElementSibling || document.readyState !== "loading") ? element : null;
  };
  let element = whole();
  while (!element) {
    if (document.readyState !== "loading" && !document.getElementById(id)) throw new Error(`no ${id}`);
    await new Promise((resolve) => setTimeout(resolve, PATIENCE));
    element = whole();
  }
  await new Promise((resolve) => setTimeout(resolve)); // a task for each part: frames come between
  const bytes = decode(element.textContent.trim());
  element.remove(); // the text is as large as the splats
  return bytes;
}

function decode(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
