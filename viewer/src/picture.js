// The canvas as a picture, at any size, on the page's background or on none.

// Resolves to a PNG of `ratio` pixels to each CSS pixel of the canvas.
export async function takePicture(viewer, { ratio, clear }) {
  const { stage } = viewer;
  const { clientWidth: width, clientHeight: height } = stage.canvas;
  return stage.sized({ width, height, ratio: allowed(stage, width, height, ratio) }, async () => {
    await viewer.sorted();
    return toBlob(compose(viewer, clear ? null : pageBackground()));
  });
}

// A 2D canvas with what is drawn now: `sorted` or `draw` must have been called in the same task.
export function compose({ stage, ruler }, back, onto) {
  const { width, height } = stage.renderer.domElement;
  const canvas = onto ?? Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  if (back) {
    context.fillStyle = back;
    context.fillRect(0, 0, width, height);
  }
  context.drawImage(stage.renderer.domElement, 0, 0);
  if (ruler.active) ruler.paint(context, stage.renderer.getPixelRatio());
  return canvas;
}

export function pageBackground() {
  return getComputedStyle(document.body).backgroundColor;
}

export function toBlob(canvas) {
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("PNG"))), "image/png");
  });
}

// The greatest ratio up to the one asked for that the graphics card can draw.
function allowed({ renderer }, width, height, ratio) {
  const gl = renderer.getContext();
  const most = Math.min(...gl.getParameter(gl.MAX_VIEWPORT_DIMS), gl.getParameter(gl.MAX_RENDERBUFFER_SIZE));
  return Math.min(ratio, most / Math.max(width, height));
}
