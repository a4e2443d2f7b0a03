// The backward pass of one tile: to the back while writing down the way, then to the front again.
#pragma once

#include "recording.h"
#include "tile.h"

namespace geolrm::raster::GEOLRM_ISA {
namespace {

// During the walk a block's state holds T, and in color[0] how many of the block's entries, in
// order, each pixel has seen up to the last that counted. Returns whether any is unfinished.
// The same arithmetic as in blending, so that the same splats count.
template <bool kDouble = false>
inline bool trace_block(BlockState& state, const Record* records, uint64_t mask, float position,
                        float x0, float y0, const ExactBlock& exact, const BlendLimits& limits) {
  const uint64_t all = mask;
  const Floats x = add(load(kLaneX), splat(x0)), y = add(load(kLaneY), splat(y0));
  const Floats zero = splat(0.0f), one = splat(1.0f), least = splat(limits.transmittance_min);
  const Floats stored = load(state.transmittance);
  Floats running = keep(greater(stored, zero), stored), last = stored;
  Floats seen = load(state.color[0]), at = splat(position);
  bool alive = true;
  for (; mask; mask &= mask - 1) {
    const Floats alpha = alpha_at(records[lowest_bit(mask)], x, y, limits);
    Floats next = behind(running, alpha);
    if (kDouble) next = settle(running, next, lowest_bit(mask), exact, limits);
    running = next;
    const Mask counts = greater(running, least);
    last = select(counts, running, last);
    at = add(at, one);
    seen = select(both(counts, greater(alpha, zero)), at, seen);
    if (!any(counts)) {
      alive = false;
      break;
    }
  }
  if constexpr (!kDouble) {
    if (needs_double(stored, running, last, limits)) {
      return trace_block<true>(state, records, all, position, x0, y0, exact, limits);
    }
  }
  store(state.transmittance, select(greater(running, least), last, min(last, sub(zero, last))));
  store(state.color[0], seen);
  return alive;
}

// Appends the batch to the recording and lets T fall through it.
inline void trace_batch(const TileTask& task, Scratch& s, int count, const uint64_t* touched,
                        const BlendLimits& limits, Recording& recording, int32_t* last_segment,
                        float* seen) {
  recording.reserve_batch();
  const int64_t base = recording.record_count;
  std::memcpy(recording.records.data() + base, s.records, count * sizeof(Record));
  std::memcpy(recording.ids.data() + base, s.pending, count * sizeof(uint32_t));
  std::memset(recording.rows.data() + base, 0, count * sizeof(GradientRow));
  recording.record_count += count;
  const int first_x = task.tile_x * task.view->tile_blocks;
  const int first_y = task.tile_y * task.view->tile_blocks;
  bool changed = false;
  for (int w = 0; w < 4; ++w) {
    for (uint64_t bits = touched[w]; bits; bits &= bits - 1) {
      const int block = 64 * w + lowest_bit(bits);
      const int column = block % kMaxTileBlocks, row = block / kMaxTileBlocks;
      const int64_t first = recording.item_count;
      for (uint64_t mask = s.masks[block]; mask; mask &= mask - 1) {
        recording.items[recording.item_count++] = static_cast<uint32_t>(base + lowest_bit(mask));
      }
      const int entries = static_cast<int>(recording.item_count - first);
      const int64_t segment = recording.segment_count++;
      recording.segments[segment] = {first, entries, last_segment[block]};
      last_segment[block] = static_cast<int32_t>(segment);
      const int x = (first_x + column) * kBlock, y = (first_y + row) * kBlock;
      const bool alive =
          trace_block(s.tile->blocks[block], s.records, s.masks[block], seen[block], from_middle(x),
                      from_middle(y), {&s.exact, s.pending, x, y}, limits);
      seen[block] += static_cast<float>(entries);
      if (!alive) {
        s.tile->alive.rows[row] = static_cast<uint16_t>(s.tile->alive.rows[row] & ~(1u << column));
        changed = true;
      }
    }
  }
  if (changed) s.sums.rebuild(s.tile->alive);
}

struct alignas(64) BlockGradients {
  float rgb[3][kLanes], alpha[kLanes], depth[kLanes];
};

inline BlockGradients load_gradients(const ImageGradients& image, ImageSize size, int x0, int y0) {
  BlockGradients g = {};
  for (int i = 0; i < kLanes; ++i) {
    const int x = x0 + i % kBlock, y = y0 + i / kBlock;
    if (x >= size.width || y >= size.height) continue;
    const int64_t pixel = static_cast<int64_t>(y) * size.width + x;
    for (int k = 0; k < 3; ++k) g.rgb[k][i] = image.rgb[3 * pixel + k];
    g.alpha[i] = image.alpha[pixel];
    g.depth[i] = image.depth[pixel];
  }
  return g;
}

// From back to front. With s_i the splat's own value g . (color, depth) and R the same of all that
// lies behind it, dL/dalpha_i = T_i s_i - R / (1 - alpha_i).
inline void gradients_of_block(const BlockState& state, const BlockGradients& g, int32_t segment,
                               float seen, const float* background, Recording& recording, float x0,
                               float y0, const BlendLimits& limits) {
  const Floats x = add(load(kLaneX), splat(x0)), y = add(load(kLaneY), splat(y0));
  const Floats zero = splat(0.0f), one = splat(1.0f);
  const Floats stored = load(state.transmittance);
  Floats t = select(greater(stored, zero), stored, sub(zero, stored));
  const Floats last = load(state.color[0]);
  const Floats g_r = load(g.rgb[0]), g_g = load(g.rgb[1]), g_b = load(g.rgb[2]);
  const Floats g_d = load(g.depth);
  Floats behind = fma(splat(background[2]), g_b, mul(splat(background[1]), g_g));
  behind = mul(t, sub(fma(splat(background[0]), g_r, behind), load(g.alpha)));
  Floats at = splat(seen);
  const Record* const records = recording.records.data();
  GradientRow* const rows = recording.rows.data();
  for (; segment >= 0; segment = recording.segments[segment].previous) {
    const Segment& part = recording.segments[segment];
    const uint32_t* const items = recording.items.data() + part.first_item;
    for (int i = part.count - 1; i >= 0; --i) {
      const Record& s = records[items[i]];
      at = sub(at, one);
      const Mask counted = greater(last, at);
      if (!any(counted)) continue;
      const Floats dx = sub(x, splat(s.mean_x)), dy = sub(y, splat(s.mean_y));
      const Floats e = log2_alpha_at(s, x, y);
      const Mask inside = both(counted, at_least(e, splat(limits.log2_alpha_min)));
      const Floats raw = exp2(e), most = splat(limits.alpha_max);
      const Floats alpha = keep(inside, min(raw, most));
      const Floats inverse = div(one, sub(one, alpha));
      t = mul(t, inverse);
      const Floats weight = mul(t, alpha);
      Floats value = fma(splat(s.depth), g_d, mul(splat(s.color[2]), g_b));
      value = fma(splat(s.color[1]), g_g, value);
      value = fma(splat(s.color[0]), g_r, value);
      const Floats d_alpha = fnma(behind, inverse, mul(t, value));
      behind = fma(weight, value, behind);
      const Floats h = keep(at_least(most, raw), mul(d_alpha, alpha));
      const Floats hx = mul(h, dx), hy = mul(h, dy);
      const Floats sums[kGradients] = {h,
                                       hx,
                                       hy,
                                       mul(hx, dx),
                                       mul(hx, dy),
                                       mul(hy, dy),
                                       mul(weight, g_r),
                                       mul(weight, g_g),
                                       mul(weight, g_b),
                                       mul(weight, g_d)};
      add_sums(sums, rows[items[i]].values);
    }
  }
}

inline void trace_tile(const TileTask& task, const ImageGradients& gradients, Scratch& s,
                       Recording& recording, StageClock& clock) {
  StageTimer timer(task.timed);
  recording.record_count = recording.item_count = recording.segment_count = 0;
  s.tile = &s.own;
  load_tile(task, *s.tile);
  s.sums.rebuild(s.tile->alive);
  const BlendLimits limits = limits_of(task);
  int32_t last_segment[kTileArea];
  float seen[kTileArea];
  for (int block = 0; block < kTileArea; ++block) {
    last_segment[block] = -1;
    seen[block] = 0;
  }
  walk_tile<true>(task, s, clock, timer, [&](int count, const uint64_t* touched) {
    trace_batch(task, s, count, touched, limits, recording, last_segment, seen);
  });
  const int first_x = task.tile_x * task.view->tile_blocks;
  const int first_y = task.tile_y * task.view->tile_blocks;
  for (int block = 0; block < kTileArea; ++block) {
    if (last_segment[block] < 0) continue;
    const int x0 = (first_x + block % kMaxTileBlocks) * kBlock;
    const int y0 = (first_y + block / kMaxTileBlocks) * kBlock;
    const BlockGradients g = load_gradients(gradients, task.view->size, x0, y0);
    gradients_of_block(s.tile->blocks[block], g, last_segment[block], seen[block],
                       task.parameters->background, recording, from_middle(x0), from_middle(y0),
                       limits);
  }
  recording.reserve_out();
  for (int64_t i = 0; i < recording.record_count; ++i) {
    const GradientRow& row = recording.rows[i];
    bool any_gradient = false;
    for (int k = 0; k < kGradients; ++k) any_gradient |= row.values[k] != 0.0f;
    if (!any_gradient) continue;
    recording.out_ids[recording.out_count] = recording.ids[i];
    recording.out_rows[recording.out_count++] = row;
  }
  timer.lap(clock.write);
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_ISA
