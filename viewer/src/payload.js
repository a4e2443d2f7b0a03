// What Python wrote into the page: JSON with numbers and names, and base64 of the splats.

export function readScene() {
  return JSON.parse(document.getElementById("scene").textContent);
}

export function readBytes(id) {
  const element = document.getElementById(id);
  const text = atob(element.textContent.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  element.remove(); // the text is as large as the splats
  return bytes;
}
