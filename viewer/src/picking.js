// Where a ray meets the splats: its median depth, as of the picture that is drawn.

const OPAQUE = 0.5; // of the light along the ray is stopped in front of the point or at it
const LEAST = 1 / 255; // what the picture leaves out
const MOST = 0.999;
const BLUR = 0.3; // square pixels that the picture adds to a splat's variance
const REACH = 3.4; // standard deviations, beyond which the opacity is below 1/255

// `forEachSplat(callback)` as of Spark's meshes, in the frame of the rays.
export class Picker {
  constructor(count, forEachSplat) {
    this.count = 0;
    this.centres = new Float32Array(3 * count);
    this.scales = new Float32Array(3 * count);
    this.turns = new Float32Array(4 * count);
    this.opacities = new Float32Array(count);
    this.largest = new Float32Array(count);
    forEachSplat((centre, scales, quaternion, opacity) => {
      const index = this.count++;
      centre.toArray(this.centres, 3 * index);
      scales.toArray(this.scales, 3 * index);
      quaternion.toArray(this.turns, 4 * index);
      this.opacities[index] = opacity;
      this.largest[index] = Math.max(scales.x, scales.y, scales.z);
    });
  }

  // Distance along the ray where it has become half opaque, or null. Each splat counts where its
  // density along the ray is greatest, with its opacity there. `pixel`: the side of a pixel at
  // distance one; splats narrower than that are drawn wider, and are met as drawn.
  depth([ox, oy, oz], [dx, dy, dz], pixel) {
    const { centres, largest } = this;
    const met = [];
    for (let i = 0; i < this.count; i++) {
      const x = centres[3 * i] - ox;
      const y = centres[3 * i + 1] - oy;
      const z = centres[3 * i + 2] - oz;
      const along = x * dx + y * dy + z * dz;
      if (along <= 0) continue;
      const aside = x * x + y * y + z * z - along * along;
      const blur = BLUR * (pixel * along) ** 2;
      if (aside > REACH * REACH * (largest[i] ** 2 + blur)) continue;
      const hit = this.meet(i, [x, y, z], [dx, dy, dz], blur);
      if (hit) met.push(hit);
    }
    met.sort((a, b) => a.depth - b.depth);
    let light = 1;
    for (const { depth, alpha } of met) {
      light *= 1 - alpha;
      if (light <= 1 - OPAQUE) return depth;
    }
    return null;
  }

  // In the splat's own frame, where it is a unit ball: the nearest point of the ray to its centre.
  meet(i, toCentre, direction, blur) {
    const [qx, qy, qz, qw] = this.turns.subarray(4 * i, 4 * i + 4);
    const inverse = [0, 1, 2].map((axis) => 1 / Math.sqrt(this.scales[3 * i + axis] ** 2 + blur));
    const c = turnBack(toCentre, qx, qy, qz, qw).map((value, axis) => value * inverse[axis]);
    const d = turnBack(direction, qx, qy, qz, qw).map((value, axis) => value * inverse[axis]);
    const depth = dot(c, d) / dot(d, d);
    const alpha = Math.min(MOST, this.opacities[i] * Math.exp(-0.5 * (dot(c, c) - depth * depth * dot(d, d))));
    return depth > 0 && alpha >= LEAST ? { depth, alpha } : null;
  }
}

// The vector in the frame that the unit quaternion turns from: v + w t + t x q with t = 2 v x q.
function turnBack([x, y, z], qx, qy, qz, qw) {
  const tx = 2 * (y * qz - z * qy);
  const ty = 2 * (z * qx - x * qz);
  const tz = 2 * (x * qy - y * qx);
  return [x + qw * tx + ty * qz - tz * qy, y + qw * ty + tz * qx - tx * qz, z + qw * tz + tx * qy - ty * qx];
}

function dot([ax, ay, az], [bx, by, bz]) {
  return ax * bx + ay * by + az * bz;
}
