// Buffers that a model's frames share.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "recording.h"
#include "tile_lists.h"

namespace geolrm::raster {

// Reused from frame to frame. One frame at a time: callers hold `mutex`.
class Workspace {
 public:
  ~Workspace();
  void prepare(const RasterizerKernel& kernel, int workers);

  std::mutex mutex;
  TileLists lists;
  AlignedBuffer<TileState> states;  // of all tiles, between passes
  AliveBlocks alive;
  struct Worker {
    TileScratch* scratch = nullptr;
    AlignedBuffer<uint64_t> keys;
    AlignedBuffer<uint16_t> boxes;
    StageClock clock;
    Recording recording;
  };
  std::vector<std::unique_ptr<Worker>> workers;
  AlignedBuffer<const GradientRow*> rows;  // of a group of tiles, ordered by range of splats
  AlignedBuffer<uint32_t> row_ids;

 private:
  void release();
  const RasterizerKernel* kernel_ = nullptr;
};

}  // namespace geolrm::raster
