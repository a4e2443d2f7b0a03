#include "rasterizer.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "thread_pool.h"

namespace geolrm::raster {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void add(StageClock& total, const StageClock& part) {
  total.sort += part.sort;
  total.project += part.project;
  total.bin += part.bin;
  total.blend += part.blend;
  total.write += part.write;
  total.block_pairs += part.block_pairs;
  total.splats += part.splats;
}

// Draws every tile from the lists as they stand; marks the tiles that are finished.
void draw_tiles(const SplatModel& model, const View& view, const Parameters& parameters,
                const Options& options, Image image, Workspace& workspace, const Kernel& kernel,
                bool first_pass, bool last_pass, std::vector<uint8_t>& done) {
  const TileLists& lists = workspace.lists;
  const int64_t tiles = static_cast<int64_t>(view.tiles_x) * view.tiles_y;
  const int64_t largest = lists.largest_tile();
  for (auto& worker : workspace.workers) {
    worker->keys.reserve(largest + 1);
    worker->boxes.reserve(largest + 1);
  }
  // Long lists first, so that threads finish together; the order has no effect on the image.
  std::vector<int64_t> order(tiles);
  std::iota(order.begin(), order.end(), int64_t{0});
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const int64_t na = lists.tile_count(a), nb = lists.tile_count(b);
    return na != nb ? na > nb : a < b;
  });
  parallel_for(tiles, 1, options.threads, [&](int64_t begin, int64_t end, int worker_index) {
    Workspace::Worker& worker = *workspace.workers[worker_index];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t tile = order[i];
      if (options.interrupt && options.interrupt->stop.load(std::memory_order_relaxed)) return;
      if (!first_pass && !last_pass && lists.tile_count(tile) == 0) continue;
      TileTask task;
      task.model = &model;
      task.view = &view;
      task.parameters = &parameters;
      task.tile_x = static_cast<int>(tile % view.tiles_x);
      task.tile_y = static_cast<int>(tile / view.tiles_x);
      task.entries = lists.tile(tile);
      task.image = image;
      task.first_pass = first_pass;
      task.last_pass = last_pass;
      task.cull = options.cull;
      task.timed = options.timed;
      task.keys = worker.keys.data();
      task.boxes = worker.boxes.data();
      task.worker = worker_index;
      task.interrupt = options.interrupt;
      const bool finished = kernel.render_tile(task, *worker.scratch, worker.clock);
      if (finished && options.cull) done[tile] = 1;
    }
  });
}

}  // namespace

Workspace::~Workspace() { release(); }

void Workspace::release() {
  for (auto& worker : workers) kernel_->delete_scratch(worker->scratch);
  workers.clear();
}

void Workspace::prepare(const Kernel& kernel, int count) {
  if (kernel_ != &kernel) {
    release();
    kernel_ = &kernel;
  }
  while (static_cast<int>(workers.size()) < count) {
    auto worker = std::make_unique<Worker>();
    worker->scratch = kernel.new_scratch();
    workers.push_back(std::move(worker));
  }
}

void render_view(const SplatModel& model, const View& view, const Parameters& parameters,
                 const Options& options, Image image, Workspace& workspace, FrameStats& stats) {
  using Clock = std::chrono::steady_clock;
  const Kernel& kernel = kernel_for(options.isa);
  workspace.prepare(kernel, resolve_threads(options.threads));
  for (auto& worker : workspace.workers) worker->clock = StageClock{};
  TileLists& lists = workspace.lists;
  auto start = Clock::now();
  lists.find(model, view, parameters, kernel, options.threads);
  stats.candidates += seconds_since(start);
  stats.visible += lists.candidates();
  stats.pairs += lists.pairs();
  std::vector<uint8_t> done(static_cast<size_t>(view.tiles_x) * view.tiles_y, 0);
  const bool single = lists.pairs() <= options.pair_budget;
  for (bool first = true; first || !lists.exhausted(); first = false) {
    start = Clock::now();
    if (single) {
      lists.scatter_all(view, options.threads);
    } else {
      if (first) lists.sort_by_depth();
      const bool all_done = std::find(done.begin(), done.end(), 0) == done.end();
      all_done ? lists.skip_rest() : void(lists.scatter_next(view, options.pair_budget, done));
    }
    stats.scatter += seconds_since(start);
    start = Clock::now();
    draw_tiles(model, view, parameters, options, image, workspace, kernel, first, lists.exhausted(),
               done);
    stats.tiles += seconds_since(start);
    ++stats.passes;
    if (options.interrupt && options.interrupt->stop.load(std::memory_order_relaxed)) return;
  }
  for (auto& worker : workspace.workers) add(stats.stages, worker->clock);
}

}  // namespace geolrm::raster
