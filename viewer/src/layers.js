// What can be shown and hidden, in the object's frame.
import * as THREE from "three";
import { SparkRenderer, SplatMesh } from "@sparkjsdev/spark";
import { readPart } from "./payload.js";
import { Picker } from "./picking.js";

const DEPTH_OF_FRUSTUM = 0.16; // of a camera's distance from the origin
const LINES = 0x6f7a8c;
const BEHIND_LINES = { polygonOffset: true, polygonOffsetFactor: 1, polygonOffsetUnits: 1 };

export class Layers {
  // `onShown(count)` is called whenever more splats are shown.
  constructor(stage, scene, onShown) {
    this.stage = stage;
    this.root = new THREE.Group(); // the object's frame, turned so that `up` is z
    this.root.matrixAutoUpdate = false;
    this.root.matrix.fromArray(scene.toDisplay);
    stage.scene.add(this.root);
    // The filter and order of 3DGS, so that pixels agree with geolrm's own rasterizer.
    this.spark = new SparkRenderer({
      renderer: stage.renderer,
      preBlurAmount: 0.3,
      blurAmount: 0,
      maxStdDev: 3.3,
      sortRadial: false,
      onDirty: () => stage.request(),
    });
    stage.scene.add(this.spark);
    this.Picker = Picker; // for tests
    // While splats are sorted for one view, they are not computed for the next: nobody would see it.
    stage.before.push(() => (this.spark.autoUpdate = !this.spark.sorting));
    this.scene = scene;
    this.views = scene.views.map((view) => ({
      ...view,
      matrix: new THREE.Matrix4().fromArray(view.c2w),
    }));
    this.objects = { cube: cubeOutline() };
    if (scene.views.length) this.objects.cameras = this.frusta();
    for (const object of Object.values(this.objects)) this.add(object);
    this.ready = this.loadSplats(onShown);
  }

  add(object) {
    object.visible = false;
    this.root.add(object);
    return object;
  }

  // The parts come in order of importance: the first already shows the object. Spark reads them in
  // its workers and sorts all meshes together.
  async loadSplats(onShown) {
    const { parts, format } = this.scene.splats;
    this.meshes = [];
    this.count = 0;
    if (!parts.length) return;
    this.objects.splats = new THREE.Group();
    this.root.add(this.objects.splats);
    const loading = [];
    for (const index of parts.keys()) {
      loading.push(this.loadPart(index, format, parts[index], onShown));
      await loading[0]; // the first shows before the others take the workers
    }
    const failed = (await Promise.allSettled(loading)).find(({ status }) => status === "rejected");
    if (failed) throw failed.reason;
  }

  async loadPart(index, fileType, count, onShown) {
    const mesh = new SplatMesh({ fileBytes: await readPart(index), fileType, editable: false });
    await mesh.initialized;
    this.meshes.push(mesh);
    this.objects.splats.add(mesh);
    this.count += count;
    this.stage.request();
    onShown(this.count);
  }

  // The layer's object, made when it is first shown.
  object(name) {
    if (!this.objects[name] && name === "points") {
      this.objects.points = this.add(centres(this.meshes));
    }
    if (!this.objects[name] && name === "anchors") {
      this.objects.anchors = this.add(anchorPoints(this.scene.anchors));
    }
    return this.objects[name];
  }

  show(name, visible) {
    const object = this.object(name);
    if (object) object.visible = visible;
    this.stage.request();
  }

  // Whether the pixels will change without anything being asked for: splats are sorted aside.
  get busy() {
    const { stage, spark } = this;
    return stage.pending || stage.pace.coarse || spark.sorting || spark.sortDirty || spark.dirty;
  }

  frusta() {
    const group = new THREE.Group();
    const lines = [];
    this.planes = [];
    for (const view of this.views) {
      const depth = DEPTH_OF_FRUSTUM * new THREE.Vector3().setFromMatrixPosition(view.matrix).length();
      const corner = (u, v) =>
        new THREE.Vector3(((u - view.cx) / view.fx) * depth, (-(v - view.cy) / view.fy) * depth, -depth);
      const corners = [corner(0, 0), corner(1, 0), corner(1, 1), corner(0, 1)];
      const world = corners.map((point) => point.clone().applyMatrix4(view.matrix));
      const eye = new THREE.Vector3().setFromMatrixPosition(view.matrix);
      for (let i = 0; i < 4; i++) lines.push(eye, world[i], world[i], world[(i + 1) % 4]);
      const plane = this.image(view, world);
      this.planes.push(plane);
      group.add(plane);
    }
    const geometry = new THREE.BufferGeometry().setFromPoints(lines);
    group.add(new THREE.LineSegments(geometry, new THREE.LineBasicMaterial({ color: LINES })));
    return group;
  }

