// The backward pass of one tile: to the back while writing down the way, then to the front again.
#pragma once

#include "compare.h"
#include "recording.h"
#include "tile.h"

namespace geolrm::raster::GEOLRM_ISA {
namespace {

// A record's place in its tile's recording as a float: bits that count up order floats likewise,
// where whole numbers end at 2^24. No place is 0.
inline float place_of(int64_t record) {
  const uint32_t bits = 0x00800000u + static_cast<uint32_t>(record);
  float place;
  std::memcpy(&place, &bits, sizeof(place));
  return place;
}

// During the walk a block's state holds T, its colours where they are asked for, and instead of
// depth the place of the last record that counted at each pixel. Returns whether any pixel is
// unfinished. The same arithmetic as in blending, so that the same splats count.
template <bool kColors, bool kDouble = false>
inline bool trace_block(BlockState& state, const Record* records, const float* places,
                        uint64_t mask, float x0, float y0, const ExactBlock& exact,
                        const BlendLimits& limits) {
  const uint64_t all = mask;
  const Vec16 x = load16(kLaneX) + set16(x0), y = load16(kLaneY) + set16(y0);
  const Vec16 zero = set16(0.0f), least = set16(limits.transmittance_min);
  const Vec16 stored = load16(state.transmittance);
  Vec16 running = keep(less(zero, stored), stored), last = stored;
  Vec16 red = load16(state.color[0]), green = load16(state.color[1]), blue = load16(state.color[2]);
  Vec16 place = load16(state.depth);
  bool alive = true;
  for (; mask; mask &= mask - 1) {
    const int at = lowest_bit(mask);
    const Record& s = records[at];
    const Vec16 alpha = alpha_at(s, x, y, limits);
    Vec16 next = behind(running, alpha);
    if (kDouble) next = settle(running, next, at, exact, limits);
    const Mask16 counts = less(least, next);
    if (kColors) {
      const Vec16 weight = keep(counts, running * alpha);
      red = fma(weight, set16(s.color[0]), red);
      green = fma(weight, set16(s.color[1]), green);
      blue = fma(weight, set16(s.color[2]), blue);
    }
    running = next;
    last = select(counts, running, last);
    place = select(counts & less(zero, alpha), set16(places[at]), place);
    if (!any(counts)) {
      alive = false;
      break;
    }
  }
  if constexpr (!kDouble) {
    if (needs_double(stored, running, last, limits)) {
      return trace_block<kColors, true>(state, records, places, all, x0, y0, exact, limits);
    }
  }
  store(state.transmittance, select(less(least, running), last, min(last, zero - last)));
  if (kColors) {
    store(state.color[0], red);
    store(state.color[1], green);
    store(state.color[2], blue);
  }
  store(state.depth, place);
  return alive;
}

// Appends the batch to the recording and lets T fall through it.
template <bool kColors>
inline void trace_batch(const TileTask& task, Scratch& s, int count, const uint64_t* touched,
                        const BlendLimits& limits, Recording& recording) {
  recording.reserve_batch();
  const int64_t base = recording.record_count;
  std::memcpy(recording.records.data() + base, s.records, count * sizeof(Record));
  std::memcpy(recording.ids.data() + base, s.pending, count * sizeof(uint32_t));
  std::memcpy(recording.blocks.data() + base, s.rows, count * sizeof(BlockRows));
  recording.record_count += count;
  float places[kBatch];
  for (int i = 0; i < count; ++i) places[i] = place_of(base + i);
  const int first_x = task.tile_x * task.view->tile_blocks;
  const int first_y = task.tile_y * task.view->tile_blocks;
  bool changed = false;
  for (int w = 0; w < 4; ++w) {
    for (uint64_t bits = touched[w]; bits; bits &= bits - 1) {
      const int block = 64 * w + lowest_bit(bits);
      const int column = block % kMaxTileBlocks, row = block / kMaxTileBlocks;
      const int x = (first_x + column) * kBlock, y = (first_y + row) * kBlock;
      const bool alive =
          trace_block<kColors>(s.tile->blocks[block], s.records, places, s.masks[block],
                               from_middle(x), from_middle(y), {&s.exact, s.pending, x, y}, limits);
      if (!alive) {
        s.tile->alive.rows[row] = static_cast<uint16_t>(s.tile->alive.rows[row] & ~(1u << column));
        changed = true;
      }
    }
  }
  if (changed) s.sums.rebuild(s.tile->alive);
}

// Turns a block's state at its back into what the way to the front starts with.
inline void turn_back(const BlockState& state, const BlockGradients& g, const float* background,
                      WayBack& block) {
  const Vec16 stored = load16(state.transmittance), zero = set16(0.0f);
  const Vec16 t = select(less(zero, stored), stored, zero - stored);
  const Vec16 g_r = load16(g.rgb[0]), g_g = load16(g.rgb[1]), g_b = load16(g.rgb[2]);
  Vec16 behind = fma(set16(background[2]), g_b, set16(background[1]) * g_g);
  behind = t * (fma(set16(background[0]), g_r, behind) - load16(g.alpha));
  store(block.transmittance, t);
  store(block.behind, behind);
  store(block.place, load16(state.depth));
  for (int k = 0; k < 3; ++k) store(block.rgb[k], load16(g.rgb[k]));
  store(block.depth, load16(g.depth));
}

inline bool touches_nothing(const BlockRows& blocks) {
  uint64_t words[4];
  std::memcpy(words, blocks.rows, sizeof(words));
  return (words[0] | words[1] | words[2] | words[3]) == 0;
}

// Takes one record to the front of it in every block that it touches, and sums its row. With s_i
// the splat's own value g . (color, depth) and R the same of all that lies behind it,
// dL/dalpha_i = T_i s_i - R / (1 - alpha_i).
template <bool kDepth>
inline void pass_record(const Record& s, const BlockRows& touched, float place, float tile_x,
                        float tile_y, WayBack* blocks, const BlendLimits& limits,
                        GradientRow& out) {
  const Vec16 zero = set16(0.0f), one = set16(1.0f);
  const Vec16 least = set16(limits.log2_alpha_min), most = set16(limits.alpha_max);
  const Vec16 mean_x = set16(s.mean_x), mean_y = set16(s.mean_y), at = set16(place);
  Vec sums[kGradients];
  for (int k = 0; k < kGradients; ++k) sums[k] = fold(zero);
  uint64_t words[4];
  std::memcpy(words, touched.rows, sizeof(words));
  for (int w = 0; w < 4; ++w) {
    while (words[w]) {
      const int shift = lowest_bit(words[w]) & ~15, row = 4 * w + shift / 16;
      uint32_t bits = static_cast<uint32_t>(words[w] >> shift) & 0xffffu;
      words[w] &= ~(uint64_t{0xffff} << shift);
      const Vec16 y = load16(kLaneY) + set16(tile_y + static_cast<float>(row * kBlock));
      const Vec16 dy = y - mean_y;
      for (; bits; bits &= bits - 1) {
        const int column = lowest_bit(bits);
        WayBack& block = blocks[row * kMaxTileBlocks + column];
        const Mask16 counted = at_least(load16(block.place), at);
        if (!any(counted)) continue;
        const Vec16 x = load16(kLaneX) + set16(tile_x + static_cast<float>(column * kBlock));
        const Vec16 dx = x - mean_x;
        const Vec16 e = log2_alpha_at(s, x, y);
        const Mask16 inside = counted & at_least(e, least);
        const Vec16 raw = exp2_near_one(e);
        const Vec16 alpha = keep(inside, min(raw, most));
        const Vec16 inverse = one / (one - alpha);
        const Vec16 t = load16(block.transmittance) * inverse;
        const Vec16 behind = load16(block.behind);
        const Vec16 weight = t * alpha;
        const Vec16 g_r = load16(block.rgb[0]), g_g = load16(block.rgb[1]);
        const Vec16 g_b = load16(block.rgb[2]);
        Vec16 value = set16(s.color[2]) * g_b;
        if (kDepth) value = fma(set16(s.depth), load16(block.depth), value);
        value = fma(set16(s.color[1]), g_g, value);
        value = fma(set16(s.color[0]), g_r, value);
        const Vec16 d_alpha = fnma(behind, inverse, t * value);
        store(block.transmittance, t);
        store(block.behind, fma(weight, value, behind));
        const Vec16 h = keep(at_least(most, raw), d_alpha * alpha);
        const Vec16 hx = h * dx, hy = h * dy;
        sums[0] = sums[0] + fold(h);
        sums[1] = sums[1] + fold(hx);
        sums[2] = sums[2] + fold(hy);
        sums[3] = fold_product(hx, dx, sums[3]);
        sums[4] = fold_product(hx, dy, sums[4]);
        sums[5] = fold_product(hy, dy, sums[5]);
        sums[6] = fold_product(weight, g_r, sums[6]);
        sums[7] = fold_product(weight, g_g, sums[7]);
        sums[8] = fold_product(weight, g_b, sums[8]);
        if (kDepth) sums[9] = fold_product(weight, load16(block.depth), sums[9]);
      }
    }
  }
  std::memset(&out, 0, sizeof(out));
  add_sums(sums, out.values);
}

// `gradients`, one of compare.h, is asked for each block once its colours are known: for all of the
// image where they are compared, else for those with splats.
template <class Gradients>
inline void trace_tile(const TileTask& task, Gradients& gradients, Scratch& s, Recording& recording,
                       StageClock& clock) {
  StageTimer timer(task.timed);
  recording.record_count = 0;
  s.tile = &s.own;
  load_tile(task, *s.tile);
  s.sums.rebuild(s.tile->alive);
  const BlendLimits limits = limits_of(task);
  walk_tile<true>(task, s, clock, timer, [&](int count, const uint64_t* touched) {
    trace_batch<Gradients::kCompares>(task, s, count, touched, limits, recording);
  });
  const View& view = *task.view;
  const int first_x = task.tile_x * view.tile_blocks * kBlock;
  const int first_y = task.tile_y * view.tile_blocks * kBlock;
  const int across = std::min(view.tile_blocks, view.blocks_x - first_x / kBlock);
  const int down = std::min(view.tile_blocks, view.blocks_y - first_y / kBlock);
  for (int row = 0; row < down; ++row) {
    for (int column = 0; column < across; ++column) {
      const int block = row * kMaxTileBlocks + column;
      const BlockState& state = s.tile->blocks[block];
      if (!Gradients::kCompares && !any(less(set16(0.0f), load16(state.depth)))) {
        store(s.way_back[block].place, set16(0.0f));
        continue;
      }
      const BlockGradients g = gradients(state, first_x + column * kBlock, first_y + row * kBlock);
      turn_back(state, g, task.parameters->background, s.way_back[block]);
    }
  }
  recording.reserve_out();
  for (int64_t i = recording.record_count - 1; i >= 0; --i) {
    if (touches_nothing(recording.blocks[i])) continue;
    GradientRow& row = recording.out_rows[recording.out_count];
    pass_record<!Gradients::kCompares>(recording.records[i], recording.blocks[i], place_of(i),
                                       from_middle(first_x), from_middle(first_y), s.way_back,
                                       limits, row);
    bool any_gradient = false;
    for (int k = 0; k < kGradients; ++k) any_gradient |= row.values[k] != 0.0f;
    recording.out_ids[recording.out_count] = recording.ids[i];
    recording.out_count += any_gradient;
  }
  timer.lap(clock.write);
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_ISA
