// Read splat files with three.js' own loaders and print what they make of them as JSON, one entry a
// file: node three.mjs FILE ... A .glb is read twice: as splats, and as the points that a program
// sees which does not know the extension.

import { readFileSync } from 'node:fs';

// What three.js expects of a browser, as far as its loaders ask for it.
globalThis.self ??= globalThis;
globalThis.GPUShaderStage ??= { VERTEX: 1, FRAGMENT: 2, COMPUTE: 4 };

const addons = 'three/addons/loaders';
const { GLTFLoader } = await import(`${addons}/GLTFLoader.js`);
const { GLTFGaussianSplatLoaderExtension } = await import(
  `${addons}/GLTFGaussianSplatLoaderExtension.js`
);
const { GaussianSplatPLYLoader } = await import(`${addons}/GaussianSplatPLYLoader.js`);
const { SPLATLoader } = await import(`${addons}/SPLATLoader.js`);
const { SPZLoader } = await import(`${addons}/SPZLoader.js`);

const LOADERS = { ply: GaussianSplatPLYLoader, splat: SPLATLoader, spz: SPZLoader };

async function read(path) {
  const bytes = readFileSync(path);
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const suffix = path.split('.').pop();
  if (suffix !== 'glb') {
    return { splats: describe(await new LOADERS[suffix]().parse(buffer)) };
  }
  const known = new GLTFLoader().register((parser) => new GLTFGaussianSplatLoaderExtension(parser));
  const splats = await shown(known, buffer);
  const points = await shown(new GLTFLoader(), buffer);
  return {
    splats: describe(splats.splatGeometry),
    points: { type: points.type, ...describe(points.geometry) },
  };
}

async function shown(loader, buffer) {
  const { scene } = await loader.parseAsync(buffer, '');
  let found;
  scene.traverse((object) => {
    if (object.geometry) found = object;
  });
  return found;
}

function describe(geometry) {
  const attributes = {};
  for (const [name, attribute] of Object.entries(geometry.attributes)) {
    attributes[name] = Array.from({ length: attribute.count }, (_, row) =>
      Array.from({ length: attribute.itemSize }, (_, place) => attribute.getComponent(row, place)),
    );
  }
  return { attributes };
}

const found = [];
for (const path of process.argv.slice(2)) found.push(await read(path));
console.log(JSON.stringify(found));
