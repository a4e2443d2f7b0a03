// Sixteen float lanes and their mask, for the instruction set this file is compiled with.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(_MSC_VER)
#define GEOLRM_INLINE __forceinline
#define GEOLRM_NOINLINE __declspec(noinline)
#else
#define GEOLRM_INLINE __attribute__((always_inline)) inline
#define GEOLRM_NOINLINE __attribute__((noinline))
#endif

namespace geolrm::raster::GEOLRM_ISA {
namespace {

constexpr int kLanes = 16;

inline int lowest_bit(uint64_t bits) {
#if defined(_MSC_VER) && !defined(__clang__)
  unsigned long index;  // MSVC has no __builtin_ctzll
  _BitScanForward64(&index, bits);
  return static_cast<int>(index);
#else
  return __builtin_ctzll(bits);
#endif
}

inline int count_bits(uint64_t bits) {
  int count = 0;
  for (; bits; bits &= bits - 1) ++count;
  return count;
}

#if defined(__AVX512F__)

using Floats = __m512;
using Mask = __mmask16;

inline Floats load(const float* p) { return _mm512_load_ps(p); }
inline void store(float* p, Floats a) { _mm512_store_ps(p, a); }
inline Floats splat(float a) { return _mm512_set1_ps(a); }
inline Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
inline Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
inline Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
inline Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
inline Floats fnma(Floats a, Floats b, Floats c) { return _mm512_fnmadd_ps(a, b, c); }
inline Floats min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
inline Floats div(Floats a, Floats b) { return _mm512_div_ps(a, b); }
inline Mask greater(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
inline Mask at_least(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
inline Mask both(Mask a, Mask b) { return a & b; }
inline Floats keep(Mask m, Floats a) { return _mm512_maskz_mov_ps(m, a); }
inline Floats select(Mask m, Floats a, Floats b) { return _mm512_mask_mov_ps(b, m, a); }
inline bool any(Mask m) { return m != 0; }
// 2^(whole part of `shifted`, which holds integer + kRoundingMagic) * a
inline Floats scale_by_power(Floats a, Floats shifted) {
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a),
                                              _mm512_slli_epi32(_mm512_castps_si512(shifted), 23)));
}

#elif defined(__AVX2__)

struct Floats {
  __m256 a, b;
};
struct Mask {
  __m256 a, b;
};

inline Floats load(const float* p) { return {_mm256_load_ps(p), _mm256_load_ps(p + 8)}; }
inline void store(float* p, Floats v) {
  _mm256_store_ps(p, v.a);
  _mm256_store_ps(p + 8, v.b);
}
inline Floats splat(float v) {
  const __m256 s = _mm256_set1_ps(v);
  return {s, s};
}
#define GEOLRM_TWICE(name, op) \
  inline Floats name(Floats x, Floats y) { return {op(x.a, y.a), op(x.b, y.b)}; }
GEOLRM_TWICE(add, _mm256_add_ps)
GEOLRM_TWICE(sub, _mm256_sub_ps)
GEOLRM_TWICE(mul, _mm256_mul_ps)
GEOLRM_TWICE(min, _mm256_min_ps)
GEOLRM_TWICE(div, _mm256_div_ps)
#undef GEOLRM_TWICE
inline Floats fma(Floats x, Floats y, Floats z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
inline Floats fnma(Floats x, Floats y, Floats z) {
  return {_mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b)};
}
inline Mask greater(Floats x, Floats y) {
  return {_mm256_cmp_ps(x.a, y.a, _CMP_GT_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_GT_OQ)};
}
inline Mask at_least(Floats x, Floats y) {
  return {_mm256_cmp_ps(x.a, y.a, _CMP_GE_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_GE_OQ)};
}
inline Mask both(Mask x, Mask y) { return {_mm256_and_ps(x.a, y.a), _mm256_and_ps(x.b, y.b)}; }
inline Floats keep(Mask m, Floats v) { return {_mm256_and_ps(m.a, v.a), _mm256_and_ps(m.b, v.b)}; }
inline Floats select(Mask m, Floats x, Floats y) {
  return {_mm256_blendv_ps(y.a, x.a, m.a), _mm256_blendv_ps(y.b, x.b, m.b)};
}
inline bool any(Mask m) { return _mm256_movemask_ps(_mm256_or_ps(m.a, m.b)) != 0; }
inline __m256 scale_by_power(__m256 v, __m256 shifted) {
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(v),
                                              _mm256_slli_epi32(_mm256_castps_si256(shifted), 23)));
}
inline Floats scale_by_power(Floats v, Floats shifted) {
  return {scale_by_power(v.a, shifted.a), scale_by_power(v.b, shifted.b)};
}
#else

struct Floats {
  alignas(64) float v[kLanes];
};
struct Mask {
  alignas(64) uint32_t v[kLanes];  // all ones or zero
};

#define GEOLRM_EACH(expression)      \
  for (int i = 0; i < kLanes; ++i) { \
    r.v[i] = (expression);           \
  }                                  \
  return r
