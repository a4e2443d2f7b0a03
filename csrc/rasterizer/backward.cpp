#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>

#include "rasterizer.h"
#include "simd/dispatch.h"
#include "thread_pool.h"

namespace geolrm::raster {
namespace {

// Where a tile's rows lie: in one worker's recording.
struct TileRows {
  int worker = 0;
  int64_t begin = 0, end = 0;
};

// Splats of one range are summed by one thread; ranges depend on the model alone.
int range_shift(int64_t count) {
  int shift = 8;
  while ((count >> shift) > 255) ++shift;
  return shift;
}

// Walks the listed tiles; rows of each go to the recording of whoever took it.
void trace_tiles(const SplatModel& model, const View& view, const Parameters& parameters,
                 const Options& options, const ImageGradients& image, Workspace& workspace,
                 const RasterizerKernel& kernel, const std::vector<int64_t>& tiles,
                 std::vector<TileRows>& rows) {
  const TileLists& lists = workspace.lists;
  const int64_t largest = lists.largest_tile();
  for (auto& worker : workspace.workers) {
    worker->keys.reserve(largest + 1);
    worker->boxes.reserve(largest + 1);
    worker->recording.out_count = 0;
  }
  std::vector<int64_t> order(tiles.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const int64_t na = lists.tile_count(tiles[a]), nb = lists.tile_count(tiles[b]);
    return na != nb ? na > nb : a < b;
  });
  rows.assign(tiles.size(), TileRows{});
  const int64_t count = static_cast<int64_t>(tiles.size());
  parallel_for(count, 1, options.threads, [&](int64_t begin, int64_t end, int index) {
    Workspace::Worker& worker = *workspace.workers[index];
    for (int64_t i = begin; i < end; ++i) {
      if (options.interrupt && options.interrupt->stop.load(std::memory_order_relaxed)) return;
      const int64_t tile = tiles[order[i]];
      TileTask task;
      task.model = &model;
      task.view = &view;
      task.parameters = &parameters;
      task.tile_x = static_cast<int>(tile % view.tiles_x);
      task.tile_y = static_cast<int>(tile / view.tiles_x);
      task.entries = lists.tile(tile);
      task.image = {nullptr, nullptr, nullptr};
      task.first_pass = task.last_pass = true;
      task.timed = options.timed;
      task.keys = worker.keys.data();
      task.boxes = worker.boxes.data();
      task.worker = index;
      task.interrupt = options.interrupt;
      TileRows& out = rows[order[i]];
      out.worker = index;
      out.begin = worker.recording.out_count;
      kernel.trace_tile(task, image, *worker.scratch, worker.recording, worker.clock);
      out.end = worker.recording.out_count;
    }
  });
}

// Sums the rows of each splat in the order of tiles, whoever made them, and chains to the arrays.
void reduce_rows(const SplatModel& model, const View& view, const Parameters& parameters,
                 const Options& options, const SplatGradients& out, Workspace& workspace,
                 const std::vector<TileRows>& rows) {
  const int shift = range_shift(model.count());
  const int64_t ranges = (model.count() >> shift) + 1;
  const int64_t tiles = static_cast<int64_t>(rows.size());
  std::vector<int64_t> at(tiles * ranges, 0);  // rows of a tile in a range, then where they go
  parallel_for(tiles, 1, options.threads, [&](int64_t begin, int64_t end, int) {
    for (int64_t tile = begin; tile < end; ++tile) {
      const Recording& recording = workspace.workers[rows[tile].worker]->recording;
      for (int64_t i = rows[tile].begin; i < rows[tile].end; ++i) {
        ++at[tile * ranges + (recording.out_ids[i] >> shift)];
      }
    }
  });
  std::vector<int64_t> offsets(ranges + 1, 0);
  int64_t total = 0;
  for (int64_t range = 0; range < ranges; ++range) {
    offsets[range] = total;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t count = at[tile * ranges + range];
      at[tile * ranges + range] = total;
      total += count;
    }
  }
  offsets[ranges] = total;
  const GradientRow** const ordered = workspace.rows.reserve(total + 1);
  uint32_t* const ids = workspace.row_ids.reserve(total + 1);
  parallel_for(tiles, 1, options.threads, [&](int64_t begin, int64_t end, int) {
    for (int64_t tile = begin; tile < end; ++tile) {
      const Recording& recording = workspace.workers[rows[tile].worker]->recording;
      for (int64_t i = rows[tile].begin; i < rows[tile].end; ++i) {
        const uint32_t id = recording.out_ids[i];
        const int64_t to = at[tile * ranges + (id >> shift)]++;
        ids[to] = id;
        ordered[to] = recording.out_rows.data() + i;
      }
    }
  });
  parallel_for(ranges, 1, options.threads, [&](int64_t begin, int64_t end, int) {
    std::vector<GradientRow> sums(static_cast<size_t>(end - begin) << shift);
    for (int64_t range = begin; range < end; ++range) {
      std::memset(static_cast<void*>(sums.data()), 0, sums.size() * sizeof(GradientRow));
      const int64_t base = range << shift;
      for (int64_t i = offsets[range]; i < offsets[range + 1]; ++i) {
        GradientRow& sum = sums[ids[i] - base];
        for (int k = 0; k < kGradients; ++k) sum.values[k] += ordered[i]->values[k];
        sum.values[15] = 1;  // has a gradient
      }
      const int64_t count = std::min<int64_t>(int64_t{1} << shift, model.count() - base);
      for (int64_t i = 0; i < count; ++i) {
        if (sums[i].values[15] == 0) continue;
        add_splat_gradient(model, view, parameters, base + i, sums[i].values, out);
      }
    }
  });
}

}  // namespace

void render_view_backward(const SplatModel& model, const View& view, const Parameters& parameters,
                          const Options& options, const ImageGradients& image,
                          const SplatGradients& out, Workspace& workspace, FrameStats& stats) {
  const RasterizerKernel& kernel = kernel_for<RasterizerKernel>(options.isa);
  workspace.prepare(kernel, resolve_threads(options.threads));
  TileLists& lists = workspace.lists;
  lists.find(model, view, parameters, kernel, kNoSplit, options.threads);
  stats.visible += lists.candidates();
  stats.pairs += lists.pairs();
  const int64_t tiles = static_cast<int64_t>(view.tiles_x) * view.tiles_y;
  // Groups of tiles within the budget: a tile needs its whole depth at once to go back.
  std::vector<int64_t> counts(tiles);
  for (int64_t tile = 0; tile < tiles; ++tile) counts[tile] = lists.tile_count(tile);
  const bool single = lists.pairs() <= options.pair_budget;
  if (!single) lists.sort_by_depth();
  std::vector<TileRows> rows;
  for (int64_t next = 0; next < tiles;) {
    std::vector<int64_t> group;
    std::vector<uint8_t> elsewhere(tiles, 1);
    int64_t pairs = 0;
    while (next < tiles && (group.empty() || pairs + counts[next] <= options.pair_budget)) {
      pairs += counts[next];
      elsewhere[next] = 0;
      if (counts[next] > 0) group.push_back(next);
      ++next;
    }
    if (single) {
      lists.scatter_all(view, options.threads);
    } else {
      lists.rewind();
      lists.scatter_next(view, INT64_MAX / 2, elsewhere);
    }
    trace_tiles(model, view, parameters, options, image, workspace, kernel, group, rows);
    if (options.interrupt && options.interrupt->stop.load(std::memory_order_relaxed)) return;
    reduce_rows(model, view, parameters, options, out, workspace, rows);
    ++stats.passes;
  }
}

}  // namespace geolrm::raster
