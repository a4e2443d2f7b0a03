// One view of a model at work: what rendering it and its gradients share.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include "rasterizer_kernel.h"
#include "workspace.h"

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
  double project = 0, sort = 0, bin = 0, tiles = 0;  // seconds of wall time, by pass
  StageClock stages;                                 // within tiles, summed over threads; if timed
  int64_t visible = 0, pairs = 0, passes = 0;
};

struct Frame {
  const SplatModel& model;
  const View& view;
  const Parameters& parameters;
  const Options& options;
  Workspace& workspace;  // prepared for the kernel and the threads
  FrameStats& stats;     // added to
  const RasterizerKernel& kernel;

  Frame(const SplatModel& model, const View& view, const Parameters& parameters,
        const Options& options, Workspace& workspace, FrameStats& stats);

  int64_t tiles() const { return static_cast<int64_t>(view.tiles_x) * view.tiles_y; }
  bool stopped() const {
    return options.interrupt && options.interrupt->stop.load(std::memory_order_relaxed);
  }
};

// Adds the seconds of its life to a total.
class PassTimer {
 public:
  explicit PassTimer(double& total) : total_(total) {}
  ~PassTimer() {
    total_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  double& total_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Runs body(task, i, worker) for each tiles[i] on all threads, from the lists as they stand, until
// the frame is stopped. A body sets what else its task needs. Long lists go first, so that threads
// finish together; no result may depend on the order.
void for_each_tile(
    const Frame& frame, const std::vector<int64_t>& tiles,
    const std::function<void(TileTask& task, int64_t i, Workspace::Worker& worker)>& body);

}  // namespace geolrm::raster
