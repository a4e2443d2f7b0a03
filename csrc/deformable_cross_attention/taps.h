// Where samples fall, and the sum over their taps; included after the vectors.
#pragma once

#include "deformable_cross_attention/deformable_cross_attention_kernel.h"

namespace geolrm::GEOLRM_ISA {

using Real = Vec;
using Truth = Mask;
#define GEOLRM_ARITHMETIC inline
#include "arithmetic/tent_taps.h"
#undef GEOLRM_ARITHMETIC

// Where one vector of samples falls: its taps and the index of the upper left one in its plane.
struct Location : TentTaps {
  Vec pixel;
};

// The same operations, unfused, in every instruction set: all decide alike which taps are read.
inline Location locate(const SampleLanes& lanes, int64_t at, Vec u, Vec v, Vec x, Vec y) {
  const Vec width = load(lanes.width + at);
  const TentTaps taps = place_taps(
      u, v, x, y, width, load(lanes.height + at), load(lanes.last_x + at), load(lanes.last_y + at),
      load(lanes.has_x + at), load(lanes.has_y + at), zero(), set1(0.5f), set1(1.0f));
  return {taps, load(lanes.start + at) + taps.row * width + taps.column};
}

// Vector `at` of x0 y0 x1 y1 ..., reading no further than `samples` pairs.
inline void load_offsets(const float* offsets, int64_t at, int64_t samples, Vec& x, Vec& y) {
  if (at + kWidth <= samples) {
    load_pairs(offsets + 2 * at, x, y);
    return;
  }
  float copy[2 * kWidth] = {};
  for (int64_t i = 0; i < 2 * (samples - at); ++i) copy[i] = offsets[2 * at + i];
  load_pairs(copy, x, y);
}

// Where interleave puts lane i: without shuffles across the 4-float parts of a vector.
constexpr int interleaved(int i) { return i % 4 * kWidth + i / 4 * 4; }

// The samples of one (query, head), a piece of kPiece at a time, in groups of one vector: of each
// group those that are inside, side by side.
constexpr int kPiece = 64;
constexpr int kGroups = kPiece / kWidth;
struct Taps {
  alignas(64) float weights[kGroups][4 * kWidth];  // of four taps, where interleave puts them
  int32_t pixel[kPiece], down[kPiece];
  int32_t step[kPiece];  // to the right tap in pixels; only where some level is narrow
  int groups, count[kGroups];
};

template <bool kNarrow>
inline void find_taps(const CrossAttentionCall& call, int64_t from, int64_t to,
                      const float* reference, const float* offsets, const float* attention,
                      Taps& taps) {
  const Vec u = set1(reference[0]), v = set1(reference[1]);
  int group = 0;
  for (int64_t at = from; at < to; at += kWidth, ++group) {
    Vec x, y;
    load_offsets(offsets, at, call.samples, x, y);
    const Location where = locate(call.lanes, at, u, v, x, y);
    const Vec a = load(attention + at), upper = a * where.upper, lower = a * where.lower;
    const int n = group * kWidth;
    compress(taps.pixel + n, where.inside, int_bits(where.pixel));
    compress(taps.down + n, where.inside, int_bits(load(call.lanes.down + at)));
    if (kNarrow) compress(taps.step + n, where.inside, int_bits(load(call.lanes.has_x + at)));
    interleave(taps.weights[group], compress(where.inside, upper * where.left),
               compress(where.inside, upper * where.right),
               compress(where.inside, lower * where.left),
               compress(where.inside, lower * where.right));
    taps.count[group] = count(where.inside);
  }
  taps.groups = group;
}

// Adds the weighted taps of one (query, head) to kVectors vectors of channels at `sums`.
template <int kVectors, bool kTail, bool kNarrow, class T>
inline void add_taps(const T* plane, int64_t head_dim, const Taps& taps, const Taps& next,
                     bool first, float* sums, Tail tail) {
  constexpr int kSets = kVectors <= 4 && kRegisters == 32 ? 2 : kVectors <= 3 ? 2 : 1;
  Vec upper[kVectors], lower[kVectors];
  for (int j = 0; j < kVectors; ++j) {
    const bool cut = kTail && j == kVectors - 1;
    upper[j] = first ? zero() : cut ? load(sums + j * kWidth, tail) : load(sums + j * kWidth);
    lower[j] = zero();
  }
  const auto read = [&](const T* p, int j) {
    return kTail && j == kVectors - 1 ? load(p + j * kWidth, tail) : load(p + j * kWidth);
  };
  constexpr int kLine = 64 / static_cast<int>(sizeof(T));
  constexpr int kPair = (kTail ? 1 : 2) * kVectors * kWidth;  // values of a pair of taps, about
  // Where rows are not whole lines, a pair reaches into one more.
  constexpr bool kRagged = kTail || kVectors * kWidth % kLine != 0;
  for (int group = 0; group < taps.groups; ++group) {
    const int32_t *pixel = taps.pixel + group * kWidth, *down = taps.down + group * kWidth;
    const int32_t* step = taps.step + group * kWidth;
    const int32_t* next_pixel = next.pixel + group * kWidth;
    const int32_t* next_down = next.down + group * kWidth;
    for (int i = 0; i < taps.count[group]; ++i) {
      const T* ahead = plane + next_pixel[i] * head_dim;
      const T* below = ahead + next_down[i] * head_dim;
      for (int line = 0; line < kPair; line += kLine) {
        prefetch(ahead + line);
        prefetch(below + line);
      }
      if (kRagged) {
        prefetch(ahead + 2 * head_dim - 1);
        prefetch(below + 2 * head_dim - 1);
      }
      const T* p00 = plane + pixel[i] * head_dim;
      const T* p01 = p00 + (kNarrow ? step[i] * head_dim : head_dim);
      const T* p10 = p00 + down[i] * head_dim;
      const T* p11 = p10 + (kNarrow ? step[i] * head_dim : head_dim);
      const Quad w = spread<sizeof(T)>(taps.weights[group] + interleaved(i));
      for (int j = 0; j < kVectors; ++j) {
        Vec& second = kSets == 2 ? lower[j] : upper[j];
        upper[j] = fma(w.a, read(p00, j), upper[j]);
        second = fma(w.c, read(p10, j), second);
        upper[j] = fma(w.b, read(p01, j), upper[j]);
        second = fma(w.d, read(p11, j), second);
      }
    }
  }
  for (int j = 0; j < kVectors; ++j) {
    const Vec all = kSets == 2 ? upper[j] + lower[j] : upper[j];
    if (kTail && j == kVectors - 1) {
      store(sums + j * kWidth, all, tail);
    } else {
      store(sums + j * kWidth, all);
    }
  }
}

}  // namespace geolrm::GEOLRM_ISA