inline Floats load(const float* p) {
  Floats r;
  GEOLRM_EACH(p[i]);
}
inline void store(float* p, const Floats& a) {
  for (int i = 0; i < kLanes; ++i) p[i] = a.v[i];
}
inline Floats splat(float a) {
  Floats r;
  GEOLRM_EACH(a);
}
inline Floats add(const Floats& a, const Floats& b) {
  Floats r;
  GEOLRM_EACH(a.v[i] + b.v[i]);
}
inline Floats sub(const Floats& a, const Floats& b) {
  Floats r;
  GEOLRM_EACH(a.v[i] - b.v[i]);
}
inline Floats mul(const Floats& a, const Floats& b) {
  Floats r;
  GEOLRM_EACH(a.v[i] * b.v[i]);
}
inline Floats div(const Floats& a, const Floats& b) {
  Floats r;
  GEOLRM_EACH(a.v[i] / b.v[i]);
}
inline Floats fma(const Floats& a, const Floats& b, const Floats& c) {
  Floats r;
  GEOLRM_EACH(a.v[i] * b.v[i] + c.v[i]);
}
inline Floats fnma(const Floats& a, const Floats& b, const Floats& c) {
  Floats r;
  GEOLRM_EACH(c.v[i] - a.v[i] * b.v[i]);
}
inline Floats min(const Floats& a, const Floats& b) {
  Floats r;
  GEOLRM_EACH(a.v[i] < b.v[i] ? a.v[i] : b.v[i]);
}
inline Mask greater(const Floats& a, const Floats& b) {
  Mask r;
  GEOLRM_EACH(a.v[i] > b.v[i] ? ~0u : 0u);
}
inline Mask at_least(const Floats& a, const Floats& b) {
  Mask r;
  GEOLRM_EACH(a.v[i] >= b.v[i] ? ~0u : 0u);
}
inline Mask both(const Mask& a, const Mask& b) {
  Mask r;
  GEOLRM_EACH(a.v[i] & b.v[i]);
}
inline Floats select(const Mask& m, const Floats& a, const Floats& b) {
  Floats r;
  GEOLRM_EACH(m.v[i] ? a.v[i] : b.v[i]);
}
inline Floats keep(const Mask& m, const Floats& a) {
  Floats r;
  GEOLRM_EACH(m.v[i] ? a.v[i] : 0.0f);
}
inline bool any(const Mask& m) {
  uint32_t bits = 0;
  for (int i = 0; i < kLanes; ++i) bits |= m.v[i];
  return bits != 0;
}
inline Floats scale_by_power(const Floats& a, const Floats& shifted) {
  Floats r;
  for (int i = 0; i < kLanes; ++i) {
    uint32_t value, power;
    std::memcpy(&value, &a.v[i], 4);
    std::memcpy(&power, &shifted.v[i], 4);
    value += power << 23;
    std::memcpy(&r.v[i], &value, 4);
  }
  return r;
}
inline float sum(const Floats& a) {
  float half[8];
  for (int i = 0; i < 8; ++i) half[i] = a.v[i] + a.v[i + 8];
  return ((half[0] + half[4]) + (half[2] + half[6])) + ((half[1] + half[5]) + (half[3] + half[7]));
}
#undef GEOLRM_EACH

#endif

// out[k] += the sum of v[k]'s lanes, for the first 10 (16 places are read and written).
inline void add_sums(const Floats* v, float* out) {
#if defined(__AVX512F__)
  // Four vectors to one of partial sums, then across its quarters.
  const auto two = [](Floats a, Floats b) {
    return add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  };
  const auto four = [](Floats ab, Floats cd) {
    return add(_mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))),
               _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))));
  };
  const Floats zero = _mm512_setzero_ps();
  const Floats a = four(two(v[0], v[1]), two(v[2], v[3]));
  const Floats b = four(two(v[4], v[5]), two(v[6], v[7]));
  const Floats c = four(two(v[8], v[9]), zero);
  const Floats ab = add(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  const Floats cd = add(_mm512_shuffle_f32x4(c, zero, 0x44), _mm512_shuffle_f32x4(c, zero, 0xee));
  const Floats all = add(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
  store(out, add(load(out), all));
#elif defined(__AVX2__)
  const auto half = [](const Floats& x) { return _mm256_add_ps(x.a, x.b); };
  const auto two = [](__m256 a, __m256 b) {
    return _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
  };
  const auto four = [](__m256 ab, __m256 cd) {
    const __m256d x = _mm256_castps_pd(ab), y = _mm256_castps_pd(cd);
    const __m256 s = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(x, y)),
                                   _mm256_castpd_ps(_mm256_unpackhi_pd(x, y)));
    return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
  };
  const auto put = [&](int k, __m128 s) {
    _mm_store_ps(out + k, _mm_add_ps(_mm_load_ps(out + k), s));
  };
  put(0, four(two(half(v[0]), half(v[1])), two(half(v[2]), half(v[3]))));
  put(4, four(two(half(v[4]), half(v[5])), two(half(v[6]), half(v[7]))));
  put(8, four(two(half(v[8]), half(v[9])), _mm256_setzero_ps()));
#else
  for (int k = 0; k < 10; ++k) out[k] += sum(v[k]);
#endif
}

// 1.5 * 2^23: adding it rounds a small float to an integer. Needs strict floating point: under
// -ffast-math the compiler folds (x + magic) - magic away.
constexpr float kRoundingMagic = 12582912.0f;

// 2^x for x in [-126, 1]; anything else gives garbage but no trap. Relative error 1e-7.
inline Floats exp2(const Floats& x) {
  const Floats magic = splat(kRoundingMagic);
  const Floats shifted = add(x, magic);
  const Floats f = sub(x, sub(shifted, magic));  // in [-0.5, 0.5]
  Floats p = fma(f, splat(0x1.5b7622p-10f), splat(0x1.3cee9cp-7f));
  p = fma(f, p, splat(0x1.c6b848p-5f));
  p = fma(f, p, splat(0x1.ebf9aep-3f));
  p = fma(f, p, splat(0x1.62e428p-1f));
  p = fma(f, p, splat(1.0f));
  return scale_by_power(p, shifted);
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_ISA
