// Front-to-back compositing of one 4x4 block, its sixteen pixels in registers.
#pragma once

#include "exact_pixels.h"
#include "rasterizer_kernel.h"
#include "lanes.h"
#include "project.h"

namespace geolrm::raster::GEOLRM_ISA {
namespace {

struct BlendLimits {
  float log2_alpha_min, alpha_max, transmittance_min;
  // A pixel is finished by the splat that takes T to the limit or below, and that splat is left
  // out. Where one nearly opaque splat does so from above `weight`, what float rounds off 1 - alpha
  // would decide over that weight: from `near_low` to `near_high` double decides instead.
  float weight, near_low, near_high;
};

constexpr float kLimitBand = 2e-3f;    // of the limit, on either side
constexpr float kLimitWeight = 4e-3f;  // what a pixel may be off by without double

// The block at hand, for ExactPixels.
struct ExactBlock {
  ExactPixels* pixels;
  const uint32_t* ids;  // of the records
  int x, y;             // px

  bool counts(int record, int lane, float before) const {
    return pixels->counts(ids[record], x + lane % kBlock, y + lane / kBlock, before);
  }
};

enum class BlockFate { kFinished, kOpen, kUndecided };  // undecided: not drawn, float cannot tell

alignas(64) constexpr float kLaneX[kLanes] = {0.5f, 1.5f, 2.5f, 3.5f, 0.5f, 1.5f, 2.5f, 3.5f,
                                              0.5f, 1.5f, 2.5f, 3.5f, 0.5f, 1.5f, 2.5f, 3.5f};
alignas(64) constexpr float kLaneY[kLanes] = {0.5f, 0.5f, 0.5f, 0.5f, 1.5f, 1.5f, 1.5f, 1.5f,
                                              2.5f, 2.5f, 2.5f, 2.5f, 3.5f, 3.5f, 3.5f, 3.5f};

// Log2 of a record's alpha at the block's pixels, before it is clamped.
inline Floats log2_alpha_at(const Record& s, const Floats& x, const Floats& y) {
  const Floats u = fma(splat(s.a), x, fma(splat(s.b), y, splat(s.u0)));
  const Floats v = fma(splat(s.c), y, splat(s.v0));
  return fnma(v, v, fnma(u, u, splat(s.log2_opacity)));
}

// Alpha, 0 where it is below the minimum.
inline Floats alpha_at(const Record& s, const Floats& x, const Floats& y,
                       const BlendLimits& limits) {
  const Floats e = log2_alpha_at(s, x, y);
  const Mask inside = at_least(e, splat(limits.log2_alpha_min));
  return keep(inside, min(exp2(e), splat(limits.alpha_max)));
}

// T behind a splat. One rounding where there is fused arithmetic.
inline Floats behind(const Floats& running, const Floats& alpha) {
  return fnma(running, alpha, running);
}

// Whether a lane, that was at `start`, may have fallen from above the weight to near the limit or
// below it in one step. `last`: T behind the last splat that counted.
inline bool needs_double(const Floats& start, const Floats& running, const Floats& last,
                         const BlendLimits& limits) {
  const Floats weight = splat(limits.weight), near = splat(limits.near_high);
  const Mask fell = both(at_least(near, running), greater(start, weight));
  return any(fell) &&
         (any(both(fell, greater(last, weight))) || any(both(fell, at_least(near, last))));
}

// `next`, moved to the side of the limit where double finds it.
inline Floats settle(const Floats& running, const Floats& next, int record, const ExactBlock& exact,
                     const BlendLimits& limits) {
  const Mask near =
      both(at_least(next, splat(limits.near_low)), at_least(splat(limits.near_high), next));
  if (!any(both(near, greater(running, splat(limits.weight))))) return next;
  alignas(64) float before[kLanes], after[kLanes];
  store(before, running);
  store(after, next);
  const float limit = limits.transmittance_min;
  for (int i = 0; i < kLanes; ++i) {
    if (!(before[i] > limits.weight)) continue;
    if (!(after[i] >= limits.near_low && after[i] <= limits.near_high)) continue;
    const bool counts = exact.counts(record, i, before[i]);
    if (counts != (after[i] > limit)) after[i] = counts ? limit * (1.0f + 2e-7f) : limit;
  }
  return load(after);
}

// Composites the records in `mask` at the pixels from (x0, y0), px from the middle of the records'
// cell. A finished pixel's running product stays at or below the limit, as it only falls: that
// alone keeps later splats out, with no mask to carry along.
template <bool kCull, bool kDouble>
GEOLRM_INLINE BlockFate blend_block(BlockState& state, const Record* records, uint64_t mask,
                                    float x0, float y0, const ExactBlock* exact,
                                    const BlendLimits& limits) {
  const Floats x = add(load(kLaneX), splat(x0)), y = add(load(kLaneY), splat(y0));
  const Floats zero = splat(0.0f), least = splat(limits.transmittance_min);
  const Floats stored = load(state.transmittance);
  Floats running = keep(greater(stored, zero), stored);
  Floats last = stored;
  Floats red = load(state.color[0]), green = load(state.color[1]), blue = load(state.color[2]);
  Floats depth = load(state.depth);
  bool alive = true;
  for (; mask; mask &= mask - 1) {
    const Record& s = records[lowest_bit(mask)];
    const Floats alpha = alpha_at(s, x, y, limits);
    Floats next = behind(running, alpha);
    if (kDouble) next = settle(running, next, lowest_bit(mask), *exact, limits);
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
  if (!kDouble && needs_double(load(state.transmittance), running, last, limits)) {
    return BlockFate::kUndecided;
  }
  const Mask open = greater(running, least);
  if (!kCull) alive = any(open);
  const Floats minus = sub(zero, last);
  store(state.transmittance, select(open, last, min(last, minus)));
  store(state.color[0], red);
  store(state.color[1], green);
  store(state.color[2], blue);
  store(state.depth, depth);
  return alive ? BlockFate::kOpen : BlockFate::kFinished;
}

template <bool kCull>
GEOLRM_NOINLINE BlockFate blend_block_in_double(BlockState& state, const Record* records,
                                                uint64_t mask, float x0, float y0,
                                                const ExactBlock& exact,
                                                const BlendLimits& limits) {
  return blend_block<kCull, true>(state, records, mask, x0, y0, &exact, limits);
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_ISA
