// Deformable sampling of one plane and its gradients, vectorised over a head's channels: the four
// taps of a sample are contiguous in [V, L, h, e].
// Uses nothing of the standard library: a shared inline function must not be compiled here.
#include "deformable_sampling/deformable_sampling_kernel.h"

namespace geolrm::GEOLRM_ISA {
namespace {

constexpr int64_t kPiece = 32;  // samples located together
// Channels in registers.
constexpr int kMaxVectors = kRegisters == 32 ? (kWidth == 4 ? 8 : 4) : kWidth == 8 ? 6 : 3;
constexpr int64_t kChunk = kMaxVectors * kWidth;
constexpr int64_t kAhead = 8;  // queries whose rows are fetched early: they lie strides apart

// The taps of a sample inside its image, in the order upper left, upper right, lower left, lower
// right. A tap beyond an edge weighs nothing, and its place is that of another.
struct Spot {
  int64_t at[4];  // floats from the plane's first pixel
  float weight[4];
  float attended[4];             // the weights times the sample's
  float along_x[4], along_y[4];  // the weights' derivatives
  float attention;
  int64_t sample;
};

struct Spots {
  Spot spot[kPiece];
  int64_t count;
};

// x and y lie side by side: even lanes are x.
struct Lanes {
  Vec side;  // W, H, W, H ...
  Mask even;
  explicit Lanes(const SampledPlane& plane) {
    float odd[kWidth];
    for (int i = 0; i < kWidth; ++i) odd[i] = static_cast<float>(i % 2);
    even = less(load(odd), set1(0.5f));
    side = pairs(static_cast<float>(plane.width), static_cast<float>(plane.height));
  }
  Vec pairs(float x, float y) const { return select(even, set1(x), set1(y)); }
};

// Of samples [from, to) of a (query, head, level), those inside. `offsets` and `attention` are the
// level's first. kGradient: with what only gradients need.
template <bool kGradient>
inline void find_spots(const SampledPlane& plane, const Lanes& lanes, int64_t stride,
                       const float* reference, const float* offsets, const float* attention,
                       int64_t from, int64_t to, Spots& spots) {
  const Vec side = lanes.side;
  const Vec centre = lanes.pairs(reference[0], reference[1]) * side - set1(0.5f);
  const Vec one = set1(1.0f), below = set1(-1.00000012f), minus_half = set1(-0.5f);
  // By axis: whether the tap exists, its weight and its index; -1 where a sample is outside.
  float near[2 * kPiece], far[2 * kPiece], near_weight[2 * kPiece], far_weight[2 * kPiece];
  float index[2 * kPiece], far_index[2 * kPiece];
  const int64_t floats = 2 * (to - from);
  for (int64_t i = 0; i < floats; i += kWidth) {
    const float* offset = offsets + 2 * from + i;
    const Vec shift =
        floats - i < kWidth ? load(offset, Tail(static_cast<int>(floats - i))) : load(offset);
    const Vec x = centre + shift, base = floor(x), part = x - base;
    const Mask inside = less(below, x) & less(x, side);
    const Vec exists = select(less(minus_half, base), one, zero());
    const Vec next = select(less(base + one, side), one, zero());
    store(near + i, exists);
    store(far + i, next);
    store(near_weight + i, exists * (one - part));
    store(far_weight + i, next * part);
    store(index + i, select(inside, max(zero(), base), set1(-1.0f)));
    store(far_index + i, min(base + one, side - one));
  }
  spots.count = 0;
  for (int64_t s = 0; s < to - from; ++s) {
    const int64_t x = 2 * s, y = x + 1;
    if (!(index[x] >= 0.0f) || !(index[y] >= 0.0f)) continue;
    Spot& spot = spots.spot[spots.count++];
    const int64_t left = static_cast<int64_t>(index[x]) * stride;
    const int64_t right = static_cast<int64_t>(far_index[x]) * stride;
    const int64_t row = plane.width * stride;
    const int64_t upper = static_cast<int64_t>(index[y]) * row;
    const int64_t lower = static_cast<int64_t>(far_index[y]) * row;
    spot.at[0] = upper + left;
    spot.at[1] = upper + right;
    spot.at[2] = lower + left;
    spot.at[3] = lower + right;
    spot.attention = attention[from + s];
    spot.weight[0] = near_weight[y] * near_weight[x];
    spot.weight[1] = near_weight[y] * far_weight[x];
    spot.weight[2] = far_weight[y] * near_weight[x];
    spot.weight[3] = far_weight[y] * far_weight[x];
    for (int k = 0; k < 4; ++k) spot.attended[k] = spot.attention * spot.weight[k];
    if (!kGradient) continue;
    spot.along_x[0] = -near_weight[y] * near[x];
    spot.along_x[1] = near_weight[y] * far[x];
    spot.along_x[2] = -far_weight[y] * near[x];
    spot.along_x[3] = far_weight[y] * far[x];
    spot.along_y[0] = -near[y] * near_weight[x];
    spot.along_y[1] = -near[y] * far_weight[x];
    spot.along_y[2] = far[y] * near_weight[x];
    spot.along_y[3] = far[y] * far_weight[x];
    spot.sample = from + s;
  }
}

// kCount vectors of channels, the last one cut where kCut.
template <int kCount, bool kCut>
struct Channels {
  static constexpr int kVectors = kCount;
  Tail tail;
  explicit Channels(int rest) : tail(kCut ? rest : kWidth) {}
  Vec read(const float* p, int j) const {
    return kCut && j == kCount - 1 ? load(p + j * kWidth, tail) : load(p + j * kWidth);
  }
  void write(float* p, int j, Vec a) const {
    if (kCut && j == kCount - 1) {
      store(p + j * kWidth, a, tail);
    } else {
      store(p + j * kWidth, a);
    }
  }
};

template <int kCount, class F>
inline void choose_channels(int64_t head_dim, F run) {
  if constexpr (kCount > 1) {
    if (head_dim <= (kCount - 1) * kWidth) return choose_channels<kCount - 1>(head_dim, run);
  }
  const int rest = static_cast<int>(head_dim - (kCount - 1) * kWidth);
  if (rest == kWidth) {
    run(Channels<kCount, false>(rest));
  } else {
    run(Channels<kCount, true>(rest));
  }
}

// run(channels, first) for chunks of a head's channels.
template <class F>
inline void each_chunk(int64_t head_dim, F run) {
  for (int64_t first = 0; first < head_dim; first += kChunk) {
    const int64_t rest = head_dim - first < kChunk ? head_dim - first : kChunk;
    choose_channels<kMaxVectors>(rest, [&](auto channels) { run(channels, first); });
  }
}

template <class C>
inline void gather(C channels, const float* value, const Spots& spots, bool first, float* out) {
  Vec sums[C::kVectors];
  for (int j = 0; j < C::kVectors; ++j) sums[j] = first ? zero() : channels.read(out, j);
  for (int64_t i = 0; i < spots.count; ++i) {
    const Spot& spot = spots.spot[i];
    for (int k = 0; k < 4; ++k) {
      const Vec weight = set1(spot.attended[k]);
      const float* tap = value + spot.at[k];
      for (int j = 0; j < C::kVectors; ++j) sums[j] = fma(weight, channels.read(tap, j), sums[j]);
    }
  }
  for (int j = 0; j < C::kVectors; ++j) channels.write(out, j, sums[j]);
}

// The products of the upstream gradient with the taps, and its way into them.
template <class C>
inline void scatter(C channels, const float* value, float* gradient, const float* upstream,
                    const Spots& spots, bool first, float (*dots)[4]) {
  Vec g[C::kVectors];
  for (int j = 0; j < C::kVectors; ++j) g[j] = channels.read(upstream, j);
  for (int64_t i = 0; i < spots.count; ++i) {
    const Spot& spot = spots.spot[i];
    Vec dot[4];
    for (int k = 0; k < 4; ++k) {
      const Vec weight = set1(spot.attended[k]);
      const float* tap = value + spot.at[k];
      float* to = gradient + spot.at[k];  // of two taps in one place, the second reads the first
      dot[k] = zero();
      for (int j = 0; j < C::kVectors; ++j) {
        dot[k] = fma(g[j], channels.read(tap, j), dot[k]);
        channels.write(to, j, fma(weight, g[j], channels.read(to, j)));
      }
    }
    float sums[4];
    sum4(first ? dots[i] : sums, dot[0], dot[1], dot[2], dot[3]);
    if (!first) {
      for (int k = 0; k < 4; ++k) dots[i][k] += sums[k];
    }
  }
}

inline void fetch(const float* p, int64_t floats) {
  for (int64_t i = 0; i < floats; i += 16) prefetch(p + i);
}

void sample(const DeformableSampling& op, const SampledPlane& plane, int64_t view, float* out) {
  const int64_t d = op.heads * op.head_dim, channel = plane.head * op.head_dim;
  const int64_t step = op.heads * op.levels * op.points;  // samples of a query
  const float* value = op.value + (view * op.pixels + plane.start) * d + channel;
  const Lanes lanes(plane);
  Spots spots;
  for (int64_t n = 0; n < op.queries; ++n) {
    const int64_t row = view * op.queries + n;
    const int64_t at = ((n * op.heads + plane.head) * op.levels + plane.level) * op.points;
    if (n + kAhead < op.queries) {
      fetch(op.offsets + 2 * (at + kAhead * step), 2 * op.points);
      fetch(op.weights + at + kAhead * step, op.points);
      fetch(out + (row + kAhead) * d + channel, op.head_dim);
    }
    for (int64_t from = 0; from < op.points; from += kPiece) {
      const int64_t to = op.points - from < kPiece ? op.points : from + kPiece;
      find_spots<false>(plane, lanes, d, op.reference + 2 * row, op.offsets + 2 * at,
                        op.weights + at, from, to, spots);
      const bool first = plane.level == 0 && from == 0;
      if (spots.count == 0 && !first) continue;
      each_chunk(op.head_dim, [&](auto channels, int64_t c) {
        gather(channels, value + c, spots, first, out + row * d + channel + c);
      });
    }
  }
}

void differentiate(const DeformableSampling& op, const SampledPlane& plane,
                   const DeformableSamplingGradients& gradients) {
  const int64_t d = op.heads * op.head_dim, channel = plane.head * op.head_dim;
  const int64_t step = op.heads * op.levels * op.points;  // samples of a query
  const Lanes lanes(plane);
  Spots spots;
  float dots[kPiece][4];
  for (int64_t view = 0; view < op.views; ++view) {
    const int64_t start = (view * op.pixels + plane.start) * d + channel;
    for (int64_t n = 0; n < op.queries; ++n) {
      const int64_t row = view * op.queries + n;
      const int64_t at = ((n * op.heads + plane.head) * op.levels + plane.level) * op.points;
      if (n + kAhead < op.queries) {
        fetch(op.offsets + 2 * (at + kAhead * step), 2 * op.points);
        fetch(op.weights + at + kAhead * step, op.points);
        fetch(gradients.offsets + 2 * (at + kAhead * step), 2 * op.points);
        fetch(gradients.weights + at + kAhead * step, op.points);
        fetch(gradients.out + (row + kAhead) * d + channel, op.head_dim);
      }
      for (int64_t from = 0; from < op.points; from += kPiece) {
        const int64_t to = op.points - from < kPiece ? op.points : from + kPiece;
        find_spots<true>(plane, lanes, d, op.reference + 2 * row, op.offsets + 2 * at,
                         op.weights + at, from, to, spots);
        if (spots.count == 0) continue;
        each_chunk(op.head_dim, [&](auto channels, int64_t c) {
          scatter(channels, op.value + start + c, gradients.value + start + c,
                  gradients.out + row * d + channel + c, spots, c == 0, dots);
        });
        for (int64_t i = 0; i < spots.count; ++i) {
          const Spot& spot = spots.spot[i];
          float weight = 0.0f, x = 0.0f, y = 0.0f;
          for (int k = 0; k < 4; ++k) {
            weight += spot.weight[k] * dots[i][k];
            x += spot.along_x[k] * dots[i][k];
            y += spot.along_y[k] * dots[i][k];
          }
          const int64_t s = at + spot.sample;
          gradients.weights[s] += weight;
          gradients.offsets[2 * s] += spot.attention * x;
          gradients.offsets[2 * s + 1] += spot.attention * y;
        }
      }
    }
  }
}

}  // namespace

}  // namespace geolrm::GEOLRM_ISA

namespace geolrm {

const DeformableSamplingKernel DeformableSamplingKernel::GEOLRM_ISA = {GEOLRM_ISA::sample,
                                                                       GEOLRM_ISA::differentiate};

}  // namespace geolrm
