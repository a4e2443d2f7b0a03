// Front-to-back compositing of one 4x4 block, its sixteen pixels in registers.
#pragma once

#include "kernel.h"
#include "lanes.h"
#include "project.h"

namespace geolrm::raster::GEOLRM_RASTER_ISA {
namespace {

struct BlendLimits {
  float log2_alpha_min, alpha_max, transmittance_min;
};

alignas(64) constexpr float kLaneX[kLanes] = {0.5f, 1.5f, 2.5f, 3.5f, 0.5f, 1.5f, 2.5f, 3.5f,
                                              0.5f, 1.5f, 2.5f, 3.5f, 0.5f, 1.5f, 2.5f, 3.5f};
alignas(64) constexpr float kLaneY[kLanes] = {0.5f, 0.5f, 0.5f, 0.5f, 1.5f, 1.5f, 1.5f, 1.5f,
                                              2.5f, 2.5f, 2.5f, 2.5f, 3.5f, 3.5f, 3.5f, 3.5f};

// Alpha of a record at the block's pixels, 0 where it is below the minimum.
inline Floats alpha_at(const Record& s, const Floats& x, const Floats& y,
                       const BlendLimits& limits) {
  const Floats dx = sub(x, splat(s.mean_x)), dy = sub(y, splat(s.mean_y));
  const Floats u = fma(splat(s.a), dx, mul(splat(s.b), dy));
  const Floats v = mul(splat(s.c), dy);
  const Floats e = fnma(v, v, fnma(u, u, splat(s.log2_opacity)));
  const Mask inside = at_least(e, splat(limits.log2_alpha_min));
  return keep(inside, min(exp2(e), splat(limits.alpha_max)));
}

// Composites the records in `mask`. Returns whether any pixel is unfinished. A finished pixel's
// running product stays at or below the limit, as it only falls: that alone keeps later splats out,
// with no mask to carry along.
template <bool kCull>
inline bool blend_block(BlockState& state, const Record* records, uint64_t mask, float x0, float y0,
                        const BlendLimits& limits) {
  const Floats x = add(load(kLaneX), splat(x0)), y = add(load(kLaneY), splat(y0));
  const Floats zero = splat(0.0f), one = splat(1.0f);
  const Floats least = splat(limits.transmittance_min);
  const Floats stored = load(state.transmittance);
  Floats running = keep(greater(stored, zero), stored);
  Floats last = stored;
  Floats red = load(state.color[0]), green = load(state.color[1]), blue = load(state.color[2]);
  Floats depth = load(state.depth);
  bool alive = true;
  for (; mask; mask &= mask - 1) {
    const Record& s = records[lowest_bit(mask)];
    const Floats alpha = alpha_at(s, x, y, limits);
    const Floats next = mul(running, sub(one, alpha));
    const Mask counts = greater(next, least);
    const Floats weight = keep(counts, mul(running, alpha));
    last = select(counts, next, last);
    running = next;
    red = fma(weight, splat(s.color[0]), red);
    green = fma(weight, splat(s.color[1]), green);
    blue = fma(weight, splat(s.color[2]), blue);
    depth = fma(weight, splat(s.depth), depth);
    if (kCull && !any(counts)) {
      alive = false;
      break;
    }
  }
  const Mask open = greater(running, least);
  if (!kCull) alive = any(open);
  const Floats minus = sub(zero, last);
  store(state.transmittance, select(open, last, min(last, minus)));
  store(state.color[0], red);
  store(state.color[1], green);
  store(state.color[2], blue);
  store(state.depth, depth);
  return alive;
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_RASTER_ISA
