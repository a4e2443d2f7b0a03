#include <algorithm>
#include <cstring>

#include "rasterizer.h"

namespace geolrm::raster {
namespace {

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

// A depth key that about a third of the splats lie before, from a sample of them. Rendering these
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

// The tiles of an image from pass to pass.
struct Progress {
  Image image;
  TileState* states = nullptr;  // [tiles], or null: the image holds them
  std::vector<uint8_t> done;    // [tiles], 1 where every pixel is finished
};

// Finds the candidates: those before the split, if there is one, are binned and blended first.
void project_splats(const Frame& frame) {
  const PassTimer timer(frame.stats.project);
  TileLists& lists = frame.workspace.lists;
  const bool splits = frame.options.cull && frame.tiles() <= kMostStates;
  lists.project(frame, splits ? split_key(frame.model, frame.view, frame.parameters) : kNoSplit);
  frame.stats.visible += lists.candidates() + lists.far_candidates();
}

// Only where the pairs at hand exceed the budget: else each tile sorts its own.
void sort_splats(const Frame& frame) {
  const PassTimer timer(frame.stats.sort);
  frame.workspace.lists.sort_by_depth();
}

// Lists what the tiles have to look at: all candidates at hand, or the next range of depth.
void bin_splats(const Frame& frame, bool at_once, const Progress& progress) {
  const PassTimer timer(frame.stats.bin);
  TileLists& lists = frame.workspace.lists;
  const std::vector<uint8_t>& done = progress.done;
  if (at_once) {
    lists.bin_all(frame);
  } else if (std::find(done.begin(), done.end(), 0) == done.end()) {
    lists.skip_rest();
  } else {
    lists.bin_next(frame, frame.options.pair_budget, done);
  }
}

// Blends the lists as they stand into the tiles; marks those that are finished.
void blend_tiles(const Frame& frame, bool first_pass, Progress& progress) {
  const PassTimer timer(frame.stats.tiles);
  const TileLists& lists = frame.workspace.lists;
  const bool last_pass = lists.exhausted() && lists.far_candidates() == 0;
  std::vector<int64_t> open;
  for (int64_t tile = 0; tile < frame.tiles(); ++tile) {
    const bool untouched = !first_pass && !last_pass && lists.tile_count(tile) == 0;
    if (!progress.done[tile] && !untouched) open.push_back(tile);
  }
  for_each_tile(frame, open, [&](TileTask& task, int64_t i, Workspace::Worker& worker) {
    task.image = progress.image;
    task.state = progress.states ? progress.states + open[i] : nullptr;
    task.first_pass = first_pass;
    task.last_pass = last_pass;
    progress.done[open[i]] = frame.kernel.blend_tile(task, *worker.scratch, worker.clock);
  });
  ++frame.stats.passes;
}

// Goes on to the candidates behind the split, less those that are hidden by now.
void advance(const Frame& frame, const Progress& progress) {
  const PassTimer timer(frame.stats.bin);
  frame.workspace.alive.build(frame.view, progress.states);
  frame.workspace.lists.advance(frame, frame.workspace.alive);
}

}  // namespace

void render_view(const Frame& frame, Image image) {
  TileLists& lists = frame.workspace.lists;
  project_splats(frame);
  const int64_t tiles = frame.tiles();
  const bool one_pass = lists.far_candidates() == 0 && lists.pairs() <= frame.options.pair_budget;
  Progress progress = {image, nullptr, std::vector<uint8_t>(tiles, 0)};
  if (!one_pass && tiles <= kMostStates) progress.states = frame.workspace.states.reserve(tiles);
  for (bool first_part = true;; first_part = false) {
    frame.stats.pairs += lists.pairs();
    const bool at_once = lists.pairs() <= frame.options.pair_budget;
    if (!at_once) sort_splats(frame);
    bool first_range = true;
    do {
      bin_splats(frame, at_once, progress);
      blend_tiles(frame, first_part && first_range, progress);
      if (frame.stopped()) return;
      first_range = false;
    } while (!lists.exhausted());
    if (lists.far_candidates() == 0) break;
    advance(frame, progress);
  }
  for (auto& worker : frame.workspace.workers) add(frame.stats.stages, worker->clock);
}

}  // namespace geolrm::raster
