// A camera around the object, and frames rendered only when something changed.
import * as THREE from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { Pace } from "./pace.js";

const MAX_PIXEL_RATIO = 2;
const CLICK = 4; // CSS pixels that a pointer may move in a click
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Stage {
  // `home`: { position, target, fov } in the displayed frame, z up; fov of the shorter side.
  constructor(canvas, home) {
    this.canvas = canvas;
    this.home = home;
    this.renderer = new THREE.WebGLRenderer({ canvas, alpha: true, antialias: false });
    this.ratio = Math.min(devicePixelRatio, MAX_PIXEL_RATIO);
    this.renderer.setPixelRatio(this.ratio);
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera();
    this.camera.up.set(0, 0, 1);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = !still.matches;
    this.controls.dampingFactor = 0.12;
    this.controls.minDistance = 0.02;
    this.controls.maxDistance = 200;
    still.addEventListener("change", () => (this.controls.enableDamping = !still.matches));
    this.controls.addEventListener("change", () => this.request());
    this.posed = false; // at an input camera's pose, which the controls must leave alone
    this.turning = false;
    this.pending = false;
    this.frames = 0;
    this.size = null; // of pictures and videos while they are drawn; else that of the canvas
    this.before = []; // called before a frame
    this.after = []; // called after a frame
    this.onRelease = () => {};
    this.onClick = () => {};
    this.onSay = () => {};
    this.pace = new Pace((factor) => this.setDetail(factor), () => this.request());
    this.listen();
    this.reset();
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }

  // A click leaves the camera where it is; what moves it leaves an input camera's pose first.
  listen() {
    const pressed = new Map();
    const around = this.canvas.parentElement;
    around.addEventListener("pointerdown", (event) => event.target === this.canvas && pressed.set(event.pointerId, event), true);
    around.addEventListener("pointermove", (event) => {
      const start = pressed.get(event.pointerId);
      if (!start || start.moved) return;
      if (Math.hypot(event.x - start.x, event.y - start.y) <= CLICK) return void event.stopPropagation();
      start.moved = true;
      this.release();
    }, true);
    const lift = (event) => {
      const start = pressed.get(event.pointerId);
      if (start && !start.moved && event.type === "pointerup" && pressed.size === 1) this.onClick(event);
      pressed.delete(event.pointerId);
    };
    addEventListener("pointerup", lift, true);
    addEventListener("pointercancel", lift, true);
    this.controls.addEventListener("start", () => pressed.size || this.release()); // by the wheel
  }

  request() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame((time) => this.frame(time));
  }

  frame(time) {
    this.pending = false;
    if (this.size) return; // a picture is being drawn
    if (this.turning) {
      const seconds = Math.min((time - (this.lastTime ?? time)) / 1000, 0.1);
      this.controls.rotateLeft(-seconds * 0.5);
      this.request();
    }
    this.lastTime = time;
    if (!this.posed) this.glide();
    this.pace.frame(time, this.pending);
    this.draw();
  }

  // Lets a turn run out. At rest the controls still move the camera by rounding errors, which would
  // have splats with spherical harmonics computed again, without end.
  glide() {
    const { position, quaternion } = this.camera;
    const before = [position.clone(), quaternion.clone()];
    if (this.controls.update()) return;
    position.copy(before[0]);
    quaternion.copy(before[1]);
  }

  draw() {
    for (const call of this.before) call();
    this.renderer.render(this.scene, this.camera);
    this.frames += 1;
    for (const call of this.after) call();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height || this.size) return;
    this.renderer.setSize(width, height, false);
    this.project();
    // At once: a resized canvas is blank, and would stay so until the next frame.
    this.draw();
  }

  setDetail(factor) {
    if (!this.size) this.renderer.setPixelRatio(this.ratio * factor);
  }

  // Has `call` draw at another size in pixels, and puts the canvas back.
  async sized({ width, height, ratio = 1 }, call) {
    this.pace.rest();
    this.size = { width, height };
    try {
      this.renderer.setPixelRatio(ratio);
      this.renderer.setSize(width, height, false);
      this.project();
      return await call();
    } finally {
      this.size = null;
      this.renderer.setPixelRatio(this.ratio);
      this.resize();
    }
  }

  // In CSS pixels.
  get extent() {
    return this.size ?? { width: this.canvas.clientWidth, height: this.canvas.clientHeight };
  }

  // Focal length and principal point are in units of the image that `view` inscribes in the canvas.
  project() {
    const { width, height } = this.extent;
    const { focal, shift } = this.lens();
    this.camera.fov = THREE.MathUtils.radToDeg(2 * Math.atan(height / (2 * focal)));
    this.camera.aspect = width / height;
    if (shift.x || shift.y) this.camera.setViewOffset(width, height, -shift.x, -shift.y, width, height);
    else this.camera.clearViewOffset();
    this.camera.updateProjectionMatrix();
  }

  // Focal length and shift of the principal point in canvas pixels.
  lens() {
    const { width, height } = this.extent;
    if (this.view) {
      const { fx, cx, cy } = this.view;
      const frame = this.frameOf(this.view);
      return {
        focal: fx * frame.width,
        shift: { x: (cx - 0.5) * frame.width, y: (cy - 0.5) * frame.height },
      };
    }
    const half = Math.tan(THREE.MathUtils.degToRad(this.fov) / 2);
    return { focal: Math.min(width, height) / (2 * half), shift: { x: 0, y: 0 } };
  }

  // Where an input image lies on the canvas: as large as fits, centred. CSS pixels.
  frameOf(view) {
    const { width, height } = this.extent;
    const aspect = view.fy / view.fx; // of an image of square pixels with these intrinsics
    const used = Math.min(width, height * aspect);
    return {
      left: (width - used) / 2,
      top: (height - used / aspect) / 2,
      width: used,
      height: used / aspect,
    };
  }

  // The ray through a point of the canvas in CSS pixels, in the displayed frame.
  ray(x, y) {
    const { width, height } = this.extent;
    const caster = new THREE.Raycaster();
    this.camera.updateMatrixWorld();
    caster.setFromCamera(new THREE.Vector2((x / width) * 2 - 1, 1 - (y / height) * 2), this.camera);
    return caster;
  }

  reset() {
    this.view = null;
    this.posed = false;
    this.fov = this.home.fov;
    this.camera.near = 0.005;
    this.camera.far = 500;
    this.camera.position.fromArray(this.home.position);
    this.controls.target.fromArray(this.home.target);
    this.controls.update();
    this.project();
    this.request();
  }

  // Stand where an input camera stood; `c2w` is a displayed-frame Matrix4.
  stand(view, c2w) {
    this.stop();
    this.view = view;
    this.posed = true;
    c2w.decompose(this.camera.position, this.camera.quaternion, new THREE.Vector3());
    this.project();
    this.request();
  }

  // From an input camera's pose back to the orbit through the same place.
  release() {
    if (!this.posed) return;
    const forward = this.camera.getWorldDirection(new THREE.Vector3());
    const target = new THREE.Vector3().fromArray(this.home.target);
    const along = target.sub(this.camera.position).dot(forward);
    const distance = Math.max(along, 0.1);
    this.controls.target.copy(this.camera.position).addScaledVector(forward, distance);
    const { width, height } = this.extent;
    const { focal } = this.lens();
    this.fov = THREE.MathUtils.radToDeg(2 * Math.atan(Math.min(width, height) / (2 * focal)));
    this.view = null;
    this.posed = false;
    this.project();
    this.onRelease();
    this.request();
  }

  turn(left, up) {
    this.release();
    if (left) this.controls.rotateLeft(left);
    if (up) this.controls.rotateUp(up);
    this.request();
  }

  zoom(factor) {
    this.release();
    const offset = this.camera.position.clone().sub(this.controls.target).multiplyScalar(factor);
    offset.clampLength(this.controls.minDistance, this.controls.maxDistance);
    this.camera.position.copy(this.controls.target).add(offset);
    this.controls.update();
    this.request();
  }

  // Turns the camera about the vertical through its target, from `start`, by an angle in radians.
  orbit(start, angle) {
    const { target } = this.controls;
    const offset = start.clone().sub(target).applyAxisAngle(this.camera.up, angle);
    this.camera.position.copy(target).add(offset);
    this.camera.lookAt(target);
    this.camera.updateMatrixWorld();
  }

  // Steps back until the points, in the displayed frame, are in view.
  fit(points) {
    if (this.posed) return;
    const { target } = this.controls;
    const back = this.camera.position.clone().sub(target).normalize();
    this.camera.updateMatrixWorld();
    const right = new THREE.Vector3().setFromMatrixColumn(this.camera.matrixWorld, 0);
    const up = new THREE.Vector3().setFromMatrixColumn(this.camera.matrixWorld, 1);
    const high = 0.9 * Math.tan(THREE.MathUtils.degToRad(this.camera.fov) / 2);
    const wide = high * this.camera.aspect;
    let distance = this.controls.getDistance();
    for (const point of points) {
      const offset = point.clone().sub(target);
      const across = Math.max(Math.abs(offset.dot(up)) / high, Math.abs(offset.dot(right)) / wide);
      distance = Math.max(distance, offset.dot(back) + across);
    }
    distance = Math.min(distance, this.controls.maxDistance);
    this.camera.position.copy(target).addScaledVector(back, distance);
    this.controls.update();
    this.request();
  }

  toggleTurning() {
    this.turning = !this.turning;
    this.lastTime = undefined;
    if (this.turning) {
      this.release();
      this.request();
    }
    return this.turning;
  }

  stop() {
    this.turning = false;
  }
}
