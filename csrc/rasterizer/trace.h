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
  const Vec16 x = load16(kLaneX) + set16(x0), y = load16(kLaneY) + set16(y0);
  const Vec16 zero = set16(0.0f), one = set16(1.0f), least = set16(limits.transmittance_min);
  const Vec16 stored = load16(state.transmittance);
  Vec16 running = keep(less(zero, stored), stored), last = stored;
  Vec16 seen = load16(state.color[0]), at = set16(position);
  bool alive = true;
  for (; mask; mask &= mask - 1) {
    const Vec16 alpha = alpha_at(records[lowest_bit(mask)], x, y, limits);
    Vec16 next = behind(running, alpha);
    if (kDouble) next = settle(running, next, lowest_bit(mask), exact, limits);
    running = next;
    const Mask16 counts = less(least, running);
    last = select(counts, running, last);
    at = at + one;
    seen = select(counts & less(zero, alpha), at, seen);
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
  store(state.transmittance, select(less(least, running), last, min(last, zero - last)));
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
  const Vec16 x = load16(kLaneX) + set16(x0), y = load16(kLaneY) + set16(y0);
  const Vec16 zero = set16(0.0f), one = set16(1.0f);
  const Vec16 stored = load16(state.transmittance);
  Vec16 t = select(less(zero, stored), stored, zero - stored);
  const Vec16 last = load16(state.color[0]);
  const Vec16 g_r = load16(g.rgb[0]), g_g = load16(g.rgb[1]), g_b = load16(g.rgb[2]);
  const Vec16 g_d = load16(g.depth);
  Vec16 behind = fma(set16(background[2]), g_b, set16(background[1]) * g_g);
  behind = t * (fma(set16(background[0]), g_r, behind) - load16(g.alpha));
  Vec16 at = set16(seen);
  const Record* const records = recording.records.data();
  GradientRow* const rows = recording.rows.data();
  for (; segment >= 0; segment = recording.segments[segment].previous) {
    const Segment& part = recording.segments[segment];
    const uint32_t* const items = recording.items.data() + part.first_item;
    for (int i = part.count - 1; i >= 0; --i) {
      const Record& s = records[items[i]];
      at = at - one;
      const Mask16 counted = less(at, last);
      if (!any(counted)) continue;
      const Vec16 dx = x - set16(s.mean_x), dy = y - set16(s.mean_y);
      const Vec16 e = log2_alpha_at(s, x, y);
      const Mask16 inside = counted & at_least(e, set16(limits.log2_alpha_min));
      const Vec16 raw = exp2_near_one(e), most = set16(limits.alpha_max);
      const Vec16 alpha = keep(inside, min(raw, most));
      const Vec16 inverse = one / (one - alpha);
      t = t * inverse;
      const Vec16 weight = t * alpha;
      Vec16 value = fma(set16(s.depth), g_d, set16(s.color[2]) * g_b);
      value = fma(set16(s.color[1]), g_g, value);
      value = fma(set16(s.color[0]), g_r, value);
      const Vec16 d_alpha = fnma(behind, inverse, t * value);
      behind = fma(weight, value, behind);
      const Vec16 h = keep(at_least(most, raw), d_alpha * alpha);
      const Vec16 hx = h * dx, hy = h * dy;
      const Vec16 sums[kGradients] = {
          h,       hx,           hy,           hx * dx,      hx * dy,
          hy * dy, weight * g_r, weight * g_g, weight * g_b, weight * g_d};
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
