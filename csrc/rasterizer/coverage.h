// Which 4x4 blocks of a tile an ellipse touches: one interval of columns for each row of blocks.
#pragma once

#include <cmath>

#include "project.h"

namespace geolrm::raster::GEOLRM_RASTER_ISA {
namespace {

// For each lane, the blocks whose pixel centres lie within (a dx + b dy)^2 + (c dy)^2 <= reach.
inline void blocks_touched(const Projection& p, float tile_x, float tile_y, int tile_blocks,
                           BlockRows* out) {
  alignas(64) EllipseRows rows[kLanes];
  int most = 0;
  for (int i = 0; i < kLanes; ++i) {
    rows[i] = ellipse_rows<kBlock>(p.mean_x[i], p.mean_y[i], p.a[i], p.b[i], p.c[i], p.reach[i],
                                   tile_x, tile_y, tile_blocks);
  }
  for (int i = 0; i < kLanes; ++i) most = rows[i].steps > most ? rows[i].steps : most;
  std::memset(out, 0, kLanes * sizeof(BlockRows));
  for (int step = 0; step < most; ++step) {
    alignas(64) uint32_t bits[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      bits[i] = ellipse_columns<kBlock>(rows[i], p.c[i], step, tile_blocks);
    }
    for (int i = 0; i < kLanes; ++i) {
      const int row = rows[i].first + step;  // past the end only where no bit is set
      out[i].rows[row & (kMaxTileBlocks - 1)] |= static_cast<uint16_t>(bits[i]);
    }
  }
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_RASTER_ISA
