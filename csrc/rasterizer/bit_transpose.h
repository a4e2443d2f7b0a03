// From "blocks of each splat" to "splats of each block": a 64 x 256 bit matrix turned over.
#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "coverage.h"

namespace geolrm::raster::GEOLRM_ISA {
namespace {

constexpr int kBatch = kMaxBatch;  // splats blended at a time: the bits of one word
constexpr int kTileArea = kMaxTileBlocks * kMaxTileBlocks;

#if defined(__AVX2__)

// Bytes of several groups of sixteen splats side by side, sixteen bytes (one group) a quarter.
#if defined(__AVX512F__)
struct Bytes {
  static constexpr int kGroups = 4;
  using Vector = __m512i;
  static Vector load(const uint8_t* rows, int stride) {
    const auto part = [&](int g) {
      return _mm_load_si128(reinterpret_cast<const __m128i*>(rows + 16 * g * stride));
    };
    Vector v = _mm512_castsi128_si512(part(0));
    v = _mm512_inserti32x4(v, part(1), 1);
    v = _mm512_inserti32x4(v, part(2), 2);
    return _mm512_inserti32x4(v, part(3), 3);
  }
  static Vector low8(Vector a, Vector b) { return _mm512_unpacklo_epi8(a, b); }
  static Vector high8(Vector a, Vector b) { return _mm512_unpackhi_epi8(a, b); }
  static bool zero(Vector v) { return _mm512_test_epi32_mask(v, v) == 0; }
  static Vector twice(Vector v) { return _mm512_add_epi8(v, v); }
  static uint64_t top_bits(Vector v) { return _mm512_movepi8_mask(v); }
};
#else
struct Bytes {
  static constexpr int kGroups = 2;
  using Vector = __m256i;
  static Vector load(const uint8_t* rows, int stride) {
    const auto part = [&](int g) {
      return _mm_load_si128(reinterpret_cast<const __m128i*>(rows + 16 * g * stride));
    };
    return _mm256_inserti128_si256(_mm256_castsi128_si256(part(0)), part(1), 1);
  }
  static Vector low8(Vector a, Vector b) { return _mm256_unpacklo_epi8(a, b); }
  static Vector high8(Vector a, Vector b) { return _mm256_unpackhi_epi8(a, b); }
  static bool zero(Vector v) { return _mm256_testz_si256(v, v) != 0; }
  static Vector twice(Vector v) { return _mm256_add_epi8(v, v); }
  static uint64_t top_bits(Vector v) { return static_cast<uint32_t>(_mm256_movemask_epi8(v)); }
};
#endif

// masks[block] bit i = bit `block` of rows[i].
inline void transpose_bits(const BlockRows* rows, uint64_t* masks) {
  constexpr int kStride = sizeof(BlockRows), kSplats = 16 * Bytes::kGroups;
  for (int first = 0; first < kBatch; first += kSplats) {
    for (int half = 0; half < 2; ++half) {
      const uint8_t* const source = reinterpret_cast<const uint8_t*>(rows + first) + 16 * half;
      Bytes::Vector a[16], b[16];
      for (int i = 0; i < 16; ++i) a[i] = Bytes::load(source + i * kStride, kStride);
      // Interleaving rows i and i + 8 four times over turns a 16 x 16 byte matrix.
      const auto interleave = [](const Bytes::Vector* from, Bytes::Vector* to) {
        for (int i = 0; i < 8; ++i) {
          to[2 * i] = Bytes::low8(from[i], from[i + 8]);
          to[2 * i + 1] = Bytes::high8(from[i], from[i + 8]);
        }
      };
      interleave(a, b);
      interleave(b, a);
      interleave(a, b);
      interleave(b, a);
      for (int j = 0; j < 16; ++j) {
        uint64_t* const out = masks + 8 * (16 * half + j);
        if (Bytes::zero(a[j])) {
          if (first == 0) std::memset(out, 0, 8 * sizeof(uint64_t));
          continue;
        }
        Bytes::Vector v = a[j];
        for (int bit = 7; bit >= 0; --bit) {
          const uint64_t bits = Bytes::top_bits(v) << first;
          out[bit] = first == 0 ? bits : out[bit] | bits;
          v = Bytes::twice(v);
        }
      }
    }
  }
}

#else

inline void transpose_bits(const BlockRows* rows, uint64_t* masks) {
  std::memset(masks, 0, kTileArea * sizeof(uint64_t));
  for (int i = 0; i < kBatch; ++i) {
    for (int row = 0; row < kMaxTileBlocks; ++row) {
      uint32_t bits = rows[i].rows[row];
      for (uint64_t* out = masks + kMaxTileBlocks * row; bits; bits >>= 1, ++out) {
        *out |= static_cast<uint64_t>(bits & 1) << i;
      }
    }
  }
}

#endif

}  // namespace
}  // namespace geolrm::raster::GEOLRM_ISA
