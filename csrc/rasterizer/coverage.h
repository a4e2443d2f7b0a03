// Which 4x4 blocks of a tile an ellipse touches: one interval of columns for each row of blocks.
#pragma once

#include <cmath>

#include "project.h"

namespace geolrm::raster::GEOLRM_RASTER_ISA {
namespace {

// Rows of a tile as bits: bit j of rows[i] is block (column j, row i).
struct alignas(32) BlockRows {
  uint16_t rows[kMaxTileBlocks];
};

// The blocks whose pixel centres lie within (a dx + b dy)^2 + (c dy)^2 <= reach. Slightly more
// is allowed, less is not: what this leaves out is never drawn, so the margins cover the rounding
// here and in blending, and the image does not depend on where tiles begin.
inline BlockRows blocks_touched(const Projection& p, int lane, float tile_x, float tile_y,
                                int tile_blocks) {
  const float a = p.a[lane], b = p.b[lane], c = p.c[lane];
  const float reach = p.reach[lane] * 1.00001f + 1e-5f;
  const float root = std::sqrt(reach);
  const float inverse_a = 1.0f / a, slope = b * inverse_a;
  const float half_height = root / c;
  const float x = p.mean_x[lane] - tile_x, y = p.mean_y[lane] - tile_y;
  const float margin = 0.01f + 4e-6f * (root * inverse_a + std::fabs(slope) * half_height +
                                        std::fabs(p.mean_x[lane]) + std::fabs(x));
  const float margin_y =
      0.01f + 4e-6f * (half_height + std::fabs(p.mean_y[lane]) + std::fabs(y));
  // dy of the rightmost point; the leftmost is its mirror image.
  const float extreme = -half_height * b / std::sqrt(b * b + c * c);
  const float right = x - 0.5f + margin, left = x - 3.5f - margin;
  const float bound = half_height + margin_y;
  const float last = static_cast<float>(tile_blocks);
  BlockRows out;
  for (int i = 0; i < kMaxTileBlocks; ++i) {
    const float from = static_cast<float>(4 * i) + 0.5f - y, to = from + 3.0f;
    const float low = from > -bound ? from : -bound, high = to < bound ? to : bound;
    const float at_low = extreme > low ? extreme : low, at_low2 = -extreme > low ? -extreme : low;
    const float dy_r = at_low < high ? at_low : high, dy_l = at_low2 < high ? at_low2 : high;
    const float left_r = reach - (c * dy_r) * (c * dy_r), left_l = reach - (c * dy_l) * (c * dy_l);
    const float h_r = std::sqrt(left_r > 0.0f ? left_r : 0.0f);
    const float h_l = std::sqrt(left_l > 0.0f ? left_l : 0.0f);
    const float end = (right + h_r * inverse_a - slope * dy_r) * 0.25f + 1.0f;
    const float begin = last - (left - h_l * inverse_a - slope * dy_l) * 0.25f;
    // Truncation is floor here, as both are clamped to be positive first.
    const float end_in = end > 0.0f ? end : 0.0f, begin_in = begin > 0.0f ? begin : 0.0f;
    const int stop = static_cast<int>(end_in < last ? end_in : last);
    const int start = tile_blocks - static_cast<int>(begin_in < last ? begin_in : last);
    const uint32_t bits = (1u << stop) - (1u << start);
    const bool hit = (low <= high) & (start < stop);
    out.rows[i] = static_cast<uint16_t>(hit ? bits : 0u);
  }
  for (int i = tile_blocks; i < kMaxTileBlocks; ++i) out.rows[i] = 0;
  return out;
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_RASTER_ISA
