// The sampling kernel of sampling_{plain,avx2,avx512}.cpp. GEOLRM_SIMD names the vectors.
// Uses nothing of the standard library: a shared inline function must not be compiled here.
#include GEOLRM_SIMD

#include "sampling.h"
#include "taps.h"

namespace geolrm::GEOLRM_ISA {
namespace {

constexpr int kMaxVectors = 6;  // a block of channels kept in registers

// Samples one (view, head) plane for the tokens of a chunk, channels [first, last).
struct PlaneCall {
  const SamplingCall& call;
  const int32_t* order;
  int64_t count, view, head, first, last;
  const SamplingScratch& scratch;
};

template <int kVectors, bool kTail, bool kNarrow, class T>
void sample_plane(const PlaneCall& p, const T* values) {
  const SamplingCall& call = p.call;
  const DeformableAttention& op = call.op;
  const int64_t samples = call.padded_samples;
  const Tail tail(static_cast<int>((p.last - p.first - 1) % kWidth + 1));
  const T* plane = values + (p.view * op.heads + p.head) * op.pixels * op.width + p.first;
  const int64_t pieces = (samples + kPiece - 1) / kPiece, steps = p.count * pieces;
  // Taps of one step ahead: its values are on their way while this step's are summed.
  Taps buffer[2];
  const auto find = [&](int64_t step) {
    Taps& taps = buffer[step & 1];
    if (step == steps) return;
    const int64_t slot = p.scratch.sequence[step / pieces], token = p.order[slot];
    const int64_t from = step % pieces * kPiece;
    const int64_t to = from + kPiece < samples ? from + kPiece : samples;
    find_taps<kNarrow>(call, from, to, op.reference_points + (p.view * op.tokens + token) * 2,
                       op.sampling_offsets + (token * op.heads + p.head) * call.samples * 2,
                       p.scratch.attention + (slot * op.heads + p.head) * samples, taps);
  };
  for (Taps& taps : buffer) {
    for (int i = 0; i < kPiece; ++i) taps.pixel[i] = taps.down[i] = 0;
  }
  find(0);
  for (int64_t step = 0; step < steps; ++step) {
    constexpr int64_t kAhead = 4;
    if (step + kAhead < steps) {
      const int64_t slot = p.scratch.sequence[(step + kAhead) / pieces], token = p.order[slot];
      const float* offsets = op.sampling_offsets + (token * op.heads + p.head) * call.samples * 2;
      prefetch(offsets);
      prefetch(offsets + 16);
      prefetch(p.scratch.attention + (slot * op.heads + p.head) * samples);
      prefetch(op.reference_points + (p.view * op.tokens + token) * 2);
    }
    find(step + 1);
    const int64_t slot = p.scratch.sequence[step / pieces];
    add_taps<kVectors, kTail, kNarrow>(
        plane, op.width, buffer[step & 1], buffer[(step + 1) & 1], step % pieces == 0,
        p.scratch.sums + (slot * op.heads + p.head) * op.width + p.first, tail);
  }
}

template <int kVectors, class T>
void choose_shape(const PlaneCall& p, const T* values) {
  const bool tail = (p.last - p.first) % kWidth != 0;
  if (p.call.narrow) {
    // One pixel wide levels are rare: a masked load of all lanes costs little there.
    sample_plane<kVectors, true, true>(p, values);
  } else if (tail) {
    sample_plane<kVectors, true, false>(p, values);
  } else {
    sample_plane<kVectors, false, false>(p, values);
  }
}

template <class T>
void sample_head(PlaneCall& p, const T* values) {
  const int64_t width = p.call.op.width;
  for (p.first = 0; p.first < width; p.first = p.last) {
    p.last = p.first + kMaxVectors * kWidth < width ? p.first + kMaxVectors * kWidth : width;
    switch ((p.last - p.first + kWidth - 1) / kWidth) {
      case 1:
        choose_shape<1>(p, values);
        break;
      case 2:
        choose_shape<2>(p, values);
        break;
      case 3:
        choose_shape<3>(p, values);
        break;
      case 4:
        choose_shape<4>(p, values);
        break;
      case 5:
        choose_shape<5>(p, values);
        break;
      default:
        choose_shape<kMaxVectors>(p, values);
        break;
    }
  }
}

// softmax of n logits; out is padded with zeros to `padded`.
inline void softmax(const float* logits, int64_t n, int64_t padded, float* out) {
  float largest_logit = logits[0];
  for (int64_t i = 1; i < n; ++i) {
    largest_logit = logits[i] > largest_logit ? logits[i] : largest_logit;
  }
  float total = 0.0f;
  for (int64_t i = 0; i < padded; i += kWidth) {
    const int64_t left = n - i;
    Vec x = zero();
    if (left >= kWidth) {
      x = exp(load(logits + i) - set1(largest_logit));
      total += sum(x);
    } else if (left > 0) {
      const Tail tail(static_cast<int>(left));
      float copy[kWidth] = {};
      store(copy, exp(load(logits + i, tail) - set1(largest_logit)), tail);
      x = load(copy);
      total += sum(x);
    }
    store(out + i, x);
  }
  const Vec scale = set1(1.0f / total);
  for (int64_t i = 0; i < padded; i += kWidth) store(out + i, load(out + i) * scale);
}

// A token's cell in a 64 x 64 grid over the view, along a Z-order curve.
inline int cell(const float* reference) {
  int code = 0;
  for (int axis = 0; axis < 2; ++axis) {
    const float x = reference[axis] * 64.0f;
    int bits = x > 0.0f ? (x < 63.0f ? static_cast<int>(x) : 63) : 0;  // NaN goes to 0
    bits = (bits | bits << 4) & 0x30F;
    bits = (bits | bits << 2) & 0x333;
    bits = (bits | bits << 1) & 0x555;
    code |= bits << axis;
  }
  return code;
}

// Orders the chunk's slots by where they fall in this view (a counting sort): neighbours share
// taps.
inline void sequence_tokens(const SamplingCall& call, int64_t view, const int32_t* order,
                            int64_t count, const SamplingScratch& scratch) {
  const float* reference = call.op.reference_points + view * call.op.tokens * 2;
  int32_t* bins = scratch.bins;
  for (int i = 0; i <= kSequenceBins; ++i) bins[i] = 0;
  for (int64_t i = 0; i < count; ++i) ++bins[cell(reference + 2 * int64_t{order[i]}) + 1];
  for (int i = 0; i < kSequenceBins; ++i) bins[i + 1] += bins[i];
  for (int64_t i = 0; i < count; ++i) {
    scratch.sequence[bins[cell(reference + 2 * int64_t{order[i]})]++] = static_cast<int32_t>(i);
  }
}

inline float exp_of(float x) {
  float r[kWidth];
  store(r, exp(set1(x)));
  return r[0];
}

// out = out * keep + o * add over d channels.
inline void blend(float* out, const float* o, int64_t d, float keep, float add) {
  const Vec a = set1(keep), b = set1(add);
  int64_t c = 0;
  for (; c + kWidth <= d; c += kWidth) store(out + c, fma(b, load(o + c), load(out + c) * a));
  if (c < d) {
    const Tail tail(static_cast<int>(d - c));
    store(out + c, fma(b, load(o + c, tail), load(out + c, tail) * a), tail);
  }
}

// Folds one view's o into out: a softmax over views, online (running maximum and normaliser).
inline void merge_view(const SamplingCall& call, int64_t view, const int32_t* order, int64_t count,
                       const SamplingScratch& scratch) {
  const DeformableAttention& op = call.op;
  const int64_t d = op.heads * op.width;
  for (int64_t i = 0; i < count; ++i) {
    const float* o = scratch.sums + i * d;
    float* out = op.out + order[i] * d;
    Vec even = zero(), odd = zero();
    int64_t c = 0;
    for (; c + 2 * kWidth <= d; c += 2 * kWidth) {
      even = fma(load(op.view_weight + c), load(o + c), even);
      odd = fma(load(op.view_weight + c + kWidth), load(o + c + kWidth), odd);
    }
    for (; c < d; c += kWidth) {
      const Tail tail(static_cast<int>(d - c < kWidth ? d - c : kWidth));
      even = fma(load(op.view_weight + c, tail), load(o + c, tail), even);
    }
    const float logit = sum(even + odd) + op.view_bias;
    float &best = scratch.largest[i], &total = scratch.normaliser[i];
    float keep = 0.0f, add = 1.0f;
    if (view == 0) {
      for (int64_t k = 0; k < d; ++k) out[k] = 0.0f;
      best = logit;
      total = 1.0f;
    } else if (logit <= best) {
      keep = 1.0f;
      add = exp_of(logit - best);
      total += add;
    } else {
      keep = exp_of(best - logit);
      total = total * keep + 1.0f;
      best = logit;
    }
    if (view == op.views - 1) {
      keep /= total;
      add /= total;
    }
    blend(out, o, d, keep, add);
  }
}

void attend(const SamplingCall& call, const int32_t* order, int64_t count,
            const SamplingScratch& scratch) {
  const DeformableAttention& op = call.op;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t m = 0; m < op.heads; ++m) {
      softmax(op.attention_logits + (order[i] * op.heads + m) * call.samples, call.samples,
              call.padded_samples, scratch.attention + (i * op.heads + m) * call.padded_samples);
    }
  }
  for (int64_t view = 0; view < op.views; ++view) {
    sequence_tokens(call, view, order, count, scratch);
    for (int64_t head = 0; head < op.heads; ++head) {
      PlaneCall plane{call, order, count, view, head, 0, 0, scratch};
      if (op.values != nullptr) {
        sample_head(plane, op.values);
      } else {
        sample_head(plane, op.values_half);
      }
    }
    merge_view(call, view, order, count, scratch);
  }
}

void mark(const SamplingCall& call, int64_t begin, int64_t end, uint8_t* base, int64_t stride) {
  const DeformableAttention& op = call.op;
  const Vec nowhere = set1(static_cast<float>(op.pixels));
  for (int64_t n = begin; n < end; ++n) {
    for (int64_t m = 0; m < op.heads; ++m) {
      const float* offsets = op.sampling_offsets + (n * op.heads + m) * call.samples * 2;
      for (int64_t at = 0; at < call.samples; at += kWidth) {
        Vec x, y;
        load_offsets(offsets, at, call.samples, x, y);
        for (int64_t view = 0; view < op.views; ++view) {
          const float* reference = op.reference_points + (view * op.tokens + n) * 2;
          const Location where =
              locate(call.lanes, at, set1(reference[0]), set1(reference[1]), x, y);
          uint8_t* map = base + view * stride;
          int32_t index[kWidth];
          store_bits(index, int_bits(select(where.inside, where.pixel, nowhere)));
          for (int i = 0; i < kWidth; ++i) map[index[i]] = 1;
        }
      }
    }
  }
}

}  // namespace

extern const SamplingKernel kSampling = {attend, mark};

}  // namespace geolrm::GEOLRM_ISA
