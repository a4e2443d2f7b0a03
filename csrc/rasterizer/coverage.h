// Which 4x4 blocks of a tile an ellipse touches: one interval of columns for each row of blocks.
#pragma once

#include <cmath>

#include "project.h"

namespace geolrm::raster::GEOLRM_RASTER_ISA {
namespace {

// For each lane, the blocks whose pixel centres lie within (a dx + b dy)^2 + (c dy)^2 <= reach.
// Slightly more is allowed, less is not: what this leaves out is never drawn, so the margins cover
// the rounding here and in blending, and the image does not depend on where tiles begin.
inline void blocks_touched(const Projection& p, float tile_x, float tile_y, int tile_blocks,
                           BlockRows* out) {
  alignas(64) float reach[kLanes], inverse_a[kLanes], slope[kLanes], bound[kLanes], extreme[kLanes];
  alignas(64) float left[kLanes], right[kLanes], mean_y[kLanes];
  alignas(64) int first[kLanes], steps[kLanes];
  const float last = static_cast<float>(tile_blocks);
  for (int i = 0; i < kLanes; ++i) {
    const float a = p.a[i], b = p.b[i], c = p.c[i];
    reach[i] = (p.reach[i] > 0.0f ? p.reach[i] : 0.0f) * 1.00001f + 1e-5f;
    const float root = std::sqrt(reach[i]);
    inverse_a[i] = 1.0f / a;
    slope[i] = b * inverse_a[i];
    const float half_height = root / c;
    const float x = p.mean_x[i] - tile_x, y = p.mean_y[i] - tile_y;
    const float margin_x =
        0.01f + 4e-6f * (root * inverse_a[i] + std::fabs(slope[i]) * half_height +
                         std::fabs(p.mean_x[i]) + std::fabs(x));
    const float margin_y = 0.01f + 4e-6f * (half_height + std::fabs(p.mean_y[i]) + std::fabs(y));
    bound[i] = half_height + margin_y;
    // dy of the rightmost point; the leftmost is its mirror image.
    extreme[i] = -half_height * b / std::sqrt(b * b + c * c);
    right[i] = x - 0.5f + margin_x;
    left[i] = x - 3.5f - margin_x;
    mean_y[i] = y;
    const float begin = (y - bound[i] - 3.5f) * 0.25f, end = (y + bound[i] - 0.5f) * 0.25f + 1.0f;
    const float begin_in = begin > 0.0f ? begin : 0.0f, end_in = end > 0.0f ? end : 0.0f;
    first[i] = static_cast<int>(begin_in < last ? begin_in : last);
    const int stop = static_cast<int>(end_in < last ? end_in : last);
    steps[i] = p.reach[i] >= 0.0f ? stop - first[i] : 0;
  }
  int most = 0;
  for (int i = 0; i < kLanes; ++i) most = steps[i] > most ? steps[i] : most;
  std::memset(out, 0, kLanes * sizeof(BlockRows));
  for (int step = 0; step < most; ++step) {
    alignas(64) uint32_t bits[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const float from = static_cast<float>(4 * (first[i] + step)) + 0.5f - mean_y[i];
      const float to = from + 3.0f;
      const float low = from > -bound[i] ? from : -bound[i], high = to < bound[i] ? to : bound[i];
      const float dy_r0 = extreme[i] > low ? extreme[i] : low;
      const float dy_l0 = -extreme[i] > low ? -extreme[i] : low;
      const float dy_r = dy_r0 < high ? dy_r0 : high, dy_l = dy_l0 < high ? dy_l0 : high;
      const float c = p.c[i];
      const float left_r = reach[i] - (c * dy_r) * (c * dy_r);
      const float left_l = reach[i] - (c * dy_l) * (c * dy_l);
      const float h_r = std::sqrt(left_r > 0.0f ? left_r : 0.0f);
      const float h_l = std::sqrt(left_l > 0.0f ? left_l : 0.0f);
      const float end = (right[i] + h_r * inverse_a[i] - slope[i] * dy_r) * 0.25f + 1.0f;
      const float begin = last - (left[i] - h_l * inverse_a[i] - slope[i] * dy_l) * 0.25f;
      // Truncation is floor here, as both are clamped to be positive first.
      const float end_in = end > 0.0f ? end : 0.0f, begin_in = begin > 0.0f ? begin : 0.0f;
      const int stop = static_cast<int>(end_in < last ? end_in : last);
      const int start = tile_blocks - static_cast<int>(begin_in < last ? begin_in : last);
      const int hit = (low <= high) & (start < stop) & (step < steps[i]);
      bits[i] = ((1u << stop) - (1u << start)) & (0u - static_cast<uint32_t>(hit));
    }
    for (int i = 0; i < kLanes; ++i) {
      const int row = first[i] + step;  // past the end only where no bit is set
      out[i].rows[row & (kMaxTileBlocks - 1)] |= static_cast<uint16_t>(bits[i]);
    }
  }
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_RASTER_ISA
