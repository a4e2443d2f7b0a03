// The bin stage within a tile: which splats of a batch touch each block.
#pragma once

#include <algorithm>

#include "coverage.h"
#include "scratch.h"

namespace geolrm::raster::GEOLRM_ISA {
namespace {

// Projects the pending splats and finds which of them touch each unfinished block; `touched` gets
// the blocks with any.
inline void bin_batch(const TileTask& task, Scratch& s, int count, uint64_t* touched,
                      StageClock& clock, StageTimer& timer) {
  const View& view = *task.view;
  const int first_x = task.tile_x * view.tile_blocks * kBlock;
  const int first_y = task.tile_y * view.tile_blocks * kBlock;
  const float tile_x = from_middle(first_x), tile_y = from_middle(first_y);
  const double cell[2] = {double(first_x) - tile_x, double(first_y) - tile_y};
  uint64_t alive[4];
  std::memcpy(alive, s.tile->alive.rows, sizeof(alive));
  for (int w = 0; w < 4; ++w) touched[w] = 0;
  std::memset(s.rows + count, 0, (kBatch - count) * sizeof(BlockRows));
  for (int begin = 0; begin < count; begin += kLanes) {
    const int lanes = std::min(kLanes, count - begin);
    Projection p;
    project_batch(task.model->packed(), s.pending + begin, lanes, view, *task.parameters, cell, p);
    timer.lap(clock.project);
    blocks_touched(p, tile_x, tile_y, view.tile_blocks, s.rows + begin);
    for (int lane = 0; lane < lanes; ++lane) {
      const int item = begin + lane;
      uint64_t words[4];
      std::memcpy(words, s.rows[item].rows, sizeof(words));
      for (int w = 0; w < 4; ++w) words[w] &= alive[w];
      std::memcpy(s.rows[item].rows, words, sizeof(words));
      if (!(words[0] | words[1] | words[2] | words[3])) continue;
      for (int w = 0; w < 4; ++w) touched[w] |= words[w];
      s.records[item] = record_of(p, lane, *task.model, s.pending[item], view);
    }
    timer.lap(clock.bin);
  }
  transpose_bits(s.rows, s.masks);
  timer.lap(clock.bin);
  clock.splats += count;
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_ISA
