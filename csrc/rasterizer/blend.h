// Front-to-back compositing of one 4x4 block, its sixteen pixels in registers.
#pragma once

#include "exact_pixels.h"
#include "lanes.h"
#include "projection.h"
#include "rasterizer_kernel.h"

namespace geolrm::raster::GEOLRM_ISA {
namespace {

struct BlendLimits {
  float log2_alpha_min, alpha_max, transmittance_min;
  // A pixel is finished by the splat that takes T to the limit or below, and that splat is left
  // out. Where one nearly opaque splat does so from above `weight`, what float rounds off 1 - alpha
  // would decide over that weight: from `near_low` to `near_high` double decides instead.
  float weight, near_low, near_high;
};

// The block at hand, for ExactPixels.
struct ExactBlock {
  ExactPixels* pixels;
  const uint32_t* ids;  // of the records
  int x, y;             // px

  bool counts(int record, int lane, float before) const {
    return pixels->counts(ids[record], x + lane % kBlock, y + lane / kBlock, before);
  }
};

enum class BlockFate {
  kFinished,
  kOpen,
  kUndecided
};  // undecided: not rendered, float cannot tell

alignas(64) constexpr float kLaneX[kLanes] = {0.5f, 1.5f, 2.5f, 3.5f, 0.5f, 1.5f, 2.5f, 3.5f,
                                              0.5f, 1.5f, 2.5f, 3.5f, 0.5f, 1.5f, 2.5f, 3.5f};
alignas(64) constexpr float kLaneY[kLanes] = {0.5f, 0.5f, 0.5f, 0.5f, 1.5f, 1.5f, 1.5f, 1.5f,
                                              2.5f, 2.5f, 2.5f, 2.5f, 3.5f, 3.5f, 3.5f, 3.5f};

// Log2 of a record's alpha at the block's pixels, before it is clamped.
inline Vec16 log2_alpha_at(const Record& s, const Vec16& x, const Vec16& y) {
  const Vec16 u = fma(set16(s.a), x, fma(set16(s.b), y, set16(s.u0)));
  const Vec16 v = fma(set16(s.c), y, set16(s.v0));
  return fnma(v, v, fnma(u, u, set16(s.log2_opacity)));
}

// Alpha, 0 where it is below the minimum.
inline Vec16 alpha_at(const Record& s, const Vec16& x, const Vec16& y, const BlendLimits& limits) {
  const Vec16 e = log2_alpha_at(s, x, y);
  const Mask16 inside = at_least(e, set16(limits.log2_alpha_min));
  return keep(inside, min(exp2_near_one(e), set16(limits.alpha_max)));
}

// T behind a splat. One rounding where there is fused arithmetic.
inline Vec16 behind(const Vec16& running, const Vec16& alpha) {
  return fnma(running, alpha, running);
}

// Whether a lane, that was at `start`, may have fallen from above the weight to near the limit or
// below it in one step. `last`: T behind the last splat that counted.
inline bool needs_double(const Vec16& start, const Vec16& running, const Vec16& last,
                         const BlendLimits& limits) {
  const Vec16 weight = set16(limits.weight), near = set16(limits.near_high);
  const Mask16 fell = at_least(near, running) & less(weight, start);
  return any(fell) && (any(fell & less(weight, last)) || any(fell & at_least(near, last)));
}

// `next`, moved to the side of the limit where double finds it.
inline Vec16 settle(const Vec16& running, const Vec16& next, int record, const ExactBlock& exact,
                    const BlendLimits& limits) {
  const Mask16 near =
      at_least(next, set16(limits.near_low)) & at_least(set16(limits.near_high), next);
  if (!any(near & less(set16(limits.weight), running))) return next;
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
  return load16(after);
}

// Composites the records in `mask` at the pixels from (x0, y0), px from the middle of the records'
// cell. A finished pixel's running product stays at or below the limit, as it only falls: that
// alone keeps later splats out, with no mask to carry along.
template <bool kCull, bool kDouble>
GEOLRM_INLINE BlockFate blend_block(BlockState& state, const Record* records, uint64_t mask,
                                    float x0, float y0, const ExactBlock* exact,
                                    const BlendLimits& limits) {
  const Vec16 x = load16(kLaneX) + set16(x0), y = load16(kLaneY) + set16(y0);
  const Vec16 zero = set16(0.0f), least = set16(limits.transmittance_min);
  const Vec16 stored = load16(state.transmittance);
  Vec16 running = keep(less(zero, stored), stored);
  Vec16 last = stored;
  Vec16 red = load16(state.color[0]), green = load16(state.color[1]), blue = load16(state.color[2]);
  Vec16 depth = load16(state.depth);
  bool alive = true;
  for (; mask; mask &= mask - 1) {
    const Record& s = records[lowest_bit(mask)];
    const Vec16 alpha = alpha_at(s, x, y, limits);
    Vec16 next = behind(running, alpha);
    if (kDouble) next = settle(running, next, lowest_bit(mask), *exact, limits);
    const Mask16 counts = less(least, next);
    const Vec16 weight = keep(counts, running * alpha);
    last = select(counts, next, last);
    running = next;
    red = fma(weight, set16(s.color[0]), red);
    green = fma(weight, set16(s.color[1]), green);
    blue = fma(weight, set16(s.color[2]), blue);
    depth = fma(weight, set16(s.depth), depth);
    if (kCull && !any(counts)) {
      alive = false;
      break;
    }
  }
  if (!kDouble && needs_double(load16(state.transmittance), running, last, limits)) {
    return BlockFate::kUndecided;
  }
  const Mask16 open = less(least, running);
  if (!kCull) alive = any(open);
  const Vec16 minus = zero - last;
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
