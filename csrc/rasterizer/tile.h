// One tile from its entries to its pixels: sort, drop what is hidden, bin, blend.
#pragma once

#include "bin.h"
#include "blend.h"
#include "pixels.h"
#include "sort.h"

namespace geolrm::raster::GEOLRM_ISA {
namespace {

// Not inline: within walk_tile the compiler no longer keeps the constants of blending at hand.
template <bool kCull>
GEOLRM_NOINLINE void blend_batch(const TileTask& task, Scratch& s, const uint64_t* touched,
                                 const BlendLimits& limits, StageClock& clock) {
  const View& view = *task.view;
  const int first_x = task.tile_x * view.tile_blocks * kBlock;
  const int first_y = task.tile_y * view.tile_blocks * kBlock;
  const float tile_x = from_middle(first_x), tile_y = from_middle(first_y);
  bool changed = false;
  for (int w = 0; w < 4; ++w) {
    for (uint64_t bits = touched[w]; bits; bits &= bits - 1) {
      const int block = 64 * w + lowest_bit(bits);
      const int column = block % kMaxTileBlocks, row = block / kMaxTileBlocks;
      if (task.timed) clock.block_pairs += count_bits(s.masks[block]);
      const float x0 = tile_x + static_cast<float>(column * kBlock);
      const float y0 = tile_y + static_cast<float>(row * kBlock);
      BlockState& state = s.tile->blocks[block];
      BlockFate fate =
          blend_block<kCull, false>(state, s.records, s.masks[block], x0, y0, nullptr, limits);
      if (fate == BlockFate::kUndecided) {
        const ExactBlock exact = {&s.exact, s.pending, first_x + column * kBlock,
                                  first_y + row * kBlock};
        fate =
            blend_block_in_double<kCull>(state, s.records, s.masks[block], x0, y0, exact, limits);
      }
      if (kCull && fate == BlockFate::kFinished) {
        s.tile->alive.rows[row] = static_cast<uint16_t>(s.tile->alive.rows[row] & ~(1u << column));
        changed = true;
      }
    }
  }
  if (changed) s.sums.rebuild(s.tile->alive);
}

inline bool stopped(const TileTask& task) {
  Interrupt* const interrupt = task.interrupt;
  if (!interrupt) return false;
  if (task.worker == 0 && interrupt->check && interrupt->check(interrupt->context)) {
    interrupt->stop.store(true, std::memory_order_relaxed);
  }
  return interrupt->stop.load(std::memory_order_relaxed);
}

inline BlendLimits limits_of(const TileTask& task) {
  BlendLimits limits;
  limits.log2_alpha_min = -task.view->log2_inv_alpha_min;
  limits.alpha_max = static_cast<float>(task.parameters->alpha_max);
  limits.transmittance_min = task.view->transmittance_limit;
  limits.weight = std::max(kLimitWeight, 1.01f * task.view->clamped_run);
  limits.near_low = limits.transmittance_min * (1.0f - kLimitBand);
  limits.near_high = limits.transmittance_min * (1.0f + kLimitBand);
  return limits;
}

// Takes a loaded tile's splats from front to back, a batch at a time, until all is finished.
// blend(count, touched) gets each batch once it is listed by blocks.
template <bool kCull, class Blend>
inline void walk_tile(const TileTask& task, Scratch& s, StageClock& clock, StageTimer& timer,
                      const Blend& blend) {
  if (task.entries.count == 0) return;
  s.exact.start_tile(task);
  uint64_t* const keys = task.keys;
  int pending = 0;
  const auto flush = [&] {
    timer.lap(clock.sort);
    uint64_t touched[4];
    bin_batch(task, s, pending, touched, clock, timer);
    blend(pending, touched);
    timer.lap(clock.blend);
    pending = 0;
  };
  fill_buckets(task.entries, keys, task.boxes, s.buckets);
  for (int b = 0; b < s.buckets.count && s.sums.any(); ++b) {
    const int64_t begin = s.buckets.begin[b], end = s.buckets.begin[b + 1];
    int64_t kept = begin;
    for (int64_t i = begin; i < end; ++i) {
      keys[kept] = keys[i];
      kept += !kCull || s.sums.any(task.boxes[i]);
    }
    sort_keys(keys + begin, kept - begin);
    for (int64_t i = begin; i < kept; ++i) {
      const uint32_t id = static_cast<uint32_t>(keys[i]);
      prefetch(task.model->packed() + id);
      s.pending[pending++] = id;
      if (pending == kBatch) {
        flush();
        if (stopped(task)) return;
        if (!s.sums.any()) break;
      }
    }
  }
  if (pending > 0 && s.sums.any()) flush();
  timer.lap(clock.sort);
}

template <bool kCull>
inline bool blend_tile(const TileTask& task, Scratch& s, StageClock& clock) {
  StageTimer timer(task.timed);
  s.tile = task.state ? task.state : &s.own;
  if (task.first_pass || !task.state) load_tile(task, *s.tile);
  s.sums.rebuild(s.tile->alive);
  timer.lap(clock.write);
  const BlendLimits limits = limits_of(task);
  walk_tile<kCull>(task, s, clock, timer, [&](int, const uint64_t* touched) {
    blend_batch<kCull>(task, s, touched, limits, clock);
  });
  const bool finished = kCull && !s.sums.any();
  if (finished || task.last_pass || !task.state) {
    store_tile(task, s.tile->blocks, finished || task.last_pass);
  }
  timer.lap(clock.write);
  return finished;
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_ISA
