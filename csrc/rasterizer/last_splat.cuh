// Whether an undecided pixel's last splat counts, in double: what csrc/rasterizer/exact_pixels.cpp
// finds on the CPU.
#pragma once

#include "rasterizer/compositing.cuh"
#include "rasterizer/splat_record.cuh"

namespace geolrm {

#include "arithmetic/splat_through.h"

// The model as the caller gave it.
struct SplatSource {
  const float *means, *opacities, *scales, *quats;
};

GEOLRM_DEVICE double pass_of(const SplatSource& source, Index splat, const SplatView& view,
                             double log_alpha_min, double x, double y) {
  const PassView pass = {view.rotation,
                         view.translation,
                         {view.focal[0], view.focal[1]},
                         {view.principal[0], view.principal[1]},
                         view.clip_low,
                         view.clip_high,
                         view.eps2d,
                         log_alpha_min,
                         view.alpha_max,
                         view.antialiased != 0.0};
  return splat_pass(source.means + 3 * splat, source.scales + 3 * splat, source.quats + 4 * splat,
                    source.opacities[splat], pass, x, y);
}

// An undecided splat at its pixel.
struct LastSplat {
  Bits rank;
  float before, next;  // T in front of it and behind, in float
};

// Walks a camera's ranks again, as blending did, a warp a pixel; false where float could tell.
GEOLRM_DEVICE bool find_last_splat(const PackedSplat* packed, const SplatView& view,
                                   const Bits* ids, const CellBox* boxes, const Undecided& pixel,
                                   int x, int y, const BlendLimits& limits, LastSplat& found) {
  const int cell_x = x / kCell, cell_y = y / kCell, tile_x = x / kTile, tile_y = y / kTile;
  const int cell = cell_y % kTileCells * kTileCells + cell_x % kTileCells;
  const int row = y % kCell / kPixelStep;
  const float least = static_cast<float>(view.log2_inv_alpha_min);
  constexpr float kToMiddle = 0.5f - kTile / 2;
  const float from_x = static_cast<float>(x - tile_x * kTile) + kToMiddle;
  const float from_y = static_cast<float>(y - row * kPixelStep - tile_y * kTile) + kToMiddle;
  float running = pixel.start;
  for (Bits base = pixel.first_rank; base <= pixel.to; base += kWarp) {
    const Bits rank = base + threadIdx.x % kWarp;
    float e[kPixels] = {0.0f, 0.0f};
    bool hit = false;
    if (rank <= pixel.to) {
      const CellBox box = boxes[ids[rank]];
      Record s;
      if (box.x0 <= cell_x && cell_x <= box.x1 && box.y0 <= cell_y && cell_y <= box.y1 &&
          project_splat(packed[ids[rank]], view, s)) {
        hit = cells_touched(s, least, tile_x, tile_y) >> cell & 1u;
        log2_alphas(in_tile(s, tile_x, tile_y), from_x, from_y, e);
      }
    }
    const float mine = row == 0 ? e[0] : e[1];
    for (Bits hits = __ballot_sync(kAllLanes, hit); hits != 0; hits &= hits - 1) {
      const int lane = __ffs(static_cast<int>(hits)) - 1;
      const float next = behind(running, __shfl_sync(kAllLanes, mine, lane), limits);
      if (running > limits.weight && next >= limits.near_low && next <= limits.near_high) {
        found = {base + static_cast<Bits>(lane), running, next};
        return true;
      }
      running = next;
    }
  }
  return false;
}

// By a whole warp, for one pixel. ids and boxes of the camera.
GEOLRM_DEVICE bool last_splat_counts(const SplatSource& source, const SplatView& view,
                                     const Bits* ids, const CellBox* boxes, const LastSplat& splat,
                                     int x, int y) {
  const double limit = view.transmittance_min, log_alpha_min = log(view.alpha_min);
  const double last = pass_of(source, ids[splat.rank], view, log_alpha_min, x + 0.5, y + 0.5);
  const double after = splat.before * last, off = after / limit - 1.0;
  if (splat.before == 1.0f || off > kTrusted || off < -kTrusted) return after > limit;
  const int cell_x = x / kCell, cell_y = y / kCell;
  double t = 1.0;
  for (Bits rank = threadIdx.x % kWarp; rank < splat.rank; rank += kWarp) {
    const Bits id = ids[rank];
    const CellBox box = boxes[id];
    if (box.x0 > cell_x || box.x1 < cell_x || box.y0 > cell_y || box.y1 < cell_y) continue;
    t *= pass_of(source, id, view, log_alpha_min, x + 0.5, y + 0.5);
  }
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) t *= __shfl_xor_sync(kAllLanes, t, step);
  return t * last > limit;
}

// T behind a splat that counts only by double's word: as little above the limit as float can be.
GEOLRM_DEVICE float just_above_limit(const BlendLimits& limits) {
  return limits.transmittance_min * (1.0f + 2e-7f);
}

}  // namespace geolrm
