// Where samples fall, and the sum over their taps; included after GEOLRM_SIMD.
#pragma once

#include "sampling.h"

namespace geolrm::GEOLRM_ISA {

// Where one vector of samples falls: the upper left of its 2x2 taps, and the taps' tent weights.
// A pair of taps over an edge is moved inside; the tents then give the outer tap's weight to none.
struct Location {
  Mask inside;
  Vec pixel;                      // index of the upper left tap in its plane
  Vec left, right, upper, lower;  // weights along x and y
};

// The same operations, unfused, in every instruction set: all decide alike which taps are read.
inline Location locate(const SampleLanes& lanes, int64_t at, Vec u, Vec v, Vec x, Vec y) {
  const Vec one = set1(1.0f), minus_one = set1(-1.0f), half = set1(0.5f);
  const Vec width = load(lanes.width + at), height = load(lanes.height + at);
  x = (u * width - half) + x;
  y = (v * height - half) + y;
  Location r;
  r.inside = less(minus_one, x) & less(x, width) & less(minus_one, y) & less(y, height);
  x = select(r.inside, x, zero());
  y = select(r.inside, y, zero());
  const Vec column = min(load(lanes.last_x + at), max(zero(), floor(x)));
  const Vec row = min(load(lanes.last_y + at), max(zero(), floor(y)));
  r.pixel = load(lanes.start + at) + row * width + column;
  x = x - column;
  y = y - row;
  r.left = max(zero(), one - abs(x));
  r.upper = max(zero(), one - abs(y));
  r.right = max(zero(), load(lanes.has_x + at) - abs(x - one));
  r.lower = max(zero(), load(lanes.has_y + at) - abs(y - one));
  return r;
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

// The samples of one (token, head) that are inside, a piece of kPiece at a time.
constexpr int kPiece = 64;
struct Taps {
  int count;
  int32_t pixel[kPiece + kWidth], down[kPiece + kWidth];
  float upper_left[kPiece + kWidth], upper_right[kPiece + kWidth];
  float lower_left[kPiece + kWidth], lower_right[kPiece + kWidth];
  int32_t step[kPiece + kWidth];  // to the right tap in pixels; only where some level is narrow
};

template <bool kNarrow>
inline void find_taps(const SamplingCall& call, int64_t from, int64_t to, const float* reference,
                      const float* offsets, const float* attention, Taps& taps) {
  const Vec u = set1(reference[0]), v = set1(reference[1]);
  int n = 0;
  for (int64_t at = from; at < to; at += kWidth) {
    Vec x, y;
    load_offsets(offsets, at, call.samples, x, y);
    const Location where = locate(call.lanes, at, u, v, x, y);
    const Vec a = load(attention + at), upper = a * where.upper, lower = a * where.lower;
    compress(taps.pixel + n, where.inside, int_bits(where.pixel));
    compress(taps.down + n, where.inside, int_bits(load(call.lanes.down + at)));
    compress(taps.upper_left + n, where.inside, upper * where.left);
    compress(taps.upper_right + n, where.inside, upper * where.right);
    compress(taps.lower_left + n, where.inside, lower * where.left);
    compress(taps.lower_right + n, where.inside, lower * where.right);
    if (kNarrow) compress(taps.step + n, where.inside, int_bits(load(call.lanes.has_x + at)));
    n += count(where.inside);
  }
  taps.count = n;
}

// Adds the weighted taps of one (token, head) to kVectors vectors of channels at `sums`.
template <int kVectors, bool kTail, bool kNarrow, class T>
inline void add_taps(const T* plane, int64_t width, const Taps& taps, const Taps& next, bool first,
                     float* sums, Tail tail) {
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
  for (int i = 0; i < taps.count; ++i) {
    const T* ahead = plane + next.pixel[i] * width;
    const T* below = ahead + next.down[i] * width;
    for (int line = 0; line < kPair; line += kLine) {
      prefetch(ahead + line);
      prefetch(below + line);
    }
    const T* p00 = plane + taps.pixel[i] * width;
    const T* p01 = p00 + (kNarrow ? taps.step[i] * width : width);
    const T* p10 = p00 + taps.down[i] * width;
    const T* p11 = p10 + (kNarrow ? taps.step[i] * width : width);
    const Vec w00 = set1(taps.upper_left[i]), w01 = set1(taps.upper_right[i]);
    const Vec w10 = set1(taps.lower_left[i]), w11 = set1(taps.lower_right[i]);
    for (int j = 0; j < kVectors; ++j) {
      Vec& second = kSets == 2 ? lower[j] : upper[j];
      upper[j] = fma(w00, read(p00, j), upper[j]);
      second = fma(w10, read(p10, j), second);
      upper[j] = fma(w01, read(p01, j), upper[j]);
      second = fma(w11, read(p11, j), second);
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
