// A pixel's way through the records of its tile: what blending and the backward pass share, so that
// both take the same splats, to the bit.
#pragma once

#include "rasterizer/splat.cuh"

namespace geolrm {

constexpr int kPixels = 2;             // of a lane in a cell, kPixelStep rows apart
constexpr int kPixelStep = kCell / 2;  // pixels

#ifdef __CUDACC__
GEOLRM_DEVICE float exp2_of(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
#else
GEOLRM_DEVICE float exp2_of(float x) { return exp2f(x); }
#endif

// A record as a tile's pixels read it, from the tile's middle: log2 alpha = log2_opacity - u^2 -
// v^2, with u = a x + b y + u0 and v = c y + v0. 48 bytes, of which blending reads 40.
struct alignas(16) TileRecord {
  float a, b, c, log2_opacity;
  float u0, v0, red, green;
  float blue, depth, mean_x, mean_y;
};

GEOLRM_DEVICE TileRecord in_tile(const Record& s, int tile_x, int tile_y) {
  TileRecord r;
  r.a = s.a;
  r.b = s.b;
  r.c = s.c;
  r.log2_opacity = s.log2_opacity;
  r.mean_x = s.mean_x - static_cast<float>(tile_x * kTile + kTile / 2);
  r.mean_y = s.mean_y - static_cast<float>(tile_y * kTile + kTile / 2);
  r.u0 = -fmaf(s.a, r.mean_x, s.b * r.mean_y);
  r.v0 = -s.c * r.mean_y;
  r.red = s.red;
  r.green = s.green;
  r.blue = s.blue;
  r.depth = s.depth;
  return r;
}

// log2 alpha, before it is clamped, at (x, y) and kPixelStep rows below. Every fused step is spelt
// out, so that no compiler fuses others in one kernel than in the next.
GEOLRM_DEVICE void log2_alphas(const TileRecord& s, float x, float y, float (&e)[kPixels]) {
  const float u = fmaf(s.a, x, fmaf(s.b, y, s.u0)), v = fmaf(s.c, y, s.v0);
  constexpr float kDown = kPixelStep;
  const float u_below = fmaf(kDown, s.b, u), v_below = fmaf(kDown, s.c, v);
  e[0] = fmaf(-v, v, fmaf(-u, u, s.log2_opacity));
  e[1] = fmaf(-v_below, v_below, fmaf(-u_below, u_below, s.log2_opacity));
}

struct BlendLimits {
  float log2_alpha_min, alpha_max, transmittance_min;
  // Where one nearly opaque splat takes T from above `weight` to between these, what float rounds
  // off would decide whether it counts: it is listed, and double decides.
  float weight, near_low, near_high;
};

GEOLRM_DEVICE BlendLimits limits_of(const SplatView& view) {
  const float limit = static_cast<float>(view.transmittance_limit);
  return {-static_cast<float>(view.log2_inv_alpha_min),
          static_cast<float>(view.alpha_max),
          limit,
          static_cast<float>(view.limit_weight),
          limit * (1.0f - kLimitBand),
          limit * (1.0f + kLimitBand)};
}

GEOLRM_DEVICE float alpha_of(float e, const BlendLimits& limits) {
  return fminf(exp2_of(e), limits.alpha_max);
}

// T behind a splat: as before where it does not reach.
GEOLRM_DEVICE float behind(float running, float e, const BlendLimits& limits) {
  const float alpha = alpha_of(e, limits);
  return e >= limits.log2_alpha_min ? fmaf(-alpha, running, running) : running;
}

// A pixel whose last splat float may not tell: it is among those of these ranks. Either it counts,
// or the pixel ends in front of it.
struct alignas(16) Undecided {
  Bits pixel;           // of the image
  Bits first_rank, to;  // the last rank is `to`
  float start;          // T in front of the first
};

GEOLRM_DEVICE int highest_bit(Bits bits) { return 31 - __clz(static_cast<int>(bits)); }

// Whether a pixel that was at `start` may have fallen to near the limit, or below it, in one step.
// `last`: T behind the last splat that counted.
GEOLRM_DEVICE bool may_be_undecided(float start, float running, float last,
                                    const BlendLimits& limits) {
  return running <= limits.near_high && start > limits.weight &&
         (last > limits.weight || last <= limits.near_high);
}

}  // namespace geolrm
