#include "rasterizer.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>

#include "simd/dispatch.h"
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

// States of tiles kept between passes: 80 KB each. Larger images hold the state themselves.
constexpr int64_t kMostStates = 1024;

// A depth key that about a third of the splats lie before, from a sample of them. Drawing these
// first tells what is hidden of the others before any work on it. Not worth a second pass where
// splats are few for the pixels, as little is hidden then.
uint32_t split_key(const SplatModel& model, const View& view, const Parameters& parameters) {
  constexpr double kNearShare = 0.35;
  constexpr int64_t kSamples = 1024, kPixelsPerSplat = 3;
  const int64_t count = model.count();
  const int64_t pixels = static_cast<int64_t>(view.size.width) * view.size.height;
  if (count * kPixelsPerSplat < pixels || count < kSamples) return kNoSplit;
  std::vector<float> depths;
  const double* const row = view.camera.rotation + 6;
  for (int64_t i = 0; i < kSamples; ++i) {
    const float* const mean = model.packed()[i * count / kSamples].mean;
    const double z = row[0] * mean[0] + row[1] * mean[1] + row[2] * mean[2];
    const float depth = static_cast<float>(z + view.camera.translation[2]);
    if (depth >= parameters.near_plane) depths.push_back(depth);
  }
  if (depths.empty()) return kNoSplit;
  const auto at =
      depths.begin() + static_cast<int64_t>(kNearShare * static_cast<double>(depths.size()));
  std::nth_element(depths.begin(), at, depths.end());
  uint32_t key;
  std::memcpy(&key, &*at, sizeof(key));
  return key;
}

// Draws every tile from the lists as they stand; marks the tiles that are finished.
void draw_tiles(const SplatModel& model, const View& view, const Parameters& parameters,
                const Options& options, Image image, Workspace& workspace,
                const RasterizerKernel& kernel, TileState* states, bool first_pass, bool last_pass,
                std::vector<uint8_t>& done) {
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
      if (done[tile] || (!first_pass && !last_pass && lists.tile_count(tile) == 0)) continue;
      TileTask task;
      task.model = &model;
      task.view = &view;
      task.parameters = &parameters;
      task.tile_x = static_cast<int>(tile % view.tiles_x);
      task.tile_y = static_cast<int>(tile / view.tiles_x);
      task.entries = lists.tile(tile);
      task.image = image;
      task.state = states ? states + tile : nullptr;
      task.first_pass = first_pass;
      task.last_pass = last_pass;
      task.cull = options.cull;
      task.timed = options.timed;
      task.keys = worker.keys.data();
      task.boxes = worker.boxes.data();
      task.worker = worker_index;
      task.interrupt = options.interrupt;
      done[tile] = kernel.render_tile(task, *worker.scratch, worker.clock);
    }
  });
}

}  // namespace

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
}

void render_view(const SplatModel& model, const View& view, const Parameters& parameters,
                 const Options& options, Image image, Workspace& workspace, FrameStats& stats) {
  using Clock = std::chrono::steady_clock;
  const RasterizerKernel& kernel = kernel_for<RasterizerKernel>(options.isa);
  workspace.prepare(kernel, resolve_threads(options.threads));
  for (auto& worker : workspace.workers) worker->clock = StageClock{};
  TileLists& lists = workspace.lists;
  const int64_t tiles = static_cast<int64_t>(view.tiles_x) * view.tiles_y;
  auto start = Clock::now();
  const bool splits = options.cull && tiles <= kMostStates;
  const uint32_t split = splits ? split_key(model, view, parameters) : kNoSplit;
  lists.find(model, view, parameters, kernel, split, options.threads);
  const bool one_pass = lists.far_candidates() == 0 && lists.pairs() <= options.pair_budget;
  TileState* const states =
      one_pass || tiles > kMostStates ? nullptr : workspace.states.reserve(tiles);
  stats.candidates += seconds_since(start);
  stats.visible += lists.candidates() + lists.far_candidates();
  std::vector<uint8_t> done(tiles, 0);
  for (bool first = true;; first = false) {
    // The near candidates, or what is left of the far ones: at once or, sorted, in ranges.
    stats.pairs += lists.pairs();
    const bool single = lists.pairs() <= options.pair_budget;
    if (!single) lists.sort_by_depth();
    for (bool start_of_part = true; start_of_part || !lists.exhausted(); start_of_part = false) {
      start = Clock::now();
      if (single) {
        lists.scatter_all(view, options.threads);
      } else {
        const bool all_done = std::find(done.begin(), done.end(), 0) == done.end();
        all_done ? lists.skip_rest() : void(lists.scatter_next(view, options.pair_budget, done));
      }
      stats.scatter += seconds_since(start);
      start = Clock::now();
      draw_tiles(model, view, parameters, options, image, workspace, kernel, states,
                 first && start_of_part, lists.exhausted() && lists.far_candidates() == 0, done);
      stats.tiles += seconds_since(start);
      ++stats.passes;
      if (options.interrupt && options.interrupt->stop.load(std::memory_order_relaxed)) return;
    }
    if (lists.far_candidates() == 0) break;
    start = Clock::now();
    workspace.alive.build(view, states);
    lists.advance(view, workspace.alive, options.threads);
    stats.scatter += seconds_since(start);
  }
  for (auto& worker : workspace.workers) add(stats.stages, worker->clock);
}

}  // namespace geolrm::raster
