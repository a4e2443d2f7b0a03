// Draws views of a model: candidates to tiles, then each tile on its own, front to back.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "rasterizer_kernel.h"
#include "recording.h"
#include "splat_gradient.h"
#include "tile_lists.h"

namespace geolrm::raster {

struct Options {
  int threads = 0;  // 0: all cores
  Isa isa = Isa::kPlain;
  int tile_size = 64;             // 32 or 64 px; changes the time, never the image
  int64_t pair_budget = 8 << 20;  // splat-tile pairs held at a time; likewise
  bool cull = true;               // false: the bench's plain tile renderer
  bool timed = false;
  Interrupt* interrupt = nullptr;
};

struct FrameStats {
  double candidates = 0, scatter = 0, tiles = 0;  // seconds of wall time
  StageClock stages;                              // within tiles, summed over threads; if timed
  int64_t visible = 0, pairs = 0, passes = 0;
};

// Buffers reused from frame to frame. One frame at a time: callers hold `mutex`.
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

void render_view(const SplatModel& model, const View& view, const Parameters& parameters,
                 const Options& options, Image image, Workspace& workspace, FrameStats& stats);

// Adds dL/d(splats) of one view, given dL/d(image). The same bits for any number of threads.
void render_view_backward(const SplatModel& model, const View& view, const Parameters& parameters,
                          const Options& options, const ImageGradients& image,
                          const SplatGradients& out, Workspace& workspace, FrameStats& stats);

}  // namespace geolrm::raster
