#include "frame.h"

#include <algorithm>
#include <numeric>

#include "simd/dispatch.h"
#include "thread_pool.h"

namespace geolrm::raster {

Workspace::~Workspace() { release(); }

void Workspace::release() {
  for (auto& worker : workers) kernel_->delete_scratch(worker->scratch);
  workers.clear();
}

void Workspace::prepare(const RasterizerKernel& kernel, int count) {
  if (kernel_ != &kernel) {
    release();
    kernel_ = &kernel;
  }
  while (static_cast<int>(workers.size()) < count) {
    auto worker = std::make_unique<Worker>();
    worker->scratch = kernel.new_scratch();
    workers.push_back(std::move(worker));
  }
  for (auto& worker : workers) worker->clock = StageClock{};
}

Frame::Frame(const SplatModel& model, const View& view, const Parameters& parameters,
             const Options& options, Workspace& workspace, FrameStats& stats)
    : model(model),
      view(view),
      parameters(parameters),
      options(options),
      workspace(workspace),
      stats(stats),
      kernel(kernel_for<RasterizerKernel>(options.isa)) {
  const int64_t most = resolve_threads(options.threads);  // no worker without a tile
  workspace.prepare(kernel, static_cast<int>(std::min(most, tiles())));
}

void for_each_tile(
    const Frame& frame, const std::vector<int64_t>& tiles,
    const std::function<void(TileTask& task, int64_t i, Workspace::Worker& worker)>& body) {
  const TileLists& lists = frame.workspace.lists;
  const int64_t largest = lists.largest_tile();
  for (auto& worker : frame.workspace.workers) {
    worker->keys.reserve(largest + 1);
    worker->boxes.reserve(largest + 1);
  }
  std::vector<int64_t> order(tiles.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const int64_t na = lists.tile_count(tiles[a]), nb = lists.tile_count(tiles[b]);
    return na != nb ? na > nb : a < b;
  });
  const int64_t count = static_cast<int64_t>(tiles.size());
  parallel_for(count, 1, frame.options.threads, [&](int64_t begin, int64_t end, int index) {
    Workspace::Worker& worker = *frame.workspace.workers[index];
    for (int64_t at = begin; at < end; ++at) {
      if (frame.stopped()) return;
      const int64_t i = order[at], tile = tiles[i];
      TileTask task;
      task.model = &frame.model;
      task.view = &frame.view;
      task.parameters = &frame.parameters;
      task.tile_x = static_cast<int>(tile % frame.view.tiles_x);
      task.tile_y = static_cast<int>(tile / frame.view.tiles_x);
      task.entries = lists.tile(tile);
      task.cull = frame.options.cull;
      task.timed = frame.options.timed;
      task.keys = worker.keys.data();
      task.boxes = worker.boxes.data();
      task.worker = index;
      task.interrupt = frame.options.interrupt;
      body(task, i, worker);
    }
  });
}

}  // namespace geolrm::raster
