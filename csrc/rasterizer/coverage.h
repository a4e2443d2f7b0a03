// Which 4x4 blocks of a tile an ellipse touches: one interval of columns for each row of blocks.
#pragma once

#include <cmath>

#include "projection.h"

namespace geolrm::raster::GEOLRM_ISA {
namespace {

// For each lane, the blocks whose pixel centres lie within (a dx + b dy)^2 + (c dy)^2 <= reach.
inline void blocks_touched(const Projection& p, float tile_x, float tile_y, int tile_blocks,
                           BlockRows* out) {
  // Field by field, so that both loops run over vectors.
  alignas(64) float reach[kLanes], inverse_a[kLanes], slope[kLanes], bound[kLanes], extreme[kLanes];
  alignas(64) float left[kLanes], right[kLanes], mean_y[kLanes];
  alignas(64) int first[kLanes], steps[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    const EllipseRows e = ellipse_rows<kBlock>(p.mean_x[i], p.mean_y[i], p.a[i], p.b[i], p.c[i],
                                               p.reach[i], tile_x, tile_y, tile_blocks);
    reach[i] = e.reach;
    inverse_a[i] = e.inverse_a;
    slope[i] = e.slope;
    bound[i] = e.bound;
    extreme[i] = e.extreme;
    left[i] = e.left;
    right[i] = e.right;
    mean_y[i] = e.mean_y;
    first[i] = e.first;
    steps[i] = e.steps;
  }
  int most = 0;
  for (int i = 0; i < kLanes; ++i) most = steps[i] > most ? steps[i] : most;
  std::memset(out, 0, kLanes * sizeof(BlockRows));
  for (int step = 0; step < most; ++step) {
    alignas(64) uint32_t bits[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const EllipseRows e = {reach[i], inverse_a[i], slope[i],  bound[i], extreme[i],
                             left[i],  right[i],     mean_y[i], first[i], steps[i]};
      bits[i] = ellipse_columns<kBlock>(e, p.c[i], step, tile_blocks);
    }
    for (int i = 0; i < kLanes; ++i) {
      const int row = first[i] + step;  // past the end only where no bit is set
      out[i].rows[row & (kMaxTileBlocks - 1)] |= static_cast<uint16_t>(bits[i]);
    }
  }
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_ISA
