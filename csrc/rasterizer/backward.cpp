#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>
#include <vector>

#include "rasterizer.h"
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

// Walks one tile to the back and to the front again; `tile` of the frame's.
using Trace = std::function<void(const TileTask& task, int64_t tile, Workspace::Worker& worker)>;

// Walks the listed tiles; rows of each go to the recording of whoever took it.
void trace_tiles(const Frame& frame, const Trace& trace, const std::vector<int64_t>& tiles,
                 std::vector<TileRows>& rows) {
  for (auto& worker : frame.workspace.workers) worker->recording.out_count = 0;
  rows.assign(tiles.size(), TileRows{});
  for_each_tile(frame, tiles, [&](TileTask& task, int64_t i, Workspace::Worker& worker) {
    task.image = {nullptr, nullptr, nullptr};
    task.first_pass = task.last_pass = true;
    TileRows& out = rows[i];
    out.worker = task.worker;
    out.begin = worker.recording.out_count;
    trace(task, tiles[i], worker);
    out.end = worker.recording.out_count;
  });
}

// Sums the rows of each splat in the order of tiles, whoever made them, and chains to the arrays.
void reduce_rows(const Frame& frame, const std::vector<TileRows>& rows, const SplatGradients& out,
                 CameraGradient* camera) {
  const SplatModel& model = frame.model;
  Workspace& workspace = frame.workspace;
  const int threads = frame.options.threads;
  const int shift = range_shift(model.count());
  const int64_t ranges = (model.count() >> shift) + 1;
  const int64_t tiles = static_cast<int64_t>(rows.size());
  std::vector<int64_t> at(tiles * ranges, 0);  // rows of a tile in a range, then where they go
  parallel_for(tiles, 1, threads, [&](int64_t begin, int64_t end, int) {
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
  parallel_for(tiles, 1, threads, [&](int64_t begin, int64_t end, int) {
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
  std::vector<CameraGradient> cameras(camera ? ranges : 0);  // of each range's splats
  parallel_for(ranges, 1, threads, [&](int64_t begin, int64_t end, int) {
    std::vector<GradientRow> sums(static_cast<size_t>(end - begin) << shift);
    for (int64_t range = begin; range < end; ++range) {
      std::memset(static_cast<void*>(sums.data()), 0, sums.size() * sizeof(GradientRow));
      const int64_t base = range << shift;
      for (int64_t i = offsets[range]; i < offsets[range + 1]; ++i) {
        GradientRow& sum = sums[ids[i] - base];
        for (int k = 0; k < kGradients; ++k) sum.values[k] += ordered[i]->values[k];
        sum.values[kHasGradient] = 1;
      }
      const int64_t count = std::min<int64_t>(int64_t{1} << shift, model.count() - base);
      frame.kernel.chain_splats(model, frame.view, frame.parameters, base, count, sums.data(), out,
                                camera ? &cameras[range] : nullptr);
    }
  });
  for (const CameraGradient& part : cameras) {
    for (int k = 0; k < 3; ++k) camera->rotation[k] += part.rotation[k];
    for (int k = 0; k < 3; ++k) camera->translation[k] += part.translation[k];
    for (int k = 0; k < 2; ++k) camera->focal[k] += part.focal[k];
  }
}

// `all`: tiles without splats are traced, too.
void carry_back(const Frame& frame, const Trace& trace, bool all, const SplatGradients& out,
                CameraGradient* camera) {
  TileLists& lists = frame.workspace.lists;
  const int64_t budget = frame.options.pair_budget, tiles = frame.tiles();
  lists.project(frame, kNoSplit);
  frame.stats.visible += lists.candidates();
  frame.stats.pairs += lists.pairs();
  // Groups of tiles within the budget: a tile needs its whole depth at once to go back.
  std::vector<int64_t> counts(tiles);
  for (int64_t tile = 0; tile < tiles; ++tile) counts[tile] = lists.tile_count(tile);
  const bool at_once = lists.pairs() <= budget;
  if (!at_once) lists.sort_by_depth();
  std::vector<TileRows> rows;
  for (int64_t next = 0; next < tiles;) {
    std::vector<int64_t> group;
    std::vector<uint8_t> elsewhere(tiles, 1);
    int64_t pairs = 0;
    while (next < tiles && (group.empty() || pairs + counts[next] <= budget)) {
      pairs += counts[next];
      elsewhere[next] = 0;
      if (all || counts[next] > 0) group.push_back(next);
      ++next;
    }
    if (at_once) {
      lists.bin_all(frame);
    } else {
      lists.rewind();
      lists.bin_next(frame, INT64_MAX / 2, elsewhere);
    }
    trace_tiles(frame, trace, group, rows);
    if (frame.stopped()) return;
    reduce_rows(frame, rows, out, camera);
    ++frame.stats.passes;
  }
}

}  // namespace

void render_view_backward(const Frame& frame, const ImageGradients& image,
                          const SplatGradients& out, CameraGradient* camera) {
  const Trace trace = [&](const TileTask& task, int64_t, Workspace::Worker& worker) {
    frame.kernel.trace_tile(task, image, *worker.scratch, worker.recording, worker.clock);
  };
  carry_back(frame, trace, false, out, camera);
}

double compare_view(const Frame& frame, const ImageTarget& target, const SplatGradients& out,
                    CameraGradient* camera) {
  std::vector<double> losses(frame.tiles(), 0.0);
  const Trace trace = [&](const TileTask& task, int64_t tile, Workspace::Worker& worker) {
    losses[tile] =
        frame.kernel.compare_tile(task, target, *worker.scratch, worker.recording, worker.clock);
  };
  carry_back(frame, trace, true, out, camera);
  return std::accumulate(losses.begin(), losses.end(), 0.0);
}

}  // namespace geolrm::raster
