// The sampling kernel.
// Uses nothing of the standard library: a shared inline function must not be compiled here.
#include "deformable_cross_attention/deformable_cross_attention_kernel.h"
#include "deformable_cross_attention/fusion.h"
#include "deformable_cross_attention/taps.h"

namespace geolrm::GEOLRM_ISA {
namespace {

constexpr int kMaxVectors = 6;  // a block of channels kept in registers

// Samples one (view, head) plane for the queries of a chunk, channels [first, last).
struct PlaneCall {
  const CrossAttentionCall& call;
  const int32_t* order;
  int64_t count, view, head, first, last;
  const CrossAttentionScratch& scratch;
};

template <int kVectors, bool kTail, bool kNarrow, class T>
void sample_plane(const PlaneCall& p, const T* values) {
  const CrossAttentionCall& call = p.call;
  const DeformableCrossAttention& op = call.op;
  const int64_t samples = call.padded_samples;
  const Tail tail(static_cast<int>((p.last - p.first - 1) % kWidth + 1));
  const T* plane = values + (p.view * op.heads + p.head) * op.pixels * op.head_dim + p.first;
  const int64_t pieces = (samples + kPiece - 1) / kPiece;
  // Taps of one step ahead: its values are on their way while this step's are summed.
  Taps buffer[2];
  int64_t ahead = 0, ahead_piece = 0;
  const auto find = [&](Taps& taps) {
    if (ahead == p.count) return;
    const int64_t slot = p.scratch.sequence[ahead], query = p.order[slot];
    const int64_t from = ahead_piece * kPiece;
    const int64_t to = from + kPiece < samples ? from + kPiece : samples;
    find_taps<kNarrow>(call, from, to, op.reference_points + (p.view * op.queries + query) * 2,
                       op.sampling_offsets + (query * op.heads + p.head) * call.samples * 2,
                       p.scratch.attention + (slot * op.heads + p.head) * samples, taps);
    if (++ahead_piece == pieces) {
      ahead_piece = 0;
      ++ahead;
    }
  };
  for (Taps& taps : buffer) {
    for (int i = 0; i < kPiece; ++i) taps.pixel[i] = taps.down[i] = 0;
  }
  find(buffer[0]);
  int current = 0;
  for (int64_t i = 0; i < p.count; ++i) {
    constexpr int64_t kAhead = 4;
    if (i + kAhead < p.count) {
      const int64_t slot = p.scratch.sequence[i + kAhead], query = p.order[slot];
      const float* offsets = op.sampling_offsets + (query * op.heads + p.head) * call.samples * 2;
      // A query's pairs seldom start a line, so they end in one more.
      for (int64_t line = 0; line < 2 * call.samples; line += 16) prefetch(offsets + line);
      prefetch(offsets + 2 * call.samples - 1);
      prefetch(p.scratch.attention + (slot * op.heads + p.head) * samples);
      prefetch(op.reference_points + (p.view * op.queries + query) * 2);
    }
    const int64_t slot = p.scratch.sequence[i];
    float* sums = p.scratch.sums + (slot * op.heads + p.head) * op.head_dim + p.first;
    for (int64_t piece = 0; piece < pieces; ++piece) {
      find(buffer[1 - current]);
      add_taps<kVectors, kTail, kNarrow>(plane, op.head_dim, buffer[current], buffer[1 - current],
                                         piece == 0, sums, tail);
      current = 1 - current;
    }
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
  const int64_t head_dim = p.call.op.head_dim;
  for (p.first = 0; p.first < head_dim; p.first = p.last) {
    p.last = p.first + kMaxVectors * kWidth < head_dim ? p.first + kMaxVectors * kWidth : head_dim;
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

// A query's cell in a 64 x 64 grid over the view, along a Z-order curve.
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
inline void sequence_queries(const CrossAttentionCall& call, int64_t view, const int32_t* order,
                             int64_t count, const CrossAttentionScratch& scratch) {
  const float* reference = call.op.reference_points + view * call.op.queries * 2;
  int32_t* bins = scratch.bins;
  for (int i = 0; i <= kSequenceBins; ++i) bins[i] = 0;
  for (int64_t i = 0; i < count; ++i) ++bins[cell(reference + 2 * int64_t{order[i]}) + 1];
  for (int i = 0; i < kSequenceBins; ++i) bins[i + 1] += bins[i];
  for (int64_t i = 0; i < count; ++i) {
    scratch.sequence[bins[cell(reference + 2 * int64_t{order[i]})]++] = static_cast<int32_t>(i);
  }
}

void attend(const CrossAttentionCall& call, const int32_t* order, int64_t count,
            const CrossAttentionScratch& scratch) {
  const DeformableCrossAttention& op = call.op;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t m = 0; m < op.heads; ++m) {
      softmax(op.attention_logits + (order[i] * op.heads + m) * call.samples, call.samples,
              call.padded_samples, scratch.attention + (i * op.heads + m) * call.padded_samples);
    }
  }
  for (int64_t view = 0; view < op.views; ++view) {
    sequence_queries(call, view, order, count, scratch);
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

void mark(const CrossAttentionCall& call, int64_t begin, int64_t end, uint8_t* base,
          int64_t stride) {
  const DeformableCrossAttention& op = call.op;
  const Vec nowhere = set1(static_cast<float>(op.pixels));
  for (int64_t n = begin; n < end; ++n) {
    for (int64_t m = 0; m < op.heads; ++m) {
      const float* offsets = op.sampling_offsets + (n * op.heads + m) * call.samples * 2;
      for (int64_t at = 0; at < call.samples; at += kWidth) {
        Vec x, y;
        load_offsets(offsets, at, call.samples, x, y);
        for (int64_t view = 0; view < op.views; ++view) {
          const float* reference = op.reference_points + (view * op.queries + n) * 2;
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

}  // namespace geolrm::GEOLRM_ISA

namespace geolrm {

const DeformableCrossAttentionKernel DeformableCrossAttentionKernel::GEOLRM_ISA = {
    GEOLRM_ISA::attend, GEOLRM_ISA::mark};

}  // namespace geolrm