  image(view, [a, b, c, d]) {
    const geometry = new THREE.BufferGeometry().setFromPoints([a, b, c, d]);
    geometry.setAttribute("uv", new THREE.Float32BufferAttribute([0, 1, 1, 1, 1, 0, 0, 0], 2));
    geometry.setIndex([0, 2, 1, 0, 3, 2]);
    const texture = new THREE.TextureLoader().load(view.image, () => this.stage.request());
    texture.colorSpace = THREE.SRGBColorSpace;
    const material = new THREE.MeshBasicMaterial({ map: texture, side: THREE.DoubleSide, ...BEHIND_LINES });
    return new THREE.Mesh(geometry, material);
  }

  // Index of the input camera whose image lies at a point of the canvas, or -1.
  pick(x, y) {
    if (!this.objects.cameras?.visible) return -1;
    const hit = this.stage.ray(x, y).intersectObjects(this.planes, false)[0];
    return hit ? this.planes.indexOf(hit.object) : -1;
  }

  // The point of the splats at a point of the canvas, in the object's frame, or null.
  surface(x, y) {
    if (this.picker?.count !== this.count) {
      this.picker = new Picker(this.count, (call) => {
        for (const mesh of this.meshes) mesh.forEachSplat((_, ...splat) => call(...splat));
      });
    }
    const { stage } = this;
    const ray = stage.ray(x, y).ray.applyMatrix4(this.root.matrix.clone().invert());
    const pixel = 1 / (stage.lens().focal * stage.ratio);
    const depth = this.picker.depth(ray.origin.toArray(), ray.direction.toArray(), pixel);
    return depth === null ? null : ray.at(depth, new THREE.Vector3());
  }

  // Where a point of the object's frame is on the canvas, in CSS pixels; null behind the camera.
  project(point) {
    const { camera, extent } = this.stage;
    camera.updateMatrixWorld();
    const seen = point.clone().applyMatrix4(this.root.matrix).applyMatrix4(camera.matrixWorldInverse);
    if (seen.z >= 0) return null;
    const { x, y } = seen.applyMatrix4(camera.projectionMatrix);
    return { x: ((x + 1) / 2) * extent.width, y: ((1 - y) / 2) * extent.height };
  }

  // Where the input cameras stand, in the displayed frame.
  eyes() {
    return this.views.map((_, index) => new THREE.Vector3().setFromMatrixPosition(this.displayedPose(index)));
  }

  // For each input view the square of its image that holds the object, as { u, v, du, dv }: middle
  // and half sides in units of the image; null where that is all of it.
  thumbnails() {
    const { position, target, fov } = this.scene.home;
    const middle = new THREE.Vector3().fromArray(target);
    const distance = middle.distanceTo(new THREE.Vector3().fromArray(position));
    const radius = distance * Math.sin(THREE.MathUtils.degToRad(fov) / 2);
    return this.views.map((view, index) => {
      const seen = middle.clone().applyMatrix4(this.displayedPose(index).invert());
      const [du, dv] = [view.fx, view.fy].map((focal) => (focal * radius) / -seen.z);
      if (seen.z >= 0 || Math.max(du, dv) > 0.5) return null;
      const within = (place, half) => Math.min(Math.max(place, half), 1 - half);
      const u = within(view.cx + (view.fx * seen.x) / -seen.z, du);
      const v = within(view.cy - (view.fy * seen.y) / -seen.z, dv);
      return { u, v, du, dv };
    });
  }

  displayedPose(index) {
    return this.root.matrix.clone().multiply(this.views[index].matrix);
  }
}

function cubeOutline() {
  const edges = new THREE.EdgesGeometry(new THREE.BoxGeometry(1, 1, 1));
  const material = new THREE.LineBasicMaterial({ color: LINES });
  return new THREE.LineSegments(edges, material);
}

function centres(meshes) {
  const positions = [];
  const colors = [];
  const color = new THREE.Color();
  for (const mesh of meshes) {
    mesh.forEachSplat((_, centre, _scales, _quaternion, _opacity, rgb) => {
      positions.push(centre.x, centre.y, centre.z);
      color.setRGB(rgb.r, rgb.g, rgb.b, THREE.SRGBColorSpace);
      colors.push(color.r, color.g, color.b);
    });
  }
  const geometry = new THREE.BufferGeometry();
  geometry.setAttribute("position", new THREE.Float32BufferAttribute(positions, 3));
  geometry.setAttribute("color", new THREE.Float32BufferAttribute(colors, 3));
  return new THREE.Points(
    geometry,
    new THREE.PointsMaterial({ size: 2.5, sizeAttenuation: false, vertexColors: true }),
  );
}

function anchorPoints(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const geometry = new THREE.BufferGeometry();
  const positions = new Float32Array(bytes.buffer);
  geometry.setAttribute("position", new THREE.BufferAttribute(positions, 3));
  return new THREE.Points(
    geometry,
    new THREE.PointsMaterial({ size: 3, sizeAttenuation: false, color: 0xe0822f }),
  );
}
